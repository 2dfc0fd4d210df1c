"""Training a private policy for every home, as the seed paper does (arXiv 2605.30461).

A home learns from episodes of its own device, and nothing that it learns reaches another: gradients, their
clipping and the optimizer's moments are its own. Homes are trained in batches because that is faster: the
cost is linear in the number of batches of `HOMES_AT_ONCE` homes, and a few homes cost about half a batch.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.devices import Device
from grid_cosim.devices.device import rows_of, to_dtype
from grid_cosim.fleet import torch_generator
from grid_cosim.policies.checkpoint import Policy, policy_features, versions
from grid_cosim.policies.episode import draw_episode, rollout_cost
from grid_cosim.policies.network import PriceMonotoneNetwork
from grid_cosim.policies.prices import RecordedPrices, require_recorded
from grid_cosim.policies.private import PrivateNetworks, device_parameters
from grid_cosim.policies.recipe import Recipe
from grid_cosim.policies.training import (
    TrainingError,
    fresh_network,
    load_state,
    one_cycle,
    sample_weight,
    save_state,
    state_owner,
)

HOMES_AT_ONCE = 256
"""So many keep a processor core busy with arithmetic; more would only take memory."""
_SAVE_EVERY = 50
_GRADIENT_NORM = 1.0


def train_private(
    recipe: Recipe,
    device: Device,
    homes: Sequence[str],
    *,
    begin: Policy | None = None,
    recorded: RecordedPrices | None = None,
    state_path: Path | None = None,
    threads: int = 1,
    progress: Callable[[int, int, float], None] = lambda done, of, loss: None,
) -> Policy:
    """Train a network for each of these devices, which belong to `homes`.

    `recipe` is one for homes (`Recipe.for_homes`). All begin with the weights of the shared policy `begin`,
    or with the same random ones. What comes out for a home depends on the recipe, its device and its place
    among the homes; not on the other homes, nor on `threads`. `recorded`, `state_path`, `progress` and
    the errors are as in `training.train`; the state takes a file per `HOMES_AT_ONCE` homes, numbered, and is
    also written where a training is interrupted.
    """
    require_recorded(recipe, recorded)
    assert len(homes) == device.n_devices
    assert recipe.method == "dynamics"
    device = to_dtype(device, torch.float32)
    feature_names = policy_features(device)
    if begin is None:
        network = fresh_network(recipe, feature_names)
    else:
        assert isinstance(begin.network, PriceMonotoneNetwork)
        network = begin.network
        recipe = replace(recipe, hidden=network.config.hidden, n_ramps=network.config.n_ramps)
    batches = [
        _Batch(
            number=number,
            recipe=recipe,
            device=rows_of(device, rows, device.n_devices),
            recorded=recorded,
            state_path=state_path and state_path.with_name(f"{state_path.name}-{number}"),
        )
        for number, rows in enumerate(torch.split(torch.arange(device.n_devices), HOMES_AT_ONCE))
    ]
    trained = _train_all(batches, network, threads, progress)
    everybody = PrivateNetworks.joined(trained).requires_grad_(False)
    kind = recipe.make_population().kind
    return Policy(kind, feature_names, everybody, recipe.as_dict(), versions(), homes=tuple(homes))


@dataclass(frozen=True)
class _Batch:
    """Homes that train side by side, and apart from other batches."""

    number: int
    recipe: Recipe
    device: Device
    recorded: RecordedPrices | None
    state_path: Path | None

    def train(
        self, begin: PriceMonotoneNetwork, goes_on: Callable[[int, float | None], bool]
    ) -> PrivateNetworks:
        """Train until all updates are done or `goes_on(done, loss)`, asked after each, says no."""
        recipe = self.recipe
        generator = torch_generator(recipe.seed, f"private policies {self.number}")
        networks = PrivateNetworks(begin, device_parameters(self.device)).requires_grad_(True)
        optimizer = torch.optim.Adam(networks.parameters(), lr=recipe.learning_rate)
        owner, done = self._state_owner(), 0
        if self.state_path is not None and self.state_path.is_file():
            done = load_state(self.state_path, owner, networks, optimizer, generator)
        more = goes_on(done, None)
        while done < recipe.updates and more:
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * one_cycle(done / recipe.updates)
            loss = self._loss(networks, generator)
            optimizer.zero_grad()
            loss.sum().backward()  # type: ignore[no-untyped-call]
            norm = _clip_gradients(networks)
            if not (loss.isfinite().all() and norm.isfinite().all()):
                raise TrainingError(update=done + 1, loss=loss.max().item(), gradient=norm.max().item())
            optimizer.step()
            done += 1
            more = goes_on(done, loss.mean().item())
            is_due = done % _SAVE_EVERY == 0 or done == recipe.updates or not more
            if self.state_path is not None and is_due:
                save_state(self.state_path, owner, networks, optimizer, generator, done)
        return networks

    def _loss(self, networks: PrivateNetworks, generator: torch.Generator) -> Float[Tensor, "homes"]:
        """Weighted mean cost of some episodes per home and day, in EUR.

        What happens is drawn for `HOMES_AT_ONCE` homes, so that it does not depend on how many there are.
        """
        n_homes, episodes = self.device.n_devices, self.recipe.devices_per_update
        full = torch.arange(HOMES_AT_ONCE).repeat_interleave(episodes) % n_homes
        episode = draw_episode(
            self.recipe, generator, recorded=self.recorded, device=rows_of(self.device, full, n_homes)
        )
        ours = torch.arange(n_homes * episodes)
        weight = sample_weight(self.recipe, episode)[ours]
        limit = self.recipe.state_gradient_limit / episodes
        return (weight * rollout_cost(networks, episode.of_rows(ours), limit)).view(n_homes, episodes).mean(1)

    def _state_owner(self) -> dict[str, str]:
        """The homes by their devices, besides what every training's state belongs to."""
        homes = hashlib.sha256(device_parameters(self.device).numpy().tobytes()).hexdigest()
        return {**state_owner(self.recipe, policy_features(self.device), self.recorded), "homes": homes}


def _train_all(
    batches: Sequence[_Batch],
    begin: PriceMonotoneNetwork,
    threads: int,
    progress: Callable[[int, int, float], None],
) -> list[PrivateNetworks]:
    """Train the batches side by side; where one fails or is interrupted, all stop and keep what they have."""
    of = sum(batch.recipe.updates for batch in batches)
    done = [0] * len(batches)
    stopped = threading.Event()

    def train_batch(batch: _Batch) -> PrivateNetworks:
        def goes_on(updates: int, loss: float | None) -> bool:
            done[batch.number] = updates
            if loss is not None:
                progress(sum(done), of, loss)
            return not stopped.is_set()

        try:
            return batch.train(begin, goes_on)
        except BaseException:
            stopped.set()  # the others notice after their next update
            raise

    with ThreadPoolExecutor(threads) as pool:
        try:
            return list(pool.map(train_batch, batches))
        except BaseException:
            stopped.set()  # where it is us whom Ctrl-C interrupts
            raise


def _clip_gradients(networks: PrivateNetworks) -> Float[Tensor, "homes"]:
    """Cut each home's gradient to `_GRADIENT_NORM`; the norms before."""
    gradients = [weights.grad for weights in networks.parameters() if weights.grad is not None]
    norm = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    factor = (_GRADIENT_NORM / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
    return norm
