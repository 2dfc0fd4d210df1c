"""The KPIs: each one is defined here, once, with its unit and its words; documentation and report reuse them.

All come from AC results and device states, none from what a controller believes, by way of the table
`totals`, which has a row of every step whatever else is recorded. A KPI that does not apply, such as the cold
in homes without heat pumps, is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from grid_cosim.results import Run, StoredResults
from grid_cosim.results.writer import write_json

KPIS_FILE = "kpis.json"


@dataclass(frozen=True)
class Kpi:
    """One number that says how well a controller did; smaller is better, but for the lowest voltage."""

    label: str
    """Its name for people."""
    unit: str
    """Its unit; empty for a pure number."""
    definition: str
    """What it is, in one or two sentences."""
    value: Callable[[StoredResults, Run], float]
    """Computes it for one run."""
    good_up_to: float | None = None
    """The largest value that counts as good; `None` where there is no such line."""
    above_uncontrolled: bool = False
    """Whether `good_up_to` counts from what the uncontrolled run has, where there is one."""
    band: Literal["low", "high"] | None = None
    """The end of the voltage band of the scenario within which the value is good."""


def _peak_loading_percent(_results: StoredResults, run: Run) -> float:
    return _largest(run.table("totals")["peak_of_limit_percent"])


def _lowest_voltage_pu(_results: StoredResults, run: Run) -> float:
    return -_largest(-_of_all_buses(run, "vm_min_pu"))


def _highest_voltage_pu(_results: StoredResults, run: Run) -> float:
    return _largest(_of_all_buses(run, "vm_max_pu"))


def _of_all_buses(run: Run, name: str) -> pd.Series:
    """A column of `grid`; of a folder that was written without it, what its recorded buses say."""
    grid = run.table("grid")
    return grid[name] if name in grid else run.table("totals")[name]


def _energy_above_limit_percent(_results: StoredResults, run: Run) -> float:
    totals = run.table("totals")
    return _share_percent(totals["excess_kw"].sum(), totals["carried_kw"].sum())


def _unserved_energy_percent(_results: StoredResults, run: Run) -> float:
    totals = run.table("totals")
    return _share_percent(totals["unserved_kwh"].sum(), totals["due_kwh"].sum())


def _deferred_energy_kwh(_results: StoredResults, run: Run) -> float:
    return float(run.table("totals")["owed_kwh"].tail(1).sum())


def _cold_kelvin_hours_per_home(_results: StoredResults, run: Run) -> float:
    totals = run.table("totals")
    return _ratio(totals["too_cold_kelvin_hours"].sum(), totals["heated_homes"].max())


def _price_spread_eur_per_kwh(_results: StoredResults, run: Run) -> float:
    totals = run.table("totals")
    priced = totals["priced_limits"].sum()
    return float(totals["price_spread_eur_per_kwh"].sum() / priced) if priced else 0.0


def _messages_per_home_per_step(results: StoredResults, run: Run) -> float:
    return _per_home_per_step(results, run, "messages")


def _message_bytes_per_home_per_step(results: StoredResults, run: Run) -> float:
    return _per_home_per_step(results, run, "message_bytes")


def _per_home_per_step(results: StoredResults, run: Run, column: str) -> float:
    totals = run.table("totals")
    return _ratio(totals[column].sum(), len(results.topology.homes) * len(totals))


def _flexibility_cost_eur(results: StoredResults, run: Run) -> float:
    totals = run.table("totals")
    drawn_eur = totals["flex_eur_per_h"].sum() * results.basis.dt_h
    asked_eur = (totals["tariff_eur_per_kwh"] * totals["requested_kwh"]).sum()
    return besides_energy_eur(run) + float(drawn_eur - asked_eur)


def _total_cost_eur(results: StoredResults, run: Run) -> float:
    energy_eur = run.table("totals")["energy_eur_per_h"].sum() * results.basis.dt_h
    return besides_energy_eur(run) + float(energy_eur)


def _total_cost_gap_percent(results: StoredResults, run: Run) -> float:
    return _gap_percent(results, run, _total_cost_eur)


def _flexibility_cost_gap_percent(results: StoredResults, run: Run) -> float:
    return _gap_percent(results, run, lambda _, optimum: hardship_eur(optimum))


def _gap_percent(results: StoredResults, run: Run, share_of: Callable[[StoredResults, Run], float]) -> float:
    """Total cost above the optimum's, as a share; NaN without an optimum, or as a share of nothing."""
    optimum = results.runs.get("optimum")
    if optimum is None or {run.status, optimum.status} != {"complete"}:
        return float("nan")
    whole = share_of(results, optimum)
    beyond = _total_cost_eur(results, run) - _total_cost_eur(results, optimum)
    return _share_percent(beyond, whole) if whole > 0.0 else float("nan")


