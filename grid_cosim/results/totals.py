"""One row per step: what all homes, devices and limits did together; KPIs rest on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from grid_cosim.results.tables import TABLES

Columns = Mapping[str, np.ndarray]
"""Column → its values in one step, as they are stored; names are numbers."""

_SUMS = (
    "requested_kwh",
    "due_kwh",
    "served_kwh",
    "unserved_kwh",
    "owed_kwh",
    "cost_eur",
    "terminal_cost_eur",
    "terminal_cost_without_energy_eur",
)
_LOW_MEDIAN_HIGH = (5, 50, 95)
"""Percentiles that are drawn as a band."""


class Totals:
    """Sums and extremes of each step, table by table; remembers only which homes are heated, and who asks."""

    def __init__(self) -> None:
        self._heated: Bool[np.ndarray, " households"] = np.zeros(0, dtype=bool)
        self._asking: Bool[np.ndarray, " kinds"] = np.zeros(0, dtype=bool)
        self._of: Mapping[str, Callable[[Columns], dict[str, Any]]] = {
            "households": _of_households,
            "devices": self._of_devices,
            "limits": _of_limits,
            "lines": _of_lines,
            "buses": _of_buses,
        }

    @property
    def state(self) -> dict[str, np.ndarray]:
        """What is remembered."""
        return {"heated": self._heated, "asking": self._asking}

    def go_on(self, state: Mapping[str, np.ndarray]) -> None:
        """Remember what others did, whose `state` this is."""
        self._heated, self._asking = state["heated"], state["asking"]

    def of(self, table: str, columns: Columns) -> dict[str, Any]:
        """What one step's rows of a table say; nothing for a table that is not summed up, or without rows."""
        if table not in self._of or not next(iter(columns.values())).size:
            return {}
        return self._of[table](columns)

    def _of_devices(self, columns: Columns) -> dict[str, Any]:
        sums = {name: float(np.nansum(columns[name])) for name in _SUMS}
        asking = self._asked_for(columns)
        sums["asked_kwh"] = float(np.nansum(columns["requested_kwh"][asking]))
        sums["served_kwh"] = float(np.nansum(columns["served_kwh"][asking]))
        temperature_c = columns["temperature_c"]
        known = ~np.isnan(temperature_c)
        if not known.any():
            return sums | {"heated_homes": int(self._heated.sum()), "too_cold_kelvin_hours": 0.0}
        self._heated = _marked(self._heated, columns["household"][known])
        low, median, high = np.percentile(temperature_c[known], _LOW_MEDIAN_HIGH)
        return sums | {
            "heated_homes": int(self._heated.sum()),
            "too_cold_kelvin_hours": float(np.nansum(columns["too_cold_kelvin_hours"][known])),
            "temperature_low_c": float(low),
            "temperature_median_c": float(median),
            "temperature_high_c": float(high),
        }

    def _asked_for(self, columns: Columns) -> Bool[np.ndarray, " rows"]:
        """Devices of a kind that has asked for something: a battery or a roof serves nobody's demand."""
        kind = columns["kind"]
        self._asking = _marked(self._asking, kind[columns["requested_kwh"] > 0.0], size=int(kind.max()) + 1)
        return np.asarray(self._asking[kind])


def _marked(
    marks: Bool[np.ndarray, " known"], rows: Int[np.ndarray, " some"], *, size: int = 0
) -> Bool[np.ndarray, " all"]:
    """The same with these rows marked, and as many more as it takes."""
    size = max(size, int(rows.max(initial=-1)) + 1)
    grown = np.concatenate([marks, np.zeros(max(0, size - marks.size), dtype=bool)])
    grown[rows] = True
    return grown


def full_row(told: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `totals` without its time; what was not told is unknown."""
    return {name: told.get(name, column.unknown) for name, column in _TOTALS.items()}


_TOTALS = {name: column for name, column in TABLES["totals"].items() if name != "time"}


def _of_households(columns: Columns) -> dict[str, Any]:
    tariff = columns["tariff_eur_per_kwh"]
    return {
        "p_kw": float(np.nansum(columns["p_kw"])),
        "base_kw": float(np.nansum(columns["base_kw"])),
        "flex_kw": float(np.nansum(columns["flex_kw"])),
        "tariff_eur_per_kwh": float(tariff[0]),
        "energy_eur_per_h": float(np.nansum(tariff * columns["p_kw"])),
        "flex_eur_per_h": float(np.nansum(tariff * columns["flex_kw"])),
    }


def of_limit_percent(columns: Columns) -> Float[np.ndarray, " limits"]:
    """Loading as a share of the limit; NaN without a limit."""
    limit = columns["limit_percent"]
    share = np.full(limit.shape, np.nan)
    np.divide(100.0 * columns["loading_percent"], limit, out=share, where=limit > 0.0)
    return share


def _of_limits(columns: Columns) -> dict[str, Any]:
    talk = {
        "priced_limits": int((columns["price_max_eur_per_kwh"] > 0.0).sum()),
        "price_spread_eur_per_kwh": _spread(columns),
        "messages": int(columns["messages"].sum()),
        "message_bytes": int(columns["message_bytes"].sum()),
    }
    return talk | _of_flows({name: values[columns["counts"]] for name, values in columns.items()})


def _spread(columns: Columns) -> float:
    high = columns["price_max_eur_per_kwh"]
    return float(np.nansum((high - columns["price_min_eur_per_kwh"])[high > 0.0]))


def _of_flows(columns: Columns) -> dict[str, Any]:
    """Of the limits about the flow through transformers and lines, each element once: the way it flows."""
    loading = columns["loading_percent"]
    # a limit against the flow has a loading below zero: its element's limit the other way counts
    p_kw = np.where(loading < 0.0, 0.0, np.abs(columns["p_kw"]))
    above = loading > columns["limit_percent"]
    beyond_kw = p_kw[above] * (1.0 - columns["limit_percent"][above] / loading[above])
    return {
        "peak_of_limit_percent": _largest(of_limit_percent(columns)),
        "limits_above": int(above.sum()),
        "carried_kw": float(np.nansum(p_kw)),
        "excess_kw": float(np.nansum(beyond_kw)),
    }


def _of_lines(columns: Columns) -> dict[str, Any]:
    return {"line_loading_max_percent": _largest(columns["loading_percent"])}


def _of_buses(columns: Columns) -> dict[str, Any]:
    vm_pu = columns["vm_pu"]
    return {"vm_min_pu": -_largest(-vm_pu), "vm_max_pu": _largest(vm_pu)}


def _largest(values: np.ndarray) -> float:
    """The largest of the values that are numbers; NaN where there is none."""
    return float(np.fmax.reduce(values, initial=np.nan))
