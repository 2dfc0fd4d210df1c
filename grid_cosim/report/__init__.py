"""Results → one self-contained HTML file that needs no network: figures, KPIs, and what was assumed."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.models import ColorBar, ColumnDataSource, CustomJS, LinearColorMapper, Span
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from grid_cosim import plots
from grid_cosim.metrics import KPIS, is_good, kpis, told, voltage_band
from grid_cosim.plots.curves import limits_shown
from grid_cosim.plots.feeder_map import LOADING_STEP_PERCENT, VOLTAGE_STEP_PU
from grid_cosim.plots.style import loading_palette
from grid_cosim.plots.thinning import blocks
from grid_cosim.report.agreement import agreement_rows, priced_limits
from grid_cosim.report.reading import Values, reading, warnings
from grid_cosim.results import StoredResults

_DIGITS = {"% of limit": 1, "%": 3, "kWh": 1, "K·h": 2, "EUR/kWh": 4, "EUR": 2, "s": 1, "B": 0, "": 1}
_CURVES = {
    "price": plots.price,
    "tariff": plots.tariff,
    "energy_served": plots.energy_served,
    "energy_unserved": plots.energy_unserved,
    "energy_owed": plots.energy_owed,
    "temperature": plots.indoor_temperature,
}
_AGREED = {
    "price_eur_per_kwh": ("Copies of the price apart", "EUR/kWh"),
    "excess_kw": ("Demand above the limit, on average", "kW"),
    "estimate_kw": ("Estimates of the excess off by", "kW"),
}
_VOLTAGE_PU = 0.1
"""From here up pu are those of a voltage, below those of a difference."""
_MOST_LIMITS = 12
"""Rows of that table."""
_SEEK = "window.dispatchEvent(new CustomEvent('seek', {detail: cb_obj.x}))"


def write_report(results: StoredResults, path: Path | str) -> Path:
    """Write the report under a temporary name that replaces `path` in one go."""
    final = Path(path)
    partial = final.with_name(final.name + ".partial")
    partial.write_text(build_report(results), encoding="utf-8")
    partial.replace(final)
    return final


def build_report(results: StoredResults) -> str:
    """The whole page as text."""
    values = kpis(results)
    figures, frames = _figures(results)
    script, divs = components(figures, wrap_script=False)
    colours = plots.controller_colours(results.runs)
    page = _environment().get_template("report.html.jinja")
    return page.render(
        results=results,
        period=_period(results),
        colours=colours,
        warnings=warnings(results),
        readings={name: reading(results, name, values) for name in results.runs},
        kpi_rows=_kpi_rows(results, values),
        limits=_limits_by_peak(results),
        agreement=_agreement(results),
        divs=dict.fromkeys(("loading", *_CURVES)) | {name: Markup(div) for name, div in divs.items()},
        n_frames=len(frames.times),
        thinning=_thinning(results, frames),
        unrecorded=_unrecorded(results),
        bokeh=Markup(_bokeh()),
        figures_script=Markup(_inside_script(script)),
        payload=Markup(_inside_script(json.dumps(_payload(results, figures, frames, colours)))),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("grid_cosim.report", "."),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["significant"] = _significant
    return environment


def _figures(results: StoredResults) -> tuple[dict[str, figure], plots.MapFrames]:
    """All figures by name, on one time axis; those that would be empty are left out."""
    frames = plots.map_frames(results)
    loading = plots.transformer_loading(results)
    curves = {"loading": loading} | {
        name: draw(results, x_range=loading.x_range) for name, draw in _CURVES.items()
    }
    for plot in curves.values():
        plot.js_on_event("tap", CustomJS(code=_SEEK))
    drawn = {name: plot for name, plot in curves.items() if plot.renderers}
    return {"map": plots.feeder_map(results, frames=frames)} | drawn, frames


def _payload(
    results: StoredResults, figures: dict[str, figure], frames: plots.MapFrames, colours: dict[str, str]
) -> dict[str, Any]:
    """What the page's script needs: frames, and the ids of the models that it moves."""
    feeder = figures["map"]
    controller, moment = frames.worst()
    return {
        "times": frames.times.astype("datetime64[ms]").astype(np.int64).tolist(),
        "controllers": list(results.runs),
        "colours": colours,
        "start": {"controller": controller, "moment": moment},
        "squares": plots.squares(results.topology).tolist(),
        "limit_percent": results.topology.limits["limit_percent"].tolist(),
        "step": {"loading": LOADING_STEP_PERCENT, "voltage": VOLTAGE_STEP_PU},
        "frames": {
            name: {
                "lines": _packed(frames.line_loading[name]),
                "limits": _packed(frames.limit_loading[name]),
                "homes": _packed(frames.home_voltage[name]),
            }
            for name in results.runs
        },
        "palettes": {"light": loading_palette(), "dark": loading_palette(dark=True)},
        "ids": {
            "sources": {
                source.name: source.id for source in feeder.select({"type": ColumnDataSource}) if source.name
            },
            "mappers": [m.id for m in feeder.select({"type": LinearColorMapper}) if m.name == "loading"],
            "voltage_bar": next(bar.id for bar in feeder.select({"type": ColorBar}) if bar.name == "voltage"),
            "homes": next(renderer.id for renderer in feeder.renderers if renderer.name == "homes"),
            "cursors": [
                span.id
                for plot in figures.values()
                for span in plot.select({"type": Span})
                if span.name == "cursor"
            ],
            "by_limit": [s.id for s in _all(figures, ColumnDataSource) if "switch_limit" in s.tags],
        },
    }


