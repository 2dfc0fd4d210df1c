"""What figures for papers share: sizes, fonts, colours, and files that do not differ from day to day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure as Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import TextPath

from grid_cosim.errors import GridCosimError, UnknownNameError
from grid_cosim.plots.style import controller_colours
from grid_cosim.results import StoredResults

SINGLE_MM = 88.0
"""Width of one column of a journal such as those of IEEE and Elsevier, at most."""
DOUBLE_MM = 180.0
"""Width of both."""
WIDEST_MM = 400.0
NARROWEST_MM = 60.0
FORMATS = ("svg", "pdf", "png")

INK = "#333333"
LIMIT_COLOUR = "#000000"
PNG_DOTS_PER_INCH = 300

_MM_PER_INCH = 25.4
_POINTS_PER_INCH = 72.0
_POINT = 7.0

# Colour is not the only sign: the second tells controllers apart in print without colours, too.
_DASHES: Mapping[str, Any] = {
    "uncontrolled": "solid",
    "independent": (0, (3.5, 1.2)),
    "consensus": "solid",
    "centralised": (0, (5.0, 1.2, 1.0, 1.2)),
    "dimming": (0, (1.2, 1.0)),
    "time_of_use": (0, (7.0, 1.5)),
    "optimum": (0, (2.0, 0.8)),
}

COMMON: Mapping[str, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "grid_cosim",  # else every drawing of the same numbers is another file
}
"""What these figures have in common with those of the studies."""

LOOK: Mapping[str, Any] = {
    **COMMON,
    "axes.edgecolor": INK,
    "axes.formatter.useoffset": False,
    "axes.labelcolor": INK,
    "axes.labelsize": _POINT,
    "axes.linewidth": 0.5,
    "axes.titlesize": _POINT,
    "axes.unicode_minus": True,
    "axes.xmargin": 0.0,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": _POINT,
    "grid.linewidth": 0.4,
    "legend.fontsize": _POINT - 0.5,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.0,
    "lines.linewidth": 1.0,
    "pdf.fonttype": 42,  # TrueType: what journals ask for, and text stays text
    "savefig.dpi": PNG_DOTS_PER_INCH,
    "svg.fonttype": "path",  # outlines: the same wherever it is shown
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": _POINT - 0.5,
    "xtick.major.width": 0.5,
    "ytick.color": INK,
    "ytick.labelsize": _POINT - 0.5,
    "ytick.major.width": 0.5,
}

_P = ParamSpec("_P")


def in_the_look(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw with our settings, whatever matplotlib's are, and leave those as they were."""

    @wraps(draw)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with _look():
            return draw(*args, **kwargs)

    return inside


@contextmanager
def _look() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(LOOK)
        yield


class NothingToDrawError(GridCosimError):
    """Results in which there is nothing of what a figure shows."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(f"{what}: nothing to draw." + (f" {remedy}" if remedy else ""))


@dataclass(frozen=True)
class Hand:
    """How one controller is drawn."""

    colour: str
    dashes: Any
    width: float = 1.0

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of a curve."""
        return {"color": self.colour, "linestyle": self.dashes, "linewidth": self.width}


def hands(results: StoredResults, controllers: Sequence[str] | None = None) -> dict[str, Hand]:
    """The controllers that were asked for, in the order of running, each as it looks in every figure.

    Raises `UnknownNameError` for one that did not run, and `GridCosimError` for none.
    """
    for name in controllers if controllers is not None else ():
        if name not in results.runs:
            raise UnknownNameError("controller", name, results.runs, place="in these results")
    wanted = [name for name in results.runs if controllers is None or name in controllers]
    if not wanted:
        raise GridCosimError("No controller is left to draw: name one at least.")
    colours = controller_colours(results.runs)
    return {name: Hand(colours[name], _DASHES.get(name, "solid")) for name in wanted}


