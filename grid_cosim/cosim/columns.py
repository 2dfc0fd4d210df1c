"""What one step did as columns of the results' tables, all but their time: plain arrays, no mosaik."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from grid_cosim.feeder import Feeder, Snapshot
    from grid_cosim.neighbourhood import Neighbourhood, NeighbourhoodStep

Columns = dict[str, Any]
"""Column name → array with one entry per row, or one value."""


def _names(values: Any) -> np.ndarray:
    """Names that nobody can change, so that who writes them need look only once."""
    names = np.array(list(values), dtype=object)
    names.flags.writeable = False
    return names


@dataclass(frozen=True)
class NeighbourhoodColumns:
    """The tables of the households' side; of `limits`, what that side knows."""

    neighbourhood: Neighbourhood
    household: np.ndarray
    device: np.ndarray
    kind: np.ndarray
    owner: np.ndarray
    limit: np.ndarray

    @classmethod
    def of(cls, neighbourhood: Neighbourhood) -> NeighbourhoodColumns:
        """Names once, since they are the same in every step."""
        groups = neighbourhood.fleet.groups
        household = _names(neighbourhood.household_names)
        rows = [row for group in groups for row in group.household]
        return cls(
            neighbourhood=neighbourhood,
            household=household,
            device=_names(neighbourhood.device_names),
            kind=_names(group.kind for group in groups for _ in group.household),
            owner=_names(household[np.array(rows, dtype=np.int64)]),
            limit=_names(neighbourhood.limit_names),
        )

    def households(self, done: NeighbourhoodStep) -> Columns:
        """One row per household."""
        return {
            "household": self.household,
            "p_kw": done.p_kw,
            "base_kw": done.base_kw.copy(),
            "flex_kw": done.flex_kw.copy(),
            "q_kvar": done.q_kvar.copy(),
            "tariff_eur_per_kwh": np.full(self.household.size, done.tariff_eur_per_kwh),
            "price_eur_per_kwh": done.decision.local_price.copy(),
        }

    def devices(self, done: NeighbourhoodStep) -> Columns:
        """One row per device, group after group."""
        columns: Columns = {"device": self.device, "kind": self.kind, "household": self.owner}
        columns["p_kw"] = _joined(done.decision.powers_kw)
        columns["terminal_cost_eur"] = _joined(done.terminal_cost_eur)
        columns["terminal_cost_without_energy_eur"] = _joined(done.terminal_cost_without_energy_eur)
        columns |= {
            name: _joined(getattr(outputs, name) for outputs in done.outputs) for name in _OUTPUT_COLUMNS
        }
        return columns

    def limits(self, done: NeighbourhoodStep) -> Columns:
        """One row per limit, without what its element carries in the AC solution."""
        mean, low, high = self.price_statistics(done)
        return {
            "limit": self.limit,
            "limit_percent": done.limit_percent.copy(),
            "limit_kw": done.limit_kw.copy(),
            "offset_kw": done.offset_kw.copy(),
            "base_kw": done.members_base_kw.copy(),
            "price_mean_eur_per_kwh": mean,
            "price_min_eur_per_kwh": low,
            "price_max_eur_per_kwh": high,
            **_copied(done.decision.negotiated, _SAID),
        }

    def agreement(self, done: NeighbourhoodStep) -> Columns | None:
        """One row per limit: what theory promises beside what was measured; None where nobody talked."""
        outcome = done.decision.negotiated
        if outcome is None or outcome.agreement is None:
            return None
        return {"limit": self.limit, **_copied(outcome.agreement, vars(outcome.agreement))}

    def connection_points(self, done: NeighbourhoodStep) -> Columns:
        """Sums of the homes at each bus, on the wire's scale."""
        at = self.neighbourhood
        return {
            "bus": at.connection_buses.copy(),
            "P[MW]": at.at_connection_points(done.p_kw) / 1e3,
            "Q[MVar]": at.at_connection_points(done.q_kvar) / 1e3,
        }

    def messages(self, done: NeighbourhoodStep) -> np.ndarray:
        """What was sent about each limit."""
        outcome = done.decision.negotiated
        return np.zeros(self.limit.size, dtype=np.int64) if outcome is None else outcome.messages

    def price_statistics(self, done: NeighbourhoodStep) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, smallest and largest of the members' copies, per limit; NaN for a limit without members."""
        price, n_limits = done.decision.price, self.limit.size
        member_limit = done.copies.member_limit
        count = np.bincount(member_limit, minlength=n_limits)
        low, high = np.full(n_limits, np.inf), np.full(n_limits, -np.inf)
        np.minimum.at(low, member_limit, price)
        np.maximum.at(high, member_limit, price)
        with np.errstate(invalid="ignore"):
            mean = np.bincount(member_limit, weights=price, minlength=n_limits) / count
        # the mean of equal numbers may leave their range by a rounding error
        mean = np.clip(mean, low, high, where=count > 0, out=np.full(n_limits, np.nan))
        return mean, np.where(count > 0, low, np.nan), np.where(count > 0, high, np.nan)


