"""One row per home, device, limit, line or bus: sums, means and extremes over all steps so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from grid_cosim.results.tables import SUMMARY_OF, TABLES
from grid_cosim.results.totals import Columns, of_limit_percent

_NEVER = np.datetime64("NaT", "ms")


class _Reduction:
    """A number per element, over the steps until now; what is no number counts for nothing."""

    start: float = 0.0

    def __init__(self, of: Callable[[Columns], np.ndarray], *, timed: str = "") -> None:
        self.of, self.timed = of, timed
        self.value: Float[np.ndarray, " elements"] = np.zeros(0)
        self.time: np.ndarray = np.zeros(0, dtype="datetime64[ms]")

    def grow(self, n: int) -> None:
        self.value = np.append(self.value, np.full(n - self.value.size, self.start))
        self.time = np.append(self.time, np.full(n - self.time.size, _NEVER))

    def take(self, rows: Any, values: np.ndarray, when: np.datetime64) -> None:
        raise NotImplementedError

    def result(self) -> np.ndarray:
        return self.value

    @property
    def state(self) -> dict[str, np.ndarray]:
        return {"value": self.value, "time": self.time}

    def go_on(self, state: Mapping[str, np.ndarray]) -> None:
        self.value, self.time = state["value"], state["time"]


class _Sum(_Reduction):
    def take(self, rows: Any, values: np.ndarray, when: np.datetime64) -> None:
        self.value[rows] += np.where(np.isnan(values), 0.0, values)


class _Count(_Sum):
    """Steps in which something is so, and the first of them."""

    def take(self, rows: Any, values: np.ndarray, when: np.datetime64) -> None:
        if values.any():
            first = values & (self.value[rows] == 0)
            self.time[rows] = np.where(first, when, self.time[rows])
            self.value[rows] += values

    def result(self) -> np.ndarray:
        return self.value.astype(np.int64)


class _Mean(_Sum):
    def __init__(self, of: Callable[[Columns], np.ndarray], *, timed: str = "") -> None:
        super().__init__(of, timed=timed)
        self._known = np.zeros(0, dtype=np.int64)

    def grow(self, n: int) -> None:
        super().grow(n)
        self._known = np.append(self._known, np.zeros(n - self._known.size, dtype=np.int64))

    def take(self, rows: Any, values: np.ndarray, when: np.datetime64) -> None:
        super().take(rows, values, when)
        self._known[rows] += ~np.isnan(values)

    def result(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.asarray(self.value / self._known)

    @property
    def state(self) -> dict[str, np.ndarray]:
        return super().state | {"known": self._known}

    def go_on(self, state: Mapping[str, np.ndarray]) -> None:
        super().go_on(state)
        self._known = state["known"]


class _Max(_Reduction):
    start = np.nan

    def take(self, rows: Any, values: np.ndarray, when: np.datetime64) -> None:
        before = self.value[rows]
        if self.timed:
            higher = (values > before) | (np.isnan(before) & ~np.isnan(values))
            self.time[rows] = np.where(higher, when, self.time[rows])
        self.value[rows] = np.fmax(before, values)


class _Min(_Max):
    def take(self, rows: Any, values: np.ndarray, when: np.datetime64) -> None:
        super().take(rows, -values, when)

    def result(self) -> np.ndarray:
        return -self.value


class _Last(_Reduction):
    start = np.nan

    def take(self, rows: Any, values: np.ndarray, when: np.datetime64) -> None:
        self.value[rows] = values


def _column(name: str) -> Callable[[Columns], np.ndarray]:
    return lambda columns: columns[name]


def _hopeless(columns: Columns) -> np.ndarray:
    """Above the limit of a flow, and so without any flexible power. A voltage's kW are too rough for that."""
    above = columns["counts"] & (columns["loading_percent"] > columns["limit_percent"])
    return np.asarray(above & (columns["base_kw"] > columns["limit_kw"] - columns["offset_kw"]))


