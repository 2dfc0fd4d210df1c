"""Curves for papers: each function draws one figure of what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from grid_cosim.errors import UnknownNameError
from grid_cosim.metrics import voltage_band
from grid_cosim.plots.curves import limits_shown
from grid_cosim.plots.paper.style import (
    LIMIT_COLOUR,
    SINGLE_MM,
    Figure,
    Hand,
    NothingToDrawError,
    from_zero,
    hands,
    in_the_look,
    legend_on_top,
    sheet,
    time_axis,
)
from grid_cosim.plots.thinning import Blocks, blocks, thinned
from grid_cosim.results import Run, StoredResults
from grid_cosim.results.frames import frame

_BAND_ALPHA = 0.18
_MOST_POINTS = 1_000
"""Of a curve: more than a column has dots at 300 per inch."""
_LIMIT: dict[str, Any] = {"color": LIMIT_COLOUR, "linestyle": (0, (1.0, 1.0)), "linewidth": 0.8}


@in_the_look
def loading(
    results: StoredResults,
    *,
    limit: str | None = None,
    controllers: Sequence[str] | None = None,
    width_mm: float = SINGLE_MM,
) -> Figure:
    """AC loading of one limit over time, with the limit; of long runs the largest of each block of steps."""
    shown = _limit(results, limit)
    drawn = _with_rows(results, hands(results, controllers), "limits")
    figure, (axis,) = sheet(width_mm, 55.0)
    on = blocks(results, most=_MOST_POINTS)
    for name, hand in drawn.items():
        of_run = thinned(
            results.runs[name], "limits", {"loading_percent": "max", "limit_percent": "max"}, [shown], on
        )
        _steps(axis, on, results.basis.dt_h, of_run["loading_percent"][:, 0], label=name, hand=hand)
        limit_percent = of_run["limit_percent"][:, 0]
    axis.plot(
        _edges(on, results.basis.dt_h), _held(limit_percent), drawstyle="steps-post", label="limit", **_LIMIT
    )
    axis.set_ylabel(f"loading of {shown}, %")
    from_zero(axis)
    _finish(figure, axis)
    return figure


@in_the_look
def duration(
    results: StoredResults,
    *,
    limit: str | None = None,
    controllers: Sequence[str] | None = None,
    width_mm: float = SINGLE_MM,
) -> Figure:
    """Load duration curve: for how many hours the loading of a limit was at least so much."""
    shown = _limit(results, limit)
    drawn = _with_rows(results, hands(results, controllers), "limits")
    rows = {name: _loadings(results, name, shown) for name in drawn}
    if not any(len(of_run) for of_run in rows.values()):
        raise NothingToDrawError(f"The loading of {shown} is not known in any step")
    figure, (axis,) = sheet(width_mm, 55.0)
    for name, hand in ((name, drawn[name]) for name in drawn if len(rows[name])):
        falling = np.sort(rows[name]["loading_percent"].to_numpy())[::-1]
        some = np.linspace(0, len(falling) - 1, min(len(falling), _MOST_POINTS))
        kept = np.unique(some.round().astype(int))
        hours = results.basis.dt_h * np.append(kept, len(falling))
        axis.plot(hours, _held(falling[kept]), drawstyle="steps-post", label=name, **hand.line)
    percents = np.unique(pd.concat(rows.values())["limit_percent"])
    for number, percent in enumerate(percents):  # several: it moved
        axis.axhline(percent, label=None if number else "limit", **_LIMIT)
    axis.set_ylabel(f"loading of {shown}, %")
    axis.set_xlabel("duration, h")
    axis.set_xlim(left=0.0)
    from_zero(axis)
    legend_on_top(figure, axis)
    return figure


@in_the_look
def price(
    results: StoredResults,
    *,
    limit: str | None = None,
    controllers: Sequence[str] | None = None,
    width_mm: float = SINGLE_MM,
) -> Figure:
    """Congestion price of one limit: mean of the copies, in the band from smallest to largest.

    Of controllers under which there is a price. Those under which each home has a private one, which may be
    anything, are left out unless they are named or nothing else is left.
    """
    shown = _limit(results, limit)
    wanted = _with_rows(results, hands(results, controllers), "limits")
    drawn = {name: hand for name, hand in wanted.items() if _priced(results.runs[name])}
    if not drawn:
        raise NothingToDrawError("Under none of these controllers there was a congestion price")
    common = {name: hand for name, hand in drawn.items() if _is_common(results.runs[name])}
    drawn = drawn if controllers is not None else common or drawn
    figure, (axis,) = sheet(width_mm, 50.0)
    on, dt_h = blocks(results, most=_MOST_POINTS), results.basis.dt_h
    mean, low, high = (f"price_{which}_eur_per_kwh" for which in ("mean", "min", "max"))
    for name, hand in drawn.items():
        of_run = thinned(results.runs[name], "limits", {mean: "max", low: "min", high: "max"}, [shown], on)
        edges = _edges(on, dt_h)
        band = {"step": "post", "color": hand.colour, "alpha": _BAND_ALPHA, "linewidth": 0.0}
        axis.fill_between(edges, _held(of_run[low][:, 0]), _held(of_run[high][:, 0]), **band)
        _steps(axis, on, dt_h, of_run[mean][:, 0], label=name, hand=hand)
    axis.set_ylabel(f"congestion price of {shown},\nEUR/kWh")
    from_zero(axis)
    _finish(figure, axis)
    return figure


@in_the_look
def energy(
    results: StoredResults, *, controllers: Sequence[str] | None = None, width_mm: float = SINGLE_MM
) -> Figure:
    """Energy of all devices: owed at each moment, delivered so far of what was asked for, missed so far."""
    drawn = _with_rows(results, hands(results, controllers), "totals")
    beside = width_mm >= 140.0
    figure, axes = sheet(
        width_mm, 50.0 if beside else 95.0, rows=1 if beside else 3, columns=3 if beside else 1, share_x=True
    )
    owed, served, missed = axes
    for name, hand in drawn.items():
        totals = results.runs[name].table("totals")
        asked = totals["asked_kwh" if "asked_kwh" in totals else "requested_kwh"].cumsum()
        on = blocks(results, most=_MOST_POINTS)
        kept = totals.iloc[on.starts[on.starts < len(totals)]]
        ends = kept["time"] + pd.Timedelta(hours=results.basis.dt_h)
        served.plot(ends, asked[kept.index], linewidth=0.6, color=hand.colour, linestyle=(0, (1.0, 1.5)))
        owed.plot(ends, kept["owed_kwh"], label=name, **hand.line)
        served.plot(ends, totals["served_kwh"].cumsum()[kept.index], **hand.line)
        missed.plot(ends, totals["unserved_kwh"].cumsum()[kept.index], **hand.line)
    for axis, label in zip(axes, ("owed, kWh", "delivered so far, kWh", "missed so far, kWh"), strict=True):
        axis.set_ylabel(label)
        axis.yaxis.set_major_formatter("{x:,.0f}")
        from_zero(axis)
        time_axis(axis)
        if axis is not axes[-1] and not beside:
            axis.set_xlabel("")
    if missed.get_ylim()[1] < 1.0:  # nothing was missed: an axis of millionths would look like much
        missed.set_ylim(-0.02, 1.0)
    figure.align_ylabels()
    legend_on_top(figure, owed)
    return figure


@in_the_look
def temperature(
    results: StoredResults, *, controllers: Sequence[str] | None = None, width_mm: float = SINGLE_MM
) -> Figure:
    """Indoor temperature: median of the homes, in the band that holds 90 % of them."""
    wanted = _with_rows(results, hands(results, controllers), "totals")
    bands = {
        name: results.runs[name].table("totals").dropna(subset="temperature_median_c") for name in wanted
    }
    drawn = {name: hand for name, hand in wanted.items() if len(bands[name])}
    if not drawn:
        raise NothingToDrawError("No home of these results has an indoor temperature")
    figure, (axis,) = sheet(width_mm, 55.0)
    for name, hand in drawn.items():
        band = _every_so_often(bands[name])
        ends = band["time"] + pd.Timedelta(hours=results.basis.dt_h)
        look = {"color": hand.colour, "alpha": _BAND_ALPHA, "linewidth": 0.0}
        axis.fill_between(ends, band["temperature_low_c"], band["temperature_high_c"], **look)
        axis.plot(ends, band["temperature_median_c"], label=name, **hand.line)
    if results.basis.comfort_low_c is not None:
        axis.axhline(results.basis.comfort_low_c, label="comfort", **_LIMIT)
    axis.set_ylabel("indoor temperature, °C")
    _finish(figure, axis)
    return figure


@in_the_look
def voltage(
    results: StoredResults, *, controllers: Sequence[str] | None = None, width_mm: float = SINGLE_MM
) -> Figure:
    """Lowest and highest voltage of any bus in every step.

    With the ends of the permitted band, but for one beyond 1 pu that no voltage comes near.
    """
    wanted = _with_rows(results, hands(results, controllers), "totals")
    grids = {name: _voltages(results.runs[name]) for name in wanted}
    drawn = {name: hand for name, hand in wanted.items() if grids[name]["vm_min_pu"].notna().any()}
    if not drawn:
        raise NothingToDrawError("The voltage is not known in any step")
    figure, (axis,) = sheet(width_mm, 55.0)
    on, dt_h = blocks(results, most=_MOST_POINTS), results.basis.dt_h
    for name, hand in drawn.items():
        grid = grids[name]
        starts = on.starts[on.starts < len(grid)]
        low = np.fmin.reduceat(grid["vm_min_pu"].to_numpy(dtype=float), starts)
        high = np.fmax.reduceat(grid["vm_max_pu"].to_numpy(dtype=float), starts)
        edges = _edges(Blocks(on.times[: len(grid)], starts), dt_h)
        for edge, label in ((low, name), (high, None)):
            axis.plot(edges, _held(edge), drawstyle="steps-post", label=label, **hand.line)
    seen = (axis.dataLim.y0, axis.dataLim.y1)
    near = [
        end
        for end, value in zip(voltage_band(results), seen, strict=True)
        if (value - 1.0) * (end - 1.0) > 0.0
    ]
    for number, end in enumerate(near):
        axis.axhline(end, label=None if number else "permitted", **_LIMIT)
    axis.set_ylabel("voltage, pu")
    axis.margins(y=0.06)
    _finish(figure, axis)
    return figure


def _limit(results: StoredResults, limit: str | None) -> str:
    if limit is None:
        return limits_shown(results)[0]
    known = results.topology.limits["limit"].astype(str).tolist()
    if limit not in known:
        raise UnknownNameError("limit", limit, known, place="in these results")
    return limit


def _with_rows(results: StoredResults, wanted: dict[str, Hand], table: str) -> dict[str, Hand]:
    """Those of the controllers for which there is something to draw."""
    drawn = {name: hand for name, hand in wanted.items() if _has_rows(results.runs[name], table)}
    if not drawn:
        raise NothingToDrawError(
            f"There are no rows of the table {table!r} for {', '.join(wanted)}",
            remedy="The section [record] of the scenario says what is recorded.",
        )
    return drawn


def _has_rows(run: Run, table: str) -> bool:
    return len(run.table(table, ["time"])) > 0 if table == "totals" else run.n_rows(table) > 0


def _loadings(results: StoredResults, controller: str, limit: str) -> pd.DataFrame:
    """Loading and limit in the steps in which the loading is known."""
    columns = ["loading_percent", "limit_percent"]
    rows = frame(results, "limits", controller, columns=columns, where={"limit": limit})
    return rows.dropna(subset="loading_percent")


def _priced(run: Run) -> bool:
    return bool(run.table("totals")["priced_limits"].any())


def _is_common(run: Run) -> bool:
    """Whether homes have the price together: they agree on it by messages, or it is given to all alike."""
    totals = run.table("totals")
    return bool(totals["messages"].any() or (totals["price_spread_eur_per_kwh"] == 0.0).all())


def _voltages(run: Run) -> pd.DataFrame:
    """Of all buses; of a folder written without that, of those recorded."""
    grid = run.table("grid")
    return grid if "vm_min_pu" in grid else run.table("totals", ["time", "vm_min_pu", "vm_max_pu"])


def _every_so_often(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.iloc[:: -(-len(rows) // _MOST_POINTS)]


def _edges(on: Blocks, dt_h: float) -> np.ndarray:
    """(blocks + 1,) times between which a value holds."""
    end = on.times[-1] + np.timedelta64(round(3_600_000 * dt_h), "ms")
    return np.append(on.begins, end)


def _held(values: Float[np.ndarray, " blocks"]) -> Float[np.ndarray, " edges"]:
    """The values at those edges: the last one holds until its end."""
    return np.append(values, values[-1:])


def _steps(axis: Any, on: Blocks, dt_h: float, values: np.ndarray, *, label: str, hand: Hand) -> None:
    axis.plot(_edges(on, dt_h), _held(values), drawstyle="steps-post", label=label, **hand.line)


def _finish(figure: Figure, axis: Any) -> None:
    time_axis(axis)
    legend_on_top(figure, axis)
