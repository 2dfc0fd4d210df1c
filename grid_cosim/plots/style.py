"""What all figures share: colours, fonts, axes and the thinning of long runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from bokeh.models import DatetimeTickFormatter, HoverTool, Range1d, Span
from bokeh.plotting import figure

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
INK = "#5b6771"
"""Text and axes on a light page; a dark page changes it."""
HAIRLINE = "rgba(125, 135, 145, 0.22)"

# Vermilion and blue of Okabe and Ito 2008, "Color Universal Design", and what lies farthest from them and
# from each other with any colour vision, with contrast to a white and to a dark page.
_KNOWN = {
    "uncontrolled": "#d55e00",
    "independent": "#7d576a",
    "consensus": "#0072b2",
    "centralised": "#8b98ff",
    "dimming": "#9897a5",
    "time_of_use": "#a0423e",
    "optimum": "#0fb779",
}
_DASHES = {
    "independent": [7, 3],
    "centralised": [2, 2],
    "optimum": [2, 2],
    "dimming": [9, 3, 2, 3],
    "time_of_use": [4, 2],
}
"""Colour is not the only sign: the curves of a page printed in black and white can still be told apart."""
_SHADES = (0.0, 0.42, -0.35, 0.62)
"""By how much each case is lighter than the first, or darker."""
_CASE_DASHES: tuple[list[int], ...] = ([], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2], [12, 4])

BETWEEN = " · "
"""Stands between the names of case and controller where runs of several results are drawn together."""

# Of Okabe and Ito, too: controllers of a user's own.
_OTHERS = ("#e69f00", "#56b4e9", "#cc79a7", "#009e73", "#5f6a00")

MAX_POINTS = 2_000
"""Points of a curve at most; longer runs are thinned."""

# Up to 101 % shades of blue, then a jump to orange and red: a pair that any colour vision tells apart.
_LOADING_LIGHT = (
    (0, "#c3ced6"),
    (35, "#93b7cd"),
    (70, "#4f93bd"),
    (100.9, "#1c5f93"),
    (101.1, "#f08a24"),
    (120, "#a3150f"),
)
_LOADING_DARK = (
    (0, "#44515c"),
    (35, "#3f6f8c"),
    (70, "#4c9dcb"),
    (100.9, "#a9dcf5"),
    (101.1, "#ffa63d"),
    (120, "#ff4a36"),
)
LOADING_MAX_PERCENT = 120.0


def controller_colours(controllers: Iterable[str]) -> dict[str, str]:
    """The colour of each controller, the same in every figure and table.

    Of runs of several cases, those of one controller are shades of its colour; where all are of the same
    controller, each case has a colour.
    """
    names = list(controllers)
    of = {name: name.rpartition(BETWEEN)[2] for name in names}
    cases = list(dict.fromkeys(name.rpartition(BETWEEN)[0] for name in names))
    if len(cases) > 1 and len(set(of.values())) == 1:
        others = iter((*_KNOWN.values(), *_OTHERS * 10))
        return {name: next(others) for name in names}
    unknown = iter(_OTHERS * 10)
    hues = {one: _KNOWN[one] if one in _KNOWN else next(unknown) for one in dict.fromkeys(of.values())}
    return {
        name: _shade(hues[of[name]], _SHADES[cases.index(name.rpartition(BETWEEN)[0]) % len(_SHADES)])
        for name in names
    }


def dashes(controllers: Iterable[str]) -> dict[str, list[int]]:
    """Dashes of each run's curves; none: a solid line. Many runs of several cases have their case's."""
    names = list(controllers)
    cases = list(dict.fromkeys(name.rpartition(BETWEEN)[0] for name in names))
    if len(cases) == 1:
        return {name: _DASHES.get(name.rpartition(BETWEEN)[2], []) for name in names}
    few = len(names) <= len(_CASE_DASHES)
    pattern = {name: names.index(name) if few else cases.index(name.rpartition(BETWEEN)[0]) for name in names}
    return {name: _CASE_DASHES[pattern[name] % len(_CASE_DASHES)] for name in names}


def on_colour(colour: str) -> str:
    """Black or white, whichever is read better on a colour (relative luminance of WCAG 2.2)."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "#ffffff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "#000000"


def _shade(colour: str, lighter: float) -> str:
    """A colour mixed with white, or with black where it should be darker."""
    towards = "#ffffff" if lighter > 0.0 else "#000000"
    return _mix((0.0, 1.0), (colour, towards), np.array([abs(lighter)]))[0]


