"""The `gradient` step of the paper: one price and one share per message, projected, then mixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from grid_cosim.coordination.consensus import Exchange, LinkOutage, TrackedMixing
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

_NUMBERS = 2
"""A message carries the price and the share of the limit."""


@dataclass(frozen=True)
class GradientStep:
    """λ_i ← [λ_i + η (p_i + s_i)]₊, then K rounds of mixing (arXiv 2605.30461).

    s_i is node i's estimate of its share of o - c: the meter's term, spread by tracked mixing in the
    same messages, so that Σ s = o - c at all times and nobody needs to know c or N. (Were the meter to
    keep o - c for itself, the projection at 0 would swallow nearly all of it and the price would only
    rise.) A household's power is never sent, but not hidden either: λ + η (p + s) and s come in one message,
    so a neighbour that knows λ, as it does once the copies agree, can compute p.
    `dual_step` (η, EUR/kWh per kW); `startup_rounds` spread the shares before the first step. The
    limit holds on average over time; there is no upper clamp on the prices.
    """

    graph: CommunicationGraph
    dual_step: float
    rounds: int = 10
    dual_iterations: int = 1
    startup_rounds: int = 100
    outage: LinkOutage | None = None

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
        shares = TrackedMixing()
        return DualState(
            np.zeros(self.graph.copies.n_copies), tuple(shares.init(turn.links) for turn in turns)
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
        """D iterations over all levels, outermost first; demand is asked anew before each turn."""
        copies = self.graph.copies
        excess_kw = offset_kw - limit_kw
        price, memory = state.price.copy(), list(state.memory)
        tally = Tally.zero(self.graph)
        shares = TrackedMixing()
        for _ in range(self.dual_iterations):
            for k, turn in enumerate(self.graph.turns):
                meter_term = own_values(turn, np.zeros((len(turn.held), 1)), excess_kw)
                if memory[k].new:
                    startup = Exchange.open(turn.links, self.startup_rounds, self.outage, rng)
                    memory[k], _ = shares.step(memory[k], meter_term, startup)
                    tally.add(turn, self.startup_rounds, 1)
                # entered before any round, so that the mean of λ moves by η mean(v) of this very moment
                memory[k], share = shares.step(memory[k], meter_term, Exchange(turn.links, 0))
                local_price = copies.local_price(price)[turn.household]
                power_kw = demand.power_kw(local_price, turn.household)[:, None]
                own = own_values(turn, power_kw, np.zeros(copies.n_limits)) + share
                before = price[turn.rows]
                raised = np.maximum(before + self.dual_step * own[:, 0], 0.0)
                exchange = Exchange.open(turn.links, self.rounds, self.outage, rng)
                memory[k], _ = shares.step(memory[k], meter_term, exchange)
                price[turn.rows] = exchange.mix(raised[:, None])[:, 0]
                tally.add(turn, self.rounds, _NUMBERS)
                tally.account.moved(
                    turn,
                    exchange,
                    own_kw=own[:, 0],
                    rise=price[turn.rows] - before,
                    dual_step=self.dual_step,
                    iterations=self.dual_iterations,
                )
        nowhere = np.zeros(copies.n_copies, dtype=bool)
        return DualState(price, tuple(memory)), negotiated(
            self.graph,
            price,
            demand=demand,
            excess_kw=excess_kw,
            saturated=nowhere,
            settled=False,
            tally=tally,
        )
