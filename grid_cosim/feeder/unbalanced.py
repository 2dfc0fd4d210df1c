"""AC power flow per phase, by power-grid-model: lines and transformers with their zero sequence.

The external grid holds symmetrical voltages. Transformers are Dyn, solidly earthed; their zero-sequence
impedance is pandapower's, magnetising branch included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

import numpy as np
import pandapower as pp
import pandas as pd
from jaxtyping import Complex, Float
from pandapower.auxiliary import LoadflowNotConverged, pandapowerNet
from power_grid_model import PowerGridModel, WindingType, initialize_array
from power_grid_model.errors import PowerGridError

from grid_cosim.feeder.equations import NotRepresentableError
from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.phases import PHASES, connection_weights
from grid_cosim.feeder.plain_run import TOLERANCE_MVA
from grid_cosim.feeder.snapshot import AtLimits, Snapshot, VoltageCheck, unsolved

_TOLERANCE_PU = 1e-8
_STIFF_VA = 1e20  # short-circuit power of a source: its voltage gives way by 1e-15 pu
_STIFF_MVA = 1e9  # the same for pandapower, whose own sources give way to unbalanced currents only
_OUTPUTS = {
    "node": ["u_pu", "u_angle"],
    "line": ["p_from", "q_from", "i_from", "p_to", "q_to", "i_to"],
    "transformer": ["p_from", "q_from", "i_from", "p_to", "q_to", "i_to"],
    "source": ["p", "q"],
}
_UNKNOWN_KINDS = (
    "trafo3w",
    "impedance",
    "gen",
    "shunt",
    "ward",
    "xward",
    "dcline",
    "motor",
    "asymmetric_load",
    "asymmetric_sgen",
)
_CLOCK = 30.0  # degrees
_GOING_ON = 2  # seen to leave 2e-7 pu, 2e-9 at light load


class UnbalancedFlow:
    """Three-phase Newton-Raphson of power-grid-model.

    In its snapshots voltages are those of the phase that is furthest from 1 pu, angles those of phase a,
    powers the sums of the phases, and currents and loadings those of the phase that is loaded most. A limit
    has its own phase: power at the side of the homes, and of a transformer the current there, of a line the
    higher of both sides, as pandapower has it.
    """

    def __init__(self, feeder: Feeder) -> None:
        assert feeder.home_phase is not None, "loaded with unbalanced=True"
        self._feeder = feeder
        net = feeder.net
        _refuse(net)
        self._weights = connection_weights(
            feeder.home_phase, feeder.home_connection, feeder.connection_buses.size, source=feeder.source
        )
        self._buses = np.union1d(feeder.connection_buses, feeder.background.bus)
        self._home_row = np.searchsorted(self._buses, feeder.connection_buses)
        self._background_row = np.searchsorted(self._buses, feeder.background.bus)
        self._bus_row = feeder.buses.index.get_indexer(self._buses)
        self._model = PowerGridModel(_input(net, self._bus_row))
        limits = feeder.limits
        trafo_row, line_row = (of.index.get_indexer(limits.index) for of in (feeder.trafos, feeder.lines))
        is_trafo = np.array(limits.element, dtype=object) == "trafo"
        # row and phase in what transformers, then lines carry
        self._limit_at = (np.where(is_trafo, trafo_row, len(feeder.trafos) + line_row), limits.phase)
        self._reference: pandapowerNet | None = None

    def solve(
        self,
        *,
        bus_p_kw: Float[np.ndarray, " connections"],
        bus_q_kvar: Float[np.ndarray, " connections"],
        step: int | None,
    ) -> Snapshot:
        """Solve one step; one without a solution is told in the snapshot and does not harm the next."""
        p_kw, q_kvar = self._per_phase(bus_p_kw, bus_q_kvar, step)
        try:
            self._model.update(
                update_data={"asym_load": {"p_specified": 1e3 * p_kw, "q_specified": 1e3 * q_kvar}}
            )
            solved = self._model.calculate_power_flow(
                symmetric=False, error_tolerance=_TOLERANCE_PU, output_component_types=_OUTPUTS
            )
        except PowerGridError:
            message = f"the power flow per phase has no solution for {p_kw.sum():.0f} kW"
            return unsolved(self._feeder, message, p_kw=p_kw.ravel(), q_kvar=q_kvar.ravel())
        return self._snapshot(solved, p_kw, q_kvar)

    def solve_all(
        self,
        *,
        bus_p_kw: Float[np.ndarray, "steps connections"],
        bus_q_kvar: Float[np.ndarray, "steps connections"],
        steps: Sequence[int | None],
    ) -> Iterator[Snapshot]:
        """One after the other."""
        for p_kw, q_kvar, step in zip(bus_p_kw, bus_q_kvar, steps, strict=True):
            yield self.solve(bus_p_kw=p_kw, bus_q_kvar=q_kvar, step=step)

    def check(self, snapshot: Snapshot) -> VoltageCheck:
        """Compare the voltages of all phases with pandapower's `runpp_3ph`."""
        if not snapshot.converged:
            return VoltageCheck(-1, np.nan, np.nan, np.nan)
        assert snapshot.vm_phase_pu is not None
        reference = self._reference_voltages(snapshot)
        difference = np.abs(reference - snapshot.vm_phase_pu)
        difference[np.isnan(reference) != np.isnan(snapshot.vm_phase_pu)] = np.inf
        row, phase = np.unravel_index(np.nanargmax(difference), difference.shape)
        return VoltageCheck(
            bus=int(self._feeder.buses.index[row]),
            vm_pu=float(snapshot.vm_phase_pu[row, phase]),
            reference_vm_pu=float(reference[row, phase]),
            dv_pu=float(difference[row, phase]),
        )

    def _per_phase(
        self, bus_p_kw: np.ndarray, bus_q_kvar: np.ndarray, step: int | None
    ) -> tuple[Float[np.ndarray, "loaded_buses phases"], Float[np.ndarray, "loaded_buses phases"]]:
        """P (kW) and Q (kvar) per loaded bus; what is no home's is drawn from all three phases alike."""
        sums = []
        for of_homes, of_others in zip((bus_p_kw, bus_q_kvar), self._feeder.background.at(step), strict=True):
            at = np.zeros((self._buses.size, 3))
            at[self._home_row] += of_homes[:, None] * self._weights
            at[self._background_row] += of_others[:, None] / 3.0
            if not np.isfinite(at).all():
                wrong = self._buses[~np.isfinite(at).all(axis=1)][0]
                raise ValueError(f"the power at Bus-{wrong} is not a finite number")
            sums.append(at)
        return sums[0], sums[1]

    def _snapshot(
        self, solved: dict[str, dict[str, np.ndarray]], p_kw: np.ndarray, q_kvar: np.ndarray
    ) -> Snapshot:
        feeder, net = self._feeder, self._feeder.net
        vm_phase_pu = np.where(solved["node"]["u_pu"] == 0.0, np.nan, solved["node"]["u_pu"])
        furthest = np.argmax(np.abs(vm_phase_pu - 1.0), axis=1)
        rows = np.arange(len(feeder.buses))
        source_kva = 1e-3 * (solved["source"]["p"] + 1j * solved["source"]["q"]).sum(axis=1)
        works = net.ext_grid["in_service"].to_numpy(dtype=bool)
        external = np.zeros(works.size, dtype=complex)
        external[works] = source_kva
        bus = np.zeros(len(feeder.buses), dtype=complex)
        bus[self._bus_row] += (p_kw + 1j * q_kvar).sum(axis=1)
        np.subtract.at(bus, feeder.buses.index.get_indexer(net.ext_grid["bus"]), external)
        line = solved["line"]
        i_ka = 1e-3 * np.maximum(line["i_from"], line["i_to"])
        most_ka = np.prod([net.line[c].to_numpy(dtype=float) for c in ("max_i_ka", "df", "parallel")], axis=0)
        line_percent = 100.0 * i_ka / most_ka[:, None]
        trafo = solved["transformer"]
        hv_percent, lv_percent = _trafo_percent(net, trafo)
        at_limits = self._at_limits(solved, hv_percent, lv_percent, line_percent)
        return Snapshot(
            converged=True,
            iterations=0,
            message="",
            vm_pu=vm_phase_pu[rows, furthest],
            va_degree=np.where(
                np.isnan(vm_phase_pu[:, 0]), np.nan, np.rad2deg(solved["node"]["u_angle"][:, 0])
            ),
            bus_p_kw=bus.real,
            bus_q_kvar=bus.imag,
            line_loading_percent=line_percent.max(axis=1),
            line_i_ka=i_ka.max(axis=1),
            line_p_kw=1e-3 * line["p_from"].sum(axis=1),
            trafo_loading_percent=np.maximum(hv_percent, lv_percent).max(axis=1),
            trafo_p_kw=1e-3 * trafo["p_from"].sum(axis=1),
            trafo_q_kvar=1e-3 * trafo["q_from"].sum(axis=1),
            limit_loading_percent=at_limits.loading_percent,
            limit_p_kw=at_limits.p_kw,
            limit_q_kvar=at_limits.q_kvar,
            losses_kw=-float(bus.real.sum()),
            slack_p_kw=float(source_kva.real.sum()),
            slack_q_kvar=float(source_kva.imag.sum()),
            external_grid_p_kw=external.real,
            external_grid_q_kvar=external.imag,
            generator_p_kw=np.zeros(0),
            generator_q_kvar=np.zeros(0),
            injected_p_kw=p_kw.ravel(),
            injected_q_kvar=q_kvar.ravel(),
            vm_phase_pu=vm_phase_pu,
        )

    def _at_limits(
        self,
        solved: dict[str, dict[str, np.ndarray]],
        hv_percent: Float[np.ndarray, "trafos phases"],
        lv_percent: Float[np.ndarray, "trafos phases"],
        line_percent: Float[np.ndarray, "lines phases"],
    ) -> AtLimits:
        towards = self._feeder.limits.direction > 0

        def at_homes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
            return np.where(towards, second[self._limit_at], first[self._limit_at])

        def drawn(letter: str) -> np.ndarray:
            sides = (
                np.concatenate([solved[of][f"{letter}_{side}"] for of in ("transformer", "line")])
                for side in ("from", "to")
            )
            return -1e-3 * at_homes(*sides)

        loading_percent = at_homes(
            np.concatenate([hv_percent, line_percent]), np.concatenate([lv_percent, line_percent])
        )
        return AtLimits(loading_percent, drawn("p"), drawn("q"))

    def _reference_voltages(self, snapshot: Snapshot) -> Float[np.ndarray, "buses phases"]:
        if self._reference is None:
            self._reference = _reference_net(self._feeder.net, self._buses)
        net = self._reference
        powers = (("p", "mw", snapshot.injected_p_kw), ("q", "mvar", snapshot.injected_q_kvar))
        for letter, unit, values in powers:
            for column, phase in enumerate(PHASES):
                net.asymmetric_load[f"{letter}_{phase}_{unit}"] = 1e-3 * values.reshape(-1, 3)[:, column]
        try:
            with np.errstate(invalid="ignore"):  # pandapower divides by the voltage of what is not energised
                pp.runpp_3ph(net, tolerance_mva=TOLERANCE_MVA)
                # the outer tolerance cannot be set; what it leaves, some 2e-6 pu, shrinks by going on
                for _ in range(_GOING_ON):
                    pp.runpp_3ph(net, init="results", tolerance_mva=TOLERANCE_MVA)
        except LoadflowNotConverged:
            return np.full((len(net.bus), 3), np.nan)
        vm_pu = net.res_bus_3ph[[f"vm_{phase}_pu" for phase in PHASES]].to_numpy()
        return np.where(vm_pu == 0.0, np.nan, vm_pu)


