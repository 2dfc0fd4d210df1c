"""The limits of a feeder: what its transformers and lines carry, and the voltage at its buses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy import sparse

from grid_cosim.feeder.wiring import Wiring, nesting_levels

KVA_TO_FIRST_KW = 0.90
"""First guess of the kW that a kVA carries: reactive power, and loading is current-based at voltages below 1.
The AC solutions correct it from the first step on."""

_WIRE_NAME = {"trafo": "Trafo", "line": "Line", "bus": "Bus"}


Which = Literal["none", "near", "all"]


@dataclass(frozen=True)
class LimitChoice:
    """What a scenario says about limits; see its section `limits`."""

    transformers: bool
    lines: Which
    voltage: Which
    line_share: float
    vm_min_pu: float
    vm_max_pu: float
    near_percent: float
    reverse: Literal["auto"] | bool


@dataclass(frozen=True)
class Limits:
    """All that the households must keep together, one limit per row: A p + o <= c, consumption positive.

    A row is about a transformer, a line, or the voltage at a bus. What consumption loads has `sense` 1 and
    weights above 0; what generation loads (reverse flow, the upper end of the voltage band) has `sense` -1
    and weights below 0. A voltage limit is in kW too: those kW at the bus's most influential home that move
    the voltage as much; its loading is the used part of what takes the voltage from that without any load to
    the end of the band.
    """

    names: tuple[str, ...]
    """"Trafo-3", "Line-7", "Line-7-a" of one phase, "Trafo-3 reverse", "Bus-12 low", "Bus-12 high"."""
    element: tuple[str, ...]
    """"trafo", "line" or "bus"."""
    index: Int[np.ndarray, " limits"]
    """pandapower index of the element."""
    sense: Int[np.ndarray, " limits"]
    """1 where consumption loads the limit, -1 where generation does."""
    rated_kva: Float[np.ndarray, " limits"]
    """At 100 % AC loading, `parallel` and `df` included; NaN for a voltage."""
    limit_percent: Float[np.ndarray, " limits"]
    """AC loading that counts as the limit: 100 times the share that may be used."""
    coupling: sparse.csr_array
    """(limits, homes): 1 where the home is downstream, its share where several elements feed it; of a voltage
    the home's influence relative to the largest. Below 0 where `sense` is -1."""
    level: Int[np.ndarray, " limits"]
    """0 nearest the slack; what lies inside another limit has a larger level."""
    direction: Int[np.ndarray, " limits"]
    """1 where power flows to the homes from the element's first side (hv, from), -1 from the other."""
    branch: Int[np.ndarray, " limits"]
    """Row of the element in the feeder's wiring; -1 for a bus, and for what carries no home."""
    phase: Int[np.ndarray, " limits"]
    """Phase that is limited, 0 to 2; -1 where all three are one."""
    no_load_vm_pu: Float[np.ndarray, " limits"]
    """Voltage at the bus without any load; NaN for a branch."""
    permitted_pu: Float[np.ndarray, " limits"]
    """By how much the voltage may differ from that, towards this end of the band; NaN for a branch."""
    pu2_per_kw: Float[np.ndarray, " limits"]
    """By how much a kW at the most influential home moves the product in `voltage_kw`; NaN for a branch."""
    background: sparse.csr_array | None = None
    """(limits, background buses): of the voltage rows, as `coupling` but for what is no home."""

    @property
    def n_limits(self) -> int:
        """M."""
        return len(self.names)

    @cached_property
    def is_voltage(self) -> Bool[np.ndarray, " limits"]:
        """Whether a limit is about a voltage."""
        return np.array([element == "bus" for element in self.element], dtype=bool)

    @property
    def element_ids(self) -> tuple[str, ...]:
        """Wire ids of the elements: "Trafo-3", "Line-7", "Bus-12"."""
        return tuple(f"{_WIRE_NAME[e]}-{i}" for e, i in zip(self.element, self.index, strict=True))

    @property
    def measured_ids(self) -> tuple[str, ...]:
        """Wire ids of what is measured: the elements, or those phases of them that are limited."""
        per_phase = zip(self.element_ids, self.names, self.phase, strict=True)
        return tuple(element if phase < 0 else name for element, name, phase in per_phase)

    @property
    def end_vm_pu(self) -> Float[np.ndarray, " limits"]:
        """The end of the voltage band; NaN for a branch."""
        return np.asarray(self.no_load_vm_pu - self.sense * self.permitted_pu)

    def first_limit_kw(self) -> Float[np.ndarray, " limits"]:
        """What each limit can carry in kW, before the first AC solution."""
        full_kw = KVA_TO_FIRST_KW * self.rated_kva
        end_kw = voltage_kw(self.end_vm_pu, self.no_load_vm_pu, self.sense, self.pu2_per_kw)
        full_kw = np.where(self.is_voltage, end_kw, full_kw)
        return np.asarray(full_kw * self.limit_percent / 100)

    def some(self, rows: Int[np.ndarray, " some"] | Bool[np.ndarray, " limits"]) -> Limits:
        """Some of the limits, in the order of `rows`."""
        chosen = np.flatnonzero(rows) if rows.dtype == bool else rows
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return Limits(
            names=tuple(self.names[row] for row in chosen),
            element=tuple(self.element[row] for row in chosen),
            coupling=sparse.csr_array(self.coupling[chosen]),
            background=None if self.background is None else sparse.csr_array(self.background[chosen]),
            **arrays,
        )

    def reversed(self) -> Limits:
        """The same elements with the flow the other way as what is limited."""
        return replace(
            self,
            names=tuple(f"{name} reverse" for name in self.names),
            sense=-self.sense,
            coupling=sparse.csr_array(-self.coupling),
        )


