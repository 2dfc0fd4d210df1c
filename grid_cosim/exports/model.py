"""The network as branches between nodes, for the formats of other solvers.

It is what pandapower itself solves: tap changers, parallel elements, open ends of lines and three-winding
transformers have become nodes and branches, buses joined by closed switches one node. Numbers are per unit of
`base_mva` and each node's `base_kv`.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np
import pandas as pd
from pandapower.auxiliary import pandapowerNet

from grid_cosim.errors import ExportError
from grid_cosim.exports.chosen import Chosen
from grid_cosim.exports.powers import WIRE_ID
from grid_cosim.feeder.equations import Equations, NotRepresentableError, read_equations
from grid_cosim.feeder.switching import with_positions

_ANGLE = 1e-9
"""In radians: what rounding leaves."""
_PLAIN = 1e-9
"""So far from 1 a ratio is that of a transformer."""


@dataclass(frozen=True)
class Branch:
    """An ideal transformer at the from side, a series impedance behind it, and admittances to earth."""

    id: str
    name: str
    kind: str
    """"line", "trafo" or "other"; a line joins nodes of one voltage and has no ratio."""
    from_node: int
    to_node: int
    z_pu: complex
    ratio: complex
    y_from_pu: complex
    y_to_pu: complex
    length_km: float
    """NaN for what is no line."""
    max_i_ka: float
    """Of a line; NaN where unknown."""
    rated_mva: float
    """Of a transformer; NaN where unknown."""


@dataclass(frozen=True)
class GridModel:
    """Only what is energised; nodes are numbered as in the equations."""

    base_mva: float
    f_hz: float
    nodes: tuple[int, ...]
    base_kv: np.ndarray
    node_ids: tuple[str, ...]
    """By node: the id of its first bus, "Node-7" for one that is no bus."""
    buses: pd.DataFrame
    """By pandapower index: id, name, node (-1: not energised)."""
    branches: tuple[Branch, ...]
    shunts: dict[int, complex]
    """Node → admittance to earth beside the branches'."""
    constants: dict[int, complex]
    """Node → constant power (MVA) beside the loads: motors, wards, loads per phase."""
    slacks: dict[int, complex]
    """Node → voltage that is held."""

    @cached_property
    def turns_alike(self) -> bool:
        """Whether every way between two nodes turns the voltage by the same angle.

        Then who leaves all turning out has the same currents and magnitudes, and angles of another reference.
        """
        graph = nx.MultiDiGraph()
        for branch in self.branches:
            graph.add_edge(branch.from_node, branch.to_node, turn=branch.ratio / abs(branch.ratio))
            graph.add_edge(branch.to_node, branch.from_node, turn=abs(branch.ratio) / branch.ratio)
        at: dict[int, complex] = {}
        for start in self.slacks:
            at.setdefault(start, 1.0 + 0.0j)
            for f, t, _ in nx.edge_bfs(graph, start):
                turn = graph.edges[f, t, 0]["turn"]
                at.setdefault(t, at[f] / turn)
        if any(abs(at[slack] - 1.0) > _ANGLE for slack in self.slacks):
            return False
        return all(
            abs(at[branch.from_node] / at[branch.to_node] - branch.ratio / abs(branch.ratio)) < _ANGLE
            for branch in self.branches
        )

    def node_of(self, buses: pd.Series) -> np.ndarray:
        """Nodes of pandapower buses; -1 where not energised."""
        return self.buses.loc[buses, "node"].to_numpy(dtype=np.int64)

    def y_siemens(self, y_pu: complex, node: int) -> complex:
        """An admittance of per unit at a node."""
        return y_pu * self.base_mva / self.base_kv[node] ** 2


