"""The cold evening recorded by mosaik-hdf5, and beside it by our own recorder, to see that both say the same.

    python scenarios/with_mosaik_hdf5.py

mosaik-hdf5 keeps one series per entity and attribute: /Series/Feeder-0.Trafo-1/loading[%]. The script reads
the file back and compares it with our tables. Needs `pip install 'grid-cosim[mosaik]'`.
"""

from collections.abc import Sequence
from pathlib import Path

import mosaik
import numpy as np
import pandas as pd

from grid_cosim.cosim import connect_feeder, connect_recorder
from grid_cosim.cosim.others import needs
from grid_cosim.errors import MissingExtraError
from grid_cosim.scenario import load_scenario

SIM_CONFIG = {
    "Households": {"python": "mosaik_components.grid_cosim:HouseholdSim"},
    "Feeder": {"python": "mosaik_components.grid_cosim:FeederSim"},
    "Recorder": {"python": "mosaik_components.grid_cosim:RecorderSim"},
    "HDF5": {"python": "mosaik_hdf5:MosaikHdf5"},
}
SCENARIO = Path(__file__).with_name("cold_evening.toml")
SMALL = ("feeder.source=schutterwald:0", "feeder.limit_share=0.28", "time.hours=12")
FOLDER = Path("runs/with_mosaik_hdf5")
RECORDED = {
    "Household": {"P[MW]": ("households", "household", "p_kw", 1e3)},
    "Limit": {"price[EUR/kWh]": ("limits", "limit", "price_mean_eur_per_kwh", 1.0)},
    "Bus": {"Vm[pu]": ("buses", "bus", "vm_pu", 1.0)},
    "Trafo": {"loading[%]": ("limits", "limit", "loading_percent", 1.0)},
}
"""Model → attribute → our table, the column with its rows' names, that with the values, and their unit."""


def main(
    scenario: Path = SCENARIO, overrides: Sequence[str] = SMALL, folder: Path = FOLDER
) -> dict[str, float]:
    """Run `consensus`, recording twice into a folder; gives the largest difference of each attribute."""
    needs("mosaik_hdf5")
    read = load_scenario(scenario, overrides)
    step_size = round(read.time.dt_h * 3600)
    until = read.time.n_steps * step_size
    folder.mkdir(parents=True, exist_ok=True)
    with mosaik.World(SIM_CONFIG, skip_greetings=True) as world:
        # start
        homes = world.start("Households", scenario=read, controller="consensus")
        feeder = world.start("Feeder", scenario=read)
        recorder = world.start("Recorder", scenario=read, folder=folder)
        hdf5 = world.start("HDF5", step_size=step_size, duration=until)

        # create
        neighbourhood, grid, tables = homes.Neighbourhood(), feeder.Grid(), recorder.Recorder()
        database = hdf5.Database(filename=str(folder / "series.h5"))

        # connect: our tables as a whole, theirs value by value
        connect_feeder(world, neighbourhood, grid)
        connect_recorder(world, neighbourhood, grid, tables)
        recorded = [child for child in (*neighbourhood.children, *grid.children) if child.type in RECORDED]
        for child in recorded:
            world.connect(child, database, *RECORDED[child.type])
        names = {child.full_id: name_in_tables(child) for child in recorded}

        # run
        world.run(until=until)
        print(f"{recorder.check_horizon()} steps recorded in {folder}")
    differences = compared(folder, names)
    for what, difference in differences.items():
        print(f"{what}: largest difference between both recordings {difference:.1e}")
    return differences


def name_in_tables(entity: mosaik.scenario.Entity) -> str:
    """Households and limits have names of their own in our tables, elements of the grid their ids."""
    return str(entity.extra_info["name"]) if entity.type in ("Household", "Limit") else str(entity.eid)


def compared(folder: Path, names: dict[str, str]) -> dict[str, float]:
    """Largest difference of every attribute between `series.h5` and our tables."""
    import h5py

    found: dict[str, float] = {}
    with h5py.File(folder / "series.h5") as file:
        for model, attributes in RECORDED.items():
            for attribute, (table, key, column, unit) in attributes.items():
                rows = pd.read_parquet(folder / f"{table}.parquet")
                ours = {name: part[column].to_numpy() for name, part in rows.groupby(key, observed=True)}
                theirs = {
                    names[source]: unit * group[attribute][:]
                    for source, group in file["Series"].items()
                    if source.partition(".")[2].startswith(f"{model}-")
                }
                found[f"{model} {attribute}"] = max(
                    float(np.abs(series - ours[name]).max()) for name, series in theirs.items()
                )
    return found


if __name__ == "__main__":
    try:
        main()
    except MissingExtraError as error:
        raise SystemExit(f"error: {error}") from None
