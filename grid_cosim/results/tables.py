"""The tables of a run: one registry of columns, units and meanings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

_TIME = pa.timestamp("ms")
_NAME = pa.dictionary(pa.int32(), pa.string())
_FLOAT = pa.float64()
_SINGLE = pa.float32()  # one value per element of the network and step: seven digits, half the folder
_COUNT = pa.int64()
_FLAG = pa.bool_()


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    dtype: Any
    """Its Arrow type, as stored."""
    unit: str
    """Its unit; empty where it has none."""
    meaning: str
    """What it says, for the documentation and the schema's metadata."""

    @property
    def is_name(self) -> bool:
        """Whether it holds names."""
        return bool(self.dtype == _NAME)

    @property
    def is_time(self) -> bool:
        """Whether it holds times."""
        return bool(self.dtype == _TIME)

    @property
    def stored(self) -> np.dtype:
        """Its numpy dtype; that of the numbers which stand for names."""
        if self.is_time:
            return np.dtype("datetime64[ms]")
        return np.dtype(np.int32 if self.is_name else self.dtype.to_pandas_dtype())

    @property
    def unknown(self) -> Any:
        """What stands where nobody knows: nothing was counted or seen, and no number is a number."""
        return {_COUNT: 0, _FLAG: False}.get(self.dtype, np.nan)


def _table(**columns: Column) -> Mapping[str, Column]:
    """Put the time that every table but the summaries has in front."""
    time = Column(_TIME, "", "start of the control step, local time without a zone")
    return MappingProxyType({"time": time, **columns})


