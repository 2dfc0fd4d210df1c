"""One household and a price, as a game: a batch of devices that act by the share of their power range.

The device's state and the price processes are an `Episode`, as training draws them. Nothing is
differentiated here, so a device may do in `step` whatever it likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from grid_cosim.policies.episode import Episode


@dataclass(frozen=True)
class HouseholdGame:
    """The rules of an episode; every device plays for itself."""

    episode: Episode

    def init(self) -> Any:
        """The first step has begun: its news has arrived, nothing is decided."""
        inputs = self.episode.drive.at(0)
        return self.episode.device.receive(self.episode.device.init(inputs), inputs)

    def observe(self, state: Any, step: int) -> Float[Tensor, "devices features"]:
        """What a policy sees, besides the price that its response is asked for."""
        return self.episode.features(step, state, self.episode.drive.at(step))

    def step(
        self, state: Any, fraction: Float[Tensor, "devices"], step: int
    ) -> tuple[Any, Float[Tensor, "devices"]]:
        """Use that share of the power range; the state in the next step, and what this one cost in EUR.

        The cost of the last step includes that of the final state.
        """
        episode, device = self.episode, self.episode.device
        inputs = episode.drive.at(step)
        p_min, p_max = device.bounds(state, inputs)
        p_kw = p_min + (p_max - p_min) * fraction
        after, outputs = device.step(state, p_kw, inputs)
        cost = outputs.cost_eur + episode.full_price(step) * p_kw * episode.dt_h
        if step == episode.n_steps - 1:
            return after, cost + self.final_cost_eur(after, step)
        return device.receive(after, episode.drive.at(step + 1)), cost

    def final_cost_eur(self, state: Any, step: int) -> Float[Tensor, "devices"]:
        """What the state would cost if the episode ended with that step."""
        episode = self.episode
        return episode.device.terminal_cost_eur(state, episode.drive.at(step), episode.terminal_price)
