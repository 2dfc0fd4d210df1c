"""The price-monotone policy network.

A multilayer perceptron reads the state of a device (and its parameters) once per control step. It
gives the numbers of an explicit response to the price: a base activation b and J weights w_j >= 0,

    z(mu) = b - sum_j w_j * ramp_j(x(mu)),   x = asinh(mu / price_scale),
    power = p_min + (p_max - p_min) * clamp(1.02 sigmoid(z) - 0.01, 0, 1),

with ramps that rise from 0 to 1 one after the other, evenly in x. Power is thus non-increasing in the price
whatever the weights are, its slope has a closed form, and asking for the power at many prices costs
a few operations and no further pass of the perceptron. Beyond `price_max_eur_per_kwh`, the largest price
that training shows, a steep descent follows: at twice that price nothing but p_min is drawn, whatever the
weights are, so a clearing price exists whenever the inflexible demand fits.

Below zero, where a limit against reverse flow puts the price, ramps of their own let the activation rise:
z(mu) = b + sum_j v_j * ramp_j(asinh(-mu / price_scale)), v_j >= 0, down to `price_min_eur_per_kwh`, and
beyond it an ascent, the mirror image of the descent. A network without such ramps answers as at zero.
What is worth doing by the sign of the whole price, such as turning photovoltaics down, has its ramps over
that (`full_price`).

A device with one store (`devices.Storing`) is told how full its store shall be instead of how much to draw:

    level(mu) = kinked(b - sum_j w_j * ramp_j(x(mu))),
    z(mu) = 6 * ((level(mu) - least) / (most - least) - 1/2),

where `least` and `most` are the levels at which the step ends with p_min and with p_max. Its costs are
convex in the level and the level is linear in the power, so the level that is best to reach does not
depend on where the store stands (the base-stock policies of inventory theory: Arrow, Harris, Marschak 1951).
The perceptron need not see it then, and a training can ask it about many steps of an episode at once.
`kinked` has a flat piece at 0, the level that is wanted: many prices share it, since falling short costs
more than the first bit of excess.

A store that gives back what it took, such as a battery, is told in `policies.two_way`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from grid_cosim.policies.two_way import Terms, TwoWayResponse
from grid_cosim.policies.view import floor_seen

_ROWS_AT_ONCE = 8192
"""Devices whose perceptron runs together: what it computes on its way then fits a processor's cache."""
_STRETCH = 0.01
"""The sigmoid is stretched by this much beyond 0 and 1 and cut, so that both are reached exactly."""
_EMERGENCY_SLOPE = 30.0
"""Least descent of the activation per unit of x beyond the largest price of the training."""
_CLOSED = math.log(_STRETCH / (1.0 + _STRETCH))
"""Activation at and below which the power is p_min; at and above its negative it is p_max."""
_REACH = 6.0
"""Rise of the activation from the least to the greatest level within reach: about from off to full power."""
_SHORTEST_REACH = 0.01
"""So that the slope stays finite where power hardly matters."""
_FLAT, _FLAT_SLOPE = 0.5, 0.1
"""Width of the flat piece of `kinked`, and what is left of the slope, so that a training finds out of it."""


@dataclass(frozen=True)
class NetworkConfig:
    """Size and price scale of a policy network."""

    n_features: int
    hidden: tuple[int, ...] = (64, 64)
    n_ramps: int = 16
    price_scale_eur_per_kwh: float = 0.01
    price_max_eur_per_kwh: float = 2.0
    levels: bool = False
    """The numbers of the last layer stand for a level; the first two features are those within reach."""
    two_way: bool = False
    """The level is that of a store that gives back; the first three features are within reach (`two_way`)."""
    n_negative_ramps: int = 0
    """Ramps below price zero; without any the answer there is that at zero."""
    price_min_eur_per_kwh: float = -1.0
    """Lowest price that training shows, where there are ramps for it."""
    full_price: bool = False
    """The ramps stand over the whole price of energy, not over what it is above the day's lowest."""

    @property
    def n_reach(self) -> int:
        """Features in front that say what is within reach of a store."""
        return 3 if self.two_way else 2 if self.levels else 0

    @property
    def n_seen(self) -> int:
        """Features that the perceptron reads."""
        return self.n_features - self.n_reach

    @property
    def n_numbers(self) -> int:
        """Numbers of the last layer."""
        return 1 + self.n_ramps + self.n_negative_ramps


