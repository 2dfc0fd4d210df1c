from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from grid_cosim.devices import DeferrablePopulation
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


def test_a_fleet_step_is_every_groups_step() -> None:
    fleet = fleet_of(10)
    state = after(fleet, 26)
    powers = fleet.uncontrolled_kw(state, 26)
    later, outputs = fleet.step(state, powers, 26)
    for k, group in enumerate(fleet.groups):
        alone, out = group.device.step(state.devices[k], powers[k], group.drive.at(26))
        assert all(map(torch.equal, alone, later.devices[k]))
        torch.testing.assert_close(out, outputs[k], rtol=0.0, atol=0.0, equal_nan=True)
        price = torch.full((group.household.size,), 0.3, dtype=torch.float64)
        left = group.device.terminal_cost_eur(alone, group.drive.at(26), price)
        assert torch.equal(fleet.terminal_cost_eur(later, 26, 0.3)[k], left)
