"""The capacity limits of a feeder: its transformers, and whose power each of them carries."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import sparse

from grid_cosim.feeder.wiring import Wiring, nesting_levels

KVA_TO_FIRST_KW = 0.90
"""First guess of the kW that a kVA carries: reactive power, and loading is current-based at voltages below 1.
The AC solutions correct it from the first step on."""


@dataclass(frozen=True)
class Limits:
    """Capacity limits, one per row; in this version every limit is a transformer."""

    names: tuple[str, ...]
    """Wire ids, "Trafo-3"."""
    element: tuple[str, ...]
    index: Int[np.ndarray, " limits"]
    """pandapower index of the element."""
    rated_kva: Float[np.ndarray, " limits"]
    """At 100 % AC loading, `parallel` and `df` included."""
    limit_percent: Float[np.ndarray, " limits"]
    """AC loading that counts as the limit: 100 times the share that may be used."""
    coupling: sparse.csr_array
    """(limits, homes): 1 where the home is downstream, its share where several elements feed it."""
    level: Int[np.ndarray, " limits"]
    """0 nearest the slack; what lies inside another limit has a larger level."""
    direction: Int[np.ndarray, " limits"]
    """1 where power flows to the homes from the element's first side (hv), -1 from the other."""
    branch: Int[np.ndarray, " limits"]
    """Row of the element in the feeder's wiring."""

    @property
    def n_limits(self) -> int:
        """M."""
        return len(self.names)

    def first_limit_kw(self) -> Float[np.ndarray, " limits"]:
        """What each limit can carry in kW, before the first AC solution."""
        return np.asarray(KVA_TO_FIRST_KW * self.rated_kva * self.limit_percent / 100)


def transformer_limits(
    trafos: pd.DataFrame,
    trafo_branch: Int[np.ndarray, " trafos"],
    wiring: Wiring,
    home_node: Int[np.ndarray, " homes"],
    *,
    limit_share: float,
) -> Limits:
    """The transformers that carry at least one home.

    `trafos` has a column `rated_kva`, `trafo_branch` the row of each in the wiring (-1 out of service),
    `home_node` -1 for a home without supply.
    """
    rows = np.flatnonzero(trafo_branch >= 0)
    shares = wiring.shares(trafo_branch[rows])
    at_home = sparse.csr_array(
        shares[:, np.maximum(home_node, 0)] @ sparse.diags_array((home_node >= 0).astype(float))
    )
    direction = np.where(at_home.sum(axis=1) >= 0, 1.0, -1.0)
    shares = sparse.csr_array(sparse.diags_array(direction) @ shares)
    coupling = sparse.csr_array(sparse.diags_array(direction) @ at_home)
    coupling.data[coupling.data < 0] = 0
    coupling.eliminate_zeros()

    kept = np.flatnonzero(np.diff(coupling.indptr) > 0)
    branch, direction = trafo_branch[rows[kept]], direction[kept]
    below = np.where(direction > 0, wiring.to_node[branch], wiring.from_node[branch])
    above = sparse.csr_array(shares[kept][:, below] > 0)
    index = trafos.index.to_numpy(dtype=np.int64)[rows[kept]]
    return Limits(
        names=tuple(f"Trafo-{i}" for i in index),
        element=("trafo",) * index.size,
        index=index,
        rated_kva=trafos["rated_kva"].to_numpy(dtype=float)[rows[kept]],
        limit_percent=np.full(index.size, 100.0 * limit_share),
        coupling=sparse.csr_array(coupling[kept]),
        level=nesting_levels(above),
        direction=direction.astype(np.int64),
        branch=branch,
    )


def cable_graph(limits: Limits, limit: int, wiring: Wiring, home_node: Int[np.ndarray, " homes"]) -> nx.Graph:
    """Members of a limit (household rows) and its "meter", joined where they are neighbours along the cables.

    Each stretch of cable belongs to the electrically nearest home or to the meter; whose stretches touch
    are neighbours. Homes at one bus form a chain. In a radial feeder the graph is a tree.
    """
    row = limits.coupling[[limit], :].tocoo()
    members = np.sort(row.coords[1])
    branch = int(limits.branch[limit])
    ends = (wiring.from_node[branch], wiring.to_node[branch])
    meter_node = ends[1] if limits.direction[limit] > 0 else ends[0]
    share = limits.direction[limit] * wiring.shares(np.array([branch])).toarray()[0]

    nodes, first = np.unique(home_node[members], return_index=True)
    away = nodes != meter_node
    seeds = np.concatenate([[meter_node], nodes[away]]).astype(np.int64)
    who: list[int | str] = ["meter", *(int(members[i]) for i in first[away])]

    graph = nx.Graph()
    graph.add_node("meter")
    graph.add_nodes_from(int(i) for i in members)
    for a, b in wiring.neighbours(seeds, share > 0, branch):
        graph.add_edge(who[a], who[b])
    last_at = dict(zip(seeds.tolist(), who, strict=True))
    for i, node in zip(members.tolist(), home_node[members].tolist(), strict=True):
        if last_at[node] != i:
            graph.add_edge(last_at[node], i)
            last_at[node] = i
    for component in list(nx.connected_components(graph)):
        if "meter" not in component:  # its only cable to the meter leads through another limit
            graph.add_edge("meter", min(component))
    return graph
