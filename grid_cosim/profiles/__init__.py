"""Time series from outside: temperature, irradiance, energy price, inflexible household load, own files.

The simulation clock is local standard time: naive, with equal steps, no daylight saving.
"""

from __future__ import annotations

from grid_cosim.profiles.households import (
    ANNUAL_KWH_MEAN,
    HouseholdShapes,
    base_load_from_file,
    household_base_load,
    household_shapes,
)
from grid_cosim.profiles.licences import LICENCES
from grid_cosim.profiles.prices import energy_price
from grid_cosim.profiles.ratings import rating_factor
from grid_cosim.profiles.series import CET, Clock, interval_mean, read_series
from grid_cosim.profiles.sun import SkyAtSteps, SunPosition, sky, sun_position
from grid_cosim.profiles.weather import outdoor_temperature, shipped_weather

__all__ = [
    "ANNUAL_KWH_MEAN",
    "CET",
    "LICENCES",
    "Clock",
    "HouseholdShapes",
    "SkyAtSteps",
    "SunPosition",
    "base_load_from_file",
    "energy_price",
    "household_base_load",
    "household_shapes",
    "interval_mean",
    "outdoor_temperature",
    "rating_factor",
    "read_series",
    "shipped_weather",
    "sky",
    "sun_position",
]
