"""The AC power flow against pandapower's own, its balance, and what happens without a solution."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandapower as pp
import pytest

from grid_cosim.feeder import Feeder, PandapowerFlow, Snapshot, load_feeder
from tests import builders

SOLVER_PU = 2e-8  # what pandapower's tolerance, a mismatch of 1e-8 MVA, leaves; seen: 3e-9
TOO_MUCH_KW = 1e4  # far beyond what any of the tiny feeders can carry


def _solve(flow: PandapowerFlow, p_kw: object, q_kvar: object = 0.0) -> Snapshot:
    p = np.asarray(p_kw, dtype=float)
    q = np.broadcast_to(np.asarray(q_kvar, dtype=float), p.shape)
    return flow.solve(bus_p_kw=p, bus_q_kvar=q, step=None)


@pytest.fixture(scope="module")
def village() -> Feeder:
    return load_feeder("schutterwald")


# pandapower warns about the network that it ships itself
@pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")
def test_same_result_as_pandapower_with_the_loads_in_its_own_table(village: Feeder) -> None:
    rng = np.random.default_rng(1)
    p_kw, q_kvar = rng.uniform(0, 4, village.n_households), rng.uniform(-0.2, 0.4, village.n_households)
    flow = PandapowerFlow(village)
    _solve(flow, np.zeros(village.connection_buses.size))  # so that the next one starts from an old solution
    snapshot = _solve(
        flow, np.bincount(village.home_connection, p_kw), np.bincount(village.home_connection, q_kvar)
    )

    net = pp.networks.lv_schutterwald()  # without heat pumps
    net.load[["p_mw", "q_mvar"]] = 0.0
    net.load.loc[village.home_load, "p_mw"] = p_kw / 1e3
    net.load.loc[village.home_load, "q_mvar"] = q_kvar / 1e3
    pp.runpp(net, lightsim2grid=False, tolerance_mva=1e-11)
    assert np.abs(snapshot.vm_pu - net.res_bus.vm_pu[village.buses.index]).max() < SOLVER_PU
    assert snapshot.line_loading_percent == pytest.approx(
        net.res_line.loading_percent[village.lines.index].to_numpy(), abs=1e-4, nan_ok=True
    )
    assert snapshot.trafo_loading_percent == pytest.approx(
        net.res_trafo.loading_percent[village.trafos.index].to_numpy(), rel=1e-6
    )
    assert snapshot.limit_loading_percent == pytest.approx(snapshot.trafo_loading_percent)
    assert flow.check(snapshot).dv_pu < 1e-6


def test_every_result_is_that_of_pandapower() -> None:
    net = builders.two_levels()
    pp.create_ext_grid(net, 2)
    pp.create_ext_grid(net, 1, in_service=False)
    pp.create_gen(net, 4, p_mw=0.004, vm_pu=0.999)
    pp.create_gen(net, 6, p_mw=0.003, vm_pu=1.001, slack=True)
    flow = PandapowerFlow(load_feeder(net))
    _solve(flow, [1.0, 2.0, 3.0, 4.0])  # so that the next one starts from an old solution
    snapshot = _solve(flow, [30.0, 20.0, 10.0, -5.0], [4.0, 3.0, 2.0, 1.0])

    net.load["p_mw"], net.load["q_mvar"] = [0.03, 0.02, 0.01, -0.005], [0.004, 0.003, 0.002, 0.001]
    pp.runpp(net, lightsim2grid=False, tolerance_mva=1e-11)
    for ours, table, column, factor in [
        ("vm_pu", "bus", "vm_pu", 1.0),
        ("va_degree", "bus", "va_degree", 1.0),
        ("bus_p_kw", "bus", "p_mw", 1e3),
        ("bus_q_kvar", "bus", "q_mvar", 1e3),
        ("line_p_kw", "line", "p_from_mw", 1e3),
        ("line_i_ka", "line", "i_ka", 1.0),
        ("line_loading_percent", "line", "loading_percent", 1.0),
        ("trafo_p_kw", "trafo", "p_hv_mw", 1e3),
        ("trafo_q_kvar", "trafo", "q_hv_mvar", 1e3),
        ("trafo_loading_percent", "trafo", "loading_percent", 1.0),
        ("external_grid_p_kw", "ext_grid", "p_mw", 1e3),
        ("external_grid_q_kvar", "ext_grid", "q_mvar", 1e3),
        ("generator_p_kw", "gen", "p_mw", 1e3),
        ("generator_q_kvar", "gen", "q_mvar", 1e3),
    ]:
        theirs = factor * net[f"res_{table}"][column].to_numpy()
        # the solver stops at a mismatch of 1e-5 kVA; angles and currents feel it least
        assert getattr(snapshot, ours) == pytest.approx(theirs, rel=1e-6, abs=2e-5), ours
    upstream = net.res_ext_grid.sum() + net.res_gen.loc[1, ["p_mw", "q_mvar"]]
    assert snapshot.slack_p_kw == pytest.approx(1e3 * upstream["p_mw"], abs=2e-5)
    assert snapshot.slack_q_kvar == pytest.approx(1e3 * upstream["q_mvar"], abs=2e-5)


def test_the_check_sees_a_wrong_voltage() -> None:
    flow = PandapowerFlow(load_feeder(builders.street()))
    snapshot = _solve(flow, [3.0, 3.0, 3.0])
    snapshot.vm_pu[3] += 0.01
    check = flow.check(snapshot)
    assert check.dv_pu == pytest.approx(0.01, rel=1e-3)
    assert check.vm_pu - check.reference_vm_pu == pytest.approx(0.01, rel=1e-3)
    assert check.bus == 3


def test_power_in_is_power_out() -> None:
    flow = PandapowerFlow(load_feeder(builders.two_levels()))
    snapshot = _solve(flow, [30.0, 20.0, 10.0, -5.0], 4.0)
    assert snapshot.losses_kw > 0
    assert snapshot.slack_p_kw == pytest.approx(55.0 + snapshot.losses_kw)
    assert snapshot.limit_p_kw[0] == pytest.approx(snapshot.slack_p_kw)
    assert snapshot.limit_q_kvar[0] == pytest.approx(snapshot.slack_q_kvar)
    assert snapshot.bus_p_kw.sum() == pytest.approx(-snapshot.losses_kw)
    assert snapshot.limit_p_kw[2] < 0  # the last home feeds in


def test_what_was_solved_before_does_not_matter() -> None:
    feeder = load_feeder(builders.two_levels())
    flow = PandapowerFlow(feeder)
    first = _solve(flow, [30.0, 20.0, 10.0, 5.0])
    _solve(flow, [5.0, 60.0, -30.0, 40.0])
    again = _solve(flow, [30.0, 20.0, 10.0, 5.0])
    assert np.abs(first.vm_pu - again.vm_pu).max() < SOLVER_PU


def test_homes_and_background_at_one_bus_add_up() -> None:
    net = builders.street()
    pp.create_load(net, 2, p_mw=0.010, q_mvar=0.002)
    pp.create_sgen(net, 2, p_mw=0.003)
    flow = PandapowerFlow(load_feeder(net))
    snapshot = _solve(flow, [1.0, 0.0, 0.0])
    assert snapshot.bus_p_kw[2] == pytest.approx(1.0 + 10.0 - 3.0)


def test_without_a_solution_nothing_old_is_repeated_and_the_worst_is_named() -> None:
    feeder = load_feeder(builders.street())
    flow = PandapowerFlow(feeder)
    _solve(flow, [3.0, 3.0, 3.0])
    snapshot = _solve(flow, [TOO_MUCH_KW, 0.0, 0.0])
    assert not snapshot.converged
    # 10 MW over the 100 kVA transformer; the line carries 10 MW / (sqrt(3) · 0.4 kV) of its 0.27 kA: 5346 %
    assert "no solution for 10000 kW; most loaded is Trafo-0 with about 10000 %" in snapshot.message
    assert "lowest voltage of the last solution: 0.99" in snapshot.message
    assert "at Bus-4" in snapshot.message
    for field in fields(Snapshot):
        value = getattr(snapshot, field.name)
        if isinstance(value, (float, np.ndarray)) and not field.name.startswith("injected"):
            assert np.isnan(value).all(), field.name
    assert np.isnan(flow.check(snapshot).dv_pu)


@pytest.mark.parametrize("steps_before", [0, 2])
def test_the_step_after_one_without_a_solution_is_right(steps_before: int) -> None:
    feeder = load_feeder(builders.street())
    flow = PandapowerFlow(feeder)
    for _ in range(steps_before):
        _solve(flow, [3.0, 3.0, 3.0])
    assert not _solve(flow, [TOO_MUCH_KW] * 3).converged
    assert not _solve(flow, [TOO_MUCH_KW] * 3).converged
    after = _solve(flow, [5.0, 4.0, 3.0])
    fresh = _solve(PandapowerFlow(feeder), [5.0, 4.0, 3.0])
    assert after.converged
    assert np.abs(after.vm_pu - fresh.vm_pu).max() < SOLVER_PU


def test_a_power_that_is_no_number_is_refused_by_bus() -> None:
    with pytest.raises(ValueError, match="Bus-3"):
        _solve(PandapowerFlow(load_feeder(builders.street())), [1.0, np.nan, 1.0])


def test_unsupplied_buses_have_no_voltage() -> None:
    net = builders.street()
    net.line.loc[2, "in_service"] = False
    feeder = load_feeder(net)
    snapshot = _solve(PandapowerFlow(feeder), [2.0, 2.0, 2.0])
    assert np.isnan(snapshot.vm_pu).tolist() == [False] * 4 + [True]
    assert snapshot.slack_p_kw == pytest.approx(4.0, rel=0.01)
    assert "1 homes are connected to no external grid: they are without power" in feeder.notes
