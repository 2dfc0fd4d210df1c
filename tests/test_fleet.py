from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from grid_cosim.devices import (
    BatteryPopulation,
    DeferrablePopulation,
    PvPopulation,
    V2GPopulation,
    VehiclePopulation,
)
from grid_cosim.errors import ProfileError
from grid_cosim.fleet import Fleet, Ownership
from tests.neighbours import OWNERS, after, fleet_of


def drawn_by(fleet: Fleet, kind: str) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """Owners of a kind, its parameters, and what happens to it in the evening."""
    group = next(group for group in fleet.groups if group.kind == kind)
    return group.household, group.device.p_max_kw, group.drive.at(30)[1]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
def test_exactly_the_share_owns_a_device(share: float) -> None:
    fleet = fleet_of(40, ownership={"deferrable": Ownership(DeferrablePopulation(), share)})
    assert sum(group.household.size for group in fleet.groups) == round(40 * share)
    for group in fleet.groups:
        assert np.unique(group.household).size == group.household.size


def test_named_owners_are_the_owners() -> None:
    owners = np.zeros(10, dtype=bool)
    owners[[2, 7]] = True
    fleet = fleet_of(10, ownership={"deferrable": Ownership(DeferrablePopulation(), owners)})
    assert fleet.groups[0].household.tolist() == [2, 7]


@pytest.mark.parametrize("kind", OWNERS)
def test_the_draws_of_a_kind_do_not_depend_on_the_others(kind: str) -> None:
    alone = drawn_by(fleet_of(30, ownership={kind: OWNERS[kind]}), kind)
    among = drawn_by(fleet_of(30, ownership=dict(reversed(OWNERS.items()))), kind)
    for a, b in zip(alone, among, strict=True):
        assert np.array_equal(a, b)


