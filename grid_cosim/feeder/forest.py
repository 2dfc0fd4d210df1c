"""A wiring without meshes, trees that hang on the slacks: what a branch carries is read off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order


@dataclass(frozen=True)
class Forest:
    """Nodes in an order in which whatever lies below a node follows it without a gap."""

    lower_node: Int[np.ndarray, " branches"]
    """End of each branch that lies away from the slack; -1 for a branch between slacks."""
    tour: Int[np.ndarray, " free_nodes"]
    """The nodes that no slack holds, in that order."""
    place: Int[np.ndarray, " nodes"]
    """Where each node stands in `tour`; -1 for a slack."""
    size: Int[np.ndarray, " nodes"]
    """Number of nodes below a node, itself included."""

    def below(
        self, nodes: Int[np.ndarray, " some"]
    ) -> tuple[Int[np.ndarray, " below"], Int[np.ndarray, " some_and_end"]]:
        """The nodes below each of these, itself included, one after the other, and where each begins.

        A node -1 has nothing below it.
        """
        size = np.where(nodes >= 0, self.size[nodes], 0)
        start = np.concatenate([[0], np.cumsum(size)])
        first = np.repeat(self.place[nodes] - start[:-1], size)
        return self.tour[first + np.arange(start[-1])], start


def as_forest(
    n_nodes: int,
    from_node: Int[np.ndarray, " branches"],
    to_node: Int[np.ndarray, " branches"],
    is_slack: Bool[np.ndarray, " nodes"],
) -> Forest | None:
    """The trees below the slacks, or None where branches close a mesh, over a second slack too."""
    root = n_nodes  # stands for all slacks
    a, b = (np.where(is_slack[ends], root, ends) for ends in (from_node, to_node))
    inner = (a != root) | (b != root)
    if inner.sum() != (~is_slack).sum():
        return None
    joined = sparse.coo_array((np.ones(inner.sum()), (a[inner], b[inner])), shape=(n_nodes + 1,) * 2)
    order, above = breadth_first_order(joined.tocsr(), root, directed=False)
    if order.size != inner.sum() + 1:
        return None
    levels = _levels(order, above)
    size = np.ones(n_nodes + 1, dtype=np.int64)
    for nodes in reversed(levels[1:]):
        np.add.at(size, above[nodes], size[nodes])
    place = np.zeros(n_nodes + 1, dtype=np.int64)
    for nodes in levels[1:]:
        siblings = nodes[np.argsort(above[nodes], kind="stable")]
        parent, first, many = np.unique(above[siblings], return_index=True, return_counts=True)
        before = np.cumsum(size[siblings]) - size[siblings]
        place[siblings] = np.repeat(place[parent] - before[first], many) + 1 + before
    tour = np.empty(order.size, dtype=np.int64)
    tour[place[order]] = order
    place -= 1  # the root, first of all, is no node
    place[:-1][is_slack] = -1
    return Forest(
        lower_node=np.where(inner, np.where(above[b] == a, b, a), -1),
        tour=tour[1:],
        place=place[:-1],
        size=np.where(is_slack, 0, size[:-1]),
    )


def _levels(
    order: Int[np.ndarray, " reached"], above: Int[np.ndarray, " nodes_and_root"]
) -> list[Int[np.ndarray, " level"]]:
    """Nodes by their distance from the root, which comes first; `order` is breadth-first."""
    place = np.empty(above.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    parent = place[above[order[1:]]]  # ascending, as the search goes on from who was found first
    levels, start, stop = [order[:1]], 0, 1
    while stop < order.size:
        start, stop = stop, 1 + int(np.searchsorted(parent, stop))
        levels.append(order[start:stop])
    return levels
