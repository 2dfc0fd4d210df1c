"""Voltage limits: the buses that are watched, and what each home does to their voltage."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pandapower.auxiliary import pandapowerNet
from scipy import sparse

from grid_cosim.feeder.background import Background
from grid_cosim.feeder.limits import Limits
from grid_cosim.feeder.sensitivities import sensitivities, voltage_without_load
from grid_cosim.feeder.wiring import Wiring

SMALLEST_INFLUENCE = 0.05
"""Homes with less than this share of the largest influence on a voltage are no members of its limit: homes
on other cables of the same transformer, mostly. What they change is part of the limit's offset, which is
learned from the next AC solution."""


_STUB_KW = 10.0
_STUB_PU = 0.003
"""Cable ends whose homes, at 10 kW each, move the voltage by less than this beyond a junction count as being
at the junction: without that every home on a service cable of its own would be an end."""


def watched_buses(
    wiring: Wiring, connection_buses: Int[np.ndarray, " connections"], base_mva: float
) -> Int[np.ndarray, " watched"]:
    """Buses at the ends of cables with homes, and in a mesh all buses with homes.

    Along a cable voltage sinks towards its end where power is drawn, and rises where it is generated. An end
    is the last 0.3 % of voltage drop (see `_STUB_PU`); its last bus is watched. `base_mva` is that of the
    wiring's impedances.
    """
    node = wiring.node_of_bus[connection_buses]
    supplied = node >= 0
    bus_at = np.full(wiring.n_nodes, -1, dtype=np.int64)
    bus_at[node[supplied]] = connection_buses[supplied]
    ends = _Ends(wiring, bus_at, _STUB_KW / 1e3 / base_mva)
    while ends.cut():
        pass
    return np.unique(ends.found())


class _Ends:
    """Cuts off ends of cables again and again; what cannot be cut off is part of a mesh or a slack."""

    def __init__(self, wiring: Wiring, bus_at: Int[np.ndarray, " nodes"], pu_per_home: float) -> None:
        n, a, b = wiring.n_nodes, wiring.from_node, wiring.to_node
        self._is_slack = wiring.is_slack
        self._degree = np.bincount(a, minlength=n) + np.bincount(b, minlength=n)
        self._resistance = np.zeros(n)  # of the branches that are left at a node, summed: of one, its own
        self._beside = np.zeros(n, dtype=np.int64)  # likewise the nodes at their other ends
        for here, there in ((a, b), (b, a)):
            np.add.at(self._beside, here, there)
            np.add.at(self._resistance, here, wiring.impedance_pu.real)
        self._moved = pu_per_home
        self._bus = bus_at.copy()  # the last bus with homes of what has been counted as being here
        self._homes = (bus_at >= 0).astype(np.int64)
        self._drop_pu = np.zeros(n)  # from here to there
        self._behind = np.zeros(n, dtype=bool)  # whether an end that is watched lies behind
        self._watched: list[np.ndarray] = []

    def cut(self) -> bool:
        """Cut off all nodes with a single branch; whether there were any."""
        ends = np.flatnonzero((self._degree == 1) & ~self._is_slack)
        if not ends.size:
            return False
        onto, resistance = self._beside[ends], self._resistance[ends]
        drop_pu = self._drop_pu[ends] + resistance * self._moved * self._homes[ends]
        open_end = (self._homes[ends] > 0) & ~self._behind[ends]
        stub = open_end & (drop_pu <= _STUB_PU) & ~self._is_slack[onto]
        self._watched.append(self._bus[ends[open_end & ~stub]])
        np.logical_or.at(self._behind, onto, (open_end & ~stub) | self._behind[ends])
        self._move_stubs(ends[stub], onto[stub], drop_pu[stub])
        for sums, values in ((self._beside, ends), (self._resistance, resistance), (self._degree, 1)):
            np.subtract.at(sums, onto, values)
        self._degree[ends] = 0
        return True

    def _move_stubs(self, stubs: np.ndarray, onto: np.ndarray, drop_pu: np.ndarray) -> None:
        """Count the homes of these ends as being at the junction; the farthest of them stands for all."""
        np.add.at(self._homes, onto, self._homes[stubs])
        order = np.lexsort((drop_pu, onto))
        last = np.append(np.diff(onto[order]) != 0, True)[: order.size]
        farthest, there = stubs[order[last]], onto[order[last]]
        farther = drop_pu[order[last]] >= self._drop_pu[there]
        self._drop_pu[there[farther]] = drop_pu[order[last]][farther]
        self._bus[there[farther]] = self._bus[farthest[farther]]

    def found(self) -> Int[np.ndarray, " watched"]:
        """The ends, and what could not be cut off."""
        left = (self._degree > 0) & (self._bus >= 0)
        return np.concatenate([*self._watched, self._bus[left]])


def voltage_limits(
    net: pandapowerNet,
    buses: Int[np.ndarray, " watched"],
    home_bus: Int[np.ndarray, " homes"],
    background: Background,
    *,
    vm_min_pu: float,
    vm_max_pu: float,
) -> tuple[Limits, Limits]:
    """The lower and the upper end of the voltage band at each of the buses; all on level 0 until `nested`.

    A bus whose voltage without any load is outside of the band has no limit at that end: nobody can keep it.
    """
    free_pu = pd.Series(voltage_without_load(net), index=net.bus.index)[buses].to_numpy()
    of, column = np.unique(np.concatenate([home_bus, background.bus]), return_inverse=True)
    largest = np.zeros(buses.size)
    homes, others = [], []
    found = sensitivities(net)
    for chunk, drop_pu_per_kw in found.rows(buses, of):
        at_home = drop_pu_per_kw[:, column[: home_bus.size]]
        largest[chunk] = at_home.max(axis=1)
        weight = drop_pu_per_kw / np.maximum(largest[chunk], np.finfo(float).tiny)[:, None]
        weight[np.abs(weight) < SMALLEST_INFLUENCE] = 0.0
        homes.append(sparse.csr_array(np.maximum(weight[:, column[: home_bus.size]], 0.0)))
        others.append(sparse.csr_array(weight[:, column[home_bus.size :]]))
    influenced = largest > 0.0
    # the derivative of V (V0 - V) by the voltage, where the sensitivity is that of the voltage
    per_kw = largest * (2.0 * found.vm_at(buses) - free_pu)

    def end(word: str, sense: int, permitted_pu: Float[np.ndarray, " watched"]) -> Limits:
        kept = np.flatnonzero(influenced & (permitted_pu > 0.0))
        size = kept.size
        return Limits(
            names=tuple(f"Bus-{bus} {word}" for bus in buses[kept]),
            element=("bus",) * size,
            index=buses[kept],
            sense=np.full(size, sense),
            rated_kva=np.full(size, np.nan),
            limit_percent=np.full(size, 100.0),
            coupling=sparse.csr_array(sense * coupling[kept]),
            level=np.zeros(size, dtype=np.int64),
            direction=np.ones(size, dtype=np.int64),
            branch=np.full(size, -1),
            phase=np.full(size, -1),
            no_load_vm_pu=free_pu[kept],
            permitted_pu=permitted_pu[kept],
            pu2_per_kw=per_kw[kept],
            background=sparse.csr_array(sense * besides[kept]),
        )

    coupling = sparse.csr_array(sparse.vstack(homes)) if homes else sparse.csr_array((0, home_bus.size))
    besides = (
        sparse.csr_array(sparse.vstack(others)) if others else sparse.csr_array((0, background.bus.size))
    )
    return end("low", 1, free_pu - vm_min_pu), end("high", -1, vm_max_pu - free_pu)
