"""grid_cosim: household agents that share a feeder by agreeing on a price with their neighbours.

    from grid_cosim import load_scenario, run
    results = run(load_scenario("scenarios/cold_evening.toml"), out="runs/cold_evening")

The names are imported on first use, so that importing the package stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grid_cosim.analysis import Results, compare
    from grid_cosim.assembly import assemble
    from grid_cosim.errors import GridCosimError
    from grid_cosim.feeder import Feeder, list_feeders, load_feeder
    from grid_cosim.fleet import Fleet
    from grid_cosim.metrics import kpis
    from grid_cosim.neighbourhood import Neighbourhood
    from grid_cosim.report import write_report
    from grid_cosim.runner import run
    from grid_cosim.scenario import Scenario, load_scenario

_HOME = {
    "Feeder": "feeder",
    "Fleet": "fleet",
    "GridCosimError": "errors",
    "Neighbourhood": "neighbourhood",
    "Results": "analysis",
    "Scenario": "scenario",
    "assemble": "assembly",
    "compare": "analysis",
    "kpis": "metrics",
    "list_feeders": "feeder",
    "load_feeder": "feeder",
    "load_scenario": "scenario",
    "run": "runner",
    "write_report": "report",
}

__all__ = [
    "Feeder",
    "Fleet",
    "GridCosimError",
    "Neighbourhood",
    "Results",
    "Scenario",
    "assemble",
    "compare",
    "kpis",
    "list_feeders",
    "load_feeder",
    "load_scenario",
    "run",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"grid_cosim.{_HOME[name]}"), name)
