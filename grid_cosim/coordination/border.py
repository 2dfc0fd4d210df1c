"""Where a graph is cut: nodes whose neighbours are elsewhere, and what carries a round's messages to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int


@runtime_checkable
class Post(Protocol):
    """Carries one message over every link that is cut, and brings what comes from the other side."""

    def __call__(
        self,
        told: Int[np.ndarray, " told"],
        values: Float[np.ndarray, "told features"],
        heard: Int[np.ndarray, " heard"],
    ) -> Float[np.ndarray, "heard features"]:
        """What the nodes `heard` say in the same round in which the nodes `told` say `values`."""
        ...


@dataclass(frozen=True)
class Border:
    """Rows of one part of a graph: nodes that are heard elsewhere, and places for nodes that are elsewhere.

    Whatever stands at a place for a node elsewhere is replaced by what that node says before anybody listens.
    """

    told: Int[np.ndarray, " told"]
    """Nodes here of which a neighbour is elsewhere."""
    heard: Int[np.ndarray, " heard"]
    """Nodes elsewhere of which a neighbour is here."""
    number: Int[np.ndarray, " nodes"]
    """What each node is called on either side: its row in the whole graph."""
    post: Post

    def renewed(self, values: Float[np.ndarray, "nodes features"]) -> Float[np.ndarray, "nodes features"]:
        """The values of one round, those from elsewhere included."""
        values = values.copy()
        values[self.heard] = self.post(self.number[self.told], values[self.told], self.number[self.heard])
        return values

    def among(self, nodes: Int[np.ndarray, " kept"]) -> Border | None:
        """That of some nodes, renumbered in their order; None where none of them is heard elsewhere."""
        row = np.full(self.number.size, -1)
        row[nodes] = np.arange(nodes.size)
        told, heard = (row[rows][row[rows] >= 0] for rows in (self.told, self.heard))
        return Border(told, heard, self.number[nodes], self.post) if told.size else None
