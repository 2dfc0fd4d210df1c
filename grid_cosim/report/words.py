"""The tables of the page as text: KPIs, what was agreed, which limits can be chosen, what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from grid_cosim.comparison import compare
from grid_cosim.metrics import KPIS, is_good, kpis, told, voltage_band
from grid_cosim.plots.curves import limits_shown
from grid_cosim.report.agreement import AgreementRow, agreement_rows, priced_limits
from grid_cosim.report.answers import Peak, most_loaded
from grid_cosim.report.cases import Cases, Column
from grid_cosim.report.reading import Values, reading, warnings
from grid_cosim.results import StoredResults

_DIGITS = {"% of limit": 1, "%": 3, "kWh": 1, "K·h": 2, "EUR/kWh": 4, "EUR": 2, "s": 1, "B": 0, "": 1}
_AGREED = {
    "price_eur_per_kwh": ("Copies of the price apart", "EUR/kWh"),
    "excess_kw": ("Demand above the limit, on average", "kW"),
    "estimate_kw": ("Estimates of the excess off by", "kW"),
}
_VOLTAGE_PU = 0.1
"""From here up pu are those of a voltage, below those of a difference."""
_MOST_LIMITS = 12
"""Rows of the table of what was agreed."""
_OF_EVERY_ELEMENT = ("limits", "lines", "buses")
"""Tables without which something on the page stays empty."""


@dataclass(frozen=True)
class Told:
    """What stands on the page besides its figures."""

    values: Mapping[str, Values]
    """Case → controller → KPI → value."""
    readings: Mapping[str, str]
    """Run → one sentence."""
    kpi_rows: Sequence[Mapping[str, Any]]
    limits: Sequence[tuple[str, str]]
    """Id and label of the limits that can be looked at, the most loaded first."""
    agreement: Mapping[str, Any] | None
    """None where nothing was agreed."""
    unrecorded: Sequence[str]
    """Tables of which no run that started has rows."""
    warnings: Sequence[str]
    """What belongs at the top, by case where there are several."""
    settings: Mapping[str, Sequence[str]] | None
    """Setting of the scenario that differs → its value in each case; None for a single case."""
    elements: Sequence[tuple[str, Mapping[str, Peak]]]
    """The most loaded limits, each with its peak in each run."""
    periods: Mapping[str, Mapping[str, Any]]
    """Case → begin, end and the number of steps; empty without rows."""


def of(cases: Cases) -> Told:
    """All words and tables of a page."""
    values = {case: kpis(results) for case, results in cases.each.items()}
    return Told(
        values=values,
        readings={
            column.name: reading(cases.each[column.case], column.controller, values[column.case])
            for column in cases.columns
        },
        kpi_rows=_kpi_rows(cases, values),
        limits=_limits_by_peak(cases.together),
        agreement=_agreement(cases),
        unrecorded=_unrecorded(cases),
        warnings=_warnings(cases),
        settings=_settings(cases),
        elements=most_loaded(cases),
        periods={case: _period(results) for case, results in cases.each.items()},
    )


def _warnings(cases: Cases) -> list[str]:
    if not cases.several:
        return warnings(cases.together)
    beside = [text for text in compare(cases.each).warnings if not _of_one(text, cases)]
    return beside + [f"{case}: {text}" for case, results in cases.each.items() for text in warnings(results)]


def _of_one(text: str, cases: Cases) -> bool:
    """Whether a warning is about one case alone, of which the report has its own words."""
    return any(text.startswith(f"{case}: ") for case in cases.each)


def _settings(cases: Cases) -> dict[str, list[str]] | None:
    if not cases.several:
        return None
    found = compare(cases.each).settings
    return {
        str(setting): [", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in row]
        for setting, row in zip(found.index, found.to_numpy(), strict=True)
    }


def _period(results: StoredResults) -> dict[str, Any]:
    times = max((run.table("totals", ["time"])["time"] for run in results.runs.values()), key=len)
    if not len(times):
        return {}
    end = times.max() + pd.Timedelta(hours=results.basis.dt_h)
    return {"begin": times.min(), "end": end, "steps": len(times)}


def _limits_by_peak(results: StoredResults) -> list[tuple[str, str]]:
    limits = results.topology.limits
    labels = {}
    for row in limits.rename(columns={"name": "name_"}).itertuples():
        rating = "" if np.isnan(row.rated_kva) else f" · {row.rated_kva:,.0f} kVA"
        labels[row.limit] = f"{row.limit} · {row.name_}{rating}"
    return [(limit, labels[limit]) for limit in limits_shown(results)]


def _unrecorded(cases: Cases) -> list[str]:
    runs = [run for results in cases.each.values() for run in results.runs.values() if run.started]
    return [table for table in _OF_EVERY_ELEMENT if runs and not any(run.n_rows(table) for run in runs)]


def _kpi_rows(cases: Cases, values: Mapping[str, Values]) -> list[dict[str, Any]]:
    of_columns = {column.name: values[column.case][column.controller] for column in cases.columns}

    def cell(name: str, column: Column) -> dict[str, Any]:
        text = _number(of_columns[column.name][name], KPIS[name].unit)
        return {"text": text, "good": _mark(cases.each[column.case], name, column, values[column.case])}

    return [
        {"name": name, "kpi": KPIS[name], "cells": [cell(name, column) for column in cases.columns]}
        for name in told(of_columns)
    ]


def _mark(results: StoredResults, name: str, column: Column, values: Values) -> bool | None:
    """Whether a value is good; a run that stopped early can be bad, but not good."""
    good = is_good(name, column.controller, values, voltage_band(results))
    return None if good and results.runs[column.controller].status != "complete" else good


def _agreement(cases: Cases) -> dict[str, Any] | None:
    """The table of what was agreed: only columns in which something stands; None where nothing was."""
    names = {(column.case, column.controller): column.name for column in cases.columns}
    rows: list[tuple[str, AgreementRow]] = [
        (names[case, row.controller], row)
        for case, results in cases.each.items()
        for row in agreement_rows(results, most=_MOST_LIMITS)
    ]
    if not rows:
        return None
    priced = sum(len(priced_limits(run)) for results in cases.each.values() for run in results.runs.values())
    most = _MOST_LIMITS * len(cases.each)
    shown = {
        name: heading
        for name, heading in _AGREED.items()
        if any(np.isfinite(getattr(row, name).measured) for _, row in rows)
    }
    return {"rows": rows[:most], "pairs": shown, "hidden": priced - len(rows[:most])}


def significant(value: float) -> str:
    """Three digits; a dash where there is no number, and words where everything is allowed."""
    if np.isinf(value):
        return "no bound"
    return "–" if np.isnan(value) else f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def _number(value: float, unit: str) -> str:
    """A KPI's value with the digits that its unit deserves; a dash where it does not apply."""
    if not np.isfinite(value):
        return "–"
    if unit == "pu":
        return f"{value:.4f}" if value >= _VOLTAGE_PU else f"{value:.1e}"
    text = f"{value:,.{_DIGITS[unit]}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text
