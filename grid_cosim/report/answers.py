"""What a planner asks first, per controller: does the limit hold, is the demand served, what does it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from grid_cosim.metrics import KPIS, is_good, voltage_band
from grid_cosim.report.cases import Cases, Column
from grid_cosim.report.reading import limits_voltages, percent, when
from grid_cosim.results import Run, StoredResults

Values = Mapping[str, Mapping[str, float]]
_MOST_ELEMENTS = 10
_NOTHING = "–"


@dataclass(frozen=True)
class Answer:
    """One question with its figure."""

    question: str
    figure: str
    """Large, with its unit."""
    detail: str
    """A few words under it."""
    good: bool | None
    """`None` where there is no line to hold it against."""


@dataclass(frozen=True)
class Card:
    """All answers for one controller."""

    verdict: str
    good: bool | None
    answers: tuple[Answer, ...]


def card(results: StoredResults, controller: str, values: Values) -> Card:
    """The answers for one controller; only a verdict where it has no results."""
    run = results.runs[controller]
    if not run.started:
        return Card("No results", None, ())
    holds, served = _holds(results, controller, values), _served(controller, values)
    answers = (
        _limit(results, controller, values),
        _worst(run),
        _voltage(results, controller, values),
        _demand(controller, values),
        _cost(results, controller, values),
    )
    complete = run.status == "complete"
    verdict = _VERDICTS[holds, served]
    good = holds is not False and served is not False and (holds or served)
    return Card(
        verdict if complete else f"{verdict}, until it stopped", bool(good) if complete else None, answers
    )


_VERDICTS: Mapping[tuple[bool | None, bool | None], str] = {
    (True, True): "Limits hold, demand served",
    (True, None): "Limits hold",
    (True, False): "Limits hold, demand not served",
    (False, True): "Overloaded, demand served",
    (False, None): "Overloaded",
    (False, False): "Overloaded, demand not served",
    (None, True): "Demand served",
    (None, None): "No limit to hold",
    (None, False): "Demand not served",
}


def _holds(results: StoredResults, controller: str, values: Values) -> bool | None:
    """Whether all limits hold, those of voltages where there are some."""
    marks = [is_good("peak_loading_percent", controller, values)]
    if limits_voltages(results.runs[controller]):
        band = voltage_band(results)
        marks += [
            is_good(name, controller, values, band) for name in ("lowest_voltage_pu", "highest_voltage_pu")
        ]
    return _all(marks)


def _served(controller: str, values: Values) -> bool | None:
    """Whether energy came in time and homes are as warm as without control."""
    name = "cold_kelvin_hours_per_home"
    cold = is_good(name, controller, values)
    if controller == "uncontrolled" and not np.isnan(values[controller][name]):
        cold = True  # which is what the others are held against
    return _all([is_good("unserved_energy_percent", controller, values), cold])


def _all(marks: Sequence[bool | None]) -> bool | None:
    known = [mark for mark in marks if mark is not None]
    return all(known) if known else None


def hours_above(run: Run, dt_h: float) -> float:
    """Time in which any limit was exceeded."""
    return float((run.table("totals")["limits_above"] > 0).sum() * dt_h)


def _limit(results: StoredResults, controller: str, values: Values) -> Answer:
    run = results.runs[controller]
    peak = values[controller]["peak_loading_percent"]
    question = "Do the limits hold?"
    if np.isnan(peak):
        return Answer(question, _NOTHING, "no loading is limited", None)
    hours = hours_above(run, results.basis.dt_h)
    detail = "peak loading, of the limit; "
    detail += f"{hours:g} h above it" if hours else "never above it"
    good = is_good("peak_loading_percent", controller, values)
    if good and hours:
        detail += ", by less than 1 %"
    return Answer(question, f"{peak:.0f} %" if peak < 99.5 or peak >= 102 else f"{peak:.1f} %", detail, good)


def _worst(run: Run) -> Answer:
    """The element with the largest share of its limit; else the lowest voltage."""
    question = "Where and when is it worst?"
    limits = run.table("limit_summary")
    flow = ~limits["limit"].astype(str).str.startswith("Bus-")
    known = limits[flow & limits["peak_of_limit_percent"].notna()]
    if len(known):
        row = known.loc[known["peak_of_limit_percent"].idxmax()]
        return Answer(question, str(row["limit"]), when(row["peak_time"]), None)
    return Answer(question, _NOTHING, "nothing was limited", None)


def _voltage(results: StoredResults, controller: str, values: Values) -> Answer:
    """The voltage that leaves the band, or else the lowest."""
    question = "Is the voltage within its band?"
    band = voltage_band(results)
    marks = {name: is_good(name, controller, values, band) for name in _VOLTAGES}
    name = "highest_voltage_pu" if marks["highest_voltage_pu"] is False else "lowest_voltage_pu"
    if marks["lowest_voltage_pu"] is False:
        name = "lowest_voltage_pu"
    value = values[controller][name]
    if np.isnan(value):
        return Answer(question, _NOTHING, "no voltage was recorded", None)
    end, column = _VOLTAGES[name]
    buses = results.runs[controller].table("bus_summary")
    row = buses.loc[(buses[f"{column}_pu"] - value).abs().idxmin()] if len(buses) else None
    where = f", {row['bus']} on {when(row[f'{column}_time'])}" if row is not None else ""
    detail = f"{end}{where}; the band is {band[0]:g} to {band[1]:g} pu"
    return Answer(question, f"{value:.3f} pu", detail, _all(list(marks.values())))


_VOLTAGES = {"lowest_voltage_pu": ("lowest", "vm_min"), "highest_voltage_pu": ("highest", "vm_max")}
"""KPI → what it is called, and its columns in `bus_summary`."""


def _demand(controller: str, values: Values) -> Answer:
    of_run = values[controller]
    unserved, cold = of_run["unserved_energy_percent"], of_run["cold_kelvin_hours_per_home"]
    owed = of_run["deferred_energy_kwh"]
    details = (
        [] if np.isnan(unserved) else [f"of the energy due came in time; {percent(unserved)} never came"]
    )
    if not np.isnan(unserved) and unserved < 0.005:
        details = ["of the energy due came in time"]
    if np.isnan(unserved):
        details = ["no deadline came up"]
    if owed >= 0.5:
        details.append(f"{owed:,.0f} kWh still owed at the end")
    if not np.isnan(cold):
        details.append("nobody was cold" if cold < 0.05 else f"{cold:.1f} K·h too cold per home")
    figure = _NOTHING if np.isnan(unserved) else _share_served(unserved)
    return Answer("Is the demand served?", figure, "; ".join(details), _served(controller, values))


def _share_served(unserved_percent: float) -> str:
    """Never rounded up to 100 %."""
    served = 100.0 - unserved_percent
    if unserved_percent < 0.005:
        return "100 %"
    return f"{np.floor(10.0 * served) / 10.0:.1f} %"


def _cost(results: StoredResults, controller: str, values: Values) -> Answer:
    of_run = values[controller]
    total = of_run["total_cost_eur"]
    detail = "energy, delay and discomfort"
    base = values.get("uncontrolled", {}).get("total_cost_eur", float("nan"))
    complete = results.runs[controller].status == "complete"
    if controller != "uncontrolled" and np.isfinite(base) and complete:
        more = total - base
        detail = f"{_euros(abs(more))} {'more' if more >= 0 else 'less'} than without control"
        if base > 0:
            detail += f" ({100.0 * more / base:+.2g} %)"
    return Answer("What does it cost?", _euros(total) if np.isfinite(total) else _NOTHING, detail, None)


def _euros(value: float) -> str:
    return f"{value:,.0f} EUR" if abs(value) >= 100 else f"{value:,.2f} EUR"


def headline(results: StoredResults, values: Values) -> str:
    """A few sentences on all controllers together."""
    started = [name for name, run in results.runs.items() if run.started]
    others = [name for name in started if name != "uncontrolled"]
    said = []
    if "uncontrolled" in started and not np.isnan(values["uncontrolled"]["peak_loading_percent"]):
        said.append(_without_control(results, values))
    good = [name for name in others if card(results, name, values).good]
    if good:
        said.append(f"The limits hold and the demand is served under {_and(good)}.")
    elif others:
        said.append(f"Under {_and(others)} the limits do not hold with the demand served.")
    band = voltage_band(results)
    outside = [
        name for name in started if any(is_good(kpi, name, values, band) is False for kpi in _VOLTAGES)
    ]
    if outside and not any(limits_voltages(results.runs[name]) for name in outside):
        said.append(
            f"The voltage leaves {band[0]:g} to {band[1]:g} pu under {_and(outside)}; no limit of this "
            "scenario asks for it."
        )
    return " ".join(said)


def _without_control(results: StoredResults, values: Values) -> str:
    run = results.runs["uncontrolled"]
    where, peak = _worst(run).figure, percent(values["uncontrolled"]["peak_loading_percent"])
    if is_good("peak_loading_percent", "uncontrolled", values):
        return f"Even without control no limit is exceeded; {where} comes nearest, at {peak} of its limit."
    hours = hours_above(run, results.basis.dt_h)
    return f"Without control {where} reaches {peak} of its limit; limits are exceeded for {hours:g} h."


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True)
class Peak:
    """The largest loading of an element in one run."""

    text: str
    """Its share of the limit in percent."""
    when: str
    milliseconds: int
    """The same on the page's time axis, since 1970."""
    hours_above: float
    good: bool


