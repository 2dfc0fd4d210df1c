from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from grid_cosim.coordination import Copies, communication, mixing_rate, read_edge_list
from grid_cosim.errors import GraphError
from tests.coordination.demand import one_limit

KINDS = ["complete", "line", "ring", "random_regular", "small_world"]


def nested() -> Copies:
    """Four homes behind a transformer, two lines inside it, and a home behind nothing."""
    coupling = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0]], dtype=float)
    return Copies.of(csr_array(coupling), np.array([0, 1, 1]))


def test_copies_are_members_then_meter_limit_after_limit() -> None:
    copies = nested()
    np.testing.assert_array_equal(copies.household, [0, 1, 2, 3, -1, 0, 1, -1, 2, 3, -1])
    np.testing.assert_array_equal(copies.limit, [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(copies.rows(2), [8, 9, 10])


def test_local_price_adds_up_own_copies_weighted() -> None:
    copies = Copies.of(csr_array(np.array([[1.0, 1.0, 0.0], [0.0, 0.25, 0.0]])))
    price = np.array([1.0, 2.0, 99.0, 4.0, 99.0])
    np.testing.assert_allclose(copies.local_price(price), [1.0, 3.0, 0.0])


def test_turns_go_from_the_outermost_level_inwards() -> None:
    assert [list(turn) for turn in nested().turns()] == [[0], [1, 2]]


def test_limits_that_share_homes_never_step_together() -> None:
    parallel = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    assert [list(turn) for turn in Copies.of(csr_array(parallel)).turns()] == [[2], [0], [1]]


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), n=st.integers(0, 24), degree=st.integers(3, 6), seed=st.integers(0, 99))
def test_weights_are_doubly_stochastic_and_the_graph_is_connected(
    kind: str, n: int, degree: int, seed: int
) -> None:
    graph = communication(one_limit(n), kind, degree=degree, seed=seed)  # type: ignore[arg-type]
    mixing = graph.mixing.toarray()
    np.testing.assert_allclose(mixing, mixing.T, atol=1e-15)
    np.testing.assert_allclose(mixing.sum(axis=0), 1.0, rtol=1e-12)
    assert mixing.min() >= -1e-15
    assert mixing.diagonal().min() > 0.0
    assert graph.mixing_rate[0] < 1.0 - 1e-9 or n == 0


@settings(max_examples=60, deadline=None)
@given(n=st.integers(5, 40), degree=st.integers(3, 7), seed=st.integers(0, 99))
def test_random_regular_gives_every_home_its_degree(n: int, degree: int, seed: int) -> None:
    graph = communication(one_limit(n), "random_regular", degree=degree, seed=seed)
    nodes = n + 1
    if degree >= nodes - 1 or (nodes * degree % 2 == 1 and degree >= nodes - 2):
        assert (graph.degree == nodes - 1).all()
    else:
        assert (graph.degree[:-1] == degree).all()
        # the meter makes up for the odd number of nodes
        assert graph.degree[-1] == degree - nodes * degree % 2


def test_a_home_and_its_meter_talk_over_one_link() -> None:
    graph = communication(one_limit(1), "random_regular")
    np.testing.assert_allclose(graph.mixing.toarray(), [[0.5, 0.5], [0.5, 0.5]])
    assert graph.messages_per_round[0] == 2


