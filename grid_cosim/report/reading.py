"""The report's words: one sentence per controller, and what a reader must know before any number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from grid_cosim.metrics import KPIS, is_good, voltage_band
from grid_cosim.results import Run, StoredResults

Values = Mapping[str, Mapping[str, float]]


def reading(results: StoredResults, controller: str, values: Values) -> str:
    """One sentence that says how a controller did: the limit, the energy, the cold."""
    run = results.runs[controller]
    if not run.started:
        return "has no results."
    clauses = [
        _limit_clause(controller, run, values[controller], results.basis.dt_h),
        _voltage_clause(controller, run, values, voltage_band(results)),
    ]
    clauses += [_energy_clause(values[controller]), _cold_clause(controller, values)]
    until = "" if run.status == "complete" else "stopped early; until then it "
    return until + "; ".join(clause for clause in clauses if clause) + "."


def warnings(results: StoredResults) -> list[str]:
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


def _limit_clause(controller: str, run: Run, values: Mapping[str, float], dt_h: float) -> str:
    totals = run.table("totals")
    share = totals["peak_of_limit_percent"]
    if not share.notna().any():
        return "" if limits_voltages(run) else "has no loading to show"
    peak = values["peak_loading_percent"]
    if is_good("peak_loading_percent", controller, {controller: values}):
        lines = run.table("limit_summary")["limit"].astype(str).str.startswith("Line-").any()
        return f"holds the limit, {'' if lines else 'transformer '}peak {percent(peak)}"
    limits = run.table("limit_summary")
    limits = limits[~limits["limit"].astype(str).str.startswith("Bus-")]
    worst = limits.loc[limits["peak_of_limit_percent"].idxmax(), "limit"] if len(limits) else "a limit"
    hours = float((totals["limits_above"] > 0).sum() * dt_h)
    above = percent(values["energy_above_limit_percent"])
    return (
        f"overloads {worst}, peak {percent(peak)} of its limit on {when(totals['time'][share.idxmax()])}, "
        f"{hours:g} h above it, {above} of the energy"
    )


def _voltage_clause(controller: str, run: Run, values: Values, band: tuple[float, float]) -> str:
    """Nothing where the voltage stays within the band and no limit asks for that."""
    names = ("lowest_voltage_pu", "highest_voltage_pu")
    said = [
        f"{word} {values[controller][name]:.3f} pu"
        for name, word in zip(names, ("sinks to", "rises to"), strict=True)
        if is_good(name, controller, values, band) is False
    ]
    limited = limits_voltages(run)
    if said:
        begins = "" if run.table("totals")["peak_of_limit_percent"].notna().any() else "leaves the band: "
        return f"{begins if limited else ''}the voltage {' and '.join(said)}"
    within = limited and all(is_good(name, controller, values, band) for name in names)
    return "keeps the voltage within the band" if within else ""


def limits_voltages(run: Run) -> bool:
    """Whether any limit of the run is one of a voltage."""
    return bool(run.table("limit_summary")["limit"].astype(str).str.startswith("Bus-").any())


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
    times = run.table("totals", ["time"])["time"]
    until = f"; its results end on {when(times.max())}" if len(times) else "; it has no results"
    reason = f": {run.message.rstrip('.')}" if run.message else ""
    return [f"{controller} {'failed' if run.status == 'failed' else 'was interrupted'}{reason}{until}."]


def _power_flow_warnings(controller: str, run: Run) -> list[str]:
    grid = run.table("grid")
    found = []
    diverged = grid.loc[~grid["converged"].astype(bool), "time"]
    if len(diverged):
        found.append(
            f"{controller}: the power flow did not converge in {_many(len(diverged))}, first on "
            f"{when(diverged.min())}. Nothing is shown there."
        )
    checked = grid["ac_check_dv_pu"].max()
    if checked > (KPIS["ac_check_max_dv_pu"].good_up_to or np.inf):
        found.append(f"{controller}: the AC check found a voltage difference of {checked:.1e} pu.")
    return found


def _saturation_warnings(controller: str, run: Run) -> list[str]:
    """Limits that even the largest price could not hold, where not the inflexible load alone is too much."""
    limits = run.table("limit_summary")
    return [
        f"{controller}: the largest price was not enough for {row.limit} in {_many(row.saturated_steps)}, "
        f"first on {when(row.saturated_first)}. Either nothing more could be postponed behind it, or the "
        "homes had too few rounds to agree."
        for row in limits[limits["saturated_steps"] > 0].itertuples()
    ]


def _many(steps: int) -> str:
    return f"{steps} step{'s' if steps > 1 else ''}"


def _hopeless_limits(results: StoredResults) -> dict[str, str]:
    """Limits that the inflexible load alone exceeds, each with words: no controller can help."""
    seen: dict[str, str] = {}
    for run in results.runs.values():
        limits = run.table("limit_summary")
        for row in limits[limits["hopeless_steps"] > 0].itertuples():
            text = (
                f"{row.limit}: the inflexible load alone exceeds the limit in {_many(row.hopeless_steps)}, "
            )
            words = f"first on {when(row.hopeless_first)}. No controller can hold it there."
            seen.setdefault(str(row.limit), text + words)
    return seen
