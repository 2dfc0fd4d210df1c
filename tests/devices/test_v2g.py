from __future__ import annotations

import pytest
import torch

from grid_cosim.devices import ElectricVehicle, V2GPopulation, V2GVehicle, VehiclePopulation
from grid_cosim.devices.v2g import V2GInputs, V2GState
from tests.devices.episode import drawn, live, stacked


def column(x: float) -> torch.Tensor:
    return torch.tensor([x], dtype=torch.float64)


CAR = V2GVehicle(column(10.0), column(18.0), column(0.9), column(0.8), column(0.05), dt_h=0.5)
"""10 kW, 18 kWh above the reserve, 90 % in and 80 % out."""


def bounds_kw(*, owed_kwh: float, left_h: float) -> tuple[float, float]:
    state = V2GState(column(owed_kwh), column(owed_kwh), column(0.0))
    low, high = CAR.bounds(state, V2GInputs(20.0, column(0.0), column(left_h)))
    return low.item(), high.item()


@pytest.mark.parametrize(
    ("owed_kwh", "left_h", "low_kw", "high_kw"),
    [
        (5.0, 8.0, -10.0, 10.0),
        (
            18.0,
            8.0,
            -2.88,
            10.0,
        ),  # 20 kWh at the meter are above the reserve; 2 · 0.9 · 0.8 come out in 0.5 h
        (25.0, 8.0, 0.0, 10.0),  # came home below its reserve
        (2.0, 1.0, -4.32, 4.0),  # 5 kWh can be charged after this step: 3 to spare
        (5.0, 1.0, 0.0, 10.0),  # no time to spare
        (2.0, 0.5, 0.0, 4.0),  # last step
        (0.0, 8.0, -10.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),  # away
    ],
)
def test_a_car_gives_what_it_can_spare_and_get_back(
    owed_kwh: float, left_h: float, low_kw: float, high_kw: float
) -> None:
    low, high = bounds_kw(owed_kwh=owed_kwh, left_h=left_h)
    assert (low, high) == (pytest.approx(low_kw), pytest.approx(high_kw))


def test_what_a_car_gave_it_owes_with_the_losses_of_both_ways() -> None:
    state = V2GState(column(5.0), column(5.0), column(1.0))
    after, out = CAR.step(state, column(-7.2), V2GInputs(20.0, column(0.0), column(8.0)))
    assert after.owed_kwh.item() == pytest.approx(5.0 + 3.6 / 0.72)
    assert out.served_kwh.item() == pytest.approx(-3.6)
    assert out.cost_eur.item() == pytest.approx(0.05 * 3.6 + 0.005 * 10.0 * 0.5)


def test_who_gives_all_that_it_may_and_then_charges_leaves_with_what_it_wanted() -> None:
    device, drive = drawn(V2GPopulation(), n=40, n_steps=192, seed=3)
    half = torch.where(drive.left_h > 6.0, 0.0, 1.0)  # discharges until six hours before it leaves
    moments = live(device, drive, lambda step, low, high: low + (high - low) * half[step], n_steps=192)
    given = (-stacked(moments, "served_kwh")).clamp(min=0.0).sum()
    assert given > 100.0
    assert stacked(moments, "unserved_kwh").max() < 1e-9


def test_uncontrolled_it_is_a_car_like_others() -> None:
    settings = {"daily_kwh": 10.0, "share_11_kw": 0.5}
    both, sessions = drawn(V2GPopulation(**settings), n=30, seed=5)
    car, arrivals = drawn(VehiclePopulation(**settings), n=30, seed=5)
    # the same wall boxes; the capacities are drawn in between, so hand the sessions over
    torch.testing.assert_close(both.p_max_kw, car.p_max_kw)
    stays = torch.where(sessions.arrival_kwh > 0.0, sessions.left_h, 0.0)
    ordinary = ElectricVehicle(both.p_max_kw, both.dt_h)
    same = type(arrivals)(sessions.start_hour, sessions.dt_h, sessions.arrival_kwh, stays)
    for name in ("served_kwh", "unserved_kwh", "due_kwh", "owed_kwh", "cost_eur"):
        torch.testing.assert_close(
            stacked(live(both, sessions, None, n_steps=90), name),
            stacked(live(ordinary, same, None, n_steps=90), name),
        )
