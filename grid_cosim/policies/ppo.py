"""Training a policy without gradients of its device: proximal policy optimisation (PPO).

For devices whose dynamics cannot be differentiated: a thermostat that switches, somebody else's simulator
behind `step`. The same network is trained on the same episodes as in `training`, to the same contract, but
the device is only ever played. Loss and advantages are torchrl's: the clipped objective (Schulman et al.,
arXiv 1707.06347) and generalised advantage estimation (arXiv 1506.02438).

An action is the activation of the network's response, disturbed: z + spread * noise. The network's own
`opened` makes the share of the power range of it, so exploring never leaves that range, and its median is
what the trained policy does. What the state would cost if the episode ended is charged as it changes, not at
the end: that changes an episode's sum by a constant only (potential-based shaping, Ng, Harada & Russell
1999), but energy that must be bought in any case no longer hides what its timing is worth. The critic, of use
in the training only, also sees the prices to come.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from grid_cosim.errors import MissingExtraError
from grid_cosim.policies.checkpoint import Policy, policy_features, versions
from grid_cosim.policies.episode import Episode, draw_episode
from grid_cosim.policies.household_game import HouseholdGame
from grid_cosim.policies.network import PriceMonotoneNetwork, opened
from grid_cosim.policies.prices import RecordedPrices, require_recorded
from grid_cosim.policies.recipe import Recipe
from grid_cosim.policies.training import (
    TrainingError,
    load_state,
    one_cycle,
    sample_weight,
    save_state,
    state_owner,
)

try:
    from tensordict import TensorDict
    from tensordict.nn import TensorDictModule
    from torchrl.modules import IndependentNormal, ProbabilisticActor
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE
except ModuleNotFoundError as error:
    raise MissingExtraError("Training with method = 'ppo'", extra="rl", missing=error.name) from error

_AHEAD_H = (1.0, 3.0, 6.0, 12.0, math.inf)
"""Windows over which the critic sees the mean price to come."""
_OF_THE_CRITIC = 4 + len(_AHEAD_H)
_PRICE_SCALE_EUR_PER_KWH = 0.01
_GRADIENT_NORM = 0.5
_SAVE_EVERY = 10


def train_ppo(
    recipe: Recipe,
    *,
    recorded: RecordedPrices | None = None,
    state_path: Path | None = None,
    progress: Callable[[int, int, float], None] = lambda done, of, loss: None,
) -> Policy:
    """Train a policy by its recipe, as `training.train` does, with `recipe.ppo` besides.

    An update is one batch of episodes and some epochs of learning from it; the loss that `progress` is told
    is the weighted mean cost per device and day while exploring.
    """
    require_recorded(recipe, recorded)
    generator = torch.Generator().manual_seed(recipe.seed)
    population = recipe.make_population()
    feature_names = policy_features(population.sample(1, dt_h=recipe.dt_h, generator=torch.Generator()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        learner = _Learner(recipe, feature_names)
    loss = _loss(learner, recipe.ppo.clip)
    optimizer = torch.optim.Adam(learner.parameters(), lr=recipe.learning_rate)
    owner, done = state_owner(recipe, feature_names, recorded), 0
    if state_path is not None and state_path.is_file():
        done = load_state(state_path, owner, learner, optimizer, generator)

    while done < recipe.updates:
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * one_cycle(done / recipe.updates)
        experience, cost = _experience(learner, recipe, generator, recorded)
        for _ in range(recipe.ppo.epochs):
            order = torch.randperm(len(experience), generator=generator)
            for rows in torch.split(order, recipe.ppo.minibatch):
                losses = loss(experience[rows])
                optimizer.zero_grad()
                total = losses["loss_objective"] + losses["loss_critic"]
                total.backward()
                norm = nn.utils.clip_grad_norm_(learner.parameters(), _GRADIENT_NORM)
                if not (total.isfinite() and norm.isfinite()):
                    raise TrainingError(update=done + 1, loss=total.item(), gradient=norm.item())
                optimizer.step()
        done += 1
        progress(done, recipe.updates, cost)
        if state_path is not None and (done % _SAVE_EVERY == 0 or done == recipe.updates):
            save_state(state_path, owner, learner, optimizer, generator, done)

    network = learner.network.requires_grad_(False)
    return Policy(population.kind, feature_names, network, recipe.as_dict(), versions())


class _Learner(nn.Module):
    """The policy's network, how widely it explores, and a critic of what it sees."""

    reward_scale: Tensor

    def __init__(self, recipe: Recipe, feature_names: tuple[str, ...]) -> None:
        super().__init__()
        self.network = PriceMonotoneNetwork(recipe.network(feature_names))
        self.log_spread = nn.Parameter(torch.tensor(math.log(recipe.ppo.exploration)))
        widths = (len(feature_names) + _OF_THE_CRITIC, *recipe.ppo.critic_hidden)
        layers = [part for n_in, n_out in pairwise(widths) for part in (nn.Linear(n_in, n_out), nn.SiLU())]
        self.critic = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.register_buffer("reward_scale", torch.zeros(()))

    def forward(
        self, seen: Float[Tensor, "rows features"], price: Float[Tensor, "rows 1"]
    ) -> tuple[Float[Tensor, "rows 1"], Float[Tensor, "rows 1"]]:
        """Mean and spread of the activation."""
        mean = self.network(seen).activation(price)
        return mean, self.log_spread.exp().expand_as(mean)


