"""Rounds of mixing: what an average costs in messages, and what is remembered between control steps.

An `Exchange` is K rounds on a graph with the failures of its links already drawn. A `Mixing` decides
what enters these rounds: today's values (`FreshMixing`), or what was agreed so far plus the change
of the own value (`TrackedMixing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array, diags_array

from grid_cosim.coordination.graph import Links, block, middle_and_half

_IN_CACHE, _FEWEST_COLUMNS = 2**17, 16
"""Numbers that are mixed at a time, or that many columns: all rounds of some groups of nodes, then of the
next ones, and where a group alone is large, of some of its columns. What does not fit a processor's cache
would go to memory and back in every round."""


@dataclass(frozen=True)
class LinkOutage:
    """Every link is down, for both its ends, with `probability` in every round, independently."""

    probability: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability < 1.0:
            raise ValueError(f"probability: got {self.probability}, expected 0 <= probability < 1")


@dataclass(frozen=True)
class Exchange:
    """`rounds` rounds with the neighbours; `up` says which links work in which (None: all).

    `accelerated` rounds are Chebyshev's semi-iteration (Auzinger & Melenk 2011; for consensus:
    Montijano, Montijano, Sagues 2013): a node combines what it hears with its own last two values, by
    weights that follow from the interval of the graph's eigenvalues, known since it was laid out. Links
    that fail change the eigenvalues: with an outage all rounds are plain.
    """

    links: Links
    rounds: int
    up: Bool[np.ndarray, "rounds links"] | None = None
    accelerated: bool = False

    @classmethod
    def open(
        cls,
        links: Links,
        rounds: int,
        outage: LinkOutage | None = None,
        rng: np.random.Generator | None = None,
        *,
        accelerated: bool = False,
    ) -> Exchange:
        """Draw the failures of the coming rounds; `rng` is needed with an outage only."""
        if outage is None or outage.probability == 0.0:
            return cls(links, rounds, accelerated=accelerated)
        if rng is None:
            raise ValueError("rng: link outages are random; expected a generator")
        return cls(links, rounds, rng.random((rounds, len(links.ends))) >= outage.probability)

    def mix(self, values: Float[np.ndarray, "nodes features"]) -> Float[np.ndarray, "nodes features"]:
        """After the rounds; the mean over each connected group stays.

        No value leaves the hull of what went in, unless the rounds are accelerated. Over a link that is
        down both ends keep the weight for themselves: W stays symmetric and doubly stochastic in every
        round.
        """
        if self.up is None:
            if values.size <= _IN_CACHE or self.links.border is not None:
                return self._all_links_up(values, slice(None))
            mixed = np.empty_like(values)
            for rows in self._in_cache(values.shape[1]):
                at_once = max(_FEWEST_COLUMNS, _IN_CACHE // (rows.stop - rows.start))
                for first in range(0, values.shape[1], at_once):
                    block = np.ascontiguousarray(values[rows, first : first + at_once])
                    mixed[rows, first : first + at_once] = self._all_links_up(block, rows)
            return mixed
        incidence = self.links.incidence
        for up in self.up:
            values = self._heard(values)
            flow = (self.links.weight * up)[:, None] * (incidence @ values)
            values = values - incidence.T @ flow
        return values

    def mix_shared(
        self, values: Float[np.ndarray, "nodes features"], about: Int[np.ndarray, "nodes features"]
    ) -> Float[np.ndarray, "nodes features"]:
        """The same where nodes speak of different things: only what both ends of a link are `about` is mixed.

        What a link does not mix both ends keep, as where it is down. So the sum over all nodes that speak of
        a thing stays, W remains symmetric and doubly stochastic, and its eigenvalues only move towards 1:
        accelerated rounds increase no disagreement.
        """
        a, b = self.links.ends.T
        about = self._heard(about)
        shared = about[a] == about[b]
        if shared.all():
            return self.mix(values)
        incidence, weight = self.links.incidence, self.links.weight[:, None] * shared
        if self.accelerated and self.up is None:
            middle, half = (part[:, None] for part in middle_and_half(self.links.interval))
            own, given = (1.0 - middle) / half, csr_array(diags_array(1.0 / half[:, 0]) @ incidence.T)
            return self._semi_iterated(
                values,
                slice(None),
                lambda now: own * now - given @ (weight * (incidence @ now)),
            )
        for k in range(self.rounds):
            up = True if self.up is None else self.up[k][:, None]
            values = self._heard(values)
            values = values - incidence.T @ (weight * up * (incidence @ values))
        return values

    def median(self, choice: Int[np.ndarray, "nodes"]) -> Int[np.ndarray, "nodes"]:
        """In every round all take the median, the lower one of two, of what they and their neighbours chose.

        A few nodes that are far off come round; where most differ little, all soon agree.
        """
        a, b = self.links.ends.T
        everybody = np.arange(self.links.n_nodes)
        for k in range(self.rounds):
            choice = self._heard(choice[:, None])[:, 0]
            # where some nodes are elsewhere nobody here knows that all agree
            if self.links.border is None and (choice[a] == choice[b]).all():
                break
            most = choice.max(initial=0) + 1
            up = slice(None) if self.up is None else self.up[k]
            to = np.concatenate([everybody, a[up], b[up]])
            heard = np.sort(to * most + choice[np.concatenate([everybody, b[up], a[up]])])
            count = np.bincount(to)
            choice = heard[np.cumsum(count) - count + (count - 1) // 2] % most
        return choice

    def passed_on(self, flags: Bool[np.ndarray, "nodes flags"]) -> Bool[np.ndarray, "nodes flags"]:
        """After the rounds every node has raised what a node within so many links had raised."""
        a, b = self.links.ends.T
        for _ in range(self.rounds):
            flags = self._heard(flags).copy()
            told = flags[a], flags[b]
            np.logical_or.at(flags, b, told[0])
            np.logical_or.at(flags, a, told[1])
        return flags

    def _heard(self, values: np.ndarray) -> np.ndarray:
        """What the nodes of this graph say in a round; of those that are elsewhere, what came from there."""
        border = self.links.border
        return values if border is None else border.renewed(values.astype(float)).astype(values.dtype)

    def _in_cache(self, n_columns: int) -> Iterator[slice]:
        """Whole groups of nodes, few enough for the cache unless a group is too large for itself."""
        cuts, most = self.links.cuts, max(1, _IN_CACHE // n_columns)
        first = 0
        while first < self.links.n_nodes:
            fits = cuts[(cuts > first) & (cuts <= first + most)]
            end = int(fits[-1] if fits.size else cuts[np.searchsorted(cuts, first, side="right")])
            yield slice(first, end)
            first = end

    def _all_links_up(
        self, values: Float[np.ndarray, "nodes features"], rows: slice
    ) -> Float[np.ndarray, "nodes features"]:
        if self.accelerated:
            centred = block(self.links.centred, rows)
            return self._semi_iterated(values, rows, lambda now: centred @ now)
        mixing = block(self.links.mixing, rows)
        for _ in range(self.rounds):
            values = mixing @ self._heard(values)
        return values

    def _semi_iterated(
        self,
        values: Float[np.ndarray, "nodes features"],
        rows: slice,
        centred: Callable[[Float[np.ndarray, "nodes features"]], Float[np.ndarray, "nodes features"]],
    ) -> Float[np.ndarray, "nodes features"]:
        """T_K((W - c)/e) / T_K((1 - c)/e) applied to the values: the least that K rounds can leave.

        `centred` applies (W - c)/e, where c and e are the middle and half the width of each group's interval
        of eigenvalues.
        """
        middle, half = (part[:, None] for part in middle_and_half(self.links.interval[rows]))
        top = (1.0 - middle) / half
        if (top == top[:1]).all():
            top = top[:1]
        before, now, ratio = values, values, np.ones_like(top)
        for k in range(self.rounds):
            last, ratio = ratio, 1.0 / (2.0 * top - ratio) if k else 1.0 / top
            now = self._heard(now)
            heard = centred(now)
            heard *= 2.0 * ratio if k else ratio
            if k:
                heard -= last * ratio * before
            before, now = now, heard
        return now


@dataclass(frozen=True)
class Memory:
    """The own `value` told last and the `running` average; None before the first exchange.

    Where only some nodes have taken part, `told` says which; the others have told nothing, which is 0.
    """

    value: Float[np.ndarray, "nodes features"] | None = None
    running: Float[np.ndarray, "nodes features"] | None = None
    told: Bool[np.ndarray, "nodes"] | None = None

    @property
    def new(self) -> bool:
        """Whether some node has told nothing yet."""
        return self.running is None or not (self.told is None or self.told.all())

    def of(self, rows: Int[np.ndarray, "some"] | slice) -> Memory:
        """That of some nodes."""
        if self.value is None or self.running is None:
            return self
        told = None if self.told is None else self.told[rows]
        return Memory(self.value[rows], self.running[rows], told)

    def outdated(self, rows: Int[np.ndarray, "some"] | slice) -> Memory:
        """The same where what some nodes have told counts as nothing told: it is too long ago."""
        if self.told is None:
            return self
        told = self.told.copy()
        told[rows] = False
        return Memory(self.value, self.running, told)

    def updated(self, rows: Int[np.ndarray, "some"] | slice, part: Memory, n_nodes: int) -> Memory:
        """The same with what some of its `n_nodes` nodes know now."""
        if part.value is None or part.running is None:
            return self
        if isinstance(rows, slice):
            return part
        shape = (n_nodes, part.value.shape[1])
        told = np.zeros(n_nodes, dtype=bool) if self.told is None else self.told.copy()
        value, running = (
            np.zeros(shape) if old is None else old.copy() for old in (self.value, self.running)
        )
        value[rows], running[rows], told[rows] = part.value, part.running, True
        return Memory(value, running, told)


@runtime_checkable
class Mixing(Protocol):
    """Turns own values into estimates of their mean, with a memory between control steps."""

    def init(self, links: Links) -> Memory:
        """Memory before anything was said."""
        ...

    def rounds(self, memory: Memory, rounds: int) -> int:
        """Rounds that the next exchange takes where `rounds` are usual: more at a cold start."""
        ...

    def entering(
        self, memory: Memory, values: Float[np.ndarray, "nodes features"]
    ) -> Float[np.ndarray, "nodes features"]:
        """What enters the rounds at every node: its mean is that of `values`."""
        ...

    def step(
        self, memory: Memory, values: Float[np.ndarray, "nodes features"], exchange: Exchange
    ) -> tuple[Memory, Float[np.ndarray, "nodes features"]]:
        """Estimates of the mean of `values` at every node."""
        ...


@dataclass(frozen=True)
class FreshMixing:
    """W^K applied to today's values: what was agreed before is thrown away."""

    def init(self, links: Links) -> Memory:
        """Nothing is ever remembered."""
        return Memory()

    def rounds(self, memory: Memory, rounds: int) -> int:
        """Always the usual number."""
        return rounds

    def entering(
        self, memory: Memory, values: Float[np.ndarray, "nodes features"]
    ) -> Float[np.ndarray, "nodes features"]:
        """The values themselves."""
        return values

    def step(
        self, memory: Memory, values: Float[np.ndarray, "nodes features"], exchange: Exchange
    ) -> tuple[Memory, Float[np.ndarray, "nodes features"]]:
        """Mix `values` themselves."""
        return memory, exchange.mix(values)


