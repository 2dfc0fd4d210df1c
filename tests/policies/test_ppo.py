"""PPO on the toy device: the same contract as training through the dynamics, without using them."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from grid_cosim.cli import app
from grid_cosim.devices import Outputs
from grid_cosim.policies import ppo
from grid_cosim.policies.checkpoint import load_policy, policy_features, save_policy
from grid_cosim.policies.episode import draw_episode, rollout_cost
from grid_cosim.policies.household_game import HouseholdGame
from grid_cosim.policies.network import PriceMonotoneNetwork, opened
from grid_cosim.policies.ppo import train_ppo
from grid_cosim.policies.recipe import PpoSettings, Recipe, RecipeError, load_recipe
from grid_cosim.policies.training import TrainingError, episode_loss, sample_weight
from grid_cosim.policies.view import VIEW_NAMES
from tests.devices.toy import PoolPump
from tests.policies.comparing import StopError, same, stop_after, weights

TOY = "tests.devices.toy:PoolPumpPopulation"
SHORT = Recipe(
    TOY,
    method="ppo",
    updates=4,
    devices_per_update=8,
    hours=12.0,
    dt_h=1.0,
    hidden=(8,),
    n_ramps=6,
    ppo=PpoSettings(minibatch=32, critic_hidden=(8,)),
)

FEATURES = ("needed", "left", "hour_sin", "hour_cos", *VIEW_NAMES)


def test_it_makes_episodes_cheaper_and_never_differentiates_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = replace(
        SHORT,
        updates=30,
        devices_per_update=256,
        hours=24.0,
        learning_rate=2e-2,
        energy_price_eur_per_kwh=0.01,
        ppo=PpoSettings(minibatch=512, critic_hidden=(32,)),
    )

    def loss_of(network: PriceMonotoneNetwork) -> float:
        generator = torch.Generator().manual_seed(99)
        return episode_loss(network, replace(recipe, devices_per_update=256), generator).item()

    torch.manual_seed(recipe.seed)
    features = policy_features(draw_episode(recipe, torch.Generator()).device)
    untrained = loss_of(PriceMonotoneNetwork(recipe.network(features)).requires_grad_(False))

    honest = PoolPump.step

    def foreign(self: PoolPump, state: object, p_kw: Tensor, inputs: object) -> tuple[object, Outputs]:
        return honest(self, state, torch.from_numpy(p_kw.numpy()), inputs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(PoolPump, "step", foreign)  # numpy refuses what has a gradient
        policy = train_ppo(recipe)
    # most of what an episode costs cannot be helped: 0.92 of it remains with torch 2.13
    assert loss_of(policy.network) < 0.96 * untrained


def test_what_is_learned_from_is_what_the_episode_costs() -> None:
    """Charging the final state as it changes takes nothing off an episode's cost but what it began with."""
    torch.manual_seed(0)
    learner = ppo._Learner(SHORT, FEATURES)
    learner.reward_scale.fill_(1.0)
    learner.log_spread.data.fill_(-20.0)  # no exploring to speak of
    far = replace(SHORT, ppo=replace(SHORT.ppo, gae_lambda=1.0))  # a target is then all that follows
    experience, cost = ppo._experience(learner, far, torch.Generator().manual_seed(3), None)

    episode = draw_episode(SHORT, torch.Generator().manual_seed(3))
    game, weight = HouseholdGame(episode), sample_weight(SHORT, episode)
    expected = rollout_cost(learner.network.requires_grad_(False), episode)
    assert cost == pytest.approx((weight * expected).mean().item(), rel=1e-5)  # single precision
    first = experience.reshape(8, 12)[:, 0]["value_target"][:, 0]
    begun_with = game.final_cost_eur(game.init(), 0)
    torch.testing.assert_close(first, weight * (begun_with - expected), rtol=1e-4, atol=1e-5)


def test_exploring_stays_about_what_the_network_answers() -> None:
    torch.manual_seed(0)
    learner = ppo._Learner(SHORT, FEATURES)
    seen, price = torch.randn(50, len(FEATURES)), torch.rand(50, 1)
    with torch.no_grad():
        mean, spread = learner(seen, price)
        answer = learner.network(seen).fraction(price[:, 0])
    torch.testing.assert_close(opened(mean[:, 0]), answer)
    torch.testing.assert_close(spread, torch.full((50, 1), SHORT.ppo.exploration))


def test_the_seed_decides_and_nothing_outside_does() -> None:
    torch.manual_seed(1)
    first = train_ppo(SHORT)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = train_ppo(SHORT)
    assert torch.equal(torch.random.get_rng_state(), state), "training disturbed the global generator"
    assert same(first, second)
    assert not same(first, train_ppo(replace(SHORT, seed=1)))


