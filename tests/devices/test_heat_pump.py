from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from grid_cosim.devices import HeatPump, HeatPumpPopulation
from grid_cosim.devices.heat_pump import BuildingState, WeatherInputs
from tests.devices.episode import drawn, live, stacked


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def weather(outdoor_c: float, hour: float = 12.0) -> WeatherInputs:
    return WeatherInputs(hour, vector(outdoor_c), torch.full((1, 10), outdoor_c, dtype=torch.float64))


HOUSE = HeatPump(
    heat_loss_kw_per_k=vector(0.12),
    capacity_kwh_per_k=vector(4.5),
    gains_kw=vector(0.3),
    p_max_kw=vector(2.0),
    set_point_c=vector(20.5),
    floor_heating=vector(1.0),
    initial_c=vector(20.0),
    dt_h=0.25,
)


@pytest.mark.parametrize(
    ("floor_heating", "outdoor_c", "cop"),
    [
        # 0.85 (6.08 - 0.09 dT + 0.0005 dT²) of Ruhnau et al. 2019, computed by hand
        (1.0, 0.0, 3.2555),  # 30 °C water, 30 K
        (1.0, -12.0, 2.4752),  # 36 °C water, 48 K
        (0.0, -10.0, 2.108),  # 50 °C water, 60 K
        (0.0, 7.0, 3.4663),  # 33 °C water, 26 K
        (1.0, 15.0, 4.116125),  # 22.5 °C water: 7.5 K, taken as 15 K
    ],
)
def test_cop_is_the_published_regression(floor_heating: float, outdoor_c: float, cop: float) -> None:
    house = replace(HOUSE, floor_heating=vector(floor_heating))
    assert house.cop(vector(outdoor_c)).item() == pytest.approx(cop, rel=1e-12)


@pytest.mark.parametrize(
    ("p_kw", "outdoor_c", "start_c"), [(0.0, -12.0, 21.0), (2.0, -5.0, 18.0), (1.1, 8.0, 23.0)]
)
def test_one_step_solves_the_building_equation(p_kw: float, outdoor_c: float, start_c: float) -> None:
    house = replace(HOUSE, dt_h=2.0)
    heat = house.cop(vector(outdoor_c)).item() * p_kw + 0.3
    reference = solve_ivp(
        lambda _, t: (heat - 0.12 * (t - outdoor_c)) / 4.5, (0.0, 2.0), [start_c], rtol=1e-11, atol=1e-11
    ).y[0, -1]
    after, outputs = house.step(BuildingState(vector(start_c)), vector(p_kw), weather(outdoor_c))
    assert after.temperature_c.item() == pytest.approx(reference, rel=1e-9)
    assert outputs.temperature_c.item() == after.temperature_c.item()


@given(kept=st.floats(16.0, 23.0), outdoor=st.floats(-14.0, 12.0))
@settings(deadline=None, max_examples=30)
def test_holding_power_keeps_the_temperature(kept: float, outdoor: float) -> None:
    house = replace(HOUSE, p_max_kw=vector(10.0))
    p_kw = house.holding_kw(vector(kept), vector(outdoor))
    after, _ = house.step(BuildingState(vector(kept)), p_kw, weather(outdoor))
    assert after.temperature_c.item() == pytest.approx(kept, abs=1e-9)


@given(start=st.floats(15.0, 24.0), outdoor=st.floats(-20.0, 25.0))
@settings(deadline=None, max_examples=50)
def test_full_power_ends_at_the_top_of_the_comfort_band_at_most(start: float, outdoor: float) -> None:
    state, now = BuildingState(vector(start)), weather(outdoor)
    _, high = HOUSE.bounds(state, now)
    warm = HOUSE.step(state, high, now)[0].temperature_c.item()
    idle = HOUSE.step(state, vector(0.0), now)[0].temperature_c.item()
    assert warm <= max(idle, 22.0) + 1e-9
    if 0.0 < high.item() < 2.0:
        assert warm == pytest.approx(22.0, abs=1e-9)


