"""The fast AC power flow against the reference, which networks it refuses, and who notices if it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pandapower as pp
import pytest
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st
from pandapower.auxiliary import pandapowerNet

from grid_cosim.errors import FeederError
from grid_cosim.feeder import (
    Feeder,
    PandapowerFlow,
    PowerFlow,
    PowerGridFlow,
    Snapshot,
    choose_power_flow,
    load_feeder,
)
from tests import builders

SOLVER_PU = 2e-8  # what the reference's tolerance, a mismatch of 1e-8 MVA, leaves; seen: 3e-9
KW = 2e-4  # 10 times 2e-8 pu at 1 MVA: voltages differ at both ends of elements of some 0.1 pu of impedance


def solve(flow: PowerFlow, p_kw: object, q_kvar: object = 0.0, *, step: int | None = None) -> Snapshot:
    p = np.asarray(p_kw, dtype=float)
    q = np.broadcast_to(np.asarray(q_kvar, dtype=float), p.shape)
    return flow.solve(bus_p_kw=p, bus_q_kvar=q, step=step)


def assert_same(one: Snapshot, other: Snapshot) -> None:
    for field in fields(Snapshot):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "vm_pu":
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=SOLVER_PU)
        elif isinstance(theirs, (float, np.ndarray)):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=KW, err_msg=field.name)
        elif field.name != "iterations":
            assert ours == theirs, field.name


def assert_same_solutions(feeder: Feeder, *, largest_kw: float = 5.0, step: int | None = None) -> None:
    """Of both solvers for homes that draw at random."""
    fast, reference = PowerGridFlow(feeder), PandapowerFlow(feeder)
    rng = np.random.default_rng(1)
    for _ in range(2):  # the second starts from the first
        p_kw = rng.uniform(-0.2, 1.0, feeder.connection_buses.size) * largest_kw
        q_kvar = rng.uniform(-0.1, 0.4, p_kw.size) * p_kw
        ours, theirs = (solve(flow, p_kw, q_kvar, step=step) for flow in (fast, reference))
        assert theirs.converged
        assert_same(ours, theirs)
        assert fast.check(ours).dv_pu < SOLVER_PU


def _tap_at_either_side(net: pandapowerNet) -> None:
    net.trafo["tap_changer_type"] = "Ratio"
    net.trafo["tap_side"] = ["hv", "lv", "hv"]
    net.trafo["tap_pos"], net.trafo["tap_neutral"], net.trafo["tap_step_percent"] = [2, -1, 3], 0, 2.5
    net.trafo.loc[2, "tap_step_degree"] = 30.0


def _phase_shift(net: pandapowerNet) -> None:
    # pandapower calculates angles above 70 kV only, and two_levels begins at 110 kV
    net.trafo["shift_degree"] = [30.0, 150.0, 150.0]


def _charging_and_iron(net: pandapowerNet) -> None:
    net.line["c_nf_per_km"] = 4000.0
    net.line["g_us_per_km"] = 30.0
    net.trafo["pfe_kw"], net.trafo["i0_percent"] = 0.4, 0.5
    net.trafo["leakage_resistance_ratio_hv"], net.trafo["leakage_reactance_ratio_hv"] = 0.2, 0.7


def _parallel(net: pandapowerNet) -> None:
    net.line["parallel"] = 2
    net.trafo["parallel"] = [2, 1, 3]
    net.trafo["df"] = [1.0, 0.8, 1.1]
    net.line["df"] = 0.7


def _mesh(net: pandapowerNet) -> None:
    pp.create_line_from_parameters(net, 5, 7, 0.1, 0.3, 0.08, 0.0, 0.2)
    pp.create_line_from_parameters(net, 4, 7, 0.02, 0.3, 0.08, 10.0, 0.2)


def _half_open_lines(net: pandapowerNet) -> None:
    _mesh(net)
    net.line["c_nf_per_km"] = 4000.0  # so that the open end's charging flows
    last = net.line.index[-1]
    pp.create_switch(net, 4, last, et="l", closed=False)
    pp.create_switch(net, 5, last - 1, et="l", closed=False)
    pp.create_switch(net, 7, last - 1, et="l", closed=False)


def _coupled_buses(net: pandapowerNet) -> None:
    bus, beside = (pp.create_bus(net, 0.4) for _ in range(2))
    pp.create_load(net, bus, p_mw=0.01, q_mvar=0.003)
    pp.create_switch(net, 5, bus, et="b")
    pp.create_switch(net, bus, beside, et="b", z_ohm=0.02)
    pp.create_load(net, beside, p_mw=0.004)


def _dead_ends(net: pandapowerNet) -> None:
    net.line.loc[2, "in_service"] = False
    alone = pp.create_bus(net, 0.4)
    pp.create_load(net, alone, p_mw=0.01)
    pp.create_shunt(net, alone, q_mvar=0.01)


def _shunts_and_constant_powers(net: pandapowerNet) -> None:
    pp.create_shunt(net, 2, q_mvar=-0.05, p_mw=0.01, step=2)
    pp.create_shunt(net, 3, q_mvar=0.01, in_service=False)
    pp.create_ward(net, 5, ps_mw=0.01, qs_mvar=0.002, pz_mw=0.005, qz_mvar=-0.01)
    pp.create_motor(net, 4, pn_mech_mw=0.004, cos_phi=0.8)
    pp.create_asymmetric_load(net, 5, p_a_mw=0.004, q_b_mvar=0.002)
    pp.create_load(net, 0, p_mw=0.02, q_mvar=0.01)  # at the slack itself
    pp.create_sgen(net, 6, p_mw=0.003)


def _two_grids_and_a_slack_generator(net: pandapowerNet) -> None:
    pp.create_ext_grid(net, 2, vm_pu=1.001, va_degree=-0.2)
    pp.create_ext_grid(net, 1, in_service=False)
    pp.create_gen(net, 6, p_mw=0.003, vm_pu=1.001, slack=True)
    pp.create_gen(net, 4, p_mw=0.003, vm_pu=1.001, in_service=False)


def _three_windings(net: pandapowerNet) -> None:
    low = pp.create_bus(net, 10.0)
    pp.create_transformer3w_from_parameters(
        net,
        *(0, 1, low),
        *(110.0, 20.0, 10.0),
        *(1.0, 0.8, 0.3),
        *(10.0, 11.0, 12.0),
        *(0.3, 0.31, 0.32),
        pfe_kw=1.0,
        i0_percent=0.1,
    )
    pp.create_load(net, low, p_mw=0.03)


def _impedance(net: pandapowerNet) -> None:
    pp.create_impedance(net, 4, 7, rft_pu=0.2, xft_pu=0.3, sn_mva=1.0)


def _base_of_the_net(net: pandapowerNet) -> None:
    net.sn_mva = 100.0


CHANGES = [value for name, value in list(globals().items()) if name.startswith("_") and callable(value)]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_same_solution_as_the_reference(change: Callable[[pandapowerNet], None]) -> None:
    net = builders.two_levels()
    change(net)
    plain = solve(PandapowerFlow(load_feeder(builders.two_levels())), [3.0, 2.0, 1.0, 2.0])
    changed = solve(PandapowerFlow(load_feeder(net)), [3.0, 2.0, 1.0, 2.0][: len(net.load)])
    if change is not _base_of_the_net:  # else the change would show nothing
        both = np.concatenate([changed.vm_pu[:8] - plain.vm_pu, changed.va_degree[:8] - plain.va_degree])
        assert not np.abs(both).max() < 1e-5
    assert_same_solutions(load_feeder(net), largest_kw=30.0)


@settings(deadline=None, max_examples=8, phases=[Phase.explicit, Phase.generate])
@given(st.sets(st.sampled_from(range(len(CHANGES)))))
@example({CHANGES.index(_dead_ends), CHANGES.index(_shunts_and_constant_powers)})
def test_changes_together(which: set[int]) -> None:
    net = builders.two_levels()
    for i in sorted(which):
        CHANGES[i](net)
    feeder = load_feeder(net)
    loaded = solve(PandapowerFlow(feeder), np.full(feeder.connection_buses.size, 10.0))
    # where the voltage collapses both solvers stop somewhere on the way
    assume(loaded.converged and np.nanmin(loaded.vm_pu) > 0.7)
    assert_same_solutions(feeder, largest_kw=10.0)


@pytest.mark.parametrize("make", [builders.parallel_transformers, builders.fed_from_below, builders.fishbone])
def test_limits_on_other_feeders(make: Callable[[], pandapowerNet]) -> None:
    assert_same_solutions(load_feeder(make()), largest_kw=30.0)


@pytest.mark.parametrize("closed", [False, True])
def test_coupled_areas(closed: bool) -> None:
    assert_same_solutions(load_feeder(builders.coupled_areas(closed=closed)), largest_kw=30.0)


# pandapower warns about the network that it ships itself
@pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")
@pytest.mark.parametrize(
    ("source", "largest_kw"),
    [("schutterwald:2", 4.0), ("simbench:1-LV-urban6--0-sw", 4.0), ("simbench:1-MVLV-urban-all-0-sw", 1.0)],
)
def test_same_solution_on_real_feeders(source: str, largest_kw: float) -> None:
    assert_same_solutions(load_feeder(source), largest_kw=largest_kw, step=4242)


@pytest.mark.parametrize("flow", [PandapowerFlow, PowerGridFlow])
def test_many_steps_are_those_steps(flow: type[PandapowerFlow] | type[PowerGridFlow]) -> None:
    feeder = load_feeder(builders.two_levels())
    p_kw = np.random.default_rng(2).uniform(0.0, 20.0, (300, 4))  # more than one batch
    p_kw[7] = 1e6
    at_once = list(flow(feeder).solve_all(bus_p_kw=p_kw, bus_q_kvar=0.2 * p_kw, steps=[None] * 300))
    single = flow(feeder)
    for i in (0, 6, 7, 8, 299):
        alone = solve(single, p_kw[i], 0.2 * p_kw[i])
        assert alone.converged == (i != 7)
        # the lowest voltage of before is that of another step
        assert_same(replace(at_once[i], message=""), replace(alone, message=""))
    assert "no solution for 4000000 kW; most loaded is Trafo-1" in at_once[7].message


def test_without_a_solution_nothing_old_is_repeated_and_the_next_step_is_right() -> None:
    feeder = load_feeder(builders.street())
    flow = PowerGridFlow(feeder)
    before = solve(flow, [5.0, 4.0, 3.0])
    snapshot = solve(flow, [1e4, 0.0, 0.0])
    assert_same(snapshot, replace(solve(PandapowerFlow(feeder), [1e4, 0.0, 0.0]), message=snapshot.message))
    assert "no solution for 10000 kW; most loaded is Trafo-0 with about 10000 %" in snapshot.message
    assert "lowest voltage of the last solution: 0.99" in snapshot.message
    assert np.isnan(flow.check(snapshot).dv_pu)
    np.testing.assert_array_equal(solve(flow, [5.0, 4.0, 3.0]).vm_pu, before.vm_pu)


@pytest.mark.parametrize("p_kw", np.linspace(100.0, 700.0, 13))
def test_both_find_a_solution_as_long_as_there_is_one(p_kw: float) -> None:
    """The voltage at the street's end collapses between 550 and 600 kW."""
    feeder = load_feeder(builders.street())
    ours, theirs = (solve(make(feeder), [0.0, 0.0, p_kw]) for make in (PowerGridFlow, PandapowerFlow))
    assert ours.converged == theirs.converged
    # so near to the collapse a mismatch moves the voltage further
    np.testing.assert_allclose(ours.vm_pu, theirs.vm_pu, atol=1e-6)


