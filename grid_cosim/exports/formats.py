"""The table of formats; nothing is imported to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Format:
    """A row of the table of formats."""

    module: str
    """In this package."""
    what: str
    """What is in it."""
    reader: str
    """Who reads it."""
    extra: str | None = None
    """Extra of this package that it needs."""
    step: bool = False
    """Whether it makes a difference which step is asked for."""
    runs: bool = False
    """Whether it holds all runs of the results; else it holds one."""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "parquet": Format(
            "tables", "all tables, a row per element and step", "pandas, DuckDB, Polars, R", runs=True
        ),
        "parquet-wide": Format(
            "wide_tables", "a file per quantity, a column per element", "pandas, Julia, R", runs=True
        ),
        "csv": Format("tables", "all tables, a row per element and step", "anything", runs=True),
        "csv-wide": Format(
            "wide_tables", "a file per quantity, a column per element", "spreadsheets", runs=True
        ),
        "pandapower": Format(
            "pandapower_net", "the network with the power flow of one step", "pandapower", step=True
        ),
        "pandapower-series": Format(
            "pandapower_series", "the layout of pandapower's OutputWriter", "scripts for pandapower's series"
        ),
        "geojson": Format(
            "geojson", "peak loadings, extreme voltages, their times", "QGIS, geopandas, Leaflet"
        ),
        "opendss": Format(
            "opendss", "the network as a case with a load shape per load", "OpenDSS", step=True
        ),
        "power-grid-model": Format(
            "power_grid", "the network, and the loads of all steps as a batch", "power-grid-model", step=True
        ),
        "pypsa": Format(
            "pypsa_network", "the network with loads over time, netCDF", "PyPSA", extra="pypsa", step=True
        ),
        "hdf5": Format("mosaik_hdf5", "series in the layout of mosaik-hdf5", "h5py, MATLAB", extra="hdf5"),
    }
)
"""Format → what it is, in the order of the documentation."""
