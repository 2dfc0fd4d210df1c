"""Write a grid and its homes' loads to a folder, for both sides of the comparison.

    python benchmarks/peers/grid_case.py FEEDER FOLDER

`net.json` is the network as grid_cosim reads it, in which the homes' own loads draw nothing: they are fed
over their buses. `loads.npz` is what the homes of every bus draw on a winter day.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandapower as pp

from grid_cosim import load_feeder
from grid_cosim.feeder.elements import read_plan
from grid_cosim.profiles import household_base_load

N_STEPS = 96


def main(source: str, folder: Path) -> None:
    """Write both files."""
    feeder = load_feeder(source)
    base_kw, base_kvar = household_base_load(
        n_households=feeder.n_households,
        start=datetime(2016, 1, 20),
        n_steps=N_STEPS,
        dt_h=0.25,
        generator=np.random.default_rng(1),
    )
    p_kw, q_kvar = (np.zeros((N_STEPS, feeder.connection_buses.size)) for _ in range(2))
    for step in range(N_STEPS):
        np.add.at(p_kw[step], feeder.home_connection, base_kw[step])
        np.add.at(q_kvar[step], feeder.home_connection, base_kvar[step])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "loads.npz", bus=feeder.connection_buses, p_kw=p_kw, q_kvar=q_kvar)
    for table in ("load", "sgen"):
        planned_kw, planned_kvar = read_plan(feeder, table).at(None)
        feeder.net[table]["p_mw"], feeder.net[table]["q_mvar"] = planned_kw / 1e3, planned_kvar / 1e3
    pp.to_json(feeder.net, str(folder / "net.json"))
    print(
        f"{source}: {len(feeder.buses):,} buses, {feeder.n_households:,} homes at {p_kw.shape[1]:,} of them"
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
