"""FeederSim: a feeder and its AC power flow as a mosaik simulator.

Entities and attributes are called as in mosaik-pandapower-2; there are transformers too, and whether the
power flow converged. Runs in-process or, with `python -m grid_cosim.cosim.feeder HOST:PORT`, as a process
of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import mosaik_api_v3
import numpy as np

from grid_cosim.cosim import clock
from grid_cosim.cosim.columns import Columns, FeederColumns, as_lists
from grid_cosim.cosim.meta import meta
from grid_cosim.errors import CosimError, PowerFlowError

if TYPE_CHECKING:
    from pathlib import Path

    from grid_cosim.feeder import Feeder, PowerFlow, Snapshot
    from grid_cosim.scenario import Scenario

_GRID = "Grid-0"
_INPUTS = {
    "P_load[MW]": ("p", 1.0),
    "Q_load[MVar]": ("q", 1.0),
    "P_gen[MW]": ("p", -1.0),  # generation is consumption below zero
    "Q_gen[MVar]": ("q", -1.0),
}
Divergence = Literal["stop", "continue"]


class FeederSim(mosaik_api_v3.Simulator):  # type: ignore[misc]  # mosaik's types are not checked here
    """A network whose households are what is connected to its buses.

    `remote` where it runs as a process of its own: what it sends must then be JSON.
    """

    def __init__(self, *, remote: bool = False) -> None:
        super().__init__(meta("FeederSim"))
        self._remote = remote
        self._feeder: Feeder
        self._columns: FeederColumns
        self._clock: clock.Clock
        self._has_background = False
        self._check_every = 0
        self._on_divergence: Divergence = "stop"
        self._power_flow: PowerFlow | None = None
        self._prepared = False
        self._fed_row: dict[str, int] = {}
        self._row: dict[str, tuple[str, int]] = {}
        self._outputs: _Outputs | None = None

    def init(
        self,
        sid: str,
        time_resolution: float = 1.0,
        *,
        scenario: Scenario | Path | str | None = None,
        overrides: Sequence[str] = (),
        feeder: Feeder | Path | str | None = None,
        power_flow: PowerFlow | None = None,
        start: datetime | str | None = None,
        step_size: int | None = None,
        check_every: int | None = None,
        on_divergence: Divergence | None = None,
    ) -> dict[str, Any]:
        """Take everything from a scenario, or only a feeder: its name, its file, or in-process the object.

        `start` is when time 0 is, for the series of what hangs on the network besides the households;
        without it that keeps its planned value. `step_size` is in mosaik's time, by default 15 minutes. Every
        `check_every` steps (0, the default: never) the solution is compared with a plain power flow. A step
        without a solution raises `PowerFlowError`, or with `on_divergence` "continue" gives NaN. `power_flow`
        is a prepared solver of that very feeder. What is given beside a scenario takes its place.
        """
        if scenario is not None:
            from grid_cosim.assembly import scenario_feeder
            from grid_cosim.cosim.sources import read_scenario

            read = read_scenario(scenario, overrides)
            feeder = scenario_feeder(read) if feeder is None else feeder
            start = read.time.start if start is None else start
            step_size = clock.units(read.time.dt_h, time_resolution) if step_size is None else step_size
            check_every = read.power_flow.check_every if check_every is None else check_every
            on_divergence = read.power_flow.on_divergence if on_divergence is None else on_divergence
        if on_divergence not in (None, "stop", "continue"):
            raise CosimError(
                "FeederSim", f"on_divergence is {on_divergence!r}", remedy="Use 'stop' or 'continue'"
            )
        self._feeder = _load(feeder)
        self._columns = FeederColumns.of(self._feeder)
        self._clock = clock.clock(start, step_size, time_resolution)
        self._has_background = start is not None
        self._check_every, self._on_divergence = check_every or 0, on_divergence or "stop"
        self._power_flow, self._prepared = power_flow, power_flow is not None
        self._fed_row = {f"Bus-{bus}": row for row, bus in enumerate(self._feeder.connection_buses)}
        return dict(self.meta)

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create the one `Grid`, with its elements as children."""
        if num != 1 or self._row:
            raise CosimError("FeederSim", "a second Grid", remedy="Start one simulator for each")
        children = _elements(self._feeder)
        rows: dict[str, int] = {}
        for child in children:
            row = rows.get(child["type"], 0)
            self._row[child["eid"]] = (child["type"], row)
            rows[child["type"]] = row + 1
        self._row[_GRID] = ("Grid", 0)
        return [{"type": model, "eid": _GRID, "children": children}]

    def step(self, time: int, inputs: Mapping[str, Any], max_advance: int) -> int:
        """Write what is connected to the buses, solve, and see whether there is a solution."""
        power_flow = self._solver(inputs)
        p_kw, q_kvar = self._injections(inputs)
        background = self._clock.quarter_of_the_year(time) if self._has_background else None
        snapshot = power_flow.solve(bus_p_kw=p_kw, bus_q_kvar=q_kvar, step=background)
        step = self._clock.step(time)
        if not snapshot.converged and self._on_divergence == "stop":
            when = f"{self._clock.when(time):%Y-%m-%d %H:%M}"
            raise PowerFlowError(self._feeder.source, step=step, when=when, problem=snapshot.message)
        checked = self._check_every > 0 and step % self._check_every == 0
        ac_check_dv_pu = power_flow.check(snapshot) if checked else float("nan")
        self._outputs = _Outputs(self._feeder, self._columns, snapshot, ac_check_dv_pu)
        return time + self._clock.step_size

    def get_data(self, outputs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """The values that are asked for, and no others."""
        assert self._outputs is not None, "mosaik asks for data after a step"
        return {eid: self._values(self._outputs, *self._row[eid], names) for eid, names in outputs.items()}

    def _values(self, outputs: _Outputs, model: str, row: int, names: Sequence[str]) -> dict[str, Any]:
        """The attributes of one entity."""
        if model != "Grid":
            return {name: outputs.values(model, name)[row] for name in names}
        return {
            name: self._sent(outputs.table(name)) if name in _TABLES else outputs.values(model, name)[row]
            for name in names
        }

    def _sent(self, columns: Columns) -> Columns:
        return as_lists(columns) if self._remote else columns

    def _solver(self, inputs: Mapping[str, Any]) -> PowerFlow:
        """The power flow, made when it is known which buses are fed: the homes' and any connected one."""
        others = sorted(int(eid.removeprefix("Bus-")) for eid in inputs if eid not in self._fed_row)
        if self._power_flow is not None and not others:
            return self._power_flow
        if self._prepared:
            raise CosimError(
                "FeederSim",
                f"Bus-{others[0]} has no homes, and the prepared power flow feeds only buses that have",
                remedy="Leave `power_flow` away",
            )
        from grid_cosim.feeder import PandapowerFlow

        fed = np.union1d(self._feeder.connection_buses, np.array(others, dtype=np.int64))
        homes_at = np.searchsorted(fed, self._feeder.home_bus)
        self._feeder = replace(self._feeder, connection_buses=fed, home_connection=homes_at)
        self._fed_row = {f"Bus-{bus}": row for row, bus in enumerate(fed)}
        self._power_flow = PandapowerFlow(self._feeder)
        return self._power_flow

    def _injections(self, inputs: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Sums over all that is connected to each bus, kW and kvar."""
        # lists: with thousands of buses this loop costs more than the arrays' arithmetic
        total = {"p": [0.0] * len(self._fed_row), "q": [0.0] * len(self._fed_row)}
        for eid, attributes in inputs.items():
            row = self._fed_row[eid]
            for attribute, sources in attributes.items():
                power, sign = _INPUTS[attribute]
                for value in sources.values():
                    total[power][row] += 0.0 if value is None else sign * value
        return 1e3 * np.array(total["p"]), 1e3 * np.array(total["q"])


_TABLES = ("buses", "lines", "limits", "grid")


class _Outputs:
    """What one step gave, on the wire; computed where it is asked for."""

    def __init__(
        self, feeder: Feeder, columns: FeederColumns, snapshot: Snapshot, ac_check_dv_pu: float
    ) -> None:
        self._feeder, self._columns, self._snapshot = feeder, columns, snapshot
        self._ac_check_dv_pu = ac_check_dv_pu
        self._values: dict[tuple[str, str], list[Any]] = {}

    def table(self, name: str) -> Columns:
        if name == "grid":
            return self._columns.grid(self._snapshot, self._ac_check_dv_pu)
        columns = self._columns
        make = {"buses": columns.buses, "lines": columns.lines, "limits": columns.limits}[name]
        return make(self._snapshot)

    def values(self, model: str, attribute: str) -> list[Any]:
        """All entities of a model, as Python numbers: JSON takes no others."""
        key = (model, attribute)
        if key == ("Grid", "ac_check_dv[pu]"):
            return [self._ac_check_dv_pu]
        if key not in self._values:
            self._values[key] = np.atleast_1d(_WIRE[key](self._feeder, self._snapshot)).tolist()
        return self._values[key]


def _towards_homes(feeder: Feeder, trafos: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Per transformer, counted as its limit counts it: one that feeds homes backwards at its other side."""
    trafos = trafos.copy()
    trafos[feeder.trafos.index.get_indexer(feeder.limits.index)] = limits
    return trafos


_WIRE: Mapping[tuple[str, str], Callable[[Feeder, Snapshot], Any]] = {
    ("Grid", "converged"): lambda feeder, at: at.converged,
    ("Grid", "iterations"): lambda feeder, at: at.iterations,
    ("Grid", "losses[MW]"): lambda feeder, at: at.losses_kw / 1e3,
    ("Grid", "P[MW]"): lambda feeder, at: at.slack_p_kw / 1e3,
    ("Grid", "Q[MVar]"): lambda feeder, at: at.slack_q_kvar / 1e3,
    ("Bus", "P[MW]"): lambda feeder, at: at.bus_p_kw / 1e3,
    ("Bus", "Vm[pu]"): lambda feeder, at: at.vm_pu,
    ("Bus", "Va[deg]"): lambda feeder, at: at.va_degree,
    ("Line", "P[MW]"): lambda feeder, at: at.line_p_kw / 1e3,
    ("Line", "loading[%]"): lambda feeder, at: at.line_loading_percent,
    ("Trafo", "P[MW]"): lambda feeder, at: _towards_homes(feeder, at.trafo_p_kw, at.limit_p_kw) / 1e3,
    ("Trafo", "Q[MVar]"): lambda feeder, at: _towards_homes(feeder, at.trafo_q_kvar, at.limit_q_kvar) / 1e3,
    ("Trafo", "loading[%]"): lambda feeder, at: at.trafo_loading_percent,
}
"""Output attributes, from kW to what the wire carries."""


def _load(feeder: Feeder | Path | str | None) -> Feeder:
    # imported here: a process must answer mosaik within seconds, before pandapower is loaded
    from grid_cosim.feeder import Feeder, load_feeder

    if feeder is None:
        raise CosimError("FeederSim", "started without a network", remedy="Give it `feeder` or `scenario`")
    return feeder if isinstance(feeder, Feeder) else load_feeder(feeder)


def _elements(feeder: Feeder) -> list[dict[str, Any]]:
    """Buses, lines and transformers in the order of the feeder's tables."""
    buses = [
        {
            "type": "Bus",
            "eid": f"Bus-{bus.Index}",
            "extra_info": {"name": str(bus.name), "nominal voltage [kV]": float(bus.vn_kv)},
        }
        for bus in feeder.buses.itertuples()
    ]
    lines = [
        {
            "type": "Line",
            "eid": f"Line-{line.Index}",
            "rel": [f"Bus-{line.from_bus}", f"Bus-{line.to_bus}"],
            "extra_info": {"name": str(line.name)},
        }
        for line in feeder.lines.itertuples()
    ]
    trafos = [
        {
            "type": "Trafo",
            "eid": f"Trafo-{trafo.Index}",
            "rel": [f"Bus-{trafo.hv_bus}", f"Bus-{trafo.lv_bus}"],
            "extra_info": {"name": str(trafo.name), "rated power [kVA]": float(trafo.rated_kva)},
        }
        for trafo in feeder.trafos.itertuples()
    ]
    return [*buses, *lines, *trafos]


def main() -> None:
    """Run as a process that mosaik starts or connects to."""
    mosaik_api_v3.start_simulation(FeederSim(remote=True), __doc__ or "", configure_logging=False)


if __name__ == "__main__":
    main()
