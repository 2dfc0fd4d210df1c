"""HouseholdSim: all households of a scenario as one mosaik simulator.

Inputs → arrays → one call on a `Neighbourhood` → outputs. Runs in-process or, with
`python -m grid_cosim.cosim.households HOST:PORT`, as a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mosaik_api_v3
import numpy as np

from grid_cosim.cosim.clock import units
from grid_cosim.cosim.columns import Columns, NeighbourhoodColumns, as_lists
from grid_cosim.cosim.meta import meta
from grid_cosim.errors import CosimError, HorizonError, near_matches

if TYPE_CHECKING:
    from pathlib import Path

    from grid_cosim.neighbourhood import Neighbourhood, NeighbourhoodState, NeighbourhoodStep
    from grid_cosim.scenario import Scenario

_NEIGHBOURHOOD = "Neighbourhood-0"


class HouseholdSim(mosaik_api_v3.Simulator):  # type: ignore[misc]  # mosaik's types are not checked here
    """Households, their connection points and the meters of their limits.

    `remote` where it runs as a process of its own: what it sends must then be JSON.
    """

    def __init__(self, *, remote: bool = False) -> None:
        super().__init__(meta("HouseholdSim"))
        self._remote = remote
        self._neighbourhood: Neighbourhood
        self._columns: NeighbourhoodColumns
        self._state: NeighbourhoodState
        self._step_size = 0
        self._first_step = 0
        self._on_state: Callable[[int, NeighbourhoodState], None] | None = None
        self._in_order: Any = None
        self._switches: dict[str, bool] = {}
        self._outputs: _Outputs | None = None
        self._row: dict[str, tuple[str, int]] = {}

    def init(
        self,
        sid: str,
        time_resolution: float = 1.0,
        *,
        scenario: Scenario | Path | str | None = None,
        controller: str | None = None,
        overrides: Sequence[str] = (),
        neighbourhood: Neighbourhood | None = None,
        first_step: int = 0,
        state: NeighbourhoodState | None = None,
        on_state: Callable[[int, NeighbourhoodState], None] | None = None,
    ) -> dict[str, Any]:
        """Take the households from a scenario (file, or in-process the object) or, in-process, ready-made.

        `controller` is one of the scenario's names, by default its last; `overrides` are
        `path.to.field=value`. In-process they may go on from the `state` in which they were before the
        control step `first_step`; `on_state` is told theirs after every step, and how many are done.
        """
        if neighbourhood is None:
            neighbourhood = households_of("HouseholdSim", scenario, controller, overrides)
        self._neighbourhood = neighbourhood
        self._columns = NeighbourhoodColumns.of(neighbourhood)
        self._state = neighbourhood.init() if state is None else state
        self._first_step, self._on_state = first_step, on_state
        self._step_size = units(neighbourhood.fleet.dt_h, time_resolution)
        return dict(self.meta)

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create the one `Neighbourhood`, with everything else as its children."""
        if num != 1 or self._row:
            raise CosimError("HouseholdSim", "a second Neighbourhood", remedy="Start one simulator for each")
        here = self._neighbourhood
        bus = [f"Bus-{i}" for i in here.connection_buses]
        point = [f"ConnectionPoint-{i}" for i in here.connection_buses]
        households = [
            {
                "type": "Household",
                "eid": f"Household-{i}",
                "rel": [point[row]],
                "extra_info": {"name": name, "bus": bus[row]},
            }
            for i, (name, row) in enumerate(zip(here.household_names, here.connection, strict=True))
        ]
        points = [
            {"type": "ConnectionPoint", "eid": eid, "extra_info": {"bus": at}}
            for eid, at in zip(point, bus, strict=True)
        ]
        limits = [
            {"type": "Limit", "eid": f"Limit-{i}", "extra_info": {"name": name, "element": element}}
            for i, (name, element) in enumerate(zip(here.limit_names, here.gauge.element, strict=True))
        ]
        for entities in (households, points, limits):
            for row, entity in enumerate(entities):
                self._row[str(entity["eid"])] = (str(entity["type"]), row)
        self._row[_NEIGHBOURHOOD] = ("Neighbourhood", 0)
        return [
            {
                "type": model,
                "eid": _NEIGHBOURHOOD,
                "children": [*points, *households, *limits],
                "extra_info": {"switched": [at.start for at in here.later]},
            }
        ]

    def step(self, time: int, inputs: Mapping[str, Any], max_advance: int) -> int:
        """One control step: the meters' values go in, the agents decide, the devices act."""
        step = self._first_step + time // self._step_size
        n_steps = self._neighbourhood.fleet.n_steps
        if step >= n_steps:
            raise HorizonError(wanted=step + 1, n_steps=n_steps)
        self._hear_of_switches(inputs, step)
        measured_kw, loading_percent = self._neighbourhood.arranged(step).gauges.read(
            1e3 * self._measured(inputs, "P[MW]", np.sum),
            self._measured(inputs, "loading[%]", np.max),
            self._measured(inputs, "Vm[pu]", np.mean),
        )
        sent_percent = self._sent_percent(inputs)
        self._state, done = self._neighbourhood.step(
            self._state,
            step,
            measured_kw=measured_kw,
            loading_percent=loading_percent,
            sent_percent=sent_percent,
            fed_kw=self._fed(inputs, "P_base[MW]"),
            fed_kvar=self._fed(inputs, "Q_base[MVar]"),
        )
        self._outputs = _Outputs(self._columns, done)
        if self._on_state is not None:
            self._on_state(step + 1, self._state)
        return time + self._step_size

    def get_data(self, outputs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """The values that are asked for, and no others."""
        assert self._outputs is not None, "mosaik asks for data after a step"
        return {eid: self._values(self._outputs, *self._row[eid], names) for eid, names in outputs.items()}

    def _values(self, outputs: _Outputs, model: str, row: int, names: Sequence[str]) -> dict[str, Any]:
        """The attributes of one entity."""
        if model == "Neighbourhood":
            return {name: self._sent(outputs.table(name)) for name in names}
        return {name: outputs.values(model, name)[row] for name in names}

    def _sent(self, columns: Columns | None) -> Columns | None:
        return as_lists(columns) if self._remote and columns is not None else columns

    def _hear_of_switches(self, inputs: Mapping[str, Any], step: int) -> None:
        """Homes are behind other limits when the scenario or others have switched something in the grid."""
        told = inputs.get(_NEIGHBOURHOOD, {})
        planned = any(at.start == step for at in self._neighbourhood.later)
        if planned and "remeasured" not in told:
            raise CosimError(
                "HouseholdSim",
                f"the scenario switches in step {step}, and nobody tells what flows then",
                remedy="Connect `remeasured` of Grid to Neighbourhood, time-shifted, as connect_feeder does",
            )
        before = self._switches
        for switches in told.get("switches", {}).values():
            self._switches = dict(switches or before)
        if self._switches and (planned or self._switches != before):
            self._neighbourhood = self._neighbourhood.rearranged(step, self._switches)

    def _fed(self, inputs: Mapping[str, Any], attribute: str) -> np.ndarray | None:
        """Power (kW or kvar) that others feed to households, NaN where they feed nothing; None: to nobody.

        Raises `CosimError` for what is no finite number.
        """
        fed: np.ndarray | None = None
        for eid, attributes in inputs.items():
            values = [value for value in attributes.get(attribute, {}).values() if value is not None]
            if not values:
                continue
            if fed is None:
                fed = np.full(self._neighbourhood.fleet.n_households, np.nan)
            total_mw = sum(float(value) for value in values)
            if not np.isfinite(total_mw):
                raise CosimError(
                    "HouseholdSim",
                    f"{' and '.join(attributes[attribute])} send {total_mw:g} as {attribute} of {eid}",
                    remedy="Send finite numbers, consumption positive, or None for what the scenario says",
                )
            fed[self._row[eid][1]] = 1e3 * total_mw
        return fed

    def _sent_percent(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """What others send to limits; NaN where nothing comes. Raises `CosimError` for what is no limit."""
        for eid, attributes in inputs.items():
            for source, value in attributes.get("limit[%]", {}).items():
                if value is not None and not 0.0 < float(value) < np.inf:
                    name = self._neighbourhood.limit_names[self._row[eid][1]]
                    raise CosimError(
                        "HouseholdSim",
                        f"{source} sends {float(value):g} as limit[%] of {name}",
                        remedy="Send what may be used of its rating in percent, above 0 and finite, or None",
                    )
        return self._measured(inputs, "limit[%]", np.min)

    def _measured(
        self, inputs: Mapping[str, Any], attribute: str, reduce: Callable[[Any], float]
    ) -> np.ndarray:
        """A limit's input, of all that is connected to it; NaN where there is nothing yet."""
        values = np.full(self._neighbourhood.copies.n_limits, np.nan)
        self._take_bulk(values, inputs, "measured", attribute)
        for eid, attributes in inputs.items():
            sources = attributes.get(attribute, {}).values()
            if sources:
                values[self._row[eid][1]] = reduce([np.nan if v is None else float(v) for v in sources])
        self._take_bulk(values, inputs, "remeasured", attribute)
        return values

    def _take_bulk(self, values: np.ndarray, inputs: Mapping[str, Any], table: str, attribute: str) -> None:
        """Write what a table says about limits into `values`."""
        for bulk in inputs.get(_NEIGHBOURHOOD, {}).get(table, {}).values():
            if bulk is not None and attribute in bulk and len(bulk["limit"]):
                values[self._limit_rows(bulk["limit"])] = bulk[attribute]

    def _limit_rows(self, limits: Any) -> Any:
        """Row of each limit; mostly they come in their own order, in the same array."""
        names = self._neighbourhood.limit_names
        if limits is self._in_order or tuple(limits) == names:
            self._in_order = limits
            return slice(None)
        row = {name: i for i, name in enumerate(names)}
        unknown = [name for name in limits if name not in row]
        if unknown:
            raise CosimError(
                "HouseholdSim",
                f"there is no limit {unknown[0]}.{near_matches(unknown[0], names)}",
                remedy="Start FeederSim with the network of the households' scenario",
            )
        return [row[name] for name in limits]


class _Outputs:
    """What one step did, on the wire; computed where it is asked for."""

    def __init__(self, columns: NeighbourhoodColumns, done: NeighbourhoodStep) -> None:
        self._columns, self._done = columns, done
        self._values: dict[tuple[str, str], list[float]] = {}

    def table(self, name: str) -> Columns | None:
        make: Callable[[NeighbourhoodStep], Columns | None]
        make = {
            "households": self._columns.households,
            "devices": self._columns.devices,
            "limits": self._columns.limits,
            "agreement": self._columns.agreement,
            "connection_points": self._columns.connection_points,
        }[name]
        return make(self._done)

    def values(self, model: str, attribute: str) -> list[float]:
        """All entities of a model, as Python numbers: JSON takes no others."""
        key = (model, attribute)
        if key not in self._values:
            self._values[key] = _WIRE[key](self._columns, self._done).tolist()
        return self._values[key]


_WIRE: Mapping[tuple[str, str], Callable[[NeighbourhoodColumns, NeighbourhoodStep], np.ndarray]] = {
    ("Household", "P[MW]"): lambda at, done: done.p_kw / 1e3,
    ("Household", "Q[MVar]"): lambda at, done: done.q_kvar / 1e3,
    ("Household", "P_base[MW]"): lambda at, done: done.base_kw / 1e3,
    ("Household", "Q_base[MVar]"): lambda at, done: done.base_kvar / 1e3,
    ("Household", "P_flex[MW]"): lambda at, done: done.flex_kw / 1e3,
    ("Household", "price[EUR/kWh]"): lambda at, done: done.decision.local_price,
    ("ConnectionPoint", "P[MW]"): lambda at, done: at.neighbourhood.at_connection_points(done.p_kw) / 1e3,
    ("ConnectionPoint", "Q[MVar]"): lambda at, done: at.neighbourhood.at_connection_points(done.q_kvar) / 1e3,
    ("Limit", "price[EUR/kWh]"): lambda at, done: at.price_statistics(done)[0],
    ("Limit", "limit[MW]"): lambda at, done: done.limit_kw / 1e3,
    ("Limit", "messages"): lambda at, done: at.messages(done),
}
"""Output attributes, from kW to what the wire carries."""


def households_of(
    simulator: str,
    scenario: Scenario | Path | str | None,
    controller: str | None,
    overrides: Sequence[str],
) -> Neighbourhood:
    """The neighbourhood of a scenario, for the simulator that was told to start with it."""
    if scenario is None:
        raise CosimError(simulator, "started without households", remedy="Give it `scenario`")
    # imported here: a process must answer mosaik within seconds, before torch and pandapower are loaded
    from grid_cosim.assembly import assemble, scenario_feeder
    from grid_cosim.cosim.sources import controller_name, read_scenario

    read = read_scenario(scenario, overrides)
    name = controller_name(read.controllers[-1] if controller is None else controller)
    return assemble(read, scenario_feeder(read), name)


def main() -> None:
    """Run as a process that mosaik starts or connects to."""
    mosaik_api_v3.start_simulation(HouseholdSim(remote=True), __doc__ or "", configure_logging=False)


if __name__ == "__main__":
    main()