def _refuse(net: pandapowerNet) -> None:
    """Raise `NotRepresentableError` for what is not modelled per phase yet."""
    for table in _UNKNOWN_KINDS:
        if len(net[table]) and net[table]["in_service"].astype(bool).any():
            raise NotRepresentableError(f"elements of the table {table!r} are not modelled per phase")
    closed = net.switch["closed"].astype(bool)
    if ((net.switch["et"] == "b") & closed).any() or (~closed).any():
        raise NotRepresentableError("switches between buses and open switches are not modelled per phase")
    for table, columns in (
        ("line", ("r0_ohm_per_km", "x0_ohm_per_km", "c0_nf_per_km")),
        (
            "trafo",
            ("vector_group", "vk0_percent", "vkr0_percent", "mag0_percent", "mag0_rx", "si0_hv_partial"),
        ),
    ):
        for column in columns:
            if column not in net[table].columns or net[table][column].isna().any():
                raise NotRepresentableError(f"zero-sequence data is missing: {table}.{column}")
    if not net.trafo["vector_group"].str.lower().eq("dyn").all():
        raise NotRepresentableError("only transformers of vector group Dyn are modelled per phase")
    for column in ("pfe_kw", "i0_percent"):
        if (net.trafo[column] != 0).any():
            raise NotRepresentableError(f"trafo.{column} is not modelled per phase")
    if (net.trafo["parallel"] != 1).any() or not net.trafo["in_service"].all():
        raise NotRepresentableError(
            "parallel transformers and those out of service are not modelled per phase"
        )


