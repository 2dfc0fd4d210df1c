"""Driving devices through an episode, one step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from grid_cosim.devices import Device, Drive, Outputs, Population, Sky
from grid_cosim.devices.device import drive_of
from grid_cosim.profiles import sun_position


class Moment(NamedTuple):
    """One control step: the state that the device was in, what it drew, and what came of it."""

    state: Any
    inputs: Any
    p_kw: Tensor
    after: Any
    outputs: Outputs


Draws = Callable[[int, Tensor, Tensor], Tensor]
"""Power from the step and the bounds."""


def drawn(
    population: Population,
    *,
    n: int = 5,
    n_steps: int = 90,
    start_hour: float = 12.0,
    dt_h: float = 0.25,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Devices and what happens to them, on winter days of -7 to 3 °C."""
    generator = torch.Generator().manual_seed(seed)
    device = population.sample(n, dt_h=dt_h, generator=generator)
    hours = start_hour + dt_h * torch.arange(n_steps + round(24.0 / dt_h), dtype=torch.float64)
    outdoor = -2.0 + 5.0 * torch.cos(2.0 * math.pi * (hours - 15.0) / 24.0)
    drive = drive_of(
        population,
        device,
        n_steps=n_steps,
        start_hour=start_hour,
        outdoor_c=outdoor[:, None],
        sky=lambda: spring(n_steps=n_steps, start_hour=start_hour, dt_h=dt_h),
        generator=generator,
    )
    return device, drive


def spring(*, n_steps: int, start_hour: float, dt_h: float = 0.25) -> Sky:
    """Cloudless days in April, bright and even, with light from everywhere."""
    hours = start_hour + dt_h * (0.5 + np.arange(n_steps))
    sun = sun_position(100.0 + np.floor(hours / 24.0), hours % 24.0, latitude_deg=49.5, longitude_deg=8.55)
    east, north, up = (torch.as_tensor(part)[:, None] for part in sun)
    return Sky(700.0 * up.clamp(min=0.0), 120.0 * up.clamp(min=0.0), east, north, up)


def live(device: Device, drive: Drive, draws: Draws | None, *, n_steps: int) -> list[Moment]:
    """An episode; `draws=None` is the uncontrolled one."""
    moments = []
    state = device.init(drive.at(0))
    for step in range(n_steps):
        inputs = drive.at(step)
        state = device.receive(state, inputs)
        if draws is None:
            p_kw = device.uncontrolled_kw(state, inputs)
        else:
            p_kw = draws(step, *device.bounds(state, inputs))
        after, outputs = device.step(state, p_kw, inputs)
        moments.append(Moment(state, inputs, p_kw, after, outputs))
        state = after
    return moments


def at_random(n_steps: int, n: int, seed: int = 0) -> Draws:
    """Idle in a third of the steps, full power in a third, anything in between in the others."""
    generator = torch.Generator().manual_seed(seed)
    share = (3.0 * torch.rand(n_steps, n, generator=generator, dtype=torch.float64) - 1.0).clamp(0.0, 1.0)
    return lambda step, low, high: low + (high - low) * share[step]


def stacked(moments: list[Moment], name: str) -> Tensor:
    """One output of all steps, (steps, devices)."""
    return torch.stack([getattr(m.outputs, name) for m in moments])
