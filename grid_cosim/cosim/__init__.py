"""Everything that knows mosaik: simulators that convert and delegate, and the world that wires them.

`HouseholdSim`, `DistrictSim`, `FeederSim`, `GaugeSim` and `RecorderSim` are mosaik API 3 components for
anybody's script. The names are imported on first use, so that a simulator that runs as a process of its own
imports only itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grid_cosim.cosim.districts import DistrictSim
    from grid_cosim.cosim.feeder import FeederSim
    from grid_cosim.cosim.gauges import GaugeSim
    from grid_cosim.cosim.households import HouseholdSim
    from grid_cosim.cosim.meta import markdown_table
    from grid_cosim.cosim.recorder import RecorderSim
    from grid_cosim.cosim.world import SIM_CONFIG, connect_feeder, connect_recorder, run_world

_HOME = {
    "SIM_CONFIG": "world",
    "DistrictSim": "districts",
    "FeederSim": "feeder",
    "GaugeSim": "gauges",
    "HouseholdSim": "households",
    "RecorderSim": "recorder",
    "connect_feeder": "world",
    "connect_recorder": "world",
    "markdown_table": "meta",
    "run_world": "world",
}

__all__ = [
    "SIM_CONFIG",
    "DistrictSim",
    "FeederSim",
    "GaugeSim",
    "HouseholdSim",
    "RecorderSim",
    "connect_feeder",
    "connect_recorder",
    "markdown_table",
    "run_world",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