def _trafo_percent(net: pandapowerNet, trafo: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Loading of the rated current per phase at both sides, (trafos, phases)."""
    rated_va = 1e6 * (net.trafo["sn_mva"] * net.trafo["df"]).to_numpy(dtype=float)
    hv, lv = (
        100.0
        * np.sqrt(3.0)
        * 1e3
        * net.trafo[kv].to_numpy(dtype=float)[:, None]
        * trafo[i]
        / rated_va[:, None]
        for kv, i in (("vn_hv_kv", "i_from"), ("vn_lv_kv", "i_to"))
    )
    return hv, lv


def _input(net: pandapowerNet, load_row: np.ndarray) -> dict[str, np.ndarray]:
    """The network for power-grid-model; nodes are rows of the bus table."""
    bus = net.bus.index
    ids = iter(range(10))

    def component(name: str, size: int) -> np.ndarray:
        array = initialize_array("input", name, size)
        array["id"] = next(ids) * (len(bus) + len(net.line)) + np.arange(size)
        return array

    node = component("node", len(bus))
    node["u_rated"] = 1e3 * net.bus["vn_kv"]
    line, table = component("line", len(net.line)), net.line
    line["from_node"], line["to_node"] = bus.get_indexer(table["from_bus"]), bus.get_indexer(table["to_bus"])
    line["from_status"] = line["to_status"] = table["in_service"]
    length = table["length_km"].to_numpy(dtype=float) / table["parallel"].to_numpy(dtype=float)
    for name, column in (
        ("r1", "r_ohm_per_km"),
        ("x1", "x_ohm_per_km"),
        ("r0", "r0_ohm_per_km"),
        ("x0", "x0_ohm_per_km"),
    ):
        line[name] = length * table[column].to_numpy(dtype=float)
    across = table["length_km"].to_numpy(dtype=float) * table["parallel"].to_numpy(dtype=float)
    line["c1"] = 1e-9 * across * table["c_nf_per_km"].to_numpy(dtype=float)
    line["c0"] = 1e-9 * across * table["c0_nf_per_km"].to_numpy(dtype=float)
    line["tan1"] = line["tan0"] = 0.0
    line["i_n"] = 1e3 * table["max_i_ka"]
    grid = net.ext_grid[net.ext_grid["in_service"].astype(bool)]
    trafo = component("transformer", len(net.trafo))
    _fill_trafos(trafo, net)
    source = component("source", len(grid))
    source["node"], source["status"], source["u_ref"] = bus.get_indexer(grid["bus"]), 1, grid["vm_pu"]
    source["u_ref_angle"] = np.deg2rad(grid["va_degree"].to_numpy(dtype=float))
    source["sk"], source["rx_ratio"], source["z01_ratio"] = _STIFF_VA, 0.1, 1.0
    load = component("asym_load", load_row.size)
    load["node"], load["status"], load["type"] = load_row, 1, 0
    load["p_specified"] = load["q_specified"] = 0.0
    return {"node": node, "line": line, "transformer": trafo, "source": source, "asym_load": load}


def _fill_trafos(trafo: np.ndarray, net: pandapowerNet) -> None:
    bus, table = net.bus.index, net.trafo
    trafo["from_node"], trafo["to_node"] = bus.get_indexer(table["hv_bus"]), bus.get_indexer(table["lv_bus"])
    trafo["from_status"] = trafo["to_status"] = 1
    hv_kv, lv_kv = (_with_taps(table, side) for side in ("hv", "lv"))
    trafo["u1"], trafo["u2"] = 1e3 * hv_kv, 1e3 * lv_kv
    trafo["sn"] = 1e6 * table["sn_mva"]
    trafo["uk"] = table["vk_percent"] / 100.0
    trafo["pk"] = 1e6 * table["sn_mva"] * table["vkr_percent"] / 100.0
    trafo["i0"] = trafo["p0"] = 0.0
    trafo["winding_from"], trafo["winding_to"] = WindingType.delta, WindingType.wye_n
    trafo["clock"] = np.round(table["shift_degree"].to_numpy(dtype=float) / _CLOCK).astype(int) % 12
    trafo["tap_side"] = trafo["tap_pos"] = trafo["tap_min"] = trafo["tap_max"] = trafo["tap_nom"] = 0
    trafo["tap_size"] = 0.0
    positive, zero = _short_circuit_pu(table, ""), _zero_sequence_pu(table)
    # earthing the star point by a third of the difference gives the transformer its zero sequence
    ohm = (zero - positive) / 3.0 * lv_kv**2 / table["sn_mva"].to_numpy(dtype=float)
    trafo["r_grounding_to"], trafo["x_grounding_to"] = ohm.real, ohm.imag


def _with_taps(table: pd.DataFrame, side: str) -> np.ndarray:
    """Rated voltage (kV) of a side, its tap changer included."""
    kv = table[f"vn_{side}_kv"].to_numpy(dtype=float)
    steps = (table["tap_pos"] - table["tap_neutral"]).fillna(0.0).to_numpy(dtype=float)
    step_percent = table["tap_step_percent"].fillna(0.0).to_numpy(dtype=float)
    here = (table["tap_side"] == side) & (table["tap_changer_type"] == "Ratio")
    return np.where(here.to_numpy(), kv * (1.0 + steps * step_percent / 100.0), kv)


def _short_circuit_pu(table: pd.DataFrame, sequence: str) -> Complex[np.ndarray, " trafos"]:
    r = table[f"vkr{sequence}_percent"].to_numpy(dtype=float) / 100.0
    z = table[f"vk{sequence}_percent"].to_numpy(dtype=float) / 100.0
    return r + 1j * np.sqrt(z**2 - r**2)


def _zero_sequence_pu(table: pd.DataFrame) -> Complex[np.ndarray, " trafos"]:
    """Seen from the low-voltage side of Dyn, as pandapower has it: the delta is a short circuit.

    In series the part of the leakage at the low-voltage side, then the magnetising impedance beside the part
    at the high-voltage side.
    """
    z = _short_circuit_pu(table, "0")
    at_hv = table["si0_hv_partial"].to_numpy(dtype=float)
    mag_rx = table["mag0_rx"].to_numpy(dtype=float)
    size = np.abs(z) * table["mag0_percent"].to_numpy(dtype=float) / 100.0
    magnetising = size * (mag_rx + 1j) / np.sqrt(mag_rx**2 + 1.0)
    return (1.0 - at_hv) * z + at_hv * z * magnetising / (at_hv * z + magnetising)


def _reference_net(net: pandapowerNet, buses: np.ndarray) -> pandapowerNet:
    """A copy with one load per bus and phase, and sources that hold symmetrical voltages."""
    net = deepcopy(net)
    for table in ("load", "sgen", "storage"):
        net[table] = net[table].iloc[:0]
    for bus in buses:
        pp.create_asymmetric_load(net, bus)
    net.ext_grid["s_sc_max_mva"] = _STIFF_MVA
    return net
