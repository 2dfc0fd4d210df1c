"""Flexible devices: separable dynamics, vectorised over devices, differentiable."""

from __future__ import annotations

from grid_cosim.devices.battery import Battery, BatteryPopulation
from grid_cosim.devices.deferrable import DeferrableLoad, DeferrablePopulation
from grid_cosim.devices.device import Device, Drive, Outputs, Population, Sky, Storing, SunlitPopulation
from grid_cosim.devices.ev import ElectricVehicle, VehiclePopulation
from grid_cosim.devices.heat_pump import HeatPump, HeatPumpPopulation
from grid_cosim.devices.pv import Photovoltaics, PvPopulation
from grid_cosim.devices.v2g import V2GPopulation, V2GVehicle
from grid_cosim.devices.water_heater import WaterHeater, WaterHeaterPopulation

__all__ = [
    "Battery",
    "BatteryPopulation",
    "DeferrableLoad",
    "DeferrablePopulation",
    "Device",
    "Drive",
    "ElectricVehicle",
    "HeatPump",
    "HeatPumpPopulation",
    "Outputs",
    "Photovoltaics",
    "Population",
    "PvPopulation",
    "Sky",
    "Storing",
    "SunlitPopulation",
    "V2GPopulation",
    "V2GVehicle",
    "VehiclePopulation",
    "WaterHeater",
    "WaterHeaterPopulation",
]
