"""Lines, voltages and reverse flows as limits: which, whose, how deep, and how an AC solution is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandapower as pp
import pytest

from grid_cosim.feeder.choice import candidates, counting, kept
from grid_cosim.feeder.limits import LimitChoice
from grid_cosim.feeder.network import Feeder, load_feeder
from grid_cosim.feeder.power_flow import PandapowerFlow, Snapshot
from grid_cosim.feeder.voltage import watched_buses
from tests import builders

ALL = LimitChoice(True, "all", "all", 1.0, 0.9, 1.1, 70.0, True)


def limited(feeder: Feeder, choice: LimitChoice = ALL) -> Feeder:
    return candidates(feeder, choice, both_ways=True)


def chosen_of(feeder: Feeder, choice: LimitChoice, peak: np.ndarray, can: np.ndarray) -> Feeder:
    return kept(feeder, choice, counting(feeder.limits, choice, peak_percent=peak, can_reverse=can))


def solved(feeder: Feeder, p_kw: float) -> Snapshot:
    powers = np.full(feeder.connection_buses.size, p_kw)
    return PandapowerFlow(feeder).solve(bus_p_kw=powers, bus_q_kvar=0.0 * powers, step=None)


def test_three_levels_lie_inside_each_other() -> None:
    limits = limited(load_feeder(builders.two_levels())).limits
    level = dict(zip(limits.names, limits.level.tolist(), strict=True))
    # lines: 0 to the station, 1 and 2 in the first area, 3 in the second
    chain = ["Trafo-0", "Line-0", "Trafo-1", "Line-1", "Line-2", "Bus-5 low"]
    assert [level[name] for name in chain] == [0, 1, 2, 3, 4, 5]
    assert [level[name] for name in ("Trafo-2", "Line-3")] == [2, 3]
    for name in chain[:-1]:
        assert level[f"{name} reverse"] == level[name]
    assert level["Bus-5 high"] == 5
    members = dict(zip(limits.names, limits.coupling.toarray().tolist(), strict=True))
    assert members["Line-0"] == [1, 1, 1, 1]
    assert members["Line-1"] == [0, 1, 1, 0]
    assert members["Line-2"] == [0, 0, 1, 0]


def test_transformers_stay_as_they_were() -> None:
    feeder = load_feeder(builders.two_levels(), limit_share=0.8)
    limits = limited(feeder).limits.some(np.arange(3))
    assert limits.names == feeder.limits.names
    assert limits.limit_percent.tolist() == feeder.limits.limit_percent.tolist()
    assert (limits.coupling != feeder.limits.coupling).nnz == 0


def test_a_line_is_rated_by_its_current() -> None:
    net = builders.street()
    net.line["parallel"], net.line["df"] = 2, 0.5
    limits = limited(load_feeder(net), replace(ALL, line_share=0.5)).limits
    row = limits.names.index("Line-0")
    assert limits.rated_kva[row] == pytest.approx(np.sqrt(3) * 0.4 * 270.0)
    assert limits.limit_percent[row] == 50.0


def test_a_line_drawn_from_its_end_to_the_grid_points_at_the_homes() -> None:
    net = builders.street(1)
    net.line[["from_bus", "to_bus"]] = net.line[["to_bus", "from_bus"]].to_numpy()
    feeder = limited(load_feeder(net))
    row = feeder.limits.names.index("Line-0")
    snapshot = solved(feeder, 10.0)
    assert feeder.limits.direction[row] == -1
    assert snapshot.line_p_kw[0] < 0 < snapshot.limit_p_kw[row]


@pytest.mark.parametrize("p_kw", [12.0, -12.0])
def test_a_reverse_limit_is_the_same_element_the_other_way(p_kw: float) -> None:
    feeder = limited(load_feeder(builders.street()))
    limits, snapshot = feeder.limits, solved(feeder, p_kw)
    for name in ("Trafo-0", "Line-1"):
        forward, back = limits.names.index(name), limits.names.index(f"{name} reverse")
        assert snapshot.limit_p_kw[back] == -snapshot.limit_p_kw[forward]
        assert snapshot.limit_loading_percent[back] == -snapshot.limit_loading_percent[forward]
        assert np.sign(p_kw) * snapshot.limit_loading_percent[forward] > 10
    assert (limits.coupling.toarray()[limits.sense < 0] <= 0).all()


def test_without_a_reverse_limit_the_loading_is_that_of_the_element() -> None:
    snapshot = solved(load_feeder(builders.street()), -12.0)
    assert snapshot.limit_p_kw[0] < 0.0
    assert snapshot.limit_loading_percent[0] > 10.0


def test_the_ends_of_the_band_are_full_where_the_voltage_is_there() -> None:
    net = builders.street()
    pp.runpp(net)
    choice = replace(ALL, vm_min_pu=0.99, vm_max_pu=1.01)
    feeder = limited(load_feeder(net), choice)
    limits = feeder.limits
    low, high = limits.names.index("Bus-4 low"), limits.names.index("Bus-4 high")
    first_kw = limits.first_limit_kw()
    for p_kw in (-15.0, 0.0, 15.0):
        snapshot = solved(feeder, p_kw)
        vm_pu = snapshot.vm_pu[4]
        moved = (1.0 - vm_pu) * vm_pu
        assert snapshot.limit_loading_percent[low] == pytest.approx(100 * moved / (0.01 * 0.99), abs=1e-6)
        assert snapshot.limit_loading_percent[high] == pytest.approx(-100 * moved / (0.01 * 1.01), abs=1e-6)
        # the kilowatts are those of the home there; used and left add up to what there is
        used = snapshot.limit_p_kw[low] / first_kw[low]
        assert 100 * used == pytest.approx(snapshot.limit_loading_percent[low], abs=1e-6)
    weights = limits.coupling.toarray()
    assert weights[low].max() == weights[low][2] == 1.0
    assert (np.diff(weights[low]) > 0).all()
    np.testing.assert_array_equal(weights[high], -weights[low])


def test_the_kilowatts_left_of_a_voltage_are_those_that_the_power_flow_takes() -> None:
    """Homes of cos φ 0.95 draw a tenth more: the voltage moves by what the row says."""
    feeder = limited(load_feeder("schutterwald:2", slack_vm_pu=1.0))
    limits, rows = feeder.limits, np.flatnonzero(feeder.limits.is_voltage & (feeder.limits.sense > 0))
    p_kw = np.random.default_rng(0).uniform(1.0, 3.0, feeder.n_households)
    flow, points = PandapowerFlow(feeder), feeder.connection_buses.size

    def measured(p_kw: np.ndarray) -> np.ndarray:
        at_bus = np.bincount(feeder.home_connection, weights=p_kw, minlength=points)
        return flow.solve(bus_p_kw=at_bus, bus_q_kvar=0.3287 * at_bus, step=None).limit_p_kw[rows]

    moved = measured(1.1 * p_kw) - measured(p_kw)
    foreseen = (limits.coupling @ (0.1 * p_kw))[rows]
    # the voltage is not quite that of the planned loads, and members below 5 % of influence are left out
    np.testing.assert_allclose(moved, foreseen, rtol=0.06)


def test_a_band_that_no_voltage_can_keep_is_no_limit() -> None:
    feeder = load_feeder(builders.street(), slack_vm_pu=1.08)
    choice = replace(ALL, vm_max_pu=1.05)
    found = limited(feeder, choice)
    names = found.limits.names
    assert "Bus-4 low" in names
    assert "Bus-4 high" not in names
    assert "no limit of high voltage at 1 of 1 ends" in found.notes[-1]
    assert "1.080 to 1.080 pu there, already beyond 1.050 pu" in found.notes[-1]
    chosen = chosen_of(found, choice, np.zeros(len(names)), np.ones(len(names), dtype=bool))
    assert any("limits of low voltage at 1 of 1 ends" in note for note in chosen.notes)


def test_other_loads_count_in_every_limit() -> None:
    net = builders.street()
    pp.create_load(net, 4, p_mw=0.006, type="other")
    net.load["type"] = ["HH", "HH", "HH", "other"]
    feeder = limited(load_feeder(net))
    limits, drawn = feeder.limits, feeder.background_on_limits_kw(None)
    of = dict(zip(limits.names, drawn, strict=True))
    assert of["Trafo-0"] == of["Line-2"] == 6.0
    assert of["Trafo-0 reverse"] == -6.0
    assert of["Bus-4 low"] == pytest.approx(6.0)
    assert of["Bus-4 high"] == pytest.approx(-6.0)


def test_service_cables_are_no_ends() -> None:
    feeder = load_feeder(builders.fishbone())
    assert watched_buses(feeder.wiring, feeder.connection_buses, 1.0).tolist() == [7]


def test_a_long_service_cable_is_an_end_of_its_own() -> None:
    net = builders.fishbone()
    net.line.loc[3, "length_km"] = 0.7  # to b5: 0.14 ohm, a drop of 0.9 % at 10 kW
    net.line.loc[1, "length_km"] = 0.4  # to b3: 0.08 ohm, 1 % at twice 10 kW
    feeder = load_feeder(net)
    assert watched_buses(feeder.wiring, feeder.connection_buses, 1.0).tolist() == [5, 7]


def test_what_lies_within_a_few_thousandths_of_a_junction_is_no_end_beside_another() -> None:
    net = builders.fishbone()
    net.line.loc[3, "length_km"] = 0.7  # 0.9 % at 10 kW
    net.line.loc[1, "length_km"] = 0.05  # to b3 0.13 % at twice 10 kW, and as much to b4
    feeder = load_feeder(net)
    assert watched_buses(feeder.wiring, feeder.connection_buses, 1.0).tolist() == [5]


def test_in_a_ring_every_home_is_watched_and_in_its_branches_the_ends() -> None:
    net = builders.coupled_areas(closed=True)
    a = pp.create_bus(net, 0.4)
    pp.create_line_from_parameters(net, 3, a, 1.0, 0.2, 0.08, 0.0, 0.27)
    pp.create_load(net, a, 0.002, type="HH")
    feeder = load_feeder(net)
    watched = watched_buses(feeder.wiring, feeder.connection_buses, 1.0)
    assert watched.tolist() == sorted([*net.load["bus"][:4], a])


def test_near_keeps_what_comes_near_and_says_so() -> None:
    feeder = limited(load_feeder(builders.street()), replace(ALL, voltage="near", lines="near"))
    names = feeder.limits.names
    peak = np.array([95.0 if name in ("Line-0", "Bus-4 low") else 10.0 for name in names])
    nothing = np.zeros(len(names), dtype=bool)
    choice = replace(ALL, voltage="near", lines="near", reverse="auto")
    found = chosen_of(feeder, choice, peak, nothing)
    assert found.limits.names == ("Trafo-0", "Line-0", "Bus-4 low")
    assert found.limits.level.tolist() == [0, 1, 2]
    assert any("limits at 1 of 3 lines" in note for note in found.notes)


def test_against_generation_only_where_it_can_be_generated() -> None:
    feeder = limited(load_feeder(builders.street()))
    names = feeder.limits.names
    choice = replace(ALL, lines="near", voltage="none", reverse="auto")
    can = np.array([name == "Line-2 reverse" for name in names])
    found = chosen_of(feeder, choice, np.zeros(len(names)), can)
    # the forward limit comes with it: it shows the loading, whichever way
    assert found.limits.names == ("Trafo-0", "Line-2", "Line-2 reverse")
    none = chosen_of(feeder, replace(choice, reverse=False), np.zeros(len(names)), can)
    assert none.limits.names == ("Trafo-0",)


@pytest.mark.parametrize("name", ["Line-1", "Bus-4 low", "Bus-4 high"])
def test_cables_join_the_members_of_every_limit(name: str) -> None:
    feeder = limited(load_feeder(builders.street()))
    graph = feeder.cable_graph(feeder.limits.names.index(name))
    members = {"Line-1": {1, 2}, "Bus-4 low": {0, 1, 2}, "Bus-4 high": {0, 1, 2}}[name]
    assert set(graph) == {"meter", *members}
    assert graph.number_of_edges() == len(members)  # a tree
    assert graph.has_edge("meter", 1 if name == "Line-1" else 2)
