"""The cold evening on a grid of somebody else: mosaik-pandapower-2 in place of our feeder.

    python scenarios/with_mosaik_pandapower.py

It has buses and no transformers, so a `TrafoGauge` of ours reads the transformer off the voltages at both its
ends, and that is what the limit's meter is told. Our own feeder gets the same homes and runs beside it, only
to be compared: the script prints the largest difference of a voltage. Needs `pip install
'grid-cosim[mosaik]'`.
"""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import mosaik
import mosaik.util

from grid_cosim.assembly import scenario_feeder
from grid_cosim.cosim.others import needs
from grid_cosim.errors import MissingExtraError
from grid_cosim.feeder import Feeder
from grid_cosim.feeder.elements import read_plan
from grid_cosim.scenario import load_scenario

SIM_CONFIG = {
    "Households": {"python": "mosaik_components.grid_cosim:HouseholdSim"},
    "Theirs": {"python": "mosaik_components.pandapower:Simulator"},
    "Ours": {"python": "mosaik_components.grid_cosim:FeederSim"},
    "Gauges": {"python": "mosaik_components.grid_cosim:GaugeSim"},
    "Notes": {"python": "mosaik.basic_simulators:OutputSimulator"},
}
SCENARIO = Path(__file__).with_name("cold_evening.toml")
SMALL = ("feeder.source=schutterwald:0", "feeder.limit_share=0.28", "time.hours=12")
NOT_YET = {"P[MW]": float("nan"), "loading[%]": float("nan")}


def main(
    scenario: Path = SCENARIO,
    overrides: Sequence[str] = SMALL,
    closed_over: str = "Theirs",
) -> dict[str, list[float]]:
    """Run `consensus`; the meters are told what `closed_over` says, "Theirs" or "Ours".

    Gives per step the largest differences of voltages (pu) and transformers' loadings (%), the loading by our
    feeder (%) and the price (EUR/kWh), the highest of all limits.
    """
    needs("mosaik_components.pandapower")
    read = load_scenario(scenario, overrides)
    feeder, step_size = scenario_feeder(read), round(read.time.dt_h * 3600)
    with mosaik.World(SIM_CONFIG, skip_greetings=True) as world:
        # start
        homes = world.start("Households", scenario=read, controller="consensus")
        theirs = world.start("Theirs", step_size=step_size)
        ours = world.start("Ours", scenario=read, feeder=feeder)
        gauging = world.start("Gauges", feeder=feeder, step_size=step_size)
        noting = world.start("Notes")

        # create
        neighbourhood = homes.Neighbourhood()
        grids = {"Theirs": theirs.Grid(net=net_without_homes(feeder)), "Ours": ours.Grid()}
        gauges = gauging.Gauges()
        notes = noting.Dict()

        # connect: every bus with homes, in both grids, and both ends of every transformer to its gauge
        element = {name: {child.eid: child for child in grid.children} for name, grid in grids.items()}
        measured = {"Theirs": {gauge.eid: gauge for gauge in gauges.children}, "Ours": element["Ours"]}
        for gauge in gauges.children:
            for side in ("hv", "lv"):
                bus = element["Theirs"][gauge.extra_info[side]]
                world.connect(bus, gauge, ("Vm[pu]", f"Vm_{side}[pu]"), ("Va[deg]", f"Va_{side}[deg]"))
        for child in neighbourhood.children:
            if child.type == "ConnectionPoint":
                for of_grid in element.values():
                    bus = of_grid[child.extra_info["bus"]]
                    world.connect(child, bus, ("P[MW]", "P_load[MW]"), ("Q[MVar]", "Q_load[MVar]"))
            elif child.type == "Limit":
                for of_grid in measured.values():
                    world.connect(of_grid[child.extra_info["element"]], notes, "loading[%]")
                trafo = measured[closed_over][child.extra_info["element"]]
                world.connect(trafo, child, "P[MW]", "loading[%]", time_shifted=True, initial_data=NOT_YET)
                world.connect(child, notes, "price[EUR/kWh]")
        for of_grid in element.values():
            mosaik.util.connect_many_to_one(
                world, [child for child in of_grid.values() if child.type == "Bus"], notes, "Vm[pu]"
            )

        # run
        world.run(until=read.time.n_steps * step_size)
        noted = noting.get_dict(notes.eid)
    found = compared(noted)
    print(
        f"{len(noted)} steps; the loop was closed over {closed_over}; at most {max(found['loading']):.1f} %"
    )
    print(f"max |ΔV| between the two grids: {max(found['dv']):.1e} pu")
    print(f"max |Δloading| of the transformers: {max(found['dloading']):.1e} %")
    return found


def net_without_homes(feeder: Feeder) -> Any:
    """A pandapower net in which the homes' own loads draw nothing: they are fed over their buses."""
    net = deepcopy(feeder.net)
    for table in ("load", "sgen"):
        planned_kw, planned_kvar = read_plan(feeder, table).at(None)
        net[table]["p_mw"], net[table]["q_mvar"] = planned_kw / 1e3, planned_kvar / 1e3
    return net


def compared(noted: dict[int, Any]) -> dict[str, list[float]]:
    """What both grids said, step by step: "Theirs-0.Bus-3" beside "Ours-0.Bus-3"."""

    def of(values: dict[str, float], simulator: str) -> dict[str, float]:
        found = {source.partition(".")[2]: v for source, v in values.items() if source.startswith(simulator)}
        return found

    found: dict[str, list[float]] = {"dv": [], "dloading": [], "loading": [], "price": []}
    for said in noted.values():
        theirs, ours = (of(said["Vm[pu]"], name) for name in ("Theirs", "Ours"))
        assert theirs.keys() == ours.keys()
        gauged, known = (of(said["loading[%]"], name) for name in ("Gauges", "Ours"))
        found["dv"].append(max(abs(theirs[bus] - ours[bus]) for bus in ours))
        found["dloading"].append(max(abs(gauged[trafo] - known[trafo]) for trafo in known))
        found["loading"].append(max(known.values()))
        found["price"].append(max(said["price[EUR/kWh]"].values()))
    return found


if __name__ == "__main__":
    try:
        main()
    except MissingExtraError as error:
        raise SystemExit(f"error: {error}") from None
