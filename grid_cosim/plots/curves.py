"""Curves over time: loading, price, energy and temperature, one colour per controller.

Each figure has one source, with a column `<quantity> <controller>` per curve. Figures of a limit also hold
`<limit>/<quantity> <controller>` for every limit, and tag the source with the columns that a switch replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Span
from bokeh.plotting import figure

from grid_cosim.plots.style import (
    BETWEEN,
    INK,
    block_starts,
    controller_colours,
    dashes,
    from_zero,
    style_legend,
    time_figure,
)
from grid_cosim.plots.thinning import Blocks, blocks, thinned
from grid_cosim.results import Run, StoredResults

_BOUND: dict[str, Any] = {"line_color": INK, "line_width": 1.3}
"""The look of a limit."""

MOST_LIMITS = 24
"""Limits whose curves a page holds at most, the most loaded ones."""


def limits_shown(results: StoredResults) -> list[str]:
    """The limits that can be looked at: the most loaded in any run first, the others as in the topology."""
    summaries = [run.table("limit_summary") for run in results.runs.values()]
    known = pd.concat(
        [part.astype({"limit": object}).set_index("limit")["peak_of_limit_percent"] for part in summaries]
    ).dropna()
    peaks = known.groupby(level=0).max().sort_values(ascending=False, kind="stable")
    every = results.topology.limits["limit"].astype(str).tolist()
    first = str(known.idxmax()) if len(known) else every[0]
    loaded = set(peaks.index[:MOST_LIMITS]) if len(peaks) else set(every[:MOST_LIMITS])
    others = [limit for limit in every if limit != first]
    if len(every) > MOST_LIMITS:
        others = [limit for limit in others if limit in loaded][: MOST_LIMITS - 1]
    return [first, *others]


def transformer_loading(results: StoredResults, *, limit: str | None = None, x_range: Any = None) -> figure:
    """AC loading of one limit under every controller, one value per control step, with the limit drawn."""
    plot = time_figure(name="loading", y_label="loading, % of rating", height=320, x_range=x_range)
    columns = ["loading_percent", "limit_percent"]
    source, runs = _limit_source(results, columns, limit)
    dash = dashes(results.runs)
    for controller, colour in runs.items():
        look = {"source": source, "mode": "after", "legend_label": controller, "line_dash": dash[controller]}
        plot.step("time", f"loading_percent {controller}", color=colour, line_width=2, **look)
    for controller in {name.rpartition(BETWEEN)[0]: name for name in reversed(runs)}.values():
        look = {"source": source, "mode": "after", "legend_label": "limit"}
        plot.step("time", f"limit_percent {controller}", **_BOUND, **look)
    _finish(plot, source, list(runs), "@{loading_percent %s}{0.0} %%", from_zero_up=True)
    return plot


_ROOM_ABOVE = 1.8
"""Height of the price axis over the largest agreed price: room for the band of the copies."""


def price(results: StoredResults, *, limit: str | None = None, x_range: Any = None) -> figure:
    """Congestion price of one limit: mean of its members' copies, in the band from smallest to largest."""
    plot = time_figure(name="price", y_label="congestion price, EUR/kWh", height=300, x_range=x_range)
    mean, low, high = (f"price_{which}_eur_per_kwh" for which in ("mean", "min", "max"))
    priced = [name for name, run in results.runs.items() if run.table("totals")["priced_limits"].any()]
    source, runs = _limit_source(results, [mean, low, high], limit, priced)
    common = [name for name in priced if _is_common(results.runs[name])]
    dash = dashes(results.runs)
    for controller, colour in runs.items():
        look = {"source": source, "legend_label": controller}
        if controller in common or not common:
            band = {"step_mode": "after", "fill_color": colour, "fill_alpha": 0.22}
            plot.varea_step("time", f"{low} {controller}", f"{high} {controller}", **band, **look)
        line = {"mode": "after", "color": colour, "line_width": 2, "line_dash": dash[controller]}
        plot.step("time", f"{mean} {controller}", **line, **look)
    value = f"@{{{mean} %s}}{{0.000}} (@{{{low} %s}}{{0.000}} – @{{{high} %s}}{{0.000}}) EUR/kWh"
    _finish(plot, source, list(runs), value, from_zero_up=True)
    if common and runs:  # private prices of homes that do not talk may be anything: no axis is theirs
        plot.y_range.end = _ROOM_ABOVE * max(
            results.runs[name].table("limit_summary")["price_max_eur_per_kwh"].max() for name in common
        )
    return plot


