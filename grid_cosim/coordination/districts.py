"""A district: some households of a neighbourhood, which agree with the others over links that are cut.

Every district holds the copies of its own households, and of the meters that stand in it. Who talks to whom
is laid out once for the whole, so that each district knows its own nodes' neighbours, their weights and the
eigenvalues of the whole, and nothing else of the others; what these know comes as messages, round by round.
So the districts together find what one simulator with all households finds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from grid_cosim.coordination.border import Border, Post
from grid_cosim.coordination.copies import Copies
from grid_cosim.coordination.duals.protocol import Demand, DualState, DualStep, Negotiated
from grid_cosim.coordination.graph import CommunicationGraph, Links, Turn


@dataclass(frozen=True)
class District:
    """Own households, and the graph among their copies and the places of nodes elsewhere."""

    copies: Copies
    """Of the own households only."""
    graph: CommunicationGraph
    """Of own copies and of places for those elsewhere with which they have a link."""
    own: Int[np.ndarray, " households"]
    """Row of each own household among those of the graph."""
    rows: Int[np.ndarray, " copies"]
    """Row of each own copy among those of the graph."""
    has_meter: Bool[np.ndarray, " limits"]
    """Whether a limit's meter stands here."""

    @classmethod
    def of(
        cls,
        whole: CommunicationGraph,
        households: Int[np.ndarray, " households"],
        has_meter: Bool[np.ndarray, " limits"],
        post: Post,
    ) -> District:
        """Cut out of a whole graph; `households` are ascending rows of it."""
        of_all = whole.copies
        is_own = np.where(
            of_all.is_meter, has_meter[of_all.limit], np.isin(of_all.household, households)
        ).astype(bool)
        ends = whole.links.ends
        touching = is_own[ends].any(axis=1)
        kept = is_own | of_all.is_meter
        kept[ends[touching]] = True
        number = np.flatnonzero(kept)
        row = np.full(of_all.n_copies, -1)
        row[number] = np.arange(number.size)
        cut = touching & ~is_own[ends].all(axis=1)
        at_border = np.unique(ends[cut])
        border = Border(
            told=row[at_border[is_own[at_border]]],
            heard=row[at_border[~is_own[at_border]]],
            number=number,
            post=post,
        )
        links = Links(number.size, row[ends[touching]], whole.links.weight[touching], border)
        # known since the whole was laid out; a cached property is an entry of the instance's dictionary
        links.__dict__["interval"] = whole.links.interval[number]
        behind = kept & ~of_all.is_meter
        members = np.unique(of_all.household[behind])
        copies = _copies(of_all, behind, members)
        graph = CommunicationGraph(copies, links)
        graph.__dict__["hops"] = whole.hops
        graph.__dict__["degree"] = np.where(is_own, whole.degree, 0)[number]
        own = np.searchsorted(members, households)
        return cls(
            copies=_copies(of_all, is_own & ~of_all.is_meter, households),
            graph=graph,
            own=own,
            rows=np.flatnonzero(copies.is_meter | np.isin(copies.household, own)),
            has_meter=has_meter,
        )

    def own_part(self, outcome: Negotiated) -> Negotiated:
        """What is known here of an outcome; NaN for what only all copies together would tell."""
        nobody_knows = np.full(self.copies.n_limits, np.nan)
        has_members = np.diff(self.copies.start) > 1
        return replace(
            outcome,
            price=outcome.price[self.rows],
            local_price=outcome.local_price[self.own],
            residual_kw=nobody_knows,
            rounds=np.where(has_members, outcome.rounds, 0),
            consensus_error_eur_per_kwh=nobody_knows,
            agreement=None,
        )


def _copies(
    of_all: Copies, kept: Bool[np.ndarray, " copies"], households: Int[np.ndarray, " some"]
) -> Copies:
    """Those of some households' copies, with every limit's meter."""
    column = np.searchsorted(households, of_all.household[kept])
    shape = (of_all.n_limits, households.size)
    return Copies.of(
        csr_array((of_all.weight[kept], (of_all.limit[kept], column)), shape=shape), of_all.level
    )


@dataclass(frozen=True)
class _OwnDemand:
    """The own households' answers; 0 at the places of others, whose answers come over the border."""

    demand: Demand
    own_of: Int[np.ndarray, " households"]
    """Which own household each one of the graph is; -1 for those elsewhere."""

    def power_kw(
        self, local_price: Float[np.ndarray, " asked"], rows: Int[np.ndarray, " asked"] | None = None
    ) -> Float[np.ndarray, " asked"]:
        """p_i(μ_i)."""
        here, own = self._here(rows)
        power_kw = np.zeros(local_price.shape)
        power_kw[here] = self.demand.power_kw(local_price[here], own)
        return power_kw

    def slope_kw(
        self, local_price: Float[np.ndarray, " asked"], rows: Int[np.ndarray, " asked"] | None = None
    ) -> Float[np.ndarray, " asked"]:
        """-dp_i/dμ."""
        here, own = self._here(rows)
        slope_kw = np.zeros(local_price.shape)
        slope_kw[here] = self.demand.slope_kw(local_price[here], own)
        return slope_kw

    def curve_kw(
        self, local_price: Float[np.ndarray, "asked prices"], rows: Int[np.ndarray, " asked"] | None = None
    ) -> Float[np.ndarray, "asked prices"]:
        """p_i at several local prices each."""
        here, own = self._here(rows)
        asked = local_price[here]
        if local_price.strides[0] == 0:
            asked = np.broadcast_to(local_price[:1], asked.shape)
        power_kw = np.zeros(local_price.shape)
        power_kw[here] = self.demand.curve_kw(asked, own)
        return power_kw

    def _here(
        self, rows: Int[np.ndarray, " asked"] | None
    ) -> tuple[Int[np.ndarray, " own"], Int[np.ndarray, " own"]]:
        own = self.own_of if rows is None else self.own_of[rows]
        here = np.flatnonzero(own >= 0)
        return here, own[here]


@final
@dataclass(frozen=True)
class DistrictStep:
    """A dual step, taken together with the districts beyond the border; `inner` is over the district's graph.

    Every district must take its step in the same control step, and each waits for the others' messages.
    """

    district: District
    inner: DualStep

    @property
    def copies(self) -> Copies:
        """Of the own households."""
        return self.district.copies

    def remembering(self) -> tuple[tuple[Turn, ...], ...]:
        """As the inner step."""
        return self.inner.remembering()

    def init(self) -> DualState:
        """As the inner step."""
        return self.inner.init()

    def step(
        self,
        state: DualState,
        *,
        demand: Demand,
        limit_kw: Float[np.ndarray, " limits"],
        offset_kw: Float[np.ndarray, " limits"],
        rng: np.random.Generator | None = None,
    ) -> tuple[DualState, Negotiated]:
        """Negotiate; of limits whose meter stands elsewhere `limit_kw` and `offset_kw` are not looked at."""
        here, district = self.district.has_meter, self.district
        own_of = np.full(district.graph.copies.n_households, -1)
        own_of[district.own] = np.arange(district.own.size)
        after, outcome = self.inner.step(
            state,
            demand=_OwnDemand(demand, own_of),
            limit_kw=np.where(here, limit_kw, 0.0),
            offset_kw=np.where(here, offset_kw, 0.0),
            rng=rng,
        )
        return after, district.own_part(outcome)