def _ac_check_max_dv_pu(_results: StoredResults, run: Run) -> float:
    return _largest(run.table("grid")["ac_check_dv_pu"])


def _wall_time_s(_results: StoredResults, run: Run) -> float:
    return run.wall_time_s


def besides_energy_eur(run: Run) -> float:
    """All that a run pays besides the energy of its horizon; energy owed or stored at the end included."""
    totals = run.table("totals")
    return float(totals["cost_eur"].sum() + totals["terminal_cost_eur"].sum())


def hardship_eur(run: Run) -> float:
    """What delay, discomfort, wear and undelivered energy cost, those after the last step included."""
    totals = run.table("totals")
    return float(totals["cost_eur"].sum() + totals["terminal_cost_without_energy_eur"].sum())


def _largest(values: pd.Series) -> float:
    """The largest of the values that are numbers; NaN where there is none."""
    return float(values.max(skipna=True)) if values.notna().any() else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else float("nan")


def _share_percent(part: float, whole: float) -> float:
    return 100.0 * _ratio(part, whole)


KPIS: Mapping[str, Kpi] = MappingProxyType(
    {
        "peak_loading_percent": Kpi(
            "Peak loading",
            "% of limit",
            "Largest AC loading of any limited transformer or line in any step, as a share of its limit, "
            "whoever is behind it then.",
            _peak_loading_percent,
            good_up_to=101.0,
        ),
        "energy_above_limit_percent": Kpi(
            "Energy above the limit",
            "%",
            "Energy that the limited transformers and lines carried beyond their limits, as a share of all "
            "the energy that they carried. In a step above the limit, the part beyond it is p · (1 − limit "
            "/ loading).",
            _energy_above_limit_percent,
            good_up_to=0.1,
        ),
        "lowest_voltage_pu": Kpi(
            "Lowest voltage",
            "pu",
            "Lowest voltage magnitude of any bus in any step, watched by a limit or not.",
            _lowest_voltage_pu,
            band="low",
        ),
        "highest_voltage_pu": Kpi(
            "Highest voltage",
            "pu",
            "Highest voltage magnitude of any bus in any step, watched by a limit or not.",
            _highest_voltage_pu,
            band="high",
        ),
        "unserved_energy_percent": Kpi(
            "Energy not delivered",
            "%",
            "Energy that was not delivered by its deadline, as a share of the energy whose deadline "
            "came: cars at departure, postponed demand when it is served or expires, hot water when it is "
            "drawn off.",
            _unserved_energy_percent,
            good_up_to=0.5,
        ),
        "deferred_energy_kwh": Kpi(
            "Still owed at the end",
            "kWh",
            "Energy asked for but not yet delivered after the last step, deadline still to come; and the "
            "electricity that would lift rooms below their set point to it, and heat the cold part of tanks.",
            _deferred_energy_kwh,
        ),
        "cold_kelvin_hours_per_home": Kpi(
            "Too cold, per home",
            "K·h",
            "Time that a heated home spent below its comfort band, weighted by how many kelvin; mean over "
            "the homes with a heating device. Good: at most 0.1 K·h more than without control.",
            _cold_kelvin_hours_per_home,
            good_up_to=0.1,
            above_uncontrolled=True,
        ),
        "price_spread_eur_per_kwh": Kpi(
            "Price spread",
            "EUR/kWh",
            "Largest minus smallest copy of a limit's congestion price among its members, mean over "
            "the limits and steps with a price above zero; 0 where there never was one.",
            _price_spread_eur_per_kwh,
        ),
        "messages_per_home_per_step": Kpi(
            "Messages per home and step",
            "",
            "Messages sent between neighbours, one per directed edge and round, per home and control step.",
            _messages_per_home_per_step,
        ),
        "message_bytes_per_home_per_step": Kpi(
            "Bytes sent per home and step",
            "B",
            "Size of these messages, at 8 bytes per number and without what carrying them adds.",
            _message_bytes_per_home_per_step,
        ),
        "flexibility_cost_eur": Kpi(
            "Cost of flexibility",
            "EUR",
            "What the flexible devices cost beyond taking energy when it is asked for: delay, "
            "discomfort, wear, undelivered energy, the state left at the end, and what their energy cost "
            "less what it would have cost when it was asked for. Photovoltaics ask to feed in all they can.",
            _flexibility_cost_eur,
        ),
        "total_cost_eur": Kpi(
            "Total cost",
            "EUR",
            "All energy at the tariff, plus delay, discomfort, wear, undelivered energy and the state left "
            "at the end. Congestion prices are transfers between neighbours and not counted.",
            _total_cost_eur,
        ),
        "total_cost_gap_percent": Kpi(
            "Total cost above the optimum",
            "%",
            "By how much the total cost exceeds that of `optimum`, which knows the future and keeps the "
            "limits; below zero costs less than that by exceeding them. Needs a complete run of `optimum`.",
            _total_cost_gap_percent,
        ),
        "flexibility_cost_gap_percent": Kpi(
            "Extra cost, as a share of the optimum's discomfort, delay and wear",
            "%",
            "The same amount of money, as a share of what delay, discomfort, wear and undelivered energy "
            "cost under `optimum`, without any energy. None where they cost nothing; where the limit hardly "
            "binds it is a share of little.",
            _flexibility_cost_gap_percent,
        ),
        "ac_check_max_dv_pu": Kpi(
            "AC check",
            "pu",
            "Largest voltage difference between the recorded power flow and a plain one from a flat "
            "start, over the steps that were checked.",
            _ac_check_max_dv_pu,
            good_up_to=1e-5,
        ),
        "wall_time_s": Kpi("Wall time", "s", "Real time that the run took.", _wall_time_s),
    }
)
"""KPI name → what it is, in the order of reading."""


