"""What a device table may say of a single device, by kind; what it leaves open is drawn as ever."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Column(NamedTuple):
    """A parameter that a table gives for one device."""

    meaning: str
    low: float
    high: float
    spread: str = ""
    """The population's spread that counts as zero where the parameter is given; empty where there is none, or
    where it is about days and not about devices."""
    drawn: bool = False
    """Replaces what was drawn for the device; else it takes the place of the population's own value."""


_P_MAX = Column("Largest power, kW.", 0.1, 100.0, drawn=True)
_CAR = {
    "p_max_kw": Column("Power of the wall box, kW.", 0.5, 50.0, drawn=True),
    "daily_kwh": Column("Mean energy per day, at the meter.", 0.1, 100.0),
    "plug_in_probability": Column("Share of days on which it plugs in.", 0.01, 1.0),
    "arrival_hour": Column("Mean time of coming home, hour of the day.", 13.0, 23.75),
    "arrival_spread_h": Column("Its standard deviation; 0 for the same every day.", 0.0, 6.0),
    "departure_hour": Column("Mean time of leaving, hour of the next day.", 4.5, 11.5),
    "departure_spread_h": Column("Its standard deviation; 0 for the same every day.", 0.0, 6.0),
}

COLUMNS: Mapping[str, Mapping[str, Column]] = MappingProxyType(
    {
        "electric_vehicle": _CAR,
        "v2g_vehicle": {
            **_CAR,
            "capacity_kwh": Column("Usable capacity, kWh.", 15.0, 120.0, spread="capacity_spread"),
        },
        "heat_pump": {
            "heated_area_m2": Column("Heated area, m².", 50.0, 300.0, spread="area_spread"),
            "loss_w_per_m2_k": Column("Heat loss per heated area, W/(m²·K).", 0.3, 3.0, spread="loss_spread"),
            "set_point_c": Column("Set point of the room, °C.", 18.0, 23.0, spread="set_point_spread_k"),
            "floor_heating_share": Column("1 with floor heating, 0 with radiators.", 0.0, 1.0),
            "p_max_kw": Column(
                "Largest electric power, kW; without it what the building needs.", 0.3, 50.0, drawn=True
            ),
        },
        "deferrable": {
            "jobs_per_day": Column("Mean number of jobs per day.", 0.0, 20.0),
            "job_kwh": Column("Median energy of a job, kWh.", 0.05, 20.0),
            "p_max_kw": _P_MAX,
        },
        "water_heater": {
            "litres_per_person": Column(
                "Hot water of 45 °C per person and day, l.", 5.0, 200.0, spread="litres_spread"
            ),
            "cop": Column("Heat per electricity; 1 for a heating element.", 0.9, 5.0, spread="cop_spread"),
            "p_max_kw": _P_MAX,
        },
        "battery": {
            "capacity_kwh": Column("Usable capacity, kWh.", 1.0, 60.0, spread="capacity_spread"),
            "p_max_kw": _P_MAX,
            "charge_efficiency": Column("From the meter into the cells.", 0.8, 0.99, drawn=True),
            "discharge_efficiency": Column("From the cells to the meter.", 0.8, 0.99, drawn=True),
        },
        "pv": {
            "peak_kw": Column("Power of the modules, kW.", 1.0, 30.0, spread="peak_spread"),
            "tilt_deg": Column(
                "Angle between roof and horizontal plane.", 0.0, 90.0, spread="tilt_spread_deg"
            ),
            "azimuth_deg": Column(
                "Direction, from north over east; 180 is south.", 0.0, 360.0, spread="azimuth_spread_deg"
            ),
            "p_max_kw": Column("Power of the inverter, kW; without it a tenth less.", 0.1, 100.0, drawn=True),
        },
    }
)
"""By kind and name. The ranges are those to which the populations clip what they draw, where they do."""


def population_with(population: T, kind: str, given: Mapping[str, Tensor]) -> T:
    """The population with a value of its own for each device where one is given (NaN: not)."""
    changed: dict[str, Any] = {}
    for name, values in given.items():
        column = COLUMNS[kind][name]
        if column.drawn:
            continue
        known = ~values.isnan()
        changed[name] = torch.where(known, values, _own(population, name))
        if column.spread:
            changed[column.spread] = torch.where(known, 0.0, _own(population, column.spread))
    return replace(population, **changed) if changed else population  # type: ignore[type-var]


def device_with(device: T, kind: str, given: Mapping[str, Tensor]) -> T:
    """The drawn devices with those of their parameters that are given."""
    changed: dict[str, Any] = {}
    for name, values in given.items():
        if COLUMNS[kind][name].drawn:
            drawn = getattr(device, name)
            changed[name] = torch.where(values.isnan(), drawn, values.to(drawn.dtype))
    return replace(device, **changed) if changed else device  # type: ignore[type-var]


def _own(population: object, name: str) -> Tensor:
    value = getattr(population, name)
    assert math.isfinite(value)
    return torch.tensor(float(value), dtype=torch.float64)
