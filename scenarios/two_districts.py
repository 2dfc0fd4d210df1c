"""Two districts behind one transformer, each a simulator of its own, whose agents agree through mosaik.

    python scenarios/two_districts.py

Messages between neighbours go round in a loop of mosaik's at the same time of the simulation: a connection
there and a weak one back, within a group. What crosses from one district to the other are the messages of the
links that are cut, and nothing else; the transformer's meter stands in the first district. Then the same
evening with all homes in one simulator: the script prints by how much the prices differ.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import mosaik
import mosaik.util
import numpy as np

from grid_cosim.assembly import scenario_feeder
from grid_cosim.cosim import connect_feeder
from grid_cosim.feeder import Feeder
from grid_cosim.scenario import Scenario, load_scenario

SIM_CONFIG = {
    "Households": {"python": "mosaik_components.grid_cosim:HouseholdSim"},
    "District": {"python": "mosaik_components.grid_cosim:DistrictSim"},
    "Feeder": {"python": "mosaik_components.grid_cosim:FeederSim"},
    "Notes": {"python": "mosaik.basic_simulators:OutputSimulator"},
}
SCENARIO = Path(__file__).with_name("cold_evening.toml")
SMALL = ("feeder.source=schutterwald:0", "feeder.limit_share=0.2", "time.hours=12")
NOT_YET = {"P[MW]": float("nan"), "loading[%]": float("nan")}
MOST_ROUNDS = 2000
"""Rounds in one control step at most; the first takes the most, when nobody has said anything yet."""
Noted = dict[str, np.ndarray]
"""Price of every home, by name, and loading of the transformer, step by step."""


def main(
    scenario: Path = SCENARIO, overrides: Sequence[str] = SMALL, districts: int = 2
) -> tuple[Noted, Noted]:
    """Run `consensus` in districts and as one; gives what was noted in both."""
    read = load_scenario(scenario, overrides)
    feeder = scenario_feeder(read)
    apart, together = in_districts(read, feeder, districts), as_one(read, feeder)
    homes = [name for name in together if name != "loading"]
    difference = max(float(np.abs(apart[name] - together[name]).max()) for name in homes)
    highest = max(float(together[name].max()) for name in homes)
    print(f"{len(homes)} homes, {districts} districts, {read.time.n_steps} steps")
    print(f"loading at most {apart['loading'].max():.2f} %, price at most {highest:.3f} EUR/kWh")
    print(f"largest difference of a home's price to one simulator with all: {difference:.1e} EUR/kWh")
    return apart, together


def in_districts(scenario: Scenario, feeder: Feeder, n_districts: int) -> Noted:
    """A simulator per district."""
    step_size = round(scenario.time.dt_h * 3600)
    with mosaik.World(SIM_CONFIG, skip_greetings=True, max_loop_iterations=MOST_ROUNDS) as world:
        with world.group("districts"):  # weak connections need one
            districts = [
                world.start(
                    "District", scenario=scenario, controller="consensus", district=k, districts=n_districts
                ).Neighbourhood()
                for k in range(n_districts)
            ]
        grid = world.start("Feeder", scenario=scenario, feeder=feeder).Grid()
        noting = world.start("Notes")
        notes = noting.Dict()

        element = {child.eid: child for child in grid.children}
        for first, second in combinations(districts, 2):
            # what the nodes here tell those elsewhere, and back, round by round
            world.connect(first, second, ("told", "heard"))
            world.connect(second, first, ("told", "heard"), weak=True)
        for here in districts:
            # whether the meters have measured, wherever they stand
            world.connect(grid, here, "converged", time_shifted=True, initial_data={"converged": False})
            for child in here.children:
                if child.type == "ConnectionPoint":
                    bus = element[child.extra_info["bus"]]
                    world.connect(child, bus, ("P[MW]", "P_load[MW]"), ("Q[MVar]", "Q_load[MVar]"))
                elif child.type == "Limit":
                    trafo = element[child.extra_info["element"]]
                    world.connect(
                        trafo, child, "P[MW]", "loading[%]", time_shifted=True, initial_data=NOT_YET
                    )
                    world.connect(trafo, notes, "loading[%]")
        homes = households(districts, notes, world)
        world.run(until=scenario.time.n_steps * step_size)
        return noted(noting.get_dict(notes.eid), homes)


def as_one(scenario: Scenario, feeder: Feeder) -> Noted:
    """All homes in one simulator."""
    step_size = round(scenario.time.dt_h * 3600)
    with mosaik.World(SIM_CONFIG, skip_greetings=True) as world:
        neighbourhood = world.start("Households", scenario=scenario, controller="consensus").Neighbourhood()
        grid = world.start("Feeder", scenario=scenario, feeder=feeder).Grid()
        noting = world.start("Notes")
        notes = noting.Dict()
        connect_feeder(world, neighbourhood, grid)
        for child in grid.children:
            if child.type == "Trafo":
                world.connect(child, notes, "loading[%]")
        homes = households([neighbourhood], notes, world)
        world.run(until=scenario.time.n_steps * step_size)
        return noted(noting.get_dict(notes.eid), homes)


def households(neighbourhoods: Sequence[Any], notes: Any, world: mosaik.World) -> dict[str, str]:
    """Note the price of every home; gives their names by their full ids."""
    homes = [child for here in neighbourhoods for child in here.children if child.type == "Household"]
    mosaik.util.connect_many_to_one(world, homes, notes, "price[EUR/kWh]")
    return {home.full_id: home.extra_info["name"] for home in homes}


def noted(said: dict[int, Any], homes: dict[str, str]) -> Noted:
    """What was noted, as one series per home."""
    series = {
        name: np.array([values["price[EUR/kWh]"][full_id] for values in said.values()])
        for full_id, name in homes.items()
    }
    loading = np.array([max(values["loading[%]"].values()) for values in said.values()])
    return series | {"loading": loading}


if __name__ == "__main__":
    main()