TABLES: Mapping[str, Mapping[str, Column]] = MappingProxyType(
    {
        "households": _table(
            household=Column(_NAME, "", "the household"),
            p_kw=Column(_FLOAT, "kW", "net power, consumption positive"),
            base_kw=Column(_FLOAT, "kW", "its inflexible part"),
            flex_kw=Column(_FLOAT, "kW", "its flexible part, the devices"),
            q_kvar=Column(_FLOAT, "kvar", "net reactive power, inductive positive"),
            tariff_eur_per_kwh=Column(_FLOAT, "EUR/kWh", "what energy cost"),
            price_eur_per_kwh=Column(_FLOAT, "EUR/kWh", "local congestion price that its devices acted on"),
        ),
        "devices": _table(
            device=Column(_NAME, "", "the device"),
            kind=Column(_NAME, "", "kind of device, such as electric_vehicle"),
            household=Column(_NAME, "", "the household that owns it"),
            p_kw=Column(_FLOAT, "kW", "power, consumption positive"),
            requested_kwh=Column(
                _FLOAT,
                "kWh",
                "electricity newly asked for in this step; negative for photovoltaics, which ask to feed in",
            ),
            due_kwh=Column(_FLOAT, "kWh", "energy whose deadline is settled in this step"),
            served_kwh=Column(_FLOAT, "kWh", "energy delivered in this step, what was fed in negative"),
            unserved_kwh=Column(_FLOAT, "kWh", "of the energy due, what was not delivered"),
            owed_kwh=Column(_FLOAT, "kWh", "energy still owed after the step"),
            age_h=Column(_FLOAT, "h", "age of the oldest energy still owed"),
            temperature_c=Column(_FLOAT, "°C", "indoor temperature after the step, where the device has one"),
            too_cold_kelvin_hours=Column(_FLOAT, "K·h", "time below the comfort band, weighted by how far"),
            cost_eur=Column(
                _FLOAT, "EUR", "delay, discomfort, wear and undelivered energy, without energy and price"
            ),
            terminal_cost_eur=Column(
                _FLOAT, "EUR", "what the state left at the end costs; 0 before the last step"
            ),
            terminal_cost_without_energy_eur=Column(
                _FLOAT, "EUR", "its part that is delay, discomfort and undelivered energy; never negative"
            ),
        ),
        "limits": _table(
            limit=Column(_NAME, "", "the limit, called after its element"),
            p_kw=Column(
                _FLOAT,
                "kW",
                "what the element carries in the AC solution, consumption positive (against reverse flow: "
                "generation positive); of a voltage, its drop or rise in kW at its most influential home",
            ),
            loading_percent=Column(
                _FLOAT,
                "%",
                "AC loading of the element, of its rating, and below 0 while power flows against the limit "
                "if the element has one each way; of a voltage, the used share of the permitted drop or rise",
            ),
            counts=Column(
                _FLAG,
                "",
                "whether it is about the flow through a transformer or line: what KPIs of loading count, "
                "each element once, in the direction of the flow",
            ),
            limit_percent=Column(_FLOAT, "%", "AC loading that counts as the limit"),
            limit_kw=Column(_FLOAT, "kW", "what the element can carry, as its meter estimated it"),
            offset_kw=Column(
                _FLOAT, "kW", "what it carried beyond its members when it was measured; no node knows it"
            ),
            base_kw=Column(_FLOAT, "kW", "inflexible power of its members"),
            price_mean_eur_per_kwh=Column(
                _FLOAT, "EUR/kWh", "congestion price, mean over the members' copies"
            ),
            price_min_eur_per_kwh=Column(
                _FLOAT, "EUR/kWh", "congestion price, smallest of the members' copies"
            ),
            price_max_eur_per_kwh=Column(
                _FLOAT, "EUR/kWh", "congestion price, largest of the members' copies"
            ),
            messages=Column(
                _COUNT, "", "messages between members in this step, one per directed edge and round"
            ),
            message_bytes=Column(_COUNT, "B", "their size, at 8 bytes per number"),
            rounds=Column(_COUNT, "", "rounds of messages in this step, one after the other"),
            saturated=Column(
                _FLAG,
                "",
                "whether a member's copy stood at the largest price and still saw the limit exceeded",
            ),
            consensus_error_eur_per_kwh=Column(
                _FLOAT,
                "EUR/kWh",
                "root mean square of all copies of the congestion price, the meter's included, about their "
                "mean; NaN where nothing was negotiated",
            ),
        ),
        "agreement": _table(
            limit=Column(_NAME, "", "the limited element"),
            mixing_rate=Column(_FLOAT, "", "σ of the limit's graph: what a plain round leaves at most"),
            contraction=Column(
                _FLOAT,
                "",
                "what the rounds of one exchange, here the last, leave of a disagreement at most; 1 where "
                "links may fail: nothing is promised",
            ),
            drift_eur_per_kwh=Column(
                _FLOAT,
                "EUR/kWh",
                "root mean square about their mean of the moves that nodes make before they talk, largest "
                "iteration; `gradient` only",
            ),
            asked_excess_kw=Column(
                _FLOAT,
                "kW",
                "by how much the demand at each iteration's prices exceeds the limit, mean over the "
                "iterations; `gradient` only",
            ),
            excess_bound_kw=Column(
                _FLOAT, "kW", "its bound, which holds for their means over time; `gradient` only"
            ),
            estimate_error_kw=Column(
                _FLOAT,
                "kW",
                "root mean square error of the nodes' estimates of the excess over the limit, at the price "
                "where it is largest; `curve` and `newton` only",
            ),
            estimate_bound_kw=Column(
                _FLOAT, "kW", "what the rounds may leave of it at most; `curve` and `newton` only"
            ),
        ),
        "lines": _table(
            line=Column(_NAME, "", "the line"),
            loading_percent=Column(_SINGLE, "%", "AC loading of the line, of its rating"),
            p_kw=Column(_SINGLE, "kW", "active power into its from side"),
        ),
        "buses": _table(
            bus=Column(_NAME, "", "the bus"),
            vm_pu=Column(_SINGLE, "pu", "voltage magnitude"),
            p_kw=Column(_SINGLE, "kW", "net power taken at the bus, consumption positive"),
        ),
        "grid": _table(
            converged=Column(_FLAG, "", "whether the AC power flow converged"),
            iterations=Column(_COUNT, "", "iterations of the AC power flow; 0: not told"),
            losses_kw=Column(_FLOAT, "kW", "active losses of the network"),
            slack_p_kw=Column(_FLOAT, "kW", "active power that the external grid supplies"),
            vm_min_pu=Column(_FLOAT, "pu", "lowest voltage of any bus"),
            vm_max_pu=Column(_FLOAT, "pu", "highest voltage of any bus"),
            ac_check_dv_pu=Column(
                _FLOAT, "pu", "largest voltage difference to a plain power flow; NaN: not checked"
            ),
        ),
        "totals": _table(
            p_kw=Column(_FLOAT, "kW", "net power of all households"),
            base_kw=Column(_FLOAT, "kW", "its inflexible part"),
            flex_kw=Column(_FLOAT, "kW", "its flexible part"),
            tariff_eur_per_kwh=Column(_FLOAT, "EUR/kWh", "what energy cost, for the first household"),
            energy_eur_per_h=Column(_FLOAT, "EUR/h", "tariff times net power, sum over the households"),
            flex_eur_per_h=Column(_FLOAT, "EUR/h", "tariff times flexible power, sum over the households"),
            requested_kwh=Column(
                _FLOAT, "kWh", "electricity newly asked for, sum over the devices, roofs with their sign"
            ),
            asked_kwh=Column(_FLOAT, "kWh", "the same over the kinds that ask for any"),
            due_kwh=Column(_FLOAT, "kWh", "energy whose deadline is settled, sum"),
            served_kwh=Column(_FLOAT, "kWh", "energy delivered, sum over the same kinds"),
            unserved_kwh=Column(_FLOAT, "kWh", "of the energy due, what was not delivered, sum"),
            owed_kwh=Column(_FLOAT, "kWh", "energy still owed after the step, sum"),
            cost_eur=Column(_FLOAT, "EUR", "delay, discomfort, wear and undelivered energy, sum"),
            terminal_cost_eur=Column(_FLOAT, "EUR", "what the state left at the end costs, sum"),
            terminal_cost_without_energy_eur=Column(
                _FLOAT, "EUR", "its part that is delay, discomfort and undelivered energy, sum"
            ),
            heated_homes=Column(_COUNT, "", "households in which a device had a temperature until now"),
            too_cold_kelvin_hours=Column(_FLOAT, "K·h", "time below the comfort band, sum over these"),
            temperature_low_c=Column(_FLOAT, "°C", "5 % of the temperatures are lower"),
            temperature_median_c=Column(_FLOAT, "°C", "median temperature"),
            temperature_high_c=Column(_FLOAT, "°C", "5 % of the temperatures are higher"),
            peak_of_limit_percent=Column(_FLOAT, "%", "largest loading of a limit, as a share of the limit"),
            limits_above=Column(_COUNT, "", "limits that were exceeded"),
            carried_kw=Column(_FLOAT, "kW", "what the limited elements carried, sum of absolute values"),
            excess_kw=Column(_FLOAT, "kW", "their part beyond the limits, p · (1 − limit / loading), sum"),
            priced_limits=Column(_COUNT, "", "limits with a congestion price above zero"),
            price_spread_eur_per_kwh=Column(
                _FLOAT, "EUR/kWh", "largest minus smallest copy of the price, sum over these limits"
            ),
            messages=Column(_COUNT, "", "messages between neighbours"),
            message_bytes=Column(_COUNT, "B", "their size"),
            line_loading_max_percent=Column(_FLOAT, "%", "largest loading of a line"),
            vm_min_pu=Column(_FLOAT, "pu", "lowest voltage of a bus"),
            vm_max_pu=Column(_FLOAT, "pu", "highest voltage of a bus"),
        ),
        "household_summary": MappingProxyType(
            {
                "household": Column(_NAME, "", "the household"),
                "p_mean_kw": Column(_FLOAT, "kW", "mean net power"),
                "p_max_kw": Column(_FLOAT, "kW", "largest net power"),
                "flex_mean_kw": Column(_FLOAT, "kW", "mean of its flexible part"),
                "energy_mean_eur_per_h": Column(_FLOAT, "EUR/h", "tariff times net power, mean"),
                "price_mean_eur_per_kwh": Column(_FLOAT, "EUR/kWh", "mean local congestion price"),
            }
        ),
        "device_summary": MappingProxyType(
            {
                "device": Column(_NAME, "", "the device"),
                "kind": Column(_NAME, "", "kind of device"),
                "household": Column(_NAME, "", "the household that owns it"),
                "p_mean_kw": Column(_FLOAT, "kW", "mean power"),
                "requested_kwh": Column(_FLOAT, "kWh", "electricity asked for, sum"),
                "due_kwh": Column(_FLOAT, "kWh", "energy whose deadline was settled, sum"),
                "served_kwh": Column(_FLOAT, "kWh", "energy delivered, sum"),
                "unserved_kwh": Column(_FLOAT, "kWh", "of the energy due, what was not delivered, sum"),
                "owed_kwh": Column(_FLOAT, "kWh", "energy still owed after the last step"),
                "age_max_h": Column(_FLOAT, "h", "largest age of energy owed"),
                "temperature_min_c": Column(_FLOAT, "°C", "lowest indoor temperature"),
                "too_cold_kelvin_hours": Column(_FLOAT, "K·h", "time below the comfort band, sum"),
                "cost_eur": Column(_FLOAT, "EUR", "delay, discomfort, wear and undelivered energy, sum"),
                "terminal_cost_eur": Column(_FLOAT, "EUR", "what the state left at the end costs"),
            }
        ),
        "limit_summary": MappingProxyType(
            {
                "limit": Column(_NAME, "", "the limited element"),
                "peak_of_limit_percent": Column(_FLOAT, "%", "largest loading, as a share of the limit"),
                "peak_time": Column(_TIME, "", "the first step in which it occurred"),
                "steps_above": Column(_COUNT, "", "steps in which the limit was exceeded"),
                "price_max_eur_per_kwh": Column(_FLOAT, "EUR/kWh", "largest mean congestion price"),
                "hopeless_steps": Column(
                    _COUNT,
                    "",
                    "steps above the limit of a flow in which the inflexible load alone was more, too",
                ),
                "hopeless_first": Column(_TIME, "", "the first of them"),
                "saturated_steps": Column(
                    _COUNT, "", "other steps in which the largest price was not enough for the limit"
                ),
                "saturated_first": Column(_TIME, "", "the first of them"),
            }
        ),
        "line_summary": MappingProxyType(
            {
                "line": Column(_NAME, "", "the line"),
                "loading_max_percent": Column(_FLOAT, "%", "largest AC loading"),
                "loading_max_time": Column(_TIME, "", "the first step in which it occurred"),
                "loading_mean_percent": Column(_FLOAT, "%", "mean AC loading"),
            }
        ),
        "bus_summary": MappingProxyType(
            {
                "bus": Column(_NAME, "", "the bus"),
                "vm_min_pu": Column(_FLOAT, "pu", "lowest voltage magnitude"),
                "vm_min_time": Column(_TIME, "", "the first step in which it occurred"),
                "vm_max_pu": Column(_FLOAT, "pu", "highest voltage magnitude"),
                "vm_max_time": Column(_TIME, "", "the first step in which it occurred"),
            }
        ),
    }
)
"""Table name → column name → what it is. All but the summaries begin with `time`."""

RECORDED = ("households", "devices", "limits", "agreement", "lines", "buses", "grid")
"""The tables that are sent; `totals` and the summaries are made of them."""

SUMMARY_OF = MappingProxyType(
    {
        "households": "household_summary",
        "devices": "device_summary",
        "limits": "limit_summary",
        "lines": "line_summary",
        "buses": "bus_summary",
    }
)
"""Table → the table with one row per element of it, over all steps."""


def columns_of(table: str) -> Mapping[str, Column]:
    """The columns of a table; a table that is not in `TABLES` is our mistake."""
    assert table in TABLES, f"no table named {table!r}; there are {', '.join(TABLES)}"
    return TABLES[table]
