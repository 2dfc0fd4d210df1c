from __future__ import annotations

import pytest
import torch

from grid_cosim.devices import ElectricVehicle, VehiclePopulation
from grid_cosim.devices.device import to_dtype
from grid_cosim.devices.ev import VehicleInputs, VehicleState
from tests.devices.episode import drawn, live, stacked

MANY = VehiclePopulation(
    plug_in_probability=1.0,
    daily_kwh=25.0,
    energy_spread=1.0,
    arrival_spread_h=6.0,
    departure_spread_h=4.0,
    share_11_kw=0.3,
)
"""Asks so much that small sockets hardly manage, at all hours at which a car may come and go."""


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("start_hour", [0.0, 12.0, 20.0])
@pytest.mark.parametrize("minutes", [5, 10, 15, 60])
def test_sessions_fit_their_stay_and_never_overlap(start_hour: float, minutes: int) -> None:
    dt_h = minutes / 60.0
    n_steps = round(60.0 / dt_h)
    device, drive = drawn(MANY, n=60, n_steps=n_steps, start_hour=start_hour, dt_h=dt_h)
    arrives = drive.arrival_kwh > 0.0
    assert arrives.sum() > 100
    room = 0.9 * device.p_max_kw * drive.stay_h
    assert (drive.arrival_kwh <= room + 1e-9).all()
    assert (drive.arrival_kwh[arrives] > room[arrives] - 1e-9).any(), "the cap was never met"
    for car in range(60):
        starts = torch.nonzero(arrives[:, car]).flatten()
        ends = starts + (drive.stay_h[starts, car] / dt_h).round().long()
        assert (ends[:-1] <= starts[1:]).all()
        hour = (start_hour + ends * dt_h) % 24.0
        assert ((hour >= 4.5 - dt_h) & (hour <= 11.5)).all()


def test_at_midnight_cars_are_at_home_and_at_noon_none_is() -> None:
    at_home = {hour: (drawn(MANY, n=60, start_hour=hour)[1].arrival_kwh[0] > 0).sum() for hour in (0.0, 12.0)}
    assert at_home[0.0] > 10
    assert at_home[12.0] == 0


@pytest.mark.parametrize("minutes", [5, 10, 15])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_session_is_settled_in_the_step_in_which_its_stay_ends(
    minutes: int, dtype: torch.dtype
) -> None:
    dt_h = minutes / 60.0
    n_steps = round(44.0 / dt_h)
    device, drive = drawn(MANY, n=20, n_steps=n_steps, dt_h=dt_h)
    device, drive = to_dtype(device, dtype), to_dtype(drive, dtype)
    due = stacked(live(device, drive, lambda step, low, high: low, n_steps=n_steps), "due_kwh")
    expected = torch.zeros_like(due)
    for step, car in torch.nonzero(drive.arrival_kwh).tolist():
        last = step + round(drive.stay_h[step, car].item() / dt_h) - 1
        if last < n_steps:
            expected[last, car] = drive.arrival_kwh[step, car]
    torch.testing.assert_close(due, expected, rtol=0.0, atol=0.0)


def test_mean_energy_is_what_the_population_says() -> None:
    population = VehiclePopulation()
    _, drive = drawn(population, n=8000, n_steps=48)
    # 8,000 log-normal sessions (spread 0.6), of which 80 % happen: standard error 1 %; clipping to
    # [0.5, 60] kWh moves the mean by less than 0.1 %, the cap of small sockets by less than 1 %
    assert drive.arrival_kwh.sum().item() / 8000 == pytest.approx(population.daily_kwh, rel=0.03)


def test_one_car_by_hand() -> None:
    car = ElectricVehicle(p_max_kw=vector(4.0), dt_h=0.5)
    arrives = VehicleInputs(18.0, vector(3.0), vector(1.0))
    later = VehicleInputs(18.5, vector(0.0), vector(0.0))
    state = car.receive(car.init(arrives), arrives)
    assert [bound.item() for bound in car.bounds(state, arrives)] == [0.0, 4.0]  # 3 kWh in half an hour: 6 kW
    state, first = car.step(state, vector(4.0), arrives)
    assert first.owed_kwh.item() == 1.0
    assert first.age_h.item() == 0.5
    assert first.due_kwh.item() == 0.0
    assert first.cost_eur.item() == pytest.approx(0.005 * 1.0 * 0.5)
    state = car.receive(state, later)
    assert car.bounds(state, later)[1].item() == 2.0  # what fills the car
    state, second = car.step(state, vector(0.5), later)
    assert second.due_kwh.item() == 3.0
    assert second.unserved_kwh.item() == 0.75
    assert second.owed_kwh.item() == 0.0
    assert second.cost_eur.item() == pytest.approx(0.005 * 0.75 * 0.5 + 2.0 * 0.75)
    assert [value.item() for value in state] == [0.0, 0.0, 0.0, 0.0]


def test_value_at_the_end_by_hand() -> None:
    car = ElectricVehicle(p_max_kw=vector(4.0, 4.0, 4.0), dt_h=0.25)
    owed, left, asked = vector(10.0, 2.0, 0.0), vector(1.0, 1.0, 0.0), vector(12.0, 2.0, 0.0)
    state = VehicleState(owed_kwh=owed, left_h=left, session_kwh=asked, waited_h=vector(1.0, 0.0, 0.0))
    last = VehicleInputs(7.0, vector(0.0, 0.0, 0.0), vector(0.0, 0.0, 0.0))
    cost = car.terminal_cost_eur(state, last, vector(0.3, 0.3, 0.3))
    missed, still = 10.0 - 4.0 * 1.0, 4.0
    by_hand = vector(0.3 * still + 0.005 * still**2 / 8.0 + 2.0 * missed, 0.3 * 2.0 + 0.005 * 4.0 / 8.0, 0.0)
    torch.testing.assert_close(cost, by_hand)