def kpis(results: StoredResults) -> dict[str, dict[str, float]]:
    """Controller → KPI name → value; a run that stopped early counts what it reached, NaN without rows."""
    return {
        controller: {
            name: kpi.value(results, run) if run.started else float("nan") for name, kpi in KPIS.items()
        }
        for controller, run in results.runs.items()
    }


def kpi_table(results: StoredResults) -> pd.DataFrame:
    """The same as a table: a row per KPI, a column per controller; `attrs["units"]` has the units."""
    made = pd.DataFrame(kpis(results), index=pd.Index(list(KPIS), name="kpi"), dtype="float64")
    made.attrs["units"] = {name: kpi.unit for name, kpi in KPIS.items()}
    return made.rename_axis(columns="controller")


def told(values: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Names of the KPIs that have a value under any controller, in the order of reading."""
    return [name for name in KPIS if not all(np.isnan(of_run[name]) for of_run in values.values())]


VOLTAGE_BAND_PU = (0.9, 1.1)
"""Of EN 50160, where a scenario says nothing else."""


def voltage_band(results: StoredResults) -> tuple[float, float]:
    """The band that the scenario of these results asks for."""
    limits = results.scenario.get("limits", {})
    low, high = VOLTAGE_BAND_PU
    return float(limits.get("vm_min_pu", low)), float(limits.get("vm_max_pu", high))


def is_good(
    name: str,
    controller: str,
    values: Mapping[str, Mapping[str, float]],
    band: tuple[float, float] = VOLTAGE_BAND_PU,
) -> bool | None:
    """Whether a KPI is as it should be; `None` where there is no line to hold it against.

    `band` is what `voltage_band` gives.
    """
    kpi = KPIS[name]
    value = values[controller][name]
    if kpi.band is not None and not np.isnan(value):
        low, high = band
        return bool(value >= low if kpi.band == "low" else value <= high)
    if kpi.good_up_to is None or np.isnan(value):
        return None
    start = 0.0
    if kpi.above_uncontrolled and "uncontrolled" in values:
        if controller == "uncontrolled":
            return None
        start = float(np.nan_to_num(values["uncontrolled"][name]))
    return bool(value <= kpi.good_up_to + start)


def write_kpis(results: StoredResults, folder: Path | str) -> Path:
    """Write `kpis.json`, a key per controller, into a results folder; NaN becomes null."""
    path = Path(folder) / KPIS_FILE
    write_json(path, kpis(results))
    return path
