"""The fast AC power flow: power-grid-model (LF Energy, C++) solves the equations that pandapower builds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Complex, Float
from power_grid_model import PowerGridModel, initialize_array
from power_grid_model.errors import PowerGridError

from grid_cosim.feeder.equations import Equations, NotRepresentableError, read_equations
from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.plain_run import LoadedBuses, PlainRun, with_one_load_per_bus
from grid_cosim.feeder.readings import Readings
from grid_cosim.feeder.snapshot import FlowMemory, Flows, Snapshot, VoltageCheck, unsolved

_TOLERANCE_PU = 1e-8  # of the last Newton step; what it leaves is far smaller, as it converges quadratically
_STIFF_VA = 1e20  # short-circuit power of a source: its voltage gives way by 1e-15 pu
_ONE_OHM_VOLT = 1e3  # at 1 kV and the solver's base of 1 MVA an ohm is 1 pu, so that nothing is converted
_STEPS_AT_ONCE = 256  # bounds the memory of a batch
_VOLTAGES = {"node": ["u_pu", "u_angle"]}


class PowerGridFlow:
    """Newton-Raphson of power-grid-model; currents and loadings of its voltages as pandapower counts them.

    The network's equations are taken from pandapower once. Raises `NotRepresentableError` where they are more
    than constant powers behind constant impedances.
    """

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._buses = LoadedBuses(feeder)
        self._plain = PlainRun(feeder, self._buses)
        net = with_one_load_per_bus(feeder.net, self._buses.index)
        self._equations = read_equations(net)
        self._at = _Reader(feeder, self._equations, self._buses)
        self._model = PowerGridModel(_input(self._equations, self._at.loaded_nodes))
        self._last_vm_pu: Float[np.ndarray, " buses"] | None = None

    @property
    def memory(self) -> FlowMemory:
        """The last voltages, which only a message tells: every step starts anew."""
        return FlowMemory(self._last_vm_pu, None)

    def recall(self, memory: FlowMemory) -> None:
        """Go on from there."""
        self._last_vm_pu = memory.vm_pu

    def solve(
        self,
        *,
        bus_p_kw: Float[np.ndarray, " connections"],
        bus_q_kvar: Float[np.ndarray, " connections"],
        step: int | None,
    ) -> Snapshot:
        """Solve one step; one without a solution is told in the snapshot and does not harm the next."""
        p_kw, q_kvar = self._buses.powers(bus_p_kw, bus_q_kvar, step)
        node_mva = self._at.node_mva(p_kw, q_kvar)
        self._model.update(update_data={"sym_load": _loads(node_mva)})
        try:
            solved = self._model.calculate_power_flow(
                error_tolerance=_TOLERANCE_PU, output_component_types=_VOLTAGES
            )
        except PowerGridError:
            return self._unsolved(p_kw, q_kvar)
        nodes = solved["node"]
        return self._solved(nodes["u_pu"], nodes["u_angle"], node_mva, p_kw, q_kvar)

    def solve_all(
        self,
        *,
        bus_p_kw: Float[np.ndarray, "steps connections"],
        bus_q_kvar: Float[np.ndarray, "steps connections"],
        steps: Sequence[int | None],
    ) -> Iterator[Snapshot]:
        """Solve as batches of the solver, which share what only depends on the network."""
        for first in range(0, len(steps), _STEPS_AT_ONCE):
            some = range(first, min(first + _STEPS_AT_ONCE, len(steps)))
            powers = [self._buses.powers(bus_p_kw[i], bus_q_kvar[i], steps[i]) for i in some]
            yield from self._solve_batch(powers)

    def _solve_batch(self, powers: Sequence[tuple[np.ndarray, np.ndarray]]) -> Iterator[Snapshot]:
        node_mva = [self._at.node_mva(p_kw, q_kvar) for p_kw, q_kvar in powers]
        solved = self._model.calculate_power_flow(
            error_tolerance=_TOLERANCE_PU,
            output_component_types=_VOLTAGES,
            update_data={"sym_load": _loads(np.array(node_mva))},
            continue_on_batch_error=True,
        )
        errors = self._model.batch_error
        failed = set() if errors is None else set(errors.failed_scenarios.tolist())
        for i, (p_kw, q_kvar) in enumerate(powers):
            if i in failed:
                yield self._unsolved(p_kw, q_kvar)
            else:
                nodes = solved["node"]
                yield self._solved(nodes["u_pu"][i], nodes["u_angle"][i], node_mva[i], p_kw, q_kvar)

    def check(self, snapshot: Snapshot) -> VoltageCheck:
        """Compare with a plain `runpp` of pandapower."""
        return self._plain.check(snapshot)

    def _solved(
        self,
        u_pu: np.ndarray,
        u_angle: np.ndarray,
        node_mva: np.ndarray,
        p_kw: np.ndarray,
        q_kvar: np.ndarray,
    ) -> Snapshot:
        found = self._at.snapshot(u_pu * np.exp(1j * u_angle), node_mva, p_kw, q_kvar)
        self._last_vm_pu = found.vm_pu
        return found

    def _unsolved(self, p_kw: np.ndarray, q_kvar: np.ndarray) -> Snapshot:
        message = self._plain.what_stands_out(p_kw, q_kvar, self._last_vm_pu)
        return unsolved(self._feeder, message, p_kw=p_kw, q_kvar=q_kvar)


class _Reader:
    """From the powers at buses to those at nodes, and from the nodes' voltages to a snapshot."""

    def __init__(self, feeder: Feeder, equations: Equations, buses: LoadedBuses) -> None:
        self._feeder, self._equations = feeder, equations
        self._readings = Readings(feeder)
        e = equations
        self._bus_row = feeder.buses.index.get_indexer(buses.index)
        node = e.node_of_bus[self._bus_row]
        self._fed = e.alive[node]
        """Loads at a dead bus draw nothing."""
        drawing = np.union1d(node[self._fed], np.flatnonzero(e.constant_mva))
        self.loaded_nodes = drawing
        self._constant_mva = e.constant_mva[drawing]
        self._load_row = np.where(self._fed, np.searchsorted(drawing, node), 0)
        self._of_slacks = e.admittances(e.slack)
        self._slack_load = np.searchsorted(drawing, e.slack)
        self._slack_loaded = np.isin(e.slack, drawing)
        self._ends = {table: _Ends(e, rows) for table, rows in e.ranges.items()}
        line, trafo = feeder.net.line, feeder.net.trafo
        self._line_max_i_ka = _product(line, "max_i_ka", "df", "parallel")
        self._trafo_max_mva = _product(trafo, "sn_mva", "df", "parallel")
        self._trafo_kv = trafo["vn_hv_kv"].to_numpy(dtype=float), trafo["vn_lv_kv"].to_numpy(dtype=float)
        self._sources = _Sources(feeder, e)

    def node_mva(
        self, p_kw: Float[np.ndarray, " loaded_buses"], q_kvar: Float[np.ndarray, " loaded_buses"]
    ) -> Complex[np.ndarray, " loaded_nodes"]:
        """Drawn at the nodes that draw anything."""
        n, rows = self.loaded_nodes.size, self._load_row
        p = np.bincount(rows, weights=np.where(self._fed, p_kw, 0.0), minlength=n)
        q = np.bincount(rows, weights=np.where(self._fed, q_kvar, 0.0), minlength=n)
        return self._constant_mva + 1e-3 * (p + 1j * q)

    def snapshot(
        self,
        alive_voltage: Complex[np.ndarray, " alive_nodes"],
        node_mva: Complex[np.ndarray, " loaded_nodes"],
        p_kw: np.ndarray,
        q_kvar: np.ndarray,
    ) -> Snapshot:
        """All that is read off the voltages."""
        e = self._equations
        voltage = np.full(e.alive.size, complex(np.nan, np.nan))
        voltage[e.alive] = alive_voltage
        at_bus = voltage[e.node_of_bus]
        vm_pu = np.abs(at_bus)
        sources = self._sources.split(self._slack_mva(voltage, node_mva))
        bus_mva = e.bus_constant_mva + np.where(np.isnan(vm_pu), 0.0, vm_pu**2) * e.bus_shunt_mva
        bus_mva[self._bus_row] += 1e-3 * np.where(self._fed, p_kw + 1j * q_kvar, 0.0)
        np.subtract.at(bus_mva, self._sources.bus_row, sources)
        lines, line_i_ka = self._lines(voltage)
        trafos = self._trafos(voltage)
        at_limits = self._readings.of(lines=lines, trafos=trafos, vm_pu=vm_pu)
        external, generators = self._sources.tables(1e3 * sources)
        slack = 1e3 * sources.sum()
        return Snapshot(
            converged=True,
            iterations=0,
            message="",
            vm_pu=vm_pu,
            va_degree=np.rad2deg(np.angle(at_bus)),
            bus_p_kw=1e3 * bus_mva.real,
            bus_q_kvar=1e3 * bus_mva.imag,
            line_loading_percent=lines.loading_percent,
            line_i_ka=line_i_ka,
            line_p_kw=lines.first_p_kw,
            trafo_loading_percent=trafos.loading_percent,
            trafo_p_kw=trafos.first_p_kw,
            trafo_q_kvar=trafos.first_q_kvar,
            limit_loading_percent=at_limits.loading_percent,
            limit_p_kw=at_limits.p_kw,
            limit_q_kvar=at_limits.q_kvar,
            losses_kw=-float(1e3 * bus_mva.real.sum()),
            slack_p_kw=float(slack.real),
            slack_q_kvar=float(slack.imag),
            external_grid_p_kw=external.real,
            external_grid_q_kvar=external.imag,
            generator_p_kw=generators.real,
            generator_q_kvar=generators.imag,
            injected_p_kw=p_kw,
            injected_q_kvar=q_kvar,
        )

    def _slack_mva(
        self, voltage: Complex[np.ndarray, " nodes"], node_mva: Complex[np.ndarray, " loaded_nodes"]
    ) -> Complex[np.ndarray, " slacks"]:
        """What each slack node gives: into the network, and to the loads at the node itself."""
        e = self._equations
        current = self._of_slacks @ np.where(e.alive, voltage, 0.0)
        given = e.base_mva * voltage[e.slack] * np.conj(current)
        given[self._slack_loaded] += node_mva[self._slack_load[self._slack_loaded]]
        return given

    def _lines(self, voltage: Complex[np.ndarray, " nodes"]) -> tuple[Flows, Float[np.ndarray, " lines"]]:
        ends = self._ends["line"]
        first_ka, second_ka, *powers = ends.flows(voltage)
        i_ka = np.maximum(first_ka, second_ka)
        with np.errstate(divide="ignore", invalid="ignore"):
            loading = np.where(self._line_max_i_ka != 0, 100.0 * i_ka / self._line_max_i_ka, np.inf)
        return Flows(loading, *powers), i_ka

    def _trafos(self, voltage: Complex[np.ndarray, " nodes"]) -> Flows:
        first_ka, second_ka, *powers = self._ends["trafo"].flows(voltage)
        hv_kv, lv_kv = self._trafo_kv
        mva = np.sqrt(3.0) * np.maximum(first_ka * hv_kv, second_ka * lv_kv)
        return Flows(100.0 * mva / self._trafo_max_mva, *powers)


