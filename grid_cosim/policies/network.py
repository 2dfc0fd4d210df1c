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
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

_STRETCH = 0.01
"""The sigmoid is stretched by this much beyond 0 and 1 and cut, so that both are reached exactly."""
_EMERGENCY_SLOPE = 30.0
"""Least descent of the activation per unit of x beyond the largest price of the training."""
_CLOSED = math.log(_STRETCH / (1.0 + _STRETCH))
"""Activation at and below which the power is p_min."""


@dataclass(frozen=True)
class NetworkConfig:
    """Size and price scale of a policy network."""

    n_features: int
    hidden: tuple[int, ...] = (64, 64)
    n_ramps: int = 16
    price_scale_eur_per_kwh: float = 0.01
    price_max_eur_per_kwh: float = 2.0


class Response(NamedTuple):
    """The answer of each device to any price, in this control step."""

    base: Float[Tensor, "devices"]
    weights: Float[Tensor, "devices ramps"]
    price_scale: float
    price_max: float

    @classmethod
    def of(cls, out: Float[Tensor, "devices numbers"], config: NetworkConfig) -> Response:
        """The answer that the numbers from the last layer stand for."""
        return cls(
            base=out[:, 0],
            weights=nn.functional.softplus(out[:, 1:]),
            price_scale=config.price_scale_eur_per_kwh,
            price_max=config.price_max_eur_per_kwh,
        )

    def _activation(
        self, price: Float[Tensor, "devices *prices"]
    ) -> tuple[Float[Tensor, "devices *prices"], Float[Tensor, "devices *prices"]]:
        """Z and dz/dx at each price."""
        flat = price.reshape(price.shape[0], -1)
        end = math.asinh(self.price_max / self.price_scale)
        width = end / self.weights.shape[1]
        x = torch.asinh(flat.clamp(min=0.0) / self.price_scale)
        segment = (x / width).long().clamp(max=self.weights.shape[1] - 1)
        climbed = torch.cat([torch.zeros_like(self.base)[:, None], self.weights.cumsum(1)], dim=1)
        here = self.weights.gather(1, segment)
        within = (x / width - segment).clamp(max=1.0)
        beyond = (x - end).clamp(min=0.0)
        still_open = (self.base - climbed[:, -1] - _CLOSED).clamp(min=0.0)[:, None]
        descent = _EMERGENCY_SLOPE + still_open / math.log(2.0)  # twice the price is ln 2 further in x
        z = self.base[:, None] - climbed.gather(1, segment) - here * within - descent * beyond
        slope = torch.where(x > end, -descent, -here / width)
        return z.reshape(price.shape), slope.reshape(price.shape)

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


def opened(activation: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Share of the power range at an activation; both 0 and 1 are reached."""
    return ((1.0 + 2.0 * _STRETCH) * torch.sigmoid(activation) - _STRETCH).clamp(0.0, 1.0)


class PriceMonotoneNetwork(nn.Module):
    """Features of a device in, its response to any price out."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.n_features, *config.hidden)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        head = nn.Linear(widths[-1], 1 + config.n_ramps)
        with torch.no_grad():
            head.weight.mul_(0.1)
            head.bias.zero_()
            head.bias[0] = 2.0  # begin by drawing most of the power at price zero
        self.layers = nn.Sequential(*layers, head)

    def forward(self, features: Float[Tensor, "devices features"]) -> Response:
        """One pass per control step; all prices are asked of what it returns."""
        return Response.of(self.layers(features), self.config)
