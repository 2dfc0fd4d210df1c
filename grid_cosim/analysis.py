"""`Results` as a user has them: what is stored, with what one does with it as methods.

Each method calls the function of that name in the room that it belongs to; nothing is computed here. The
rooms that draw are opened when they are needed: who only reads tables does not wait for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, final

import pandas as pd

from grid_cosim import comparison
from grid_cosim.comparison import Comparison
from grid_cosim.metrics import kpi_table
from grid_cosim.results import StoredResults
from grid_cosim.results.frames import Where, column_table, frame, series, table_overview
from grid_cosim.results.words import as_html, as_text

if TYPE_CHECKING:
    from grid_cosim.plots.paper import Figure

SINGLE_MM = 88.0
"""Width of a column of a journal; two of them are 180 mm."""


@final
class Results(StoredResults):
    """A scenario's runs; `Results.load(folder)` opens those of an earlier day.

    Methods that draw return a matplotlib `Figure` of the size that a paper prints, `width_mm` wide, with the
    `controllers` named, or all. `grid_cosim.plots.paper.save_figure` writes it to a file.
    """

    @property
    def controllers(self) -> tuple[str, ...]:
        """In the order of running."""
        return tuple(self.runs)

    def tables(self) -> pd.DataFrame:
        """How many rows each table has under each controller; reads none of them."""
        return table_overview(self)

    def columns(self, name: str) -> pd.DataFrame:
        """Unit and meaning of each column of a table."""
        return column_table(name)

    def table(
        self,
        name: str,
        controller: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
        start: object = None,
        end: object = None,
    ) -> pd.DataFrame:
        """The rows of a table by time and element; see `grid_cosim.results.frames.frame`."""
        return frame(self, name, controller, columns=columns, where=where, start=start, end=end)

    def series(
        self,
        name: str,
        column: str,
        controller: str | None = None,
        *,
        where: Where | None = None,
        start: object = None,
        end: object = None,
    ) -> pd.DataFrame:
        """One column, a row per time, a column per controller and element; see `frames.series`."""
        return series(self, name, column, controller, where=where, start=start, end=end)

    def kpis(self) -> pd.DataFrame:
        """A row per KPI, a column per controller; units in `attrs["units"]`, words in `metrics.KPIS`."""
        return kpi_table(self)

    def compare(self, others: Mapping[str, Results | Path | str], *, name: str = "this") -> Comparison:
        """These results beside others, or folders of such, by names of your choice; see `compare`."""
        return compare({name: self, **others})

    def report(self, path: Path | str) -> Path:
        """Write the page that needs no network; gives its path."""
        from grid_cosim.report import write_report

        return write_report(self, path)

    def export(
        self,
        to: str,
        out: Path | str | None = None,
        *,
        controller: str | None = None,
        step: int | None = None,
        time: datetime | str | None = None,
    ) -> Path:
        """Write a folder in one of `grid_cosim.exports.FORMATS`; gives its path. See `export` there."""
        from grid_cosim.exports import export

        return export(self, to=to, out=out, controller=controller, step=step, time=time).folder

    def to_parquet(
        self, out: Path | str | None = None, *, wide: bool = False, controller: str | None = None
    ) -> Path:
        """Parquet tables with a data package, of all runs or one; `wide` has a column per element."""
        return self.export("parquet-wide" if wide else "parquet", out, controller=controller)

    def to_csv(
        self, out: Path | str | None = None, *, wide: bool = False, controller: str | None = None
    ) -> Path:
        """CSV tables with a data package, of all runs or one; `wide` has a column per element."""
        return self.export("csv-wide" if wide else "csv", out, controller=controller)

    def to_pandapower(
        self,
        out: Path | str | None = None,
        *,
        controller: str | None = None,
        step: int | None = None,
        time: datetime | str | None = None,
    ) -> Path:
        """The network with the power flow of one step, by default the one with the highest loading."""
        return self.export("pandapower", out, controller=controller, step=step, time=time)

    def to_pandapower_series(self, out: Path | str | None = None, *, controller: str | None = None) -> Path:
        """The files of pandapower's OutputWriter."""
        return self.export("pandapower-series", out, controller=controller)

    def to_geojson(self, out: Path | str | None = None, *, controller: str | None = None) -> Path:
        """Peak loadings and extreme voltages on the map."""
        return self.export("geojson", out, controller=controller)

    def to_opendss(
        self,
        out: Path | str | None = None,
        *,
        controller: str | None = None,
        step: int | None = None,
        time: datetime | str | None = None,
    ) -> Path:
        """An OpenDSS case with load shapes; a step says which where switches move."""
        return self.export("opendss", out, controller=controller, step=step, time=time)

    def to_power_grid_model(
        self,
        out: Path | str | None = None,
        *,
        controller: str | None = None,
        step: int | None = None,
        time: datetime | str | None = None,
    ) -> Path:
        """Input and batch update of power-grid-model; a step says which where switches move."""
        return self.export("power-grid-model", out, controller=controller, step=step, time=time)

    def to_pypsa(
        self,
        out: Path | str | None = None,
        *,
        controller: str | None = None,
        step: int | None = None,
        time: datetime | str | None = None,
    ) -> Path:
        """A PyPSA network in netCDF; a step says which where switches move."""
        return self.export("pypsa", out, controller=controller, step=step, time=time)

    def to_hdf5(self, out: Path | str | None = None, *, controller: str | None = None) -> Path:
        """HDF5 in the layout of mosaik-hdf5."""
        return self.export("hdf5", out, controller=controller)

    def plot_loading(
        self,
        *,
        limit: str | None = None,
        controllers: Sequence[str] | None = None,
        width_mm: float = SINGLE_MM,
    ) -> Figure:
        """Loading of a limit over time, the most loaded one if none is named."""
        return _paper().loading(self, limit=limit, controllers=controllers, width_mm=width_mm)

    def plot_duration(
        self,
        *,
        limit: str | None = None,
        controllers: Sequence[str] | None = None,
        width_mm: float = SINGLE_MM,
    ) -> Figure:
        """Load duration curve of a limit, the most loaded one if none is named."""
        return _paper().duration(self, limit=limit, controllers=controllers, width_mm=width_mm)

    def plot_price(
        self,
        *,
        limit: str | None = None,
        controllers: Sequence[str] | None = None,
        width_mm: float = SINGLE_MM,
    ) -> Figure:
        """Congestion price of a limit: mean of the copies, in the band from smallest to largest."""
        return _paper().price(self, limit=limit, controllers=controllers, width_mm=width_mm)

    def plot_energy(self, *, controllers: Sequence[str] | None = None, width_mm: float = SINGLE_MM) -> Figure:
        """Energy of the devices: owed, delivered so far, missed so far."""
        return _paper().energy(self, controllers=controllers, width_mm=width_mm)

    def plot_temperature(
        self, *, controllers: Sequence[str] | None = None, width_mm: float = SINGLE_MM
    ) -> Figure:
        """Indoor temperature: median and the band that holds 90 % of the homes."""
        return _paper().temperature(self, controllers=controllers, width_mm=width_mm)

    def plot_voltage(
        self, *, controllers: Sequence[str] | None = None, width_mm: float = SINGLE_MM
    ) -> Figure:
        """Lowest and highest voltage of any bus over time, with the permitted band."""
        return _paper().voltage(self, controllers=controllers, width_mm=width_mm)

    def plot_map(self, *, controllers: Sequence[str] | None = None, width_mm: float = SINGLE_MM) -> Figure:
        """The network coloured by the largest loading of each line and transformer, a map per controller."""
        return _paper().network(self, controllers=controllers, width_mm=width_mm)

    def plot_kpis(
        self,
        *,
        kpis: Sequence[str] | None = None,
        controllers: Sequence[str] | None = None,
        width_mm: float = SINGLE_MM,
    ) -> Figure:
        """Bars of the KPIs named, or of those that are read first."""
        return _paper().kpi_bars(self, kpis=kpis, controllers=controllers, width_mm=width_mm)

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def compare(results: Mapping[str, Results | Path | str]) -> Comparison:
    """Compare results, or folders of such, by names of your choice; the first is what changes count from.

    Raises `GridCosimError` for fewer than two, and `ResultsError` for a folder that cannot be read.
    """
    return comparison.compare(
        {
            name: given if isinstance(given, Results) else Results.load(given)
            for name, given in results.items()
        }
    )


def _paper() -> ModuleType:
    """The room of the figures for papers, opened when the first is drawn: matplotlib is an extra."""
    import grid_cosim.plots.paper as paper

    return paper
