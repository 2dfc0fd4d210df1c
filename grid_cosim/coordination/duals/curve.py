"""The `curve` step: neighbours agree on the mean answer to every price, then each reads off its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from grid_cosim.coordination.consensus import Exchange, LinkOutage, Mixing, TrackedMixing
from grid_cosim.coordination.duals.protocol import (
    Demand,
    DualState,
    Negotiated,
    Tally,
    negotiated,
    own_values,
)
from grid_cosim.coordination.graph import CommunicationGraph, Turn


def price_grid(
    largest: float, *, n_prices: int = 32, smallest: float | None = None
) -> Float[np.ndarray, "prices"]:
    """0 and `n_prices` - 1 prices, geometric from `smallest` to `largest`.

    `smallest` is a thousandth of the largest unless given.
    """
    first = largest / 1000.0 if smallest is None else smallest
    if n_prices < 3 or not 0.0 < first < largest:
        raise ValueError(
            f"got n_prices={n_prices}, smallest={first}, largest={largest}; expected 0 < smallest < largest"
        )
    return np.concatenate([[0.0], np.geomspace(first, largest, n_prices - 1)])


def monotone(curve: Float[np.ndarray, "rows prices"]) -> Float[np.ndarray, "rows prices"]:
    """Non-increasing rows: the middle of the two envelopes; rows that are non-increasing stay as they are."""
    below = np.minimum.accumulate(curve, axis=1)
    above = np.maximum.accumulate(curve[:, ::-1], axis=1)[:, ::-1]
    return 0.5 * (below + above)


def crossing(
    curve: Float[np.ndarray, "rows prices"],
    prices: Float[np.ndarray, "rows prices"],
    *,
    widest: float | None = None,
) -> tuple[Float[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]:
    """Lowest price at which each non-increasing row is ≤ 0, linear between its prices; and where none is.

    0 where the row starts at or below 0 (the limit is slack), its largest price where it never gets there.
    Where the next price is more than `widest` times the one before, nothing is known of what lies between:
    there it is the higher one, at which the row is surely ≤ 0.
    """
    over = curve > 0.0
    right = np.clip(over.sum(axis=1), 1, curve.shape[1] - 1)
    row = np.arange(len(curve))
    high, low = curve[row, right - 1], curve[row, right]
    inside = (high > 0.0) & (low <= 0.0)
    share = np.where(inside, high, 0.0) / np.where(inside, high - low, 1.0)
    below, above = prices[row, right - 1], prices[row, right]
    price = below + share * (above - below)
    if widest is not None:
        price = np.where(above > widest * below, above, price)
    never = over[:, -1]
    return np.where(never, prices[:, -1], np.where(over[:, 0], price, 0.0)), never


def interpolated(
    curve: Float[np.ndarray, "rows prices"],
    prices: Float[np.ndarray, "prices"],
    at: Float[np.ndarray, "rows points"],
) -> Float[np.ndarray, "rows points"]:
    """Every row's linear interpolation at its own points, which lie within `prices`."""
    left = np.clip(np.searchsorted(prices, at, side="right") - 1, 0, len(prices) - 2)
    share = (at - prices[left]) / (prices[left + 1] - prices[left])
    row = np.arange(len(curve))[:, None]
    between: Float[np.ndarray, "rows points"] = (
        curve[row, left] * (1.0 - share) + curve[row, left + 1] * share
    )
    return between


REFINEMENT = (0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 1.0, 1.025, 1.05, 1.075, 1.1, 1.15, 1.2, 1.25, 1.3)
"""Multiples of one's own last price at which a node tells more: prices move little between two steps."""