def test_metropolis_weight_of_a_star_follows_the_hub() -> None:
    star = [("a", "meter"), ("b", "meter"), ("c", "meter")]
    graph = communication(one_limit(3), "edges", edges=star, names=["a", "b", "c"])
    np.testing.assert_allclose(graph.mixing.toarray()[3], [0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(graph.mixing.toarray()[0], [0.75, 0, 0, 0.25])


def test_no_link_joins_copies_of_different_limits() -> None:
    graph = communication(nested(), "complete")
    a, b = graph.links.ends.T
    assert (graph.copies.limit[a] == graph.copies.limit[b]).all()
    np.testing.assert_array_equal(graph.messages_per_round, [20, 6, 6])


def test_a_limits_graph_depends_on_the_seed_and_not_on_other_limits() -> None:
    alone = communication(one_limit(30), "random_regular", seed=5)
    two = Copies.of(csr_array(np.vstack([np.ones(30), np.eye(30)[0]])))
    beside = communication(two, "random_regular", seed=5)
    np.testing.assert_array_equal(alone.links.ends, beside.links.ends[: len(alone.links.ends)])
    other = communication(one_limit(30), "random_regular", seed=6)
    assert not np.array_equal(alone.links.ends, other.links.ends)


@pytest.mark.parametrize(("kind", "turn"), [("ring", 2.0 * np.pi), ("line", np.pi)])
def test_mixing_rates_of_ring_and_line_are_the_known_ones_in_both_ways_of_computing(
    kind: str, turn: float
) -> None:
    for n in (51, 1001):
        # second largest eigenvalue of a ring, or of a line, with all weights 1/3
        expected = 1.0 / 3.0 + 2.0 / 3.0 * np.cos(turn / n)
        rate = communication(one_limit(n - 1), kind).mixing_rate[0]  # type: ignore[arg-type]
        np.testing.assert_allclose(rate, expected, rtol=1e-6)


def test_mixing_rate_of_a_large_random_graph_agrees_with_all_eigenvalues() -> None:
    graph = communication(one_limit(600), "random_regular", seed=1)
    exact = np.sort(np.abs(np.linalg.eigvalsh(graph.mixing.toarray())))[-2]
    np.testing.assert_allclose(mixing_rate(graph.mixing), exact, rtol=1e-6)


def test_the_meter_stands_at_one_end_of_a_line() -> None:
    graph = communication(one_limit(6), "line")
    np.testing.assert_array_equal(graph.degree, [1, 2, 2, 2, 2, 2, 1])


def test_complete_graph_mixes_in_one_round() -> None:
    assert communication(one_limit(9), "complete").mixing_rate[0] < 1e-12


def test_cables_join_members_as_given() -> None:
    def feeder(limit: int) -> nx.Graph:
        return nx.Graph([("meter", 0), (0, 1)] if limit == 1 else [("meter", 2), (2, 0), (0, 1), (1, 3)])

    copies = Copies.of(csr_array(np.array([[1.0, 1, 1, 1], [1, 1, 0, 0]])))
    graph = communication(copies, "cables", cables=feeder)
    block = graph.links.among(copies.rows(1)).ends
    np.testing.assert_array_equal(np.sort(block, axis=1), [[0, 1], [0, 2]])


def test_a_cable_graph_with_a_stranger_is_refused() -> None:
    with pytest.raises(GraphError, match=r"Trafo-7.*\[9\]"):
        communication(
            one_limit(2),
            "cables",
            cables=lambda _: nx.Graph([("meter", 0), (0, 1), (1, 9)]),
            limit_names=["Trafo-7"],
        )


def test_a_disconnected_graph_names_the_limit_and_its_components() -> None:
    with pytest.raises(
        GraphError, match=r"Trafo-3.*2 parts: 2 node\(s\) Anna, Ben; 3 node\(s\) Cleo, Dora, meter"
    ):
        communication(
            one_limit(4),
            "edges",
            edges=[("Anna", "Ben"), ("Cleo", "Dora"), ("Dora", "meter")],
            names=["Anna", "Ben", "Cleo", "Dora"],
            limit_names=["Trafo-3"],
        )


def test_unknown_homes_are_refused_with_near_matches() -> None:
    with pytest.raises(GraphError, match=r"'home-11' is not a household. Did you mean 'home-1'"):
        communication(
            one_limit(2),
            "edges",
            edges=[("home-11", "meter")],
            names=["home-1", "cottage"],
            limit_names=["T"],
        )


def test_links_between_homes_without_a_common_limit_are_noted() -> None:
    copies = Copies.of(csr_array(np.eye(2)))
    pairs = [("a", "meter"), ("b", "meter"), ("a", "b")]
    graph = communication(copies, "edges", edges=pairs, names=["a", "b"])
    assert len(graph.links.ends) == 2
    assert "1 links" in graph.notes[0]


@pytest.mark.parametrize("missing", ["cables", "edges"])
def test_a_kind_without_its_input_is_refused(missing: str) -> None:
    with pytest.raises(GraphError, match=missing):
        communication(one_limit(2), missing)  # type: ignore[arg-type]


def test_degrees_that_fall_apart_are_refused() -> None:
    with pytest.raises(GraphError, match="degree 2 falls apart"):
        communication(one_limit(20), "random_regular", degree=2)
    with pytest.raises(GraphError, match="has no links"):
        communication(one_limit(20), "small_world", degree=1)


def test_a_complete_graph_of_a_town_is_refused() -> None:
    with pytest.raises(GraphError, match="random_regular"):
        communication(one_limit(10_000), "complete")


def test_edge_list_file(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "edges.csv"  # type: ignore[operator]
    path.write_text("from,to\na, b\n\nb,meter\n")
    assert read_edge_list(path) == [("a", "b"), ("b", "meter")]
    path.write_text("a,b\na\n")
    with pytest.raises(GraphError, match="line 2"):
        read_edge_list(path)
    with pytest.raises(GraphError, match="no such file"):
        read_edge_list(path.with_name("nowhere.csv"))
