"""What a policy sees besides its device: the tariff of the coming day, and the prices of the last one.

Every home remembers for a day the congestion prices on which it acted. Yesterday's are its forecast: evenings
resemble each other, and a price that fell at midnight yesterday is likely to do so today. Nobody tells
it anything for that. The price of this very step is not among the features; the response takes it.
"""

from __future__ import annotations

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
)
"""Names of the columns of `view`, in order; they follow those of the device."""

_MEMORY_H = 24.0
_WINDOWS_H = ((23.0, 24.0), (18.0, 24.0), (0.0, 2.0), (0.0, 6.0), (0.0, 12.0))
"""Of the memory, which begins a day ago; in the order of the names."""
_PRICE_SCALE_EUR_PER_KWH = 0.01


def memory_steps(dt_h: float) -> int:
    """Control steps that a home remembers."""
    return max(1, round(_MEMORY_H / dt_h))


def no_memory(n_rows: int, dt_h: float) -> Float[Tensor, "day rows"]:
    """Before the first step: as if there had been no congestion."""
    return torch.zeros(memory_steps(dt_h), n_rows)


def remember(memory: Float[Tensor, "day rows"], price: Float[Tensor, "rows"]) -> Float[Tensor, "day rows"]:
    """The oldest price is forgotten, that of the step just over joins as the last."""
    return torch.cat([memory[1:], price[None].to(memory.dtype)])


def view(
    memory: Float[Tensor, "day rows"],
    floor: Float[Tensor, "#rows"],
    premium_6h: Float[Tensor, "#rows"],
    premium_24h: Float[Tensor, "#rows"],
    *,
    dt_h: float,
) -> Float[Tensor, "rows view"]:
    """The columns of `VIEW_NAMES`, of order one; prices in EUR/kWh.

    `memory` holds the prices of the last day, oldest first; the tariff's part is as in `TariffView`.
    """
    remembered = [memory[first:end].mean(0) for first, end in _windows(dt_h)]
    return _columns(floor, premium_6h, premium_24h, remembered)


def view_of_path(
    price: Float[Tensor, "day_and_steps rows"],
    floor: Float[Tensor, "steps rows"],
    premium_6h: Float[Tensor, "steps rows"],
    premium_24h: Float[Tensor, "steps rows"],
    *,
    dt_h: float,
) -> Float[Tensor, "steps rows view"]:
    """`view` in every step of a path of prices that is known beforehand, as in training."""
    total = torch.cat([torch.zeros_like(price[:1]), price]).double().cumsum(0)
    n = len(floor)
    remembered = [
        ((total[end : end + n] - total[first : first + n]) / (end - first)).to(price.dtype)
        for first, end in _windows(dt_h)
    ]
    return _columns(floor, premium_6h, premium_24h, remembered)


def _windows(dt_h: float) -> list[tuple[int, int]]:
    """First step and end of every window of the memory; each is a step long at least."""
    day = memory_steps(dt_h)
    windows = []
    for first_h, end_h in _WINDOWS_H:
        first = min(round(first_h / dt_h), day - 1)
        windows.append((first, max(first + 1, round(end_h / dt_h))))
    return windows


def _columns(
    floor: Tensor, premium_6h: Tensor, premium_24h: Tensor, remembered: list[Tensor]
) -> Float[Tensor, "*rows view"]:
    shape = remembered[0].shape
    prices = torch.stack([premium_6h.expand(shape), premium_24h.expand(shape), *remembered], dim=-1)
    scaled = torch.asinh(prices / _PRICE_SCALE_EUR_PER_KWH) / 3.0
    return torch.cat([(floor / 0.3).expand(shape)[..., None], scaled], dim=-1)
