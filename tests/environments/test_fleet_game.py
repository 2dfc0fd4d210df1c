"""The game over arrays: what it tells, what it charges, and that nobody's row depends on anybody else's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from grid_cosim.environments.core import Carefree, FleetGame, GameError, play, side_by_side
from grid_cosim.environments.villages import Village
from grid_cosim.fleet import Fleet
from tests.neighbours import fleet_of

N, N_STEPS = 6, 20


def game_of(fleet: Fleet, limit_kw: float = 5.0) -> FleetGame:
    """Two limits: the first half of the homes, and all of them."""
    coupling = np.ones((2, fleet.n_households))
    coupling[0, fleet.n_households // 2 :] = 0.0
    return FleetGame(fleet, csr_array(coupling), np.full((fleet.n_steps, 2), limit_kw))


@pytest.fixture
def game() -> FleetGame:
    return game_of(fleet_of(N, n_steps=N_STEPS))


def test_a_household_sees_its_own_devices_and_zeros_for_what_it_lacks(game: FleetGame) -> None:
    state, step = game.init(), 0
    seen = dict(zip(game.feature_names, game.observe(state, step).T, strict=True))
    assert torch.equal(seen["base_kw"], torch.as_tensor(game.fleet.base_kw[step]).float())
    for group, devices in zip(game.fleet.groups, state.devices, strict=True):
        owns = torch.zeros(N)
        owns[group.household] = 1.0
        assert torch.equal(seen[group.kind], owns)
        shown = group.device.observe(devices, group.drive.at(step)).float()
        for column, name in enumerate(group.device.feature_names):
            assert torch.equal(seen[f"{group.kind}.{name}"][group.household], shown[:, column])
            assert not seen[f"{group.kind}.{name}"][owns == 0].any()


def test_a_household_sees_the_tariff_of_the_coming_day() -> None:
    fleet = fleet_of(N, n_steps=N_STEPS)
    dear = fleet.tariff_eur_per_kwh.copy()
    dear[10:34] += 0.2  # 6 of the 24 h from step 8 on, 5.5 h of which are among the next 6
    game = game_of(replace(fleet, tariff_eur_per_kwh=dear))
    assert game.feature_names[1:4] == ("premium", "premium_6h", "premium_24h")
    for step, expected in {
        8: (0.0, 0.2 * 22 / 24, 0.2 * 24 / 96),
        12: (0.2, 0.2 * 22 / 24, 0.2 * 22 / 96),
    }.items():
        seen = game.observe(game.init(), step)[0, 1:4]
        torch.testing.assert_close(seen, torch.tensor(expected), rtol=1e-6, atol=1e-6)  # single precision


def test_an_action_is_a_share_of_every_devices_range(game: FleetGame) -> None:
    state = game.init()
    fraction = torch.rand(N, len(game.kinds), generator=torch.Generator().manual_seed(0))
    for column, (group, devices, power) in enumerate(
        zip(game.fleet.groups, state.devices, game.powers_kw(state, fraction, 0), strict=True)
    ):
        low, high = group.device.bounds(devices, group.drive.at(0))
        share = fraction[torch.as_tensor(group.household), column].double()
        torch.testing.assert_close(power, low + share * (high - low))


def test_the_costs_of_an_episode_are_the_fleets(game: FleetGame) -> None:
    fleet, state = game.fleet, game.fleet.init()
    by_hand = np.zeros(N)
    for step in range(N_STEPS):
        state = fleet.receive(state, step)
        powers = fleet.uncontrolled_kw(state, step)
        state, outputs = fleet.step(state, powers, step)
        by_hand += fleet.tariff_eur_per_kwh[step] * (fleet.base_kw[step] + fleet.flex_kw(powers)) * fleet.dt_h
        for group, out in zip(fleet.groups, outputs, strict=True):
            by_hand[group.household] += out.cost_eur.numpy()
    for group, left in zip(fleet.groups, fleet.terminal_cost_eur(state, N_STEPS - 1), strict=True):
        by_hand[group.household] += left.numpy()

    state, played = game.init(), np.zeros(N)
    for step in range(N_STEPS):
        state, move = game.step(state, fleet.uncontrolled_kw(state, step), step)
        played += move.cost_eur
    np.testing.assert_allclose(played, by_hand, rtol=1e-12)
    per_day = by_hand.sum() / N * 24.0 / (N_STEPS * fleet.dt_h)
    assert play(game, Carefree()).cost_eur == pytest.approx(per_day, rel=1e-12)


def test_what_is_above_a_limit_is_told_and_costs_nothing(game: FleetGame) -> None:
    state = game.init()
    powers = game.fleet.uncontrolled_kw(state, 0)
    _, move = game.step(state, powers, 0)
    half_kw, all_kw = move.p_kw[: N // 2].sum(), move.p_kw.sum()
    assert all_kw > 5.0
    np.testing.assert_allclose(move.excess_kw, [max(half_kw - 5.0, 0.0), all_kw - 5.0])
    roomy = game_of(game.fleet, limit_kw=1e3)
    _, free = roomy.step(state, powers, 0)
    assert not free.excess_kw.any()
    np.testing.assert_array_equal(free.cost_eur, move.cost_eur)


def test_summaries_are_per_home_and_day(game: FleetGame) -> None:
    played = play(game, Carefree())
    energy = 0.0
    state = game.init()
    excess = 0.0
    for step in range(N_STEPS):
        state, move = game.step(state, game.fleet.uncontrolled_kw(state, step), step)
        energy += move.p_kw.sum() * 0.25
        excess += move.excess_kw.sum() * 0.25
    days = N_STEPS * 0.25 / 24.0
    assert played.energy_kwh == pytest.approx(energy / N / days)
    assert played.excess_kwh == pytest.approx(excess / N / days)
    assert played.excess_percent == pytest.approx(100.0 * excess / energy)


def test_parts_that_do_not_fit_are_refused(game: FleetGame) -> None:
    with pytest.raises(GameError, match="columns of coupling: got 3, expected 6"):
        FleetGame(game.fleet, csr_array(np.ones((1, 3))), game.limit_kw[:, :1])
    with pytest.raises(GameError, match=r"shape of limit_kw: got \(20, 2\), expected \(20, 1\)"):
        FleetGame(game.fleet, csr_array(np.ones((1, N))), game.limit_kw)
    with pytest.raises(GameError, match=r"shape of the actions: got \(6, 1\), expected \(6, 3\)"):
        game.powers_kw(game.init(), torch.zeros(N, 1), 0)


def test_villages_side_by_side_share_no_limit() -> None:
    coupling = side_by_side(csr_array(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])), 2).toarray()
    np.testing.assert_array_equal(coupling[2:, 3:], coupling[:2, :3])
    assert not coupling[:2, 3:].any()
    assert not coupling[2:, :3].any()


def test_every_village_has_its_share_of_owners() -> None:
    village = Village(5, hours=2.0)
    game = village.draw(4, seed=3)
    assert game.limit_kw.shape == (8, 4)
    for group in game.fleet.groups:
        owners = np.bincount(group.household // 5, minlength=4)
        np.testing.assert_array_equal(owners, round(village.shares[group.kind] * 5))
        assert len({tuple(group.household[group.household // 5 == k] % 5) for k in range(4)}) > 1
    assert not np.array_equal(game.fleet.base_kw, village.draw(4, seed=4).fleet.base_kw)
    np.testing.assert_array_equal(game.fleet.base_kw, village.draw(4, seed=3).fleet.base_kw)