@dataclass(frozen=True)
class CurveStep:
    """Every node tells its power at all of `prices`; after mixing it reads where its estimate crosses 0.

    No step size, no iteration, nothing to overshoot. Limits are swept from the outermost level,
    `sweeps` times (D), with `rounds` (K) rounds per turn. In the first round a neighbour learns one's
    own curve, after that mixtures.

    Between two prices the sum is not known. So a node also tells by how much its true power at
    `refinement` times its own last price differs from its interpolated curve there. The copies
    need not agree on that price: the differences are small, and refer to nearly the same one.
    Between prices that lie further apart than `widest` (and those of `refinement` do not) nothing is
    known, and the higher one is taken: it errs to the safe side for the one step until it is refined.
    How many rounds it takes: `grid-cosim benchmark steps`.
    """

    graph: CommunicationGraph
    prices: Float[np.ndarray, "prices"]
    refinement: tuple[float, ...] = REFINEMENT
    widest: float | None = 1.065
    rounds: int = 10
    sweeps: int = 1
    mixing: Mixing = field(default_factory=TrackedMixing)
    outage: LinkOutage | None = None
    accelerated: bool = False

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
        """Negotiate once; demand is asked anew before each turn."""
        excess_kw = offset_kw - limit_kw
        price, memory = state.price.copy(), list(state.memory)
        saturated = np.zeros(len(price), dtype=bool)
        tally = Tally.zero(self.graph)
        for _ in range(self.sweeps):
            for k, turn in enumerate(self.graph.turns):
                points = self._points(price[turn.rows])
                values = self._values(turn, points, price, demand, excess_kw)
                rounds = self.mixing.rounds(memory[k], self.rounds)
                exchange = Exchange.open(turn.links, rounds, self.outage, rng, accelerated=self.accelerated)
                entered = self.mixing.entering(memory[k], values)
                memory[k], mixed = self.mixing.step(memory[k], values, exchange)
                price[turn.rows], saturated[turn.rows] = self._read(mixed, points)
                tally.add(turn, rounds, mixed.shape[1])
                tally.account.estimated(turn, exchange, entered=entered, left=mixed)
        return DualState(price, tuple(memory)), negotiated(
            self.graph,
            price,
            demand=demand,
            excess_kw=excess_kw,
            saturated=saturated,
            settled=True,
            tally=tally,
        )

    def _points(self, price: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows points"]:
        """Prices of every copy's own refinement: around its last price, the smallest where that was 0."""
        around = np.maximum(price, self.prices[1])[:, None]
        points: Float[np.ndarray, "rows points"] = np.minimum(
            around * np.array(self.refinement), self.prices[-1]
        )
        return points

    def _values(
        self,
        turn: Turn,
        points: Float[np.ndarray, "rows points"],
        price: Float[np.ndarray, "copies"],
        demand: Demand,
        excess_kw: Float[np.ndarray, "limits"],
    ) -> Float[np.ndarray, "rows features"]:
        """The own curve at all prices, then what interpolating it misses at the own points."""
        n_fixed = len(self.prices)
        elsewhere = price.copy()
        elsewhere[turn.rows] = 0.0
        asked = np.tile(self.graph.copies.local_price(elsewhere)[:, None], n_fixed + points.shape[1])
        asked[turn.household, :n_fixed] += turn.weight[:, None] * self.prices
        asked[turn.household, n_fixed:] += turn.weight[:, None] * points[turn.held]
        values = own_values(turn, demand.curve_kw(asked), excess_kw)
        values[:, n_fixed:] -= interpolated(values[:, :n_fixed], self.prices, points)
        return values

    def _read(
        self, mixed: Float[np.ndarray, "rows features"], points: Float[np.ndarray, "rows points"]
    ) -> tuple[Float[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]:
        """Crossing of each copy's curve with its refined points sorted in; and whether there is none."""
        n_fixed = len(self.prices)
        curve = mixed[:, :n_fixed]
        refined = mixed[:, n_fixed:] + interpolated(curve, self.prices, points)
        prices = np.concatenate([np.tile(self.prices, (len(curve), 1)), points], axis=1)
        order = np.argsort(prices, axis=1, kind="stable")
        power = np.take_along_axis(np.concatenate([curve, refined], axis=1), order, axis=1)
        return crossing(monotone(power), np.take_along_axis(prices, order, axis=1), widest=self.widest)
