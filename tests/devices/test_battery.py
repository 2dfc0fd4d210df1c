from __future__ import annotations

import pytest
import torch

from grid_cosim.devices import Battery, BatteryPopulation
from grid_cosim.devices.battery import BatteryInputs, BatteryState
from tests.devices.episode import at_random, drawn, live, stacked

NOW = BatteryInputs(12.0)


def one(*, stored_kwh: float) -> tuple[Battery, BatteryState]:
    """10 kWh, 4 kW, 90 % in and 80 % out, 3 ct of wear."""
    numbers = [torch.tensor([x], dtype=torch.float64) for x in (10.0, 4.0, 0.9, 0.8, 0.03, stored_kwh)]
    battery = Battery(*numbers, dt_h=0.5)
    return battery, battery.init(NOW)


@pytest.mark.parametrize(
    ("stored_kwh", "low_kw", "high_kw"),
    [
        (5.0, -4.0, 4.0),
        (9.1, -4.0, 2.0),  # 0.9 kWh fit, 1 kWh at the meter in half an hour
        (1.0, -1.6, 4.0),  # 0.8 kWh come out
        (0.0, 0.0, 4.0),
        (10.0, -4.0, 0.0),
    ],
)
def test_the_bounds_are_the_inverter_or_what_the_store_can_take_and_give(
    stored_kwh: float, low_kw: float, high_kw: float
) -> None:
    battery, state = one(stored_kwh=stored_kwh)
    low, high = battery.bounds(state, NOW)
    assert (low.item(), high.item()) == (pytest.approx(low_kw), pytest.approx(high_kw))


@pytest.mark.parametrize(("p_kw", "stored_kwh"), [(2.0, 5.9), (-2.0, 3.75), (0.0, 5.0)])
def test_losses_go_with_the_energy_in_both_directions(p_kw: float, stored_kwh: float) -> None:
    battery, state = one(stored_kwh=5.0)
    after, out = battery.step(state, torch.tensor([p_kw], dtype=torch.float64), NOW)
    assert after.stored_kwh.item() == pytest.approx(stored_kwh)
    assert out.cost_eur.item() == pytest.approx(0.03 * abs(p_kw) * 0.5)


def test_energy_is_stored_given_back_or_lost() -> None:
    battery, drive = drawn(BatteryPopulation(), n=30)
    moments = live(battery, drive, at_random(90, 30), n_steps=90)
    served = stacked(moments, "served_kwh")
    taken, given = served.clamp(min=0.0).sum(0), (-served).clamp(min=0.0).sum(0)
    left = moments[-1].after.stored_kwh
    gained = battery.charge_efficiency * taken - given / battery.discharge_efficiency
    torch.testing.assert_close(left, battery.initial_kwh + gained, rtol=1e-9, atol=1e-9)
    assert (given > 0.5 * battery.capacity_kwh).all()


def test_a_full_cycle_within_a_run_never_pays_by_how_its_end_is_valued() -> None:
    battery, state = one(stored_kwh=5.0)
    price = torch.tensor([0.3], dtype=torch.float64)
    idle = battery.terminal_cost_eur(state, NOW, price)
    for p_kw in (-4.0, 4.0):
        after, out = battery.step(state, torch.tensor([p_kw], dtype=torch.float64), NOW)
        total = 0.3 * out.served_kwh + out.cost_eur + battery.terminal_cost_eur(after, NOW, price)
        assert total > idle
