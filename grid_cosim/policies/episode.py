"""Episodes of training: fresh devices, each with its own weather, demand, tariff and price process."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grid_cosim.devices import Device, Drive, Storing
from grid_cosim.devices.device import DriveOfRows, drive_of, rows_of, stacked, to_dtype
from grid_cosim.policies.network import (
    PriceMonotoneNetwork,
    Response,
    activation_to_reach,
    emergency_descent,
    opened,
)
from grid_cosim.policies.prices import (
    RecordedPrices,
    sample_negative_prices,
    sample_prices,
    sample_tariffs,
    wander,
)
from grid_cosim.policies.private import PrivateNetworks
from grid_cosim.policies.recipe import Recipe
from grid_cosim.policies.sky import sample_sky
from grid_cosim.policies.two_way import Targets, Terms, TwoWayResponse, level_at
from grid_cosim.policies.view import floor_seen, memory_steps, view_of_path
from grid_cosim.tariff import OUTLOOK_H, tariff_view

_STEPS_AT_ONCE = 8
"""Of which a network is asked together; what is computed for them then fits a processor's cache."""


@dataclass(frozen=True)
class Episode:
    """What happens to a batch of devices; prices in EUR/kWh."""

    device: Device
    drive: Drive
    dt_h: float
    price: Float[Tensor, "day_and_steps devices"]
    """Congestion price; the first day is the one before the episode, which only the memory knows."""
    floor: Float[Tensor, "steps devices"]
    premium: Float[Tensor, "steps devices"]
    premium_6h: Float[Tensor, "steps devices"]
    premium_24h: Float[Tensor, "steps devices"]
    terminal_price: Float[Tensor, "devices"]
    """Value of the energy that is owed or stored at the end."""

    @property
    def n_steps(self) -> int:
        """Control steps."""
        return int(self.floor.shape[0])

    def congestion_price(self, step: int) -> Float[Tensor, "devices"]:
        """That of one step."""
        return self.price[memory_steps(self.dt_h) + step]

    def answered_price(self, step: int) -> Float[Tensor, "devices"]:
        """What the policy's response is asked for: congestion price and premium."""
        return self.congestion_price(step) + self.premium[step]

    def full_price(self, step: int) -> Float[Tensor, "devices"]:
        """What a kWh costs: tariff and congestion price."""
        return self.floor[step] + self.answered_price(step)

    @cached_property
    def seen(self) -> Float[Tensor, "steps devices view"]:
        """What the policy sees besides the device."""
        return view_of_path(self.price, self.floor, self.premium_6h, self.premium_24h, dt_h=self.dt_h)

    def features(self, step: int, state: Any, inputs: Any) -> Float[Tensor, "devices features"]:
        """All that the policy sees in a step."""
        return torch.cat([self.device.observe(state, inputs), self.seen[step]], dim=-1)

    def of_rows(self, rows: Int[Tensor, "some"]) -> Episode:
        """What happens to some of the devices."""
        n_devices = self.device.n_devices
        return replace(
            self,
            device=rows_of(self.device, rows, n_devices),
            drive=DriveOfRows(self.drive, rows, n_devices),
            price=self.price[:, rows],
            floor=self.floor[:, rows],
            premium=self.premium[:, rows],
            premium_6h=self.premium_6h[:, rows],
            premium_24h=self.premium_24h[:, rows],
            terminal_price=self.terminal_price[rows],
        )


def draw_episode(
    recipe: Recipe,
    generator: torch.Generator,
    *,
    recorded: RecordedPrices | None = None,
    device: Device | None = None,
) -> Episode:
    """Draw an episode of `recipe.devices_per_update` devices, or one for the devices given."""
    population = recipe.make_population()
    dt_h, n_steps = recipe.dt_h, round(recipe.hours / recipe.dt_h)
    start_hour = float(torch.randint(0, 24, (1,), generator=generator))
    if device is None:
        drawn = population.sample(recipe.devices_per_update, dt_h=dt_h, generator=generator)
        device = to_dtype(drawn, torch.float32)
    n = device.n_devices
    outdoor = sample_weather(n, n_steps=n_steps, start_hour=start_hour, recipe=recipe, generator=generator)
    drive = drive_of(
        population,
        device,
        n_steps=n_steps,
        start_hour=start_hour,
        outdoor_c=outdoor,
        sky=lambda: sample_sky(n, n_steps=n_steps, dt_h=dt_h, start_hour=start_hour, generator=generator),
        generator=generator,
    )
    price = _congestion(n, n_steps, start_hour, recipe, generator, recorded)
    price = _negative(price, start_hour, recipe, generator)
    tariff = sample_tariffs(
        n,
        n_steps=n_steps + round(OUTLOOK_H / dt_h),
        dt_h=dt_h,
        start_hour=start_hour,
        energy_price_eur_per_kwh=recipe.energy_price_eur_per_kwh,
        generator=generator,
    )
    known = tariff_view(tariff.numpy(), n_steps=n_steps, dt_h=dt_h)
    floor, premium, premium_6h, premium_24h = (torch.as_tensor(part, dtype=torch.float32) for part in known)
    return Episode(
        device=device,
        drive=drive,
        dt_h=dt_h,
        price=price,
        floor=floor,
        premium=premium,
        premium_6h=premium_6h,
        premium_24h=premium_24h,
        terminal_price=tariff[n_steps:].mean(0) + price[memory_steps(dt_h) :].mean(0),
    )


