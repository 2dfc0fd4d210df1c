"""Who is downstream of which transformer, how deep the limits lie, who is next to whom."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandapower as pp
import pytest

from grid_cosim.feeder.network import load_feeder
from grid_cosim.feeder.power_flow import PandapowerFlow
from tests import builders


def test_a_radial_feeder_couples_exactly_one() -> None:
    limits = load_feeder(builders.street()).limits
    assert limits.names == ("Trafo-0",)
    assert limits.element == ("trafo",)
    assert limits.coupling.toarray().tolist() == [[1.0, 1.0, 1.0]]
    assert limits.rated_kva.tolist() == [100.0]
    assert limits.limit_percent.tolist() == [100.0]


def test_parallel_transformers_share_by_their_impedances() -> None:
    coupling = load_feeder(builders.parallel_transformers()).limits.coupling.toarray()[:, 0]
    y = np.array([100 / (1.5 + 1j * np.sqrt(4.0**2 - 1.5**2)), 300 / (1.0 + 1j * np.sqrt(6.0**2 - 1.0**2))])
    assert coupling == pytest.approx((y / y.sum()).real, rel=1e-6)
    assert coupling.sum() == pytest.approx(1.0)


def test_parallel_transformers_lie_on_one_level() -> None:
    assert load_feeder(builders.parallel_transformers()).limits.level.tolist() == [0, 0]


def test_the_rating_counts_parallel_units_and_the_derating_factor() -> None:
    net = builders.street()
    net.trafo["parallel"] = 2
    net.trafo["df"] = 0.9
    feeder = load_feeder(net, limit_share=0.5)
    assert feeder.limits.rated_kva == pytest.approx([180.0])
    assert feeder.limits.limit_percent.tolist() == [50.0]
    assert feeder.first_limit_kw() == pytest.approx([0.90 * 90])


def test_nested_limits_contain_each_other() -> None:
    limits = load_feeder(builders.two_levels()).limits
    assert limits.level.tolist() == [0, 1, 1]
    assert limits.coupling.toarray().tolist() == [[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 1]]


def test_an_open_switch_separates_the_areas() -> None:
    limits = load_feeder(builders.coupled_areas(closed=False)).limits
    assert limits.coupling.toarray().tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert limits.level.tolist() == [0, 0]


def test_a_closed_ring_shares_every_home() -> None:
    coupling = load_feeder(builders.coupled_areas(closed=True)).limits.coupling.toarray()
    assert coupling.sum(axis=0) == pytest.approx(np.ones(4))
    assert coupling[0, 0] == pytest.approx(coupling[1, 2])  # the drawing is symmetric
    assert 0.5 < coupling[0, 1] < coupling[0, 0] < 1


def test_shares_are_what_the_ac_power_flow_adds_to_each_transformer() -> None:
    feeder = load_feeder(builders.coupled_areas(closed=True))
    flow = PandapowerFlow(feeder)
    zero = np.zeros(4)
    at_rest = flow.solve(bus_p_kw=zero, bus_q_kvar=zero, step=None).limit_p_kw
    for home in range(4):
        one_kw = flow.solve(bus_p_kw=np.eye(4)[home], bus_q_kvar=zero, step=None).limit_p_kw
        # 1 kW loses about 0.1 % on its way
        assert one_kw - at_rest == pytest.approx(feeder.limits.coupling.toarray()[:, home], rel=0.01)


def test_a_transformer_fed_from_below_points_at_the_homes() -> None:
    feeder = load_feeder(builders.fed_from_below())
    limits = feeder.limits
    assert limits.direction.tolist() == [-1, 1]
    assert limits.coupling.toarray().tolist() == [[1.0], [1.0]]
    assert limits.level.tolist() == [0, 1]
    snapshot = PandapowerFlow(feeder).solve(bus_p_kw=np.array([10.0]), bus_q_kvar=np.zeros(1), step=None)
    assert snapshot.trafo_p_kw[0] < 0 < 10.0 < snapshot.limit_p_kw[1] < snapshot.limit_p_kw[0]


def test_a_home_above_the_transformer_is_no_member_and_noted() -> None:
    net = builders.street()
    pp.create_load(net, 0, p_mw=0.01, type="HH")
    feeder = load_feeder(net)
    assert feeder.limits.coupling.toarray().tolist() == [[1, 1, 1, 0]]
    assert "1 homes are supplied through no transformer: no limit binds them" in feeder.notes


def test_a_transformer_without_homes_is_no_limit() -> None:
    net = builders.two_levels()
    net.load = net.load.drop(index=3)
    feeder = load_feeder(net)
    assert feeder.limits.names == ("Trafo-0", "Trafo-1")
    assert "1 of 3 transformers supply no home and are no limits" in feeder.notes


def test_neighbours_in_a_row() -> None:
    graph = load_feeder(builders.street()).cable_graph(0)
    assert _edges(graph) == {("meter", 0), (0, 1), (1, 2)}


def test_neighbours_on_service_cables_form_a_chain_too() -> None:
    graph = load_feeder(builders.fishbone()).cable_graph(0)
    assert _edges(graph) == {("meter", 0), (0, 1), (1, 2)}


def test_homes_at_one_bus_form_a_chain() -> None:
    net = builders.street()
    for _ in range(2):
        pp.create_load(net, 2, p_mw=0.002, type="HH")
    graph = load_feeder(net).cable_graph(0)
    assert _edges(graph) == {("meter", 0), (0, 1), (1, 2), (0, 3), (3, 4)}


def test_cables_of_a_nested_limit_lead_through_what_lies_inside() -> None:
    feeder = load_feeder(builders.two_levels())
    assert _edges(feeder.cable_graph(0)) == {("meter", 0), (0, 1), (1, 2), (0, 3)}
    assert _edges(feeder.cable_graph(2)) == {("meter", 3)}


@pytest.mark.parametrize("limit", [0, 1])
def test_a_ring_stays_one_graph_with_every_member(limit: int) -> None:
    graph = load_feeder(builders.coupled_areas(closed=True)).cable_graph(limit)
    assert set(graph) == {"meter", 0, 1, 2, 3}
    assert nx.is_connected(graph)


def _edges(graph: nx.Graph) -> set[tuple[object, object]]:
    place = {"meter": -1}
    return {tuple(sorted(edge, key=lambda node: place.get(node, node))) for edge in graph.edges}
