"""The cold evening as a plain mosaik script: start, create, connect, run.

    python scenarios/cold_evening.py

gives the same numbers as `grid-cosim run scenarios/cold_evening.toml` for its controller `consensus`. Any of
the simulators may be replaced by one of yours, or started as a process (`"cmd": "%(python)s -m
grid_cosim.cosim.feeder %(addr)s"`).
"""

from collections.abc import Sequence
from pathlib import Path

import mosaik

from grid_cosim.scenario import load_scenario

SIM_CONFIG = {
    "Households": {"python": "mosaik_components.grid_cosim:HouseholdSim"},
    "Feeder": {"python": "mosaik_components.grid_cosim:FeederSim"},
    "Recorder": {"python": "mosaik_components.grid_cosim:RecorderSim"},
}
SCENARIO = Path(__file__).with_suffix(".toml")
FOLDER = Path("runs/cold_evening_script")
NOT_YET = {"P[MW]": float("nan"), "loading[%]": float("nan")}


def main(
    scenario: Path = SCENARIO,
    folder: Path = FOLDER,
    controller: str = "consensus",
    overrides: Sequence[str] = (),
) -> None:
    """Run one controller of a scenario, recording into a folder."""
    time = load_scenario(scenario, overrides).time
    given = {"scenario": scenario, "overrides": overrides}
    with mosaik.World(SIM_CONFIG, skip_greetings=True) as world:
        # start
        households = world.start("Households", controller=controller, **given)
        feeder = world.start("Feeder", **given)
        recorder = world.start("Recorder", folder=folder, **given)

        # create
        neighbourhood = households.Neighbourhood()
        grid = feeder.Grid()
        tables = recorder.Recorder()

        # connect: the homes to their buses, and every limited transformer back to its meter, a step later
        element = {child.eid: child for child in grid.children}
        for child in neighbourhood.children:
            if child.type == "ConnectionPoint":
                bus = element[child.extra_info["bus"]]
                world.connect(child, bus, ("P[MW]", "P_load[MW]"), ("Q[MVar]", "Q_load[MVar]"))
            elif child.type == "Limit":
                trafo = element[child.extra_info["element"]]
                world.connect(trafo, child, "P[MW]", "loading[%]", time_shifted=True, initial_data=NOT_YET)
        world.connect(neighbourhood, tables, "households", "devices", "limits", "agreement")
        world.connect(grid, tables, "lines", "buses", "limits", "grid")

        # run
        world.run(until=time.n_steps * round(time.dt_h * 3600))
        print(f"{recorder.check_horizon()} steps recorded in {folder}")


if __name__ == "__main__":
    main()
