"""The `curve` step: neighbours agree on the mean answer to every price, then each reads off its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from grid_cosim.coordination.consensus import Exchange, LinkOutage, Mixing, TrackedMixing
from grid_cosim.coordination.copies import Copies
from grid_cosim.coordination.duals.levels import Alike, Inside, prices_of_levels
from grid_cosim.coordination.duals.points import REFINEMENT, about, by_column, close_to, window, without_ends
from grid_cosim.coordination.duals.protocol import (
    Demand,
    DualState,
    Negotiated,
    Tally,
    negotiated,
    own_values,
)
from grid_cosim.coordination.duals.reading import crossing, interpolated, monotone, refined_crossing
from grid_cosim.coordination.graph import CommunicationGraph, Turn

VOTES = 3
"""Rounds in which neighbours agree on which prices they talk about further."""

NEWS = 0.3
"""Share of a limit by which headroom must have changed for its meter to ask for a cold start's rounds."""

_FLAG_BYTES, _PLACE_BYTES = 1, 1


class _Part(NamedTuple):
    """The limits of a turn that negotiate in this control step."""

    k: int
    turn: Turn
    rows: Int[np.ndarray, "rows"] | slice
    """Where they are among the rows of the whole turn `k`."""
    anew: bool = False
    """Whether one meter's news is large, or they were slack in the last step: what they remember is old."""


Prices = Float[np.ndarray, "#held prices"]
_Asked = Callable[[Prices], Float[np.ndarray, "held prices"]]
"""What the members of a turn pay in all where its limits cost so much."""


@dataclass(frozen=True)
class CurveStep:
    """Every node tells its power at all of `prices`; after mixing it reads where its estimate crosses 0.

    No step size, nothing to overshoot. A limit's nodes exchange numbers `sweeps` times (D), with `rounds` (K)
    rounds each. In the first round a neighbour learns one's own curve, after that mixtures.

    Between two prices the sum is not known. So in all exchanges but the first a node tells by how much its
    true power at `refinement` times the price that it has found differs from its interpolated curve there
    (with one exchange it tells both at once, about the last step's). Before, neighbours vote near which fixed
    price that is: who is far off then speaks of the same prices as all others. In the same messages the mean
    at the fixed prices near it (`NEAR`) is mixed once more, from what the first rounds have left, so what is
    off there is what twice as many rounds leave. Where there are limits against generation a node also tells
    of prices close to the last one (`CLOSE`), unless links may fail: copies are too far apart for that then.
    Between prices that lie further apart than `widest` (and those of `refinement` do not) nothing is known,
    and the higher one is taken: it errs to the safe side until it is refined.

    Nested limits that carry all of what is behind them find their price levels from the inside out, and
    prices follow from these (`levels`): nothing has to be iterated between them. Other limits (parallel
    branches, voltages) come after them, outermost first, each at the prices of the others, all that `passes`
    times, and the nested ones once more; where such limits bind together their prices go on to settle over
    the control steps, and may be exceeded meanwhile.

    `quiet`: before anything else the nodes of every limit mix one number, what they draw where the limit has
    no price. Mixing keeps the mean, so if no node finds its estimate above 0 the limit is slack, its price is
    0 and nothing more is said. A node that finds it above passes that on, and so does who hears of it:
    after as many rounds as the graph is wide all know. What shares a home with an awake limit of the other
    sense is kept awake: its price could raise what is drawn here. A limit that wakes has as many rounds as at
    a cold start, and so has one whose headroom changed by much (`NEWS`): its meter's flag says so.
    Nothing is quiet with an outage, where news may get lost.
    How many rounds it takes: `grid-cosim benchmark steps`.
    """

    graph: CommunicationGraph
    prices: Float[np.ndarray, "prices"]
    refinement: tuple[float, ...] = REFINEMENT
    widest: float | None = 1.065
    rounds: int = 10
    sweeps: int = 1
    passes: int = 4
    mixing: Mixing = field(default_factory=TrackedMixing)
    outage: LinkOutage | None = None
    accelerated: bool = False
    quiet: bool = True

    @cached_property
    def levels(self) -> Float[np.ndarray, "levels"]:
        """At which caps ask: negative ones too, where a limit against reverse flow may be outside them."""
        if (self.graph.copies.weight >= 0.0).all():
            return self.prices
        return np.concatenate([-self.prices[:0:-1], self.prices])

    @property
    def copies(self) -> Copies:
        """Those of the graph."""
        return self.graph.copies

    def remembering(self) -> tuple[tuple[Turn, ...], ...]:
        """Of quiet limits, of the first exchanges, of the refined ones."""
        return (self.graph.whole,), self.graph.turns, self.graph.turns

    def init(self) -> DualState:
        """All prices 0, nothing said yet."""
        links = [turn.links for turn in self.graph.turns]
        memory = [self.mixing.init(each) for each in (self.graph.links, *links, *links)]
        nothing = np.zeros(self.graph.copies.n_copies)
        return DualState(nothing, tuple(memory), nothing)

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
        talk = _Talk(self, demand, limit_kw, offset_kw, rng, state)
        awake = talk.awake()
        caps, others = self._parts(awake, awake & talk.news)
        talk.begin_anew(part for part in (*caps, *others) if part.anew)
        talk.price = np.where(self._is_cap | ~awake[self.graph.copies.limit], 0.0, state.price)
        for _ in range(self.passes if others else 1):
            talk.settle_caps(caps)
            for part in others:
                talk.settle(part)
        if others:
            talk.settle_caps(caps)
        return DualState(talk.price, tuple(talk.memory), talk.level, awake), negotiated(
            self.graph,
            talk.price,
            demand=demand,
            excess_kw=talk.excess_kw,
            saturated=talk.saturated,
            settled=not others,
            tally=talk.tally,
        )

    @cached_property
    def _is_cap(self) -> Bool[np.ndarray, "copies"]:
        return self.graph.copies.caps[self.graph.copies.limit]

    def _parts(
        self, awake: Bool[np.ndarray, "limits"], anew: Bool[np.ndarray, "limits"]
    ) -> tuple[list[_Part], list[_Part]]:
        """Of every turn what is awake, outermost first: those of caps, and the others."""
        caps: list[_Part] = []
        others: list[_Part] = []
        for k, whole in enumerate(self.graph.turns):
            of_its_kind = caps if self.graph.copies.caps[whole.limits[0]] else others
            for begins in (False, True):
                here = (awake & (anew == begins))[whole.limits]
                if here.all():
                    of_its_kind.append(_Part(k, whole, slice(None), begins))
                elif here.any():
                    of_its_kind.append(_Part(k, *whole.among(here), begins))
        return caps, others


