"""One household and a price as a Gymnasium environment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from grid_cosim.environments.core import FEATURE_BOUND
from grid_cosim.errors import MissingExtraError
from grid_cosim.policies.checkpoint import policy_features
from grid_cosim.policies.episode import draw_episode
from grid_cosim.policies.household_game import HouseholdGame
from grid_cosim.policies.prices import RecordedPrices, require_recorded
from grid_cosim.policies.recipe import Recipe

try:
    from gymnasium import Env
    from gymnasium.spaces import Box
except ModuleNotFoundError as error:
    raise MissingExtraError("The environment of a household", extra="rl", missing=error.name) from error


class HouseholdEnv(Env[np.ndarray, np.ndarray]):
    """One device of a kind that meets the price processes of its recipe: what a policy is trained on.

    Observation: the policy's features (`feature_names`), then the price that it answers, as the network sees
    it: asinh(price / price_scale_eur_per_kwh). Action: the share of the device's power range, in [0, 1].
    Reward: minus what the step costs in EUR: own cost and energy at tariff and congestion price; in the
    last step, which terminates the episode, also what the final state costs. Every episode is drawn as
    training draws it: another device, weather, demand, tariff and price. `recorded` are the congestion prices
    that the recipe names, if any; raises `RecipeError` where they are missing.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, recipe: Recipe, *, recorded: RecordedPrices | None = None) -> None:
        require_recorded(recipe, recorded)
        self.recipe = replace(recipe, devices_per_update=1)
        self._recorded = recorded
        self._game = self._draw(torch.Generator().manual_seed(recipe.seed))
        self.feature_names = policy_features(self._game.episode.device)
        self.observation_space = Box(
            -FEATURE_BOUND, FEATURE_BOUND, (len(self.feature_names) + 1,), np.float32
        )
        self.action_space = Box(0.0, 1.0, (1,), np.float32)
        self._state = self._game.init()
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw another episode; `seed` decides about this and all later ones."""
        super().reset(seed=seed)
        self._game = self._draw(torch.Generator().manual_seed(int(self.np_random.integers(2**31))))
        self._state, self._step = self._game.init(), 0
        return self._observation(0), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Use a share of the power range for one control step."""
        fraction = torch.as_tensor(action, dtype=torch.float32).clamp(0.0, 1.0)
        with torch.no_grad():
            self._state, cost = self._game.step(self._state, fraction, self._step)
        self._step += 1
        over = self._step == self._game.episode.n_steps
        return self._observation(self._step - over), -float(cost), over, False, {}

    def _draw(self, generator: torch.Generator) -> HouseholdGame:
        return HouseholdGame(draw_episode(self.recipe, generator, recorded=self._recorded))

    def _observation(self, step: int) -> np.ndarray:
        price = self._game.episode.answered_price(step) / self.recipe.price_scale_eur_per_kwh
        seen = self._game.observe(self._state, step)
        return torch.cat([seen, torch.asinh(price)[:, None]], dim=-1)[0].numpy()
