"""FeederSim's elements against plain pandapower: their results, and what happens when they are fed."""

from __future__ import annotations

import mosaik
import numpy as np
import pandapower as pp
import pytest
from pandapower.auxiliary import pandapowerNet

from grid_cosim.cosim import SIM_CONFIG, FeederSim
from grid_cosim.errors import CosimError
from grid_cosim.feeder import PandapowerFlow, load_feeder
from tests.builders import street

HOMES = {"Bus-2": 0.006, "Bus-3": 0.004, "Bus-4": 0.005}
ZEROS = {"P[MW]": 0.0, "Q[MVar]": 0.0}
KVA = 1e-5  # the solver stops at this mismatch

RESULTS = {
    ("Bus", "P[MW]"): ("bus", "p_mw"),
    ("Bus", "Q[MVar]"): ("bus", "q_mvar"),
    ("Bus", "Vm[pu]"): ("bus", "vm_pu"),
    ("Bus", "Va[deg]"): ("bus", "va_degree"),
    ("Load", "P[MW]"): ("load", "p_mw"),
    ("Load", "Q[MVar]"): ("load", "q_mvar"),
    ("StaticGen", "P[MW]"): ("sgen", "p_mw"),
    ("StaticGen", "Q[MVar]"): ("sgen", "q_mvar"),
    ("Gen", "P[MW]"): ("gen", "p_mw"),
    ("Gen", "Q[MVar]"): ("gen", "q_mvar"),
    ("Gen", "Vm[pu]"): ("gen", "vm_pu"),
    ("Gen", "Va[deg]"): ("gen", "va_degree"),
    ("ExternalGrid", "P[MW]"): ("ext_grid", "p_mw"),
    ("ExternalGrid", "Q[MVar]"): ("ext_grid", "q_mvar"),
    ("Line", "I[kA]"): ("line", "i_ka"),
    ("Line", "loading[%]"): ("line", "loading_percent"),
    ("Trafo", "loading[%]"): ("trafo", "loading_percent"),
}
"""What mosaik-pandapower-2 1.1.1 reads from pandapower, and our Trafo."""


def net_of_all_kinds() -> pandapowerNet:
    """A street, seen from b1 and b2 (homes H0, H1, H2 are Load-0 to Load-2).

    ~ b0 ─ T0 ─ b1 ─────── b2 ──────── b3 ─────── b4
                Load-3     H0          H1         H2
                Gen-0      StaticGen-0 Load-5     StaticGen-1
                           Load-4 (off)
    """
    net = street()
    pp.create_load(net, 1, p_mw=0.010, q_mvar=0.004, scaling=0.5, name="shop")
    pp.create_load(net, 2, p_mw=0.007, q_mvar=0.001, in_service=False)
    pp.create_load(net, 3, p_mw=0.003, q_mvar=0.001)
    pp.create_sgen(net, 2, p_mw=0.002, q_mvar=0.0005, name="roof")
    pp.create_sgen(net, 4, p_mw=0.001)
    pp.create_gen(net, 1, p_mw=0.008, vm_pu=1.001, name="engine")
    return net


def started(net: pandapowerNet) -> tuple[FeederSim, list[dict]]:
    simulator = FeederSim()
    simulator.init("F", feeder=load_feeder(net))
    return simulator, simulator.create(1, "Grid")[0]["children"]


def fed(attribute: str, *values: float | None) -> dict:
    return {attribute: {f"Somebody.Thing-{i}": value for i, value in enumerate(values)}}


def homes_over_their_buses() -> dict:
    return {bus: fed("P_load[MW]", p_mw) for bus, p_mw in HOMES.items()}


def over_loads() -> dict:
    """The homes fed at their own loads; a home's Q stays nothing, whatever the net plans."""
    return {f"Load-{row}": fed("P[MW]", p_mw) for row, p_mw in enumerate(HOMES.values())}


def solved(net: pandapowerNet, **set_mw: dict[int, float]) -> pandapowerNet:
    """Plain pandapower; its homes draw what they are fed, `load_p_mw={3: 0.001}` and the like are set."""
    net.load.loc[:2, ["p_mw", "q_mvar"]] = np.array([[p, 0.0] for p in HOMES.values()])
    for name, values in set_mw.items():
        table, _, column = name.partition("_")
        for index, value in values.items():
            net[table].loc[index, column] = value
            # what is fed is not scaled
            net[table].loc[index, "scaling"] = 1.0
    pp.runpp(net, lightsim2grid=False, tolerance_mva=1e-11)
    return net


def assert_voltages(simulator: FeederSim, net: pandapowerNet) -> None:
    data = simulator.get_data({f"Bus-{bus}": ["Vm[pu]", "P[MW]", "Q[MVar]"] for bus in net.bus.index})
    for column, attribute in (("vm_pu", "Vm[pu]"), ("p_mw", "P[MW]"), ("q_mvar", "Q[MVar]")):
        ours = [data[f"Bus-{bus}"][attribute] for bus in net.bus.index]
        assert ours == pytest.approx(net.res_bus[column].tolist(), rel=1e-6, abs=KVA / 1e3, nan_ok=True), (
            attribute
        )