class _Ends:
    """Currents and powers at both ends of some of the branches."""

    def __init__(self, equations: Equations, rows: slice) -> None:
        e = equations
        self._from, self._to = e.from_node[rows], e.to_node[rows]
        self._y = e.y_ff[rows], e.y_ft[rows], e.y_tf[rows], e.y_tt[rows]
        self._alive = e.branch_alive[rows]
        self._kva = 1e3 * e.base_mva
        self._base_ka = tuple(e.base_mva / np.sqrt(3.0) / e.base_kv[end] for end in (self._from, self._to))

    def flows(self, voltage: Complex[np.ndarray, " nodes"]) -> tuple[np.ndarray, ...]:
        """Currents (kA) at both ends, NaN at a dead node; P (kW) and Q (kvar) into the first, the second."""
        first, second = voltage[self._from], voltage[self._to]
        y_ff, y_ft, y_tf, y_tt = self._y
        # without the other end, a branch that is out of service carries nothing at an end that is energised
        i_first = np.where(self._alive, y_ff * first + y_ft * second, 0.0 * first)
        i_second = np.where(self._alive, y_tf * first + y_tt * second, 0.0 * second)
        s_first = np.where(self._alive, self._kva * first * np.conj(i_first), 0.0)
        s_second = np.where(self._alive, self._kva * second * np.conj(i_second), 0.0)
        return (
            self._base_ka[0] * np.abs(i_first),
            self._base_ka[1] * np.abs(i_second),
            s_first.real,
            s_first.imag,
            s_second.real,
            s_second.imag,
        )


