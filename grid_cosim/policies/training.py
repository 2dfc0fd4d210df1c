"""Training a policy: back-propagation through the device's dynamics, over sampled price processes.

For every update, fresh devices are drawn, each with its own weather, demand and price process; the
policy drives them through an episode, and what that costs (the device's own cost, energy, price,
and the value of the state at the end) is differentiated by the weights of the policy. Because the price
is part of what the policy sees, one policy serves every price (state augmentation: Calvo-Fullana,
Paternain, Chamon, Ribeiro, arXiv 2102.11941), every household and every feeder. Neither pandapower
nor mosaik takes part.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from grid_cosim.errors import GridCosimError
from grid_cosim.policies.checkpoint import Policy, PolicyError, policy_features, read_tensors, versions
from grid_cosim.policies.episode import Episode, draw_episode, rollout_cost
from grid_cosim.policies.network import PriceMonotoneNetwork
from grid_cosim.policies.prices import RecordedPrices, require_recorded
from grid_cosim.policies.recipe import Recipe
from grid_cosim.policies.view import memory_steps

_SAVE_EVERY = 50
_OF = {
    "recipe": ("another recipe", "restore the recipe"),
    "features": ("another device", "restore the device"),
    "prices": ("other recorded prices", "restore their file"),
    "homes": ("other homes", "restore the scenario"),
}
"""What a kept state belongs to: what to call it where that has changed, and what to do then."""


class TrainingError(GridCosimError):
    """A training that cannot go on."""

    def __init__(self, *, update: int, loss: float, gradient: float) -> None:
        super().__init__(
            f"Training went astray in update {update}: the loss is {loss}, the norm of its gradient "
            f"{gradient}. Lower learning_rate in the recipe; for a device of your own, make sure that its "
            "costs, features and their gradients are finite."
        )


def train(
    recipe: Recipe,
    *,
    recorded: RecordedPrices | None = None,
    state_path: Path | None = None,
    progress: Callable[[int, int, float], None] = lambda done, of, loss: None,
) -> Policy:
    """Train a policy by its recipe; `recorded` are the congestion prices that it names, if any.

    With `state_path` the training writes its state there now and then and at the end, and goes on from it if
    it exists, to the same weights as an uninterrupted run, bit for bit. The file stays: delete it once the
    policy is saved. `progress(done, of, loss)` is called after every update. Raises `TrainingError` where
    loss or gradient are no finite numbers any more, `PolicyError` where `state_path` is of another recipe,
    device or prices, `RecipeError` where the prices that the recipe names are missing.
    """
    require_recorded(recipe, recorded)
    generator = torch.Generator().manual_seed(recipe.seed)
    population = recipe.make_population()
    feature_names = policy_features(population.sample(1, dt_h=recipe.dt_h, generator=torch.Generator()))
    network = fresh_network(recipe, feature_names)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    owner, done = state_owner(recipe, feature_names, recorded), 0
    if state_path is not None and state_path.is_file():
        done = load_state(state_path, owner, network, optimizer, generator)

    while done < recipe.updates:
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * one_cycle(done / recipe.updates)
        loss = episode_loss(network, recipe, generator, recorded)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if not (loss.isfinite() and norm.isfinite()):
            raise TrainingError(update=done + 1, loss=loss.item(), gradient=norm.item())
        optimizer.step()
        done += 1
        progress(done, recipe.updates, loss.item())
        if state_path is not None and (done % _SAVE_EVERY == 0 or done == recipe.updates):
            save_state(state_path, owner, network, optimizer, generator, done)

    network.requires_grad_(False)
    return Policy(population.kind, feature_names, network, recipe.as_dict(), versions())


def fresh_network(recipe: Recipe, feature_names: Sequence[str]) -> PriceMonotoneNetwork:
    """The network before the training, its weights drawn by the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return PriceMonotoneNetwork(recipe.network(feature_names))


def episode_loss(
    network: PriceMonotoneNetwork,
    recipe: Recipe,
    generator: torch.Generator,
    recorded: RecordedPrices | None = None,
) -> Float[Tensor, ""]:
    """Draw an episode and return its weighted mean cost per device and day, in EUR."""
    episode = draw_episode(recipe, generator, recorded=recorded)
    limit = recipe.state_gradient_limit / recipe.devices_per_update
    return (sample_weight(recipe, episode) * rollout_cost(network, episode, limit)).mean()


def sample_weight(recipe: Recipe, episode: Episode) -> Float[Tensor, "devices"]:
    """What each device's cost counts; the mean is one day's share of the episode."""
    price = episode.price[memory_steps(recipe.dt_h) :].abs().mean(0)
    weight = 1.0 / (recipe.price_weight_offset + price)
    return weight / weight.mean() * 24.0 / recipe.hours


def one_cycle(x: float) -> float:
    """Warm up over a tenth of the training, then cosine down to nothing (Smith & Topin 2018)."""
    warm = 0.1
    return 0.04 + 0.96 * x / warm if x < warm else 0.5 * (1.0 + math.cos(math.pi * (x - warm) / (1 - warm)))


def state_owner(
    recipe: Recipe, feature_names: tuple[str, ...], recorded: RecordedPrices | None
) -> dict[str, str]:
    """What a training's state belongs to; it does not go on where any of it has changed."""
    return {
        "recipe": json.dumps(recipe.as_dict(), sort_keys=True),
        "features": json.dumps(feature_names),
        "prices": "" if recorded is None else recorded.sha256,
    }


def save_state(
    path: Path,
    owner: Mapping[str, str],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    done: int,
) -> None:
    """Write all that a training needs to go on: what is trained, its optimizer, and its random numbers."""
    tensors: dict[str, Tensor] = {f"network.{k}": v for k, v in network.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    tensors["generator"] = generator.get_state()
    metadata = {**owner, "done": str(done)}
    partial = path.with_name(path.name + ".partial")
    save_file({k: v.detach().clone() for k, v in tensors.items()}, partial, metadata=metadata)
    partial.replace(path)


def load_state(
    path: Path,
    owner: Mapping[str, str],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    """Restore what `save_state` wrote; the number of updates that are done."""
    metadata, tensors = read_tensors(path, remedy="Delete the file to start the training anew.")
    for key, expected in owner.items():
        if metadata.get(key) != expected:
            of_another, restore = _OF[key]
            raise PolicyError(
                path,
                f"an interrupted training of {of_another} lies here",
                f"Delete the file to start anew, or {restore} to go on.",
            )
    try:
        network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
    except RuntimeError as error:  # the same features, but numbers of another shape
        raise PolicyError(
            path, "an interrupted training of another device lies here", "Delete the file to start anew."
        ) from error
    moments: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    generator.set_state(tensors["generator"])
    return int(metadata["done"])
