"""Private policies: homes that learn side by side and alone, and the one file that holds them all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

from grid_cosim.assembly import assemble, scenario_feeder, scenario_fleet
from grid_cosim.cli import app
from grid_cosim.devices.device import rows_of, to_dtype
from grid_cosim.policies import checkpoint, private_training
from grid_cosim.policies.checkpoint import (
    Policy,
    PolicyError,
    load_policy,
    of_homes,
    policy_features,
    read_tensors,
    save_policy,
)
from grid_cosim.policies.episode import draw_episode, rollout_cost
from grid_cosim.policies.network import NetworkConfig, PriceMonotoneNetwork, Response
from grid_cosim.policies.private import PrivateNetworks, device_parameters
from grid_cosim.policies.private_training import train_private
from grid_cosim.policies.recipe import PrivateSettings, Recipe, RecipeError
from grid_cosim.policies.training import TrainingError, fresh_network, sample_weight
from grid_cosim.scenario import load_scenario
from tests.devices.toy import PoolPump, PoolPumpPopulation
from tests.policies.comparing import StopError, stop_after

SMALL = PrivateSettings(updates=5, episodes_per_update=3, hours=6.0, hidden=(8,), learning_rate=1e-2)
RECIPE = Recipe(
    "tests.devices.toy:PoolPumpPopulation", dt_h=1.0, n_ramps=6, energy_price_eur_per_kwh=0.01, private=SMALL
).for_homes({})
HOMES = ("Ash", "Birch", "Cedar", "Dogwood", "Elm")
PUMPS = PoolPumpPopulation().sample(5, dt_h=1.0, generator=torch.Generator().manual_seed(3))
FEATURES = policy_features(PUMPS)


@pytest.fixture(autouse=True)
def two_homes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three batches: Ash and Birch, Cedar and Dogwood, Elm."""
    monkeypatch.setattr(private_training, "HOMES_AT_ONCE", 2)


def some(*rows: int) -> PoolPump:
    return rows_of(PUMPS, torch.tensor(rows), 5)


def weights(policy: Policy, *rows: int) -> list[Tensor]:
    return [t[list(rows)] for t in policy.network.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def answers(response: Response) -> Tensor:
    return response.fraction(torch.tensor([[0.0, 0.02, 0.4]]).expand(len(response.base), 3))


def five_networks() -> PrivateNetworks:
    """Each with other weights."""
    torch.manual_seed(0)
    networks = PrivateNetworks(
        PriceMonotoneNetwork(NetworkConfig(len(FEATURES), hidden=(8, 6))), device_parameters(PUMPS)
    )
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape))
    return networks.requires_grad_(False)


@pytest.fixture(scope="module")
def trained() -> Policy:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_training, "HOMES_AT_ONCE", 2)
        return train_private(RECIPE, PUMPS, HOMES)


@pytest.fixture
def path(trained: Policy, tmp_path: Path) -> Path:
    path = tmp_path / "private.safetensors"
    save_policy(trained, path)
    return path


def loaded(path: Path) -> Policy:
    return load_policy(path, kind="pool_pump", feature_names=FEATURES)


# --- the networks