class _Sources:
    """External grids and slack generators, in the order of their tables, and the slack nodes they are at."""

    def __init__(self, feeder: Feeder, equations: Equations) -> None:
        grid, generator = feeder.net.ext_grid, feeder.net.gen
        self._n_external = len(grid)
        bus = np.concatenate([grid["bus"].to_numpy(), generator["bus"].to_numpy()])
        self.bus_row = feeder.buses.index.get_indexer(bus)
        node = equations.node_of_bus[self.bus_row]
        in_service = np.concatenate([grid["in_service"].to_numpy(), generator["in_service"].to_numpy()])
        self._works = in_service.astype(bool) & equations.alive[node]
        self._slack = np.where(self._works, np.searchsorted(equations.slack, node), 0)
        counts = np.bincount(self._slack[self._works], minlength=equations.slack.size)
        if (counts > 1).any():
            raise NotRepresentableError("several external grids or slack generators hold the same bus")

    def split(self, slack_mva: Complex[np.ndarray, " slacks"]) -> Complex[np.ndarray, " sources"]:
        return np.where(self._works, slack_mva[self._slack], 0.0)

    def tables(self, sources: Complex[np.ndarray, " sources"]) -> tuple[np.ndarray, np.ndarray]:
        """External grids, generators."""
        return sources[: self._n_external], sources[self._n_external :]


