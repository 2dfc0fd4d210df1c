"""Where the sun stands, and what it sends: irradiance on the horizontal plane at the control step.

Formulas of Duffie and Beckman, Solar Engineering of Thermal Processes (4th edition, 2013), chapters 1 and 2.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from grid_cosim.errors import ProfileError
from grid_cosim.profiles.series import CET_CLOCK, Clock, read_series
from grid_cosim.profiles.weather import at_steps, weather_path

DIRECT, DIFFUSE, GLOBAL = "direct_w_per_m2", "diffuse_w_per_m2", "global_w_per_m2"
_SOLAR_CONSTANT_W_PER_M2 = 1367.0
_LOW_SUN = 0.087
"""Sine of 5°: below it irradiance is all diffuse, as the sun's height divides by next to nothing."""


class SunPosition(NamedTuple):
    """Unit vector towards the sun."""

    east: Float[np.ndarray, "*shape"]
    north: Float[np.ndarray, "*shape"]
    up: Float[np.ndarray, "*shape"]
    """Sine of the sun's height above the horizon; negative at night."""


class SkyAtSteps(NamedTuple):
    """Means over the control steps; the sun's position in the middle of each."""

    direct_w_per_m2: Float[np.ndarray, "steps"]
    """On the horizontal plane."""
    diffuse_w_per_m2: Float[np.ndarray, "steps"]
    """On the horizontal plane."""
    sun: SunPosition


def sun_position(
    day_of_year: Float[np.ndarray, "*shape"],
    hour: Float[np.ndarray, "*shape"],
    *,
    latitude_deg: float,
    longitude_deg: float,
    meridian_deg: float = CET_CLOCK.meridian_deg,
) -> SunPosition:
    """Position at an hour of standard time (of the meridian) on a day of the year, 1 to 366.

    Declination and equation of time after Spencer (1971): equations 1.6.1b, 1.5.3 and 1.5.2 of the book.
    """
    b = 2.0 * np.pi * (day_of_year - 1.0) / 365.0
    declination = (
        0.006918
        - 0.399912 * np.cos(b)
        + 0.070257 * np.sin(b)
        - 0.006758 * np.cos(2.0 * b)
        + 0.000907 * np.sin(2.0 * b)
        - 0.002697 * np.cos(3.0 * b)
        + 0.00148 * np.sin(3.0 * b)
    )
    equation_min = 229.2 * (
        0.000075
        + 0.001868 * np.cos(b)
        - 0.032077 * np.sin(b)
        - 0.014615 * np.cos(2.0 * b)
        - 0.04089 * np.sin(2.0 * b)
    )
    solar_hour = hour + (4.0 * (longitude_deg - meridian_deg) + equation_min) / 60.0
    angle, latitude = np.deg2rad(15.0 * (solar_hour - 12.0)), np.deg2rad(latitude_deg)
    sin_d, cos_d = np.sin(declination), np.cos(declination)
    return SunPosition(
        east=-cos_d * np.sin(angle),
        north=np.cos(latitude) * sin_d - np.sin(latitude) * cos_d * np.cos(angle),
        up=np.sin(latitude) * sin_d + np.cos(latitude) * cos_d * np.cos(angle),
    )


def diffuse_share(
    global_w_per_m2: Float[np.ndarray, "steps"],
    day_of_year: Float[np.ndarray, "steps"],
    up: Float[np.ndarray, "steps"],
) -> Float[np.ndarray, "steps"]:
    """Share of the global irradiance that is diffuse, by its clearness.

    Correlation of Erbs, Klein, Duffie (Solar Energy 28:293, 1982), equation 2.10.1 of the book.
    """
    beyond = _SOLAR_CONSTANT_W_PER_M2 * (1.0 + 0.033 * np.cos(2.0 * np.pi * day_of_year / 365.0))
    clear = np.clip(global_w_per_m2 / (beyond * np.maximum(up, _LOW_SUN)), 0.0, 1.0)
    cloudy = 0.9511 - 0.1604 * clear + 4.388 * clear**2 - 16.638 * clear**3 + 12.336 * clear**4
    share = np.where(clear <= 0.22, 1.0 - 0.09 * clear, np.where(clear <= 0.80, cloudy, 0.165))
    return np.where(up < _LOW_SUN, 1.0, share)


def sky(
    path_or_shipped_name: str | Path,
    *,
    start: datetime,
    n_steps: int,
    dt_h: float,
    latitude_deg: float,
    longitude_deg: float,
    clock: Clock = CET_CLOCK,
) -> SkyAtSteps:
    """Irradiance and the sun's position in n_steps control steps from `start` (naive, local standard time).

    The file is one of the weather, with columns `direct_w_per_m2` and `diffuse_w_per_m2` on the horizontal
    plane, or `global_w_per_m2` alone, of which the diffuse part is estimated. Shipped years, and the way
    between two rows, are as of `outdoor_temperature`. Raises `ProfileError` as that does, and for a file
    without such columns.
    """
    name = str(path_or_shipped_name)
    path, typical = weather_path(name)
    of_file = CET_CLOCK if typical else clock
    columns = _columns(path, of_file)
    frame = read_series(path, columns=columns, zone=of_file.standard, wall=of_file.wall)
    parts = [
        at_steps(frame[column], name, typical=typical, start=start, n_steps=n_steps, dt_h=dt_h)
        for column in columns
    ]
    middle = [start + timedelta(hours=(step + 0.5) * dt_h) for step in range(n_steps)]
    day = np.array([float(at.timetuple().tm_yday) for at in middle])
    hour = np.array([at.hour + at.minute / 60.0 + at.second / 3600.0 for at in middle])
    sun = sun_position(
        day,
        hour,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        meridian_deg=clock.meridian_deg,
    )
    sent = np.sum(parts, axis=0)
    diffuse = parts[1] if len(parts) == 2 else sent * diffuse_share(sent, day, sun.up)
    diffuse = np.where(sun.up < _LOW_SUN, sent, diffuse)
    return SkyAtSteps(sent - diffuse, diffuse, sun)


def _columns(path: Path, clock: Clock) -> list[str]:
    """Those of the irradiance that the file has."""
    there = read_series(path, allow_negative=True, zone=clock.standard, wall=clock.wall).columns
    if {DIRECT, DIFFUSE} <= set(there):
        return [DIRECT, DIFFUSE]
    if GLOBAL in there:
        return [GLOBAL]
    raise ProfileError(
        str(path),
        f"holds no irradiance, which photovoltaics need; it has {', '.join(map(repr, there[:8]))}",
        remedy=f"Add a column {GLOBAL!r}, or {DIRECT!r} and {DIFFUSE!r}, in W/m² on the horizontal plane",
    )
