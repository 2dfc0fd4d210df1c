"""Figures for papers: a function each, from `StoredResults` to a matplotlib `Figure` of the printed size.

    from grid_cosim.plots import paper
    paper.save_figure(paper.loading(results, width_mm=88), "loading.pdf")

matplotlib's own settings are neither used nor changed, and no window or back end is asked for. `save_figure`
writes the same bytes whenever the numbers and the version of matplotlib are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from grid_cosim.errors import MissingExtraError

try:
    from grid_cosim.plots.paper.bars import kpi_bars
    from grid_cosim.plots.paper.curves import duration, energy, loading, price, temperature, voltage
    from grid_cosim.plots.paper.network import network
    from grid_cosim.plots.paper.style import (
        DOUBLE_MM,
        FORMATS,
        SINGLE_MM,
        Figure,
        NothingToDrawError,
        save_figure,
    )
except ModuleNotFoundError as error:
    raise MissingExtraError("Drawing figures for papers", extra="plot", missing=error.name) from error

FIGURES: Mapping[str, Callable[..., Figure]] = MappingProxyType(
    {
        "loading": loading,
        "duration": duration,
        "price": price,
        "energy": energy,
        "temperature": temperature,
        "voltage": voltage,
        "map": network,
        "kpis": kpi_bars,
    }
)
"""Name on the command line → its function, in the order of reading."""

OF_A_LIMIT = ("loading", "duration", "price")
"""Figures that show one limit."""

__all__ = [
    "DOUBLE_MM",
    "FIGURES",
    "FORMATS",
    "OF_A_LIMIT",
    "SINGLE_MM",
    "Figure",
    "NothingToDrawError",
    "duration",
    "energy",
    "kpi_bars",
    "loading",
    "network",
    "price",
    "save_figure",
    "temperature",
    "voltage",
]