def loading_palette(*, dark: bool = False) -> list[str]:
    """Colours for 0 to 120 % loading in steps of half a percent."""
    stops = _LOADING_DARK if dark else _LOADING_LIGHT
    percents, colours = zip(*stops, strict=True)
    return _mix(percents, colours, np.arange(0.25, LOADING_MAX_PERCENT, 0.5))


def _mix(at: Sequence[float], colours: Sequence[str], wanted: np.ndarray) -> list[str]:
    """Colours between given ones, channel by channel."""
    channels = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours]).T
    mixed = np.stack([np.interp(wanted, at, channel) for channel in channels], axis=1).round().astype(int)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in mixed]


def voltage_palette() -> list[str]:
    """Colours for 0.9 to 1.1 pu: orange below, purple above, pale at the nominal voltage."""
    return _mix((0, 20, 40), ("#d9661f", "#b4b9bd", "#5b3fb0"), np.arange(41))


def time_figure(
    *, name: str, y_label: str, height: int = 280, n_ticks: int = 8, x_range: Any = None
) -> figure:
    """An empty figure over time with a cursor named `cursor`, which a page may move."""
    given = {} if x_range is None else {"x_range": x_range}
    plot = figure(
        name=name,
        x_axis_type="datetime",
        height=height,
        sizing_mode="stretch_width",
        tools="xpan,xbox_zoom,reset,save",
        active_drag=None,
        y_axis_label=y_label,
        **given,
    )
    style(plot)
    plot.xaxis.formatter = DatetimeTickFormatter(
        hours="%H:%M", days="%a %d %b", months="%b %Y", hourmin="%H:%M", minutes="%H:%M"
    )
    plot.xaxis.formatter.context = DatetimeTickFormatter(
        hours="%a %d %b", hourmin="%a %d %b", days="%Y", minutes="%a %d %b"
    )
    plot.xaxis.formatter.context_which = "start"
    plot.xaxis.formatter.hide_repeats = True
    plot.xaxis[0].ticker.desired_num_ticks = n_ticks
    plot.add_layout(
        Span(
            name="cursor",
            dimension="height",
            location=float("nan"),
            line_color=INK,
            line_width=1.2,
            line_alpha=0.9,
        )
    )
    return plot


def by_day(plot: figure) -> None:
    """Count days instead of naming dates: times are those of a year that begins with day 1."""
    plot.xaxis.formatter = DatetimeTickFormatter(
        hours="%H:%M", days="day %-j", months="day %-j", hourmin="%H:%M", minutes="%H:%M"
    )
    plot.xaxis.formatter.context = DatetimeTickFormatter(
        hours="day %-j", hourmin="day %-j", minutes="day %-j", days="", months=""
    )
    plot.xaxis.formatter.context_which = "start"
    plot.xaxis.formatter.hide_repeats = True
    for hover in plot.select({"type": HoverTool}):
        hover.tooltips = [("time", "@time{day %-j, %H:%M}"), *hover.tooltips[1:]]


def style(plot: figure) -> None:
    """Give a figure the look of the house: transparent, few lines, quiet text."""
    plot.background_fill_alpha = 0.0
    plot.border_fill_alpha = 0.0
    plot.outline_line_color = None
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.min_border_left = 8
    plot.grid.grid_line_color = HAIRLINE
    plot.xgrid.grid_line_color = None
    for axis in plot.axis:
        axis.axis_line_color = HAIRLINE
        axis.major_tick_line_color = HAIRLINE
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = INK
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size = "12px"
        axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"


def style_legend(plot: figure) -> None:
    """Put the legend above the plot, in one row; a click hides a curve."""
    legend = plot.legend[0]
    plot.center.remove(legend)
    plot.add_layout(legend, "above")
    legend.orientation = "horizontal"
    legend.click_policy = "hide"
    legend.background_fill_alpha = legend.border_line_alpha = 0.0
    legend.label_text_color = INK
    legend.label_text_font = FONT
    legend.label_text_font_size = "12px"
    legend.padding = legend.margin = 2
    legend.spacing = 14
    legend.ncols = 3 if plot.height < 300 else 6
    legend.glyph_width = 18


def block_starts(n_steps: int, max_points: int = MAX_POINTS) -> np.ndarray:
    """First step of each block of equally many steps, at most so many blocks."""
    size = max(1, -(-n_steps // max_points))
    return np.arange(0, n_steps, size)


def from_zero(largest: float, *, room: float = 1.08) -> Range1d:
    """A range from zero to a little above the largest value."""
    return Range1d(0.0, largest * room if largest > 0.0 else 1.0)
