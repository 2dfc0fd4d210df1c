from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from grid_cosim.plots.geometry import geometry
from grid_cosim.plots.layout import estimated_places, forest, tree_places
from grid_cosim.results import Topology
from tests.results.builders import street_topology


def network(
    lines: list[tuple[int, int]], trafos: list[tuple[int, int]] = (), high: set[int] = frozenset()
) -> Topology:
    """Buses as they are named in lines and transformers; those in `high` have 20 kV, the others 0.4."""
    buses = sorted({bus for ends in [*lines, *trafos] for bus in ends})
    names = [f"Bus-{bus}" for bus in buses]
    kv = [20.0 if bus in high else 0.4 for bus in buses]
    return Topology(
        buses=pd.DataFrame(
            {"bus": names, "name": names, "vn_kv": kv, "longitude": np.nan, "latitude": np.nan}
        ),
        lines=pd.DataFrame(
            {
                "line": [f"Line-{number}" for number in range(len(lines))],
                "name": "",
                "from_bus": [f"Bus-{start}" for start, _ in lines],
                "to_bus": [f"Bus-{end}" for _, end in lines],
                "length_km": 0.1,
                "max_i_ka": 0.2,
                "path": None,
            }
        ),
        limits=pd.DataFrame(
            {
                "limit": [f"Trafo-{number}" for number in range(len(trafos))],
                "element": "trafo",
                "name": "",
                "from_bus": [f"Bus-{start}" for start, _ in trafos],
                "to_bus": [f"Bus-{end}" for _, end in trafos],
                "rated_kva": 400.0,
                "limit_percent": 100.0,
                "level": 0,
            }
        ),
        homes=pd.DataFrame({"household": [], "bus": [], "has_heat_pump": []}),
    )


# 0 ═ 1 ─┬─ 2 ── 3 ── 4
#        └─ 5
STREET = network([(1, 5), (1, 2), (2, 3), (4, 3)], [(0, 1)], {0})


def test_the_branch_with_most_behind_it_goes_straight_down_and_the_others_stand_beside_it():
    places = tree_places(STREET)
    trunk = [places[f"Bus-{bus}"] for bus in (0, 1, 2, 3, 4)]
    assert {x for x, _ in trunk} == {0.0}
    assert [y for _, y in trunk] == pytest.approx([0.0, -0.25, -0.5, -0.75, -1.0])
    assert places["Bus-5"] == pytest.approx((1.7, -0.5))


def test_stubs_of_a_street_stand_in_one_column_beside_it():
    street = [(1, 2), (2, 3), (3, 4), (1, 11), (2, 12), (3, 13)]
    places = tree_places(network(street, [(0, 1)], {0}))
    assert {places[f"Bus-{stub}"][0] for stub in (11, 12, 13)} == {1.7}
    assert {places[f"Bus-{bus}"][0] for bus in (0, 1, 2, 3, 4)} == {0.0}


def test_high_voltage_is_on_top_whichever_way_lines_are_written():
    grown = forest(STREET)
    assert grown.roots == ["Bus-0"]
    assert list(grown.children["Bus-1"]) == ["Bus-2", "Bus-5"]
    assert grown.depth["Bus-4"] == 4


def test_stations_on_one_ring_hang_at_one_root_and_those_fed_apart_are_roots_each():
    # 0 ── 1 at 20 kV feed 2 and 3, which a line joins; 4 feeds 5, joined to 3
    ring = network([(0, 1), (2, 3), (3, 5)], [(0, 2), (1, 3), (4, 5)], {0, 1, 4})
    grown = forest(ring)
    assert grown.roots == ["Bus-0", "Bus-4"]
    assert grown.depth == {"Bus-0": 0, "Bus-1": 1, "Bus-2": 1, "Bus-3": 2, "Bus-4": 0, "Bus-5": 1}


def test_transformers_without_a_limit_and_closed_switches_hold_the_tree_together():
    # 0 ═ 1 ── 2 ═ 3 ── 4, of which the transformers 0 ═ 1 and the switch 2 ═ 3 are no limits
    apart = network([(1, 2), (3, 4)])
    high = apart.buses[:1].assign(bus="Bus-0", vn_kv=20.0)
    apart = dataclasses.replace(apart, buses=pd.concat([apart.buses, high]))
    assert forest(apart).roots == ["Bus-1", "Bus-3", "Bus-0"]
    links = pd.DataFrame(
        [("Trafo-0", "trafo", "", "Bus-0", "Bus-1"), ("Switch-7", "switch", "", "Bus-2", "Bus-3")],
        columns=["link", "element", "name", "from_bus", "to_bus"],
    )
    joined = dataclasses.replace(apart, links=links)
    assert forest(joined).roots == ["Bus-0"]
    assert forest(joined).depth["Bus-4"] == 4
    places = geometry(joined)
    ends = [(ys[0], ys[-1]) for ys in places.link_ys]
    assert ends == [(0.0, -0.25), (-0.5, -0.75)]