def test_the_seed_decides() -> None:
    for kind in OWNERS:
        first, same, other = (drawn_by(fleet_of(30, seed=seed), kind) for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
        assert not np.array_equal(first[0], other[0])


def test_a_household_draws_what_its_devices_draw() -> None:
    fleet = fleet_of(10)
    state = after(fleet, 26)
    powers = fleet.uncontrolled_kw(state, 26)
    by_hand, kvar = np.zeros(10), np.zeros(10)
    for group, power in zip(fleet.groups, powers, strict=True):
        for row, p_kw in zip(group.household, power.tolist(), strict=True):
            by_hand[row] += p_kw
            kvar[row] += p_kw * np.sqrt(1.0 / group.power_factor**2 - 1.0)
    assert by_hand.max() > 0.0
    np.testing.assert_allclose(fleet.flex_kw(powers), by_hand, rtol=1e-12)
    np.testing.assert_allclose(fleet.flex_kvar(powers), kvar, rtol=1e-12)


def test_reactive_power_follows_the_power_factor() -> None:
    group = replace(fleet_of(10).groups[0], power_factor=0.8)
    assert group.kvar_per_kw == pytest.approx(0.75)  # the 3-4-5 triangle
    assert replace(group, power_factor=1.0).kvar_per_kw == 0.0


def test_reactive_power_is_inductive_whichever_way_energy_flows() -> None:
    fleet = fleet_of(10)
    powers = tuple(torch.linspace(-3.0, 3.0, g.household.size).double() for g in fleet.groups)
    ahead, back = fleet.flex_kvar(powers), fleet.flex_kvar(tuple(-p for p in powers))
    assert (ahead > 0.0).any()
    np.testing.assert_allclose(back, ahead)


@pytest.mark.parametrize(
    ("population", "given", "expected"),
    [
        (DeferrablePopulation(), None, 0.95),
        (BatteryPopulation(), None, 1.0),
        (V2GPopulation(), None, 1.0),
        (PvPopulation(), None, 1.0),
        (PvPopulation(), 0.9, 0.9),
        (DeferrablePopulation(), 0.99, 0.99),
    ],
)
def test_a_kind_has_a_usual_power_factor(population: Any, given: float | None, expected: float) -> None:
    assert Ownership(population, 1.0, given).usual_power_factor == expected


def rows_of_kind(fleet: Fleet, kind: str) -> set[int]:
    return {int(row) for group in fleet.groups if group.kind == kind for row in group.household}


@pytest.mark.parametrize(("share", "both"), [(0.3, 0), (0.5, 0), (0.8, 12)])
def test_a_home_has_two_cars_only_where_there_are_more_cars_than_homes(share: float, both: int) -> None:
    cars = {"electric_vehicle": Ownership(VehiclePopulation(), 0.5)}
    two_way = {"v2g_vehicle": Ownership(V2GPopulation(), share)}
    fleet = fleet_of(40, ownership=two_way | cars)
    some, others = rows_of_kind(fleet, "v2g_vehicle"), rows_of_kind(fleet, "electric_vehicle")
    assert len(some) == round(40 * share)
    assert len(some & others) == both
    assert others == rows_of_kind(fleet_of(40, ownership=cars), "electric_vehicle")


def test_photovoltaics_ask_for_a_sky() -> None:
    with pytest.raises(ProfileError, match="no irradiance"):
        fleet_of(10, ownership={"pv": Ownership(PvPopulation(), 0.5)})


def test_a_fleet_step_is_every_groups_step() -> None:
    fleet = fleet_of(10)
    state = after(fleet, 26)
    powers = fleet.uncontrolled_kw(state, 26)
    later, outputs = fleet.step(state, powers, 26)
    for k, group in enumerate(fleet.groups):
        alone, out = group.device.step(state.devices[k], powers[k], group.drive.at(26))
        assert all(map(torch.equal, alone, later.devices[k]))
        torch.testing.assert_close(out, outputs[k], rtol=0.0, atol=0.0, equal_nan=True)
        price = torch.full((group.household.size,), fleet.final_energy_price_eur_per_kwh, dtype=torch.float64)
        left = group.device.terminal_cost_eur(alone, group.drive.at(26), price)
        assert torch.equal(fleet.terminal_cost_eur(later, 26)[k], left)


def test_what_is_owed_at_the_end_is_worth_the_tariff_of_the_day_after() -> None:
    fleet = fleet_of(10)
    dear, cheap = (
        replace(fleet, tariff_eur_per_kwh=np.repeat([0.3, 0.1 + extra, 0.1 - extra], [48, 48, 48]))
        for extra in (0.5, 0.05)
    )
    assert dear.final_energy_price_eur_per_kwh == pytest.approx(0.1)  # the mean counts, not the order
    state, step = after(fleet, 47), 47
    for owed, same in zip(
        dear.terminal_cost_eur(state, step), cheap.terminal_cost_eur(state, step), strict=True
    ):
        torch.testing.assert_close(owed, same)
    for group, k in zip(fleet.groups, range(3), strict=True):
        price = torch.full((group.household.size,), 0.1, dtype=torch.float64)
        by_hand = group.device.terminal_cost_eur(state.devices[k], group.drive.at(step), price)
        torch.testing.assert_close(dear.terminal_cost_eur(state, step)[k], by_hand)
        assert not torch.allclose(fleet.terminal_cost_eur(state, step)[k], by_hand)  # at 0.3


def test_without_energy_only_delay_discomfort_and_undelivered_energy_are_left_at_the_end() -> None:
    fleet = fleet_of(10)
    state, step = after(fleet, 47), 47
    for group, owed, all_of_it, without in zip(
        fleet.groups,
        state.devices,
        fleet.terminal_cost_eur(state, step),
        fleet.terminal_cost_without_energy_eur(state, step),
        strict=True,
    ):
        free = torch.zeros(group.household.size, dtype=torch.float64)
        assert torch.equal(without, group.device.terminal_cost_eur(owed, group.drive.at(step), free))
        assert (without >= 0.0).all()
        assert not torch.allclose(without, all_of_it)


def test_homes_see_the_tariff_of_each_step_and_the_coming_day() -> None:
    prices = np.random.default_rng(0).uniform(-0.1, 0.5, 48 + 96)
    fleet = replace(fleet_of(3), tariff_eur_per_kwh=prices)
    seen = fleet.tariff_view
    assert seen.floor.shape == (48, 1)
    assert seen.floor[40, 0] == prices[40:136].min()
    np.testing.assert_allclose(seen.floor[:, 0] + seen.premium[:, 0], prices[:48])
