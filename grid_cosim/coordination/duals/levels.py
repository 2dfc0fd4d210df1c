"""Nested limits by price levels: what a home behind several limits pays in all is found from the inside out.

Where limits are nested and carry all of what is behind them (`Copies.caps`), write θ for what a home pays in
all, summed from the outermost limit inwards. A limit is a cap: its group draws Σ p(θ) ≤ c. Let m be the level
at which the group, on its own, just keeps the cap. Whatever the level x outside, the group pays max(x, m): at
x ≥ m the cap is slack and its own price 0, below it the price is m - x. So the next limit outwards asks its
homes what they draw at max(x, m), finds its own m, and so on: one pass from the inside out finds all levels,
and one from the outside in all prices, λ = θ - x ≥ 0. These are the multipliers of the optimum (they satisfy
its conditions: Σ p ≤ c, λ ≥ 0, and λ = 0 where Σ p < c), without any iteration between the limits.

A limit against reverse flow is a cap on -p: its group pays min(x, -m). What is inside a limit thus acts on x
as clipping to an interval, and clipping twice is clipping once: each home keeps two numbers, however many
limits are inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from grid_cosim.coordination.duals.protocol import Demand
from grid_cosim.coordination.graph import Turn


@dataclass(frozen=True)
class Inside:
    """What the limits so far do to every home's level: it is clipped to [low, high]; EUR/kWh."""

    low: Float[np.ndarray, "households"]
    high: Float[np.ndarray, "households"]

    @classmethod
    def nothing(cls, n_households: int) -> Inside:
        """No limit yet."""
        return cls(np.full(n_households, -np.inf), np.full(n_households, np.inf))

    def answered(
        self, turn: Turn, level: Float[np.ndarray, "#held levels"]
    ) -> Float[np.ndarray, "held levels"]:
        """What the homes of a turn pay in all where its limits are at these levels."""
        low, high = self.low[turn.household, None], self.high[turn.household, None]
        return np.clip(turn.weight[:, None] * level, low, high)

    def within(self, turn: Turn, level: Float[np.ndarray, "rows"]) -> Inside:
        """The same with the limits of a turn around it, which hold at `level`."""
        home, own = turn.household, turn.weight * level[turn.held]
        low, high = self.low.copy(), self.high.copy()
        clipped = np.clip(own, self.low[home], self.high[home])
        forward = turn.weight > 0.0
        low[home[forward]] = clipped[forward]
        high[home[~forward]] = clipped[~forward]
        return Inside(low, high)


@dataclass(frozen=True)
class Alike:
    """What homes draw at levels that are the same for all, asked once for all the limits they are behind."""

    demand: Demand
    level: Float[np.ndarray, "levels"]
    row_of: Int[np.ndarray, "households"]
    """Row of each home below; -1 for those that nobody asks."""
    power_kw: Float[np.ndarray, "asked levels"]

    @classmethod
    def of(cls, demand: Demand, level: Float[np.ndarray, "levels"], turns: Sequence[Turn]) -> Alike:
        """Ask the homes of some turns."""
        asked = np.unique(np.concatenate([turn.household for turn in turns] or [np.zeros(0, dtype=np.int64)]))
        row_of = np.full(asked.max(initial=-1) + 1, -1)
        row_of[asked] = np.arange(asked.size)
        return cls(
            demand, level, row_of, demand.curve_kw(np.broadcast_to(level, (asked.size, level.size)), asked)
        )

    def answered_kw(self, turn: Turn, inside: Inside) -> Float[np.ndarray, "held levels"]:
        """What the members of a turn draw where its limits are at these levels; weights are 1 or -1.

        Where something inside clips the level, that is one price for each home, and asked for.
        """
        home = turn.household
        found = self.power_kw[self.row_of[home]]
        backward = turn.weight < 0.0
        if backward.any():  # the levels are symmetric about 0 then
            found[backward] = found[backward, ::-1]
        level = turn.weight[:, None] * self.level
        for bound, beyond in (
            (inside.low[home], level < inside.low[home, None]),
            (inside.high[home], level > inside.high[home, None]),
        ):
            rows = np.flatnonzero(beyond.any(axis=1))
            if rows.size:
                clipped_kw = self.demand.power_kw(bound[rows], home[rows])[:, None]
                found[rows] = np.where(beyond[rows], clipped_kw, found[rows])
        return found


def prices_of_levels(
    turns: Iterable[Turn], level: Float[np.ndarray, "copies"], n_households: int
) -> Float[np.ndarray, "copies"]:
    """Every copy's price from the levels at which its limit holds, -inf where that says nothing.

    `turns` from the outermost level inwards. A household needs its own copies only. A meter pays nothing;
    its copy is told beside its members' as what the limit adds to what they pay outside on average.
    """
    price, outside = np.zeros(len(level)), np.zeros(n_households)
    for turn in turns:
        home, own = turn.household, level[turn.rows[turn.held]]
        added = np.maximum(own - turn.weight * outside[home], 0.0)
        price[turn.rows[turn.held]] = added
        size = np.diff(turn.start) - 1
        limit = np.repeat(np.arange(size.size), size)
        total = np.bincount(limit, weights=turn.weight * outside[home], minlength=size.size)
        mean = total / np.maximum(size, 1)
        price[turn.rows[turn.meter]] = np.maximum(level[turn.rows[turn.meter]] - mean, 0.0)
        outside[home] += turn.weight * added
    return price