def test_all_homes_answer_together_as_each_does_alone() -> None:
    networks, features = five_networks(), torch.randn(5, len(FEATURES))
    together = answers(networks(features))
    alone = torch.cat([answers(networks.of_home(k)(features[k : k + 1])) for k in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)  # summed in another order
    assert (together[0] - together[1:]).abs().max() > 1e-2


def test_several_rows_of_a_home_stand_together() -> None:
    networks, features = five_networks(), torch.randn(10, len(FEATURES))
    together = answers(networks(features))
    alone = torch.cat([answers(networks.of_home(k)(features[2 * k : 2 * k + 2])) for k in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_parts_join_to_the_whole() -> None:
    whole = five_networks()
    parts = [whole.of_homes(torch.tensor([0, 1, 2])), whole.of_homes(torch.tensor([3, 4]))]
    joined = PrivateNetworks.joined(parts)
    assert same(list(joined.state_dict().values()), list(whole.state_dict().values()))


# --- the training


def test_a_home_learns_the_same_whoever_trains_beside_it(trained: Policy) -> None:
    with_elm = train_private(RECIPE, some(0, 4), ("Ash", "Elm"))
    assert same(weights(with_elm, 0), weights(trained, 0))
    assert not same(weights(with_elm, 1), weights(trained, 1))


def test_a_home_learns_the_same_however_many_there_are(trained: Policy) -> None:
    first_three = train_private(RECIPE, some(0, 1, 2), HOMES[:3])
    assert same(weights(first_three, 0, 1), weights(trained, 0, 1))
    for one_alone, beside_another in zip(weights(first_three, 2), weights(trained, 2), strict=True):
        torch.testing.assert_close(one_alone, beside_another, rtol=1e-5, atol=1e-6)  # summed in another order


def test_threads_change_nothing_and_the_global_generator_stays(trained: Policy) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert same(
        weights(train_private(RECIPE, PUMPS, HOMES, threads=3), 0, 1, 2, 3, 4),
        weights(trained, 0, 1, 2, 3, 4),
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not same(
        weights(train_private(replace(RECIPE, seed=1), some(0), HOMES[:1]), 0), weights(trained, 0)
    )


def test_training_makes_every_homes_days_cheaper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_training, "HOMES_AT_ONCE", 5)
    recipe = replace(RECIPE, updates=40, devices_per_update=32, hours=12.0, learning_rate=3e-2)
    days = replace(recipe, hours=24.0)
    device = to_dtype(rows_of(PUMPS, torch.arange(5).repeat_interleave(16), 5), torch.float32)
    some_hours = [torch.Generator().manual_seed(99 + k) for k in range(8)]
    episodes = [draw_episode(days, generator, device=device) for generator in some_hours]

    def cost_of(network: PrivateNetworks | PriceMonotoneNetwork) -> Tensor:
        with torch.no_grad():
            costs = [sample_weight(days, episode) * rollout_cost(network, episode) for episode in episodes]
        return torch.stack(costs).mean(0).view(5, 16).mean(1)

    after = cost_of(train_private(recipe, PUMPS, HOMES).network)
    before = cost_of(fresh_network(recipe, FEATURES))
    assert (after < 0.9 * before).all()  # 0.84 to 0.86 with torch 2.13


def test_a_steep_home_is_cut_alone() -> None:
    networks = five_networks().requires_grad_(True)
    for size, parameter in zip((3.0, 4.0, 0.0, 0.0, 0.0, 0.0), networks.parameters(), strict=True):
        parameter.grad = torch.zeros_like(parameter)
        parameter.grad.view(5, -1)[:, 0] = size * torch.tensor([1.0, 0.1, 0.0, 2.0, 0.2])
    norm = private_training._clip_gradients(networks)
    torch.testing.assert_close(norm, torch.tensor([5.0, 0.5, 0.0, 10.0, 1.0]))
    after = torch.cat([p.grad.flatten(1) for p in networks.parameters() if p.grad is not None], dim=1)
    expected = torch.tensor([1.0, 0.5, 0.0, 1.0, 1.0])
    torch.testing.assert_close(after.norm(dim=1), expected, rtol=1e-5, atol=1e-6)  # 1e-6 keeps it from 0 / 0


def test_homes_may_begin_with_the_shared_policy() -> None:
    network = fresh_network(replace(RECIPE, hidden=(5,), seed=7), FEATURES)
    shared = Policy("pool_pump", FEATURES, network, {}, {})
    begun = train_private(replace(RECIPE, updates=1, learning_rate=1e-12), PUMPS, HOMES, begin=shared)
    assert begun.network.config == shared.network.config
    for name, tensor in shared.network.state_dict().items():
        torch.testing.assert_close(begun.network.state_dict()[name], tensor.expand(5, *tensor.shape))
    assert begun.recipe["hidden"] == [5]


def test_a_training_that_goes_astray_stops() -> None:
    with pytest.raises(TrainingError, match=r"went astray in update 1: "):
        train_private(RECIPE, replace(PUMPS, unserved_cost_eur_per_kwh=torch.inf), HOMES, threads=2)


def test_a_failing_batch_stops_the_others() -> None:
    """Cedar and Dogwood fail at once; Ash and Birch, who train beside them, do not go on to the end."""
    daily_kwh = PUMPS.daily_kwh.clone()
    daily_kwh[2] = torch.inf
    told: list[int] = []
    with pytest.raises(TrainingError):
        train_private(
            replace(RECIPE, updates=400),
            replace(PUMPS, daily_kwh=daily_kwh),
            HOMES,
            threads=2,
            progress=lambda done, of, loss: told.append(done),
        )
    assert len(told) < 200


def a_batch(homes: PoolPump, state: Path | None = None, recipe: Recipe = RECIPE) -> private_training._Batch:
    device = to_dtype(homes, torch.float32)
    return private_training._Batch(number=0, recipe=recipe, device=device, recorded=None, state_path=state)


def test_what_is_learned_from_is_each_homes_weighted_cost() -> None:
    two, recipe = some(0, 1), replace(RECIPE, state_gradient_limit=torch.inf)
    torch.manual_seed(0)
    network = fresh_network(recipe, FEATURES)
    networks = PrivateNetworks(network, device_parameters(two)).requires_grad_(False)
    loss = a_batch(two, recipe=recipe)._loss(networks, torch.Generator().manual_seed(5))

    rows = torch.arange(2).repeat_interleave(recipe.devices_per_update)
    device = to_dtype(rows_of(two, rows, 2), torch.float32)
    episode = draw_episode(recipe, torch.Generator().manual_seed(5), device=device)
    cost = sample_weight(recipe, episode) * rollout_cost(network.requires_grad_(False), episode)
    assert cost.std() > 0.1 * cost.mean()
    torch.testing.assert_close(loss, cost.view(2, -1).mean(1), rtol=1e-5, atol=1e-6)  # summed otherwise


def test_a_home_whose_costs_explode_takes_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own gradient is cut, and nobody else's."""
    honest_loss, honest_step, norms = private_training._Batch._loss, torch.optim.Adam.step, list[Tensor]()

    def exploding(self: private_training._Batch, *given: Any) -> Tensor:
        return honest_loss(self, *given) * torch.tensor([1e6, 1.0])

    def watched(self: torch.optim.Adam, *given: Any) -> Any:
        of_homes = [p.grad.flatten(1) for group in self.param_groups for p in group["params"]]
        norms.append(torch.cat(of_homes, dim=1).norm(dim=1))
        return honest_step(self, *given)

    monkeypatch.setattr(private_training._Batch, "_loss", exploding)
    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    train_private(RECIPE, some(0, 1), HOMES[:2])
    assert len(norms) == RECIPE.updates
    torch.testing.assert_close(torch.stack(norms)[:, 0], torch.ones(RECIPE.updates), rtol=1e-4, atol=0.0)
    assert (torch.stack(norms)[:, 1] < 1.0 + 1e-4).all()  # single precision


def test_a_batch_that_is_stopped_keeps_all_its_updates(tmp_path: Path) -> None:
    """Also those since it was last written."""
    state, two = tmp_path / "pumps", some(0, 1)
    begin = fresh_network(RECIPE, FEATURES)
    a_batch(two, state).train(begin, lambda done, loss: done < 3)
    asked: list[int] = []

    def goes_on(done: int, loss: float | None) -> bool:
        asked.append(done)
        return True

    resumed = a_batch(two, state).train(begin, goes_on)
    assert asked == [3, 4, 5]
    whole = a_batch(two).train(begin, lambda done, loss: True)
    assert same(list(resumed.state_dict().values()), list(whole.state_dict().values()))


def test_prices_that_a_recipe_names_must_be_given() -> None:
    with pytest.raises(RecipeError, match="no prices are given"):
        train_private(replace(RECIPE, recorded_prices="prices.safetensors"), PUMPS, HOMES)


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first batch is done, the second was stopped in its third update; every second was kept."""
    monkeypatch.setattr(private_training, "_SAVE_EVERY", 2)
    state = tmp_path / "pumps.training"
    with pytest.raises(StopError):
        train_private(RECIPE, PUMPS, HOMES, state_path=state, progress=stop_after(8))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pumps.training-0", "pumps.training-1"]
    return state


def test_an_interrupted_training_goes_on_to_the_same_weights(trained: Policy, interrupted: Path) -> None:
    seen: list[tuple[int, int]] = []
    resumed = train_private(
        RECIPE, PUMPS, HOMES, state_path=interrupted, progress=lambda done, of, loss: seen.append((done, of))
    )
    # the first batch's five and the second's two are known
    assert seen == [(done, 15) for done in range(8, 16)]
    assert same(weights(resumed, 0, 1, 2, 3, 4), weights(trained, 0, 1, 2, 3, 4))


@pytest.mark.parametrize("rows", [(0, 4, 2), (0,)], ids=["another home", "fewer homes"])
def test_the_state_of_other_homes_is_refused(rows: tuple[int, ...], interrupted: Path) -> None:
    with pytest.raises(PolicyError) as refusal:
        train_private(RECIPE, some(*rows), [HOMES[row] for row in rows], state_path=interrupted)
    assert str(refusal.value) == (
        f"policy {interrupted}-0: an interrupted training of other homes lies here. "
        "Delete the file to start anew, or restore the scenario to go on."
    )


# --- the file


def test_a_file_holds_the_networks_of_all_homes(trained: Policy, path: Path) -> None:
    again = loaded(path)
    assert again.homes == HOMES
    assert (again.recipe, again.versions) == (trained.recipe, trained.versions)
    assert same(weights(again, 0, 1, 2, 3, 4), weights(trained, 0, 1, 2, 3, 4))
    assert not any(weights.requires_grad for weights in again.network.parameters())


def test_homes_get_their_own_networks_in_their_own_order(trained: Policy, path: Path) -> None:
    chosen = of_homes(loaded(path), ["Elm", "Birch"], some(4, 1), path)
    assert chosen.homes == ("Elm", "Birch")
    assert same(weights(chosen, 0, 1), weights(trained, 4, 1))


def test_one_network_serves_everybody_without_a_name(path: Path) -> None:
    shared = Policy("pool_pump", FEATURES, fresh_network(RECIPE, FEATURES), {}, {})
    assert of_homes(shared, ["Elm", "Nobody"], some(4, 0), path) is shared


REMEDY = "Train them for this scenario with `grid-cosim train RECIPE --homes SCENARIO`."


def test_a_home_without_a_policy_is_refused(path: Path) -> None:
    with pytest.raises(PolicyError) as refusal:
        of_homes(loaded(path), ["Elm", "Fir", "Gum", "Holly", "Ivy"], PUMPS, path)
    assert str(refusal.value) == (
        f"policy {path}: private policies, but none for Fir, Gum, Holly and 1 more. {REMEDY}"
    )


def test_a_home_with_another_device_is_refused(path: Path) -> None:
    with pytest.raises(PolicyError) as refusal:
        of_homes(loaded(path), ["Birch", "Cedar", "Elm"], some(1, 4, 2), path)
    assert str(refusal.value) == (
        f"policy {path}: trained for another device than that of Cedar, Elm. {REMEDY}"
    )


def test_devices_with_other_parameters_are_refused(path: Path) -> None:
    policy = loaded(path)
    assert isinstance(policy.network, PrivateNetworks)
    fewer = PrivateNetworks(policy.network.of_home(0), policy.network.device[:, 1:])
    with pytest.raises(PolicyError) as refusal:
        of_homes(replace(policy, network=fewer), HOMES, PUMPS, path)
    assert str(refusal.value) == f"policy {path}: trained for devices with other parameters. {REMEDY}"


def test_a_device_may_have_a_parameter_that_is_no_number(trained: Policy, path: Path) -> None:
    daily_kwh = PUMPS.daily_kwh.clone()
    daily_kwh[3] = torch.nan
    pumps = replace(PUMPS, daily_kwh=daily_kwh)
    assert isinstance(trained.network, PrivateNetworks)
    network = PrivateNetworks(trained.network.of_home(0), device_parameters(pumps)).requires_grad_(False)
    save_policy(replace(trained, network=network), path)
    assert of_homes(loaded(path), HOMES, pumps, path).homes == HOMES
    with pytest.raises(PolicyError, match="another device than that of Dogwood"):
        of_homes(loaded(path), HOMES, PUMPS, path)


def test_a_home_can_take_its_network_with_it(trained: Policy, path: Path) -> None:
    own = path.with_name("cedar.safetensors")
    assert isinstance(trained.network, PrivateNetworks)
    save_policy(replace(trained, network=trained.network.of_home(2), homes=()), own)
    assert own.stat().st_size < path.stat().st_size / 2
    features = torch.randn(5, len(FEATURES))
    alone = answers(loaded(own).network(features[2:3]))
    torch.testing.assert_close(alone, answers(trained.network(features))[2:3], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("damage", ["fewer homes", "no devices"])
def test_a_damaged_file_is_refused(damage: str, path: Path) -> None:
    metadata, tensors = read_tensors(path, remedy="")
    if damage == "no devices":
        del tensors["device"]
    else:
        tensors = {name: t[:3].clone() for name, t in tensors.items()}
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(
        PolicyError, match=r"(?s)weights do not fit \(.*\)\. The file is damaged; retrain it\."
    ):
        loaded(path)


# --- from a scenario


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Fifteen homes, five of them with a deferrable load; beside them a recipe that is soon done."""
    (tmp_path / "queue.toml").write_text(
        'device = "deferrable"\ndt_h = 1.0\n'
        "[private]\nupdates = 2\nepisodes_per_update = 2\nhours = 3\nhidden = [4]\n"
    )
    path = tmp_path / "street.toml"
    path.write_text(
        "[time]\nstart = 2016-01-04T17:00:00\nhours = 1\n"
        '[feeder]\nsource = "schutterwald:13"\n'
        "[devices.deferrable]\nshare = 0.33\npopulation = { jobs_per_day = 4.0 }\n"
    )
    return path


def told(*arguments: object) -> str:
    shown = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert shown.exit_code == (2 if "error: " in shown.stderr else 0), shown.output
    return " ".join((shown.output + shown.stderr).split())


def test_the_homes_of_a_scenario_train_and_run(street: Path) -> None:
    assert "Wrote" in told("train", street.with_name("queue.toml"), "--homes", street)
    written = street.with_name("street_queue.safetensors")
    scenario = load_scenario(street, [f"devices.deferrable.policy={written}"])
    feeder = scenario_feeder(scenario)
    fleet = scenario_fleet(scenario, feeder)
    policy = assemble(scenario, feeder, "consensus", fleet=fleet).policies["deferrable"]
    assert policy.homes == tuple(feeder.home_names[row] for row in fleet.groups[0].household)
    assert len(policy.homes) == 5
    assert policy.recipe["population"] == {"jobs_per_day": 4.0}
    with pytest.raises(PolicyError, match="private policies, but none for"):
        assemble(
            load_scenario(street, [f"devices.deferrable.policy={written}", "seed=2"]), feeder, "consensus"
        )
    assert {path.name for path in street.parent.iterdir()} == {"queue.toml", "street.toml", written.name}


def test_nothing_is_lost_where_the_policy_cannot_be_written(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    train = ["train", street.with_name("queue.toml"), "--homes", street]
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_policy", full)
        assert CliRunner().invoke(app, [str(part) for part in train]).exit_code == 1
    kept = {path.name for path in street.parent.glob("*.training*")}
    assert kept == {f"street_queue.safetensors.training-{k}" for k in range(3)}  # five homes, two at once
    assert "Going on with" in told(*train)
    assert list(street.parent.glob("*.training*")) == []


def test_homes_cannot_begin_with_the_policies_of_others(street: Path) -> None:
    recipe = street.with_name("queue.toml")
    told("train", recipe, "--homes", street, "--out", recipe.with_suffix(".safetensors"))
    recipe.write_text(recipe.read_text() + 'begin = "shared"\n')
    assert "wants one that serves everybody. Train it by the recipe without --homes" in told(
        "train", recipe, "--homes", street
    )


def test_a_scenario_without_such_homes_is_told(street: Path) -> None:
    message = told("train", "policies/heat_pump.toml", "--homes", street)
    assert "devices.heat_pump: no home has one; say so, with a share large enough" in message
    message = told(
        "train", street.with_name("queue.toml"), "--homes", street, "--set", "devices.deferrable.share=0"
    )
    assert "devices.deferrable: no home has one" in message
