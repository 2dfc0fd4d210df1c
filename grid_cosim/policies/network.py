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

A device with one store (`devices.Storing`) is told how full its store shall be instead of how much to draw:

    level(mu) = kinked(b - sum_j w_j * ramp_j(x(mu))),
    z(mu) = 6 * ((level(mu) - least) / (most - least) - 1/2),

where `least` and `most` are the levels at which the step ends with p_min and with p_max. Its costs are
convex in the level and the level is linear in the power, so the level that is best to reach does not
depend on where the store stands (the base-stock policies of inventory theory: Arrow, Harris, Marschak 1951).
The perceptron need not see it then, and a training can ask it about many steps of an episode at once.
`kinked` has a flat piece at 0, the level that is wanted: many prices share it, since falling short costs
more than the first bit of excess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_ROWS_AT_ONCE = 8192
"""Devices whose perceptron runs together: what it computes on its way then fits a processor's cache."""
_STRETCH = 0.01
"""The sigmoid is stretched by this much beyond 0 and 1 and cut, so that both are reached exactly."""
_EMERGENCY_SLOPE = 30.0
"""Least descent of the activation per unit of x beyond the largest price of the training."""
_CLOSED = math.log(_STRETCH / (1.0 + _STRETCH))
"""Activation at and below which the power is p_min."""
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

    @property
    def n_seen(self) -> int:
        """Features that the perceptron reads."""
        return self.n_features - 2 if self.levels else self.n_features


class Response(NamedTuple):
    """The answer of each device to any price, in this control step."""

    base: Float[Tensor, "devices"]
    weights: Float[Tensor, "devices ramps"]
    price_scale: float
    price_max: float
    reach: Float[Tensor, "devices 2"] | None = None
    """Levels at the end of the step with least and with most power, where `base` and `weights` give one."""

    @classmethod
    def of(
        cls,
        out: Float[Tensor, "devices numbers"],
        config: NetworkConfig,
        reach: Float[Tensor, "devices 2"] | None = None,
    ) -> Response:
        """The answer that the numbers from the last layer stand for."""
        return cls(
            base=out[:, 0],
            weights=nn.functional.softplus(out[:, 1:]),
            price_scale=config.price_scale_eur_per_kwh,
            price_max=config.price_max_eur_per_kwh,
            reach=reach,
        )

    def _descent(
        self, price: Float[Tensor, "devices prices"]
    ) -> tuple[Float[Tensor, "devices prices"], Float[Tensor, "devices prices"]]:
        """What base and ramps give, and its derivative by x; each price below `price_max` or at it."""
        x = torch.asinh(price.clamp(min=0.0, max=self.price_max) / self.price_scale)
        width = self._end / self.weights.shape[1]
        segment = (x / width).long().clamp(max=self.weights.shape[1] - 1)
        climbed = torch.cat([torch.zeros_like(self.base)[:, None], self.weights.cumsum(1)], dim=1)
        here = self.weights.gather(1, segment)
        within = (x / width - segment).clamp(max=1.0)
        return self.base[:, None] - climbed.gather(1, segment) - here * within, -here / width

    @property
    def _end(self) -> float:
        return math.asinh(self.price_max / self.price_scale)

    def level(self, price: Float[Tensor, "devices prices"]) -> Float[Tensor, "devices prices"]:
        """The level to be reached at each price, up to the largest of the training; non-increasing in it."""
        return kinked(self._descent(price)[0])

    def _activation(
        self, price: Float[Tensor, "devices *prices"]
    ) -> tuple[Float[Tensor, "devices *prices"], Float[Tensor, "devices *prices"]]:
        """Z and dz/dx at each price."""
        flat = price.reshape(price.shape[0], -1)
        z, slope = self._descent(flat)
        if self.reach is not None:
            slope = slope * _kinked_slope(z) * steepness(self.reach)[:, None]
            z = activation_to_reach(kinked(z), self.reach[:, None])
        beyond = self.beyond(flat)
        descent = emergency_descent(z)
        z, slope = z - descent * beyond, torch.where(beyond > 0.0, -descent, slope)
        return z.reshape(price.shape), slope.reshape(price.shape)

    def beyond(self, price: Float[Tensor, "devices prices"]) -> Float[Tensor, "devices prices"]:
        """How far in x each price lies beyond the largest of the training."""
        return (torch.asinh(price.clamp(min=0.0) / self.price_scale) - self._end).clamp(min=0.0)

    def activation(self, price: Float[Tensor, "devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """What becomes a share of the power range by `opened`, at each price; non-increasing in it."""
        return self._activation(price)[0]

    def fraction(self, price: Float[Tensor, "devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """Share of the power range that is used at each price (EUR/kWh), non-increasing in it."""
        return opened(self.activation(price))

    def fraction_slope(self, price: Float[Tensor, "devices *prices"]) -> Float[Tensor, "devices *prices"]:
        """Derivative of `fraction` by the price, in kWh/EUR; never positive."""
        z, dz_dx = self._activation(price)
        open_range = torch.sigmoid(z)
        stretched = (1.0 + 2.0 * _STRETCH) * open_range - _STRETCH
        inside = (stretched > 0.0) & (stretched < 1.0)
        dx_dmu = 1.0 / torch.sqrt(price.clamp(min=0.0) ** 2 + self.price_scale**2)
        slope = (1.0 + 2.0 * _STRETCH) * open_range * (1.0 - open_range) * dz_dx * dx_dmu
        return torch.where(inside, slope, 0.0)


def of_devices(response: Response, rows: Int[Tensor, "some"]) -> Response:
    """The answer of some of the devices."""
    parts: dict[str, Any] = {
        name: part[rows] for name, part in response._asdict().items() if isinstance(part, Tensor)
    }
    return response._replace(**parts)


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
        head = nn.Linear(widths[-1], 1 + config.n_ramps)
        with torch.no_grad():
            head.weight.mul_(0.1)
            head.bias.zero_()
            if not config.levels:
                head.bias[0] = 2.0  # begin by drawing most of the power at price zero
        self.layers = nn.Sequential(*layers, head)

    def forward(self, features: Float[Tensor, "devices features"]) -> Response:
        """One pass per control step; all prices are asked of what it returns."""
        reach, seen = parted(features, self.config)
        return Response.of(self.numbers(seen), self.config, reach)

    def numbers(self, seen: Float[Tensor, "rows seen"]) -> Float[Tensor, "rows numbers"]:
        """What the perceptron says of what it sees."""
        if next(self.parameters()).requires_grad or len(seen) <= _ROWS_AT_ONCE:
            return self.layers(seen)
        parts = torch.tensor_split(seen, -(-len(seen) // _ROWS_AT_ONCE))
        return torch.cat([self.layers(part) for part in parts])


def parted(features: Tensor, config: NetworkConfig) -> tuple[Tensor | None, Tensor]:
    """The levels within reach, where the network gives one, and what the perceptron sees."""
    return (features[:, :2], features[:, 2:]) if config.levels else (None, features)
