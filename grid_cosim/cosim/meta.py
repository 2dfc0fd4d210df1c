"""Models and attributes of the simulators in one table: mosaik's META and the documentation come from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

SimulatorName = Literal["HouseholdSim", "DistrictSim", "FeederSim", "GaugeSim", "RecorderSim"]


@dataclass(frozen=True)
class Attribute:
    """One attribute of a model, as others see it."""

    name: str
    way: Literal["in", "out", "in/out"]
    meaning: str
    event: bool = False
    """Whether it is there only when something happens, and then steps who receives it."""


@dataclass(frozen=True)
class Model:
    """A kind of entity; what is not public comes as a child of the public one."""

    name: str
    meaning: str
    attributes: tuple[Attribute, ...]
    public: bool = False
    any_inputs: bool = False


def _bulk(table: str) -> Attribute:
    return Attribute(table, "out", f"all columns of the table `{table}` in this step, for a recorder")


def _table(table: str) -> Attribute:
    return Attribute(table, "in", f"columns of the table `{table}`; those of several sources are joined")


_P = "P[MW]"
_Q = "Q[MVar]"

_OF_HOMES = (
    Model(
        "Household",
        "one household; `extra_info` names it and its `bus`",
        (
            Attribute(_P, "out", "net active power, consumption positive"),
            Attribute(_Q, "out", "net reactive power"),
            Attribute(
                "P_base[MW]",
                "in/out",
                "its inflexible part: the sum of what is connected to it, else what the scenario says",
            ),
            Attribute("Q_base[MVar]", "in/out", "likewise its reactive power"),
            Attribute("P_flex[MW]", "out", "its flexible part, the devices"),
            Attribute("price[EUR/kWh]", "out", "congestion price that its devices acted on"),
        ),
    ),
    Model(
        "ConnectionPoint",
        "all households at one bus; `extra_info` names the `bus` to connect it to, such as Bus-3",
        (
            Attribute(_P, "out", "sum of the households' active power"),
            Attribute(_Q, "out", "sum of the households' reactive power"),
        ),
    ),
    Model(
        "Limit",
        "the meter of one limit; `extra_info` has its `name` and the `element` to connect, such as "
        "Trafo-0, Line-7, per phase Trafo-0-a or, for a voltage, Bus-12",
        (
            Attribute(_P, "in", "of a Trafo, Line or Phase: what it carried in the last AC solution"),
            Attribute("loading[%]", "in", "of a Trafo, Line or Phase: its loading in the last AC solution"),
            Attribute("Vm[pu]", "in", "of a Bus: its voltage in the last AC solution"),
            Attribute(
                "limit[%]",
                "in",
                "share of the rating that may be used, until the next is sent; without "
                "a connection what the scenario says",
            ),
            Attribute("price[EUR/kWh]", "out", "congestion price, mean over the members' copies"),
            Attribute("limit[MW]", "out", "what the element can carry, as its meter estimated it"),
            Attribute("messages", "out", "messages sent about the limit in this step"),
        ),
    ),
)
"""Models of households, their connection points and the meters of their limits."""

SIMULATORS: Mapping[SimulatorName, tuple[Model, ...]] = MappingProxyType(
    {
        "HouseholdSim": (
            Model(
                "Neighbourhood",
                "all households of a scenario, with one controller",
                (
                    _bulk("households"),
                    _bulk("devices"),
                    _bulk("limits"),
                    _bulk("agreement"),
                    Attribute(
                        "connection_points",
                        "out",
                        "`bus`, `P[MW]`, `Q[MVar]` of all connection points at once",
                    ),
                    Attribute(
                        "measured", "in", "`limit`, `P[MW]`, `loading[%]`, `Vm[pu]` of all limits at once"
                    ),
                    Attribute(
                        "switches",
                        "in",
                        "what others have opened and closed in the grid: who is behind which limit",
                    ),
                    Attribute(
                        "remeasured",
                        "in",
                        "the same just after switches have moved, in place of what else comes",
                    ),
                ),
                public=True,
            ),
            *_OF_HOMES,
        ),
        "DistrictSim": (
            Model(
                "Neighbourhood",
                "some of a scenario's households, which agree with those of the other districts",
                (
                    Attribute("told", "out", "messages of its nodes to those of other districts", event=True),
                    Attribute("heard", "in", "messages of the nodes of other districts", event=True),
                    Attribute(
                        "converged",
                        "in",
                        "of the Grid: whether the meters that stand in other districts have measured",
                    ),
                    _bulk("households"),
                    _bulk("devices"),
                    Attribute(
                        "connection_points",
                        "out",
                        "`bus`, `P[MW]`, `Q[MVar]` of its connection points at once",
                    ),
                    Attribute(
                        "measured",
                        "in",
                        "`limit`, `P[MW]`, `loading[%]`, `Vm[pu]` of limits at once; those whose meter is "
                        "elsewhere are not looked at",
                    ),
                ),
                public=True,
            ),
            *_OF_HOMES,
        ),
        "FeederSim": (
            Model(
                "Grid",
                "the network",
                (
                    Attribute("converged", "out", "whether the AC power flow has a solution"),
                    Attribute("iterations", "out", "iterations that it took, 0: not told"),
                    Attribute("losses[MW]", "out", "active losses"),
                    Attribute(_P, "out", "active power drawn from upstream"),
                    Attribute(_Q, "out", "reactive power drawn from upstream"),
                    Attribute(
                        "ac_check_dv[pu]", "out", "voltage difference to a plain power flow, NaN: not checked"
                    ),
                    _bulk("lines"),
                    _bulk("buses"),
                    _bulk("limits"),
                    _bulk("grid"),
                    Attribute(
                        "connection_points", "in", "`bus`, `P[MW]`, `Q[MVar]` consumed at many buses at once"
                    ),
                    Attribute(
                        "measured",
                        "out",
                        "`limit`, `P[MW]`, `loading[%]`, `Vm[pu]` of the elements of all limits",
                    ),
                    Attribute(
                        "switches",
                        "out",
                        "what others have opened (false) and closed (true), by entity",
                    ),
                    Attribute(
                        "remeasured",
                        "out",
                        "the same, where switches move at the end of the step, just after that; else no rows",
                    ),
                ),
                public=True,
            ),
            Model(
                "Bus",
                "a bus; all that is connected to its inputs is added up",
                (
                    Attribute("P_load[MW]", "in", "active power consumed"),
                    Attribute("Q_load[MVar]", "in", "reactive power consumed"),
                    Attribute("P_gen[MW]", "in", "active power generated"),
                    Attribute("Q_gen[MVar]", "in", "reactive power generated"),
                    Attribute(_P, "out", "net active power taken at the bus"),
                    Attribute(_Q, "out", "net reactive power taken at the bus"),
                    Attribute("Vm[pu]", "out", "voltage magnitude"),
                    Attribute("Va[deg]", "out", "voltage angle"),
                ),
            ),
            Model(
                "Line",
                "a line",
                (
                    Attribute("in_service", "in", "whether it is, until the next is sent"),
                    Attribute(_P, "out", "active power into its from side"),
                    Attribute("I[kA]", "out", "current, the higher of both sides"),
                    Attribute("loading[%]", "out", "loading, of its rated current"),
                ),
            ),
            Model(
                "Trafo",
                "a two-winding transformer",
                (
                    Attribute("in_service", "in", "whether it is, until the next is sent"),
                    Attribute(_P, "out", "active power into it, towards the homes"),
                    Attribute(_Q, "out", "reactive power into it, towards the homes"),
                    Attribute("loading[%]", "out", "loading, of its rated current"),
                ),
            ),
            Model(
                "Switch",
                "a switch; `extra_info` has its `bus` and the `element` beyond it",
                (Attribute("closed", "in", "whether it is, until the next is sent; else as planned"),),
            ),
            Model(
                "Phase",
                "one phase of a limited transformer or line, such as Trafo-0-a or Line-7-b, where the feeder "
                "is solved per phase",
                (
                    Attribute(_P, "out", "active power out of it, towards the homes"),
                    Attribute(_Q, "out", "reactive power out of it, towards the homes"),
                    Attribute(
                        "loading[%]",
                        "out",
                        "loading of its rated current, of a transformer at the homes' side",
                    ),
                ),
            ),
            Model(
                "Load",
                "a load of the net: draws what is connected to it, else its plan; a home has none",
                (
                    Attribute(_P, "in/out", "active power that it consumes"),
                    Attribute(_Q, "in/out", "reactive power that it consumes"),
                ),
            ),
            Model(
                "StaticGen",
                "a generator of fixed power: gives what is connected to it, else its plan",
                (
                    Attribute(_P, "in/out", "active power that it generates"),
                    Attribute(_Q, "in/out", "reactive power that it generates"),
                ),
            ),
            Model(
                "Gen",
                "a generator that holds a voltage",
                (
                    Attribute(_P, "out", "active power that it generates"),
                    Attribute(_Q, "out", "reactive power that it generates"),
                    Attribute("Vm[pu]", "out", "voltage magnitude at its bus"),
                    Attribute("Va[deg]", "out", "voltage angle at its bus"),
                ),
            ),
            Model(
                "ExternalGrid",
                "a connection to the grid upstream",
                (
                    Attribute(_P, "out", "active power drawn from it"),
                    Attribute(_Q, "out", "reactive power drawn from it"),
                ),
            ),
        ),
        "GaugeSim": (
            Model("Gauges", "all transformers of a network", (), public=True),
            Model(
                "TrafoGauge",
                "a two-winding transformer, Trafo-0 and so on; `extra_info` names the buses `hv` and `lv`",
                (
                    Attribute("Vm_hv[pu]", "in", "voltage magnitude at its high-voltage bus"),
                    Attribute("Va_hv[deg]", "in", "voltage angle there"),
                    Attribute("Vm_lv[pu]", "in", "voltage magnitude at its low-voltage bus"),
                    Attribute("Va_lv[deg]", "in", "voltage angle there"),
                    Attribute(_P, "out", "active power into its high-voltage side"),
                    Attribute(_Q, "out", "reactive power into its high-voltage side"),
                    Attribute("loading[%]", "out", "loading, of its rated current"),
                ),
            ),
        ),
        "RecorderSim": (
            Model(
                "Recorder",
                "writes a run's tables; any other attribute goes to `signals.parquet`",
                tuple(
                    _table(name)
                    for name in ("households", "devices", "limits", "agreement", "lines", "buses", "grid")
                ),
                public=True,
                any_inputs=True,
            ),
        ),
    }
)
"""Simulator → its models → their attributes."""


def meta(simulator: SimulatorName, extra_methods: tuple[str, ...] = ()) -> dict[str, Any]:
    """Mosaik's META of a simulator, a new one for every instance."""
    models: dict[str, dict[str, Any]] = {
        model.name: {
            "public": model.public,
            "params": [],
            "attrs": [attribute.name for attribute in model.attributes],
            "any_inputs": model.any_inputs,
        }
        for model in SIMULATORS[simulator]
    }
    hybrid = any(attribute.event for model in SIMULATORS[simulator] for attribute in model.attributes)
    if hybrid:
        for model in SIMULATORS[simulator]:
            events = [attribute for attribute in model.attributes if attribute.event]
            models[model.name]["trigger"] = [a.name for a in events if a.way == "in"]
            models[model.name]["non-persistent"] = [a.name for a in events if a.way == "out"]
    return {
        "api_version": "3.0",
        "type": "hybrid" if hybrid else "time-based",
        "models": models,
        "extra_methods": list(extra_methods),
    }


def markdown_table(simulator: SimulatorName) -> str:
    """Models, attributes, directions and meanings of a simulator, for the documentation."""
    lines = ["| Model | Attribute | in/out | Meaning |", "|---|---|---|---|"]
    for model in SIMULATORS[simulator]:
        lines.append(f"| **{model.name}** | | | {model.meaning} |")
        lines += [f"| | `{a.name}` | {a.way} | {a.meaning} |" for a in model.attributes]
    return "\n".join(lines)