_Read = tuple[Float[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]
"""Every copy's price, and whether none is high enough."""


class _Talk:
    """The negotiation of one control step; `memory` is that of quiet limits, then of turns, then refined."""

    def __init__(
        self,
        step: CurveStep,
        demand: Demand,
        limit_kw: Float[np.ndarray, "limits"],
        offset_kw: Float[np.ndarray, "limits"],
        rng: np.random.Generator | None,
        state: DualState,
    ) -> None:
        assert state.level is not None, "a state of this dual step"
        self.excess_kw, self.memory = offset_kw - limit_kw, list(state.memory)
        assert np.isfinite(self.excess_kw).all(), "every meter knows its headroom"
        self.price, self.level = state.price, state.level.copy()
        self.saturated = np.zeros(len(state.price), dtype=bool)
        self.tally = Tally.zero(step.graph)
        self._step, self._demand, self._rng = step, demand, rng
        self._copies = step.graph.copies
        self.news = self._news(state, limit_kw)
        self._jumps = step.outage is None and bool((self._copies.weight < 0.0).any())

    def _news(self, state: DualState, limit_kw: Float[np.ndarray, "limits"]) -> Bool[np.ndarray, "limits"]:
        """Limits that were slack in the last step, or whose meter now tells of much more or less headroom."""
        told = state.memory[0].value
        if state.awake is None:
            return np.ones(self._copies.n_limits, dtype=bool)
        if told is None:  # nobody was asked whether it is slack, so nobody passes a flag on
            return ~state.awake
        change_kw = np.abs(self.excess_kw - told[self._step.graph.whole.meter, 0])
        return ~state.awake | (change_kw > NEWS * np.abs(limit_kw))

    def awake(self) -> Bool[np.ndarray, "limits"]:
        """Limits of which some node does not know that they are slack."""
        step, copies = self._step, self._copies
        has_members = np.diff(copies.start) > 1
        if not step.quiet or step.outage is not None:
            return has_members
        whole = step.graph.whole
        # prices of its own sense could only lower this, and limits of the other sense are looked at below
        drawn_kw = self._demand.power_kw(np.zeros(copies.n_households))[whole.household]
        everybody = _Part(0, whole, slice(None))
        own = own_values(whole, drawn_kw[:, None], self.excess_kw)
        mixed = self._mix(0, everybody, self._open(0, everybody), own)
        # what is no number wakes everybody
        awake = self._heard_of(whole, ~(mixed[:, 0] <= 0.0)) & has_members
        awake = copies.with_those_beside(awake)
        limits, messages = np.flatnonzero(awake), step.graph.messages_per_round
        self.tally.rounds += step.graph.hops
        self.tally.sent(limits, messages[limits], _FLAG_BYTES)
        return np.asarray(awake)

    def _heard_of(self, whole: Turn, awake: Bool[np.ndarray, "copies"]) -> Bool[np.ndarray, "limits"]:
        """Limits of which a node has raised its flag, once all have passed it on, and a meter its news."""
        if whole.links.border is not None:
            flags = np.stack([awake, np.zeros_like(awake)], axis=1)
            flags[whole.meter, 1] = self.news
            flags = Exchange(whole.links, int(self._step.graph.hops.max(initial=0))).passed_on(flags)
            awake, self.news = flags[:, 0], np.logical_or.reduceat(flags[:, 1], whole.start[:-1])
        return np.logical_or.reduceat(awake, whole.start[:-1])

    def begin_anew(self, parts: Iterable[_Part]) -> None:
        """The next exchange of these takes the rounds of a cold start."""
        for part in parts:
            for k in (1 + part.k, 1 + len(self._step.graph.turns) + part.k):
                self.memory[k] = self.memory[k].outdated(part.rows)

    def settle_caps(self, parts: list[_Part]) -> None:
        """Levels from the inside out, then prices from the outside in."""
        step, n_households = self._step, self._copies.n_households
        others = self._copies.local_price(np.where(step._is_cap, 0.0, self.price))
        alike = None if others.any() else Alike.of(self._demand, step.levels, [part.turn for part in parts])
        inside = Inside.nothing(n_households)
        for part in reversed(parts):
            turn = part.turn

            def asked(level: Prices, turn: Turn = turn, inside: Inside = inside) -> Prices:
                return inside.answered(turn, level) + others[turn.household, None]

            own_kw = None if alike is None else alike.answered_kw(turn, inside)
            self._agree(part, asked, step.levels, own_kw)
            inside = inside.within(turn, self.level[turn.rows])
        of_caps = prices_of_levels((part.turn for part in parts), self.level, n_households)
        self.price = np.where(step._is_cap, of_caps, self.price)

    def settle(self, part: _Part) -> None:
        """The prices of limits that are no caps, at the prices of all others."""
        turn = part.turn
        others = self.price.copy()
        others[turn.rows] = 0.0
        elsewhere = self._copies.local_price(others)[turn.household, None]
        self._agree(part, lambda price: elsewhere + turn.weight[:, None] * price, self._step.prices)
        self.price[turn.rows] = self.level[turn.rows]

    def _agree(
        self,
        part: _Part,
        asked: _Asked,
        fixed: Float[np.ndarray, "prices"],
        own_kw: Float[np.ndarray, "held prices"] | None = None,
    ) -> None:
        """Find the level of every copy of a turn: at the fixed prices first, then about what was found.

        `own_kw` is what the members draw at the fixed prices, where that is known.
        """
        step, turn, n_fixed = self._step, part.turn, len(fixed)
        at_once = step.sweeps == 1 and len(step.refinement) > 0
        if own_kw is None:
            own_kw = self._demand.curve_kw(asked(fixed[None]), turn.household)
        own = own_values(turn, own_kw, self.excess_kw)
        last = self.level[turn.rows]
        points, told = self._points(last, last, fixed), own
        if at_once:
            told = np.hstack([own, self._missed(turn, asked, points, fixed, own)])
        exchange = self._open(1 + part.k, part)
        mixed = self._mix(1 + part.k, part, exchange, told)
        mean, everywhere = mixed[:, :n_fixed], np.tile([0, n_fixed - 1], (len(mixed), 1))
        if at_once:
            found = self._read(fixed, mean, everywhere, mixed[:, n_fixed:], points)
        else:
            found = crossing(monotone(mean), np.broadcast_to(fixed, mean.shape), widest=step.widest)
        for _ in range(step.sweeps - 1 if step.refinement else 0):
            k = 1 + len(step.graph.turns) + part.k
            exchange = self._open(k, part)
            at = np.searchsorted(fixed, found[0])
            place = self._voted(turn, at)
            points = self._points(np.where(place == at, found[0], fixed[place]), last, fixed)
            missed = self._missed(turn, asked, points, fixed, own)
            near = window(place, n_fixed)
            mean = self._mixed_again(turn, exchange, mean, near)
            mixed = self._mix(k, part, exchange, missed)
            reach = np.where(np.abs(place - at)[:, None] > 1, near[:, [0, -1]], everywhere)
            last, found = found[0], self._read(fixed, mean, reach, mixed, points)
        self.level[turn.rows], self.saturated[turn.rows] = found

    def _voted(self, turn: Turn, own: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
        """Near which fixed price neighbours agree to talk; everybody begins with the place of its own.

        Who is far off, as the meter is when it has news, or a home that has just begun to draw, comes round.
        """
        step = self._step
        votes = Exchange.open(turn.links, min(VOTES, step.rounds), step.outage, self._rng)
        self.tally.rounds[turn.limits] += votes.rounds
        messages = step.graph.messages_per_round[turn.limits] * votes.rounds
        self.tally.sent(turn.limits, messages, _PLACE_BYTES)
        return votes.median(own)

    def _mixed_again(
        self,
        turn: Turn,
        exchange: Exchange,
        mean: Float[np.ndarray, "rows prices"],
        near: Int[np.ndarray, "rows near"],
    ) -> Float[np.ndarray, "rows prices"]:
        """The mean curve, of which what is near the price is mixed once more; nobody remembers that."""
        about = by_column(near)
        again = exchange.mix_shared(np.take_along_axis(mean, about, axis=1), about)
        self.tally.beside(turn, exchange.rounds, about.shape[1])
        mean = mean.copy()
        np.put_along_axis(mean, about, again, axis=1)
        return mean

    def _open(self, k: int, part: _Part) -> Exchange:
        """The rounds of a turn's nodes that remember `memory[k]`."""
        step = self._step
        rounds = step.mixing.rounds(self.memory[k].of(part.rows), step.rounds)
        return Exchange.open(part.turn.links, rounds, step.outage, self._rng, accelerated=step.accelerated)

    def _mix(
        self, k: int, part: _Part, exchange: Exchange, values: Float[np.ndarray, "rows features"]
    ) -> Float[np.ndarray, "rows features"]:
        """Exchange values among a turn's nodes; what they remember is `memory[k]`."""
        step, turn = self._step, part.turn
        memory = self.memory[k].of(part.rows)
        entered = step.mixing.entering(memory, values)
        memory, mixed = step.mixing.step(memory, values, exchange)
        n_nodes = (step.graph.whole, *step.graph.turns, *step.graph.turns)[k].links.n_nodes
        self.memory[k] = self.memory[k].updated(part.rows, memory, n_nodes)
        self.tally.add(turn, exchange.rounds, values.shape[1])
        self.tally.account.estimated(turn, exchange, entered=entered, left=mixed)
        return mixed

    def _missed(
        self,
        turn: Turn,
        asked: _Asked,
        points: Float[np.ndarray, "rows points"],
        fixed: Float[np.ndarray, "prices"],
        own: Float[np.ndarray, "rows prices"],
    ) -> Float[np.ndarray, "rows points"]:
        """What interpolating the own curve misses at the own points."""
        true_kw = self._demand.curve_kw(asked(points[turn.held]), turn.household)
        return own_values(turn, true_kw, self.excess_kw) - interpolated(own, fixed, points)

    def _points(
        self,
        found: Float[np.ndarray, "rows"],
        last: Float[np.ndarray, "rows"],
        fixed: Float[np.ndarray, "prices"],
    ) -> Float[np.ndarray, "rows points"]:
        """Prices of every copy's own refinement: about what it found, the smallest where that was 0."""
        if not self._step.refinement:
            return np.zeros((len(found), 0))
        smallest = self._step.prices[1]
        points = about(found, self._step.refinement, smallest)
        if self._jumps:
            points = np.hstack([points, close_to(last, smallest)])
        return np.asarray(np.clip(points, fixed[0], fixed[-1]))

    def _read(
        self,
        fixed: Float[np.ndarray, "prices"],
        mean: Float[np.ndarray, "rows prices"],
        reach: Int[np.ndarray, "rows 2"],
        missed: Float[np.ndarray, "rows points"],
        points: Float[np.ndarray, "rows points"],
    ) -> _Read:
        """Crossing of each copy's refined curve, or of its whole one within `reach` where that has none."""
        refined = missed + interpolated(mean, fixed, points)
        if self._jumps:
            kept = without_ends(points, len(self._step.refinement))
            refined, points = (np.take_along_axis(part, kept, axis=1) for part in (refined, points))
        return refined_crossing(fixed, mean, reach, points=points, refined=refined, widest=self._step.widest)
