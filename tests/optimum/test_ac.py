"""The optimum on a feeder: loadings instead of kilowatts, first by a law, then by AC power flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grid_cosim.coordination.meters import Meters
from grid_cosim.feeder import Solver, load_feeder
from grid_cosim.fleet import Fleet
from grid_cosim.optimum import Measure, Measured, Schedule, ac_schedule, by_power_flow, replay_eur
from grid_cosim.optimum.schedule import net_power
from tests.builders import street
from tests.optimum.homes import any_other, homes, together, uncontrolled_peak_kw

CLOSE = 0.05  # points of loading


class Law:
    """A transformer with 2 kW of other load, whose loading grows faster than its power; counts its uses."""

    def __init__(self, fleet: Fleet, rated_kw: float, bent: float = 0.3) -> None:
        self.fleet, self.rated_kw, self.bent, self.uses = fleet, rated_kw, bent, 0
        self.unsolved: list[int] = []

    @property
    def meters(self) -> Meters:
        return Meters(np.array([self.rated_kw]), np.array([80.0]), first_background_kw=np.array([2.0]))

    def __call__(self, p_kw: np.ndarray, q_kvar: np.ndarray) -> Measured:
        self.uses += 1
        through = p_kw.sum(axis=1, keepdims=True) + 2.0
        loading = 75.0 * through / self.rated_kw * (1.0 + self.bent * through / self.rated_kw)
        measured = Measured(through, loading + 1e-3 * q_kvar.sum(axis=1, keepdims=True))
        for values in measured:
            values[self.unsolved] = np.nan
        return measured

    def loading_of(self, schedule: Schedule) -> np.ndarray:
        return self(*net_power(self.fleet, schedule.powers_kw)).loading_percent[:, 0]


@pytest.mark.parametrize("bent", [0.0, 0.3])
def test_the_loading_ends_at_its_limit_where_there_is_a_price(bent: float) -> None:
    fleet = homes()
    law = Law(fleet, rated_kw=0.7 * uncontrolled_peak_kw(fleet), bent=bent)
    schedule = ac_schedule(fleet, together(fleet), law.meters, law)
    assert schedule.solves <= 4
    assert schedule.missed_percent == 0.0
    assert law.uses == schedule.solves + 1  # before the first, and after each
    loading, price = law.loading_of(schedule), schedule.price_eur_per_kwh[:, 0]
    assert loading.max() < 80.0 + CLOSE
    assert price.max() > 1e-3
    assert loading[price > 1e-3].min() > 80.0 - CLOSE
    assert replay_eur(fleet, schedule) == pytest.approx(schedule.objective_eur, rel=1e-5)


def test_capacities_that_are_not_found_are_told_with_what_is_missed() -> None:
    fleet = homes()
    law = Law(fleet, rated_kw=2.0 * uncontrolled_peak_kw(fleet), bent=3.0)  # the loading is mostly bent
    schedule = ac_schedule(fleet, together(fleet), law.meters, law)
    assert schedule.solves == 4
    loading, price = law.loading_of(schedule), schedule.price_eur_per_kwh[:, 0]
    off = np.where(price > 1e-4, np.abs(loading - 80.0), np.maximum(loading - 80.0, 0.0))
    assert schedule.missed_percent == pytest.approx(off.max())
    assert schedule.missed_percent > CLOSE


def test_a_wide_limit_takes_one_solve() -> None:
    fleet = homes()
    law = Law(fleet, rated_kw=3.0 * uncontrolled_peak_kw(fleet))
    assert ac_schedule(fleet, together(fleet), law.meters, law).solves == 1


def test_a_limit_that_cannot_be_kept_is_no_reason_to_go_on() -> None:
    fleet = homes()
    law = Law(fleet, rated_kw=1.35 * float(fleet.base_kw.sum(axis=1).max()))
    schedule = ac_schedule(fleet, together(fleet), law.meters, law)
    assert schedule.solves < 4
    kept = schedule.excess_kw[:, 0] < 1e-3
    assert 0 < kept.sum() < fleet.n_steps
    assert law.loading_of(schedule)[kept].max() < 80.0 + CLOSE


def test_steps_without_a_power_flow_keep_the_first_estimate() -> None:
    fleet = homes()
    law = Law(fleet, rated_kw=0.7 * uncontrolled_peak_kw(fleet))
    law.unsolved = [8, 9, 10]
    schedule = ac_schedule(fleet, together(fleet), law.meters, law)
    members_kw = net_power(fleet, schedule.powers_kw)[0].sum(axis=1)
    np.testing.assert_allclose(members_kw[8:11].max(), law.rated_kw - 2.0, rtol=1e-6)


def test_on_a_street_the_transformer_is_used_to_its_limit() -> None:
    """Three homes at the end of the afternoon; the AC power flow of pandapower."""
    feeder = load_feeder(street(), limit_share=0.07)
    fleet = homes(n=3, n_steps=12)
    meters = Meters(
        feeder.first_limit_kw(),
        feeder.limits.limit_percent,
        first_background_kw=feeder.background_on_limits_kw(0),
    )
    measure = by_power_flow(feeder, [0] * fleet.n_steps)
    schedule = ac_schedule(fleet, feeder.limits.coupling, meters, measure)
    measured = measure(*net_power(fleet, schedule.powers_kw))
    used = measured.loading_percent[:, 0]
    priced = schedule.price_eur_per_kwh[:, 0] > 1e-3
    assert priced.any()
    assert used.max() < 7.0 + CLOSE
    assert used[priced].min() > 7.0 - CLOSE
    assert measured.p_kw[:, 0].max() > net_power(fleet, schedule.powers_kw)[0].sum(axis=1).max()  # losses


@pytest.mark.parametrize("solver", ["power-grid-model", "pandapower"])
def test_the_measure_is_a_power_flow_of_every_step(solver: Solver) -> None:
    feeder = load_feeder(street())
    p_kw = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 12.0]])
    one, other = (by_power_flow(feeder, [0], solver=solver)(p[None, :], 0.3 * p[None, :]) for p in p_kw)
    both: Measure = by_power_flow(feeder, [0, 1], solver=solver)
    measured = both(p_kw, 0.3 * p_kw)
    # started from another solution, pandapower ends some 1e-9 pu away
    np.testing.assert_allclose(measured.p_kw, np.vstack([one.p_kw, other.p_kw]), rtol=1e-6)
    np.testing.assert_allclose(
        measured.loading_percent, np.vstack([one.loading_percent, other.loading_percent]), rtol=1e-6
    )
    assert (measured.p_kw[:, 0] > p_kw.sum(axis=1)).all()
    # at a voltage near the rated one 3 kvar beside 4 kW is 5/4 of the current
    reactive, alone = (by_power_flow(feeder, [0], solver=solver)(p_kw[:1], q * p_kw[:1]) for q in (0.75, 0.0))
    np.testing.assert_allclose(reactive.loading_percent, 1.25 * alone.loading_percent, rtol=0.01)


def test_the_power_flow_gets_all_that_homes_draw() -> None:
    fleet = homes()
    drawn = any_other(fleet, seed=0).powers_kw
    p_kw, q_kvar = net_power(fleet, drawn)
    for step in range(fleet.n_steps):
        powers = [torch.as_tensor(kw[step]) for kw in drawn]
        np.testing.assert_allclose(p_kw[step], fleet.base_kw[step] + fleet.flex_kw(powers))
        np.testing.assert_allclose(q_kvar[step], fleet.base_kvar[step] + fleet.flex_kvar(powers))
    assert (q_kvar > fleet.base_kvar).any()
