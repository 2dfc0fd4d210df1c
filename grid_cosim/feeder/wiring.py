"""The feeder as impedances between nodes: who loads which branch, and who is next to whom.

Plain arrays, no pandapower. Buses that a closed switch joins are one node; a branch that an open
switch cuts is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Complex, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.linalg import splu

from grid_cosim.feeder.forest import Forest, as_forest

SMALLEST_SHARE = 1e-3
"""Shares below this are dropped, negative ones too: who relieves a branch by consuming is no member of it."""

_ROUNDING = 1e-6  # a share this near 0 or 1 is 0 or 1: on a tree the solve leaves only rounding errors
_SMALLEST_IMPEDANCE_PU = 1e-9  # of a bus coupler modelled as a line; keeps the admittances finite
_ROWS_AT_ONCE = 256  # bounds the memory of the dense right-hand sides


@dataclass(frozen=True)
class Wiring:
    """Nodes, the energised branches between them, and the nodes that a slack holds."""

    node_of_bus: Int[np.ndarray, " any_bus"]
    """Node of each pandapower bus index, -1 where the bus is not supplied by any slack."""
    n_nodes: int
    from_node: Int[np.ndarray, " branches"]
    to_node: Int[np.ndarray, " branches"]
    impedance_pu: Complex[np.ndarray, " branches"]
    is_slack: Bool[np.ndarray, " nodes"]

    def shares(self, branches: Int[np.ndarray, " some"]) -> sparse.csr_array:
        """Share of the power consumed at each node that flows through each branch, (branches, nodes).

        The linear network with the slacks held: what one more ampere at the node adds to the branch,
        from its `from_node` to its `to_node`, real part. On a tree exactly 1 downstream, 0 elsewhere,
        -1 where the branch points upstream; parallel and meshed branches share by their impedances,
        resistance included (the DC power flow's reactances alone divide a low-voltage mesh wrongly).
        """
        if self.forest is not None:
            return self._shares_in(self.forest, branches)
        admittance = 1 / np.where(
            np.abs(self.impedance_pu) < _SMALLEST_IMPEDANCE_PU, _SMALLEST_IMPEDANCE_PU, self.impedance_pu
        )
        free = np.flatnonzero(~self.is_slack)
        rank = np.full(self.n_nodes, -1)
        rank[free] = np.arange(free.size)
        incidence = self._incidence(np.arange(self.from_node.size))
        laplacian = (incidence.T @ sparse.diags_array(admittance) @ incidence).tocsc()[free][:, free]
        solver = splu(laplacian)
        rows: list[sparse.csr_array] = []
        for start in range(0, branches.size, _ROWS_AT_ONCE):
            chunk = branches[start : start + _ROWS_AT_ONCE]
            ends = self._incidence(chunk).tocsc()[:, free].T.toarray().astype(complex)
            flow = -(solver.solve(ends) * admittance[chunk]).T.real
            dense = np.zeros((chunk.size, self.n_nodes))
            dense[:, free] = _rounded(flow)
            rows.append(sparse.csr_array(dense))
        return sparse.vstack(rows, format="csr") if rows else sparse.csr_array((0, self.n_nodes))

    @cached_property
    def forest(self) -> Forest | None:
        """The wiring as trees below the slacks; None where some of it is meshed."""
        return as_forest(self.n_nodes, self.from_node, self.to_node, self.is_slack)

    def _shares_in(self, forest: Forest, branches: Int[np.ndarray, " some"]) -> sparse.csr_array:
        """Without meshes a branch carries what lies below it: no equations to solve."""
        lower = forest.lower_node[branches]
        below, start = forest.below(lower)
        sign = np.where(lower == self.to_node[branches], 1.0, -1.0)
        sign[lower < 0] = 0.0
        shares = sparse.csr_array(
            (np.repeat(sign, np.diff(start)), below, start), shape=(branches.size, self.n_nodes)
        )
        shares.sort_indices()
        return shares

    def neighbours(
        self, seeds: Int[np.ndarray, " seeds"], region: Bool[np.ndarray, " nodes"], without_branch: int
    ) -> set[tuple[int, int]]:
        """Pairs of seeds (positions in `seeds`, distinct nodes) that are next to each other along the cables.

        Every node of the region belongs to the electrically nearest seed; two seeds are neighbours
        where a branch joins their cells. In a tree the result is a tree.
        """
        inside = region[self.from_node] & region[self.to_node]
        if without_branch >= 0:
            inside[without_branch] = False
        start, end = self.from_node[inside], self.to_node[inside]
        length = np.maximum(np.abs(self.impedance_pu[inside]), _SMALLEST_IMPEDANCE_PU)
        # COO would add parallel branches up; the shortest of them is what counts
        order = np.lexsort((length, end, start))
        start, end, length = start[order], end[order], length[order]
        first = np.ones(start.size, dtype=bool)
        first[1:] = (np.diff(start) != 0) | (np.diff(end) != 0)
        graph = sparse.csr_array(
            (length[first], (start[first], end[first])), shape=(self.n_nodes, self.n_nodes)
        )
        _, _, nearest = dijkstra(
            graph, directed=False, indices=seeds, min_only=True, return_predecessors=True
        )
        position = {int(node): row for row, node in enumerate(seeds)}
        pairs = set()
        for a, b in zip(nearest[start], nearest[end], strict=True):
            if a != b and a >= 0 and b >= 0:
                i, j = position[int(a)], position[int(b)]
                pairs.add((min(i, j), max(i, j)))
        return pairs

    def _incidence(self, branches: Int[np.ndarray, " some"]) -> sparse.csr_array:
        row = np.arange(branches.size)
        return sparse.csr_array(
            (
                np.concatenate([np.ones(row.size), -np.ones(row.size)]),
                (
                    np.concatenate([row, row]),
                    np.concatenate([self.from_node[branches], self.to_node[branches]]),
                ),
            ),
            shape=(row.size, self.n_nodes),
        )


def nesting_levels(above: sparse.csr_array) -> Int[np.ndarray, " limits"]:
    """Depth of every limit, 0 nearest the slack, from `above[k, j] != 0`: k carries part of what j carries.

    Limits that carry part of each other (parallel transformers) share a level.
    """
    _, group = connected_components(above, directed=True, connection="strong")
    outer, inner = (group[ends] for ends in sparse.coo_array(above).coords)
    nested = outer != inner
    outer, inner = np.unique(np.stack([outer[nested], inner[nested]]), axis=1)
    depth = np.zeros(above.shape[0], dtype=np.int64)
    while True:  # as many turns as there are levels
        deeper = np.zeros_like(depth)
        np.maximum.at(deeper, inner, depth[outer] + 1)
        if np.array_equal(deeper, depth):
            return np.asarray(depth[group])
        depth = deeper


def _rounded(share: np.ndarray) -> np.ndarray:
    whole = np.round(share)
    share = np.where(np.abs(share - whole) < _ROUNDING, whole, share)
    return np.where(np.abs(share) < SMALLEST_SHARE, 0.0, share)
