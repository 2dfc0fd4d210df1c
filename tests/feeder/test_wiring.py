"""Shares and neighbours on random networks of impedances, without pandapower."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from grid_cosim.feeder.wiring import Wiring, nesting_levels

TREES = st.tuples(st.integers(2, 40), st.integers(0, 10_000))


def _tree(n: int, seed: int) -> tuple[Wiring, nx.DiGraph]:
    """A random tree hanging on node 0, impedances over six decades, branches drawn in either direction."""
    rng = np.random.default_rng(seed)
    parents = [int(rng.integers(0, node)) for node in range(1, n)]
    flip = rng.random(n - 1) < 0.5
    children = np.arange(1, n)
    wiring = Wiring(
        node_of_bus=np.arange(n),
        n_nodes=n,
        from_node=np.where(flip, children, parents),
        to_node=np.where(flip, parents, children),
        impedance_pu=10.0 ** rng.uniform(-6, 0, n - 1) * np.exp(1j * rng.uniform(0, 1.5, n - 1)),
        is_slack=np.arange(n) == 0,
    )
    return wiring, nx.DiGraph([(p, c) for p, c in zip(parents, children.tolist(), strict=True)])


@given(TREES)
def test_on_a_tree_a_branch_carries_exactly_what_is_below_it(tree: tuple[int, int]) -> None:
    wiring, graph = _tree(*tree)
    shares = wiring.shares(np.arange(wiring.from_node.size)).toarray()
    for branch, (a, b) in enumerate(zip(wiring.from_node.tolist(), wiring.to_node.tolist(), strict=True)):
        down, sign = (b, 1) if graph.has_edge(a, b) else (a, -1)
        below = np.zeros(wiring.n_nodes)
        below[[down, *nx.descendants(graph, down)]] = sign
        assert shares[branch].tolist() == below.tolist()


@given(TREES, st.integers(0, 10_000))
def test_neighbours_in_a_tree_form_a_tree(tree: tuple[int, int], seed: int) -> None:
    wiring, _ = _tree(*tree)
    n = wiring.n_nodes
    seeds = np.random.default_rng(seed).choice(n, size=max(1, n // 2), replace=False)
    with_shortcut = replace(
        wiring,
        from_node=np.append(wiring.from_node, 0),
        to_node=np.append(wiring.to_node, n - 1),
        impedance_pu=np.append(wiring.impedance_pu, 1e-7),
    )
    graph = nx.Graph(with_shortcut.neighbours(seeds, np.ones(n, dtype=bool), n - 1))
    graph.add_nodes_from(range(seeds.size))
    assert nx.is_tree(graph)


def test_a_mesh_gives_back_what_is_consumed() -> None:
    # 0 ─ 1 ─ 3, 0 ─ 2 ─ 3, 1 ─ 2: whatever the node, the two branches at the slack carry all of it
    wiring = Wiring(
        node_of_bus=np.arange(4),
        n_nodes=4,
        from_node=np.array([0, 0, 1, 2, 1]),
        to_node=np.array([1, 2, 3, 3, 2]),
        impedance_pu=np.array([0.1 + 0.2j, 0.3 + 0.1j, 0.2 + 0.2j, 0.1 + 0.1j, 0.5 + 0.1j]),
        is_slack=np.array([True, False, False, False]),
    )
    shares = wiring.shares(np.arange(5)).toarray()
    assert shares[:2].sum(axis=0) == pytest.approx([0, 1, 1, 1])
    assert shares[2:4, 3].sum() == pytest.approx(1.0)


def test_a_bus_coupler_without_impedance_keeps_the_shares_finite() -> None:
    wiring = Wiring(
        node_of_bus=np.arange(3),
        n_nodes=3,
        from_node=np.array([0, 1]),
        to_node=np.array([1, 2]),
        impedance_pu=np.array([0.1 + 0.1j, 0.0 + 0.0j]),
        is_slack=np.array([True, False, False]),
    )
    assert wiring.shares(np.array([0, 1])).toarray().tolist() == [[0, 1, 1], [0, 0, 1]]


def test_levels_of_a_chain_a_pair_and_a_side_branch() -> None:
    # 0 contains the pair 1, 2 (each carries part of the other), which contains 3; 4 stands alone
    above = np.zeros((5, 5))
    for k, j in [(0, 1), (0, 2), (0, 3), (1, 2), (2, 1), (1, 3), (2, 3)]:
        above[k, j] = 1
    assert nesting_levels(sparse.csr_array(above)).tolist() == [0, 1, 1, 2, 0]
