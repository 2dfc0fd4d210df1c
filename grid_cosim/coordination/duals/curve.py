"""The `curve` step: neighbours agree on the mean answer to every price, then each reads off its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from grid_cosim.coordination.consensus import Exchange, LinkOutage, Memory, Mixing, TrackedMixing
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


REFINEMENT = tuple(np.geomspace(0.77, 1.3, 16).tolist())
"""Multiples of one's own last price at which a node tells more; they reach the neighbouring grid prices."""

_FLAG_BYTES = 1


class _Part(NamedTuple):
    """The limits of a turn that negotiate in this control step."""

    k: int
    turn: Turn
    rows: Int[np.ndarray, "rows"] | slice
    """Where they are among the rows of the whole turn `k`."""


class _Curves(NamedTuple):
    """What every node told of its curve, and the mean that it heard."""

    own: Float[np.ndarray, "rows prices"]
    mean: Float[np.ndarray, "rows prices"]


@dataclass(frozen=True)
class CurveStep:
    """Every node tells its power at all of `prices`; after mixing it reads where its estimate crosses 0.

    No step size, nothing to overshoot. Limits are swept from the outermost level, `sweeps` times (D), with
    `rounds` (K) rounds per turn. In the first round a neighbour learns one's own curve, after that mixtures.

    Between two prices the sum is not known. So in all sweeps but the first a node tells by how much its true
    power at `refinement` times its own last price differs from its interpolated curve there (with one sweep
    it tells both at once). The copies need not agree on that price: the differences are small, and refer to
    nearly the same one. Between prices that lie further apart than `widest` (and those of `refinement` do
    not) nothing is known, and the higher one is taken: it errs to the safe side until it is refined.

    `quiet`: before anything else the nodes of every limit mix one number, what they draw where the limit has
    no price. Mixing keeps the mean, so if no node finds its estimate above 0 the limit is slack, its price is
    0 and nothing more is said. A node that finds it above passes that on, and so does who hears of it:
    after as many rounds as the graph is wide all know. Not with an outage, where news may get lost.
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
    quiet: bool = True

    def init(self) -> DualState:
        """All prices 0, nothing said yet."""
        links = [turn.links for turn in self.graph.turns]
        memory = [self.mixing.init(each) for each in (self.graph.links, *links, *links)]
        return DualState(np.zeros(self.graph.copies.n_copies), tuple(memory))

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
        talk = _Talk(self, demand, offset_kw - limit_kw, rng, list(state.memory))
        awake = talk.awake(state.price)
        price = np.where(awake[self.graph.copies.limit], state.price, 0.0)
        saturated = np.zeros(len(price), dtype=bool)
        parts = self._parts(awake)
        curves: dict[int, _Curves] = {}
        for sweep in range(self.sweeps):
            for part in parts:
                rows = part.turn.rows
                if sweep == 0 or not self.refinement:
                    curves[part.k], read = talk.first(part, price)
                else:
                    read = talk.again(part, price, curves[part.k])
                price[rows], saturated[rows] = read
        return DualState(price, tuple(talk.memory)), negotiated(
            self.graph,
            price,
            demand=demand,
            excess_kw=talk.excess_kw,
            saturated=saturated,
            settled=True,
            tally=talk.tally,
        )

    def _parts(self, awake: Bool[np.ndarray, "limits"]) -> list[_Part]:
        """Of every turn what is awake, outermost first."""
        parts = []
        for k, whole in enumerate(self.graph.turns):
            here = awake[whole.limits]
            if here.all():
                parts.append(_Part(k, whole, slice(None)))
            elif here.any():
                parts.append(_Part(k, *whole.among(here)))
        return parts


_Read = tuple[Float[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]
"""Every copy's price, and whether none is high enough."""