def most_loaded(cases: Cases) -> list[tuple[str, dict[str, Peak]]]:
    """The limits with the largest peaks in any run, each with its peak in every run."""
    peaks = {}
    for column in cases.columns:
        limits = cases.together.runs[column.name].table("limit_summary").astype({"limit": str})
        peaks[column.name] = limits.dropna(subset=["peak_of_limit_percent"]).set_index("limit")
    largest = pd.concat([of_run["peak_of_limit_percent"] for of_run in peaks.values()])
    first = largest.groupby(level=0).max().nlargest(_MOST_ELEMENTS).index
    return [
        (
            str(limit),
            {
                column.name: _peak(cases, column, peaks[column.name].loc[limit])
                for column in cases.columns
                if limit in peaks[column.name].index
            },
        )
        for limit in first
    ]


def _peak(cases: Cases, column: Column, row: pd.Series) -> Peak:
    share = float(row["peak_of_limit_percent"])
    on_the_page = row["peak_time"] + pd.Timedelta(days=cases.days_later[column.case])
    return Peak(
        text=f"{share:.1f}",
        when=when(row["peak_time"]),
        milliseconds=int(on_the_page.timestamp() * 1000),
        hours_above=float(row["steps_above"] * cases.each[column.case].basis.dt_h),
        good=share <= (KPIS["peak_loading_percent"].good_up_to or 100.0),
    )