def _congestion(
    n_devices: int,
    n_steps: int,
    start_hour: float,
    recipe: Recipe,
    generator: torch.Generator,
    recorded: RecordedPrices | None,
) -> Float[Tensor, "day_and_steps devices"]:
    """Congestion prices from the day before on; an invented day before is unknown to half of the homes."""
    day = memory_steps(recipe.dt_h)
    invented = sample_prices(
        n_devices,
        n_steps=day + n_steps,
        dt_h=recipe.dt_h,
        start_hour=start_hour - 24.0,
        price_max_eur_per_kwh=recipe.price_max_eur_per_kwh,
        generator=generator,
    )
    fresh_start = torch.rand(n_devices, generator=generator) < 0.5
    invented[:day, fresh_start] = torch.nan
    if recorded is None:
        return invented
    real = recorded.sample(
        n_devices,
        n_steps=n_steps,
        dt_h=recipe.dt_h,
        start_hour=start_hour,
        price_max_eur_per_kwh=recipe.price_max_eur_per_kwh,
        generator=generator,
    )
    which = torch.rand(n_devices, generator=generator) < recipe.recorded_share
    return torch.where(which, real, invented)


def _negative(
    price: Float[Tensor, "day_and_steps devices"],
    start_hour: float,
    recipe: Recipe,
    generator: torch.Generator,
) -> Float[Tensor, "day_and_steps devices"]:
    """The prices, with what noons bring to some of the devices; nothing is drawn where a recipe has none."""
    if not recipe.negative_share:
        return price
    noons = sample_negative_prices(
        price.shape[1],
        n_steps=len(price),
        dt_h=recipe.dt_h,
        start_hour=start_hour - 24.0,
        energy_price_eur_per_kwh=recipe.energy_price_eur_per_kwh,
        generator=generator,
    )
    sunny = torch.rand(price.shape[1], generator=generator) < recipe.negative_share
    met = torch.where(sunny, price + noons, price)
    return met.clamp(recipe.price_min_eur_per_kwh, recipe.price_max_eur_per_kwh)


def rollout_cost(
    network: Callable[[Tensor], Response | TwoWayResponse], episode: Episode, gradient_limit: float = math.inf
) -> Float[Tensor, "devices"]:
    """What an episode costs each device under a policy, state at the end included (EUR).

    Energy that is still owed at the end is valued at the mean price of the episode, so that a policy
    learns nothing from the fact that an episode ends. `gradient_limit` as in `with_limited_gradient`.
    """
    device, drive = episode.device, episode.drive
    inputs = drive.at(0)
    state = device.init(inputs)
    cost = torch.zeros(device.n_devices)
    levels = _planned_levels(network, episode)
    for step in range(episode.n_steps):
        inputs = drive.at(step)
        state = device.receive(state, inputs)
        p_min, p_max = device.bounds(state, inputs)
        if levels is None:
            response = network(episode.features(step, state, inputs))
            p_kw = response.power_kw(episode.answered_price(step), p_min, p_max)
        else:
            reach = cast(Storing, device).levels(state, (p_min, p_max), inputs)
            p_kw = levels[step].power_kw(reach, p_min, p_max)
        state, outputs = device.step(state, p_kw, inputs)
        state = with_limited_gradient(state, gradient_limit)
        cost = cost + outputs.cost_eur + episode.full_price(step) * p_kw * episode.dt_h
    return cost + device.terminal_cost_eur(state, inputs, episode.terminal_price)


