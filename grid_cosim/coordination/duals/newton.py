"""The `newton` step: neighbours agree on the mean excess and the mean slope; their ratio needs no N."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from grid_cosim.coordination.consensus import Exchange, LinkOutage, Mixing, TrackedMixing
from grid_cosim.coordination.copies import Copies
from grid_cosim.coordination.duals.protocol import (
    Demand,
    DualState,
    Negotiated,
    Tally,
    negotiated,
    own_values,
)
from grid_cosim.coordination.graph import CommunicationGraph, Turn

_NUMBERS = 3
"""A message carries excess, slope and price."""


@dataclass(frozen=True)
class NewtonStep:
    """λ_i ← [mix(λ)_i + mix(v)_i / mix(d)_i]₊ with d = -∂p/∂λ ≥ 0.

    `dual_iterations` (D) per turn with `rounds` (K) rounds each, warm-started with the last control
    step's prices; nested limits are swept `sweeps` times from the outermost level. An iteration changes
    a price at most by the factor `reach`; below `smallest_price` it may go to 0 and rise from there.
    (No copy keeps a bracket for itself: a sign that mixing got wrong would close it for good.)
    v and d go through `mixing`, λ always through plain rounds; the same messages carry all three.
    In the first round a neighbour learns one's own power and slope.
    """

    graph: CommunicationGraph
    largest_price: float
    smallest_price: float
    reach: float = 4.0
    rounds: int = 10
    dual_iterations: int = 4
    sweeps: int = 1
    mixing: Mixing = field(default_factory=TrackedMixing)
    outage: LinkOutage | None = None
    accelerated: bool = False

    @property
    def copies(self) -> Copies:
        """Those of the graph."""
        return self.graph.copies

    def remembering(self) -> tuple[tuple[Turn, ...], ...]:
        """One memory per turn."""
        return (self.graph.turns,)

    def init(self) -> DualState:
        """All prices 0, nothing said yet."""
        turns = self.graph.turns
        return DualState(
            np.zeros(self.graph.copies.n_copies), tuple(self.mixing.init(turn.links) for turn in turns)
        )

    def step(
        self,
        state: DualState,
        *,
        demand: Demand,
        limit_kw: Float[np.ndarray, "limits"],
        offset_kw: Float[np.ndarray, "limits"],
        rng: np.random.Generator | None = None,
    ) -> tuple[DualState, Negotiated]:
        """Negotiate: D iterations per turn; demand is asked anew in each."""
        excess_kw = offset_kw - limit_kw
        price, memory = state.price.copy(), list(state.memory)
        saturated = np.zeros(len(price), dtype=bool)
        tally = Tally.zero(self.graph)
        for _ in range(self.sweeps):
            for k, turn in enumerate(self.graph.turns):
                for _ in range(self.dual_iterations):
                    values = self._values(turn, price, demand, excess_kw)
                    rounds = self.mixing.rounds(memory[k], self.rounds)
                    exchange = Exchange.open(
                        turn.links, rounds, self.outage, rng, accelerated=self.accelerated
                    )
                    entered = self.mixing.entering(memory[k], values)
                    memory[k], mixed = self.mixing.step(memory[k], values, exchange)
                    plain = Exchange(turn.links, rounds, exchange.up)
                    agreed = plain.mix(price[turn.rows][:, None])[:, 0]
                    over, slope = mixed[:, 0], np.maximum(mixed[:, 1], 0.0)
                    price[turn.rows] = self._move(agreed, over, slope)
                    saturated[turn.rows] = (over > 0.0) & (price[turn.rows] >= self.largest_price)
                    tally.add(turn, rounds, _NUMBERS)
                    tally.account.estimated(turn, exchange, entered=entered[:, :1], left=mixed[:, :1])
        return DualState(price, tuple(memory)), negotiated(
            self.graph,
            price,
            demand=demand,
            excess_kw=excess_kw,
            saturated=saturated,
            settled=False,
            tally=tally,
        )

    def _values(
        self,
        turn: Turn,
        price: Float[np.ndarray, "copies"],
        demand: Demand,
        excess_kw: Float[np.ndarray, "limits"],
    ) -> Float[np.ndarray, "rows 2"]:
        local_price = self.graph.copies.local_price(price)[turn.household]
        values = np.zeros((len(turn.rows), 2))
        values[:, :1] = own_values(turn, demand.power_kw(local_price, turn.household)[:, None], excess_kw)
        values[turn.held, 1] = turn.weight**2 * demand.slope_kw(local_price, turn.household)
        return values

    def _move(
        self,
        price: Float[np.ndarray, "rows"],
        over: Float[np.ndarray, "rows"],
        slope: Float[np.ndarray, "rows"],
    ) -> Float[np.ndarray, "rows"]:
        """Newton's step, kept within the reach of the slope at this price."""
        gentlest = np.maximum(np.abs(over) / self.largest_price, np.finfo(float).tiny)
        highest = np.minimum(np.maximum(self.reach * price, self.smallest_price), self.largest_price)
        lowest = np.where(price > self.smallest_price, price / self.reach, 0.0)
        moved: Float[np.ndarray, "rows"] = np.clip(
            price + over / np.maximum(slope, gentlest), np.minimum(lowest, highest), highest
        )
        return moved
