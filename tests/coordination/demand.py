"""Households whose answer to a price is a formula, for tests of the negotiation."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import csr_array

from grid_cosim.coordination import Copies, Demand


class Answers:
    """`Demand` of a dataclass of arrays, a row per household, that knows its `power` and `slope`."""

    def of(self, rows: np.ndarray | None) -> Any:
        if rows is None:
            return self
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})  # type: ignore[type-var, arg-type]

    def power_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self.of(rows).power(local_price[:, None])[:, 0]

    def slope_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self.of(rows).slope(local_price)

    def curve_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self.of(rows).power(local_price)


@dataclass(frozen=True)
class Logistic(Answers):
    """p = base + flex / (1 + (μ/bid)^steepness): half of the flexible power is left at the bid."""

    base: np.ndarray
    flex: np.ndarray
    bid: np.ndarray
    steepness: np.ndarray

    def power(self, mu: np.ndarray) -> np.ndarray:
        share = 1.0 / (1.0 + (mu / self.bid[:, None]) ** self.steepness[:, None])
        return self.base[:, None] + self.flex[:, None] * share

    def slope(self, local_price: np.ndarray) -> np.ndarray:
        mu = np.maximum(local_price, 1e-9)
        share = 1.0 / (1.0 + (mu / self.bid) ** self.steepness)
        return self.flex * share * (1.0 - share) * self.steepness / mu


@dataclass(frozen=True)
class Affine(Answers):
    """p = max(top - slope μ, 0): simple enough for prices found by hand."""

    top: np.ndarray
    fall: np.ndarray

    def power(self, mu: np.ndarray) -> np.ndarray:
        return np.maximum(self.top[:, None] - self.fall[:, None] * mu, 0.0)

    def slope(self, local_price: np.ndarray) -> np.ndarray:
        return np.where(self.fall * local_price < self.top, self.fall, 0.0)


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