def _product(table: pd.DataFrame, *columns: str) -> np.ndarray:
    return np.prod([table[column].to_numpy(dtype=float) for column in columns], axis=0)


def _loads(node_mva: Complex[np.ndarray, "*batch loaded_nodes"]) -> dict[str, np.ndarray]:
    return {
        "p_specified": np.ascontiguousarray(1e6 * node_mva.real),
        "q_specified": np.ascontiguousarray(1e6 * node_mva.imag),
    }


def _input(equations: Equations, loaded_nodes: np.ndarray) -> dict[str, np.ndarray]:
    """The network for power-grid-model, in ohms and siemens at one voltage for all nodes: per unit.

    All that leads to earth is at the nodes; a branch is its series impedance behind its ratio. What a branch
    carries is not read from there, so how the charging is divided does not matter.
    """
    e = equations
    siemens = e.base_mva  # of 1 pu, at a base of 1 MVA
    n = int(e.alive.sum())
    number = np.cumsum(e.alive) - 1
    ids = iter(range(10))

    def component(name: str, size: int) -> np.ndarray:
        array = initialize_array("input", name, size)
        array["id"] = next(ids) * max(n, len(e.series)) + np.arange(size)
        return array

    node = component("node", n)
    node["u_rated"] = _ONE_OHM_VOLT
    which = e.branch_alive
    branch = component("generic_branch", int(which.sum()))
    impedance = 1.0 / (siemens * e.series[which])
    branch["from_node"], branch["to_node"] = number[e.from_node[which]], number[e.to_node[which]]
    branch["from_status"] = branch["to_status"] = 1
    branch["r1"], branch["x1"] = impedance.real, impedance.imag
    branch["g1"] = branch["b1"] = 0.0
    branch["k"], branch["theta"] = np.abs(e.ratio[which]), np.angle(e.ratio[which])
    earthed = np.flatnonzero(e.shunt)
    shunt = component("shunt", earthed.size)
    shunt["node"], shunt["status"] = number[earthed], 1
    shunt["g1"], shunt["b1"] = siemens * e.shunt[earthed].real, siemens * e.shunt[earthed].imag
    source = component("source", e.slack.size)
    source["node"], source["status"] = number[e.slack], 1
    source["u_ref"], source["u_ref_angle"] = np.abs(e.slack_voltage), np.angle(e.slack_voltage)
    source["sk"], source["rx_ratio"] = _STIFF_VA, 0.0
    load = component("sym_load", loaded_nodes.size)
    load["node"], load["status"], load["type"] = number[loaded_nodes], 1, 0
    load["p_specified"] = load["q_specified"] = 0.0
    return {"node": node, "generic_branch": branch, "shunt": shunt, "source": source, "sym_load": load}
