"""Flexible devices: separable dynamics, vectorised over devices, differentiable."""

from __future__ import annotations

from grid_cosim.devices.deferrable import DeferrableLoad, DeferrablePopulation
from grid_cosim.devices.device import Device, Drive, Outputs, Population, Storing
from grid_cosim.devices.ev import ElectricVehicle, VehiclePopulation
from grid_cosim.devices.heat_pump import HeatPump, HeatPumpPopulation

__all__ = [
    "DeferrableLoad",
    "DeferrablePopulation",
    "Device",
    "Drive",
    "ElectricVehicle",
    "HeatPump",
    "HeatPumpPopulation",
    "Outputs",
    "Population",
    "Storing",
    "VehiclePopulation",
]