def test_an_interrupted_training_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ppo, "_SAVE_EVERY", 2)
    state = tmp_path / "toy.state"
    with pytest.raises(StopError):
        train_ppo(SHORT, state_path=state, progress=stop_after(3))
    seen: list[tuple[int, int]] = []
    resumed = train_ppo(SHORT, state_path=state, progress=lambda done, of, loss: seen.append((done, of)))
    assert seen == [(3, 4), (4, 4)]
    assert same(resumed, train_ppo(SHORT))
    again = train_ppo(SHORT, state_path=state, progress=lambda *_: pytest.fail("all updates are done"))
    assert same(again, resumed)


def test_one_device_is_enough_to_learn_from() -> None:
    policy = train_ppo(replace(SHORT, updates=2, devices_per_update=1))
    assert all(weight.isfinite().all() for weight in weights(policy))


def test_prices_that_a_recipe_names_must_be_given() -> None:
    with pytest.raises(RecipeError, match="no prices are given"):
        train_ppo(replace(SHORT, recorded_prices="prices.safetensors"))


def test_the_benchmark_holds_it_against_what_ships(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(__file__).parents[2] / "benchmarks" / "ppo.py"
    names = runpy.run_path(str(file))
    short = ["time.hours=3", "feeder.source=schutterwald:0", "controllers=['consensus', 'optimum']"]
    names["main"].__globals__.update(DEVICES_PER_UPDATE=2, EVALUATED=64, OVERRIDES=short)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    names["main"](1, ["deferrable"])
    head, _, row = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()
    )
    measured = dict(zip(head, row, strict=True))
    assert measured["device"] == "deferrable"
    assert 0.0 < float(measured["shipped"]) < float(measured["uncontrolled"]) < float(measured["PPO"])
    assert float(measured["of its savings"].removesuffix(" %")) < 0.0  # a single update of two devices
    assert all(0.0 < float(measured[f"gap, {who}"].removesuffix(" %")) < 100.0 for who in ("PPO", "shipped"))


def test_a_training_that_goes_astray_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = PoolPump.step

    def astray(self: PoolPump, *given: object) -> tuple[object, Outputs]:
        state, out = honest(self, *given)  # type: ignore[arg-type]
        return state, out._replace(cost_eur=out.served_kwh / 0.0)

    monkeypatch.setattr(PoolPump, "step", astray)
    with pytest.raises(TrainingError, match="went astray in update 1"):
        train_ppo(SHORT)


def test_its_checkpoint_is_any_policys(tmp_path: Path) -> None:
    path = tmp_path / "pool_pump.safetensors"
    save_policy(train_ppo(SHORT), path)
    device = draw_episode(SHORT, torch.Generator()).device
    policy = load_policy(path, kind="pool_pump", feature_names=policy_features(device))
    assert policy.recipe == SHORT.as_dict()
    assert policy.recipe["method"] == "ppo"
    features = torch.randn(20, len(policy.feature_names), generator=torch.Generator().manual_seed(1))
    prices = torch.linspace(0.0, 4.0, 60).expand(20, 60)
    fraction = policy.network(features).fraction(prices)
    assert (fraction.diff(dim=1) <= 0.0).all()
    assert (fraction[:, -1] == 0.0).all()


def test_a_recipe_says_how_it_learns(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(f'device = "{TOY}"\nmethod = "ppo"\n[ppo]\nclip = 0.1\ncritic_hidden = [16]\n', "utf-8")
    recipe = load_recipe(path)
    assert recipe == Recipe(TOY, method="ppo", ppo=PpoSettings(clip=0.1, critic_hidden=(16,)))
    assert recipe.as_dict()["ppo"]["critic_hidden"] == [16]
    assert "ppo" not in replace(recipe, method="dynamics").as_dict()


def test_wrong_settings_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'device = "{TOY}"\nmethod = "pro"\n[ppo]\nclip = 2\nepochs = 0\nlamda = 1\n', encoding="utf-8"
    )
    with pytest.raises(RecipeError) as refusal:
        load_recipe(path)
    assert str(refusal.value) == (
        f"Recipe {path}: "
        "method: got 'pro', expected 'dynamics' or 'ppo'; "
        "ppo.clip: got 2, expected a number above 0, at most 1; "
        "ppo.epochs: got 0, expected a whole number of at least 1; "
        "ppo.lamda: no such setting. Did you mean 'gae_lambda'?"
    )


def test_the_command_trains_by_the_method_of_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "pump.toml"
    settings = "updates = 1\ndevices_per_update = 4\nhours = 6\ndt_h = 1\nhidden = [8]\n"
    path.write_text(f'device = "{TOY}"\nmethod = "ppo"\n{settings}', encoding="utf-8")
    shown = CliRunner().invoke(app, ["train", str(path)])
    assert shown.exit_code == 0, shown.stderr
    device = draw_episode(load_recipe(path), torch.Generator()).device
    checkpoint = path.with_suffix(".safetensors")
    policy = load_policy(checkpoint, kind="pool_pump", feature_names=policy_features(device))
    assert policy.recipe["method"] == "ppo"

    refused = CliRunner().invoke(app, ["train", str(path), "--homes", "cold_evening.toml"])
    assert refused.exit_code == 2
    assert "method: got 'ppo', expected 'dynamics' with --homes" in " ".join(refused.stderr.split())
