"""The answer of a store that gives back what it took: a battery, or a car that may discharge.

The perceptron gives one function, the level to be reached at a price r of stored energy (above the day's
lowest tariff f), non-increasing in r: the inverse of what the last kWh in store is worth. At the congestion
price mu a kWh at the meter costs f + mu. What it adds to the store is `charge_efficiency`, what a stored kWh
gives back `discharge_efficiency`, and each kWh at the meter wears the store, by w in and by v out. So a
stored kWh

    costs   (f + mu + w) / charge_efficiency            to buy,
    brings  (f + mu - v) * discharge_efficiency         when it is sold,

and the store charges up to the level at the first price if it is below it, discharges down to the level at
the second if it is above it, and otherwise draws nothing at all: a base-stock policy with two thresholds (the
warehouse problem: Cahn 1948; Secomandi, Management Science 56:449, 2010). That is optimal where the value of
the store is concave in its level, and no cycle is ever begun that does not pay its losses and its wear.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.policies.view import floor_seen

_MOST_LEVEL = 12.0
"""No level lies farther from 0."""
_EMERGENCY_SLOPE = 60.0
"""Descent of the level per unit of x beyond the prices of the training; at twice the price all is sold."""
_SHORTEST_REACH = 1e-3
_ROUND = 0.2
"""Share of the power by which a training rounds the corners of the answer."""


@runtime_checkable
class LevelCurve(Protocol):
    """Ramps over the price, as `network.Response` has them."""

    @property
    def price_scale(self) -> float:
        """Below it the ramps are linear in the price, far above logarithmic."""

    def descent(
        self, price: Float[Tensor, "devices prices"]
    ) -> tuple[Float[Tensor, "devices prices"], Float[Tensor, "devices prices"]]:
        """Value and its derivative by x = asinh(price / price_scale)."""

    def beyond(self, price: Float[Tensor, "devices prices"]) -> Float[Tensor, "devices prices"]:
        """How far in x each price lies beyond those of the training."""


class Terms(NamedTuple):
    """At what a store trades, as its policy sees it."""

    charge_efficiency: Float[Tensor, "rows"]
    discharge_efficiency: Float[Tensor, "rows"]
    charge_wear_eur_per_kwh: Float[Tensor, "rows"]
    discharge_wear_eur_per_kwh: Float[Tensor, "rows"]
    floor_eur_per_kwh: Float[Tensor, "rows"]
    """Lowest tariff of the coming day, above which prices are counted."""

    @classmethod
    def seen(cls, seen: Float[Tensor, "rows seen"]) -> Terms:
        """Out of the features: the device's own begin with `devices.device.TERM_NAMES`."""
        return cls(seen[:, 0], seen[:, 1], seen[:, 2] / 10.0, seen[:, 3] / 10.0, floor_seen(seen))

    def buying(self, price: Float[Tensor, "rows prices"]) -> Float[Tensor, "rows prices"]:
        """What a stored kWh costs above the floor, at each congestion price."""
        floor = self.floor_eur_per_kwh[:, None]
        paid = floor + price + self.charge_wear_eur_per_kwh[:, None]
        return paid / self.charge_efficiency[:, None] - floor

    def selling(self, price: Float[Tensor, "rows prices"]) -> Float[Tensor, "rows prices"]:
        """What a stored kWh brings above the floor, at each congestion price."""
        floor = self.floor_eur_per_kwh[:, None]
        earned = floor + price - self.discharge_wear_eur_per_kwh[:, None]
        return earned * self.discharge_efficiency[:, None] - floor


def level_at(
    curve: LevelCurve, worth: Float[Tensor, "rows prices"]
) -> tuple[Float[Tensor, "rows prices"], Float[Tensor, "rows prices"]]:
    """The level that is kept where a stored kWh is worth so much above the floor, and its slope by that."""
    level, slope = curve.descent(worth)
    inside = (level > -_MOST_LEVEL) & (level < _MOST_LEVEL)
    beyond = curve.beyond(worth)
    slope = torch.where(inside, slope, 0.0) - _EMERGENCY_SLOPE * (beyond != 0.0)
    level = level.clamp(-_MOST_LEVEL, _MOST_LEVEL) - _EMERGENCY_SLOPE * beyond
    return level, slope / torch.sqrt(worth**2 + curve.price_scale**2)


