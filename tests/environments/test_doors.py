"""The doors for other people's algorithms pass the tests that their own projects wrote."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test, parallel_seed_test
from scipy.sparse import csr_array

from grid_cosim.assembly import scenario_feeder
from grid_cosim.environments import fleet_env
from grid_cosim.environments.core import FleetGame, GameError
from grid_cosim.environments.fleet_env import FleetEnv
from grid_cosim.environments.household_env import HouseholdEnv
from grid_cosim.errors import MissingExtraError
from grid_cosim.fleet import Fleet
from grid_cosim.policies.episode import draw_episode, rollout_cost
from grid_cosim.policies.network import PriceMonotoneNetwork
from grid_cosim.policies.prices import RecordedPrices
from grid_cosim.policies.recipe import POPULATIONS, Recipe, RecipeError
from grid_cosim.scenario import load_scenario
from tests.neighbours import fleet_of

N, N_STEPS = 4, 12
LIMIT_KW = np.full((N_STEPS, 1), 5.0)
BEHIND = csr_array(np.ones((1, N)))
TOY = "tests.devices.toy:PoolPumpPopulation"


def fleet(seed: int) -> Fleet:
    return fleet_of(N, n_steps=N_STEPS, seed=seed)


def street() -> FleetEnv:
    return FleetEnv(fleet, BEHIND, LIMIT_KW)


def all_on(env: FleetEnv) -> dict[str, np.ndarray]:
    return {agent: np.ones(env.action_space(agent).shape, np.float32) for agent in env.agents}


def test_the_fleet_passes_pettingzoos_tests(capsys: pytest.CaptureFixture[str]) -> None:
    parallel_api_test(street(), num_cycles=2 * N_STEPS)
    parallel_seed_test(street, num_cycles=N_STEPS)
    assert "Passed Parallel API test" in capsys.readouterr().out


def test_the_fleets_dictionaries_are_the_games_arrays() -> None:
    env = street()
    seen, _ = env.reset(seed=5)
    game = env.game
    state = game.init()
    for step in range(N_STEPS):
        assert list(seen) == env.agents
        np.testing.assert_array_equal(np.stack(list(seen.values())), game.observe(state, step).numpy())
        seen, rewards, over, cut, infos = env.step(all_on(env))
        state, move = game.step(state, game.powers_kw(state, torch.ones(N, len(game.kinds)), step), step)
        np.testing.assert_array_equal(list(rewards.values()), -move.cost_eur)
        assert {info["excess_kw"] for info in infos.values()} == {move.excess_kw[0]}
        assert set(over.values()) == {step == N_STEPS - 1}
        assert not any(cut.values())
    assert env.agents == []


def test_a_household_hears_of_its_own_limits_only() -> None:
    env = FleetEnv(fleet, csr_array(np.diag([1.0] * N)[:2]), np.full((N_STEPS, 2), 0.01))
    env.reset(seed=0)
    infos = env.step(all_on(env))[-1]
    assert [info["excess_kw"] > 0.0 for info in infos.values()] == [True, True, False, False]


def test_the_state_holds_all_that_a_central_critic_needs() -> None:
    env = street()
    seen, _ = env.reset(seed=1)
    env.step(all_on(env))
    state = env.state()
    assert env.state_space.contains(state)
    own = len(env.game.feature_names)
    assert state.size == N * own + 2
    assert state[-2] == pytest.approx(5.0 / N)
    assert state[-1] == pytest.approx(1.0 - 1.0 / N_STEPS)
    assert not np.array_equal(state[:own], seen["home-0"])


def test_every_episode_is_another_fleet() -> None:
    env = street()
    first = env.reset(seed=2)[0]["home-0"]
    second = env.reset()[0]["home-0"]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, env.reset(seed=2)[0]["home-0"])


def test_a_scenario_is_a_fleet_behind_its_transformer() -> None:
    scenario = load_scenario("cold_evening.toml", ["time.hours=1", "feeder.source=schutterwald:12"])
    env = FleetEnv.from_scenario(scenario)
    env.reset(seed=0)
    assert isinstance(env.game, FleetGame)
    assert env.game.n_households == len(env.possible_agents) > 10
    assert set(env.game.kinds) == {"electric_vehicle", "heat_pump", "deferrable"}
    assert env.game.limit_kw.shape == (4, 1)
    assert env.game.coupling.sum() == env.game.n_households
    assert all(np.isfinite(list(env.step(all_on(env))[1].values())))


def test_what_other_loads_draw_is_off_the_limit_at_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the turn of the year: the series begins anew."""
    scenario = load_scenario("simbench_rural.toml", ["time.hours=1", "time.start=2016-12-31T23:30:00"])
    feeder, quarters = scenario_feeder(scenario), scenario.time.quarters()
    assert quarters[2:] == [0, 1]
    monkeypatch.setattr(fleet_env, "scenario_feeder", lambda _: feeder)  # it takes a while to load
    limit_kw = FleetEnv.from_scenario(scenario).game.limit_kw
    for row, quarter in zip(limit_kw, quarters, strict=True):
        left_kw = feeder.first_limit_kw() - feeder.background_on_limits_kw(quarter)
        np.testing.assert_array_equal(row, left_kw)
    assert len(np.unique(limit_kw)) == 4


