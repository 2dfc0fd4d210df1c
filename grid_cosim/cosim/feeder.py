"""FeederSim: a feeder and its AC power flow as a mosaik simulator.

Entities and attributes are called as in mosaik-pandapower-2; there are transformers too, the net's own loads
and static generators can be fed, and it says whether the power flow converged. Runs in-process or, with
`python -m grid_cosim.cosim.feeder HOST:PORT`, as a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import mosaik_api_v3
import numpy as np

from grid_cosim.cosim import clock
from grid_cosim.cosim.checks import Checks
from grid_cosim.cosim.columns import Columns, FeederColumns, as_lists
from grid_cosim.cosim.entities import grid_children
from grid_cosim.cosim.feeder_outputs import TABLES, FeederOutputs
from grid_cosim.cosim.meta import meta
from grid_cosim.cosim.standing import GridAt
from grid_cosim.cosim.switches import SWITCHED_BY, Switches
from grid_cosim.errors import CosimError, PowerFlowError

if TYPE_CHECKING:
    from pathlib import Path

    from grid_cosim.feeder import Feeder, PowerFlow, Solver, Solvers
    from grid_cosim.feeder.elements import Elements, Plan
    from grid_cosim.scenario import Scenario

_GRID = "Grid"
_CONSUMPTION = {"Load": 1.0, "StaticGen": -1.0}  # generation is consumption below zero
_INPUTS = {
    ("Bus", "P_load[MW]"): (0, 1.0),
    ("Bus", "Q_load[MVar]"): (1, 1.0),
    ("Bus", "P_gen[MW]"): (0, -1.0),
    ("Bus", "Q_gen[MVar]"): (1, -1.0),
    ("Load", "P[MW]"): (0, 1.0),
    ("Load", "Q[MVar]"): (1, 1.0),
    ("StaticGen", "P[MW]"): (0, 1.0),
    ("StaticGen", "Q[MVar]"): (1, 1.0),
}
"""Input attribute → whether it is P (0) or Q (1), and its sign."""
Divergence = Literal["stop", "continue"]


class FeederSim(mosaik_api_v3.Simulator):  # type: ignore[misc]  # mosaik's types are not checked here
    """A network whose households are what is connected to its buses, or to their loads.

    Everything that is connected to a bus is added up there, and comes on top of what its elements draw. What
    is connected to a Load or StaticGen takes the place of what the net plans for it, P and Q each by itself;
    of a home's Load nothing is planned, so that a home counts once, over its bus or over its Load.

    `remote` where it runs as a process of its own: what it sends must then be JSON.
    """

    def __init__(self, *, remote: bool = False) -> None:
        super().__init__(meta("FeederSim", ("get_extra_info", "disable_elements", "enable_elements")))
        self._remote = remote
        self._feeder: Feeder
        self._columns: FeederColumns
        self._clock: clock.Clock
        self._has_background = False
        self._solver_name: Solver = "auto"
        self._checks = Checks(0)
        self._on_divergence: Divergence = "stop"
        self._solvers: Solvers | None = None
        self._prepared = False
        self._fed_row: dict[str, int] = {}
        self._row: dict[str, tuple[str, int]] = {}
        self._extra_info: dict[str, dict[str, Any]] = {}
        self._elements: dict[str, Elements] = {}
        self._bus_of: dict[str, str] = {}
        self._plans: dict[str, Plan] = {}
        self._disabled: set[str] = set()
        self._switches = Switches()
        self._outputs: FeederOutputs | None = None
        self._on_state: Callable[[int, GridAt], None] | None = None

    def init(
        self,
        sid: str,
        time_resolution: float = 1.0,
        *,
        scenario: Scenario | Path | str | None = None,
        overrides: Sequence[str] = (),
        feeder: Feeder | Path | str | None = None,
        power_flow: PowerFlow | Solvers | None = None,
        solver: Solver | None = None,
        start: datetime | str | None = None,
        step_size: int | None = None,
        check_every: int | None = None,
        on_divergence: Divergence | None = None,
        first_step: int = 0,
        state: GridAt | None = None,
        on_state: Callable[[int, GridAt], None] | None = None,
    ) -> dict[str, Any]:
        """Take everything from a scenario, or only a feeder: its name, its file, or in-process the object.

        `start` is when time 0 is, for the series of what hangs on the network besides the households;
        without it that keeps its planned value. `step_size` is in mosaik's time, by default 15 minutes.
        `solver`, `check_every` and `on_divergence` are as in a scenario's `[power_flow]`, with its defaults:
        in the first step, in the first with other switch positions and in every `check_every`th the solution
        is compared with a plain power flow, and `SolverError` raised where they differ; a step without a
        solution raises `PowerFlowError`, or with "continue" gives NaN. `power_flow` are prepared solvers of
        that very feeder, or the first one. What is given beside a scenario takes its place. In-process a
        grid that is fed by homes alone may go on from the `state` in which it was before the control step
        `first_step`; `on_state` is told its state after every step, and how many are done.
        """
        from grid_cosim.scenario import PowerFlowSection

        settings = PowerFlowSection()
        if scenario is not None:
            from grid_cosim.assembly import scenario_feeder
            from grid_cosim.cosim.sources import read_scenario

            read = read_scenario(scenario, overrides)
            feeder = scenario_feeder(read) if feeder is None else feeder
            start = read.time.start if start is None else start
            step_size = clock.units(read.time.dt_h, time_resolution) if step_size is None else step_size
            settings = read.power_flow
        _refuse_unknown("on_divergence", on_divergence, ("stop", "continue"))
        _refuse_unknown("solver", solver, ("auto", "power-grid-model", "pandapower"))
        self._feeder = _load(feeder)
        self._columns = FeederColumns.of(self._feeder)
        self._clock = clock.clock(start, step_size, time_resolution, first_step)
        self._on_state = on_state
        self._has_background = start is not None
        self._checks = Checks(settings.check_every if check_every is None else check_every)
        self._on_divergence = on_divergence or settings.on_divergence
        self._solver_name = solver or settings.solver
        self._prepared = power_flow is not None
        from grid_cosim.feeder import Solvers

        if power_flow is not None:
            self._solvers = (
                power_flow
                if isinstance(power_flow, Solvers)
                else Solvers(self._feeder, self._solver_name, prepared=power_flow)
            )
        if state is not None:
            self._solvers = self._solvers or Solvers(self._feeder, self._solver_name)
            self._solvers.recall(state.flows)
            self._checks.recall(self._solvers.used(state.checked))
        self._fed_row = {f"Bus-{bus}": row for row, bus in enumerate(self._feeder.connection_buses)}
        return dict(self.meta)

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create the one `Grid`, with its elements as children."""
        if num != 1 or self._row:
            raise CosimError("FeederSim", "a second Grid", remedy="Start one simulator for each")
        from grid_cosim.feeder.elements import read_elements, read_plan
        from grid_cosim.feeder.switching import read_switches

        feeder = self._feeder
        self._elements = {model: read_elements(feeder, table) for model, table in _TABLE_OF.items()}
        self._plans = {"Load": read_plan(feeder, "load"), "StaticGen": read_plan(feeder, "sgen")}
        children = grid_children(feeder, read_switches(feeder), self._elements)
        rows: dict[str, int] = {}
        for child in children:
            eid, kind = child["eid"], child["type"]
            row = rows.get(kind, 0)
            self._row[eid] = (kind, row)
            self._extra_info[eid] = child["extra_info"]
            if kind == "Bus" or kind in self._plans:
                self._bus_of[eid] = eid if kind == "Bus" else child["rel"][0]
            rows[kind] = row + 1
        self._row[_GRID] = ("Grid", 0)
        switched = [later.start for later in feeder.later]
        info = {"switched": switched}
        return [{"type": model, "eid": _GRID, "children": children, "extra_info": info}]

    def get_extra_info(self) -> dict[str, dict[str, Any]]:
        """What `extra_info` of the entities holds, by their ids."""
        return self._extra_info

    def disable_elements(self, elements: Sequence[str]) -> None:
        """From the next step on these Load and StaticGen have no planned power."""
        self._disabled |= self._switchable(elements)

    def enable_elements(self, elements: Sequence[str]) -> None:
        """Undo `disable_elements`."""
        self._disabled -= self._switchable(elements)

    def step(self, time: int, inputs: Mapping[str, Any], max_advance: int) -> int:
        """Write what is connected to buses and elements, solve, and see whether there is a solution."""
        self._switches.hear(inputs)
        solvers, step = self._solvers_of(inputs), self._clock.step(time)
        now, then = (
            self._switches.at(
                self._feeder, self._clock.step(at), when=f"{self._clock.when(at):%Y-%m-%d %H:%M}"
            )
            for at in (time, time + self._clock.step_size)
        )
        power_flow = solvers.of(now)
        quarter = self._clock.quarter_of_the_year(time) if self._has_background else None
        planned = {model: plan.at(quarter) for model, plan in self._plans.items()}
        at_bus, drawn = self._fed(inputs, planned)
        p_kw, q_kvar = at_bus + self._beyond_plan(planned, drawn)
        snapshot = power_flow.solve(bus_p_kw=p_kw, bus_q_kvar=q_kvar, step=quarter)
        if not snapshot.converged and self._on_divergence == "stop":
            when = f"{self._clock.when(time):%Y-%m-%d %H:%M}"
            raise PowerFlowError(self._feeder.source, step=step, when=when, problem=snapshot.message)
        ac_check_dv_pu = self._checks.dv_pu(
            power_flow,
            snapshot,
            step=step,
            when=f"{self._clock.when(time):%Y-%m-%d %H:%M}",
            source=self._feeder.source,
        )
        self._outputs = FeederOutputs(
            now,
            self._columns,
            snapshot,
            ac_check_dv_pu,
            self._elements,
            drawn,
            sent=self._switches.sent,
            remeasured=None
            if then is now
            else solvers.of(then).solve(bus_p_kw=p_kw, bus_q_kvar=q_kvar, step=quarter),
        )
        if self._on_state is not None:
            self._on_state(step + 1, GridAt.of(self._outputs, solvers, self._checks))
        return time + self._clock.step_size

    def get_data(self, outputs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """The values that are asked for, and no others."""
        assert self._outputs is not None, "mosaik asks for data after a step"
        return {eid: self._values(self._outputs, *self._row[eid], names) for eid, names in outputs.items()}

    def _values(self, outputs: FeederOutputs, model: str, row: int, names: Sequence[str]) -> dict[str, Any]:
        """The attributes of one entity."""
        if model != "Grid":
            return {name: outputs.values(model, name)[row] for name in names}
        return {
            name: self._sent(outputs.table(name)) if name in TABLES else outputs.values(model, name)[row]
            for name in names
        }

    def _sent(self, columns: Columns) -> Columns:
        return as_lists(columns) if self._remote else columns

    def _solvers_of(self, inputs: Mapping[str, Any]) -> Solvers:
        """The power flows, made when it is known which buses are fed: the homes' and any connected one."""
        fed_singly = (eid for eid in (*_feeding(inputs), *self._disabled) if eid != _GRID)
        touched = {self._bus_of.get(eid) or _refuse(eid) for eid in fed_singly}
        for points in _bulk(inputs):
            missing = np.setdiff1d(points["bus"], self._feeder.connection_buses)
            touched |= {self._bus_of.get(f"Bus-{bus}") or _refuse_bus(bus) for bus in missing}
        others = sorted(int(eid.removeprefix("Bus-")) for eid in touched - self._fed_row.keys())
        if self._solvers is not None and not others:
            return self._solvers
        if self._prepared:
            raise CosimError(
                "FeederSim",
                f"Bus-{others[0]} has no homes, and the prepared power flow feeds only buses that have",
                remedy="Leave `power_flow` away",
            )
        from grid_cosim.feeder import Solvers

        self._feeder = self._feeder.fed_at(np.array(others, dtype=np.int64))
        self._fed_row = {f"Bus-{bus}": row for row, bus in enumerate(self._feeder.connection_buses)}
        self._solvers = Solvers(self._feeder, self._solver_name)
        return self._solvers

    def _fed(
        self, inputs: Mapping[str, Any], planned: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """P (kW) and Q (kvar): sums over what is connected to each bus, and the power of every element.

        That is what is connected to it, else its plan, or nothing where that is disabled.
        """
        drawn = {model: pq.copy() for model, pq in planned.items()}
        for eid in self._disabled:
            model, row = self._row[eid]
            drawn[model][:, row] = 0.0
        # lists: with thousands of buses this loop costs more than the arrays' arithmetic
        at_bus = [[0.0] * len(self._fed_row) for _ in range(2)]
        for eid, attributes in inputs.items():
            model, row = self._row[eid]
            for attribute, sources in attributes.items():
                if (model, attribute) == ("Grid", "connection_points") or attribute in SWITCHED_BY.values():
                    continue
                if (model, attribute) not in _INPUTS:
                    _refuse(eid, attribute)
                power, sign = _INPUTS[model, attribute]
                values = [value for value in sources.values() if value is not None]
                if model == "Bus":
                    for value in values:
                        at_bus[power][self._fed_row[eid]] += sign * value
                elif values:
                    drawn[model][power, row] = 1e3 * sign * sum(values)
        sums = np.array(at_bus)
        for points in _bulk(inputs):
            rows = np.searchsorted(self._feeder.connection_buses, points["bus"])
            for power, values in enumerate((points["P[MW]"], points["Q[MVar]"])):
                np.add.at(sums[power], rows, values)
        return 1e3 * sums, drawn

    def _beyond_plan(self, planned: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the elements consume at each bus above their plan, which the solver takes by itself."""
        at_bus = np.zeros((2, len(self._fed_row)))
        for model, sign in _CONSUMPTION.items():
            above = sign * (drawn[model] - planned[model])
            rows = np.flatnonzero(above.any(axis=0))
            for row, bus in zip(rows, self._elements[model].bus[rows], strict=True):
                at_bus[:, self._fed_row[f"Bus-{bus}"]] += above[:, row]
        return at_bus

    def _switchable(self, eids: Sequence[str]) -> set[str]:
        """These elements, if all of them have a plan."""
        for eid in eids:
            model, row = self._row.get(eid, ("", 0))
            if model not in self._plans or not self._plans[model].planned[row]:
                raise CosimError(
                    "FeederSim",
                    f"{eid} has no planned power that could be switched",
                    remedy="Name a Load or StaticGen that is in service and no home",
                )
        return set(eids)


def _feeding(inputs: Mapping[str, Any]) -> list[str]:
    """Entities to which something else is sent than whether they are closed."""
    return [eid for eid, attributes in inputs.items() if not set(attributes) <= set(SWITCHED_BY.values())]


def _bulk(inputs: Mapping[str, Any]) -> list[Columns]:
    """What is connected to all buses at once."""
    sources = inputs.get(_GRID, {}).get("connection_points", {})
    return [points for points in sources.values() if points is not None]


_TABLE_OF: Mapping[str, Literal["load", "sgen", "gen", "ext_grid"]] = {
    "Load": "load",
    "StaticGen": "sgen",
    "Gen": "gen",
    "ExternalGrid": "ext_grid",
}


def _refuse(eid: str, attribute: str | None = None) -> NoReturn:
    """Mosaik lets outputs be connected as inputs too."""
    model = eid.partition("-")[0]
    known = [name for kind, name in _INPUTS if kind == model]
    known += [SWITCHED_BY[model]] if model in SWITCHED_BY else []
    raise CosimError(
        "FeederSim",
        f"{eid} takes no input {attribute}" if attribute else f"{eid} takes no inputs",
        remedy=f"Connect to {', '.join(known)}" if known else "Connect to a Bus, a Load or a StaticGen",
    )


def _refuse_unknown(name: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        *others, last = (repr(choice) for choice in known)
        raise CosimError("FeederSim", f"{name} is {value!r}", remedy=f"Use {', '.join(others)} or {last}")


def _refuse_bus(bus: int) -> NoReturn:
    """What feeds many buses at once may name one of another network."""
    raise CosimError(
        "FeederSim",
        f"the grid has no Bus-{bus}",
        remedy="Start FeederSim with the network of the households' scenario",
    )


def _load(feeder: Feeder | Path | str | None) -> Feeder:
    # imported here: a process must answer mosaik within seconds, before pandapower is loaded
    from grid_cosim.feeder import Feeder, load_feeder

    if feeder is None:
        raise CosimError("FeederSim", "started without a network", remedy="Give it `feeder` or `scenario`")
    return feeder if isinstance(feeder, Feeder) else load_feeder(feeder)


def main() -> None:
    """Run as a process that mosaik starts or connects to."""
    mosaik_api_v3.start_simulation(FeederSim(remote=True), __doc__ or "", configure_logging=False)


if __name__ == "__main__":
    main()
