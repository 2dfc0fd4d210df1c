"""The feeder on its geography, coloured by loading: one moment as a figure, all moments as compact frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    ScaleBar,
)
from bokeh.plotting import figure

from grid_cosim.plots.geometry import Geometry, geometry
from grid_cosim.plots.style import (
    FONT,
    INK,
    LOADING_MAX_PERCENT,
    loading_palette,
    style,
    voltage_palette,
)
from grid_cosim.plots.thinning import blocks, thinned
from grid_cosim.results import Run, StoredResults, Topology

LOADING_STEP_PERCENT = 0.1
VOLTAGE_STEP_PU = 1e-4
UNKNOWN = np.uint16(65_535)
"""Stands for a value that is not known: the run stopped before, or the power flow did not converge."""
MAX_FRAMES = 480
"""Moments on a map's slider at most; longer runs show the worst of each block of steps."""
_MAX_CELLS = 1_000_000
"""Values on a map at most, per run: large networks have fewer moments, but not less than these."""
_LEAST_FRAMES = 48


@dataclass(frozen=True)
class MapFrames:
    """What a map shows at every moment, as whole numbers of a step; `UNKNOWN` where there is nothing."""

    times: np.ndarray
    """(frames,) start of each moment."""
    line_loading: dict[str, np.ndarray]
    """Controller → (frames, lines) uint16, in `LOADING_STEP_PERCENT`."""
    limit_loading: dict[str, np.ndarray]
    """Controller → (frames, limits) uint16, in `LOADING_STEP_PERCENT` of the rating."""
    home_voltage: dict[str, np.ndarray]
    """Controller → (frames, homes) uint16, in `VOLTAGE_STEP_PU`; in a block of steps, the lowest."""
    steps_each: int = 1
    """Control steps of which a moment shows the worst."""

    def worst(self) -> tuple[str, int]:
        """Controller and frame with the largest loading of a limit."""
        peaks = {
            name: np.where(values == UNKNOWN, 0, values).max(axis=1, initial=0)
            for name, values in self.limit_loading.items()
        }
        controller = max(peaks, key=lambda name: peaks[name].max(initial=0))
        return controller, int(peaks[controller].argmax()) if len(self.times) else 0


