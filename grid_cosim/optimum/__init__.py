"""The best that perfect foresight could do: the optimum of what all controllers are scored on.

The names are imported on first use: the modelling library takes a second to import, and only who asks for
an optimum need wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grid_cosim.optimum.ac import Measure, Measured, ac_schedule, by_power_flow
    from grid_cosim.optimum.models import ConvexModel, HasConvexModel, OptimumError, convex_model
    from grid_cosim.optimum.parts import Couplings
    from grid_cosim.optimum.problem import optimal_schedule
    from grid_cosim.optimum.schedule import Schedule, Scheduled, replay_eur

_HOME = {
    "ConvexModel": "models",
    "Couplings": "parts",
    "HasConvexModel": "models",
    "Measure": "ac",
    "Measured": "ac",
    "OptimumError": "models",
    "Schedule": "schedule",
    "Scheduled": "schedule",
    "ac_schedule": "ac",
    "by_power_flow": "ac",
    "convex_model": "models",
    "optimal_schedule": "problem",
    "replay_eur": "schedule",
}

__all__ = [
    "ConvexModel",
    "Couplings",
    "HasConvexModel",
    "Measure",
    "Measured",
    "OptimumError",
    "Schedule",
    "Scheduled",
    "ac_schedule",
    "by_power_flow",
    "convex_model",
    "optimal_schedule",
    "replay_eur",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