_SAID = ("messages", "message_bytes", "rounds", "saturated", "consensus_error_eur_per_kwh")
"""Columns of `limits` that a controller without a negotiation does not have."""

_OUTPUT_COLUMNS = (
    "requested_kwh",
    "due_kwh",
    "served_kwh",
    "unserved_kwh",
    "owed_kwh",
    "age_h",
    "temperature_c",
    "too_cold_kelvin_hours",
    "cost_eur",
)


def _copied(outcome: object, names: Iterable[str]) -> Columns:
    """Attributes of an outcome by their names; none of None."""
    return {} if outcome is None else {name: getattr(outcome, name).copy() for name in names}


def _joined(tensors: Any) -> np.ndarray:
    """The groups' tensors, one after the other."""
    arrays = [tensor.numpy() for tensor in tensors]
    return np.concatenate(arrays) if arrays else np.zeros(0)


@dataclass(frozen=True)
class FeederColumns:
    """The tables `lines`, `buses` and `grid`, and of `limits` what the AC solution says."""

    bus: np.ndarray
    line: np.ndarray
    limit: np.ndarray
    counts: np.ndarray
    """Whether a limit is about the flow through a transformer or line."""
    sense: np.ndarray
    line_of: np.ndarray
    bus_of: np.ndarray
    """Row of the line, of the bus, that is measured for each limit; -1 for a transformer or a phase."""

    @classmethod
    def of(cls, feeder: Feeder) -> FeederColumns:
        """Names once, since they are the same in every step."""
        limits = feeder.limits
        element = np.array(limits.element, dtype=object)

        def rows(name: str, index: Any) -> np.ndarray:
            here = (element == name) & (limits.phase < 0)
            return np.where(here, index.get_indexer(limits.index), -1)

        return cls(
            bus=_names(f"Bus-{i}" for i in feeder.buses.index),
            line=_names(f"Line-{i}" for i in feeder.lines.index),
            limit=_names(limits.names),
            counts=~limits.is_voltage,
            sense=limits.sense.astype(float),
            line_of=rows("line", feeder.lines.index),
            bus_of=rows("bus", feeder.buses.index),
        )

    def buses(self, snapshot: Snapshot) -> Columns:
        """One row per bus."""
        return {"bus": self.bus, "vm_pu": snapshot.vm_pu.copy(), "p_kw": snapshot.bus_p_kw.copy()}

    def lines(self, snapshot: Snapshot) -> Columns:
        """One row per line."""
        return {
            "line": self.line,
            "loading_percent": snapshot.line_loading_percent.copy(),
            "p_kw": snapshot.line_p_kw.copy(),
        }

    def limits(self, snapshot: Snapshot) -> Columns:
        """One row per limit, without what only the households' side knows."""
        return {
            "limit": self.limit,
            "p_kw": snapshot.limit_p_kw.copy(),
            "loading_percent": snapshot.limit_loading_percent.copy(),
            "counts": self.counts.copy(),
        }

    def measured(self, snapshot: Snapshot) -> Columns:
        """What was measured at the element of each limit, as the element itself tells it on the wire."""
        is_line, is_bus = self.line_of >= 0, self.bus_of >= 0
        p_kw, loading = self.sense * snapshot.limit_p_kw, np.abs(snapshot.limit_loading_percent)
        vm_pu = np.full(is_bus.size, np.nan)
        p_kw[is_line] = snapshot.line_p_kw[self.line_of[is_line]]
        vm_pu[is_bus] = snapshot.vm_pu[self.bus_of[is_bus]]
        p_kw[is_bus] = loading[is_bus] = np.nan
        return {"limit": self.limit, "P[MW]": p_kw / 1e3, "loading[%]": loading, "Vm[pu]": vm_pu}

    def grid(self, snapshot: Snapshot, ac_check_dv_pu: float) -> Columns:
        """One row."""
        return {
            "converged": bool(snapshot.converged),
            "iterations": int(snapshot.iterations),
            "losses_kw": float(snapshot.losses_kw),
            "slack_p_kw": float(snapshot.slack_p_kw),
            "vm_min_pu": _extreme(np.fmin, snapshot.vm_pu),
            "vm_max_pu": _extreme(np.fmax, snapshot.vm_pu),
            "ac_check_dv_pu": ac_check_dv_pu,
        }


def _extreme(which: np.ufunc, vm_pu: np.ndarray) -> float:
    """Over the buses that are energised; NaN where none is."""
    return float(which.reduce(vm_pu, initial=np.nan))


def as_lists(columns: Columns) -> Columns:
    """The same with plain lists and Python numbers, as JSON takes them."""
    return {
        name: values.tolist() if isinstance(values, np.ndarray) else values
        for name, values in columns.items()
    }