@dataclass(frozen=True)
class TrackedMixing:
    """Dynamic average consensus: x ← W^K (x + v(t) - v(t-1)) (Zhu & Martínez 2010; Kia et al. 2019).

    The mean of x is the mean of v at all times, provided that a message is lost for both ends or not
    at all. The first exchange starts from the own values and takes `startup_rounds` (if more than
    usual); its messages are counted like all others.
    """

    startup_rounds: int = 100

    def init(self, links: Links) -> Memory:
        """Empty: the first step starts from the own values."""
        return Memory()

    def rounds(self, memory: Memory, rounds: int) -> int:
        """`startup_rounds` before the first exchange."""
        return max(rounds, self.startup_rounds) if memory.new else rounds

    def entering(
        self, memory: Memory, values: Float[np.ndarray, "nodes features"]
    ) -> Float[np.ndarray, "nodes features"]:
        """The running average plus the change of the own value; at first the own value."""
        if memory.running is None or memory.value is None:
            return values
        return memory.running + (values - memory.value)

    def step(
        self, memory: Memory, values: Float[np.ndarray, "nodes features"], exchange: Exchange
    ) -> tuple[Memory, Float[np.ndarray, "nodes features"]]:
        """Add the change of the own value to the running average, then mix."""
        running = exchange.mix(self.entering(memory, values))
        return Memory(values, running, np.ones(len(values), dtype=bool)), running