def _all(figures: dict[str, figure], kind: type) -> list[Any]:
    return [model for plot in figures.values() for model in plot.select({"type": kind})]


def _packed(frames: np.ndarray) -> dict[str, Any]:
    """Base64 of deflate: per element the changes from moment to moment, low bytes before high bytes."""
    changes = np.diff(frames.T, axis=1, prepend=np.uint16(0)).astype("<u2")
    planes = changes.reshape(-1, 1).view(np.uint8).T
    packed = base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode("ascii")
    return {"elements": frames.shape[1], "data": packed}


def _period(results: StoredResults) -> dict[str, Any]:
    times = max((run.table("totals", ["time"])["time"] for run in results.runs.values()), key=len)
    return {"first": times.min(), "last": times.max(), "steps": len(times)} if len(times) else {}


def _limits_by_peak(results: StoredResults) -> list[tuple[str, str]]:
    """Id and label of the limits that can be looked at, the most loaded first."""
    limits = results.topology.limits
    labels = {}
    for row in limits.rename(columns={"name": "name_"}).itertuples():
        rating = "" if np.isnan(row.rated_kva) else f" · {row.rated_kva:,.0f} kVA"
        labels[row.limit] = f"{row.limit} · {row.name_}{rating}"
    return [(limit, labels[limit]) for limit in limits_shown(results)]


def _thinning(results: StoredResults, frames: plots.MapFrames) -> dict[str, str]:
    """How long a point of the curves and a moment of the map last, in words; empty where it is a step."""
    steps = {"curves": blocks(results).steps_each, "map": frames.steps_each}
    return {
        name: _duration(n * results.basis.dt_h) if n > 1 and len(frames.times) > 1 else ""
        for name, n in steps.items()
    }


def _duration(hours: float) -> str:
    return f"{round(60 * hours)} min" if hours < 1.0 else f"{hours:g} h"


_OF_EVERY_ELEMENT = ("limits", "lines", "buses")
"""Tables without which something on the page stays empty."""


def _unrecorded(results: StoredResults) -> list[str]:
    """Those of which no run that started has rows."""
    runs = [run for run in results.runs.values() if run.started]
    return [table for table in _OF_EVERY_ELEMENT if runs and not any(run.n_rows(table) for run in runs)]


def _kpi_rows(results: StoredResults, values: Values) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "kpi": KPIS[name],
            "cells": [
                {
                    "text": _number(values[controller][name], KPIS[name].unit),
                    "good": _mark(results, name, controller, values),
                }
                for controller in results.runs
            ],
        }
        for name in told(values)
    ]


def _agreement(results: StoredResults) -> dict[str, Any] | None:
    """The table of what was agreed: only columns in which something stands; None where nothing was."""
    rows = agreement_rows(results, most=_MOST_LIMITS)
    if not rows:
        return None
    hidden = sum(len(priced_limits(run)) for run in results.runs.values()) - len(rows[:_MOST_LIMITS])
    shown = {
        name: heading
        for name, heading in _AGREED.items()
        if any(np.isfinite(getattr(row, name).measured) for row in rows)
    }
    return {"rows": rows[:_MOST_LIMITS], "pairs": shown, "hidden": hidden}


def _significant(value: float) -> str:
    """Three digits; a dash where there is no number, and words where everything is allowed."""
    if np.isinf(value):
        return "no bound"
    return "–" if np.isnan(value) else f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def _mark(results: StoredResults, name: str, controller: str, values: Values) -> bool | None:
    """Whether a value is good; a run that stopped early can be bad, but not good."""
    good = is_good(name, controller, values, voltage_band(results))
    return None if good and results.runs[controller].status != "complete" else good


def _number(value: float, unit: str) -> str:
    """A KPI's value with the digits that its unit deserves; a dash where it does not apply."""
    if not np.isfinite(value):
        return "–"
    if unit == "pu":
        return f"{value:.4f}" if value >= _VOLTAGE_PU else f"{value:.1e}"
    text = f"{value:,.{_DIGITS[unit]}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def _bokeh() -> str:
    """Bokeh's own script, core component only."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], minified=True).js_raw)


def _inside_script(text: str) -> str:
    """Text that cannot end the script element around it."""
    return text.replace("</", "<\\/").replace("<!--", "<\\!--")
