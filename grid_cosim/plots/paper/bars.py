"""KPIs as bars for papers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from grid_cosim import metrics
from grid_cosim.errors import UnknownNameError
from grid_cosim.metrics import KPIS
from grid_cosim.plots.paper.style import SINGLE_MM, Figure, NothingToDrawError, hands, in_the_look, sheet
from grid_cosim.results import StoredResults

READ_FIRST = (
    "peak_loading_percent",
    "energy_above_limit_percent",
    "unserved_energy_percent",
    "cold_kelvin_hours_per_home",
    "deferred_energy_kwh",
    "total_cost_eur",
)
"""The KPIs that are drawn where none is named, as far as they apply."""

_PANEL_MM = 58.0
_BAR_MM, _HEADING_MM = 4.2, 10.0
_ROOM = 1.45
"""Width of a panel over that of its longest bar: room for the number behind it."""

_NOTHING = 1e-12


@in_the_look
def kpi_bars(
    results: StoredResults,
    *,
    kpis: Sequence[str] | None = None,
    controllers: Sequence[str] | None = None,
    width_mm: float = SINGLE_MM,
) -> Figure:
    """A panel per KPI, a bar per controller with its value; none where the KPI does not apply."""
    drawn = hands(results, controllers)
    values = {name: of_run for name, of_run in metrics.kpis(results).items() if name in drawn}
    shown = _chosen(kpis, metrics.told(values))
    columns = int(np.clip(width_mm // _PANEL_MM + (width_mm < 2 * _PANEL_MM), 1, len(shown)))
    rows = -(-len(shown) // columns)
    tall_mm = _HEADING_MM + _BAR_MM * len(drawn)
    figure, axes = sheet(width_mm, rows * tall_mm + 1.0, rows=rows, columns=columns)
    for place, (axis, name) in enumerate(zip(axes, shown, strict=False)):
        heights = [values[controller][name] for controller in drawn]
        places = np.arange(len(drawn))[::-1]
        axis.barh(places, np.nan_to_num(heights), height=0.72, color=[hand.colour for hand in drawn.values()])
        _numbers(axis, places, heights)
        axis.set_yticks(places, list(drawn) if place % columns == 0 else [])
        kpi = KPIS[name]
        axis.set_title("\n".join(textwrap.wrap(f"{kpi.label}{f', {kpi.unit}' if kpi.unit else ''}", 26)))
        axis.tick_params(length=0.0)
        axis.set_xticks([])
        axis.grid(visible=False)
        axis.spines["bottom"].set_visible(False)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return figure


def _chosen(wanted: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The KPIs to draw; raises for those that do not exist, and where none has a value."""
    for name in wanted or ():
        if name not in KPIS:
            raise UnknownNameError("KPI", name, KPIS)
    shown = [name for name in (READ_FIRST if wanted is None else wanted) if name in known]
    if not shown:
        raise NothingToDrawError("None of these KPIs has a value in these results")
    return shown


def _numbers(axis: Any, places: np.ndarray, heights: Sequence[float]) -> None:
    """The value behind each bar, and an axis long enough for it."""
    largest, smallest = np.nanmax([*heights, 0.0]), np.nanmin([*heights, 0.0])
    reach = (largest - smallest) or 1.0
    axis.set_xlim(smallest - (0.45 * reach if smallest < 0.0 else 0.0), smallest + _ROOM * reach)
    for place, value in zip(places, heights, strict=True):
        known = np.isfinite(value)
        axis.annotate(
            number(value) if known else "–", (value if known else 0.0, place),
            xytext=(2.0 if not known or value >= 0.0 else -2.0, 0.0), textcoords="offset points",
            va="center", ha="left" if not known or value >= 0.0 else "right", fontsize=6.0,
        )  # fmt: skip


def number(value: float) -> str:
    """Four digits where there are as many, and nothing for what is zero but for rounding."""
    size = abs(value)
    if size < _NOTHING:
        return "0"
    if size >= 1_000.0:
        return f"{value:,.0f}"
    return f"{value:.4g}" if size >= 1.0 else f"{value:.2g}" if size >= 1e-3 else f"{value:.1e}"
