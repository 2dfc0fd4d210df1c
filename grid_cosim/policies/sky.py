"""Skies that a policy meets in training: any day of the year, clear or clouded."""

from __future__ import annotations

import numpy as np
import torch

from grid_cosim.devices.device import Sky
from grid_cosim.policies.prices import wander
from grid_cosim.profiles import sun_position

_LATITUDE_DEG, _LONGITUDE_DEG = 49.5, 8.55


def sample_sky(
    n_devices: int, *, n_steps: int, dt_h: float, start_hour: float, generator: torch.Generator
) -> Sky:
    """A day of the year and clouds for every device.

    Global irradiance under a clear sky is 1098 sin(h) exp(-0.057 / sin(h)) W/m² (Haurwitz, Journal of
    Meteorology 2:154, 1945); clouds leave between an eighth, all diffuse, and the whole, a sixth diffuse.
    """
    first = 1.0 + 365.0 * torch.rand(n_devices, generator=generator)
    hours = start_hour + dt_h * (0.5 + torch.arange(n_steps))[:, None]
    day = np.floor(first.numpy()) + np.floor(hours.numpy() / 24.0)
    sun = sun_position(day, hours.numpy() % 24.0, latitude_deg=_LATITUDE_DEG, longitude_deg=_LONGITUDE_DEG)
    east, north, up = (torch.as_tensor(part).float().expand(n_steps, n_devices) for part in sun)
    height = up.clamp(min=1e-3)
    clear = torch.where(up > 0.0, 1098.0 * height * (-0.057 / height).exp(), 0.0)
    bright = torch.rand(n_devices, generator=generator) * 3.0 - 1.0
    share = torch.sigmoid(bright + 1.2 * wander(n_devices, n_steps, dt_h, generator))
    sent = clear * (0.125 + 0.875 * share)
    diffuse = sent * (1.0 - 0.83 * share)
    return Sky(sent - diffuse, diffuse, east, north, up)
