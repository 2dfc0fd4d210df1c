"""Homes on a grid with grid_cosim's FeederSim; prints milliseconds per step as JSON.

    python benchmarks/peers/grid_ours.py FOLDER STEPS [read] [solver=NAME]

FOLDER is from `grid_case.py`. With `read`, a sink takes the voltage of every bus and the loading of every
line. The solver is the one that FeederSim takes by itself, or one of those that `power_flow.solver` names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mosaik
import numpy as np
from bus_loads import STEP_SIZE_S, TAKEN, buses_of, milliseconds_per_step, until

SIM_CONFIG = {
    "Homes": {"python": "bus_loads:Homes"},
    "Sink": {"python": "bus_loads:Sink"},
    "Grid": {"python": "grid_cosim.cosim.feeder:FeederSim"},
}


def main(folder: Path, n_steps: int, solver: dict[str, str], *, read: bool) -> None:
    """Run, and print what a step took; with `read` also the mean voltage of the last one."""
    with mosaik.World(SIM_CONFIG, skip_greetings=True, configure_logging=False) as world:
        homes = world.start("Homes", loads=str(folder / "loads.npz"))
        grid = world.start("Grid", feeder=str(folder / "net.json"), step_size=STEP_SIZE_S, **solver).Grid()
        by_id = {element.eid: element for element in grid.children}
        buses = buses_of(folder)
        for own, bus in zip(homes.Homes.create(len(buses)), buses, strict=True):
            world.connect(own, by_id[f"Bus-{bus}"], ("P[MW]", "P_load[MW]"), ("Q[MVar]", "Q_load[MVar]"))
        if read:
            world.connect(grid, world.start("Sink").Sink(), "buses", "lines")
        world.run(until=until(n_steps), print_progress=False)
    result = milliseconds_per_step()
    if read:
        (columns,) = TAKEN["buses"].values()
        result["mean_vm_pu"] = round(float(np.mean(columns["vm_pu"])), 8)
    print(json.dumps(result))


if __name__ == "__main__":
    others = sys.argv[3:]
    named = dict(argument.split("=") for argument in others if "=" in argument)
    main(Path(sys.argv[1]), int(sys.argv[2]), named, read="read" in others)