def voltage_kw(
    vm_pu: Float[np.ndarray, " limits"],
    no_load_vm_pu: Float[np.ndarray, " limits"],
    sense: Float[np.ndarray, " limits"] | Int[np.ndarray, " limits"],
    pu2_per_kw: Float[np.ndarray, " limits"],
) -> Float[np.ndarray, " limits"]:
    """What moves a voltage from that without load to `vm_pu`, in kW at the most influential home.

    Through one impedance V (V0 - V) = r p + x q: of constant power a voltage sinks the faster the lower
    it is, and this product is linear in the power.
    """
    return np.asarray(sense * (no_load_vm_pu - vm_pu) * vm_pu / pu2_per_kw)


_ARRAYS = (
    "index",
    "sense",
    "rated_kva",
    "limit_percent",
    "level",
    "direction",
    "branch",
    "phase",
    "no_load_vm_pu",
    "permitted_pu",
    "pu2_per_kw",
)


def branch_limits(
    element: Literal["trafo", "line"],
    table: pd.DataFrame,
    branch: Int[np.ndarray, " elements"],
    wiring: Wiring,
    home_node: Int[np.ndarray, " homes"],
    *,
    limit_share: float,
) -> Limits:
    """The transformers or lines that carry at least one home; all on level 0 until `nested`.

    `table` has a column `rated_kva`, `branch` the row of each element in the wiring (-1 out of service),
    `home_node` -1 for a home without supply.
    """
    rows = np.flatnonzero(branch >= 0)
    shares = wiring.shares(branch[rows])
    at_home = sparse.csr_array(
        shares[:, np.maximum(home_node, 0)] @ sparse.diags_array((home_node >= 0).astype(float))
    )
    direction = np.where(at_home.sum(axis=1) >= 0, 1.0, -1.0)
    coupling = sparse.csr_array(sparse.diags_array(direction) @ at_home)
    coupling.data[coupling.data < 0] = 0
    coupling.eliminate_zeros()
    kept = np.flatnonzero(np.diff(coupling.indptr) > 0)
    index = table.index.to_numpy(dtype=np.int64)[rows[kept]]
    nothing = np.full(index.size, np.nan)
    return Limits(
        names=tuple(f"{_WIRE_NAME[element]}-{i}" for i in index),
        element=(element,) * index.size,
        index=index,
        sense=np.ones(index.size, dtype=np.int64),
        rated_kva=table["rated_kva"].to_numpy(dtype=float)[rows[kept]],
        limit_percent=np.full(index.size, 100.0 * limit_share),
        coupling=sparse.csr_array(coupling[kept]),
        level=np.zeros(index.size, dtype=np.int64),
        direction=direction[kept].astype(np.int64),
        branch=branch[rows[kept]],
        phase=np.full(index.size, -1),
        no_load_vm_pu=nothing,
        permitted_pu=nothing,
        pu2_per_kw=nothing,
    )


def joined(parts: Sequence[Limits]) -> Limits:
    """Several sets of limits as one, in this order."""
    columns = max((part.background.shape[1] for part in parts if part.background is not None), default=0)
    background = [
        part.background if part.background is not None else sparse.csr_array((part.n_limits, columns))
        for part in parts
    ]
    return Limits(
        names=tuple(name for part in parts for name in part.names),
        element=tuple(element for part in parts for element in part.element),
        coupling=sparse.csr_array(sparse.vstack([part.coupling for part in parts])),
        background=sparse.csr_array(sparse.vstack(background)) if columns else None,
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS},
    )


def aligned(several: Sequence[Limits]) -> list[Limits]:
    """The same limits in each of several sets, without members where one lacked them: nobody is behind them.

    For one network as its switches stand; in the order of the first, then what others add.
    """
    names = list(dict.fromkeys(name for limits in several for name in limits.names))
    found = []
    for limits in several:
        known = set(limits.names)
        others = []
        for other in several:
            lacking = [row for row, name in enumerate(other.names) if name not in known]
            others.append(_without_members(other.some(np.array(lacking, dtype=np.int64))))
            known.update(other.names)
        every = joined([limits, *others])
        row_of = {name: row for row, name in enumerate(every.names)}
        found.append(every.some(np.array([row_of[name] for name in names], dtype=np.int64)))
    return found


def _without_members(limits: Limits) -> Limits:
    return replace(
        limits,
        coupling=sparse.csr_array(limits.coupling.shape),
        background=None if limits.background is None else sparse.csr_array(limits.background.shape),
        branch=np.full(limits.n_limits, -1),
    )


def nested(limits: Limits, wiring: Wiring, bus_node: Int[np.ndarray, " limits"] | None = None) -> Limits:
    """The limits with their levels: each below all that carry part of what it carries.

    A voltage (`bus_node`: the node of its bus, anything for a branch) lies below the branches that lead
    there. Both ways through one element are equally deep.
    """
    carries = limits.branch >= 0
    branch, row_of = np.unique(limits.branch[carries], return_inverse=True)
    direction = np.zeros(branch.size)
    direction[row_of] = limits.direction[carries]
    shares = sparse.csr_array(sparse.diags_array(direction) @ wiring.shares(branch)).tocsc()
    below = np.where(direction > 0, wiring.to_node[branch], wiring.from_node[branch])
    level = np.zeros(limits.n_limits, dtype=np.int64)
    depth = nesting_levels(sparse.csr_array(shares[:, below] > 0))
    level[carries] = depth[row_of]
    if bus_node is not None and limits.is_voltage.any():
        over = sparse.coo_array(shares[:, bus_node[limits.is_voltage]] > 0)
        above, bus = over.coords
        deepest = np.zeros(over.shape[1], dtype=np.int64)
        np.maximum.at(deepest, bus, depth[above] + 1)
        level[limits.is_voltage] = deepest
    return replace(limits, level=level)
