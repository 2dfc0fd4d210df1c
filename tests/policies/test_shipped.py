"""The policies that ship: made by their recipes, and behaving as their devices' owners would want."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from grid_cosim.devices import ElectricVehicle
from grid_cosim.devices.deferrable import DeferrableLoad, QueueInputs, QueueState
from grid_cosim.devices.device import to_dtype
from grid_cosim.devices.ev import VehicleInputs, VehicleState
from grid_cosim.devices.heat_pump import BuildingState, WeatherInputs
from grid_cosim.policies.checkpoint import Policy, load_policy, policy_features
from grid_cosim.policies.episode import rollout_cost
from grid_cosim.policies.prices import sample_prices
from grid_cosim.policies.recipe import POPULATIONS, load_recipe
from grid_cosim.policies.view import no_memory, view
from grid_cosim.shipped import shipped
from tests.devices.episode import Draws, drawn, live
from tests.policies.flat import flat_episode

N, N_STEPS, DT_H = 48, 96, 0.25
every_kind = pytest.mark.parametrize("kind", POPULATIONS)
BETTER_BY = {
    "electric_vehicle": 0.07,
    "heat_pump": 0.0125,
    "deferrable": 0.02,
    "water_heater": 0.05,
    "battery": 0.1,
    "v2g_vehicle": 0.07,
}
"""Share of the cost at stake that a policy saves where there is a price."""
ANSWER_NEGATIVE = ["water_heater", "battery", "pv", "v2g_vehicle"]


@cache
def policy(kind: str) -> Policy:
    features = policy_features(drawn(POPULATIONS[kind](), n=1)[0])
    return load_policy(shipped("policies") / f"{kind}.safetensors", kind=kind, feature_names=features)


@cache
def homes(kind: str) -> tuple[Any, Any, torch.Tensor]:
    """Devices as scenarios draw them, and a price process for each."""
    device, drive = drawn(POPULATIONS[kind](), n=N, n_steps=N_STEPS, start_hour=12.0, seed=11)
    prices = sample_prices(
        N,
        n_steps=N_STEPS,
        dt_h=DT_H,
        start_hour=12.0,
        price_max_eur_per_kwh=2.0,
        generator=torch.Generator().manual_seed(11),
    )
    return to_dtype(device, torch.float32), to_dtype(drive, torch.float32), prices


def uncontrolled_cost(kind: str, prices: torch.Tensor) -> torch.Tensor:
    device, drive, _ = homes(kind)
    moments = live(device, drive, None, n_steps=N_STEPS)
    cost = torch.zeros(N)
    for moment, price in zip(moments, prices, strict=True):
        cost = cost + moment.outputs.cost_eur + (0.3 + price) * moment.outputs.served_kwh
    left = device.terminal_cost_eur(moments[-1].after, moments[-1].inputs, 0.3 + prices.mean(0))
    return cost + left


def controlled_cost(kind: str, prices: torch.Tensor) -> torch.Tensor:
    device, drive, _ = homes(kind)
    return rollout_cost(policy(kind).network, flat_episode(device, drive, prices, dt_h=DT_H))


def fraction(kind: str, features: torch.Tensor, price: float, *, tariff: float = 0.3) -> torch.Tensor:
    """Of a home that remembers no congestion, under a flat tariff."""
    rows = len(features)
    seen = view(no_memory(rows, DT_H), torch.tensor([tariff]), torch.zeros(1), torch.zeros(1), dt_h=DT_H)
    return (
        policy(kind)
        .network(torch.cat([features.float(), seen], dim=-1))
        .fraction(torch.full((len(features),), price))
    )


@every_kind
def test_the_checkpoint_was_made_by_the_recipe_beside_it(kind: str) -> None:
    assert policy(kind).recipe == load_recipe(shipped("policies") / f"{kind}.toml").as_dict()


@every_kind
def test_without_a_price_it_costs_nearly_what_uncontrolled_does(kind: str) -> None:
    free = torch.zeros(N_STEPS, N)
    # uncontrolled is (nearly) the optimum there: the policy may not be more than 1 % above it, or, where that
    # costs nothing, as of a battery at rest, more than a cent in a day
    free_cost = uncontrolled_cost(kind, free).mean()
    assert controlled_cost(kind, free).mean() < free_cost + 0.01 * free_cost.abs().clamp(min=1.0)


@every_kind
def test_it_beats_uncontrolled_where_there_is_a_price(kind: str) -> None:
    prices = homes(kind)[2]
    weight = 1.0 / (0.03 + prices.mean(0))  # as in training
    saved = uncontrolled_cost(kind, prices) - controlled_cost(kind, prices)
    flexible = prices.std(0) > 0.02
    # far above rounding and far below what they save here; heat is least flexible: a house is a battery of
    # few hours
    share = BETTER_BY.get(kind)
    if share is None:  # a roof has nothing to postpone
        assert (saved.abs() < 1e-4).all()
        return
    at_stake = weight * (uncontrolled_cost(kind, prices) if kind != "battery" else 1.0)  # which rests: 1 EUR
    assert (weight * saved)[flexible].sum() > share * at_stake[flexible].sum()


@pytest.mark.parametrize("kind", ANSWER_NEGATIVE)
def test_at_a_price_far_below_zero_all_is_drawn_that_can_be(kind: str) -> None:
    device, drive, _ = homes(kind)
    idle: Draws = lambda step, low, high: low  # noqa: E731
    for moment in live(device, drive, idle, n_steps=N_STEPS)[::6]:
        low, high = device.bounds(moment.state, moment.inputs)
        some = high - low > 1e-3
        drawn_share = fraction(kind, device.observe(moment.state, moment.inputs), -2.4)
        assert (drawn_share[some] == 1.0).all()


@pytest.mark.parametrize("kind", sorted(set(POPULATIONS) - set(ANSWER_NEGATIVE)))
def test_those_that_know_no_negative_prices_answer_as_at_zero(kind: str) -> None:
    device, drive, _ = homes(kind)
    moment = live(device, drive, None, n_steps=N_STEPS)[30]
    features = device.observe(moment.state, moment.inputs)
    assert torch.equal(fraction(kind, features, -0.4), fraction(kind, features, 0.0))


@pytest.mark.parametrize("tariff", [0.1, 0.3, 0.5])
def test_a_roof_feeds_in_as_long_as_energy_is_worth_something(tariff: float) -> None:
    device, drive, _ = homes("pv")
    noon = drive.at(4)
    features = device.observe(device.init(noon), noon)
    assert (noon.available_kw > 0.1).all()
    turned_down = {
        above: fraction("pv", features, above - tariff, tariff=tariff).mean() for above in (-0.05, 0.0, 0.05)
    }
    assert turned_down[-0.05] > 0.95
    assert turned_down[0.05] < 0.05
    assert (fraction("pv", features, 0.0, tariff=tariff) == 0.0).all()


def test_a_battery_rests_unless_there_is_something_to_earn() -> None:
    device, drive, _ = homes("battery")
    network = policy("battery").network
    seen = view(no_memory(N, DT_H), torch.tensor([0.3]), torch.zeros(1), torch.zeros(1), dt_h=DT_H)
    inputs = drive.at(0)
    state = device.init(inputs)
    low, high = device.bounds(state, inputs)
    answer = network(torch.cat([device.observe(state, inputs), seen], dim=-1))
    power = {price: answer.power_kw(torch.full((N,), price), low, high) for price in (-0.5, 0.0, 1.0)}
    assert (power[0.0] == 0.0).float().mean() > 0.9
    assert power[-0.5].mean() > 0.3 * high.mean()
    assert power[1.0].mean() < 0.3 * low.mean()


@every_kind
def test_at_the_largest_price_nothing_is_drawn(kind: str) -> None:
    device, drive, _ = homes(kind)
    idle: Draws = lambda step, low, high: low  # noqa: E731
    for moment in live(device, drive, idle, n_steps=N_STEPS)[::6]:
        assert (fraction(kind, device.observe(moment.state, moment.inputs), 4.0) == 0.0).all()


def test_urgent_cars_pay_more() -> None:
    n = 8
    left_h = torch.linspace(12.0, 2.0, n, dtype=torch.float64)
    car = ElectricVehicle(p_max_kw=torch.full((n,), 11.0).double(), dt_h=DT_H)
    same = torch.full((n,), 22.0).double()  # two hours of charging
    state = VehicleState(owed_kwh=same, left_h=left_h, session_kwh=same, waited_h=torch.zeros(n).double())
    features = car.observe(state, VehicleInputs(2.0, torch.zeros(n).double(), torch.zeros(n).double()))
    for price in (0.1, 0.3, 0.6):
        drawn_share = fraction("electric_vehicle", features, price)
        assert (drawn_share.diff() >= -1e-3).all()
        assert drawn_share[-1] > drawn_share[0] + 0.3


def test_cold_houses_pay_more() -> None:
    device, _ = drawn(POPULATIONS["heat_pump"](), n=30)
    cold = torch.full((1, 10), -5.0, dtype=torch.float64)
    now = WeatherInputs(19.0, cold[:, 0], cold)
    shares = [
        fraction("heat_pump", device.observe(BuildingState(device.set_point_c + off), now), 0.2).mean()
        for off in (1.0, 0.0, -1.0, -2.0)
    ]
    assert shares == sorted(shares)
    assert shares[-1] > shares[1] + 0.2


def test_old_demand_pays_more() -> None:
    n = 20
    device = DeferrableLoad(p_max_kw=torch.full((n,), 2.2).double(), dt_h=DT_H)
    waiting = torch.zeros(n, device.max_age_steps).double()
    waiting[torch.arange(n), 3 + torch.arange(n)] = 1.0
    now = QueueInputs(19.0, torch.zeros(n).double())
    share = fraction("deferrable", device.observe(QueueState(waiting), now), 0.2)
    assert share[-4:].mean() > share[:4].mean() + 0.3
