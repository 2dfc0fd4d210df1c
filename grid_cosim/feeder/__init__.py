"""Everything that knows pandapower: feeders by name, their limits, and the AC power flow.

The names are imported on first use: pandapower takes seconds to import, and a caller who only wants
to know which feeders exist need not wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grid_cosim.feeder.background import Background
    from grid_cosim.feeder.catalogue import FeederInfo, check_source, list_feeders, simbench_codes
    from grid_cosim.feeder.gauges import Gauges
    from grid_cosim.feeder.identity import fingerprint
    from grid_cosim.feeder.limits import Limits
    from grid_cosim.feeder.network import Feeder, load_feeder
    from grid_cosim.feeder.power_flow import AGREEMENT_PU, PandapowerFlow, PowerFlow
    from grid_cosim.feeder.power_grid import PowerGridFlow
    from grid_cosim.feeder.snapshot import FlowMemory, Snapshot, VoltageCheck
    from grid_cosim.feeder.solvers import Chosen, Solver, Solvers, choose_power_flow

_HOME = {
    "AGREEMENT_PU": "power_flow",
    "Background": "background",
    "Chosen": "solvers",
    "Feeder": "network",
    "FeederInfo": "catalogue",
    "FlowMemory": "snapshot",
    "Gauges": "gauges",
    "Limits": "limits",
    "PandapowerFlow": "power_flow",
    "PowerFlow": "power_flow",
    "PowerGridFlow": "power_grid",
    "Snapshot": "snapshot",
    "Solver": "solvers",
    "Solvers": "solvers",
    "VoltageCheck": "snapshot",
    "check_source": "catalogue",
    "choose_power_flow": "solvers",
    "fingerprint": "identity",
    "list_feeders": "catalogue",
    "load_feeder": "network",
    "simbench_codes": "catalogue",
}

__all__ = [
    "AGREEMENT_PU",
    "Background",
    "Chosen",
    "Feeder",
    "FeederInfo",
    "FlowMemory",
    "Gauges",
    "Limits",
    "PandapowerFlow",
    "PowerFlow",
    "PowerGridFlow",
    "Snapshot",
    "Solver",
    "Solvers",
    "VoltageCheck",
    "check_source",
    "choose_power_flow",
    "fingerprint",
    "list_feeders",
    "load_feeder",
    "simbench_codes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