def _reductions(table: str) -> dict[str, _Reduction]:
    """The columns of a summary, each with what it is made of; new ones for every run."""
    sums = (
        "requested_kwh",
        "due_kwh",
        "served_kwh",
        "unserved_kwh",
        "too_cold_kelvin_hours",
        "cost_eur",
        "terminal_cost_eur",
    )
    made: dict[str, dict[str, _Reduction]] = {
        "households": {
            "p_mean_kw": _Mean(_column("p_kw")),
            "p_max_kw": _Max(_column("p_kw")),
            "flex_mean_kw": _Mean(_column("flex_kw")),
            "energy_mean_eur_per_h": _Mean(lambda c: c["tariff_eur_per_kwh"] * c["p_kw"]),
            "price_mean_eur_per_kwh": _Mean(_column("price_eur_per_kwh")),
        },
        "devices": {
            "p_mean_kw": _Mean(_column("p_kw")),
            **{name: _Sum(_column(name)) for name in sums},
            "owed_kwh": _Last(_column("owed_kwh")),
            "age_max_h": _Max(_column("age_h")),
            "temperature_min_c": _Min(_column("temperature_c")),
        },
        "limits": {
            "peak_of_limit_percent": _Max(of_limit_percent, timed="peak_time"),
            "steps_above": _Count(lambda c: c["loading_percent"] > c["limit_percent"]),
            "price_max_eur_per_kwh": _Max(_column("price_mean_eur_per_kwh")),
            "hopeless_steps": _Count(_hopeless, timed="hopeless_first"),
            "saturated_steps": _Count(lambda c: c["saturated"] & ~_hopeless(c), timed="saturated_first"),
        },
        "lines": {
            "loading_max_percent": _Max(_column("loading_percent"), timed="loading_max_time"),
            "loading_mean_percent": _Mean(_column("loading_percent")),
        },
        "buses": {
            "vm_min_pu": _Min(_column("vm_pu"), timed="vm_min_time"),
            "vm_max_pu": _Max(_column("vm_pu"), timed="vm_max_time"),
        },
    }
    return made[table]


@dataclass
class Summary:
    """The summary of one table, as far as the run has got."""

    table: str

    def __post_init__(self) -> None:
        self._reductions = _reductions(self.table)
        self._key, *others = (
            name for name, column in TABLES[SUMMARY_OF[self.table]].items() if column.is_name
        )
        self._others = {name: np.zeros(0, dtype=np.int32) for name in others}
        self.n_elements = 0

    @property
    def state(self) -> dict[str, Any]:
        """All that has been added until now."""
        columns = {name: reduction.state for name, reduction in self._reductions.items()}
        return {"n_elements": self.n_elements, "others": self._others, "columns": columns}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Go on from what was added to another, whose `state` this is."""
        self.n_elements, self._others = state["n_elements"], state["others"]
        for name, reduction in self._reductions.items():
            reduction.go_on(state["columns"][name])

    def add(self, columns: Columns, when: np.datetime64) -> None:
        """One step's rows; names are numbers that begin at 0."""
        codes: Int[np.ndarray, " rows"] = columns[self._key]
        if not codes.size:
            return
        n = int(codes.max()) + 1
        if n > self.n_elements:
            self._grow(n, columns)
        in_order = codes.size == self.n_elements and bool((codes == np.arange(codes.size)).all())
        rows = slice(None) if in_order else codes
        for reduction in self._reductions.values():
            reduction.take(rows, reduction.of(columns), when)

    def columns(self, names: Mapping[str, list[str]]) -> dict[str, Any]:
        """The columns of the summary, its names by their column from `names`."""
        made: dict[str, Any] = {self._key: np.array(names[self._key], dtype=object)}
        for name, codes in self._others.items():
            made[name] = np.array([names[name][code] for code in codes], dtype=object)
        for name, reduction in self._reductions.items():
            made[name] = reduction.result()
            if reduction.timed:
                made[reduction.timed] = reduction.time
        return made

    def _grow(self, n: int, columns: Columns) -> None:
        for reduction in self._reductions.values():
            reduction.grow(n)
        for name, codes in self._others.items():
            grown = np.append(codes, np.zeros(n - codes.size, dtype=np.int32))
            grown[columns[self._key]] = columns[name]
            self._others[name] = grown
        self.n_elements = n
