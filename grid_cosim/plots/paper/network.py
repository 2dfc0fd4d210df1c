"""The network as a map for papers: lines and transformers coloured by their largest loading."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize

from grid_cosim.plots.feeder_map import squares
from grid_cosim.plots.geometry import Geometry, geometry
from grid_cosim.plots.paper.style import INK, SINGLE_MM, Figure, hands, in_the_look, sheet
from grid_cosim.plots.style import LOADING_MAX_PERCENT, loading_palette
from grid_cosim.results import Run, StoredResults

_UNKNOWN = "#b5b5b5"
_HOME = "#8a8a8a"
_PANEL_MM = 58.0
"""Width from which on a map can be read; so many of them stand side by side."""
_LOWEST_MM, _HIGHEST_MM = 12.0, 110.0
_TITLE_MM, _BAR_MM = 4.5, 13.0
_NOTE_POINT, _LINE_MM, _LETTER_MM = 6.0, 2.6, 1.2
"""What is said below: size of its letters, height of a line, width of a letter."""
_MARGIN = 0.03
"""Around a map, of its longer side."""
_TREE_ASPECT = 0.6
_POINT = 1e-6
"""Size that a network of one place is given."""


@in_the_look
def network(
    results: StoredResults, *, controllers: Sequence[str] | None = None, width_mm: float = SINGLE_MM
) -> Figure:
    """A map per controller: lines by their largest loading, transformers by that as a share of the limit.

    On the ground where the network has coordinates, with a scale; else as a tree, which is said below, as it
    is where places are estimated. Grey: not recorded; thin and grey: transformers and closed switches.
    """
    names = list(hands(results, controllers))
    places = geometry(results.topology)
    frame = _frame(places)
    columns = int(np.clip(width_mm // _PANEL_MM, 1, len(names)))
    rows = -(-len(names) // columns)
    tall_mm = float(np.clip(width_mm / columns * frame.aspect, _LOWEST_MM, _HIGHEST_MM))
    note = textwrap.wrap(places.note, int(width_mm / _LETTER_MM))
    figure, axes = sheet(
        width_mm,
        rows * (tall_mm + _TITLE_MM) + _BAR_MM + _LINE_MM * len(note),
        rows=rows,
        columns=columns,
        gap=0.06,
    )
    scale = ScalarMappable(
        Normalize(0.0, LOADING_MAX_PERCENT), ListedColormap(loading_palette()).with_extremes(bad=_UNKNOWN)
    )
    for axis, name in zip(axes, names, strict=False):
        _draw(axis, results, results.runs[name], places, scale)
        axis.set(xlim=frame.x, ylim=frame.y, aspect="equal" if places.located else "auto", title=name)
    for axis in axes:
        axis.set_axis_off()
    if places.located:
        _scale_bar(axes[0], places)
    bar = figure.colorbar(
        scale, ax=axes, location="bottom", aspect=45, extend="max", pad=0.01, fraction=0.05, shrink=0.9
    )
    bar.set_label("largest loading, %: lines of their rating, transformers of their limit")
    bar.set_ticks(list(range(0, int(LOADING_MAX_PERCENT) + 1, 20)))
    bar.outline.set_visible(False)
    if note:
        figure.supxlabel("\n".join(note), fontsize=_NOTE_POINT, linespacing=1.1)
    return figure


def _draw(axis: Any, results: StoredResults, run: Run, places: Geometry, scale: ScalarMappable) -> None:
    topology = results.topology
    lines = _peaks(run, "line_summary", "line", "loading_max_percent", topology.lines["line"])
    paths = [np.column_stack(xy) for xy in zip(places.line_xs, places.line_ys, strict=True)]
    width = np.clip(0.5 + 0.012 * np.nan_to_num(lines), 0.5, 2.2)
    drawn = LineCollection(
        paths, colors=scale.to_rgba(np.ma.masked_invalid(lines)), linewidths=width, capstyle="round",
        label="lines", zorder=2,
    )  # fmt: skip
    axis.add_collection(drawn)
    links = [np.column_stack(xy) for xy in zip(places.link_xs, places.link_ys, strict=True)]
    axis.add_collection(
        LineCollection(links, colors=_HOME, linewidths=0.6, label="transformers and switches", zorder=1)
    )
    homes = np.array([places.bus[bus] for bus in topology.homes["bus"]]).reshape(-1, 2)
    size = float(np.interp(np.log10(max(len(homes), 1)), [1.5, 3.5], [4.0, 0.3]))
    axis.scatter(*homes.T, s=size, color=_HOME, linewidths=0.0, zorder=3, label="homes")
    limits = topology.limits.iloc[squares(topology)]
    at = np.array([places.bus[bus] for bus in limits["to_bus"]]).reshape(-1, 2)
    peaks = _peaks(run, "limit_summary", "limit", "peak_of_limit_percent", limits["limit"])
    axis.scatter(
        *at.T, s=float(np.interp(np.log10(max(len(at), 1)), [0.0, 2.0], [42.0, 12.0])), marker="s",
        c=scale.to_rgba(np.ma.masked_invalid(peaks)), edgecolors=INK, linewidths=0.6, zorder=4,
        label="transformers",
    )  # fmt: skip


def _peaks(run: Run, table: str, key: str, column: str, ids: Any) -> Float[np.ndarray, " elements"]:
    """Of each element; NaN where nothing is recorded."""
    known = run.table(table).astype({key: object}).set_index(key)[column]
    return known.reindex(ids.astype(object)).to_numpy(dtype=float)


@dataclass(frozen=True)
class _Frame:
    """What all maps of a figure show of the plane."""

    x: tuple[float, float]
    y: tuple[float, float]
    aspect: float
    """Height over width on the page."""


def _frame(places: Geometry) -> _Frame:
    """All buses and lines, with a margin, and room for the scale below."""
    points = _points(places)
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    wide, tall = max(right - left, _POINT), max(high - low, _POINT)
    margin = _MARGIN * max(wide, tall if places.located else wide)
    x = (float(left - margin), float(right + margin))
    if not places.located:
        return _Frame(x, (float(low - _MARGIN * tall), float(high + _MARGIN * tall)), _TREE_ASPECT)
    y = (float(low - 3.0 * margin), float(high + margin))
    return _Frame(x, y, (y[1] - y[0]) / (x[1] - x[0]))


def _points(places: Geometry) -> Float[np.ndarray, "points xy"]:
    xs, ys = [*places.line_xs, *places.link_xs], [*places.line_ys, *places.link_ys]
    paths = [np.column_stack(xy) for xy in zip(xs, ys, strict=True)]
    return np.concatenate([np.array(list(places.bus.values())), *paths])


def _scale_bar(axis: Any, places: Geometry) -> None:
    """A round number of metres, a quarter of the width at most, below the map on the left."""
    left, low = _points(places).min(axis=0)
    quarter = 0.25 * (axis.get_xlim()[1] - axis.get_xlim()[0])
    power = 10.0 ** np.floor(np.log10(quarter))
    metres = max(step * power for step in (1.0, 2.0, 5.0) if step * power <= quarter)
    below = 0.4 * low + 0.6 * axis.get_ylim()[0]
    axis.plot([left, left + metres], [below, below], color=INK, linewidth=1.2, solid_capstyle="butt")
    label = f"{metres:,.0f} m" if metres < 1_000.0 else f"{metres / 1_000.0:,.0f} km"
    axis.annotate(
        label,
        (left + metres, below),
        xytext=(3.0, 0.0),
        textcoords="offset points",
        va="center",
        fontsize=6.0,
    )
