"""The optimum against the devices themselves: their costs, their bounds, and all else they might do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from grid_cosim.fleet import Fleet
from grid_cosim.optimum import Schedule, optimal_schedule, replay_eur
from grid_cosim.optimum.problem import EXCESS_EUR_PER_KWH, FleetProblem
from grid_cosim.optimum.schedule import net_power
from grid_cosim.tariff import outlook_steps
from tests.optimum.homes import (
    DT_H,
    OWNERS,
    any_other,
    constant,
    homes,
    together,
    uncontrolled_peak_kw,
)

KINDS = [(kind,) for kind in OWNERS] + [()]
every_kind = pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: "+".join(kinds) or "all")
REPLAY = 1e-5
"""Relative; the solver stops at 1e-8 of a cost in which excess counts 100 EUR/kWh."""
LOST = 2e-3
"""Relative, where queues lose energy: see `grid_cosim.optimum.deadlines`."""


def base_peak_kw(fleet: Fleet) -> float:
    return float(fleet.base_kw.sum(axis=1).max())


def tight(fleet: Fleet) -> np.ndarray:
    """Above the base load and far below what is drawn without control; at the end no room for devices."""
    base_kw = base_peak_kw(fleet)
    capacity_kw = constant(fleet, base_kw + 0.35 * (uncontrolled_peak_kw(fleet) - base_kw))
    capacity_kw[-6:] = fleet.base_kw[-6:].sum(axis=1, keepdims=True) + 0.1
    return capacity_kw


def members_kw(fleet: Fleet, schedule: Schedule) -> np.ndarray:
    return net_power(fleet, schedule.powers_kw)[0].sum(axis=1)


@every_kind
@pytest.mark.parametrize("seed", [0, 1])
def test_the_devices_agree_with_the_objective(kinds: tuple[str, ...], seed: int) -> None:
    fleet = homes(*kinds, seed=seed)
    capacity_kw = tight(fleet)
    schedule = optimal_schedule(fleet, together(fleet), capacity_kw)
    assert replay_eur(fleet, schedule) == pytest.approx(schedule.objective_eur, rel=REPLAY)
    assert (members_kw(fleet, schedule) <= capacity_kw[:, 0] + 1e-6).all()  # the solver's rounding, kW
    assert schedule.excess_kw.max() < 1e-6
    assert schedule.price_eur_per_kwh[:-6].max() > 1e-3
    # else the terminal cost would not have been seen
    state = fleet.init()
    for step in range(fleet.n_steps):
        state = fleet.receive(state, step)
        state, outputs = fleet.step(state, schedule.devices_kw(fleet, state, step), step)
    assert all(out.owed_kwh.sum() > 0.1 for out in outputs)
    assert all(cost.sum() > 0.01 for cost in fleet.terminal_cost_eur(state, fleet.n_steps - 1))


@every_kind
def test_the_devices_agree_where_there_is_no_limit(kinds: tuple[str, ...]) -> None:
    fleet = homes(*kinds, seed=3)
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 1e4))
    assert replay_eur(fleet, schedule) == pytest.approx(schedule.objective_eur, rel=REPLAY)
    assert schedule.price_eur_per_kwh.max() < 1e-6


@pytest.mark.parametrize("kind", OWNERS)
def test_the_devices_agree_where_a_limit_cannot_be_kept(kind: str) -> None:
    """For hours on end: cars leave short, rooms get cold, queues lose energy."""
    fleet = homes(kind)
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 0.8 * base_peak_kw(fleet)))
    replayed_eur = replay_eur(fleet, schedule)
    assert replayed_eur == pytest.approx(schedule.objective_eur, rel=LOST if kind == "deferrable" else REPLAY)
    assert schedule.objective_eur < replayed_eur * (1.0 + REPLAY)
    assert schedule.excess_kw.max() > 0.1


@every_kind
def test_nothing_else_costs_less(kinds: tuple[str, ...]) -> None:
    fleet = homes(*kinds)
    best = optimal_schedule(fleet, together(fleet), constant(fleet, 1e4))
    for seed in range(3):
        assert replay_eur(fleet, any_other(fleet, seed)) > best.objective_eur + 1e-2
        assert replay_eur(fleet, any_other(fleet, seed, near=best)) > best.objective_eur + 1e-4


def test_a_price_is_what_a_kilowatt_more_would_save() -> None:
    fleet = homes()
    problem = FleetProblem(fleet, together(fleet))
    capacity_kw = constant(fleet, float(tight(fleet)[0, 0]))
    schedule = problem.solve(capacity_kw)
    price = schedule.price_eur_per_kwh[:, 0]
    for step in (int(price.argmax()), int(np.argsort(price)[len(price) // 2]), int(price.argmin())):
        more, less = capacity_kw.copy(), capacity_kw.copy()
        more[step], less[step] = more[step] + 0.05, less[step] - 0.05
        saved_eur = problem.solve(less).objective_eur - problem.solve(more).objective_eur
        # the cost is piecewise quadratic in the capacity: a dual variable is a slope between kinks
        assert saved_eur / (0.1 * DT_H) == pytest.approx(price[step], rel=0.05, abs=1e-4)
    slack = members_kw(fleet, schedule) < capacity_kw[:, 0] - 0.01
    assert slack.any()
    assert price[slack].max() < 1e-4


def test_a_limit_below_the_base_load_stops_all_devices_and_tells_by_how_much() -> None:
    fleet = homes()
    base_kw = fleet.base_kw.sum(axis=1)
    capacity_kw = constant(fleet, base_kw.max() + 8.0)
    capacity_kw[10:13] = base_kw[10:13, None] - 1.5
    schedule = optimal_schedule(fleet, together(fleet), capacity_kw)
    np.testing.assert_allclose(schedule.excess_kw[10:13], 1.5, atol=1e-6)  # the solver's rounding, kW
    assert np.delete(schedule.excess_kw, [10, 11, 12]).max() < 1e-6
    np.testing.assert_allclose(members_kw(fleet, schedule)[10:13], base_kw[10:13], atol=1e-6)
    np.testing.assert_allclose(schedule.price_eur_per_kwh[10:13], EXCESS_EUR_PER_KWH, rtol=1e-4)
    # what exceeds the limit has no part in the cost
    assert replay_eur(fleet, schedule) == pytest.approx(schedule.objective_eur, rel=REPLAY)


@pytest.mark.parametrize("low", [0.1, -0.2])
def test_energy_is_bought_when_it_is_cheap(low: float) -> None:
    n_steps = 40
    tariff = np.full(n_steps + outlook_steps(DT_H), 0.4)
    tariff[24:32] = low
    dear, varying = homes(tariff=np.full_like(tariff, 0.4)), homes(tariff=tariff)
    before, after = (
        optimal_schedule(fleet, together(fleet), constant(fleet, 1e4)) for fleet in (dear, varying)
    )
    assert members_kw(varying, after)[24:32].sum() > 1.3 * members_kw(dear, before)[24:32].sum()
    assert replay_eur(varying, after) == pytest.approx(after.objective_eur, rel=REPLAY)
    assert after.objective_eur < replay_eur(varying, before) - 0.1


def test_in_warm_weather_the_optimum_is_a_bound_that_is_reached() -> None:
    """Rooms that float above their comfort band by themselves: power is zero there, which is not convex."""
    fleet = homes("heat_pump", n_steps=96, mean_c=24.0)
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 1e4))
    state, above_k = fleet.init(), -np.inf
    for step in range(fleet.n_steps):
        state, (out,) = fleet.step(state, schedule.devices_kw(fleet, state, step), step)
        above_k = max(above_k, float((out.temperature_c - fleet.groups[0].device.set_point_c).max()))
    assert above_k > 2.0
    replayed = replay_eur(fleet, schedule)
    assert schedule.objective_eur <= replayed + 1e-6
    assert replayed == pytest.approx(schedule.objective_eur, rel=REPLAY)


# ------------------------------------------------------------------ several limits


def areas(fleet: Fleet) -> csr_array:
    """Homes 0 and 1 behind one limit, 2 and 3 behind another, 4 and 5 behind none."""
    return csr_array(np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]], dtype=float))


def test_homes_that_share_no_limit_are_solved_by_themselves() -> None:
    fleet = homes()
    capacity_kw = constant(fleet, 6.0, 4.0)
    problem = FleetProblem(fleet, areas(fleet))
    apart = problem.solve(capacity_kw)
    # a limit that binds nobody ties all homes into one problem
    tied = csr_array(np.vstack([areas(fleet).toarray(), np.ones(6)]))
    one = optimal_schedule(fleet, tied, np.hstack([capacity_kw, constant(fleet, 1e4)]))
    assert apart.objective_eur == pytest.approx(one.objective_eur, rel=1e-7)
    np.testing.assert_allclose(apart.price_eur_per_kwh, one.price_eur_per_kwh[:, :2], atol=1e-4)
    assert one.price_eur_per_kwh[:, 2].max() < 1e-4
    assert apart.price_eur_per_kwh.max(axis=0).min() > 1e-3
    assert replay_eur(fleet, apart) == pytest.approx(apart.objective_eur, rel=REPLAY)


def test_a_part_whose_capacity_stays_keeps_its_solution() -> None:
    fleet = homes()
    problem = FleetProblem(fleet, areas(fleet))
    before = problem.solve(constant(fleet, 6.0, 4.0))
    after = problem.solve(constant(fleet, 6.0, 5.0))
    for group, was, now in zip(fleet.groups, before.powers_kw, after.powers_kw, strict=True):
        second = np.isin(group.household, [2, 3])
        np.testing.assert_array_equal(was[:, ~second], now[:, ~second])
    assert after.objective_eur < before.objective_eur
    assert after.solves == 2


def test_a_nested_limit_adds_its_price() -> None:
    fleet = homes()
    nested = csr_array(np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], dtype=float))
    peak_kw = uncontrolled_peak_kw(fleet)
    schedule = optimal_schedule(fleet, nested, constant(fleet, 0.6 * peak_kw, 0.2 * peak_kw))
    p_kw = net_power(fleet, schedule.powers_kw)[0]
    assert (p_kw @ nested.T.toarray() <= np.array([0.6, 0.2]) * peak_kw + 1e-6).all()
    assert (schedule.price_eur_per_kwh.max(axis=0) > 1e-3).all()


def test_a_fleet_without_devices_costs_its_base_load() -> None:
    fleet = homes("electric_vehicle", n_steps=2)  # nobody comes home within half an hour
    assert not any(group.drive.at(step).arrival_kwh.any() for group in fleet.groups for step in (0, 1))
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 1.0))
    assert schedule.objective_eur == pytest.approx(0.3 * DT_H * fleet.base_kw.sum(), rel=1e-9)
    np.testing.assert_allclose(schedule.excess_kw[:, 0], fleet.base_kw.sum(axis=1) - 1.0, rtol=1e-6)
