"""Homes on a grid with mosaik-pandapower-2; prints milliseconds per step as JSON.

    python benchmarks/peers/grid_mosaik_pandapower.py FOLDER STEPS [read]

FOLDER is from `grid_case.py`. With `read`, a sink takes the voltage of every bus and the loading of every
line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean

import mosaik
from bus_loads import STEP_SIZE_S, TAKEN, buses_of, milliseconds_per_step, until

SIM_CONFIG = {
    "Homes": {"python": "bus_loads:Homes"},
    "Sink": {"python": "bus_loads:Sink"},
    "Grid": {"python": "mosaik_components.pandapower:Simulator"},
}
READ = {"Bus": "Vm[pu]", "Line": "loading[%]"}


def main(folder: Path, n_steps: int, *, read: bool) -> None:
    """Run, and print what a step took; with `read` also the mean voltage of the last one."""
    with mosaik.World(SIM_CONFIG, skip_greetings=True, configure_logging=False) as world:
        homes = world.start("Homes", loads=str(folder / "loads.npz"))
        elements = world.start("Grid", step_size=STEP_SIZE_S).Grid(json=str(folder / "net.json")).children
        by_id = {element.eid: element for element in elements}
        buses = buses_of(folder)
        for own, bus in zip(homes.Homes.create(len(buses)), buses, strict=True):
            world.connect(own, by_id[f"Bus-{bus}"], ("P[MW]", "P_load[MW]"), ("Q[MVar]", "Q_load[MVar]"))
        if read:
            sink = world.start("Sink").Sink()
            for element in elements:
                if element.type in READ:
                    world.connect(element, sink, READ[element.type])
        world.run(until=until(n_steps), print_progress=False)
    result = milliseconds_per_step()
    if read:
        result["mean_vm_pu"] = round(fmean(TAKEN["Vm[pu]"].values()), 8)
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), read="read" in sys.argv[3:])
