"""All that moves on the page: figures on one time axis, and what its script needs of them and of the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import Axis, ColumnDataSource, CustomJS, Span
from bokeh.plotting import figure

from grid_cosim import plots
from grid_cosim.plots.feeder_map import LOADING_STEP_PERCENT, VOLTAGE_STEP_PU
from grid_cosim.plots.style import by_day, loading_palette, voltage_palette
from grid_cosim.plots.thinning import blocks
from grid_cosim.report.cases import Cases
from grid_cosim.report.map_data import feeder_data, frame_data

CURVES = {
    "loading": plots.transformer_loading,
    "price": plots.price,
    "tariff": plots.tariff,
    "energy_served": plots.energy_served,
    "energy_unserved": plots.energy_unserved,
    "energy_owed": plots.energy_owed,
    "temperature": plots.indoor_temperature,
}
"""All figures that a page may have."""
_SEEK = "window.dispatchEvent(new CustomEvent('seek', {detail: cb_obj.x}))"
_INKED = {
    Axis: ["major_label_text_color", "axis_label_text_color"],
    Span: ["line_color"],
}
"""What has the colour of quiet text, which is another one on a dark page."""


@dataclass(frozen=True)
class Entry:
    """One name in a legend."""

    label: str
    colour: str
    dash: str
    """As SVG has it."""
    curves: Sequence[str]
    """Ids of what a click hides."""


@dataclass(frozen=True)
class Drawing:
    """Figures and map of a page."""

    figures: Mapping[str, figure]
    """By their name; those that would be empty are left out."""
    payload: Mapping[str, Any]
    """For the page's script."""
    colours: Mapping[str, str]
    """Of each run."""
    legends: Mapping[str, Sequence[Entry]]
    """Figure → its curves."""
    n_moments: int
    """On the slider."""
    each: Mapping[str, str]
    """How long a point of the `curves` and a moment of the `map` last, in words; empty where it is a step."""
    notes: Mapping[str, str]
    """Case → what a reader must know of the places on its map."""


def draw(cases: Cases) -> Drawing:
    """All figures, and the map of every case at every moment."""
    figures = _figures(cases)
    frames = {case: plots.map_frames(results) for case, results in cases.each.items()}
    feeders = {case: feeder_data(results.topology) for case, results in cases.each.items()}
    colours = plots.controller_colours(cases.together.runs)
    payload = _payload(cases, frames, {case: data for case, (data, _) in feeders.items()}, colours)
    return Drawing(
        figures=figures,
        payload=payload | {"ids": _ids(figures)},
        colours=colours,
        legends={name: _legend(plot) for name, plot in figures.items()},
        n_moments=len(payload["times"]),
        each=_each(cases, frames),
        notes={case: note for case, (_, note) in feeders.items()},
    )


def _figures(cases: Cases) -> dict[str, figure]:
    """On one time axis."""
    together = cases.together
    wanted = {name: curve for name, curve in CURVES.items() if name != "tariff" or not cases.several}
    curves: dict[str, figure] = {}
    for name, curve in wanted.items():
        curves[name] = curve(together, x_range=curves["loading"].x_range if curves else None)
    drawn = {name: plot for name, plot in curves.items() if plot.renderers}
    for plot in drawn.values():
        plot.js_on_event("tap", CustomJS(code=_SEEK))
        if cases.by_day:
            by_day(plot)
    return drawn


def _legend(plot: figure) -> list[Entry]:
    """For a legend of the page, which folds where there is little room; the figure's own is hidden."""
    entries = []
    for legend in plot.legend:
        legend.visible = False
        for item in legend.items:
            glyph = item.renderers[-1].glyph
            dash = " ".join(map(str, glyph.line_dash))
            curves = [renderer.id for renderer in item.renderers]
            entries.append(Entry(item.label.value, glyph.line_color, dash, curves))
    return entries


def _payload(
    cases: Cases,
    frames: Mapping[str, plots.MapFrames],
    feeders: Mapping[str, dict[str, Any]],
    colours: Mapping[str, str],
) -> dict[str, Any]:
    times = {
        case: _milliseconds(of_case.times) + 86_400_000 * cases.days_later[case]
        for case, of_case in frames.items()
    }
    every = np.unique(np.concatenate(list(times.values())))
    packed = {case: frame_data(results, frames[case]) for case, results in cases.each.items()}
    columns = [
        {
            "name": column.name,
            "case": column.case,
            "colour": colours[column.name],
            "worst": _worst_time(times[column.case], frames[column.case], column.controller),
            "frames": packed[column.case][column.controller],
        }
        for column in cases.columns
    ]
    start, moment = _start(cases, frames, times)
    return {
        "times": every.tolist(),
        "by_day": cases.by_day,
        "day_one": int(every[0] // 86_400_000 * 86_400_000) if every.size else 0,
        "cases": {case: {"times": of_case.tolist()} for case, of_case in times.items()},
        "feeders": dict(feeders),
        "columns": columns,
        "start": {"column": start, "moment": int(np.searchsorted(every, moment))},
        "step": {"loading": LOADING_STEP_PERCENT, "voltage": VOLTAGE_STEP_PU},
        "palettes": {
            "light": loading_palette(),
            "dark": loading_palette(dark=True),
            "voltage": voltage_palette(),
        },
    }


def _milliseconds(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[ms]").astype(np.int64)


def _worst_time(times: np.ndarray, frames: plots.MapFrames, controller: str) -> int:
    _, moment = frames.worst([controller])
    return int(times[moment]) if times.size else 0


def _start(
    cases: Cases, frames: Mapping[str, plots.MapFrames], times: Mapping[str, np.ndarray]
) -> tuple[str, int]:
    """Name of the run and time at which the first case is at its worst."""
    case = next(iter(cases.each))
    controller, moment = frames[case].worst()
    name = next(c.name for c in cases.columns if (c.case, c.controller) == (case, controller))
    return name, int(times[case][moment]) if times[case].size else 0


def _ids(figures: Mapping[str, figure]) -> dict[str, Any]:
    """Of the models that the script changes."""
    return {
        "figures": [
            {
                "id": plot.id,
                "name": name,
                "cursor": span.id,
                "ticker": plot.xaxis[0].ticker.id,
                "ticks": plot.xaxis[0].ticker.desired_num_ticks,
            }
            for name, plot in figures.items()
            for span in plot.select({"type": Span})
            if span.name == "cursor"
        ],
        "by_limit": [
            source.id
            for plot in figures.values()
            for source in plot.select({"type": ColumnDataSource})
            if "switch_limit" in source.tags
        ],
        "inked": [
            {"id": model.id, "properties": properties}
            for plot in figures.values()
            for kind, properties in _INKED.items()
            for model in plot.select({"type": kind})
        ],
    }


def _each(cases: Cases, frames: Mapping[str, plots.MapFrames]) -> dict[str, str]:
    dt_h = cases.together.basis.dt_h
    longest = max(frames.values(), key=lambda of_case: len(of_case.times))
    steps = {"curves": blocks(cases.together).steps_each, "map": longest.steps_each}
    return {
        name: _duration(n * dt_h) if n > 1 and len(longest.times) > 1 else "" for name, n in steps.items()
    }


def _duration(hours: float) -> str:
    return f"{round(60 * hours)} min" if hours < 1.0 else f"{hours:g} h"
