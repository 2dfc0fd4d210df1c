"""The `exact` step: the price that somebody finds who may ask everybody: a yardstick for agreeing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from grid_cosim.coordination.copies import Copies
from grid_cosim.coordination.duals.bisection import least_price
from grid_cosim.coordination.duals.levels import Inside, prices_of_levels
from grid_cosim.coordination.duals.protocol import Demand, DualState, Negotiated, Status
from grid_cosim.coordination.graph import CommunicationGraph, Links, Turn

_HALVINGS = 40
"""The bracket of the price shrinks by 1e-12."""


@dataclass(frozen=True)
class ExactStep:
    """Per limit the least price ≥ 0 at which Σ A p(μ) + o - c ≤ 0, by bisection on the true sum.

    One price per limit, the same in all of its copies; `largest_price` where none suffices. Where the
    answer jumps, the price lies beyond the jump, so that the limit holds. Nested limits by their levels,
    others after them, `passes` times, and the nested ones once more, as `CurveStep` does. Nobody sends a
    message: this needs a centre.
    """

    copies: Copies
    largest_price: float
    passes: int = 4

    def remembering(self) -> tuple[tuple[Turn, ...], ...]:
        """Nothing is remembered but the prices."""
        return ()

    def init(self) -> DualState:
        """All prices 0."""
        return DualState(np.zeros(self.copies.n_copies), ())

    def step(
        self,
        state: DualState,
        *,
        demand: Demand,
        limit_kw: Float[np.ndarray, "limits"],
        offset_kw: Float[np.ndarray, "limits"],
        rng: np.random.Generator | None = None,
    ) -> tuple[DualState, Negotiated]:
        """Price one turn after the other; nothing is random and nothing kept but the prices."""
        copies, excess_kw = self.copies, offset_kw - limit_kw
        clearing = _Clearing(self, demand, excess_kw, np.zeros(copies.n_limits, dtype=bool))
        is_cap = copies.caps[copies.limit]
        price = np.where(is_cap, 0.0, state.price)
        caps, others = (
            [turn for turn in self._turns if copies.caps[turn.limits[0]] == kind] for kind in (True, False)
        )
        for last in range(self.passes + 1 if others else 1):
            elsewhere = copies.local_price(np.where(is_cap, 0.0, price))
            of_caps = prices_of_levels(caps, clearing.levels(caps, elsewhere), copies.n_households)
            price = np.where(is_cap, of_caps, price)
            for turn in others if last < self.passes else ():
                without = price.copy()
                without[turn.rows] = 0.0
                price[turn.rows] = clearing.price(turn, copies.local_price(without)[turn.household])
        saturated = clearing.saturated
        local_price = copies.local_price(price)
        nothing = np.zeros(copies.n_limits, dtype=np.int64)
        return DualState(price, ()), Negotiated(
            price=price,
            local_price=local_price,
            residual_kw=copies.coupling @ demand.power_kw(local_price) + excess_kw,
            saturated=saturated,
            status=Status.SATURATED if saturated.any() else Status.SETTLED,
            rounds=nothing,
            messages=nothing,
            message_bytes=nothing,
            consensus_error_eur_per_kwh=np.zeros(copies.n_limits),
        )

    @cached_property
    def _turns(self) -> tuple[Turn, ...]:
        nobody_talks = Links.metropolis(self.copies.n_copies, np.zeros((0, 2), dtype=np.int64))
        return CommunicationGraph(self.copies, nobody_talks).turns


@dataclass(frozen=True)
class _Clearing:
    """The bisections of one control step; they mark the limits that no price holds as saturated."""

    step: ExactStep
    demand: Demand
    excess_kw: Float[np.ndarray, "limits"]
    saturated: Bool[np.ndarray, "limits"]

    def levels(
        self, caps: Sequence[Turn], elsewhere: Float[np.ndarray, "households"]
    ) -> Float[np.ndarray, "copies"]:
        """Levels of the caps, from the inside out."""
        copies = self.step.copies
        lowest = 0.0 if (copies.weight >= 0.0).all() else -self.step.largest_price
        inside, level = Inside.nothing(copies.n_households), np.zeros(copies.n_copies)
        for turn in reversed(caps):

            def paid(
                asked: Float[np.ndarray, "held"], turn: Turn = turn, inside: Inside = inside
            ) -> Float[np.ndarray, "held"]:
                return inside.answered(turn, asked[:, None])[:, 0] + elsewhere[turn.household]

            level[turn.rows] = self._least(turn, paid, lowest)
            inside = inside.within(turn, level[turn.rows])
        return level

    def price(self, turn: Turn, elsewhere: Float[np.ndarray, "held"]) -> Float[np.ndarray, "rows"]:
        """Prices of limits that are no caps."""
        return self._least(turn, lambda asked: elsewhere + turn.weight * asked, 0.0)

    def _least(
        self,
        turn: Turn,
        paid: Callable[[Float[np.ndarray, "held"]], Float[np.ndarray, "held"]],
        lowest: float,
    ) -> Float[np.ndarray, "rows"]:
        """Least price of each limit of a turn that holds it, the same for all of its copies."""
        size = np.diff(turn.start) - 1
        limit = np.repeat(np.arange(size.size), size)

        def exceeded(asked: Float[np.ndarray, "limits_here"]) -> Bool[np.ndarray, "limits_here"]:
            drawn_kw = turn.weight * self.demand.power_kw(paid(asked[limit]), turn.household)
            total_kw = np.bincount(limit, weights=drawn_kw, minlength=size.size)
            return np.asarray(total_kw + self.excess_kw[turn.limits] > 0.0)

        low, high = np.full(size.size, lowest), np.full(size.size, self.step.largest_price)
        short = exceeded(low)
        self.saturated[turn.limits] = False
        if short.any():
            least = least_price(exceeded, low, high, halvings=_HALVINGS)
            low, self.saturated[turn.limits] = np.where(short, least, lowest), exceeded(high)
        return np.repeat(low, size + 1)
