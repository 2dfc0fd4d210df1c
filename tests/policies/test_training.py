"""Training on the toy device: what a user does with a device of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from grid_cosim.devices import Outputs
from grid_cosim.policies import training
from grid_cosim.policies.checkpoint import (
    PolicyError,
    load_policy,
    policy_features,
    read_tensors,
    save_policy,
)
from grid_cosim.policies.episode import draw_episode, rollout_cost
from grid_cosim.policies.network import PriceMonotoneNetwork
from grid_cosim.policies.prices import RecordedPrices
from grid_cosim.policies.private import PrivateNetworks, device_parameters
from grid_cosim.policies.recipe import Recipe, RecipeError
from grid_cosim.policies.training import TrainingError, episode_loss, fresh_network, train
from grid_cosim.policies.view import VIEW_NAMES
from tests.devices.episode import drawn
from tests.devices.toy import PoolPump
from tests.policies.comparing import StopError, same, stop_after
from tests.policies.flat import flat_episode

TOY = "tests.devices.toy:PoolPumpPopulation"
FEATURES = ("a", "b", "c", "d", *VIEW_NAMES)
SHORT = Recipe(TOY, updates=6, devices_per_update=8, hours=12.0, dt_h=1.0, hidden=(8,), n_ramps=6)


def test_training_makes_episodes_cheaper() -> None:
    recipe = replace(
        SHORT,
        updates=150,
        devices_per_update=64,
        hours=24.0,
        learning_rate=2e-2,
        energy_price_eur_per_kwh=0.01,
    )

    def loss_of(network: PriceMonotoneNetwork) -> float:
        generator = torch.Generator().manual_seed(99)
        return episode_loss(network, replace(recipe, devices_per_update=256), generator).item()

    torch.manual_seed(recipe.seed)
    untrained = PriceMonotoneNetwork(recipe.network(FEATURES)).requires_grad_(False)
    # most of what an episode costs cannot be helped: 0.94 of it remains with torch 2.13
    assert loss_of(train(recipe).network) < 0.97 * loss_of(untrained)


def test_levels_planned_for_an_episode_are_those_asked_for_step_by_step() -> None:
    recipe = Recipe("heat_pump", devices_per_update=5, hours=12.75, hidden=(8,), n_ramps=6)
    episode = draw_episode(recipe, torch.Generator().manual_seed(3))
    episode.price[-20:, 2] = 1.3 * recipe.price_max_eur_per_kwh
    networks = fresh_network(recipe, policy_features(episode.device))
    assert networks.config.levels
    private = PrivateNetworks(networks, device_parameters(episode.device))
    with torch.no_grad():
        for weights in private.parameters():
            weights.add_(0.3 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1)))
    for network in (networks, private):
        planned = rollout_cost(network, episode)
        asked = rollout_cost(lambda features, network=network: network(features), episode)
        torch.testing.assert_close(planned, asked, rtol=1e-5, atol=1e-5)


def test_the_cost_of_an_episode_is_energy_price_own_cost_and_what_is_left() -> None:
    population = SHORT.make_population()
    device, drive = drawn(population, n=3, n_steps=30, start_hour=6.0, dt_h=1.0)
    prices = 0.1 + torch.rand(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.manual_seed(0)
    episode = flat_episode(device, drive, prices, dt_h=1.0)
    network = PriceMonotoneNetwork(SHORT.network(FEATURES)).double()
    cost = rollout_cost(network, episode)

    state, by_hand = device.init(drive.at(0)), torch.zeros(3, dtype=torch.float64)
    for step in range(30):
        inputs = drive.at(step)
        state = device.receive(state, inputs)
        response = network(episode.features(step, state, inputs))
        p_kw = device.bounds(state, inputs)[1] * response.fraction(prices[step])
        state, out = device.step(state, p_kw, inputs)
        by_hand += out.cost_eur + (0.3 + prices[step]) * out.served_kwh
    by_hand += device.terminal_cost_eur(state, inputs, 0.3 + prices.mean(0))
    torch.testing.assert_close(cost, by_hand, rtol=1e-6, atol=0.0)  # summed in single precision there


def test_the_seed_decides_the_weights_and_nothing_outside_does() -> None:
    torch.manual_seed(1)
    first = train(SHORT)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = train(SHORT)
    assert torch.equal(torch.random.get_rng_state(), state), "training disturbed the global generator"
    assert same(first, second)
    assert not same(first, train(replace(SHORT, seed=1)))


def test_an_interrupted_training_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SAVE_EVERY", 2)
    state = tmp_path / "toy.state"
    with pytest.raises(StopError):
        train(SHORT, state_path=state, progress=stop_after(5))
    assert state.is_file()
    seen: list[tuple[int, int]] = []
    resumed = train(SHORT, state_path=state, progress=lambda done, of, loss: seen.append((done, of)))
    assert seen == [(5, 6), (6, 6)]  # from the state after four updates on
    assert same(resumed, train(SHORT))
    again = train(SHORT, state_path=state, progress=lambda *_: pytest.fail("all updates are done"))
    assert same(again, resumed)


def some_prices(level: float = 0.1) -> RecordedPrices:
    return RecordedPrices(torch.full((72, 2), level), start_hour=0.0, dt_h=1.0)


def test_a_training_does_not_go_on_with_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "toy.state"
    train(SHORT, state_path=state)
    with monkeypatch.context() as patched:
        patched.setattr(PoolPump, "feature_names", ("needed", "left", "sine", "cosine"))
        with pytest.raises(PolicyError) as refusal:
            train(SHORT, state_path=state)
    assert str(refusal.value) == (
        f"policy {state}: an interrupted training of another device lies here. "
        "Delete the file to start anew, or restore the device to go on."
    )
    metadata, tensors = read_tensors(state, remedy="")
    first = next(name for name in tensors if name.startswith("network."))
    save_file(tensors | {first: tensors[first][:1].clone()}, state, metadata=metadata)
    with pytest.raises(PolicyError, match=r"training of another device lies here\. Delete the file to start"):
        train(SHORT, state_path=state)


def test_a_training_does_not_go_on_with_other_prices(tmp_path: Path) -> None:
    state, recipe = tmp_path / "toy.state", replace(SHORT, recorded_prices="prices.safetensors")
    train(recipe, recorded=some_prices(), state_path=state)
    train(recipe, recorded=some_prices(), state_path=state)
    with pytest.raises(PolicyError) as refusal:
        train(recipe, recorded=some_prices(0.2), state_path=state)
    assert str(refusal.value) == (
        f"policy {state}: an interrupted training of other recorded prices lies here. "
        "Delete the file to start anew, or restore their file to go on."
    )


def test_prices_that_a_recipe_names_must_be_given() -> None:
    with pytest.raises(RecipeError) as refusal:
        train(replace(SHORT, recorded_prices="prices.safetensors"))
    assert str(refusal.value) == (
        "Recipe recorded_prices: 'prices.safetensors' is named, but no prices are given. Give recorded = "
        "load_recorded_prices(...) of that file, or a recipe that names none."
    )


def test_the_state_of_another_training_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SAVE_EVERY", 2)
    state = tmp_path / "toy.state"
    with pytest.raises(StopError):
        train(SHORT, state_path=state, progress=stop_after(3))
    kept = state.read_bytes()
    with pytest.raises(PolicyError) as refusal:
        train(replace(SHORT, seed=8), state_path=state)
    assert str(refusal.value) == (
        f"policy {state}: an interrupted training of another recipe lies here. "
        "Delete the file to start anew, or restore the recipe to go on."
    )
    assert state.read_bytes() == kept


def test_a_state_file_of_something_else_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "toy.state"
    state.write_text("no state")
    with pytest.raises(PolicyError, match=r"toy\.state: not a safetensors file \(.*\)\. Delete the file"):
        train(SHORT, state_path=state)
    save_file({"x": torch.zeros(1)}, state)
    with pytest.raises(PolicyError, match=r"toy\.state: an interrupted training of another recipe"):
        train(SHORT, state_path=state)


def test_a_training_that_goes_astray_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = PoolPump.step

    def astray(self: PoolPump, *given: object) -> tuple[object, Outputs]:
        state, out = honest(self, *given)  # type: ignore[arg-type]
        return state, out._replace(cost_eur=out.served_kwh / 0.0)

    monkeypatch.setattr(PoolPump, "step", astray)
    with pytest.raises(TrainingError, match=r"went astray in update 1: the loss is .* Lower learning_rate"):
        train(SHORT)


def test_a_trained_policy_of_ones_own_serves_its_device(tmp_path: Path) -> None:
    path = tmp_path / "pool_pump.safetensors"
    save_policy(train(SHORT), path)
    device, drive = drawn(SHORT.make_population(), n=4, n_steps=24, start_hour=0.0, dt_h=1.0)
    policy = load_policy(path, kind="pool_pump", feature_names=policy_features(device))
    assert policy.recipe == SHORT.as_dict()
    assert policy.versions.keys() == {"grid_cosim", "torch"}
    inputs = drive.at(0)
    episode = flat_episode(device, drive, torch.zeros(24, 4), dt_h=1.0)
    features = episode.features(0, device.receive(device.init(inputs), inputs), inputs).float()
    assert policy.network(features).fraction(torch.zeros(4)).shape == (4,)
