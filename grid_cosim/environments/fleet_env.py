"""The fleet behind its limits as a PettingZoo environment: the door for other people's algorithms.

Everything is computed in `core`; this module turns arrays into dictionaries and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_array
from torch import Tensor

from grid_cosim.assembly import scenario_feeder, scenario_fleet
from grid_cosim.environments.core import FEATURE_BOUND, FleetGame, GameError
from grid_cosim.errors import MissingExtraError
from grid_cosim.fleet import Fleet, FleetState
from grid_cosim.scenario import Scenario

try:
    from gymnasium.spaces import Box
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise MissingExtraError("The environment of a fleet", extra="rl", missing=error.name) from error


class FleetEnv(ParallelEnv[str, np.ndarray, np.ndarray]):  # type: ignore[misc] # it has no types
    """Households that share limits, as agents `home-0`, `home-1`, ...

    An episode is a fleet: `draw(seed)` is called in every `reset`, with a new number each time, so an
    algorithm meets other days; `lambda seed: fleet` plays the same one over and over. All fleets must own
    the same kinds of devices.

    Observation: the columns `game.feature_names` of the household. Action: for each of `game.kinds` the
    share of the device's power range that it uses, in [0, 1]; for kinds that a household does not own it does
    nothing. Reward: minus what the step costs the household, in EUR; exceeding a limit costs nothing, but is
    in the `info` of every household behind it as `excess_kw`. A central critic finds everything in `state`.
    An episode terminates after the last step, whose reward includes the cost of the final state.
    """

    metadata: dict[str, Any] = {"name": "grid_cosim_fleet_v0", "render_modes": []}  # noqa: RUF012

    def __init__(
        self, draw: Callable[[int], Fleet], coupling: csr_array, limit_kw: Float[np.ndarray, "steps limits"]
    ) -> None:
        self._draw = draw
        self._behind = csr_array(coupling.T)
        self.render_mode = None
        self.game = FleetGame(draw(0), coupling, limit_kw)
        n_features, n_kinds = len(self.game.feature_names), len(self.game.kinds)
        self.possible_agents = [f"home-{row}" for row in range(self.game.n_households)]
        self.agents: list[str] = []
        seen = Box(-FEATURE_BOUND, FEATURE_BOUND, (n_features,), np.float32)
        self.observation_spaces = dict.fromkeys(self.possible_agents, seen)
        self.action_spaces = {agent: Box(0.0, 1.0, (n_kinds,), np.float32) for agent in self.possible_agents}
        n_state = self.game.n_households * n_features + coupling.shape[0] + 1
        self.state_space = Box(-np.inf, np.inf, (n_state,), np.float32)
        self._rng = np.random.default_rng()
        self._fleet_state: FleetState = self.game.init()
        self._step = 0

    @classmethod
    def from_scenario(cls, scenario: Scenario) -> FleetEnv:
        """The homes of a scenario behind the limits of its feeder, without a power flow.

        Every episode has the scenario's weather and other homes, devices and arrivals. The limits are the
        transformers' ratings in kW at nominal voltage, less what other loads draw; losses are left out, and
        the scenario's events.
        """
        feeder = scenario_feeder(scenario)
        background_kw = feeder.background_on_limits_over_kw(np.array(scenario.time.quarters())).T
        return cls(
            lambda seed: scenario_fleet(scenario.model_copy(update={"seed": seed}), feeder),
            feeder.limits.coupling,
            feeder.first_limit_kw() - background_kw,
        )

    def observation_space(self, agent: str) -> Box:
        """Columns `game.feature_names`."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        """One share of the power range per kind of device."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begin an episode with a fleet of its own; `seed` decides about this and all later ones."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        fleet = self._draw(int(self._rng.integers(2**31)))
        self.game = FleetGame(fleet, self.game.coupling, self.game.limit_kw)
        self._fleet_state, self._step = self.game.init(), 0
        self.agents = list(self.possible_agents)
        return self._observations(), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, np.ndarray]
    ) -> tuple[
        dict[str, np.ndarray],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Everybody acts at once; raises `GameError` between episodes and for actions that are no numbers."""
        agents = self.agents
        if not agents:
            raise GameError("step", "no episode", "one that has begun", "Call reset first.")
        powers = self.game.powers_kw(self._fleet_state, self._fractions(actions), self._step)
        self._fleet_state, move = self.game.step(self._fleet_state, powers, self._step)
        self._step += 1
        over = self._step == self.game.n_steps
        seen = self._observations(at=self._step - over)
        excess_kw = self._behind @ move.excess_kw
        infos = {
            agent: {"p_kw": p, "excess_kw": excess, "unserved_kwh": unserved}
            for agent, p, excess, unserved in zip(
                agents, move.p_kw.tolist(), excess_kw.tolist(), move.unserved_kwh.tolist(), strict=True
            )
        }
        rewards = dict(zip(agents, (-move.cost_eur).tolist(), strict=True))
        if over:
            self.agents = []
        return seen, rewards, dict.fromkeys(agents, over), dict.fromkeys(agents, False), infos

    def state(self) -> np.ndarray:
        """All observations, the room behind each limit per household (kW), and the share of time left."""
        at = min(self._step, self.game.n_steps - 1)
        seen = self.game.observe(self._fleet_state, at).numpy().ravel()
        room = self.game.limit_kw[at] / np.maximum(self.game.coupling.sum(axis=1), 1.0)
        left = 1.0 - self._step / self.game.n_steps
        return np.concatenate([seen, room, [left]]).astype(np.float32)

    def _fractions(self, actions: dict[str, np.ndarray]) -> Float[Tensor, "agents kinds"]:
        """The dictionary as an array, or whose action is missing or not one finite number per kind."""
        wanted = (len(self.game.kinds),)
        try:
            fraction = np.array([actions[agent] for agent in self.agents], dtype=np.float64)
        except (KeyError, ValueError):
            fraction = np.empty(0)
        if fraction.shape[1:] == wanted and np.isfinite(fraction).all():
            return torch.from_numpy(fraction)
        for agent in self.agents:
            own = actions.get(agent)
            if own is None or np.shape(own) != wanted or not np.isfinite(own).all():
                break
        raise GameError(f"action of {agent}", own, f"{wanted[0]} finite numbers")

    def _observations(self, at: int = 0) -> dict[str, np.ndarray]:
        return dict(zip(self.agents, self.game.observe(self._fleet_state, at).numpy(), strict=True))

    def render(self) -> None:
        """Nothing is drawn; run a scenario and read its report."""

    def close(self) -> None:
        """Nothing is held open."""
