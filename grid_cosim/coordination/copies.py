"""One row per (limit, member) pair and one per limit for its meter: who holds a copy of which price."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csr_array

METER = "meter"
"""How the node of a limit's meter is called in graphs and edge lists."""

NO_HOUSEHOLD = -1
"""The `household` of a meter's copy."""


@dataclass(frozen=True)
class Copies:
    """The copies of all prices, limit after limit: the members in household order, then the meter.

    `coupling` is A of the design, (limits, households), positive where the household is downstream;
    `weight` is its entry for a household's copy and 1 for a meter's.
    `level` says how deep a limit is nested: 0 is nearest the slack.
    """

    coupling: csr_array
    level: Int[np.ndarray, "limits"]
    limit: Int[np.ndarray, "copies"]
    household: Int[np.ndarray, "copies"]
    weight: Float[np.ndarray, "copies"]
    start: Int[np.ndarray, "limits_and_end"]

    @classmethod
    def of(cls, coupling: csr_array, level: Int[np.ndarray, "limits"] | None = None) -> Copies:
        """Lay out the copies of `coupling` (limits, households); without `level` nothing is nested."""
        coupling = csr_array(coupling, dtype=float, copy=True)
        coupling.eliminate_zeros()
        coupling.sort_indices()
        n_limits = coupling.shape[0]
        members = np.diff(coupling.indptr)
        start = np.concatenate([[0], np.cumsum(members + 1)]).astype(np.int64)
        is_meter = np.zeros(int(start[-1]), dtype=bool)
        is_meter[start[1:] - 1] = True
        household = np.full(is_meter.size, NO_HOUSEHOLD, dtype=np.int64)
        household[~is_meter] = coupling.indices
        weight = np.ones(is_meter.size)
        weight[~is_meter] = coupling.data
        return cls(
            coupling=coupling,
            level=np.zeros(n_limits, dtype=np.int64) if level is None else np.asarray(level, dtype=np.int64),
            limit=np.repeat(np.arange(n_limits), members + 1),
            household=household,
            weight=weight,
            start=start,
        )

    @property
    def n_copies(self) -> int:
        """C: members of all limits plus one meter per limit."""
        return int(self.start[-1])

    @property
    def n_limits(self) -> int:
        """M."""
        return int(self.coupling.shape[0])

    @property
    def n_households(self) -> int:
        """N, with those that are downstream of no limit."""
        return int(self.coupling.shape[1])

    @cached_property
    def is_meter(self) -> Bool[np.ndarray, "copies"]:
        """True for the copies that a meter holds."""
        return np.asarray(self.household == NO_HOUSEHOLD, dtype=bool)

    @cached_property
    def _held(self) -> Int[np.ndarray, "memberships"]:
        """Rows of the copies that a household holds."""
        return np.flatnonzero(~self.is_meter)

    @cached_property
    def member_limit(self) -> Int[np.ndarray, "memberships"]:
        """Limit of each copy that a household holds."""
        return self.limit[self._held]

    def rows(self, limit: int) -> Int[np.ndarray, "members_and_meter"]:
        """Rows of one limit's copies; the meter's is the last."""
        return np.arange(self.start[limit], self.start[limit + 1])

    def rows_of(self, limits: Int[np.ndarray, "some"]) -> Int[np.ndarray, "rows"]:
        """Rows of several limits' copies, limit after limit."""
        size = self.start[limits + 1] - self.start[limits]
        first = np.cumsum(size) - size
        return np.repeat(self.start[limits] - first, size) + np.arange(int(size.sum()))

    def members(self, limit: int) -> Int[np.ndarray, "members"]:
        """Households downstream of one limit, ascending."""
        return self.household[self.start[limit] : self.start[limit + 1] - 1]

    def local_price(self, price: Float[np.ndarray, "copies"]) -> Float[np.ndarray, "households"]:
        """μ_i = Σ_j A_ji λ_ji: each household adds up its own copies only."""
        held = self._held
        return np.bincount(
            self.household[held], weights=self.weight[held] * price[held], minlength=self.n_households
        ).astype(float)

    @cached_property
    def senses(self) -> Float[np.ndarray, "limits"]:
        """1 for limits that consumption loads, -1 for those that generation does, by their weights' sign."""
        first = np.minimum(self.coupling.indptr[:-1], max(self.coupling.data.size - 1, 0))
        signs = np.sign(self.coupling.data[first]) if self.coupling.data.size else np.ones(self.n_limits)
        return np.where(np.diff(self.coupling.indptr) > 0, signs, 1.0)

    def with_those_beside(self, some: Bool[np.ndarray, "limits"]) -> Bool[np.ndarray, "limits"]:
        """Some limits, and those that share a home with one of them of the other sense, and so on."""
        forward, coupling = self.senses > 0.0, np.abs(self.coupling)
        while not forward.all():
            behind = [(coupling.T @ (some & side)) > 0.0 for side in (forward, ~forward)]
            beside = [(coupling @ homes) > 0.0 for homes in behind]
            found = np.where(forward, beside[1], beside[0]) & ~some
            if not found.any():
                break
            some = some | found
        return some

    @cached_property
    def caps(self) -> Bool[np.ndarray, "limits"]:
        """Limits that carry all or nothing of a household, nested in each other or apart.

        What is behind such a limit is one group with a common price level (`duals.levels`). In a radial
        feeder all lines and transformers are; shares of parallel branches, and voltages, are not.
        """
        weight = self.coupling.data
        size = np.diff(self.coupling.indptr)
        whole = (
            np.bincount(self._limit_of_entry, weights=np.abs(weight) == 1.0, minlength=self.n_limits) == size
        )
        sign = np.bincount(self._limit_of_entry, weights=np.sign(weight), minlength=self.n_limits)
        whole &= np.abs(sign) == size
        member = csr_array(
            (np.ones(weight.size), self.coupling.indices, self.coupling.indptr), self.coupling.shape
        )
        common = coo_array(member[whole] @ member[whole].T)
        row, column = (np.flatnonzero(whole)[at] for at in common.coords)
        inside = size[row] < size[column]
        astray = common.data != np.minimum(size[row], size[column])
        astray |= inside & (self.level[row] <= self.level[column])
        whole[row[astray]] = whole[column[astray]] = False
        return np.asarray(whole)

    @cached_property
    def _limit_of_entry(self) -> Int[np.ndarray, "memberships"]:
        return np.repeat(np.arange(self.n_limits), np.diff(self.coupling.indptr))

    def turns(self) -> list[Int[np.ndarray, "limits_in_turn"]]:
        """Limits that may step together, outermost level first; all of a turn are `caps`, or none.

        Within one turn no household is behind two limits, so that its answer to one price does not
        change another's. A level whose limits overlap (parallel transformers) takes several turns.
        """
        turns: list[Int[np.ndarray, "limits_in_turn"]] = []
        for level in np.unique(self.level):
            for kind in (self.caps, ~self.caps):
                limits = np.flatnonzero((self.level == level) & kind)
                if not limits.size:
                    continue
                members = self.coupling[limits]
                if np.bincount(members.indices, minlength=1).max() > 1:
                    turns += self._apart(limits)
                else:
                    turns.append(limits)
        return turns

    def _apart(self, limits: Int[np.ndarray, "overlapping"]) -> list[Int[np.ndarray, "limits_in_turn"]]:
        """Each limit in the first turn in which none of its members is behind another."""
        turns: list[list[int]] = []
        seen: list[Bool[np.ndarray, "households"]] = []
        for limit in limits.tolist():
            members = self.members(limit)
            free = (k for k in range(len(turns)) if not seen[k][members].any())
            turn = next(free, len(turns))
            if turn == len(turns):
                turns.append([])
                seen.append(np.zeros(self.n_households, dtype=bool))
            turns[turn].append(limit)
            seen[turn][members] = True
        return [np.array(turn, dtype=np.int64) for turn in turns]