def test_a_topology_keeps_its_links_and_one_without_has_its_limited_transformers(tmp_path):
    STREET.save(tmp_path / "before.json")
    before = Topology.load(tmp_path / "before.json")
    assert before.links is None
    assert before.joined.to_numpy().tolist() == [["trafo", "Bus-0", "Bus-1"]]
    links = pd.DataFrame(
        [("Impedance-0", "impedance", "x", "Bus-0", "Bus-1")],
        columns=["link", "element", "name", "from_bus", "to_bus"],
    )
    dataclasses.replace(STREET, links=links).save(tmp_path / "now.json")
    now = Topology.load(tmp_path / "now.json")
    pd.testing.assert_frame_equal(now.links, links)
    assert now.joined.to_numpy().tolist() == [["impedance", "Bus-0", "Bus-1"]]


def test_a_line_that_closes_a_mesh_is_drawn_as_an_arc_beside_the_tree():
    meshed = network([(1, 2), (2, 3), (1, 4), (4, 5), (5, 3), (1, 2)], [(0, 1)], {0})
    places = geometry(meshed)
    points = [len(xs) for xs in places.line_xs]
    assert points == [2, 2, 3, 2, 9, 9]  # the last one lies parallel to the first
    assert places.line_xs[4][0] == places.bus["Bus-5"][0]
    assert places.line_xs[4][-1] == places.bus["Bus-3"][0]
    straight = np.interp(0.5, [0, 1], [places.line_xs[5][0], places.line_xs[5][-1]])
    assert places.line_xs[5][4] != pytest.approx(straight)
    assert "not geographic" in places.note


def test_lines_of_a_tree_cross_nowhere():
    topology = street_topology(3, 24, located=False)
    places = geometry(topology)
    pieces = [
        (a, b)
        for xs, ys in zip(places.line_xs, places.line_ys, strict=True)
        for a, b in pairwise(zip(xs, ys, strict=True))
    ]
    assert not any(cross(*one, *two) for i, one in enumerate(pieces) for two in pieces[:i])


def cross(a, b, c, d) -> bool:
    """Whether two pieces meet elsewhere than at their ends."""

    def side(p, q, r) -> float:
        return round((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]), 12)

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def test_a_very_long_street_is_drawn_without_running_out_of_stack():
    places = tree_places(network([(bus, bus + 1) for bus in range(1, 3_000)], [(0, 1)], {0}))
    assert places["Bus-3000"] == (0.0, -1.0)


def test_a_bus_between_known_ones_is_put_between_and_one_that_hangs_a_line_length_beside():
    # 1 ── 2 ── 3 ── 4, 4 ── 5, and 6 ── 7 for themselves
    topology = network([(1, 2), (2, 3), (3, 4), (4, 5), (6, 7)])
    places = estimated_places(topology, {"Bus-1": (0.0, 0.0), "Bus-4": (300.0, 60.0)})
    assert places["Bus-2"] == pytest.approx((100.0, 20.0))
    assert places["Bus-3"] == pytest.approx((200.0, 40.0))
    assert np.hypot(places["Bus-5"][0] - 300.0, places["Bus-5"][1] - 60.0) == pytest.approx(100.0)
    assert max(places["Bus-6"][1], places["Bus-7"][1]) < 0.0


def test_some_missing_coordinates_leave_the_map_a_map_and_are_told():
    topology = street_topology(1, 8)
    buses = topology.buses.copy()
    buses.loc[[4, 6], ["longitude", "latitude"]] = np.nan
    places = geometry(dataclasses.replace(topology, buses=buses, lines=topology.lines.assign(path=None)))
    assert places.located
    assert places.note == "2 of 10 buses have no coordinates; their places are estimated."
    assert np.isfinite(list(places.bus.values())).all()
    assert len(set(places.bus.values())) == 9  # both sides of the transformer are at one place
    buses.loc[2:, ["longitude", "latitude"]] = np.nan
    assert not geometry(dataclasses.replace(topology, buses=buses)).located