class _Planned(NamedTuple):
    """A level to be reached at a price, and how far that price lies beyond those of the training."""

    level: Float[Tensor, "devices"]
    beyond: Float[Tensor, "devices"]

    def power_kw(self, reach: Tensor, p_min_kw: Tensor, p_max_kw: Tensor) -> Float[Tensor, "devices"]:
        """As `Response.power_kw` gives it."""
        activation = activation_to_reach(self.level, reach)
        if self.beyond.any():
            above = self.beyond > 0.0
            steep = torch.where(above, emergency_descent(activation), emergency_descent(-activation))
            activation = activation - steep * self.beyond
        return p_min_kw + (p_max_kw - p_min_kw) * opened(activation)


class _PlannedTwoWay(NamedTuple):
    """Levels between which a store rests."""

    targets: Targets

    def power_kw(self, reach: Tensor, p_min_kw: Tensor, p_max_kw: Tensor) -> Float[Tensor, "devices"]:
        """As `TwoWayResponse.power_kw` gives it."""
        up, down = self.targets.shares(reach)
        return up * p_max_kw + down * p_min_kw


def _planned_levels(
    network: Callable[[Tensor], Response | TwoWayResponse], episode: Episode
) -> Sequence[_Planned | _PlannedTwoWay] | None:
    """The level to be reached in each step, where the network gives one: it asks for nothing that happens."""
    if not (isinstance(network, PriceMonotoneNetwork | PrivateNetworks) and network.config.levels):
        return None
    device = cast(Storing, episode.device)
    planned: list[_Planned | _PlannedTwoWay] = []
    for first in range(0, episode.n_steps, _STEPS_AT_ONCE):
        steps = range(first, min(first + _STEPS_AT_ONCE, episode.n_steps))
        own = device.surroundings(stacked([episode.drive.at(step) for step in steps]))
        seen = torch.cat([own, episode.seen[first : steps.stop]], dim=-1).transpose(0, 1)
        price = torch.stack([episode.answered_price(step) for step in steps], dim=1)
        rows = seen.flatten(0, 1)  # device by device, as private networks want it
        config = network.config
        floor = floor_seen(rows) if config.full_price else None
        response = Response.of(network.numbers(rows), config, floor=floor)
        if config.two_way:
            terms = Terms.seen(rows)
            asked = (ask(price.reshape(-1, 1)) for ask in (terms.buying, terms.selling))
            levels = (level_at(response, worth)[0].view(price.shape).unbind(1) for worth in asked)
            planned += [_PlannedTwoWay(Targets.of(*pair)) for pair in zip(*levels, strict=True)]
        else:
            level, beyond = (
                ask(price.reshape(-1, 1)).view(price.shape).unbind(1)
                for ask in (response.level, response.beyond)
            )
            planned += [_Planned(*pair) for pair in zip(level, beyond, strict=True)]
    return planned


def with_limited_gradient(state: Any, limit: float) -> Any:
    """The same state; what flows back through it is cut to ±`limit` per device and step.

    A policy that answers its own state steeply may swing (a room too warm, off, too cold, on); going back
    through an episode of such steps the derivative grows geometrically and drowns everybody else's.
    """
    if math.isinf(limit):
        return state
    for value in state:
        if value.requires_grad:
            value.register_hook(lambda gradient: gradient.nan_to_num().clamp(-limit, limit))
    return state


def sample_weather(
    n_devices: int, *, n_steps: int, start_hour: float, recipe: Recipe, generator: torch.Generator
) -> Float[Tensor, "steps devices"]:
    """Outdoor temperatures: a mean, a slow trend, days that warm up fast and cool down slowly, and noise.

    The coldest hour lies about 7 h; from there it takes 3 to 9 hours to the warmest.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    n_days = math.ceil(recipe.hours / 24.0) + 3
    steps = n_steps + round(OUTLOOK_H / recipe.dt_h)
    hours = (start_hour + recipe.dt_h * torch.arange(steps))[:, None]
    mean = uniform(*recipe.outdoor_c, 1, n_devices)
    trend = 1.5 * torch.randn(1, n_devices, generator=generator)
    since_coldest = hours - uniform(5.5, 8.5, n_devices)
    hour, rise = since_coldest % 24.0, uniform(3.0, 9.0, n_devices)
    warming, cooling = hour / rise, (hour - rise) / (24.0 - rise)
    height = torch.where(
        warming < 1.0, 1.0 - torch.cos(torch.pi * warming), 1.0 + torch.cos(torch.pi * cooling)
    )
    swing = uniform(0.3, 4.5, n_devices) * uniform(0.4, 1.6, n_days, n_devices)
    day = (torch.floor(since_coldest / 24.0) + 1.0).long()
    wave = swing.gather(0, day) * height
    noise = uniform(0.0, 1.0, n_devices) * wander(n_devices, steps, recipe.dt_h, generator)
    return mean + trend * (hours - hours.mean()) / 24.0 + wave - wave.mean(0) + noise
