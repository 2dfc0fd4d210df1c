"""Details of the convex models that draws of a population seldom show, and devices of one's own."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
import torch

from grid_cosim.devices import (
    Battery,
    BatteryPopulation,
    DeferrablePopulation,
    ElectricVehicle,
    HeatPumpPopulation,
    PvPopulation,
    V2GPopulation,
    WaterHeaterPopulation,
)
from grid_cosim.devices.battery import BatteryHours
from grid_cosim.devices.ev import VehicleSessions
from grid_cosim.errors import GridCosimError
from grid_cosim.fleet import DeviceGroup, Fleet, Ownership
from grid_cosim.optimum import ConvexModel, OptimumError, optimal_schedule, replay_eur
from grid_cosim.tariff import flat_tariff
from tests.devices.toy import PoolPump, PoolPumpPopulation, PumpInputs
from tests.optimum.homes import DT_H, OWNERS, constant, homes, together

N_STEPS = 16


def one_car(*sessions: tuple[int, float, float], p_max_kw: float = 4.0) -> Fleet:
    """A car in a home without base load; each session is a step, an energy and a stay in h."""
    arrival_kwh = torch.zeros(N_STEPS, 1, dtype=torch.float64)
    stay_h = torch.zeros(N_STEPS, 1, dtype=torch.float64)
    for step, energy_kwh, hours in sessions:
        arrival_kwh[step], stay_h[step] = energy_kwh, hours
    car = ElectricVehicle(p_max_kw=torch.tensor([p_max_kw], dtype=torch.float64), dt_h=DT_H)
    drive = VehicleSessions(12.0, DT_H, arrival_kwh, stay_h)
    nothing = np.zeros((N_STEPS, 1))
    group = DeviceGroup("electric_vehicle", car, np.array([0]), drive, 1.0)
    return Fleet(DT_H, nothing, nothing, flat_tariff(0.3, n_steps=N_STEPS, dt_h=DT_H), (group,))


@pytest.mark.parametrize(
    "sessions",
    [
        [(0, 3.0, 2.0)],
        [(2, 3.0, 0.25)],  # one step, and 2 kWh too much
        [(2, 1.0, 0.6)],  # not a whole number of steps
        [(2, 0.5, 0.05)],  # less than half a step
        [(1, 3.0, 2.0), (4, 1.0, 1.0)],  # comes again before it has left: what was owed is forgotten
        [(1, 1.0, 0.75), (4, 1.0, 1.0)],  # comes again in the step after it has left
        [(12, 2.0, 6.0)],  # stays beyond the horizon
        [(14, 9.0, 1.5)],  # stays beyond the horizon, too short for its energy
        [(10, 4.5, 1.5)],  # leaves at the end of the horizon
        [(15, 0.4, 0.5)],
    ],
)
@pytest.mark.parametrize("limit_kw", [100.0, 1.5])
def test_cars_come_stay_and_leave(sessions: list[tuple[int, float, float]], limit_kw: float) -> None:
    fleet = one_car(*sessions)
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, limit_kw))
    # EUR; a cost of 0.1 to 20 EUR, and the solver stops at 1e-8
    assert replay_eur(fleet, schedule) == pytest.approx(schedule.objective_eur, abs=1e-5)
    assert schedule.powers_kw[0].max() > 0.3


def test_a_car_that_must_wait_costs_its_delay() -> None:
    """4 kWh at 1 kW, 0.3 EUR/kWh and 0.005 EUR/kWh/h: owed after the steps are 3.75, 3.5, … 0 kWh."""
    fleet = one_car((0, 4.0, 4.0))
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 1.0))
    assert schedule.objective_eur == pytest.approx(4 * 0.3 + 0.005 * 0.25 * sum(range(16)) * 0.25, abs=1e-6)


def test_impatient_queues_lose_energy_no_cheaper_than_planned() -> None:
    owners = {"deferrable": Ownership(DeferrablePopulation(jobs_per_day=10.0, patience_h=0.75), 1.0)}
    fleet = homes("deferrable", owners=owners)
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 1e4))
    state, lost_kwh = fleet.init(), 0.0
    for step in range(fleet.n_steps):
        state = fleet.receive(state, step)
        state, (out,) = fleet.step(state, schedule.devices_kw(fleet, state, step), step)
        lost_kwh += float(out.unserved_kwh.sum())
    assert lost_kwh > 0.5
    replayed_eur = replay_eur(fleet, schedule)
    assert schedule.objective_eur < replayed_eur + 1e-5
    assert replayed_eur == pytest.approx(schedule.objective_eur, rel=1e-3)  # lost earlier than by the queue


def test_a_machine_too_small_for_its_house() -> None:
    fleet = homes("heat_pump", owners={"heat_pump": Ownership(HeatPumpPopulation(oversizing=0.3), 1.0)})
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 1e4))
    assert replay_eur(fleet, schedule) == pytest.approx(schedule.objective_eur, rel=1e-6)
    p_max_kw = fleet.groups[0].device.p_max_kw.numpy()
    assert (schedule.powers_kw[0] > 0.99 * p_max_kw).mean() > 0.5


STORES = {
    "battery": Ownership(BatteryPopulation(), 1.0),
    "water_heater": Ownership(WaterHeaterPopulation(litres_per_person=80.0), 1.0),
    "v2g_vehicle": Ownership(V2GPopulation(irregular_share=0.4), 1.0),
    "pv": Ownership(PvPopulation(), 1.0),
}
HOURS = 15.0 + DT_H * np.arange(96 + 96)
EVENINGS = 0.25 + 0.15 * np.cos(2.0 * np.pi * (HOURS - 19.0) / 24.0)


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("limit_kw", [1e3, 18.0])
def test_what_stores_and_roofs_were_planned_to_cost_they_do(kind: str, limit_kw: float) -> None:
    fleet = homes(kind, owners=STORES, n_steps=96, tariff=EVENINGS)
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, limit_kw))
    assert schedule.excess_kw.max() < 1e-6
    assert replay_eur(fleet, schedule) == pytest.approx(schedule.objective_eur, rel=1e-6)
    assert np.abs(schedule.powers_kw[0]).max() > 0.5


def test_a_battery_buys_by_day_what_it_sells_in_the_evening() -> None:
    """10 kWh half full, 4 kW, 90 % and 80 %, 3 ct of wear; four cheap hours, four dear ones, then 0.3 EUR."""
    numbers = (torch.tensor([x], dtype=torch.float64) for x in (10.0, 4.0, 0.9, 0.8, 0.03, 5.0))
    battery, drive = Battery(*numbers, dt_h=DT_H), BatteryHours(12.0, DT_H)
    tariff = np.repeat([0.1, 0.6, 0.3], [16, 16, 96])
    nothing = np.zeros((32, 1))
    group = DeviceGroup("battery", battery, np.array([0]), drive, 1.0)
    fleet = Fleet(DT_H, nothing, nothing, tariff, (group,))
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 100.0))
    bought, sold = 5.0 / 0.9, 8.0
    expected = (0.1 + 0.03) * bought - (0.6 - 0.03) * sold + 0.3 * 0.8 * 5.0  # the charge that it began with
    assert schedule.objective_eur == pytest.approx(expected, abs=1e-6)
    assert replay_eur(fleet, schedule) == pytest.approx(expected, abs=1e-6)


def test_a_roof_is_turned_down_where_its_energy_costs_money() -> None:
    tariff = np.where((HOURS > 20.0) & (HOURS < 36.0), 0.3, -0.1)
    fleet = homes("pv", owners=STORES, n_steps=96, tariff=tariff)
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 1e3))
    available = np.stack([fleet.groups[0].drive.at(k).available_kw.numpy() for k in range(96)])
    feeds_in = tariff[:96] > 0.0
    np.testing.assert_allclose(-schedule.powers_kw[0], np.where(feeds_in[:, None], available, 0.0), atol=1e-5)
    assert available[feeds_in].max() > 1.0
    assert available[~feeds_in].max() > 1.0


# ------------------------------------------------------------------ devices of one's own


def pumps() -> Fleet:
    return homes("pool_pump", owners={"pool_pump": Ownership(PoolPumpPopulation(), 1.0), **OWNERS})


def test_a_device_without_a_model_is_refused_with_what_to_do() -> None:
    fleet = pumps()
    with pytest.raises(OptimumError, match=r"PoolPump.*Leave `optimum` out.*convex_model") as refused:
        optimal_schedule(fleet, together(fleet), constant(fleet, 5.0))
    assert isinstance(refused.value, GridCosimError)


def pool_pump_model(
    pump: PoolPump, inputs: list[PumpInputs], final_energy_price_eur_per_kwh: float
) -> ConvexModel:
    """From midnight on nothing is left of yesterday's filtering but the penalty."""
    n_steps, daily_kwh = len(inputs), pump.daily_kwh.numpy()
    p_kw = cp.Variable((n_steps, pump.n_devices), nonneg=True)
    midnight = next(k for k, at in enumerate(inputs) if k and at.new_kwh.any())
    first, second = pump.dt_h * cp.sum(p_kw[:midnight], axis=0), pump.dt_h * cp.sum(p_kw[midnight:], axis=0)
    left_h = inputs[midnight].stay_h - pump.dt_h * (n_steps - midnight)
    unserved, missed = cp.Variable(pump.n_devices, nonneg=True), cp.Variable(pump.n_devices, nonneg=True)
    still = daily_kwh - second - missed
    price, penalty = final_energy_price_eur_per_kwh, pump.unserved_cost_eur_per_kwh
    return ConvexModel(
        p_kw,
        penalty * cp.sum(unserved) + price * cp.sum(still) + penalty * cp.sum(missed),
        [
            p_kw <= np.broadcast_to(pump.p_max_kw.numpy(), p_kw.shape),
            first + unserved == daily_kwh,
            second + missed <= daily_kwh,
            missed >= daily_kwh - second - pump.p_max_kw.numpy() * left_h,
        ],
    )


def test_a_device_may_bring_its_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PoolPump, "convex_model", pool_pump_model, raising=False)
    fleet = pumps()
    schedule = optimal_schedule(fleet, together(fleet), constant(fleet, 9.0))
    assert replay_eur(fleet, schedule) == pytest.approx(schedule.objective_eur, rel=1e-6)
    assert schedule.powers_kw[0].sum() * DT_H > 0.9 * fleet.groups[0].device.daily_kwh.sum()
