"""What the figures of all studies share. Plain matplotlib without its global state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Figure

from grid_cosim.plots.paper.style import COMMON
from grid_cosim.plots.style import controller_colours

_STYLE: dict[str, Any] = {
    **COMMON,
    "axes.titlesize": 9,
    "font.size": 9,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.5,
}

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito 2008, "Color Universal Design"."""

_WIDTH, _HEIGHT = 3.4, 2.8
_APART = 1.35
"""Ratio of two ticks in a row at least."""


def drawn(draw: Callable[[pd.DataFrame], Figure], table: pd.DataFrame, path: Path) -> None:
    """Draw a table in the look of all studies, as an SVG that is the same whenever the numbers are."""
    with mpl.rc_context(_STYLE):
        draw(table).savefig(path, format="svg", metadata={"Date": None})


def panels(*titles: str, columns: int = 3) -> tuple[Figure, list[Any]]:
    """A figure with titled panels, up to `columns` beside each other."""
    rows, beside = -(-len(titles) // columns), min(columns, len(titles))
    figure = Figure(figsize=(_WIDTH * beside, _HEIGHT * rows), layout="constrained")
    axes = list(figure.subplots(rows, beside, squeeze=False).ravel())
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title)
    return figure, axes


def colours(names: Sequence[str]) -> dict[str, str]:
    """Controllers as in the report, anything else in the palette's order."""
    if "consensus" in names:
        return controller_colours(names)
    return dict(zip(dict.fromkeys(names), PALETTE * len(names), strict=False))


def log_ticks(axis: Any, values: Sequence[float] | pd.Series, label: str) -> None:
    """A logarithmic x axis with ticks at the values that occur, but for those that would touch another."""
    ticks: list[float] = []
    for value in np.unique(np.asarray(values, dtype=float)):
        if not ticks or value >= _APART * ticks[-1]:
            ticks.append(float(value))
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlabel(label)


def with_intervals(axis: Any, table: pd.DataFrame, x: str, *, label: str, colour: str) -> None:
    """A curve of `mean` over `x` with bars from `low` to `high`."""
    mean, low, high = (table[name].to_numpy() for name in ("mean", "low", "high"))
    axis.errorbar(
        table[x],
        mean,
        yerr=np.stack([mean - low, high - mean]),
        label=label,
        color=colour,
        marker="o",
        capsize=2,
    )


def legend_below(figure: Figure, axis: Any, *, columns: int = 7) -> None:
    """One legend for all panels: that of `axis`."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
