"""Households whose answer to a price is a formula, for tests of the negotiation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import csr_array

from grid_cosim.coordination import Copies, Demand


@dataclass(frozen=True)
class Logistic:
    """p = base + flex / (1 + (μ/bid)^steepness): half of the flexible power is left at the bid."""

    base: np.ndarray
    flex: np.ndarray
    bid: np.ndarray
    steepness: np.ndarray

    def _share(self, mu: np.ndarray) -> np.ndarray:
        trailing = (slice(None),) + (None,) * (mu.ndim - 1)
        return 1.0 / (1.0 + (mu / self.bid[trailing]) ** self.steepness[trailing])

    def power_kw(self, local_price: np.ndarray) -> np.ndarray:
        return self.base + self.flex * self._share(local_price)

    def slope_kw(self, local_price: np.ndarray) -> np.ndarray:
        mu = np.maximum(local_price, 1e-9)
        share = self._share(mu)
        return self.flex * share * (1.0 - share) * self.steepness / mu

    def curve_kw(self, local_price: np.ndarray) -> np.ndarray:
        return self.base[:, None] + self.flex[:, None] * self._share(local_price)


@dataclass(frozen=True)
class Affine:
    """p = max(top - slope μ, 0): simple enough for prices found by hand."""

    top: np.ndarray
    fall: np.ndarray

    def power_kw(self, local_price: np.ndarray) -> np.ndarray:
        return np.maximum(self.top - self.fall * local_price, 0.0)

    def slope_kw(self, local_price: np.ndarray) -> np.ndarray:
        return np.where(self.fall * local_price < self.top, self.fall, 0.0)

    def curve_kw(self, local_price: np.ndarray) -> np.ndarray:
        return np.maximum(self.top[:, None] - self.fall[:, None] * local_price, 0.0)


def some_homes(n: int, seed: int = 0) -> Logistic:
    rng = np.random.default_rng(seed)
    return Logistic(
        base=rng.uniform(0.2, 0.6, n),
        flex=rng.uniform(1.0, 8.0, n),
        bid=0.3 * rng.lognormal(0.0, 0.5, n),
        steepness=rng.uniform(2.0, 5.0, n),
    )


def one_limit(n: int) -> Copies:
    return Copies.of(csr_array(np.ones((1, n))))


def clearing_price(demand: Demand, n: int, limit_kw: float, *, largest: float) -> float:
    """The common price at which the sum is the limit, by root finding on the sum."""
    return float(
        brentq(lambda mu: demand.power_kw(np.full(n, mu)).sum() - limit_kw, 0.0, largest, xtol=1e-12)
    )
