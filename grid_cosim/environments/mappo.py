"""Centralised training with decentralised execution: the common way to train many agents, as a baseline.

MAPPO (Yu et al., arXiv 2103.01955) with a Lagrangian penalty: every home acts on what it sees itself,
without a price and without messages; in training one critic sees all homes. The team is paid minus its mean
cost and a price per kWh above the limit, which dual ascent raises as long as there is any. Networks, loss and
advantages are torchrl's. What the critic has to look at, and the noise that everybody else's actions make in
one common reward, grow with the number of homes: that is what this baseline is there to show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from grid_cosim.environments.core import FleetGame, GameError, Move, Played, summary
from grid_cosim.errors import GridCosimError, MissingExtraError
from grid_cosim.fleet import FleetState, seeded
from grid_cosim.policies.network import opened

try:
    from tensordict import TensorDict
    from tensordict.nn import TensorDictModule
    from torchrl.modules import IndependentNormal, MultiAgentMLP, ProbabilisticActor
    from torchrl.objectives.multiagent import MAPPOLoss
    from torchrl.objectives.value import MultiAgentGAE
except ModuleNotFoundError as error:
    raise MissingExtraError("The MAPPO baseline", extra="rl", missing=error.name) from error

Draw = Callable[[int, int], FleetGame]
"""A number of equal neighbourhoods side by side, by their number and a seed."""

_FOR_CRITIC = ("limit_kw_per_home", "time_left")
_GRADIENT_NORM = 0.5


@dataclass(frozen=True)
class MappoSettings:
    """Hyperparameters, chosen on villages of five homes."""

    episodes_per_update: int = 16
    epochs: int = 4
    minibatches: int = 4
    learning_rate: float = 1e-3
    clip: float = 0.2
    gae_lambda: float = 0.95
    exploration: float = 1.0
    """First standard deviation of the activation."""
    hidden: tuple[int, ...] = (128, 128)
    shared_actor: bool = True
    """One actor for all homes, or one for each."""
    penalty_eur_per_kwh: float = 0.5
    """First price of a kWh above the limit."""
    penalty_step: float = 0.1
    """By how many EUR/kWh a kWh above the limit, per home and day, raises that price after each update."""
    largest_penalty_eur_per_kwh: float = 4.0
    """Dual ascent stops there: where noise alone keeps the limit exceeded it would rise for ever."""
    seed: int = 0


class Update(NamedTuple):
    """What one update cost, and what the team did before it, exploring."""

    seconds: float
    """Of playing and learning together."""
    agent_steps: int
    """All decisions of single homes so far."""
    penalty_eur_per_kwh: float
    played: Played


class MappoError(GridCosimError):
    """A training that went astray."""

    def __init__(self, update: int) -> None:
        super().__init__(
            f"MAPPO went astray in update {update}: its loss is not finite. "
            "Lower learning_rate or penalty_step."
        )


class _Actor(nn.Module):
    """Mean and spread of the activation of every device; for devices that a home lacks they stay fixed."""

    def __init__(self, game: FleetGame, n_agents: int, settings: MappoSettings) -> None:
        super().__init__()
        self.owned = [game.feature_names.index(kind) for kind in game.kinds]
        self.network = MultiAgentMLP(
            n_agent_inputs=len(game.feature_names),
            n_agent_outputs=len(game.kinds),
            n_agents=n_agents,
            centralized=False,
            share_params=settings.shared_actor,
            num_cells=settings.hidden,
        )
        self.log_spread = nn.Parameter(torch.full((len(game.kinds),), settings.exploration).log())

    def forward(
        self, seen: Float[Tensor, "*batch agents features"]
    ) -> tuple[Float[Tensor, "*batch agents kinds"], Float[Tensor, "*batch agents kinds"]]:
        """Activations, to be `opened`."""
        owns = seen[..., self.owned] > 0.0
        return torch.where(owns, self.network(seen), 0.0), torch.where(owns, self.log_spread.exp(), 1.0)


class _Learner:
    """Actor, critic, and how both learn from a batch of episodes."""

    def __init__(self, game: FleetGame, n_agents: int, settings: MappoSettings) -> None:
        self.settings, self.n_agents = settings, n_agents
        self.actor = _Actor(game, n_agents, settings)
        self.critic = MultiAgentMLP(
            n_agent_inputs=len(game.feature_names) + len(_FOR_CRITIC),
            n_agent_outputs=1,
            n_agents=n_agents,
            centralized=True,
            share_params=True,
            num_cells=settings.hidden,
        )
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self._loss = MAPPOLoss(
            ProbabilisticActor(
                TensorDictModule(self.actor, in_keys=["seen"], out_keys=["loc", "scale"]),
                in_keys=["loc", "scale"],
                out_keys=["action"],
                distribution_class=IndependentNormal,
            ),
            TensorDictModule(self.critic, in_keys=["situation"], out_keys=["state_value"]),
            clip_epsilon=settings.clip,
            entropy_bonus=False,
            critic_coeff=1.0,
        )
        self._advantage = MultiAgentGAE(gamma=1.0, lmbda=settings.gae_lambda, value_network=None)
        self._optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate, eps=1e-5)

    @torch.no_grad()
    def experience(
        self, game: FleetGame, penalty: float, generator: torch.Generator
    ) -> tuple[TensorDict, Played]:
        """Play all neighbourhoods once, exploring, and value what was done.

        What the state would cost in the end is charged as it changes, as in `policies.ppo`.
        """
        state, moves, steps = game.init(), list[Move](), list[TensorDict]()
        owed = game.final_cost_eur(state, 0)
        for step in range(game.n_steps):
            seen = game.observe(state, step).reshape(-1, self.n_agents, len(game.feature_names))
            mean, spread = self.actor(seen)
            action = mean + spread * torch.randn(mean.shape, generator=generator)
            situation = self._situation(game, seen, step)
            state, move = game.step(state, game.powers_kw(state, opened(action).flatten(0, 1), step), step)
            last = step == game.n_steps - 1
            left = np.zeros_like(owed) if last else game.final_cost_eur(state, step + 1)
            own = (owed - left - move.cost_eur).reshape(-1, self.n_agents).mean(axis=1)
            reward = own - penalty * move.excess_kw * game.fleet.dt_h / self.n_agents
            moves.append(move)
            owed = left
            steps.append(
                TensorDict(
                    {
                        "seen": seen,
                        "situation": situation,
                        "action": action,
                        "action_log_prob": IndependentNormal(mean, spread).log_prob(action),
                        "next": {
                            "reward": torch.as_tensor(reward, dtype=torch.float32)[:, None],
                            "done": torch.full((len(seen), 1), last),
                            "terminated": torch.full((len(seen), 1), last),
                        },
                    },
                    batch_size=[len(seen)],
                )
            )
        experience = TensorDict.stack(steps, dim=1)
        value = self.critic(experience["situation"])
        experience["state_value"] = value
        experience["next", "state_value"] = torch.cat([value[:, 1:], torch.zeros_like(value[:, :1])], dim=1)
        return self._advantage(experience), summary(game, moves)

    def learn(self, experience: TensorDict, generator: torch.Generator) -> bool:
        """Some epochs of PPO; false where the loss is no finite number."""
        samples = experience.reshape(-1)
        size = -(-len(samples) // self.settings.minibatches)
        for _ in range(self.settings.epochs):
            for rows in torch.split(torch.randperm(len(samples), generator=generator), size):
                losses = self._loss(samples[rows])
                loss = losses["loss_objective"] + losses["loss_critic"]
                if not loss.isfinite():
                    return False
                self._optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.parameters, _GRADIENT_NORM)
                self._optimizer.step()
        return True

    def _situation(
        self, game: FleetGame, seen: Float[Tensor, "villages agents features"], step: int
    ) -> Float[Tensor, "villages agents features_of_critic"]:
        """What the critic sees of every home: what the home sees, and `_FOR_CRITIC`."""
        room_kw = torch.as_tensor(game.limit_kw[step], dtype=torch.float32) / self.n_agents
        left = torch.full_like(room_kw, 1.0 - step / game.n_steps)
        common = torch.stack([room_kw, left], dim=-1)[:, None]
        return torch.cat([seen, common.expand(-1, self.n_agents, -1)], dim=-1)


@final
@dataclass(frozen=True)
class MappoPlayer:
    """A trained team, which no longer explores."""

    actor: nn.Module
    n_agents: int

    def init(self, game: FleetGame) -> None:
        """Nothing to remember."""

    def act(
        self, game: FleetGame, memory: None, state: FleetState, step: int
    ) -> tuple[None, Sequence[Tensor]]:
        """Every home acts on what it sees."""
        seen = game.observe(state, step).reshape(-1, self.n_agents, len(game.feature_names))
        mean, _ = self.actor(seen)
        return None, game.powers_kw(state, opened(mean).flatten(0, 1), step)


@dataclass(frozen=True)
class MappoResult:
    """A trained team and how it came about."""

    player: MappoPlayer
    updates: tuple[Update, ...]
    n_parameters: int
    """Of actor and critic."""
    rollout_bytes: int
    """What one update's experience takes in memory."""