class Response(NamedTuple):
    """The answer of each device to any price, in this control step."""

    base: Float[Tensor, "devices"]
    weights: Float[Tensor, "devices ramps"]
    price_scale: float
    price_max: float
    reach: Float[Tensor, "devices 2"] | None = None
    """Levels at the end of the step with least and with most power, where `base` and `weights` give one."""
    negative_weights: Float[Tensor, "devices negative_ramps"] | None = None
    price_min: float = -1.0
    floor: Float[Tensor, "devices"] | None = None
    """The day's lowest tariff, where the ramps stand over the whole price of energy."""

    @classmethod
    def of(
        cls,
        out: Float[Tensor, "devices numbers"],
        config: NetworkConfig,
        reach: Float[Tensor, "devices 2"] | None = None,
        floor: Float[Tensor, "devices"] | None = None,
    ) -> Response:
        """The answer that the numbers from the last layer stand for."""
        weights = nn.functional.softplus(out[:, 1:])
        return cls(
            base=out[:, 0],
            weights=weights[:, : config.n_ramps],
            price_scale=config.price_scale_eur_per_kwh,
            price_max=config.price_max_eur_per_kwh,
            reach=reach,
            negative_weights=weights[:, config.n_ramps :] if config.n_negative_ramps else None,
            price_min=config.price_min_eur_per_kwh,
            floor=floor,
        )

    def _over_ramps(self, price: Float[Tensor, "devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """The price above that from which the ramps count."""
        return price if self.floor is None else price + _beside(self.floor, price)

    def _x(self, price: Float[Tensor, "#devices prices"]) -> Float[Tensor, "#devices prices"]:
        return torch.asinh(self._over_ramps(price) / self.price_scale)

    def _end(self, price: float) -> float:
        return math.asinh(abs(price) / self.price_scale)

    def _climbing(
        self, x: Float[Tensor, "#devices prices"]
    ) -> Iterator[tuple[float, Float[Tensor, "devices some"], float, Float[Tensor, "#devices prices"]]]:
        """Ramps on either side of 0: their sign, their weights, their width, and how many are climbed."""
        sides = [(-1.0, self.weights, self._end(self.price_max), x)]
        if self.negative_weights is not None:
            sides.append((1.0, self.negative_weights, self._end(self.price_min), -x))
        for sign, weights, end, along in sides:
            width = end / weights.shape[1]
            yield sign, weights, width, along.clamp(min=0.0, max=end) / width

    def _value(self, x: Float[Tensor, "#devices prices"]) -> Float[Tensor, "devices prices"]:
        value = self.base[:, None]
        for sign, weights, _, climbed in self._climbing(x):
            value = value + sign * _height(weights, climbed)
        return value

    def descent(
        self, price: Float[Tensor, "devices prices"]
    ) -> tuple[Float[Tensor, "devices prices"], Float[Tensor, "devices prices"]]:
        """What base and ramps give, and its derivative by x; beyond the training's prices as at its ends."""
        x = self._x(price)
        slope = torch.zeros_like(x)
        for sign, weights, width, climbed in self._climbing(x):
            here = weights.gather(1, climbed.long().clamp(max=weights.shape[1] - 1))
            slope = torch.where(x < 0.0 if sign > 0.0 else x >= 0.0, -here / width, slope)
        return self._value(x), slope

    def level(self, price: Float[Tensor, "devices prices"]) -> Float[Tensor, "devices prices"]:
        """The level to be reached at each price within those of the training; non-increasing in it."""
        return kinked(self._value(self._x(price)))

    def beyond(self, price: Float[Tensor, "#devices prices"]) -> Float[Tensor, "#devices prices"]:
        """How far in x each price lies beyond the largest of the training, or, negative, the lowest."""
        return self._beyond(self._x(price))

    def _beyond(self, x: Float[Tensor, "#devices prices"]) -> Float[Tensor, "#devices prices"]:
        above = (x - self._end(self.price_max)).clamp(min=0.0)
        if self.negative_weights is None:
            return above
        return above + (x + self._end(self.price_min)).clamp(max=0.0)

    def activation(self, price: Float[Tensor, "#devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """What becomes a share of the power range by `opened`, at each price; non-increasing in it.

        Prices with one row are asked of all devices alike, which costs less.
        """
        x = self._x(price.reshape(price.shape[0], -1))
        z, beyond = self._value(x), self._beyond(x)
        if self.reach is not None:
            z = activation_to_reach(kinked(z), self.reach[:, None])
        if beyond.any():
            z = z - _steep(z, beyond) * beyond
        return z.reshape(-1, *price.shape[1:])

    def _activation(
        self, price: Float[Tensor, "devices *prices"]
    ) -> tuple[Float[Tensor, "devices *prices"], Float[Tensor, "devices *prices"]]:
        """Z and dz/dx at each price."""
        flat = price.reshape(price.shape[0], -1)
        z, slope = self.descent(flat)
        if self.reach is not None:
            slope = slope * _kinked_slope(z) * steepness(self.reach)[:, None]
            z = activation_to_reach(kinked(z), self.reach[:, None])
        beyond = self.beyond(flat)
        steep = _steep(z, beyond)
        slope = torch.where(beyond == 0.0, slope, -steep)
        return (z - steep * beyond).reshape(price.shape), slope.reshape(price.shape)

    def fraction(self, price: Float[Tensor, "#devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """Share of the power range that is used at each price (EUR/kWh), non-increasing in it."""
        return opened(self.activation(price))

    def fraction_slope(self, price: Float[Tensor, "devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """Derivative of `fraction` by the price, in kWh/EUR; never positive."""
        z, dz_dx = self._activation(price)
        open_range = torch.sigmoid(z)
        stretched = (1.0 + 2.0 * _STRETCH) * open_range - _STRETCH
        inside = (stretched > 0.0) & (stretched < 1.0)
        dx_dmu = 1.0 / torch.sqrt(self._over_ramps(price) ** 2 + self.price_scale**2)
        slope = (1.0 + 2.0 * _STRETCH) * open_range * (1.0 - open_range) * dz_dx * dx_dmu
        return torch.where(inside, slope, 0.0)

    def power_kw(
        self,
        price: Float[Tensor, "#devices *prices"],
        p_min_kw: Float[Tensor, "devices"],
        p_max_kw: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices *prices"]:
        """Power at each price within that range, in the range's precision; non-increasing in the price."""
        low, span = _beside(p_min_kw, price), _beside(p_max_kw - p_min_kw, price)
        return low + span * self.fraction(price).to(low.dtype)


def _height(
    weights: Float[Tensor, "devices some"], climbed: Float[Tensor, "#devices prices"]
) -> Float[Tensor, "devices prices"]:
    """Height of the ramps, of which so many are climbed, the last one perhaps in part."""
    n = weights.shape[1]
    if len(climbed) == 1 and len(weights) > 1:
        return weights @ (climbed - torch.arange(n, dtype=climbed.dtype)[:, None]).clamp(0.0, 1.0)
    segment = climbed.long().clamp(max=n - 1)
    passed = torch.cat([torch.zeros_like(weights[:, :1]), weights.cumsum(1)], dim=1)
    return passed.gather(1, segment) + weights.gather(1, segment) * (climbed - segment)


def _steep(
    activation: Float[Tensor, "devices prices"], beyond: Float[Tensor, "#devices prices"]
) -> Float[Tensor, "devices prices"]:
    """Descent per unit of x beyond the prices of the training, on the side on which they lie."""
    return torch.where(beyond > 0.0, emergency_descent(activation), emergency_descent(-activation))


def _beside(per_device: Float[Tensor, "devices"], like: Tensor) -> Tensor:
    """With as many axes as the prices have."""
    return per_device.reshape(-1, *(1,) * (like.ndim - 1))


def opened(activation: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Share of the power range at an activation; both 0 and 1 are reached."""
    return ((1.0 + 2.0 * _STRETCH) * torch.sigmoid(activation) - _STRETCH).clamp(0.0, 1.0)


def emergency_descent(activation: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Descent per unit of x beyond the largest price, where the activation is the given one."""
    still_open = (activation - _CLOSED).clamp(min=0.0)
    return _EMERGENCY_SLOPE + still_open / math.log(2.0)  # twice the price is ln 2 further in x


def kinked(level: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A non-decreasing function of slope 1 that is nearly flat where its value is about 0."""
    return level.clamp(min=0.0) + (level + _FLAT).clamp(max=0.0) + _FLAT_SLOPE * level.clamp(-_FLAT, 0.0)


def _kinked_slope(level: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.where((level < 0.0) & (level > -_FLAT), _FLAT_SLOPE, 1.0)


def steepness(reach: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape"]:
    """Rise of the activation per unit of level."""
    return _REACH / (reach[..., 1] - reach[..., 0]).clamp(min=_SHORTEST_REACH)


def activation_to_reach(
    level: Float[Tensor, "*#shape"], reach: Float[Tensor, "*#shape 2"]
) -> Float[Tensor, "*#shape"]:
    """The activation with which a step ends about at a level, if that lies within reach."""
    return steepness(reach) * (level - reach[..., 0]) - 0.5 * _REACH


class PriceMonotoneNetwork(nn.Module):
    """Features of a device in, its response to any price out."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.n_seen, *config.hidden)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        head = nn.Linear(widths[-1], config.n_numbers)
        with torch.no_grad():
            head.weight.mul_(0.1)
            head.bias.zero_()
            if config.two_way:
                head.bias[1:] = -2.0  # begin with levels that lie within the store at most prices
            elif not config.levels:
                head.bias[0] = 2.0  # begin by drawing most of the power at price zero
        self.layers = nn.Sequential(*layers, head)

    def forward(self, features: Float[Tensor, "devices features"]) -> Response | TwoWayResponse:
        """One pass per control step; all prices are asked of what it returns."""
        reach, seen = parted(features, self.config)
        return answer(self.numbers(seen), seen, self.config, reach)

    def numbers(self, seen: Float[Tensor, "rows seen"]) -> Float[Tensor, "rows numbers"]:
        """What the perceptron says of what it sees."""
        if next(self.parameters()).requires_grad or len(seen) <= _ROWS_AT_ONCE:
            return self.layers(seen)
        parts = torch.tensor_split(seen, -(-len(seen) // _ROWS_AT_ONCE))
        return torch.cat([self.layers(part) for part in parts])


def parted(features: Tensor, config: NetworkConfig) -> tuple[Tensor | None, Tensor]:
    """The levels within reach, where the network gives one, and what the perceptron sees."""
    if not config.n_reach:
        return None, features
    return features[:, : config.n_reach], features[:, config.n_reach :]


def answer(
    numbers: Float[Tensor, "rows numbers"],
    seen: Float[Tensor, "rows seen"],
    config: NetworkConfig,
    reach: Float[Tensor, "rows levels"] | None,
) -> Response | TwoWayResponse:
    """The answer that the numbers stand for, by rows that saw this and can reach that."""
    if config.two_way:
        assert reach is not None
        return TwoWayResponse(Response.of(numbers, config), Terms.seen(seen), reach)
    return Response.of(numbers, config, reach, floor_seen(seen) if config.full_price else None)