def map_frames(results: StoredResults, *, max_frames: int = MAX_FRAMES) -> MapFrames:
    """All moments of all runs, in the order of the topology's lines, limits and homes."""
    topology = results.topology
    n_elements = len(topology.lines) + len(topology.limits) + len(topology.homes)
    most = int(np.clip(_MAX_CELLS // max(n_elements, 1), min(_LEAST_FRAMES, max_frames), max_frames))
    on = blocks(results, most=most, multiple_of=_recorded_every(results))

    def frames(run: Run, table: str, column: str, ids: pd.Series, step: float, how: str) -> np.ndarray:
        return _whole(thinned(run, table, {column: how}, ids.tolist(), on)[column], step)

    line, limit, voltage = {}, {}, {}
    for name, run in results.runs.items():
        percent = ("loading_percent", LOADING_STEP_PERCENT, "max")
        line[name] = frames(run, "lines", percent[0], topology.lines["line"], *percent[1:])
        limit[name] = _either_way(
            frames(run, "limits", percent[0], topology.limits["limit"], *percent[1:]),
            topology.limits["limit"],
        )
        voltage[name] = frames(run, "buses", "vm_pu", topology.homes["bus"], VOLTAGE_STEP_PU, "min")
    return MapFrames(on.begins, line, limit, voltage, on.steps_each)


def _either_way(loading: np.ndarray, limits: pd.Series) -> np.ndarray:
    """Loadings by limit, of an element with one each way the larger: below zero it is that of the other."""
    row_of = pd.Index(limits)
    other = row_of.get_indexer(limits.astype(str) + " reverse")
    return np.where(other >= 0, np.maximum(loading, loading[:, other]), loading)


def _recorded_every(results: StoredResults) -> int:
    """Steps from one recorded row of a line or bus to the next."""
    for run in results.runs.values():
        for table, elements in (("lines", results.topology.lines), ("buses", results.topology.buses)):
            steps = run.n_rows(table) / max(len(elements), 1)
            if steps >= 1.0:
                return max(1, round(run.n_rows("totals") / steps))
    return 1


def feeder_map(
    results: StoredResults, *, frames: MapFrames | None = None, controller: str | None = None
) -> figure:
    """The feeder at its worst moment: lines by loading, transformers by share of limit, homes as points.

    The sources are named `lines`, `limits` and `homes`; a page may replace their values.
    """
    frames = map_frames(results) if frames is None else frames
    worst_controller, moment = frames.worst()
    shown = worst_controller if controller is None else controller
    topology = results.topology
    places = geometry(topology)
    plot = figure(
        name="map",
        match_aspect=True,
        height=560,
        sizing_mode="stretch_width",
        tools="pan,wheel_zoom,reset,save",
        toolbar_location="above",
    )
    plot.toolbar.active_scroll = None
    style(plot)
    plot.axis.visible = False
    plot.grid.visible = False
    _draw_lines(plot, topology, places, _values(frames.line_loading[shown], moment, LOADING_STEP_PERCENT))
    _draw_homes(plot, topology, places, _values(frames.home_voltage[shown], moment, VOLTAGE_STEP_PU))
    loading = _values(frames.limit_loading[shown], moment, LOADING_STEP_PERCENT)
    _draw_limits(plot, topology, places, loading[squares(topology)])
    if places.located:
        plot.add_layout(_scale_bar(plot))
    return plot


def squares(topology: Topology) -> np.ndarray:
    """Rows of the limits that are drawn as squares: transformers, each once."""
    limits = topology.limits
    backward = limits["sense"] < 0 if "sense" in limits else False
    return np.flatnonzero((limits["element"] == "trafo") & ~backward)


def line_width(loading: np.ndarray) -> np.ndarray:
    """Pixels: busy lines are thicker, so that colour is not the only sign."""
    return np.asarray(np.clip(1.4 + 0.03 * np.nan_to_num(loading), 1.4, 5.0))


def _draw_lines(plot: figure, topology: Topology, places: Geometry, loading: np.ndarray) -> None:
    mapper = LinearColorMapper(
        name="loading", palette=loading_palette(), low=0.0, high=LOADING_MAX_PERCENT, nan_color="#9e9e9e"
    )
    source = ColumnDataSource(
        {
            "xs": places.line_xs,
            "ys": places.line_ys,
            "name": topology.lines["line"].to_numpy(),
            "loading": loading,
            "width": line_width(loading),
        },
        name="lines",
    )
    lines = plot.multi_line(
        "xs", "ys", source=source, line_color={"field": "loading", "transform": mapper}, line_width="width",
        line_cap="round", line_join="round",
    )  # fmt: skip
    plot.add_tools(
        HoverTool(
            renderers=[lines], tooltips=[("line", "@name"), ("loading", "@loading{0.0} %")], visible=False
        )
    )
    plot.add_layout(_colour_bar(mapper, "loading, %", FixedTicker(ticks=list(range(0, 121, 20)))), "right")


def _draw_limits(plot: figure, topology: Topology, places: Geometry, loading: np.ndarray) -> None:
    limits = topology.limits.iloc[squares(topology)]
    mapper = LinearColorMapper(
        name="loading", palette=loading_palette(), low=0.0, high=LOADING_MAX_PERCENT, nan_color="#9e9e9e"
    )
    source = ColumnDataSource(
        {
            "x": [places.bus[bus][0] for bus in limits["to_bus"]],
            "y": [places.bus[bus][1] for bus in limits["to_bus"]],
            "name": (limits["limit"] + " · " + limits["name"].astype(str)).to_numpy(),
            "rated_kva": limits["rated_kva"].to_numpy(),
            "limit_percent": limits["limit_percent"].to_numpy(),
            "loading": loading,
            "of_limit": 100.0 * loading / limits["limit_percent"].to_numpy(),
        },
        name="limits",
    )
    drawn = plot.scatter(
        "x", "y", source=source, marker="square", size=_size(len(limits), 19.0, 13.0),
        line_color="#ffffff", line_width=2,
        fill_color={"field": "of_limit", "transform": mapper},
    )  # fmt: skip
    tips = [
        ("transformer", "@name"),
        ("loading", "@loading{0.0} %"),
        ("limit", "@limit_percent{0} % of @rated_kva{0} kVA"),
    ]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips, visible=False))


