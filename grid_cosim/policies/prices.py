"""Prices that a policy meets in training: invented and recorded congestion prices, and tariffs.

What the multiplier of a feeder's limit looks like: zero most of the time; a bump on evenings when cars
and heat pumps coincide, sometimes a plateau through the night; never smooth. Many samples stay near
zero, since that is where the price lives; a few reach the largest price, so that a policy knows it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.policies.checkpoint import PolicyError, read_tensors
from grid_cosim.policies.recipe import Recipe, RecipeError
from grid_cosim.policies.view import memory_steps


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
    shaped = (base + bumps) * _disturbance(n_devices, n_steps, dt_h, 0.6, generator)
    shaped = torch.where(shaped > 0.002, shaped, 0.0)
    constant = log_uniform(0.001, price_max_eur_per_kwh, 1, n_devices).expand(n_steps, n_devices)
    which = torch.rand(n_devices, generator=generator)
    prices = torch.where(which < 0.1, 0.0, torch.where(which < 0.3, constant, shaped))
    return prices.clamp(0.0, price_max_eur_per_kwh)


def sample_negative_prices(
    n_devices: int,
    *,
    n_steps: int,
    dt_h: float,
    start_hour: float,
    energy_price_eur_per_kwh: float,
    generator: torch.Generator,
) -> Float[Tensor, "steps devices"]:
    """What a limit against reverse flow adds to each device's price: plateaus about noon, never positive.

    They begin between 8 and 12 h and end between 14 and 18 h, about the same every day of a device, on a part
    of the days. Half of them lie where photovoltaics are turned down, at about minus the price of energy; the
    others are small or large.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    hours = (start_hour + dt_h * torch.arange(n_steps))[:, None]
    day = torch.floor((hours - hours[0]) / 24.0 + (hours[0] % 24.0) / 24.0).long().squeeze(1)
    n_days = int(day[-1].item()) + 1
    begins, ends = uniform(8.0, 12.0, n_devices), uniform(14.0, 18.0, n_devices)
    jitter = uniform(-1.0, 1.0, 2, n_days, n_devices)
    often = uniform(0.3, 1.0, n_devices)
    sunny = torch.rand(n_days, n_devices, generator=generator) < often
    turned_down = energy_price_eur_per_kwh * uniform(0.85, 1.1, n_devices)
    other = 0.005 * 120.0 ** uniform(0.0, 1.0, n_devices)
    height = torch.where(torch.rand(n_devices, generator=generator) < 0.5, turned_down, other)
    height = height * uniform(0.5, 1.0, n_days, n_devices).clamp(max=0.9) / 0.9
    hour = hours % 24.0
    plateau = ((hour - begins - jitter[0, day]) / 0.75).clamp(0.0, 1.0)
    plateau = plateau * ((ends + jitter[1, day] - hour) / 0.75).clamp(0.0, 1.0)
    return -plateau * sunny[day] * height[day] * _disturbance(n_devices, n_steps, dt_h, 0.15, generator)


_SLACK = 0.3
"""Share of devices whose limit never binds; those that were recorded all do, sooner or later."""