def _is_common(run: Run) -> bool:
    """Whether homes have the price together: they agree on it by messages, or it is given to all alike."""
    totals = run.table("totals")
    return bool(totals["messages"].any() or (totals["price_spread_eur_per_kwh"] == 0.0).all())


def tariff(results: StoredResults, *, x_range: Any = None) -> figure:
    """What energy costs, the same for every controller; nothing is drawn where it never changes."""
    plot = time_figure(name="tariff", y_label="tariff, EUR/kWh", height=220, x_range=x_range)
    longest = max((run.table("totals") for run in results.runs.values()), key=len)
    price = longest.set_index("time")["tariff_eur_per_kwh"]
    if price.nunique() > 1:
        starts = block_starts(len(price))
        largest = np.fmax.reduceat(price.to_numpy(), starts)
        source = ColumnDataSource({"time": price.index.to_numpy()[starts], "price tariff": largest})
        look = {"source": source, "mode": "after", "legend_label": "tariff"}
        plot.step("time", "price tariff", color=INK, line_width=2, **look)
        _finish(plot, source, ["tariff"], "@{price %s}{0.000} EUR/kWh", from_zero_up=price.min() >= 0.0)
    return plot


def energy_served(results: StoredResults, *, x_range: Any = None) -> figure:
    """Energy delivered so far (solid), of the energy asked for so far (dashed): of kinds that ask for any."""
    plot = time_figure(name="energy_served", y_label="delivered so far, kWh", n_ticks=4, x_range=x_range)
    _energy(plot, results, "served_kwh", asked="asked_kwh")
    return plot


def energy_unserved(results: StoredResults, *, x_range: Any = None) -> figure:
    """Energy so far that was not delivered by its deadline."""
    plot = time_figure(name="energy_unserved", y_label="missed so far, kWh", n_ticks=4, x_range=x_range)
    _energy(plot, results, "unserved_kwh")
    return plot


def energy_owed(results: StoredResults, *, x_range: Any = None) -> figure:
    """Backlog: energy asked for and not yet delivered, deadline still to come."""
    plot = time_figure(name="energy_owed", y_label="owed now, kWh", n_ticks=4, x_range=x_range)
    _energy(plot, results, "owed_kwh", running=False)
    return plot


def indoor_temperature(results: StoredResults, *, x_range: Any = None) -> figure:
    """Temperatures of homes: median, the band that holds 90 % of them, and the comfort bound if known."""
    plot = time_figure(name="temperature", y_label="indoor temperature, °C", height=320, x_range=x_range)
    source, runs = _source(results, _temperature_band)
    dash = dashes(results.runs)
    for controller, colour in runs.items():
        look = {"source": source, "legend_label": controller}
        band = {"fill_color": colour, "fill_alpha": 0.16}
        plot.varea("time", f"low {controller}", f"high {controller}", **band, **look)
        line = {"color": colour, "line_width": 2, "line_dash": dash[controller]}
        plot.line("time", f"median {controller}", **line, **look)
    if runs and results.basis.comfort_low_c is not None:
        plot.add_layout(
            Span(
                name="comfort",
                dimension="width",
                location=results.basis.comfort_low_c,
                line_dash="6 4",
                **_BOUND,
            )
        )
    _finish(plot, source, list(runs), "@{median %s}{0.0} °C (@{low %s}{0.0} – @{high %s}{0.0})")
    return plot


def _temperature_band(run: Run) -> pd.DataFrame:
    columns = {f"temperature_{name}_c": name for name in ("low", "median", "high")}
    band = run.table("totals").set_index("time")[list(columns)].rename(columns=columns)
    return band[band["median"].notna()]


def _energy(
    plot: figure, results: StoredResults, column: str, *, asked: str | None = None, running: bool = True
) -> None:
    """Sums over all devices, per step or running."""
    columns = [column, asked] if asked else [column]

    def sums(run: Run) -> pd.DataFrame:
        totals = run.table("totals")
        if asked and asked not in totals:  # a folder from before roofs
            totals = totals.assign(**{asked: totals["requested_kwh"]})
        per_step = totals.set_index("time")[columns].dropna()
        return per_step.cumsum() if running else per_step

    source, runs = _source(results, sums)
    dash = dashes(results.runs)
    for controller, colour in runs.items():
        look = {"source": source, "color": colour, "legend_label": controller}
        if asked:
            plot.line("time", f"{asked} {controller}", line_width=1.0, line_dash="1 3", **look)
        plot.line("time", f"{column} {controller}", line_width=2, line_dash=dash[controller], **look)
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    _finish(plot, source, list(runs), f"@{{{column} %s}}{{0,0.0}} kWh", from_zero_up=True)