def _loss(learner: _Learner, clip: float) -> ClipPPOLoss:
    actor = ProbabilisticActor(
        TensorDictModule(learner, in_keys=["seen", "price"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        out_keys=["action"],
        distribution_class=IndependentNormal,
    )
    return ClipPPOLoss(
        actor,
        TensorDictModule(learner.critic, in_keys=["situation"], out_keys=["state_value"]),
        clip_epsilon=clip,
        entropy_bonus=False,
        critic_coeff=1.0,
        normalize_advantage=True,
    )


@torch.no_grad()
def _experience(
    learner: _Learner, recipe: Recipe, generator: torch.Generator, recorded: RecordedPrices | None
) -> tuple[TensorDict, float]:
    """Play fresh devices, exploring; every decision with its advantage, and the weighted mean cost."""
    episode = draw_episode(recipe, generator, recorded=recorded)
    game, weight, ahead = HouseholdGame(episode), sample_weight(recipe, episode), _prices_ahead(episode)
    state, total, steps = game.init(), torch.zeros(episode.device.n_devices), list[TensorDict]()
    owed = game.final_cost_eur(state, 0)
    for step in range(episode.n_steps):
        seen, price = game.observe(state, step), episode.answered_price(step)[:, None]
        mean, spread = learner(seen, price)
        action = mean + spread * torch.randn(mean.shape, generator=generator)
        state, cost = game.step(state, opened(action[:, 0]), step)
        last = step == episode.n_steps - 1
        left = torch.zeros_like(owed) if last else game.final_cost_eur(state, step + 1)
        time_left = torch.full_like(price, 1.0 - step / episode.n_steps)
        steps.append(
            TensorDict(
                {
                    "seen": seen,
                    "price": price,
                    "situation": torch.cat([seen, ahead[step], time_left, weight.log()[:, None]], dim=-1),
                    "action": action,
                    "action_log_prob": IndependentNormal(mean, spread).log_prob(action),
                    "next": {
                        "reward": (weight * (owed - left - cost))[:, None],
                        "done": torch.full_like(price, last, dtype=torch.bool),
                        "terminated": torch.full_like(price, last, dtype=torch.bool),
                    },
                },
                batch_size=[len(seen)],
            )
        )
        total, owed = total + cost, left
    experience = TensorDict.stack(steps, dim=1)
    if learner.reward_scale == 0.0:  # the critic's targets are of order one from the first update on
        spread = experience["next", "reward"].sum(1).std(correction=0)
        learner.reward_scale.copy_(torch.where(spread > 0.0, spread, 1.0))
    experience["next", "reward"] /= learner.reward_scale
    value = learner.critic(experience["situation"])
    experience["state_value"] = value
    experience["next", "state_value"] = torch.cat([value[:, 1:], torch.zeros_like(value[:, :1])], dim=1)
    GAE(gamma=1.0, lmbda=recipe.ppo.gae_lambda, value_network=None)(experience)
    return experience.exclude("next").reshape(-1), (weight * total).mean().item()


def _prices_ahead(episode: Episode) -> Float[Tensor, "steps devices columns"]:
    """The answered price, what energy is worth at the end, and the mean prices to come, of order one."""
    n_steps = episode.n_steps
    price = torch.stack([episode.answered_price(step) for step in range(n_steps)])
    total = torch.cat([torch.zeros_like(price[:1]), price.cumsum(0)])
    now, columns = torch.arange(n_steps), [price, episode.terminal_price.expand_as(price)]
    for hours in _AHEAD_H:
        then = (now + min(hours / episode.dt_h, n_steps)).long().clamp(max=n_steps)
        columns.append((total[then] - total[now]) / (then - now)[:, None])
    return torch.asinh(torch.stack(columns, dim=-1) / _PRICE_SCALE_EUR_PER_KWH) / 3.0