def sheet(
    width_mm: float,
    height_mm: float,
    *,
    rows: int = 1,
    columns: int = 1,
    share_x: bool = False,
    gap: float = 0.02,
) -> tuple[Figure, list[Any]]:
    """An empty figure of exactly this size, and its axes row by row; `gap` between them, of their width."""
    if not NARROWEST_MM <= width_mm <= WIDEST_MM:
        raise GridCosimError(
            f"A figure {width_mm:g} mm wide fits no paper: choose {NARROWEST_MM:g} to {WIDEST_MM:g} mm; "
            f"a column has {SINGLE_MM:g}, a page {DOUBLE_MM:g}."
        )
    size = (width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=gap))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share_x)
    return figure, list(axes.ravel())


def legend_on_top(figure: Figure, axis: Any) -> None:
    """One legend for the whole figure, above all panels, in as few rows as its width allows."""
    handles, labels = axis.get_legend_handles_labels()
    room = figure.get_figwidth() * _POINTS_PER_INCH
    beside = max((n for n in range(1, len(labels) + 1) if _legend_points(labels, n) <= room), default=1)
    figure.legend(handles, labels, loc="outside upper left", ncols=beside, borderpad=0.0, borderaxespad=0.2)


def _legend_points(labels: Sequence[str], columns: int) -> float:
    """Width of a legend that is filled column by column."""
    size = LOOK["legend.fontsize"]
    font = FontProperties(family=LOOK["font.family"], size=size)
    texts = [float(TextPath((0.0, 0.0), label, prop=font).get_extents().width) for label in labels]
    rows = -(-len(labels) // columns)
    handle = size * (LOOK["legend.handlelength"] + _HANDLE_TEXT + LOOK["legend.columnspacing"])
    return sum(max(texts[start : start + rows]) + handle for start in range(0, len(texts), rows))


_HANDLE_TEXT = 1.0
"""Between a legend's handle and its text, and what is left at the edges, in sizes of the font."""


def time_axis(axis: Any) -> None:
    """Days and hours below the axis, in as few words as they need."""
    locator = AutoDateLocator(minticks=3, maxticks=7)
    formatter = ConciseDateFormatter(
        locator,
        formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S"],
        zero_formats=["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
        offset_formats=["", "%Y", "%Y", "%Y", "%d %b %Y", "%d %b %Y"],
    )
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(formatter)
    axis.set_xlabel("local time")


def from_zero(axis: Any) -> None:
    """Let the axis of values begin at zero, or below where values do, with room for a curve along it."""
    low, high = min(0.0, axis.dataLim.y0), axis.dataLim.y1
    axis.set_ylim(bottom=low - 0.02 * max(high - low, 0.0))


def save_figure(figure: Figure, path: Path | str, *, of: StoredResults | None = None) -> Path:
    """Write a figure as the ending of `path` says, without anything that differs from day to day.

    The title of the results that it is `of`, and the attribution that the licences of their data ask for, go
    into the file's metadata. Raises `GridCosimError` for another ending, and where it cannot be written.
    """
    final = Path(path)
    kind = final.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise GridCosimError(
            f"{final}: figures are written as {', '.join(FORMATS)}. Give the file one of these endings."
        )
    partial = final.with_name(final.name + ".partial")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _look():
            figure.savefig(partial, format=kind, metadata=_metadata(kind, of))
        partial.replace(final)
    except OSError as error:
        raise GridCosimError(f"{final}: cannot be written ({error.strerror}).") from error
    return final


def _metadata(kind: str, of: StoredResults | None) -> dict[str, Any]:
    rights_key = {"svg": "Rights", "pdf": "Subject", "png": "Copyright"}[kind]
    maker_key = {"svg": "Creator", "pdf": "Creator", "png": "Software"}[kind]
    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    told = {maker_key: "grid_cosim"}
    if of is not None:
        told |= {"Title": of.basis.title, rights_key: " ".join(of.licences.values())}
    return {name: text for name, text in told.items() if text} | undated