def _limit_source(
    results: StoredResults, columns: list[str], shown: str | None, controllers: list[str] | None = None
) -> tuple[ColumnDataSource, dict[str, str]]:
    """The columns of the limits that can be looked at, and under their own names those of the one shown.

    Long runs are thinned to the largest value of each block of steps, smallest copies to the smallest.
    """
    limits = limits_shown(results)
    shown = limits[0] if shown is None else shown
    limits = limits if shown in limits else [shown, *limits]
    names = [
        name
        for name in (results.runs if controllers is None else controllers)
        if results.runs[name].n_rows("limits")
    ]
    if not names:
        return ColumnDataSource({"time": []}), {}
    on = blocks(results)
    data: dict[str, np.ndarray] = {"time": on.begins}
    for name in names:
        how = {column: "min" if "_min_" in column else "max" for column in columns}
        worst = thinned(results.runs[name], "limits", how, limits, on)
        for column, values in worst.items():
            of_limit = _held(values, results.runs[name], on).T.astype(np.float32)
            data[f"{column} {name}"] = of_limit[limits.index(shown)]
            data |= {f"{limit}/{column} {name}": row for limit, row in zip(limits, of_limit, strict=True)}
    source = ColumnDataSource(data)
    source.tags = ["switch_limit", *(f"{column} {name}" for name in names for column in columns)]
    colours = controller_colours(results.runs)
    return source, {name: colours[name] for name in names}


def _source(
    results: StoredResults, of_run: Callable[[Run], pd.DataFrame], controllers: list[str] | None = None
) -> tuple[ColumnDataSource, dict[str, str]]:
    """One source for all runs that have rows, on their common time axis, and the colours of those runs.

    Long runs are thinned to the largest value of each block of steps, "low" columns to the smallest.
    """
    parts = {}
    for controller in results.runs if controllers is None else controllers:
        part = of_run(results.runs[controller])
        if len(part):
            parts[controller] = part.set_axis([f"{column} {controller}" for column in part.columns], axis=1)
    if not parts:
        return ColumnDataSource({"time": []}), {}
    together = _coarser_held(pd.concat(parts.values(), axis=1).sort_index(), results, parts)
    starts = block_starts(len(together))
    data = {"time": together.index.to_numpy()[starts]}
    for name in together.columns:
        thin = np.fmin if name.startswith("low ") else np.fmax
        data[name] = thin.reduceat(together[name].to_numpy(), starts)
    colours = controller_colours(results.runs)
    return ColumnDataSource(data), {controller: colours[controller] for controller in parts}


def _held(values: np.ndarray, run: Run, on: Blocks) -> np.ndarray:
    """Values by block and element; a run of longer steps than others keeps its value until the next one."""
    times = run.table("totals", ["time"])["time"].to_numpy()
    own = np.zeros(len(values), dtype=bool)
    own[on.of(times)] = True
    last = np.where(own, np.arange(len(own)), 0)
    until = np.flatnonzero(own).max(initial=0)
    kept = np.maximum.accumulate(last)[: until + 1]
    return np.concatenate([values[kept], values[until + 1 :]])


def _coarser_held(
    together: pd.DataFrame, results: StoredResults, parts: dict[str, pd.DataFrame]
) -> pd.DataFrame:
    """The same for columns over time, at times between the steps of a run."""
    for controller, part in parts.items():
        times = results.runs[controller].table("totals", ["time"])["time"]
        between = ~together.index.isin(times) & (together.index <= times.max())
        if between.any():
            columns = list(part.columns)
            together.loc[between, columns] = together[columns].ffill()[between]
    return together


def _finish(
    plot: figure, source: ColumnDataSource, controllers: list[str], value: str, *, from_zero_up: bool = False
) -> None:
    """Range, legend, and one tooltip that tells all curves at the time under the pointer."""
    if not controllers:
        return
    heights = np.stack([values for name, values in source.data.items() if name != "time"])
    if from_zero_up:
        plot.y_range = from_zero(float(np.nanmax(heights)))
    middle = 0.5 * (np.nanmin(heights) + np.nanmax(heights))
    source.data["under_pointer"] = np.full(heights.shape[1], middle, dtype=np.float32)
    traced = plot.line("time", "under_pointer", source=source, line_alpha=0.0)
    rows = [(name, value.replace("%s", name).replace("%%", "%")) for name in controllers]
    plot.add_tools(
        HoverTool(
            renderers=[traced],
            mode="vline",
            line_policy="prev",
            point_policy="follow_mouse",
            tooltips=[("time", "@time{%a %d %b %H:%M}"), *rows],
            formatters={"@time": "datetime"},
            visible=False,
        )
    )
    style_legend(plot)
