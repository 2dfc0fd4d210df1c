"""Scenario files: TOML, validated as a whole, every problem reported at once with its path.

Paths in a scenario are relative to its own folder.
"""

from __future__ import annotations

from grid_cosim.scenario.grid import Event, PowerFlowSection
from grid_cosim.scenario.reading import load_scenario, parse_scenario
from grid_cosim.scenario.sections import (
    CONTROLLERS,
    DUAL_ITERATIONS,
    WITH_MARGIN,
    WITHOUT_POLICIES,
    ControllerName,
    Coordination,
    DeviceSection,
    Scenario,
    Tariff,
)

__all__ = [
    "CONTROLLERS",
    "DUAL_ITERATIONS",
    "WITHOUT_POLICIES",
    "WITH_MARGIN",
    "ControllerName",
    "Coordination",
    "DeviceSection",
    "Event",
    "PowerFlowSection",
    "Scenario",
    "Tariff",
    "load_scenario",
    "parse_scenario",
]