def read_model(chosen: Chosen, step: int) -> GridModel:
    """The network as its switches stand in a step. Raises `ExportError` for what is more than impedances."""
    saved = chosen.network
    if saved.unbalanced:
        raise ExportError(
            chosen.to,
            "the run was solved per phase, and this export is of symmetrical networks",
            remedy="Run it again with feeder.unbalanced = false, or export tables",
        )
    net = with_positions(saved.net, saved.closed(step))
    for table in WIRE_ID:
        net[table] = net[table].iloc[:0]
    try:
        equations = read_equations(net)
    except NotRepresentableError as error:
        raise ExportError(
            chosen.to,
            f"the network is more than constant powers behind constant impedances: {error}",
            remedy="Export it to pandapower, which has a model for it",
        ) from error
    return _model(net, equations)


def _model(net: pandapowerNet, e: Equations) -> GridModel:
    alive = e.alive[e.node_of_bus]
    buses = pd.DataFrame(
        {
            "id": [f"Bus-{index}" for index in net.bus.index],
            "name": ["" if pd.isna(name) else str(name) for name in net.bus["name"]],
            "node": np.where(alive, e.node_of_bus, -1),
        },
        index=net.bus.index,
    )
    ids = [f"Node-{node}" for node in range(e.alive.size)]
    for node, rows in buses[alive].groupby("node"):
        ids[int(node)] = str(rows["id"].iloc[0])
    branches, shunt = _branches(net, e), deepcopy(e.shunt)
    for branch in branches:
        shunt[branch.from_node] -= branch.y_from_pu
        shunt[branch.to_node] -= branch.y_to_pu
    scale = max(1.0, float(np.abs(e.shunt).max(initial=0.0)))
    return GridModel(
        base_mva=e.base_mva,
        f_hz=float(net.f_hz),
        nodes=tuple(np.flatnonzero(e.alive).tolist()),
        base_kv=e.base_kv,
        node_ids=tuple(ids),
        buses=buses,
        branches=branches,
        # what is left of subtracting is rounding
        shunts={int(n): complex(shunt[n]) for n in np.flatnonzero(e.alive & (np.abs(shunt) > 1e-12 * scale))},
        constants={int(n): complex(e.constant_mva[n]) for n in np.flatnonzero(e.constant_mva)},
        slacks={int(n): complex(v) for n, v in zip(e.slack, e.slack_voltage, strict=True)},
    )


def _branches(net: pandapowerNet, e: Equations) -> tuple[Branch, ...]:
    found = []
    for row in np.flatnonzero(e.branch_alive):
        table, index = _element(net, e, int(row))
        f, t = int(e.from_node[row]), int(e.to_node[row])
        ratio, series = complex(e.ratio[row]), complex(e.series[row])
        plain = abs(ratio - 1.0) < _PLAIN and abs(e.base_kv[f] / e.base_kv[t] - 1.0) < _PLAIN
        element = net[table].loc[index] if table else {}
        name = element.get("name") if table else None
        is_line, is_trafo = table == "line" and plain, table == "trafo"
        rating = element["parallel"] * element["df"] if is_line or is_trafo else np.nan
        found.append(
            Branch(
                id=f"{table.capitalize()}-{index}" if table else f"Branch-{row}",
                name="" if name is None or pd.isna(name) else str(name),
                kind="line" if is_line else "trafo" if is_trafo else "other",
                from_node=f,
                to_node=t,
                z_pu=1.0 / series,
                ratio=ratio,
                y_from_pu=complex(e.y_ff[row]) - series / abs(ratio) ** 2,
                y_to_pu=complex(e.y_tt[row]) - series,
                length_km=float(element["length_km"]) if is_line else np.nan,
                max_i_ka=float(element["max_i_ka"] * rating) if is_line else np.nan,
                rated_mva=float(element["sn_mva"] * rating) if is_trafo else np.nan,
            )
        )
    return tuple(found)


def _element(net: pandapowerNet, e: Equations, row: int) -> tuple[str, int]:
    """Table and index of a branch's element; an empty name for what has none of its own."""
    for table, rows in e.ranges.items():
        if rows.start <= row < rows.stop:
            return table, int(net[table].index[row - rows.start])
    return "", -1
