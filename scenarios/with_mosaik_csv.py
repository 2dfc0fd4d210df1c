"""Other people's numbers go in: a home's load and the grid operator's signal from mosaik-csv.

    python scenarios/with_mosaik_csv.py

`Household-0` becomes a bakery, whose load stands in a CSV file, and so does what may be used of the
transformer; `Household-1` draws a constant 2 kW, from mosaik's own input simulator. Whatever nobody feeds
stays as the scenario says. Needs `pip install 'grid-cosim[mosaik]'`.
"""

from collections.abc import Sequence
from pathlib import Path

import mosaik

from grid_cosim.cosim import connect_feeder
from grid_cosim.cosim.others import needs
from grid_cosim.errors import MissingExtraError
from grid_cosim.scenario import load_scenario
from grid_cosim.scenario.sections import Time

SIM_CONFIG = {
    "CSV": {"python": "mosaik_csv:CSV"},
    "Input": {"python": "mosaik.basic_simulators:InputSimulator"},
    "Households": {"python": "mosaik_components.grid_cosim:HouseholdSim"},
    "Feeder": {"python": "mosaik_components.grid_cosim:FeederSim"},
    "Notes": {"python": "mosaik.basic_simulators:OutputSimulator"},
}
SCENARIO = Path(__file__).with_name("cold_evening.toml")
SMALL = ("feeder.source=schutterwald:0", "feeder.limit_share=0.28", "time.hours=12")
SIGNALS = Path("runs/with_mosaik_csv.csv")
CONSTANT_MW = 0.002


def main(
    scenario: Path = SCENARIO,
    overrides: Sequence[str] = SMALL,
    signals: Path = SIGNALS,
    usable_percent: tuple[float, float] = (28.0, 18.0),
) -> dict[str, list[float]]:
    """Run `consensus`; gives what was noted in every step, by where it came from.

    `usable_percent`: what may be used of the transformer's rating, and what from 17 to 19 h.
    """
    needs("mosaik_csv")
    read = load_scenario(scenario, overrides)
    step_size = round(read.time.dt_h * 3600)
    write_signals(signals, read.time, usable_percent)
    with mosaik.World(SIM_CONFIG, skip_greetings=True) as world:
        # start
        csv = world.start("CSV", sim_start=f"{read.time.start:%Y-%m-%d %H:%M:%S}", datafile=str(signals))
        constant = world.start("Input", step_size=step_size)
        homes = world.start("Households", scenario=read, controller="consensus")
        feeder = world.start("Feeder", scenario=read)
        noting = world.start("Notes")

        # create
        neighbourhood, grid, notes = homes.Neighbourhood(), feeder.Grid(), noting.Dict()
        ours = {child.eid: child for child in neighbourhood.children}
        trafo = next(child for child in grid.children if child.eid == ours["Limit-0"].extra_info["element"])

        # connect
        connect_feeder(world, neighbourhood, grid)
        rows = csv.Signals()
        world.connect(rows, ours["Household-0"], ("bakery[MW]", "P_base[MW]"))
        world.connect(rows, ours["Limit-0"], ("usable[%]", "limit[%]"))
        world.connect(constant.Constant(constant=CONSTANT_MW), ours["Household-1"], ("value", "P_base[MW]"))
        world.connect(rows, notes, "usable[%]")
        world.connect(trafo, notes, "loading[%]")
        for eid in ("Household-0", "Household-1", "Household-2"):
            world.connect(ours[eid], notes, "P_base[MW]")

        # run
        world.run(until=read.time.n_steps * step_size)
        noted = noting.get_dict(notes.eid)
    found: dict[str, list[float]] = {}
    for said in noted.values():
        for attribute, sources in said.items():
            for source, value in sources.items():
                found.setdefault(f"{source.partition('.')[2]}.{attribute}", []).append(value)
    usable, loading = found["Signals_0.usable[%]"], found[f"{trafo.eid}.loading[%]"]
    for k in range(0, read.time.n_steps, round(1.0 / read.time.dt_h)):
        print(f"{read.time.times()[k]:%H:%M}  may use {usable[k]:3.0f} %  uses {loading[k]:5.1f} %")
    return found


def write_signals(path: Path, time: Time, usable_percent: tuple[float, float]) -> None:
    """What mosaik-csv reads: the model's name, then a column per attribute, then a row per step."""
    lines = ["Signals", "Date,bakery[MW],usable[%]"]
    for at in time.times():
        bakery_mw = 0.012 if 2 <= at.hour < 8 else 0.001
        usable = usable_percent[17 <= at.hour < 19]
        lines.append(f"{at:%Y-%m-%d %H:%M:%S},{bakery_mw},{usable}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except MissingExtraError as error:
        raise SystemExit(f"error: {error}") from None
