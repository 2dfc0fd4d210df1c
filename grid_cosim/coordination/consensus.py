"""Rounds of mixing: what an average costs in messages, and what is remembered between control steps.

An `Exchange` is K rounds on a graph with the failures of its links already drawn. A `Mixing` decides
what enters these rounds: today's values (`FreshMixing`), or what was agreed so far plus the change
of the own value (`TrackedMixing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from grid_cosim.coordination.graph import Links

_IN_CACHE, _FEWEST_COLUMNS = 2**17, 16
"""Numbers that are mixed at a time, or that many columns: all rounds of some columns, then of the next ones.
What does not fit a processor's cache would go to memory and back in every round."""
_NARROWEST = 1e-3
"""Half the width of an interval of eigenvalues at least: a complete graph has but one besides 1."""


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
        if self.up is None and values.size <= _IN_CACHE:
            return self._all_links_up(values)
        if self.up is None:
            at_once = max(_FEWEST_COLUMNS, _IN_CACHE // len(values))
            starts = range(at_once, values.shape[1], at_once)
            blocks = map(np.ascontiguousarray, np.split(values, starts, axis=1))
            return np.hstack([self._all_links_up(block) for block in blocks])
        incidence = self.links.incidence
        for up in self.up:
            flow = (self.links.weight * up)[:, None] * (incidence @ values)
            values = values - incidence.T @ flow
        return values

    def _all_links_up(
        self, values: Float[np.ndarray, "nodes features"]
    ) -> Float[np.ndarray, "nodes features"]:
        if self.accelerated:
            return self._chebyshev(values)
        for _ in range(self.rounds):
            values = self.links.mixing @ values
        return values

    def _chebyshev(self, values: Float[np.ndarray, "nodes features"]) -> Float[np.ndarray, "nodes features"]:
        """T_K((W - c)/e) / T_K((1 - c)/e) applied to the values: the least that K rounds can leave.

        c and e are the middle and half the width of each group's interval of eigenvalues.
        """
        middle, half = (part[:, None] for part in middle_and_half(self.links.interval))
        top = (1.0 - middle) / half
        before, now, ratio = values, values, np.ones_like(top)
        for k in range(self.rounds):
            heard = (self.links.mixing @ now - middle * now) / half
            last, ratio = ratio, 1.0 / (2.0 * top - ratio) if k else 1.0 / top
            before, now = now, (2.0 * ratio * heard - last * ratio * before) if k else ratio * heard
        return now


def middle_and_half(
    interval: Float[np.ndarray, "groups 2"],
) -> tuple[Float[np.ndarray, "groups"], Float[np.ndarray, "groups"]]:
    """Middle and half the width of each interval of eigenvalues, as accelerated rounds take it."""
    low, high = interval.T
    return 0.5 * (low + high), np.maximum(0.5 * (high - low), _NARROWEST)


@dataclass(frozen=True)
class Memory:
    """The own `value` told last and the `running` average; None before the first exchange."""

    value: Float[np.ndarray, "nodes features"] | None = None
    running: Float[np.ndarray, "nodes features"] | None = None


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
        return rounds if memory.running is not None else max(rounds, self.startup_rounds)

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
        return Memory(values, running), running
