"""What a policy sees besides its device: the tariff of the coming day, and the prices of the last one.

Every home remembers for a day the congestion prices on which it acted. Yesterday's are its forecast: evenings
resemble each other, and a price that fell at midnight yesterday is likely to do so today. Nobody tells
it anything for that. The price of this very step is not among the features; the response takes it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

VIEW_NAMES = (
    "energy_price",
    "premium_6h",
    "premium_24h",
    "price_last_1h",
    "price_last_6h",
    "price_yesterday_next_2h",
    "price_yesterday_next_6h",
    "price_yesterday_next_12h",
    "remembered",
)
"""Names of the columns of `view`, in order; they follow those of the device. `remembered` is the share of the
last day that a home remembers at all: no congestion yesterday is something else than no yesterday."""

_MEMORY_H = 24.0
_WINDOWS_H = ((23.0, 24.0), (18.0, 24.0), (0.0, 2.0), (0.0, 6.0), (0.0, 12.0))
"""Of the memory, which begins a day ago; in the order of the names."""
_PRICE_SCALE_EUR_PER_KWH = 0.01
_FLOOR_SCALE_EUR_PER_KWH = 0.3


def memory_steps(dt_h: float) -> int:
    """Control steps that a home remembers."""
    return max(1, round(_MEMORY_H / dt_h))


class PriceMemory(NamedTuple):
    """The prices of the last day, as sums: the sum up to each step tells the mean of any stretch at once."""

    sums: tuple[Float[Tensor, "rows"], ...]
    """Of all prices so far, from that of a day ago to the last; EUR/kWh."""
    known: int
    """Steps of the day that are remembered: fewer in the first day."""


def no_memory(n_rows: int, dt_h: float) -> PriceMemory:
    """Before the first step: nothing is known."""
    return PriceMemory((torch.zeros(n_rows, dtype=torch.float64),) * (memory_steps(dt_h) + 1), 0)


def remember(memory: PriceMemory, price: Float[Tensor, "rows"]) -> PriceMemory:
    """The oldest price is forgotten, that of the step just over joins as the last."""
    sums = (*memory.sums[1:], memory.sums[-1] + price)
    return PriceMemory(sums, min(memory.known + 1, len(memory.sums) - 1))


def view(
    memory: PriceMemory,
    floor: Float[Tensor, "#rows"],
    premium_6h: Float[Tensor, "#rows"],
    premium_24h: Float[Tensor, "#rows"],
    *,
    dt_h: float,
) -> Float[Tensor, "rows view"]:
    """The columns of `VIEW_NAMES`, of order one; prices in EUR/kWh.

    The tariff's part is as in `TariffView`.
    """
    means = [
        ((memory.sums[end] - memory.sums[first]) / (end - first)).float() for first, end in _windows(dt_h)
    ]
    known = torch.full_like(means[0], memory.known / memory_steps(dt_h))
    return _columns(floor, premium_6h, premium_24h, means, known)


def view_of_path(
    price: Float[Tensor, "day_and_steps rows"],
    floor: Float[Tensor, "steps rows"],
    premium_6h: Float[Tensor, "steps rows"],
    premium_24h: Float[Tensor, "steps rows"],
    *,
    dt_h: float,
) -> Float[Tensor, "steps rows view"]:
    """`view` in every step of a path of prices that is known beforehand, as in training."""
    n = len(floor)

    def means(path: Tensor, windows: list[tuple[int, int]]) -> list[Tensor]:
        total = torch.cat([torch.zeros_like(path[:1]), path]).double().cumsum(0)
        return [
            ((total[end : end + n] - total[first : first + n]) / (end - first)).to(price.dtype)
            for first, end in windows
        ]

    remembered = means(price.nan_to_num(), _windows(dt_h))
    (known,) = means((~price.isnan()).to(price.dtype), [(0, memory_steps(dt_h))])
    return _columns(floor, premium_6h, premium_24h, remembered, known)


def floor_seen(features: Float[Tensor, "rows features"]) -> Float[Tensor, "rows"]:
    """The floor, in EUR/kWh, out of features that end with a view."""
    return _FLOOR_SCALE_EUR_PER_KWH * features[:, VIEW_NAMES.index("energy_price") - len(VIEW_NAMES)]


def _windows(dt_h: float) -> list[tuple[int, int]]:
    """First step and end of every window of the memory; each is a step long at least."""
    day = memory_steps(dt_h)
    windows = []
    for first_h, end_h in _WINDOWS_H:
        first = min(round(first_h / dt_h), day - 1)
        windows.append((first, max(first + 1, round(end_h / dt_h))))
    return windows


def _columns(
    floor: Tensor, premium_6h: Tensor, premium_24h: Tensor, remembered: list[Tensor], known: Tensor
) -> Float[Tensor, "*rows view"]:
    shape = remembered[0].shape
    prices = torch.stack([premium_6h.expand(shape), premium_24h.expand(shape), *remembered], dim=-1)
    scaled = torch.asinh(prices / _PRICE_SCALE_EUR_PER_KWH) / 3.0
    return torch.cat(
        [(floor / _FLOOR_SCALE_EUR_PER_KWH).expand(shape)[..., None], scaled, known[..., None]], dim=-1
    )
