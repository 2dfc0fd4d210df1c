from __future__ import annotations

import math

import pytest
import torch

from grid_cosim.devices import WaterHeater, WaterHeaterPopulation
from grid_cosim.devices.water_heater import AHEAD_H, DrawInputs, TankState
from tests.devices.episode import at_random, drawn, live, stacked


def column(x: float) -> torch.Tensor:
    return torch.tensor([x], dtype=torch.float64)


def tank(*, cop: float = 2.0, loss_per_h: float = 0.01) -> WaterHeater:
    """8 kWh of heat, 1 kW."""
    return WaterHeater(column(8.0), column(1.0), column(cop), column(loss_per_h), column(6.0), dt_h=0.5)


def draw(kwh: float, usual_kwh: float = 0.0) -> DrawInputs:
    return DrawInputs(7.0, column(kwh), torch.full((1, len(AHEAD_H)), usual_kwh, dtype=torch.float64))


def test_heat_is_stored_drawn_off_or_lost() -> None:
    """The losses of every step are the integral of E / tau of dE/dt = COP p - E / tau, in closed form."""
    heater, drive = drawn(WaterHeaterPopulation(litres_per_person=250.0), n=30)
    moments = live(heater, drive, at_random(90, 30), n_steps=90)
    for moment in moments:
        heat_kw = heater.cop * moment.p_kw
        settled = heat_kw / heater.loss_per_h
        faded = (1.0 - torch.exp(-0.25 * heater.loss_per_h)) / heater.loss_per_h
        mean = settled + (moment.state.stored_kwh - settled) * faded / 0.25
        lost = 0.25 * heater.loss_per_h * mean
        found = moment.inputs.draw_kwh - heater.cop * moment.outputs.unserved_kwh
        after = moment.state.stored_kwh + 0.25 * heat_kw - lost - found
        torch.testing.assert_close(moment.after.stored_kwh, after, rtol=1e-9, atol=1e-9)
    assert stacked(moments, "unserved_kwh").sum() > 1.0


def test_a_draw_off_gets_what_hot_water_there_is() -> None:
    heater = tank(loss_per_h=1e-9)
    after, out = heater.step(TankState(column(1.0)), column(0.5), draw(4.0))
    assert after.stored_kwh.item() == 0.0
    # 1 kWh is there, 0.5 is made; 2.5 of heat are missing, 1.25 of electricity at a COP of 2
    assert out.unserved_kwh.item() == pytest.approx(1.25)
    assert out.due_kwh.item() == pytest.approx(2.0)
    assert out.cost_eur.item() == pytest.approx(2.5)


def test_power_ends_where_the_tank_is_hot() -> None:
    heater = tank()
    full = TankState(column(8.0))
    p_kw = heater.bounds(full, draw(0.0))[1]
    # what is lost of a full tank, made up for within the step
    assert p_kw.item() == pytest.approx(8.0 * 0.01 / 2.0)
    after, _ = heater.step(full, p_kw, draw(0.0))
    assert after.stored_kwh.item() == pytest.approx(8.0)
    assert heater.bounds(TankState(column(1.0)), draw(0.0))[1].item() == 1.0


def test_without_heating_a_tank_cools_by_its_time_constant() -> None:
    heater = tank()
    after, _ = heater.step(TankState(column(6.0)), column(0.0), draw(0.0))
    assert after.stored_kwh.item() == pytest.approx(6.0 * math.exp(-0.005))


def test_a_tank_that_cannot_serve_the_next_hours_costs_what_will_be_missed() -> None:
    heater = tank()
    price = column(0.3)
    # usually 3 kWh in each window; the least made by then is 2 kWh in the first hour
    cost = heater.terminal_cost_eur(TankState(column(0.4)), draw(0.0, 3.0), price)
    assert cost.item() == pytest.approx(0.3 * 7.6 / 2.0 + 2.0 * (3.0 - 2.0 - 0.4) / 2.0)


def test_what_is_usual_is_the_mean_of_what_is_drawn_off() -> None:
    """48 hours of 4,000 homes: about 70 showers a home in ten, so a standard error of 1 %."""
    population = WaterHeaterPopulation()
    _, drive = drawn(population, n=4000, n_steps=192, start_hour=0.0)
    usual = drive.usual_kwh[0, :, -1].mean().item()
    assert drive.draw_kwh.sum(0).mean().item() / 2.0 == pytest.approx(usual, rel=0.03)
    # 40 litres, 35 K, two persons; log-normal with a spread of 0.3
    assert usual == pytest.approx(40.0 * 35.0 * 1.163e-3 * 2.0 * math.exp(0.045), rel=0.15)
    hours = 0.25 * torch.arange(96)
    course = drive.draw_kwh[:96].mean(1)
    night, evening = course[(hours >= 1) & (hours < 5)], course[(hours >= 18) & (hours < 21)]
    assert evening.mean() > 5.0 * night.mean()


def test_nearly_nobody_runs_out_of_hot_water_uncontrolled() -> None:
    heater, drive = drawn(WaterHeaterPopulation(), n=500, n_steps=192)
    moments = live(heater, drive, None, n_steps=192)
    assert stacked(moments, "unserved_kwh").sum() < 0.01 * stacked(moments, "due_kwh").sum()
