"""What lies below a branch, read off a tree, against paths walked node by node."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grid_cosim.feeder.forest import as_forest
from grid_cosim.feeder.wiring import Wiring


@st.composite
def forests(draw: st.DrawFn) -> Wiring:
    """Random trees on up to three slacks, nodes numbered and branches directed at random."""
    n_slacks, n_free = draw(st.integers(1, 3)), draw(st.integers(0, 12))
    n = n_slacks + n_free
    number = np.array(draw(st.permutations(range(n))))
    parents = [draw(st.integers(0, k - 1)) for k in range(n_slacks, n)]
    ends = np.array([[number[a], number[b]] for a, b in zip(parents, range(n_slacks, n), strict=True)])
    ends = ends.reshape(-1, 2).astype(np.int64)
    turned = np.array(draw(st.lists(st.booleans(), min_size=n_free, max_size=n_free)), dtype=bool)
    ends[turned] = ends[turned][:, ::-1]
    is_slack = np.zeros(n, dtype=bool)
    is_slack[number[:n_slacks]] = True
    impedance = np.full(n_free, 0.1 + 0.05j)
    return Wiring(np.arange(n), n, ends[:, 0].copy(), ends[:, 1].copy(), impedance, is_slack)


@given(forests())
def test_a_branch_of_a_tree_carries_what_is_cut_off_without_it(wiring: Wiring) -> None:
    shares = wiring.shares(np.arange(wiring.from_node.size)).toarray()
    graph = nx.Graph(zip(wiring.from_node.tolist(), wiring.to_node.tolist(), strict=True))
    graph.add_nodes_from(range(wiring.n_nodes))
    slacks = set(np.flatnonzero(wiring.is_slack).tolist())
    for branch, (a, b) in enumerate(zip(wiring.from_node, wiring.to_node, strict=True)):
        graph.remove_edge(a, b)
        fed = set().union(*(nx.node_connected_component(graph, s) for s in slacks))
        graph.add_edge(a, b)
        expected = np.zeros(wiring.n_nodes)
        expected[sorted(set(graph) - fed)] = 1.0 if a in fed else -1.0
        np.testing.assert_array_equal(shares[branch], expected)


def test_a_mesh_and_two_slacks_on_one_cable_are_no_forest() -> None:
    slack = np.array([True, False, False])
    ring = np.array([0, 1, 2]), np.array([1, 2, 0])
    assert as_forest(3, *ring, slack) is None
    row = np.array([0, 1]), np.array([1, 2])
    assert as_forest(3, *row, slack) is not None
    assert as_forest(3, *row, np.array([True, False, True])) is None
