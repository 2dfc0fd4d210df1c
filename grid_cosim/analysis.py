"""`Results` as a user has them: what is stored, with what one does with it as methods.

Each method calls the function of that name in the room that it belongs to; nothing is computed here.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import final

from grid_cosim.exports import export
from grid_cosim.metrics import kpis
from grid_cosim.report import write_report
from grid_cosim.results import StoredResults


@final
class Results(StoredResults):
    """A scenario's runs; `Results.load(folder)` opens those of an earlier day."""

    def kpis(self) -> dict[str, dict[str, float]]:
        """Controller → KPI → value; units and meaning in `grid_cosim.metrics.KPIS`."""
        return kpis(self)

    def report(self, path: Path | str) -> Path:
        """Write the page that needs no network; gives its path."""
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
