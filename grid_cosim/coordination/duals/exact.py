"""The `exact` step: the price that somebody finds who may ask everybody: a yardstick for agreeing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from grid_cosim.coordination.copies import Copies
from grid_cosim.coordination.duals.bisection import least_price
from grid_cosim.coordination.duals.protocol import Demand, DualState, Negotiated, Status

_HALVINGS = 40
"""The bracket of the price shrinks by 1e-12."""


@dataclass(frozen=True)
class ExactStep:
    """Per limit the least price ≥ 0 at which Σ A p(μ) + o - c ≤ 0, by bisection on the true sum.

    One price per limit, the same in all of its copies; `largest_price` where none suffices. Where the
    answer jumps, the price lies beyond the jump, so that the limit holds. Limits are swept from the
    outermost level, `sweeps` times, as `CurveStep` does. Nobody sends a message: this needs a centre.
    """

    copies: Copies
    largest_price: float
    sweeps: int = 1

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
        """Price one limit after the other; nothing is random and nothing kept but the prices."""
        excess_kw = offset_kw - limit_kw
        price = state.price[self.copies.start[:-1]]
        saturated = np.zeros(self.copies.n_limits, dtype=bool)
        for _ in range(self.sweeps):
            for limits in self._turns:
                price[limits], saturated[limits] = self._clear(limits, price, demand, excess_kw)
        copied = price[self.copies.limit]
        local_price = self.copies.local_price(copied)
        nothing = np.zeros(self.copies.n_limits, dtype=np.int64)
        return DualState(copied, ()), Negotiated(
            price=copied,
            local_price=local_price,
            residual_kw=self.copies.coupling @ demand.power_kw(local_price) + excess_kw,
            saturated=saturated,
            status=Status.SATURATED if saturated.any() else Status.SETTLED,
            rounds=nothing,
            messages=nothing,
            message_bytes=nothing,
            consensus_error_eur_per_kwh=np.zeros(self.copies.n_limits),
        )

    def _clear(
        self,
        limits: Int[np.ndarray, "limits_here"],
        price: Float[np.ndarray, "limits"],
        demand: Demand,
        excess_kw: Float[np.ndarray, "limits"],
    ) -> tuple[Float[np.ndarray, "limits_here"], Bool[np.ndarray, "limits_here"]]:
        """Prices of the limits of a turn, given those of all others; and where none suffices."""
        others = price.copy()
        others[limits] = 0.0
        elsewhere = self.copies.coupling.T @ others
        cleared, saturated = np.zeros(len(limits)), np.zeros(len(limits), dtype=bool)
        power_kw = demand.power_kw(elsewhere)
        short = np.flatnonzero(self.copies.coupling[limits] @ power_kw + excess_kw[limits] > 0.0)
        if not short.size:
            return cleared, saturated
        behind = self.copies.coupling[limits[short]]
        members = np.unique(behind.indices)
        here = csr_array(behind[:, members])

        def exceeded(asked: Float[np.ndarray, "short"]) -> Bool[np.ndarray, "short"]:
            drawn_kw = demand.power_kw(elsewhere[members] + here.T @ asked, members)
            return here @ drawn_kw + excess_kw[limits[short]] > 0.0

        free, largest = np.zeros(short.size), np.full(short.size, self.largest_price)
        cleared[short] = least_price(exceeded, free, largest, halvings=_HALVINGS)
        saturated[short] = exceeded(largest)
        return cleared, saturated

    @cached_property
    def _turns(self) -> list[Int[np.ndarray, "limits_in_turn"]]:
        return self.copies.turns()