def test_a_step_needs_an_episode() -> None:
    env = street()
    env.reset(seed=0)
    actions = all_on(env)
    for _ in range(N_STEPS):
        env.step(actions)
    for between_episodes in (env, street()):
        with pytest.raises(GameError) as refusal:
            between_episodes.step(actions)
        assert str(refusal.value) == "step: got no episode, expected one that has begun. Call reset first."


def test_an_action_is_one_number_per_kind_of_device() -> None:
    env = street()
    env.reset(seed=0)
    good = all_on(env)
    for bad, got in {(np.nan, 1, 1): r"\[nan +1\. +1\.\]", (1, 1): r"\[1\. 1\.\]", (): r"\[\]"}.items():
        with pytest.raises(GameError, match=rf"action of home-2: got {got}, expected 3 finite numbers\."):
            env.step({**good, "home-2": np.array(bad, dtype=float)})
    with pytest.raises(GameError, match=r"action of home-1: got None, expected 3 finite numbers\."):
        env.step({agent: action for agent, action in good.items() if agent != "home-1"})
    with pytest.raises(GameError, match=r"action of home-0: got \[1\.\], expected 3 finite numbers\."):
        env.step({agent: action[:1] for agent, action in good.items()})


@pytest.mark.parametrize("kind", [*POPULATIONS, TOY])
def test_a_household_passes_gymnasiums_test(kind: str) -> None:
    check_env(HouseholdEnv(Recipe(kind, hours=6.0, dt_h=1.0)), skip_render_check=True)


def test_a_households_return_is_what_its_episode_costs() -> None:
    recipe = Recipe("electric_vehicle", hours=24.0, dt_h=0.5, devices_per_update=1)
    env = HouseholdEnv(recipe)
    torch.manual_seed(0)
    network = PriceMonotoneNetwork(recipe.network(env.feature_names)).requires_grad_(False)
    seen, _ = env.reset(seed=8)
    total, over = 0.0, False
    while not over:
        price = torch.tensor([np.sinh(seen[-1]) * recipe.price_scale_eur_per_kwh], dtype=torch.float32)
        fraction = network(torch.from_numpy(seen[None, :-1])).fraction(price)
        seen, reward, over, cut, _ = env.step(fraction.numpy())
        total -= reward
        assert not cut
    number = int(np.random.default_rng(np.random.SeedSequence(8)).integers(2**31))  # as gymnasium draws
    episode = draw_episode(recipe, torch.Generator().manual_seed(number))
    expected = rollout_cost(network, episode)
    assert total == pytest.approx(expected.item(), rel=1e-4)  # single precision, price through asinh and back


def test_a_household_meets_the_prices_that_its_recipe_names() -> None:
    recipe = Recipe(TOY, hours=6.0, dt_h=1.0, recorded_prices="prices.safetensors", recorded_share=1.0)
    with pytest.raises(RecipeError, match="no prices are given"):
        HouseholdEnv(recipe)
    recorded = RecordedPrices(torch.full((96, 1), 100.0), start_hour=0.0, dt_h=1.0)
    seen, _ = HouseholdEnv(recipe, recorded=recorded).reset(seed=0)
    assert np.sinh(seen[-1]) * recipe.price_scale_eur_per_kwh > recipe.price_max_eur_per_kwh - 1e-3


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("environments.fleet_env", "pettingzoo"),
        ("environments.household_env", "gymnasium"),
        ("environments.mappo", "tensordict"),
        ("policies.ppo", "tensordict"),
    ],
)
def test_without_the_extra_one_message_names_it(
    module: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [missing, *(name for name in sys.modules if name.startswith(f"{missing}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"grid_cosim.{module}", raising=False)
    with pytest.raises(MissingExtraError) as refusal:
        importlib.import_module(f"grid_cosim.{module}")
    told = str(refusal.value)
    assert f"needs the package {missing}" in told
    assert told.endswith("which is not installed. Install it with: pip install 'grid-cosim[rl]'")
