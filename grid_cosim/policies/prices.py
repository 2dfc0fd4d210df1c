"""Price processes that a policy meets in training.

What the multiplier of a feeder's limit looks like: zero most of the time; a bump on evenings when cars
and heat pumps coincide, sometimes a plateau through the night; never smooth. Many samples stay near
zero, since that is where the price lives; a few reach the largest price, so that a policy knows it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sample_prices(
    n_devices: int,
    *,
    n_steps: int,
    dt_h: float,
    start_hour: float,
    price_max_eur_per_kwh: float,
    generator: torch.Generator,
) -> Float[Tensor, "steps devices"]:
    """One process per device, in EUR/kWh, within `[0, price_max_eur_per_kwh]`.

    A fifth are constant (as in the seed paper), a tenth zero; the others are daily bumps about the
    evening and the morning with day-to-day heights, on a base level, times slowly wandering noise.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    def log_uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.tensor(low) * (torch.tensor(high / low)) ** torch.rand(*shape, generator=generator)

    hours = (start_hour + dt_h * torch.arange(n_steps))[:, None]
    n_days = int(hours[-1].item() // 24) + 2
    day = (hours // 24).long()
    bumps = torch.zeros(n_steps, n_devices)
    for centre, spread, often in ((19.5, 2.0, 0.9), (7.0, 1.5, 0.4)):
        height = log_uniform(0.005, 0.6, 1, n_devices) * log_uniform(0.4, 2.5, n_days, n_devices)
        height = height * (torch.rand(n_days, n_devices, generator=generator) < often)
        middle = centre + spread * torch.randn(n_days, n_devices, generator=generator)
        half_width = uniform(0.75, 4.0, n_days, n_devices)
        steepness = uniform(1.5, 8.0, n_days, n_devices)
        for shift in (-1, 0, 1):  # bumps of the neighbouring days reach over midnight
            index = (day + shift).clamp(0, n_days - 1).squeeze(1)
            distance = (hours - 24.0 * (day + shift) - middle[index]).abs() / half_width[index]
            inside = (day + shift >= 0) & (day + shift < n_days)
            bumps = bumps + inside * height[index] / (1.0 + distance ** (2.0 * steepness[index]))
    base = log_uniform(0.002, 0.3, 1, n_devices) * (torch.rand(1, n_devices, generator=generator) < 0.25)
    memory = torch.exp(-dt_h / uniform(0.3, 6.0, n_devices))
    volatility = uniform(0.0, 0.6, n_devices)
    noise, wander = torch.zeros(n_devices), []
    shocks = torch.randn(n_steps, n_devices, generator=generator)
    for step in range(n_steps):
        noise = memory * noise + (1.0 - memory**2).sqrt() * shocks[step]
        wander.append(noise)
    shaped = (base + bumps) * torch.exp(volatility * torch.stack(wander) - 0.5 * volatility**2)
    shaped = torch.where(shaped > 0.002, shaped, 0.0)
    constant = log_uniform(0.001, price_max_eur_per_kwh, 1, n_devices).expand(n_steps, n_devices)
    which = torch.rand(n_devices, generator=generator)
    prices = torch.where(which < 0.1, 0.0, torch.where(which < 0.3, constant, shaped))
    return prices.clamp(0.0, price_max_eur_per_kwh)