def train_mappo(
    draw: Draw,
    settings: MappoSettings,
    *,
    n_agents: int,
    agent_steps: int,
    progress: Callable[[Update], None] = lambda update: None,
) -> MappoResult:
    """Train until about `agent_steps` decisions of single homes have been played.

    `draw(n, seed)` gives n neighbourhoods of `n_agents` homes, each behind one limit, side by side; trainings
    of different seeds draw different ones. Raises `GameError` where they are none such or there is nothing to
    play, `MappoError` where the loss is no finite number any more.
    """
    if agent_steps < 1:
        raise GameError("agent_steps", agent_steps, "at least 1", "Play at least one update.")
    generator = torch.Generator().manual_seed(settings.seed)
    game = draw(1, settings.seed)
    if game.coupling.shape != (1, n_agents):
        remedy = "Draw neighbourhoods of n_agents homes behind one limit."
        raise GameError(
            "limits and households of a neighbourhood", game.coupling.shape, (1, n_agents), remedy
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        learner = _Learner(game, n_agents, settings)
    penalty, done, updates = settings.penalty_eur_per_kwh, 0, list[Update]()
    while done < agent_steps:
        began = perf_counter()
        fleets = seeded(settings.seed, f"villages of update {len(updates)}")
        game = draw(settings.episodes_per_update, int(fleets.generate_state(1)[0]))
        experience, played = learner.experience(game, penalty, generator)
        if not learner.learn(experience, generator):
            raise MappoError(len(updates) + 1)
        done += experience.numel() * n_agents
        updates.append(Update(perf_counter() - began, done, penalty, played))
        penalty = min(
            penalty + settings.penalty_step * played.excess_kwh, settings.largest_penalty_eur_per_kwh
        )
        progress(updates[-1])
    return MappoResult(
        MappoPlayer(learner.actor.requires_grad_(False), n_agents),
        tuple(updates),
        n_parameters=sum(p.numel() for p in learner.parameters),
        rollout_bytes=int(experience.bytes()),
    )
