"""Our controllers as players of the fleet's game, to be held against what others learn in it.

There is no power flow in the game: the meters measure what the limit's members draw, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.controllers import Controller
from grid_cosim.coordination.meters import MeterState
from grid_cosim.demand import FleetDemand, Policies
from grid_cosim.environments.core import FleetGame
from grid_cosim.fleet import FleetState
from grid_cosim.policies.view import PriceMemory, no_memory, remember


class Remembered(NamedTuple):
    """What everybody knows between two steps."""

    controller: Any
    drawn_kw: Float[np.ndarray, "households"]
    price: PriceMemory


@final
@dataclass(frozen=True)
class ControlledPlayer:
    """A controller with the policies that it needs."""

    controller: Controller
    policies: Policies

    def init(self, game: FleetGame) -> Remembered:
        """Nobody has drawn or paid anything."""
        return Remembered(
            self.controller.init(),
            np.zeros(game.n_households),
            no_memory(game.n_households, game.fleet.dt_h),
        )

    def act(
        self, game: FleetGame, memory: Remembered, state: FleetState, step: int
    ) -> tuple[Remembered, Sequence[Tensor]]:
        """One decision of the controller, from what the limits carried in the last step."""
        carried_kw = game.coupling @ memory.drawn_kw
        demand = FleetDemand(game.fleet, self.policies, state, step, memory.drawn_kw, memory.price)
        remembered, decision = self.controller.step(
            memory.controller,
            demand=demand,
            meters=MeterState(game.limit_kw[step] - carried_kw, carried_kw),
            step=step,
        )
        drawn_kw = game.fleet.base_kw[step] + game.fleet.flex_kw(decision.powers_kw)
        price = remember(memory.price, torch.as_tensor(decision.local_price))
        return Remembered(remembered, drawn_kw, price), decision.powers_kw
