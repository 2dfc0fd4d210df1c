"""The simulators under the name where mosaik users look for components."""

from __future__ import annotations

from grid_cosim.cosim.districts import DistrictSim
from grid_cosim.cosim.feeder import FeederSim
from grid_cosim.cosim.gauges import GaugeSim
from grid_cosim.cosim.households import HouseholdSim
from grid_cosim.cosim.recorder import RecorderSim

__all__ = ["DistrictSim", "FeederSim", "GaugeSim", "HouseholdSim", "RecorderSim"]
