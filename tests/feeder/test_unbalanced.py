"""Runs per phase: against pandapower's three-phase power flow, by symmetry, and what cannot be solved so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandapower as pp
import pytest
from pandapower.auxiliary import pandapowerNet

from grid_cosim.errors import FeederError
from grid_cosim.feeder import Feeder, Gauges, PowerGridFlow, Snapshot, choose_power_flow, load_feeder
from grid_cosim.feeder.choice import candidates, counting, kept
from grid_cosim.feeder.limits import LimitChoice
from grid_cosim.feeder.unbalanced import UnbalancedFlow
from tests.builders import street_per_phase

LINES = LimitChoice(True, "all", "none", 0.5, 0.9, 1.1, 70.0, "auto")
REFERENCE_PU = 1e-6  # what the reference leaves, gone on with twice; seen: 2e-7 at 220 kW, 2e-9 at 60


def solve(flow: UnbalancedFlow | PowerGridFlow, p_kw: object, q_kvar: object = 0.0) -> Snapshot:
    p = np.asarray(p_kw, dtype=float)
    q = np.broadcast_to(np.asarray(q_kvar, dtype=float), p.shape)
    return flow.solve(bus_p_kw=p, bus_q_kvar=q, step=None)


def with_lines(net: pandapowerNet | str) -> Feeder:
    return candidates(load_feeder(net, unbalanced=True), LINES, both_ways=False)


@pytest.fixture(scope="module")
def ieee() -> Feeder:
    return load_feeder("ieee_european_lv", unbalanced=True)


def test_the_feeder_has_its_homes_on_their_phases(ieee: Feeder) -> None:
    # the test feeder's own list of loads: 21 on phase a, 19 on b, 15 on c; the first four are on a, b, a, a
    assert np.bincount(ieee.home_phase).tolist() == [21, 19, 15]
    assert ieee.home_names[:4] == ("LOAD1", "LOAD2", "LOAD3", "LOAD4")
    assert ieee.home_phase[:4].tolist() == [0, 1, 0, 0]
    assert ieee.limits.names == ("Trafo-0-a", "Trafo-0-b", "Trafo-0-c")
    np.testing.assert_allclose(ieee.limits.rated_kva, 800.0 / 3.0, rtol=1e-6)
    np.testing.assert_array_equal(ieee.limits.coupling.toarray().argmax(axis=0), ieee.home_phase)


@pytest.mark.parametrize("largest_kw", [1.0, 8.0])
def test_voltages_and_currents_are_those_of_pandapower(ieee: Feeder, largest_kw: float) -> None:
    flow = UnbalancedFlow(ieee)
    p_kw = np.random.default_rng(3).uniform(0.0, largest_kw, ieee.connection_buses.size)
    snapshot = solve(flow, p_kw, 0.3 * p_kw)
    assert flow.check(snapshot).dv_pu < REFERENCE_PU
    net = flow._reference
    assert net is not None
    currents = net.res_line_3ph[["i_a_ka", "i_b_ka", "i_c_ka"]].to_numpy()
    np.testing.assert_allclose(snapshot.line_i_ka, currents.max(axis=1), rtol=1e-5, atol=1e-8)
    trafo = net.res_trafo_3ph.loc[0]
    assert snapshot.trafo_loading_percent[0] == pytest.approx(trafo["loading_percent"], rel=1e-5)
    assert snapshot.trafo_p_kw[0] == pytest.approx(1e3 * sum(trafo[f"p_{x}_hv_mw"] for x in "abc"), rel=1e-5)
    amperes = np.array([trafo[f"i_{x}_lv_ka"] for x in "abc"])
    np.testing.assert_allclose(
        snapshot.limit_loading_percent, 100.0 * amperes * 0.416 * np.sqrt(3.0) / 0.8, rtol=1e-5
    )
    at_homes_kw = [-1e3 * trafo[f"p_{x}_lv_mw"] for x in "abc"]
    np.testing.assert_allclose(snapshot.limit_p_kw, at_homes_kw, rtol=1e-4)
    assert snapshot.slack_p_kw == pytest.approx(p_kw.sum() + snapshot.losses_kw)
    voltages = net.res_bus_3ph[["vm_a_pu", "vm_b_pu", "vm_c_pu"]].to_numpy()
    furthest = voltages[np.arange(907), np.abs(voltages - 1.0).argmax(axis=1)]
    np.testing.assert_allclose(snapshot.vm_pu, furthest, atol=REFERENCE_PU)


def _charging(net: pandapowerNet) -> None:
    net.line["c_nf_per_km"], net.line["c0_nf_per_km"] = 4000.0, 1500.0


def _parallel(net: pandapowerNet) -> None:
    net.line["parallel"] = 2
    net.line["c_nf_per_km"], net.line["c0_nf_per_km"] = 4000.0, 1500.0


def _tap(net: pandapowerNet) -> None:
    net.trafo["tap_changer_type"], net.trafo["tap_side"], net.trafo["tap_step_percent"] = "Ratio", "hv", 2.5
    net.trafo["tap_pos"], net.trafo["tap_neutral"] = 2, 0


def _earth(net: pandapowerNet) -> None:
    net.trafo["vk0_percent"], net.trafo["mag0_rx"], net.trafo["si0_hv_partial"] = 6.0, 0.4, 0.5


def _dead_end(net: pandapowerNet) -> None:
    net.line.loc[2, "in_service"] = False


def _others(net: pandapowerNet) -> None:
    pp.create_load(net, 2, p_mw=0.01, q_mvar=0.002)


@pytest.mark.parametrize(
    "change", [_charging, _parallel, _tap, _earth, _dead_end, _others], ids=lambda c: c.__name__
)
def test_same_voltages_as_pandapower(change: Callable[[pandapowerNet], None]) -> None:
    net = street_per_phase("ac-")
    before = solve(UnbalancedFlow(load_feeder(net, unbalanced=True)), [5.0, 3.0, 6.0], 1.0)
    change(net)
    flow = UnbalancedFlow(load_feeder(net, unbalanced=True))
    after = solve(flow, [5.0, 3.0, 6.0], 1.0)
    assert flow.check(after).dv_pu < REFERENCE_PU
    assert not np.abs(after.vm_phase_pu - before.vm_phase_pu).max() < 1e-6


def test_without_unbalance_it_is_the_balanced_solution() -> None:
    net = street_per_phase("---")
    p_kw = [5.0, 3.0, 6.0]
    balanced = solve(PowerGridFlow(load_feeder(net)), p_kw, 1.0)
    feeder = load_feeder(net, unbalanced=True)
    phases = solve(UnbalancedFlow(feeder), p_kw, 1.0)
    np.testing.assert_allclose(phases.vm_phase_pu, balanced.vm_pu[:, None] * np.ones(3), rtol=1e-9)
    np.testing.assert_allclose(phases.line_loading_percent, balanced.line_loading_percent, rtol=1e-8)
    np.testing.assert_allclose(phases.trafo_loading_percent, balanced.trafo_loading_percent, rtol=1e-8)
    np.testing.assert_allclose(phases.losses_kw, balanced.losses_kw, rtol=1e-6)
    np.testing.assert_allclose(feeder.limits.coupling.toarray(), 1.0 / 3.0)
    # the same share of a third of the rating, and what is lost inside is not counted at the homes' side
    np.testing.assert_allclose(
        phases.limit_loading_percent, balanced.trafo_loading_percent.repeat(3), rtol=1e-8
    )
    assert 0.0 < balanced.limit_p_kw[0] - phases.limit_p_kw.sum() < balanced.losses_kw


def test_a_home_loads_its_own_phase_only() -> None:
    feeder = load_feeder(street_per_phase("abb"), unbalanced=True)
    snapshot = solve(UnbalancedFlow(feeder), [6.0, 0.0, 0.0])
    np.testing.assert_allclose(feeder.limits.coupling.toarray(), [[1, 0, 0], [0, 1, 1], [0, 0, 0]])
    assert snapshot.limit_p_kw[0] > 6.0
    np.testing.assert_allclose(snapshot.limit_p_kw[1:], 0.0, atol=1e-6)
    end = snapshot.vm_phase_pu[-1]
    assert end[0] < 0.997
    assert snapshot.vm_pu[-1] == end[0]


def test_a_line_is_a_limit_of_each_phase_that_has_homes_behind_it() -> None:
    # H0 is on phase a, H1 on all three, H2 on c
    limits = with_lines(street_per_phase("a-c")).limits
    members = dict(zip(limits.names, limits.coupling.toarray().tolist(), strict=True))
    third = 1.0 / 3.0
    assert members == {
        **{f"{head}-a": [1, third, 0] for head in ("Trafo-0", "Line-0")},
        **{f"{head}-b": [0, third, 0] for head in ("Trafo-0", "Line-0", "Line-1")},
        **{f"{head}-c": [0, third, 1] for head in ("Trafo-0", "Line-0", "Line-1")},
        "Line-1-a": [0, third, 0],
        "Line-2-c": [0, 0, 1],
    }
    level = dict(zip(limits.names, limits.level.tolist(), strict=True))
    assert [level[f"{head}-c"] for head in ("Trafo-0", "Line-0", "Line-1", "Line-2")] == [0, 1, 2, 3]
    row = limits.names.index("Line-2-c")
    assert limits.rated_kva[row] == pytest.approx(270.0 * 0.4 / np.sqrt(3.0))
    assert limits.limit_percent[row] == 50.0
    assert limits.element_ids[row] == "Line-2"
    assert Gauges.of(limits).element == limits.names


def test_lines_are_loaded_per_phase_as_in_pandapower() -> None:
    feeder = with_lines("ieee_european_lv")
    flow = UnbalancedFlow(feeder)
    p_kw = np.random.default_rng(4).uniform(0.0, 5.0, feeder.connection_buses.size)
    snapshot = solve(flow, p_kw, 0.3 * p_kw)
    assert flow.check(snapshot).dv_pu < REFERENCE_PU
    net, limits = flow._reference, feeder.limits
    assert net is not None
    rows = [row for row, element in enumerate(limits.element) if element == "line"]
    assert len(rows) > 1000
    for row in rows:
        at, phase = net.res_line_3ph.loc[limits.index[row]], "abc"[limits.phase[row]]
        assert limits.names[row] == f"Line-{limits.index[row]}-{phase}"
        assert snapshot.limit_loading_percent[row] == pytest.approx(at[f"loading_{phase}_percent"], rel=1e-4)
        side = "to" if limits.direction[row] > 0 else "from"
        for carried, letter, unit in ((snapshot.limit_p_kw, "p", "mw"), (snapshot.limit_q_kvar, "q", "mvar")):
            expected = -1e3 * at[f"{letter}_{phase}_{side}_{unit}"]
            assert carried[row] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def _turned(net: pandapowerNet) -> None:
    net.line[["from_bus", "to_bus"]] = net.line[["to_bus", "from_bus"]].to_numpy()


def _derated(net: pandapowerNet) -> None:
    net.line["df"] = 0.5


@pytest.mark.parametrize("change", [_turned, _parallel, _derated], ids=lambda c: c.__name__)
def test_a_line_carries_what_its_homes_draw(change: Callable[[pandapowerNet], None]) -> None:
    net = street_per_phase("abc")
    change(net)
    feeder = with_lines(net)
    flow = UnbalancedFlow(feeder)
    snapshot = solve(flow, [5.0, 3.0, 6.0])
    assert flow.check(snapshot).dv_pu < REFERENCE_PU
    assert flow._reference is not None
    row = feeder.limits.names.index("Line-2-c")
    assert snapshot.limit_p_kw[row] == pytest.approx(6.0, rel=1e-4)
    loading = flow._reference.res_line_3ph["loading_c_percent"].to_numpy()
    assert snapshot.limit_loading_percent[row] == pytest.approx(loading[2], rel=1e-4)


def test_of_a_line_only_the_phases_near_their_limit_are_kept() -> None:
    feeder, choice = with_lines(street_per_phase("abc")), replace(LINES, lines="near")
    nothing = np.zeros(feeder.limits.n_limits, dtype=bool)
    near = np.where(np.array(feeder.limits.names) == "Line-0-b", 80.0, 60.0)
    left = kept(feeder, choice, counting(feeder.limits, choice, peak_percent=near, can_reverse=nothing))
    assert left.limits.names == ("Trafo-0-a", "Trafo-0-b", "Trafo-0-c", "Line-0-b")


def test_others_are_a_third_on_each_phase_of_the_limit() -> None:
    net = street_per_phase("abc")
    _others(net)
    np.testing.assert_allclose(load_feeder(net, unbalanced=True).background_on_limits_kw(None), 10.0 / 3.0)
    feeder = with_lines(net)
    background_kw = dict(zip(feeder.limits.names, feeder.background_on_limits_kw(None), strict=True))
    assert background_kw["Line-0-a"] == pytest.approx(10.0 / 3.0)
    assert background_kw["Line-2-c"] == 0.0


def test_a_step_without_a_solution_harms_no_other() -> None:
    flow = UnbalancedFlow(load_feeder(street_per_phase(), unbalanced=True))
    before = solve(flow, [5.0, 3.0, 6.0])
    none = solve(flow, [1e4, 0.0, 0.0])
    assert not none.converged
    assert "no solution for 10000 kW" in none.message
    assert np.isnan(none.vm_pu).all()
    assert np.isnan(flow.check(none).dv_pu)
    np.testing.assert_array_equal(solve(flow, [5.0, 3.0, 6.0]).vm_pu, before.vm_pu)


def _no_phases(net: pandapowerNet) -> None:
    net.load = net.load.drop(columns="phase")


def _wrong_phase(net: pandapowerNet) -> None:
    net.load["phase"] = ["a", "d", "c"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_no_phases, 'does not say which phase its homes.*column "phase"'),
        (_wrong_phase, "load 1 is connected to phase 'd'"),
    ],
)
def test_homes_without_a_phase_are_refused(change: Callable[[pandapowerNet], None], problem: str) -> None:
    net = street_per_phase()
    change(net)
    with pytest.raises(FeederError, match=problem):
        load_feeder(net, unbalanced=True)
    load_feeder(net)


def _two_phases_at_a_bus(net: pandapowerNet) -> None:
    net.load.loc[1, "bus"] = net.load.loc[0, "bus"]


def _no_zero_sequence(net: pandapowerNet) -> None:
    net.line = net.line.drop(columns="r0_ohm_per_km")


def _star(net: pandapowerNet) -> None:
    net.trafo["vector_group"] = "Yzn"


def _generator(net: pandapowerNet) -> None:
    pp.create_gen(net, 3, p_mw=0.001)


def _open_switch(net: pandapowerNet) -> None:
    pp.create_switch(net, 3, 2, et="l", closed=False)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_two_phases_at_a_bus, "homes at the same bus are connected to different phases"),
        (_no_zero_sequence, "zero-sequence data is missing: line.r0_ohm_per_km"),
        (_star, "only transformers of vector group Dyn"),
        (_generator, "elements of the table 'gen' are not modelled per phase"),
        (_open_switch, "open switches are not modelled per phase"),
    ],
)
def test_what_cannot_be_solved_per_phase_is_refused(
    change: Callable[[pandapowerNet], None], problem: str
) -> None:
    net = street_per_phase()
    change(net)
    with pytest.raises(FeederError, match=problem):
        choose_power_flow(load_feeder(net, unbalanced=True))


def test_pandapower_checks_but_does_not_run() -> None:
    feeder = load_feeder(street_per_phase(), unbalanced=True)
    assert "per phase" in choose_power_flow(feeder).note
    with pytest.raises(FeederError, match="pandapower solves no run per phase"):
        choose_power_flow(feeder, "pandapower")