def _held_voltage(net: pandapowerNet) -> None:
    pp.create_gen(net, 4, p_mw=0.004, vm_pu=0.999)


def _extended_ward(net: pandapowerNet) -> None:
    pp.create_xward(net, 4, 0.0, 0.0, 0.0, 0.0, r_ohm=0.1, x_ohm=0.1, vm_pu=1.0)


def _dc_line(net: pandapowerNet) -> None:
    pp.create_dcline(net, 4, 7, 0.001, 0.0, 0.0, vm_from_pu=1.0, vm_to_pu=1.0)


def _one_way_impedance(net: pandapowerNet) -> None:
    pp.create_impedance(net, 4, 7, rft_pu=0.2, xft_pu=0.3, rtf_pu=0.1, xtf_pu=0.3, sn_mva=1.0)


def _grids_at_one_bus(net: pandapowerNet) -> None:
    pp.create_ext_grid(net, 0)


def _option(net: pandapowerNet) -> None:
    pp.set_user_pf_options(net, trafo_loading="power")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_held_voltage, "Gen-0 holds the voltage of its bus"),
        (_extended_ward, "it has an extended ward"),
        (_dc_line, "it has a DC line"),
        (_one_way_impedance, "an impedance differs by its direction"),
        (_grids_at_one_bus, "several external grids or slack generators hold the same bus"),
        (_option, "it asks for trafo_loading = 'power'"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_it_cannot_represent_is_left_to_the_reference(
    change: Callable[[pandapowerNet], None], reason: str
) -> None:
    net = builders.two_levels()
    change(net)
    feeder = load_feeder(net)
    chosen = choose_power_flow(feeder)
    assert isinstance(chosen.power_flow, PandapowerFlow)
    assert reason in chosen.note
    with pytest.raises(FeederError, match=f"power-grid-model cannot solve it: {reason}.*'auto'"):
        choose_power_flow(feeder, "power-grid-model")


def test_who_is_chosen() -> None:
    feeder = load_feeder(builders.street())
    assert isinstance(choose_power_flow(feeder).power_flow, PowerGridFlow)
    assert isinstance(choose_power_flow(feeder, "power-grid-model").power_flow, PowerGridFlow)
    assert isinstance(choose_power_flow(feeder, "pandapower").power_flow, PandapowerFlow)


def test_the_check_sees_another_network() -> None:
    net = builders.street()
    feeder = load_feeder(net)
    net.trafo["tap_changer_type"], net.trafo["tap_side"], net.trafo["tap_step_percent"] = "Ratio", "hv", 0.1
    net.trafo["tap_pos"], net.trafo["tap_neutral"] = 1, 0
    wrong = solve(PowerGridFlow(load_feeder(net)), [3.0, 3.0, 3.0])
    check = PowerGridFlow(feeder).check(wrong)
    assert check.dv_pu == pytest.approx(0.001, rel=0.02)
    assert check.vm_pu == wrong.vm_pu[check.bus]


def test_the_check_sees_what_is_not_energised() -> None:
    flow = PowerGridFlow(load_feeder(builders.street()))
    snapshot = solve(flow, [3.0, 3.0, 3.0])
    snapshot.vm_pu[3] = np.nan
    check = flow.check(snapshot)
    assert (check.bus, check.dv_pu) == (3, np.inf)


def test_a_power_that_is_no_number_is_refused_by_bus() -> None:
    with pytest.raises(ValueError, match="Bus-3"):
        solve(PowerGridFlow(load_feeder(builders.street())), [1.0, np.nan, 1.0])