@dataclass(frozen=True)
class RecordedPrices:
    """Congestion prices of whole fleets behind a limit, from the beginning of a run on.

    Those that the perfect-foresight optimum finds, and those that arise when policies meet: what a policy
    shall expect of a price follows from what all others do at it.
    """

    price: Float[Tensor, "steps paths"]
    start_hour: float
    dt_h: float
    path: Path = Path("prices")
    """File that they were read from."""

    @property
    def sha256(self) -> str:
        """Of the prices themselves."""
        return hashlib.sha256(self.price.numpy().tobytes()).hexdigest()

    def sample(
        self,
        n_devices: int,
        *,
        n_steps: int,
        dt_h: float,
        start_hour: float,
        price_max_eur_per_kwh: float,
        generator: torch.Generator,
    ) -> Float[Tensor, "day_and_steps devices"]:
        """A path per device, begun at a day of chance, a little shifted, scaled and disturbed; some are zero.

        The first day is the one before; what lies there before a record begins is NaN, since nobody remembers
        it. Raises `PolicyError` for control steps of another length.
        """
        if dt_h != self.dt_h:
            raise PolicyError(
                self.path,
                f"recorded every {self.dt_h} h, the recipe steps every {dt_h} h",
                f"Set dt_h = {self.dt_h} in the recipe, or leave recorded_prices out.",
            )
        day = memory_steps(dt_h)
        offset = round(((start_hour - self.start_hour) % 24.0) / dt_h)
        last_day = max(0, (len(self.price) - n_steps - offset) // day)
        begun = offset + day * torch.randint(0, last_day + 1, (n_devices,), generator=generator)
        hour = round(1.0 / dt_h)
        shift = torch.randint(-hour, hour + 1, (n_devices,), generator=generator)
        path = torch.randint(0, self.price.shape[1], (n_devices,), generator=generator)
        at = (begun + shift)[None] + torch.arange(-day, n_steps)[:, None]
        known = (at >= 0) & (at < len(self.price))
        price = torch.where(known, self.price[at.clamp(0, len(self.price) - 1), path], 0.0)
        level = torch.exp(0.25 * torch.randn(n_devices, generator=generator))
        disturbed = price * level * _disturbance(n_devices, day + n_steps, dt_h, 0.25, generator)
        disturbed[:, torch.rand(n_devices, generator=generator) < _SLACK] = 0.0
        disturbed[:day][~known[:day]] = torch.nan
        return disturbed.clamp(0.0, price_max_eur_per_kwh)


def load_recorded_prices(path: Path) -> RecordedPrices:
    """Read a file that `policies/record_prices.py` has written."""
    remedy = "Recorded prices are written by policies/record_prices.py."
    if not path.is_file():
        raise PolicyError(path, "no such file", remedy)
    metadata, tensors = read_tensors(path, remedy=remedy)
    if "price" not in tensors or not {"start_hour", "dt_h"} <= metadata.keys():
        raise PolicyError(path, "holds no recorded prices", remedy)
    return RecordedPrices(tensors["price"], float(metadata["start_hour"]), float(metadata["dt_h"]), path)


def require_recorded(recipe: Recipe, recorded: RecordedPrices | None) -> None:
    """Raise `RecipeError` where a recipe names recorded prices and none are given."""
    if recipe.recorded_prices and recorded is None:
        raise RecipeError(
            "recorded_prices",
            f"{recipe.recorded_prices!r} is named, but no prices are given. Give recorded = "
            "load_recorded_prices(...) of that file, or a recipe that names none.",
        )


def wander(
    n_devices: int, n_steps: int, dt_h: float, generator: torch.Generator
) -> Float[Tensor, "steps devices"]:
    """Standard normal noise, each device's with a memory of its own between 0.3 and 6 hours."""
    memory = torch.exp(-dt_h / (0.3 + 5.7 * torch.rand(n_devices, generator=generator)))
    shocks = torch.randn(n_steps, n_devices, generator=generator)
    noise, path = torch.zeros(n_devices), []
    for shock in shocks:
        noise = memory * noise + (1.0 - memory**2).sqrt() * shock
        path.append(noise)
    return torch.stack(path)


def _disturbance(
    n_devices: int, n_steps: int, dt_h: float, volatility: float, generator: torch.Generator
) -> Float[Tensor, "steps devices"]:
    """Slowly wandering factors about 1, of a volatility of up to `volatility`."""
    size = volatility * torch.rand(n_devices, generator=generator)
    return torch.exp(size * wander(n_devices, n_steps, dt_h, generator) - 0.5 * size**2)


def sample_tariffs(
    n_devices: int,
    *,
    n_steps: int,
    dt_h: float,
    start_hour: float,
    energy_price_eur_per_kwh: float,
    generator: torch.Generator,
) -> Float[Tensor, "steps devices"]:
    """A tariff per device, in EUR/kWh.

    Half have about the usual price, the others between a fifth and twice of it. Six tenths are flat, a
    quarter dearer at certain hours of every day, the others hourly prices with a dip at noon and at night.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    usual = torch.rand(n_devices, generator=generator) < 0.5
    factor = torch.where(usual, uniform(0.9, 1.1, n_devices), 0.2 * 10.0 ** uniform(0.0, 1.0, n_devices))
    hours = (start_hour + dt_h * torch.arange(n_steps))[:, None]
    begins, lasts = uniform(6.0, 20.0, n_devices), uniform(2.0, 6.0, n_devices)
    surcharge = 0.01 * 30.0 ** uniform(0.0, 1.0, n_devices)
    dear = surcharge * (((hours - begins) % 24.0) < lasts)
    swing = 0.01 * 10.0 ** uniform(0.0, 1.0, n_devices)
    full = torch.floor(hours)
    daily = torch.cos(2.0 * torch.pi * (full - uniform(17.0, 21.0, n_devices)) / 24.0)
    half_daily = torch.cos(4.0 * torch.pi * (full - uniform(18.0, 20.0, n_devices)) / 24.0)
    jitter = torch.rand(n_steps, n_devices, generator=generator)[(full - full[0]).long().flatten()]
    spot = swing * (1.0 + 0.6 * daily + 0.6 * half_daily + jitter)
    which = torch.rand(n_devices, generator=generator)
    shape = torch.where(which < 0.6, 0.0, torch.where(which < 0.85, dear, spot))
    return energy_price_eur_per_kwh * factor + shape