class _Talk:
    """The negotiation of one control step; `memory` is that of quiet limits, then of turns, then refined."""

    def __init__(
        self,
        step: CurveStep,
        demand: Demand,
        excess_kw: Float[np.ndarray, "limits"],
        rng: np.random.Generator | None,
        memory: list[Memory],
    ) -> None:
        self.excess_kw, self.memory = excess_kw, memory
        self.tally = Tally.zero(step.graph)
        self._step, self._demand, self._rng = step, demand, rng
        self._copies = step.graph.copies

    def awake(self, price: Float[np.ndarray, "copies"]) -> Bool[np.ndarray, "limits"]:
        """Limits of which some node does not know that they are slack; `price` is that of the last step."""
        step, copies = self._step, self._copies
        if not step.quiet or step.outage is not None:
            return np.ones(copies.n_limits, dtype=bool)
        whole = step.graph.whole
        # a price can only raise what is drawn behind limits of the other sense
        raising, lowering = (
            copies.local_price(np.where(sign * copies.weight > 0.0, price, 0.0)) for sign in (-1, 1)
        )
        drawn_kw = self._demand.power_kw(raising)[whole.household]
        if lowering.any() or (whole.weight < 0.0).any():
            opposite_kw = self._demand.power_kw(lowering)[whole.household]
            drawn_kw = np.where(whole.weight > 0.0, drawn_kw, opposite_kw)
        values = own_values(whole, drawn_kw[:, None], self.excess_kw)
        mixed = self._mix(0, whole, slice(None), values)
        awake = np.maximum.reduceat(mixed[:, 0], whole.start[:-1]) > 0.0
        graph, limits = step.graph, np.flatnonzero(awake)
        self.tally.rounds += graph.hops
        self.tally.sent(limits, graph.messages_per_round[limits], _FLAG_BYTES)
        return np.asarray(awake)

    def first(self, part: _Part, price: Float[np.ndarray, "copies"]) -> tuple[_Curves, _Read]:
        """Tell the curve at the fixed prices; where there is but one sweep, at the refined ones as well."""
        step, turn = self._step, part.turn
        n_fixed = len(step.prices)
        elsewhere = self._elsewhere(turn, price)
        own = self._own(turn, self._asked(turn, elsewhere, step.prices[None]))
        points = self._points(price[turn.rows])
        if step.sweeps == 1:
            own = np.hstack([own, self._missed(turn, elsewhere, points, own)])
        mixed = self._mix(1 + part.k, turn, part.rows, own)
        curves = _Curves(own[:, :n_fixed], mixed[:, :n_fixed])
        if step.sweeps == 1:
            return curves, self._read(curves.mean, mixed[:, n_fixed:], points)
        prices = np.broadcast_to(step.prices, curves.mean.shape)
        return curves, crossing(monotone(curves.mean), prices, widest=step.widest)

    def again(self, part: _Part, price: Float[np.ndarray, "copies"], curves: _Curves) -> _Read:
        """Tell what the curve misses about the price that was just found."""
        turn = part.turn
        points = self._points(price[turn.rows])
        missed = self._missed(turn, self._elsewhere(turn, price), points, curves.own)
        mixed = self._mix(1 + len(self._step.graph.turns) + part.k, turn, part.rows, missed)
        return self._read(curves.mean, mixed, points)

    def _mix(
        self,
        k: int,
        turn: Turn,
        rows: Int[np.ndarray, "rows"] | slice,
        values: Float[np.ndarray, "rows features"],
    ) -> Float[np.ndarray, "rows features"]:
        """Exchange values among a turn's nodes; what they remember is `memory[k]`."""
        step = self._step
        memory = self.memory[k].of(rows)
        rounds = step.mixing.rounds(memory, step.rounds)
        exchange = Exchange.open(turn.links, rounds, step.outage, self._rng, accelerated=step.accelerated)
        entered = step.mixing.entering(memory, values)
        memory, mixed = step.mixing.step(memory, values, exchange)
        n_nodes = (step.graph.whole, *step.graph.turns, *step.graph.turns)[k].links.n_nodes
        self.memory[k] = self.memory[k].updated(rows, memory, n_nodes)
        self.tally.add(turn, rounds, values.shape[1])
        self.tally.account.estimated(turn, exchange, entered=entered, left=mixed)
        return mixed

    def _elsewhere(self, turn: Turn, price: Float[np.ndarray, "copies"]) -> Float[np.ndarray, "held"]:
        """What every member's other limits cost it."""
        others = price.copy()
        others[turn.rows] = 0.0
        return self._copies.local_price(others)[turn.household]

    def _asked(
        self, turn: Turn, elsewhere: Float[np.ndarray, "held"], price: Float[np.ndarray, "#held prices"]
    ) -> Float[np.ndarray, "held prices"]:
        """Local prices of the members at prices of this turn's limits."""
        if len(price) == 1 and not elsewhere.any() and (turn.weight == 1.0).all():
            return np.broadcast_to(price, (len(turn.held), price.shape[1]))
        return elsewhere[:, None] + turn.weight[:, None] * price

    def _own(self, turn: Turn, asked: Float[np.ndarray, "held prices"]) -> Float[np.ndarray, "rows prices"]:
        return own_values(turn, self._demand.curve_kw(asked, turn.household), self.excess_kw)

    def _missed(
        self,
        turn: Turn,
        elsewhere: Float[np.ndarray, "held"],
        points: Float[np.ndarray, "rows points"],
        own: Float[np.ndarray, "rows prices"],
    ) -> Float[np.ndarray, "rows points"]:
        """What interpolating the own curve misses at the own points."""
        true = self._own(turn, self._asked(turn, elsewhere, points[turn.held]))
        return true - interpolated(own, self._step.prices, points)

    def _points(self, price: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows points"]:
        """Prices of every copy's own refinement: around its last price, the smallest where that was 0."""
        prices = self._step.prices
        around = np.maximum(price, prices[1])[:, None]
        points: Float[np.ndarray, "rows points"] = np.minimum(
            around * np.array(self._step.refinement), prices[-1]
        )
        return points

    def _read(
        self,
        mean: Float[np.ndarray, "rows prices"],
        missed: Float[np.ndarray, "rows points"],
        points: Float[np.ndarray, "rows points"],
    ) -> _Read:
        """Crossing of each copy's refined curve, of the whole one where that does not reach."""
        fixed = self._step.prices
        widest = self._step.widest
        refined = missed + interpolated(mean, fixed, points)
        if not refined.shape[1]:
            return crossing(monotone(mean), np.broadcast_to(fixed, mean.shape), widest=widest)
        price, never = crossing(monotone(refined), points, widest=widest)
        beyond = np.flatnonzero((refined[:, 0] <= 0.0) | (refined[:, -1] > 0.0))
        if beyond.size:
            prices = np.hstack([np.tile(fixed, (beyond.size, 1)), points[beyond]])
            power = np.hstack([mean[beyond], refined[beyond]])
            order = np.argsort(prices, axis=1, kind="stable")
            power, prices = (np.take_along_axis(part, order, axis=1) for part in (power, prices))
            price[beyond], never[beyond] = crossing(monotone(power), prices, widest=widest)
        return price, never