@pytest.mark.parametrize("dead", [False, True])
def test_every_output_is_that_of_pandapower(dead: bool):
    net = net_of_all_kinds()
    net.line.loc[2, "in_service"] = not dead  # without it b4 is dead
    simulator, children = started(net)
    simulator.step(0, over_loads(), 900)
    solved(net)
    for (model, attribute), (table, column) in RESULTS.items():
        expected = net[f"res_{table}"][column]
        assert len(expected) == sum(child["type"] == model for child in children) > 0
        data = simulator.get_data({f"{model}-{index}": [attribute] for index in expected.index})
        ours = [values[attribute] for values in data.values()]
        assert ours == pytest.approx(expected.tolist(), rel=1e-6, abs=KVA / 1e3, nan_ok=True), attribute


def test_a_home_counts_once_over_its_bus_or_over_its_load():
    (by_bus, _), (by_load, _) = started(net_of_all_kinds()), started(net_of_all_kinds())
    by_bus.step(0, homes_over_their_buses(), 900)
    by_load.step(0, over_loads(), 900)
    asked = {"Load-0": ["P[MW]"], "Bus-2": ["P[MW]", "Vm[pu]"]}
    assert by_bus.get_data(asked)["Load-0"]["P[MW]"] == 0.0
    assert by_load.get_data(asked)["Load-0"]["P[MW]"] == pytest.approx(0.006)
    assert by_load.get_data(asked)["Bus-2"] == pytest.approx(by_bus.get_data(asked)["Bus-2"])


def test_bus_and_load_of_a_home_add_up():
    net = net_of_all_kinds()
    simulator, _ = started(net)
    halves = {bus: fed("P_load[MW]", p_mw / 2) for bus, p_mw in HOMES.items()}
    halves |= {f"Load-{row}": fed("P[MW]", p / 4, None, p / 4) for row, p in enumerate(HOMES.values())}
    simulator.step(0, halves, 900)
    assert_voltages(simulator, solved(net))


def test_what_an_element_is_fed_takes_the_place_of_its_plan_and_only_while_it_is_fed():
    net = net_of_all_kinds()
    simulator, _ = started(net)
    feeding = {
        "Load-3": fed("P[MW]", 0.001, 0.002),  # its Q stays as planned: 4 kvar · 0.5
        "Load-4": fed("P[MW]", 0.009),  # out of service, so nothing is planned
        "StaticGen-0": fed("Q[MVar]", 0.002),
        "StaticGen-1": fed("P[MW]", None),  # somebody who says nothing feeds nothing
    }
    simulator.step(0, homes_over_their_buses() | feeding, 900)
    changed = net_of_all_kinds()
    changed.load.loc[4, ["in_service", "q_mvar"]] = [True, 0.0]
    solved(changed, load_p_mw={3: 0.003, 4: 0.009}, load_q_mvar={3: 0.002}, sgen_q_mvar={0: 0.002})
    assert_voltages(simulator, changed)
    asked = {"Load-3": ["P[MW]", "Q[MVar]"], "StaticGen-0": ["P[MW]", "Q[MVar]"]}
    assert simulator.get_data(asked) == {
        "Load-3": pytest.approx({"P[MW]": 0.003, "Q[MVar]": 0.002}),
        "StaticGen-0": pytest.approx({"P[MW]": 0.002, "Q[MVar]": 0.002}),
    }
    simulator.step(900, homes_over_their_buses(), 900)
    assert_voltages(simulator, solved(net))


def test_planned_power_can_be_switched_off_and_on():
    net = net_of_all_kinds()
    simulator, _ = started(net)
    simulator.disable_elements(["Load-3", "Load-5", "StaticGen-1"])
    simulator.enable_elements(["Load-5"])
    simulator.step(0, homes_over_their_buses(), 900)
    without = net_of_all_kinds()
    without.load.loc[3, "in_service"] = without.sgen.loc[1, "in_service"] = False
    assert_voltages(simulator, solved(without))
    assert simulator.get_data({"Load-3": ["P[MW]"]})["Load-3"]["P[MW]"] == 0.0
    simulator.step(900, homes_over_their_buses() | {"Load-3": fed("P[MW]", 0.001)}, 900)
    assert simulator.get_data({"Load-3": ["P[MW]"]})["Load-3"]["P[MW]"] == pytest.approx(0.001)
    simulator.enable_elements(["Load-3", "StaticGen-1"])
    simulator.step(1800, homes_over_their_buses(), 900)
    assert_voltages(simulator, solved(net))


@pytest.mark.parametrize("eid", ["Load-0", "Load-4", "Load-77", "Bus-1", "Gen-0"])
def test_what_has_no_plan_cannot_be_switched(eid: str):
    simulator, _ = started(net_of_all_kinds())
    for switch in (simulator.disable_elements, simulator.enable_elements):
        with pytest.raises(CosimError, match=f"{eid} has no planned power"):
            switch(["Load-3", eid])
    assert not simulator._disabled