class Targets(NamedTuple):
    """Below the first level a store charges, above the second it discharges."""

    charge_to: Float[Tensor, "rows *prices"]
    discharge_to: Float[Tensor, "rows *prices"]

    @classmethod
    def of(cls, bought: Float[Tensor, "rows *prices"], sold: Float[Tensor, "rows *prices"]) -> Targets:
        """From the levels at the prices of buying and of selling.

        Where energy costs less than nothing, so that losing it pays, selling is the dearer of the two: then a
        store that would buy does, and does not sell besides.
        """
        return cls(bought, torch.maximum(bought, sold))

    def shares(
        self, reach: Float[Tensor, "rows 3"]
    ) -> tuple[Float[Tensor, "rows *prices"], Float[Tensor, "rows *prices"]]:
        """Shares of the power to charge and to discharge that are used; one of them is exactly zero.

        `reach`: levels at the end of the step with the least power, with none, and with the greatest.
        """
        ones = (1,) * (self.charge_to.ndim - 1)
        least, idle, most = (column.reshape(-1, *ones) for column in reach.unbind(1))
        up = (self.charge_to - idle) / (most - idle).clamp(min=_SHORTEST_REACH)
        down = (idle - self.discharge_to) / (idle - least).clamp(min=_SHORTEST_REACH)
        return _share(up), _share(down)


class TwoWayResponse(NamedTuple):
    """The answer of each store to any price, in this control step."""

    curve: LevelCurve
    terms: Terms
    reach: Float[Tensor, "devices 3"]

    def targets(self, price: Float[Tensor, "devices *prices"]) -> Targets:
        """Levels between which the store rests, at each congestion price (EUR/kWh)."""
        flat = price.reshape(price.shape[0], -1)
        both = (level_at(self.curve, ask(flat))[0] for ask in (self.terms.buying, self.terms.selling))
        return Targets.of(*(level.reshape(price.shape) for level in both))

    def power_kw(
        self,
        price: Float[Tensor, "devices *prices"],
        p_min_kw: Float[Tensor, "devices"],
        p_max_kw: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices *prices"]:
        """Power at each price, exactly zero where the store rests; non-increasing in the price."""
        price = price.expand(p_min_kw.shape[0], *price.shape[1:])
        ones = (1,) * (price.ndim - 1)
        up, down = (share.to(p_min_kw.dtype) for share in self.targets(price).shares(self.reach))
        return up * p_max_kw.reshape(-1, *ones) + down * p_min_kw.reshape(-1, *ones)

    @property
    def _resting(self) -> Float[Tensor, "devices"]:
        """Share of the power range at which nothing is drawn; levels are linear in the stored energy."""
        least, idle, most = self.reach.unbind(1)
        down = (idle - least) * self.terms.discharge_efficiency
        return down / (down + (most - idle) / self.terms.charge_efficiency).clamp(min=1e-9)

    def fraction(self, price: Float[Tensor, "devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """Share of the power range that is used, from discharging fully to charging fully."""
        up, down = self.targets(price).shares(self.reach)
        resting = self._resting.reshape(-1, *(1,) * (price.ndim - 1))
        return resting * (1.0 - down) + (1.0 - resting) * up

    def fraction_slope(self, price: Float[Tensor, "devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """Derivative of `fraction` by the price, in kWh/EUR; never positive."""
        flat = price.reshape(price.shape[0], -1)
        least, idle, most = (column[:, None] for column in self.reach.unbind(1))
        resting = self._resting[:, None]
        buy, buy_slope = level_at(self.curve, self.terms.buying(flat))
        sell, sell_slope = level_at(self.curve, self.terms.selling(flat))
        buy_slope = buy_slope / self.terms.charge_efficiency[:, None]
        sell_slope = sell_slope * self.terms.discharge_efficiency[:, None]
        sell, sell_slope = torch.maximum(buy, sell), torch.where(buy > sell, buy_slope, sell_slope)
        up, down = (most - idle).clamp(min=_SHORTEST_REACH), (idle - least).clamp(min=_SHORTEST_REACH)
        charging = (buy > idle) & (buy < idle + up)
        discharging = (sell < idle) & (sell > idle - down)
        slope = torch.where(charging, (1.0 - resting) * buy_slope / up, 0.0)
        slope = slope + torch.where(discharging, resting * sell_slope / down, 0.0)
        return slope.reshape(price.shape)


def _share(wanted: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Between 0 and 1; in a training with round corners, so that there is a way out of either end."""
    if not wanted.requires_grad:
        return wanted.clamp(0.0, 1.0)
    softplus = torch.nn.functional.softplus
    return _ROUND * (softplus(wanted / _ROUND) - softplus((wanted - 1.0) / _ROUND))
