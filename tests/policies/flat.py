"""Episodes with given congestion prices under a flat tariff."""

from __future__ import annotations

import torch
from torch import Tensor

from grid_cosim.devices import Device, Drive
from grid_cosim.policies.episode import Episode
from grid_cosim.policies.view import memory_steps


def flat_episode(
    device: Device, drive: Drive, prices: Tensor, *, dt_h: float, energy_price: float = 0.3
) -> Episode:
    """Nothing is remembered of the day before; the end is valued at the mean price."""
    nothing = torch.zeros_like(prices)
    return Episode(
        device,
        drive,
        dt_h,
        price=torch.cat([prices.new_full((memory_steps(dt_h), prices.shape[1]), torch.nan), prices]),
        floor=nothing + energy_price,
        premium=nothing,
        premium_6h=nothing,
        premium_24h=nothing,
        terminal_price=energy_price + prices.mean(0),
    )