def test_comfort_costs_by_hand() -> None:
    house = replace(HOUSE, p_max_kw=vector(10.0))
    for deviation, per_hour in (
        (1.0, 0.005),
        (-1.0, 0.005 + 0.15 * 0.12),
        (-3.0, 0.005 * 9.0 + 0.15 * 0.12 * 3.0 + 0.5 * 2.0),  # two kelvin below the band
    ):
        kept = vector(20.5 + deviation)
        _, out = house.step(BuildingState(kept), house.holding_kw(kept, vector(-5.0)), weather(-5.0))
        assert out.cost_eur.item() == pytest.approx(0.25 * per_hour, rel=1e-9)
        assert out.too_cold_kelvin_hours.item() == pytest.approx(0.25 * max(0.0, -1.0 - deviation), abs=1e-9)


def test_a_kelvin_less_never_pays_at_price_zero() -> None:
    house = replace(HOUSE, p_max_kw=vector(10.0))
    costs = []
    for below in np.linspace(0.0, 2.0, 9):
        kept = vector(20.5 - below)
        p_kw = house.holding_kw(kept, vector(-14.0))  # where the COP is lowest
        _, out = house.step(BuildingState(kept), p_kw, weather(-14.0))
        costs.append(out.cost_eur.item() + 0.30 * out.served_kwh.item())
    assert (np.diff(costs) > 0.0).all()


def test_drawn_machines_hold_the_set_point_on_the_coldest_day() -> None:
    population = HeatPumpPopulation()
    device, _ = drawn(population, n=200)
    design = population.design_outdoor_c
    hold = replace(device, p_max_kw=device.p_max_kw * 2.0).holding_kw(device.set_point_c, vector(design))
    sized = device.p_max_kw > 0.3  # the smallest machine there is
    torch.testing.assert_close(device.p_max_kw[sized], population.oversizing * hold[sized])
    assert sized.double().mean() > 0.95


def test_the_thermostat_settles_at_the_set_point() -> None:
    device, drive = drawn(HeatPumpPopulation(), n=20, n_steps=192)
    moments = live(device, drive, None, n_steps=192)
    off = stacked(moments, "temperature_c") - device.set_point_c
    assert off[-96:].abs().max() < 1e-3
    assert stacked(moments, "too_cold_kelvin_hours").max() == 0.0


def test_the_value_of_heat_left_is_what_it_would_cost_to_buy() -> None:
    above = BuildingState(vector(21.5))
    below = BuildingState(vector(19.5))
    per_kelvin = 0.3 * 4.5 / 3.2555
    assert HOUSE.terminal_cost_eur(above, weather(0.0), vector(0.3)).item() == pytest.approx(-per_kelvin)
    assert HOUSE.terminal_cost_eur(below, weather(0.0), vector(0.3)).item() > per_kelvin  # and discomfort


def test_the_forecast_is_the_mean_of_what_comes() -> None:
    series = np.cumsum(np.random.default_rng(0).normal(size=192))
    device, _ = drawn(HeatPumpPopulation(), n=2)
    drive = HeatPumpPopulation().drive(
        device,
        n_steps=96,
        start_hour=0.0,
        outdoor_c=torch.as_tensor(series)[:, None],
        generator=torch.Generator(),
    )
    longer = np.concatenate([series, np.full(200, series[-1])])
    for step in (0, 50, 95):
        now = drive.at(step)
        assert now.outdoor_c.item() == series[step]
        hours = (1, 2, 3, 4, 6, 9, 12, 16, 20, 24)
        means = [longer[step : step + 4 * window].mean() for window in hours]
        assert now.ahead_c[0].tolist() == pytest.approx(means)
        assert now.next_24h_c.item() == now.ahead_c[0, -1].item()


def test_heat_left_is_valued_in_the_weather_of_the_coming_day() -> None:
    # a mild noon before a cold day: ending there with a cool house must not look cheap
    mild_now = WeatherInputs(12.0, vector(8.0), torch.linspace(7.0, 0.0, 10, dtype=torch.float64)[None])
    for left_c in (19.0, 20.5, 21.5):
        state = BuildingState(vector(left_c))
        left = HOUSE.terminal_cost_eur(state, mild_now, vector(0.3)).item()
        assert left == HOUSE.terminal_cost_eur(state, weather(0.0), vector(0.3)).item()