@pytest.mark.parametrize(
    ("eid", "attribute", "problem"),
    [
        ("Bus-2", "P[MW]", r"Bus-2 takes no input P\[MW\]. Connect to P_load\[MW\], Q_load"),
        ("Gen-0", "P[MW]", "Gen-0 takes no inputs. Connect to a Bus, a Load or a StaticGen"),
    ],
)
def test_an_output_takes_no_input(eid: str, attribute: str, problem: str):
    simulator, _ = started(net_of_all_kinds())
    with pytest.raises(CosimError, match=problem):
        simulator.step(0, {eid: fed(attribute, 0.001)}, 900)


def test_without_a_solution_no_element_repeats_anything():
    net = net_of_all_kinds()
    simulator = FeederSim()
    simulator.init("F", feeder=load_feeder(net), on_divergence="continue")
    simulator.create(1, "Grid")
    simulator.step(0, homes_over_their_buses(), 900)
    simulator.step(900, {"Load-0": fed("P[MW]", 10.0)}, 900)
    for eid in ("Load-0", "StaticGen-0", "Gen-0", "ExternalGrid-0"):
        assert np.isnan(simulator.get_data({eid: ["P[MW]"]})[eid]["P[MW]"]), eid


def test_entities_say_what_users_of_mosaik_pandapower_2_expect():
    net = net_of_all_kinds()
    net.load["profile"] = ["H0-A", None, None, "G1", None, None]
    simulator, children = started(net)
    by_id = {child["eid"]: child for child in children}
    info = {eid: child["extra_info"] for eid, child in by_id.items()}
    assert info["Bus-0"] == {"name": "Bus-0", "index": 0, "nominal voltage [kV]": 20.0}
    shop = {"name": "shop", "index": 3, "bus": 1, "profile": "G1", "home": False}
    assert (info["Load-3"], by_id["Load-3"]["rel"]) == (shop, ["Bus-1"])
    assert [info[f"Load-{i}"]["home"] for i in range(6)] == [True, True, True, False, False, False]
    assert info["StaticGen-0"] == {"name": "roof", "index": 0, "bus": 2}
    assert info["Gen-0"] == {"name": "engine", "index": 0, "bus": 1}
    assert info["ExternalGrid-0"] == {"name": "ExternalGrid-0", "index": 0, "bus": 0}
    assert by_id["Line-1"]["rel"] == ["Bus-2", "Bus-3"]
    assert simulator.get_extra_info() == info


def test_in_a_plain_mosaik_script_constant_sources_feed_loads_and_buses():
    net = net_of_all_kinds()
    config = {"Constant": {"python": "tests.cosim.constant:Constant"}, **SIM_CONFIG}
    with mosaik.World(config, skip_greetings=True, configure_logging=False) as world:
        constant = world.start("Constant")
        feeder = world.start("FeederSim", feeder=load_feeder(net))
        grid = feeder.Grid()
        listener = constant.Listener()
        elements = {child.eid: child for child in grid.children}
        for home in (child for child in grid.children if child.type == "Load" and child.extra_info["home"]):
            source = constant.Constant(p_mw=HOMES[f"Bus-{home.extra_info['bus']}"])
            world.connect(source, home, "P[MW]")
        world.connect(constant.Constant(p_mw=0.001), elements["Load-5"], "P[MW]", "Q[MVar]")
        world.connect(constant.Constant(p_mw=0.004), elements["Bus-1"], ("P[MW]", "P_gen[MW]"))
        feeder.disable_elements(["StaticGen-1"])
        for eid in ("Bus-4", "ExternalGrid-0", "Load-3", "Load-5"):
            world.connect(elements[eid], listener, "P[MW]", "Q[MVar]", time_shifted=True, initial_data=ZEROS)
        world.run(until=3 * 900, print_progress=False, shutdown=False)
        heard = constant.heard()
        info = feeder.get_extra_info()
    pp.create_sgen(net, 1, p_mw=0.004)
    net.sgen.loc[1, "in_service"] = False
    solved(net, load_p_mw={5: 0.001}, load_q_mvar={5: 0.0})
    for eid, table, row in (
        ("Bus-4", "bus", 4),
        ("ExternalGrid-0", "ext_grid", 0),
        ("Load-3", "load", 3),
        ("Load-5", "load", 5),
    ):
        result = net[f"res_{table}"].loc[row]
        expected = {"P[MW]": result["p_mw"], "Q[MVar]": result["q_mvar"]}
        assert heard[eid] == pytest.approx(expected, rel=1e-6, abs=KVA / 1e3), eid
    assert info["Load-3"]["name"] == "shop"


def test_a_prepared_power_flow_feeds_elements_where_homes_are():
    net = net_of_all_kinds()
    feeder = load_feeder(net)
    simulator = FeederSim()
    simulator.init("F", feeder=feeder, power_flow=PandapowerFlow(feeder))
    simulator.create(1, "Grid")
    simulator.step(0, homes_over_their_buses() | {"Load-5": fed("P[MW]", 0.001)}, 900)
    assert_voltages(simulator, solved(net, load_p_mw={5: 0.001}))
    with pytest.raises(CosimError, match="Bus-1 has no homes"):
        simulator.step(900, {"Load-3": fed("P[MW]", 0.001)}, 900)