def _draw_homes(plot: figure, topology: Topology, places: Geometry, vm_pu: np.ndarray) -> None:
    mapper = LinearColorMapper(
        name="voltage",
        palette=voltage_palette(),
        low=0.9,
        high=1.1,
        nan_color="#9e9e9e",
    )
    homes = topology.homes
    source = ColumnDataSource(
        {
            "x": [places.bus[bus][0] for bus in homes["bus"]],
            "y": [places.bus[bus][1] for bus in homes["bus"]],
            "name": homes["household"].to_numpy(),
            "bus": homes["bus"].to_numpy(),
            "vm_pu": vm_pu,
        },
        name="homes",
        tags=[mapper],
    )
    points = plot.scatter(
        "x",
        "y",
        source=source,
        size=_size(len(homes), 6.5, 3.5),
        fill_color="#8a949d",
        line_color="#ffffff",
        line_width=0.5,
        name="homes",
    )
    tips = [("home", "@name"), ("bus", "@bus"), ("voltage", "@vm_pu{0.0000} pu")]
    plot.add_tools(HoverTool(renderers=[points], tooltips=tips, visible=False))
    bar = _colour_bar(mapper, "voltage, pu", BasicTicker(desired_num_ticks=5))
    bar.name, bar.visible = "voltage", False
    plot.add_layout(bar, "right")


def _size(n_marks: int, few: float, many: float) -> float:
    """Pixels: marks shrink where there are many."""
    return float(np.interp(np.log10(max(n_marks, 1)), [1.5, 3.3], [few, many]))


def _scale_bar(plot: figure) -> ScaleBar:
    return ScaleBar(
        range=plot.x_range,
        unit="m",
        location="bottom_left",
        background_fill_alpha=0.0,
        border_line_alpha=0.0,
        bar_line_color=INK,
        label_text_color=INK,
        label_text_font=FONT,
        label_text_font_size="12px",
    )


def _colour_bar(mapper: LinearColorMapper, title: str, ticker: FixedTicker | BasicTicker) -> ColorBar:
    return ColorBar(
        color_mapper=mapper,
        title=title,
        ticker=ticker,
        width=10,
        padding=10,
        background_fill_alpha=0.0,
        bar_line_color=None,
        major_tick_line_color=None,
        major_label_text_color=INK,
        major_label_text_font=FONT,
        major_label_text_font_size="12px",
        title_text_color=INK,
        title_text_font=FONT,
        title_text_font_size="12px",
        title_text_font_style="normal",
    )


def _whole(worst: np.ndarray, step: float) -> np.ndarray:
    """(frames, ids) as whole numbers of a step."""
    known = np.isfinite(worst)
    whole = np.clip(np.round(np.where(known, worst, 0.0) / step), 0, int(UNKNOWN) - 1).astype(np.uint16)
    return np.where(known, whole, UNKNOWN).astype(np.uint16)


def _values(frames: np.ndarray, moment: int, step: float) -> np.ndarray:
    """One frame in its own unit, NaN where unknown."""
    if not len(frames):
        return np.full(frames.shape[1], np.nan)
    whole = frames[moment]
    return np.where(whole == UNKNOWN, np.nan, whole * step)
