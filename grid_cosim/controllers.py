"""Controllers: who decides what the devices draw, behind one protocol; those that there are: `deciding`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from grid_cosim.coordination import Negotiated
from grid_cosim.coordination.meters import MeterState
from grid_cosim.demand import FleetDemand


@dataclass(frozen=True)
class Decision:
    """What a controller decided in one control step.

    `price` are the prices about each limit, one per member in the order of the copies without meters.
    `negotiated` is what the negotiation came to, None where nobody talked.
    """

    powers_kw: tuple[Tensor, ...]
    local_price: Float[np.ndarray, "households"]
    price: Float[np.ndarray, "members"]
    negotiated: Negotiated | None = None


@runtime_checkable
class Controller(Protocol):
    """Decides, step after step, what every device draws."""

    def init(self) -> Any:
        """What the controller remembers before the first step."""

    def step(self, state: Any, *, demand: FleetDemand, meters: MeterState, step: int) -> tuple[Any, Decision]:
        """Decide on one control step, from the households' answers and what the meters know."""


@runtime_checkable
class TakesOver(Protocol):
    """A controller that goes on from what another knew, when switches have moved homes to other limits."""

    def taken_over(self, state: Any, before: Controller) -> Any:
        """Its own state, of what `before` remembers."""
