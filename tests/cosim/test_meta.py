from __future__ import annotations

import math

import pandapower as pp
import pytest

from grid_cosim.cosim import FeederSim, HouseholdSim, RecorderSim, markdown_table
from grid_cosim.cosim.meta import SIMULATORS, meta
from grid_cosim.feeder import load_feeder
from grid_cosim.results import TABLES
from mosaik_components import grid_cosim as component
from tests.builders import street
from tests.cosim.builders import START, small_feeder, small_neighbourhood


def simulators_after_a_step() -> list[tuple[str, object, list[dict]]]:
    net = street()
    pp.create_sgen(net, 1, p_mw=0.001)
    pp.create_gen(net, 1, p_mw=0.001)
    feeder = load_feeder(net)
    households, grid = HouseholdSim(remote=True), FeederSim(remote=True)
    households.init("H", neighbourhood=small_neighbourhood(feeder))
    grid.init("F", feeder=feeder, start=START)
    made = []
    for name, simulator, model in (
        ("HouseholdSim", households, "Neighbourhood"),
        ("FeederSim", grid, "Grid"),
    ):
        (top,) = simulator.create(1, model)
        simulator.step(0, {}, 900)
        made.append((name, simulator, [top, *top["children"]]))
    return made


def test_everything_that_is_declared_as_output_is_given_as_plain_numbers():
    for name, simulator, entities in simulators_after_a_step():
        given = {
            model.name: [a.name for a in model.attributes if "out" in a.way] for model in SIMULATORS[name]
        }
        # phases: test_simulators
        assert {entity["type"] for entity in entities} == {of for of, out in given.items() if out} - {"Phase"}
        data = simulator.get_data({entity["eid"]: given[entity["type"]] for entity in entities})
        for entity in entities:
            for attribute, value in data[entity["eid"]].items():
                if isinstance(value, dict):
                    assert attribute not in TABLES or set(value) < set(TABLES[attribute]), attribute
                    lists = [column for column in value.values() if isinstance(column, list)]
                    assert len({len(column) for column in lists}) <= 1
                else:
                    assert type(value) in (float, int, bool), f"{entity['eid']} {attribute}"


def test_ids_are_unique_and_lead_from_homes_to_buses_and_limits_to_transformers():
    (_, _, homes), (_, _, elements) = simulators_after_a_step()
    assert [e["eid"] for e in homes] == [
        "Neighbourhood-0",
        *("ConnectionPoint-2", "ConnectionPoint-3", "ConnectionPoint-4"),
        *("Household-0", "Household-1", "Household-2"),
        "Limit-0",
    ]
    assert [e["eid"] for e in elements] == [
        "Grid",
        *(f"Bus-{i}" for i in range(5)),
        *("Line-0", "Line-1", "Line-2"),
        "Trafo-0",
        *("Load-0", "Load-1", "Load-2"),
        *("StaticGen-0", "Gen-0", "ExternalGrid-0"),
    ]
    ids = {e["eid"] for e in elements}
    points = [e for e in homes if e["type"] == "ConnectionPoint"]
    assert [e["extra_info"]["bus"] for e in points] == ["Bus-2", "Bus-3", "Bus-4"]
    assert {e["extra_info"]["bus"] for e in homes if e["type"] == "Household"} <= ids
    assert homes[-1]["extra_info"] == {"name": "Trafo-0", "element": "Trafo-0"}


def test_what_is_asked_for_is_all_that_is_computed():
    (_, simulator, _), _ = simulators_after_a_step()
    assert simulator.get_data({"Household-1": ["P[MW]"]}).keys() == {"Household-1"}
    assert list(simulator._outputs._values) == [("Household", "P[MW]")]


def test_names_of_mosaik_pandapower_2_are_kept():
    # read off mosaik-pandapower-2 1.1.1, without its ControlledGen
    theirs = {
        "Bus": "P_gen[MW] P_load[MW] Q_gen[MVar] Q_load[MVar] P[MW] Q[MVar] Vm[pu] Va[deg]",
        "Load": "P[MW] Q[MVar]",
        "StaticGen": "P[MW] Q[MVar]",
        "Gen": "P[MW] Q[MVar] Va[deg] Vm[pu]",
        "ExternalGrid": "P[MW] Q[MVar]",
        "Line": "I[kA] loading[%]",
    }
    models = meta("FeederSim")["models"]
    for model, attributes in theirs.items():
        assert set(attributes.split()) <= set(models[model]["attrs"]), model
        assert not models[model]["public"]
    assert models["Grid"]["public"]


@pytest.mark.parametrize("name", list(SIMULATORS))
def test_the_documentation_names_every_attribute(name: str):
    table = markdown_table(name)
    for model in SIMULATORS[name]:
        assert f"**{model.name}**" in table
        assert all(f"`{a.name}` | {a.way}" in table for a in model.attributes)


def test_instances_do_not_share_their_meta():
    one, other = FeederSim(), FeederSim()
    one.meta["models"]["Bus"]["attrs"].append("mine")
    assert "mine" not in other.meta["models"]["Bus"]["attrs"]


def test_the_component_is_an_alias():
    assert component.HouseholdSim is HouseholdSim
    assert component.FeederSim is FeederSim
    assert component.RecorderSim is RecorderSim


def test_no_measurement_is_nan_and_several_on_a_limit_are_reduced():
    simulator = HouseholdSim()
    simulator.init("H", neighbourhood=small_neighbourhood(small_feeder()))
    simulator.create(1, "Neighbourhood")
    sum_and_max = {"P[MW]": {"a": 0.01, "b": 0.02}, "loading[%]": {"a": 30.0, "b": 80.0}}
    assert simulator._measured({"Limit-0": sum_and_max}, "P[MW]", sum)[0] == 0.03
    assert simulator._measured({"Limit-0": sum_and_max}, "loading[%]", max)[0] == 80.0
    for nothing in ({}, {"Limit-0": {}}, {"Limit-0": {"P[MW]": {"a": None}}}):
        assert math.isnan(simulator._measured(nothing, "P[MW]", sum)[0])
