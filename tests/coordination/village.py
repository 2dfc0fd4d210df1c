"""A village in a closed loop: cars that arrive and want energy, houses that cool, base load that flickers.

Every home bids more the more urgent it is; what it takes now changes what it wants next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grid_cosim.coordination import DualStep
from tests.coordination.demand import Logistic


@dataclass(frozen=True)
class Sum:
    """Two devices in each home."""

    a: Logistic
    b: Logistic

    def power_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self.a.power_kw(local_price, rows) + self.b.power_kw(local_price, rows)

    def slope_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self.a.slope_kw(local_price, rows) + self.b.slope_kw(local_price, rows)

    def curve_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self.a.curve_kw(local_price, rows) + self.b.curve_kw(local_price, rows)


class Village:
    def __init__(self, n: int, seed: int) -> None:
        self.n, self.t = n, 0
        self.rng = rng = np.random.default_rng(seed)
        self.has_car, self.has_pump = rng.random(n) < 0.6, rng.random(n) < 0.8
        self.need_kwh, self.left_h = np.zeros(n), np.ones(n)
        self.car_kw = np.where(rng.random(n) < 0.5, 11.0, 3.7)
        self.temperature, self.pump_kw = rng.normal(21.0, 0.3, n), rng.uniform(1.5, 4.0, n)
        self.base_kw, self.bid = rng.gamma(4.0, 0.1, n), rng.lognormal(0.0, 0.5, n)
        self.steepness = rng.uniform(2.0, 8.0, (2, n))
        self.arrival_h = rng.normal(18.0, 1.5, n) % 24.0

    def demand(self) -> Sum:
        evening = np.exp(-((self.t * 0.25 % 24.0 - 19.0) ** 2) / 6.0)
        base = self.base_kw * (1.0 + 0.8 * evening) * self.rng.gamma(4.0, 0.25, self.n)
        urgency = np.clip(self.need_kwh / (self.car_kw * self.left_h), 0.0, 1.2)
        car_kw = np.where(self.has_car, np.minimum(self.car_kw, self.need_kwh / 0.25), 0.0)
        cold = 21.5 - self.temperature
        pump_kw = np.where(self.has_pump, np.clip(self.pump_kw * (0.6 + cold), 0.0, self.pump_kw), 0.0)
        self.car = Logistic(base, car_kw, 0.02 * self.bid * np.exp(5.0 * urgency), self.steepness[0])
        pump_bid = 0.1 * self.bid * np.exp(2.5 * np.clip(cold - 0.5, -1.0, 2.0))
        self.pump = Logistic(np.zeros(self.n), pump_kw, pump_bid, self.steepness[1])
        return Sum(self.car, self.pump)

    def act(self, local_price: np.ndarray) -> None:
        charged_kwh = 0.25 * (self.car.power_kw(local_price) - self.car.base)
        self.need_kwh = np.maximum(self.need_kwh - charged_kwh, 0.0)
        self.left_h = np.maximum(self.left_h - 0.25, 0.25)
        heat = self.pump.power_kw(local_price) / self.pump_kw * 1.2
        self.temperature = self.temperature + 0.25 * (heat - 0.6 * (self.temperature + 3.0) / 24.0)
        home = self.has_car & (np.floor(self.arrival_h * 4.0) == self.t % 96)
        self.need_kwh = self.need_kwh + np.where(home, self.rng.uniform(5.0, 20.0, self.n), 0.0)
        self.left_h = np.where(home, 12.0, self.left_h)
        self.t += 1


@dataclass(frozen=True)
class Trace:
    """Per step: Σp + o - c in per cent of c, whether unpriced demand would exceed the limit, the prices."""

    miss_percent: np.ndarray
    short: np.ndarray
    price_mean: np.ndarray
    price_std: np.ndarray


def live(
    step: DualStep,
    *,
    n: int,
    seed: int,
    n_steps: int,
    limit_kw: float,
    rng: np.random.Generator | None = None,
) -> Trace:
    """Negotiate, act, feed losses of 3 % at the limit back with one step of delay."""
    village, state, offset_kw = Village(n, seed), step.init(), np.zeros(1)
    rows = []
    for _ in range(n_steps):
        demand = village.demand()
        unpriced = demand.power_kw(np.zeros(n)).sum() + offset_kw[0]
        state, agreed = step.step(
            state, demand=demand, limit_kw=np.array([limit_kw]), offset_kw=offset_kw, rng=rng
        )
        total = demand.power_kw(agreed.local_price).sum()
        miss = 100.0 * (total + offset_kw[0] - limit_kw) / limit_kw
        rows.append((miss, unpriced > limit_kw, agreed.local_price.mean(), agreed.local_price.std()))
        village.act(agreed.local_price)
        offset_kw = np.array([0.03 * total**2 / limit_kw])
    miss, short, mean, std = np.array(rows, dtype=float).T
    return Trace(miss, short.astype(bool), mean, std)
