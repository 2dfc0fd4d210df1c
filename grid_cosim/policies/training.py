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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from grid_cosim.devices import Device, Drive
from grid_cosim.devices.device import to_dtype
from grid_cosim.errors import GridCosimError
from grid_cosim.policies.checkpoint import Policy, PolicyError, read_tensors, versions
from grid_cosim.policies.network import PriceMonotoneNetwork
from grid_cosim.policies.prices import sample_prices
from grid_cosim.policies.recipe import Recipe

_OUTLOOK_H = 24.0
_SAVE_EVERY = 50


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
    state_path: Path | None = None,
    progress: Callable[[int, int, float], None] = lambda done, of, loss: None,
) -> Policy:
    """Train a policy by its recipe.

    With `state_path` the training writes its state there now and then, goes on from it if it exists
    (to the same weights as an uninterrupted run, bit for bit), and removes it at the end.
    `progress(done, of, loss)` is called after every update. Raises `TrainingError` where loss or gradient
    are no finite numbers any more, `PolicyError` where `state_path` is not of this recipe.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    population = recipe.make_population()
    feature_names = population.sample(1, dt_h=recipe.dt_h, generator=torch.Generator()).feature_names
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = PriceMonotoneNetwork(recipe.network(len(feature_names)))
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    done = 0
    if state_path is not None and state_path.is_file():
        done = _load_state(state_path, recipe, network, optimizer, generator)

    while done < recipe.updates:
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * _one_cycle(done / recipe.updates)
        loss = episode_loss(network, recipe, generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if not (loss.isfinite() and norm.isfinite()):
            raise TrainingError(update=done + 1, loss=loss.item(), gradient=norm.item())
        optimizer.step()
        done += 1
        progress(done, recipe.updates, loss.item())
        if state_path is not None and done % _SAVE_EVERY == 0:
            _save_state(state_path, recipe, network, optimizer, generator, done)

    if state_path is not None:
        state_path.unlink(missing_ok=True)
    network.requires_grad_(False)
    return Policy(population.kind, feature_names, network, recipe.as_dict(), versions())


def episode_loss(
    network: PriceMonotoneNetwork, recipe: Recipe, generator: torch.Generator
) -> Float[Tensor, ""]:
    """Draw an episode and return its weighted mean cost per device and day, in EUR."""
    population = recipe.make_population()
    n, n_steps = recipe.devices_per_update, round(recipe.hours / recipe.dt_h)
    start_hour = float(torch.randint(0, 24, (1,), generator=generator))
    device = to_dtype(population.sample(n, dt_h=recipe.dt_h, generator=generator), torch.float32)
    outdoor = sample_weather(n, n_steps=n_steps, start_hour=start_hour, recipe=recipe, generator=generator)
    drive = population.drive(
        device, n_steps=n_steps, start_hour=start_hour, outdoor_c=outdoor, generator=generator
    )
    prices = sample_prices(
        n,
        n_steps=n_steps,
        dt_h=recipe.dt_h,
        start_hour=start_hour,
        price_max_eur_per_kwh=recipe.price_max_eur_per_kwh,
        generator=generator,
    )
    weight = 1.0 / (recipe.price_weight_offset + prices.mean(0))
    weight = weight / weight.mean() * 24.0 / recipe.hours
    cost = rollout_cost(
        network,
        device,
        drive,
        prices,
        recipe.energy_price_eur_per_kwh,
        recipe.dt_h,
        gradient_limit=recipe.state_gradient_limit / n,
    )
    return (weight * cost).mean()


def rollout_cost(
    network: PriceMonotoneNetwork,
    device: Device,
    drive: Drive,
    prices: Float[Tensor, "steps devices"],
    energy_price_eur_per_kwh: float,
    dt_h: float,
    gradient_limit: float = math.inf,
) -> Float[Tensor, "devices"]:
    """What an episode under these prices costs each device, state at the end included (EUR).

    Energy that is still owed at the end is valued at the mean price of the episode, so that a policy
    learns nothing from the fact that an episode ends. `gradient_limit` as in `with_limited_gradient`.
    """
    inputs = drive.at(0)
    state = device.init(inputs)
    cost = torch.zeros(device.n_devices)
    for step in range(prices.shape[0]):
        inputs = drive.at(step)
        state = device.receive(state, inputs)
        p_min, p_max = device.bounds(state, inputs)
        fraction = network(device.observe(state, inputs)).fraction(prices[step])
        p_kw = p_min + (p_max - p_min) * fraction
        state, outputs = device.step(state, p_kw, inputs)
        state = with_limited_gradient(state, gradient_limit)
        cost = cost + outputs.cost_eur + (energy_price_eur_per_kwh + prices[step]) * p_kw * dt_h
    return cost + device.terminal_cost_eur(state, inputs, energy_price_eur_per_kwh + prices.mean(0))


def with_limited_gradient(state: Any, limit: float) -> Any:
    """The same state; what flows back through it is cut to ±`limit` per device and step.

    A policy that answers its own state steeply may swing (a room too warm, off, too cold, on); going back
    through an episode of such steps the derivative grows geometrically and drowns everybody else's.
    """
    if math.isinf(limit):
        return state
    for value in state:
        if value.requires_grad:
            value.register_hook(lambda gradient: gradient.nan_to_num().clamp(-limit, limit))
    return state


def sample_weather(
    n_devices: int, *, n_steps: int, start_hour: float, recipe: Recipe, generator: torch.Generator
) -> Float[Tensor, "steps devices"]:
    """Outdoor temperatures: a mean, a slow trend, a daily wave that is warmest at 15 h."""
    low, high = recipe.outdoor_c
    steps = n_steps + round(_OUTLOOK_H / recipe.dt_h)
    hours = (start_hour + recipe.dt_h * torch.arange(steps))[:, None]
    mean = low + (high - low) * torch.rand(1, n_devices, generator=generator)
    trend = 1.5 * torch.randn(1, n_devices, generator=generator)
    swing = 0.5 + 4.5 * torch.rand(1, n_devices, generator=generator)
    wave = torch.cos(2.0 * math.pi * (hours - 15.0) / 24.0)
    return mean + trend * (hours - hours.mean()) / 24.0 + swing * wave


def _one_cycle(x: float) -> float:
    """Warm up over a tenth of the training, then cosine down to nothing (Smith & Topin 2018)."""
    warm = 0.1
    return 0.04 + 0.96 * x / warm if x < warm else 0.5 * (1.0 + math.cos(math.pi * (x - warm) / (1 - warm)))


def _save_state(
    path: Path,
    recipe: Recipe,
    network: PriceMonotoneNetwork,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    done: int,
) -> None:
    tensors: dict[str, Tensor] = {f"network.{k}": v for k, v in network.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    tensors["generator"] = generator.get_state()
    metadata = {"recipe": json.dumps(recipe.as_dict(), sort_keys=True), "done": str(done)}
    partial = path.with_name(path.name + ".partial")
    save_file({k: v.detach().clone() for k, v in tensors.items()}, partial, metadata=metadata)
    partial.replace(path)


def _load_state(
    path: Path,
    recipe: Recipe,
    network: PriceMonotoneNetwork,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    metadata, tensors = read_tensors(path, remedy="Delete the file to start the training anew.")
    if metadata.get("recipe") != json.dumps(recipe.as_dict(), sort_keys=True):
        raise PolicyError(
            path,
            "an interrupted training of another recipe lies here",
            "Delete the file to start anew, or restore the recipe to go on.",
        )
    network.load_state_dict(
        {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    )
    moments: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    generator.set_state(tensors["generator"])
    return int(metadata["done"])
