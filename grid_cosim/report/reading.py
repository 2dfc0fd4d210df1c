"""The report's words: one sentence per controller, and what a reader must know before any number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from grid_cosim.metrics import KPIS, is_good, of_branches, voltage_band
from grid_cosim.results import Results, Run

Values = Mapping[str, Mapping[str, float]]


def reading(results: Results, controller: str, values: Values) -> str:
    """One sentence that says how a controller did: the limit, the energy, the cold."""
    run = results.runs[controller]
    if not run.started:
        return "has no results."
    clauses = [
        _limit_clause(controller, of_branches(results, run.table("limits")), values[controller]),
        _voltage_clause(controller, values, voltage_band(results)),
    ]
    clauses += [_energy_clause(values[controller]), _cold_clause(controller, values)]
    until = "" if run.status == "complete" else "stopped early; until then it "
    return until + "; ".join(clause for clause in clauses if clause) + "."


def warnings(results: Results) -> list[str]:
    """All that belongs at the top: given by the run, or seen in its tables."""
    found = list(results.warnings)
    for controller, run in results.runs.items():
        found += _status_warnings(controller, run) + _power_flow_warnings(controller, run)
        found += _saturation_warnings(controller, run)
    said = {warning.partition(":")[0] for warning in results.warnings}
    return found + [warning for limit, warning in _hopeless_limits(results).items() if limit not in said]


def percent(value: float) -> str:
    """A percentage with as many digits as it needs: 134.7, 0.035, 0; for values from 0 up."""
    if value < 0.01:
        return "0 %" if value <= 0.0 else "less than 0.01 %"
    return f"{value:.1f} %" if abs(value) >= 1.0 else f"{value:.2g} %"


def when(time: object) -> str:
    """A time as people say it."""
    return f"{pd.Timestamp(time):%a %d %b %H:%M}"


def _limit_clause(controller: str, limits: pd.DataFrame, values: Mapping[str, float]) -> str:
    share = limits["loading_percent"] / limits["limit_percent"]
    if not share.notna().any():
        return "has no loading to show"
    peak = values["peak_loading_percent"]
    if is_good("peak_loading_percent", controller, {controller: values}):
        lines = limits["limit"].astype(str).str.startswith("Line-").any()
        return f"holds the limit, {'' if lines else 'transformer '}peak {percent(peak)}"
    worst = limits.loc[share.idxmax()]
    hours = _hours_above(limits)
    above = percent(values["energy_above_limit_percent"])
    return (
        f"overloads {worst['limit']}, peak {percent(peak)} of its limit on {when(worst['time'])}, "
        f"{hours:g} h above it, {above} of the energy"
    )


def _voltage_clause(controller: str, values: Values, band: tuple[float, float]) -> str:
    """Nothing where the voltage stays within the band."""
    said = [
        f"{word} {values[controller][name]:.3f} pu"
        for name, word in (("lowest_voltage_pu", "sinks to"), ("highest_voltage_pu", "rises to"))
        if is_good(name, controller, values, band) is False
    ]
    return f"the voltage {' and '.join(said)}" if said else ""


def _hours_above(limits: pd.DataFrame) -> float:
    """Time in which at least one limit was exceeded."""
    times = np.sort(limits["time"].unique())
    if len(times) < 2:
        return 0.0
    above = limits.loc[limits["loading_percent"] > limits["limit_percent"], "time"].nunique()
    return float(above * ((times[1] - times[0]) / np.timedelta64(3600, "s")))


def _energy_clause(values: Mapping[str, float]) -> str:
    unserved = values["unserved_energy_percent"]
    owed_kwh = values["deferred_energy_kwh"]
    owed = f", {owed_kwh:,.0f} kWh still owed at the end" if owed_kwh >= 0.5 else ""
    if np.isnan(unserved):
        return f"no deadline came up{owed}"
    if unserved < 0.05:
        return f"everything due was delivered{owed}"
    return f"{percent(unserved)} of the energy due was never delivered{owed}"


def _cold_clause(controller: str, values: Values) -> str:
    cold = values[controller]["cold_kelvin_hours_per_home"]
    if np.isnan(cold):
        return ""
    if cold < 0.05:
        return "nobody was cold"
    if is_good("cold_kelvin_hours_per_home", controller, values):
        return "homes no colder than without control"
    return f"homes with heat pumps were {cold:.1f} K·h too cold on average"


def _status_warnings(controller: str, run: Run) -> list[str]:
    if run.status == "complete":
        return []
    times = run.table("limits")["time"]
    until = f"; its results end on {when(times.max())}" if len(times) else "; it has no results"
    reason = f": {run.message.rstrip('.')}" if run.message else ""
    return [f"{controller} {'failed' if run.status == 'failed' else 'was interrupted'}{reason}{until}."]


def _power_flow_warnings(controller: str, run: Run) -> list[str]:
    grid = run.table("grid")
    found = []
    diverged = grid.loc[~grid["converged"].astype(bool), "time"]
    if len(diverged):
        found.append(
            f"{controller}: the power flow did not converge in {_steps(diverged)}, first on "
            f"{when(diverged.min())}. Nothing is shown there."
        )
    checked = grid["ac_check_dv_pu"].max()
    if checked > (KPIS["ac_check_max_dv_pu"].good_up_to or np.inf):
        found.append(f"{controller}: the AC check found a voltage difference of {checked:.1e} pu.")
    return found


def _saturation_warnings(controller: str, run: Run) -> list[str]:
    """Limits that even the largest price could not hold, where not the inflexible load alone is too much."""
    limits = run.table("limits")
    stuck = limits[limits["saturated"].astype(bool) & ~_hopeless(limits)]
    return [
        f"{controller}: the largest price was not enough for {limit} in {_steps(rows)}, first on "
        f"{when(rows['time'].min())}. Either nothing more could be postponed behind it, or the homes had too "
        "few rounds to agree."
        for limit, rows in stuck.groupby("limit", observed=True)
    ]


def _hopeless(limits: pd.DataFrame) -> pd.Series:
    """Where the inflexible load alone exceeds the limit."""
    return limits["base_kw"] > limits["limit_kw"] - limits["offset_kw"]


def _steps(rows: pd.DataFrame | pd.Series) -> str:
    return f"{len(rows)} step{'s' if len(rows) > 1 else ''}"


def _hopeless_limits(results: Results) -> dict[str, str]:
    """Limits that the inflexible load alone exceeds, each with words: no controller can help."""
    seen: dict[str, str] = {}
    for run in results.runs.values():
        limits = run.table("limits")
        hopeless = limits[_hopeless(limits)]
        for limit, rows in hopeless.groupby("limit", observed=True):
            text = f"{limit}: the inflexible load alone exceeds the limit in {_steps(rows)}, first on "
            seen.setdefault(str(limit), f"{text}{when(rows['time'].min())}. No controller can hold it there.")
    return seen
