"""The equations of a network as pandapower builds them, in plain arrays per node and branch.

Whatever pandapower understands (switches, fused buses, tap changers, parallel elements, three-winding
transformers, auxiliary buses of lines that are open at one end) has become nodes and branches there. A node
is what buses joined by closed switches have become. Everything is per unit of `base_mva`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandapower as pp
from jaxtyping import Bool, Complex, Float, Int
from pandapower.auxiliary import LoadflowNotConverged, pandapowerNet
from pandapower.pypower.idx_brch import BR_STATUS, F_BUS, SHIFT, T_BUS, TAP
from pandapower.pypower.idx_bus import BASE_KV, BS, BUS_TYPE, GS, NONE, PD, QD, REF, VA, VM
from pandapower.pypower.makeYbus import branch_vectors
from scipy import sparse

from grid_cosim.feeder.plain_run import TOLERANCE_MVA

_ASYMMETRY = 1e-9  # relative; rounding leaves some 1e-16
_OF_POWER = {"motor": 1.0, "asymmetric_load": 1.0, "asymmetric_sgen": -1.0, "ward": 1.0}
_HOLDS_OR_CONTROLS = {
    "xward": "an extended ward, which holds a voltage",
    "dcline": "a DC line",
    "svc": "a static var compensator",
    "ssc": "a static synchronous compensator",
    "tcsc": "a thyristor-controlled series capacitor",
    "vsc": "a converter to a DC grid",
    "b2b_vsc": "a back-to-back converter",
}


class NotRepresentableError(Exception):
    """A network that is more than constant powers behind constant impedances; says what."""


@dataclass(frozen=True)
class Equations:
    """Nodes, the branches between them, and what is constant; powers in MW + j Mvar, consumption positive."""

    base_mva: float
    base_kv: Float[np.ndarray, " nodes"]
    alive: Bool[np.ndarray, " nodes"]
    """Fed by a slack; other nodes take no part."""
    slack: Int[np.ndarray, " slacks"]
    """Nodes whose voltage is held."""
    slack_voltage: Complex[np.ndarray, " slacks"]
    from_node: Int[np.ndarray, " branches"]
    to_node: Int[np.ndarray, " branches"]
    branch_alive: Bool[np.ndarray, " branches"]
    ratio: Complex[np.ndarray, " branches"]
    """Ideal transformer at the from side."""
    series: Complex[np.ndarray, " branches"]
    """Admittance behind it."""
    y_ff: Complex[np.ndarray, " branches"]
    y_ft: Complex[np.ndarray, " branches"]
    y_tf: Complex[np.ndarray, " branches"]
    y_tt: Complex[np.ndarray, " branches"]
    shunt: Complex[np.ndarray, " nodes"]
    """What draws with the voltage's square at each node, both halves of the branches' charging included."""
    constant_mva: Complex[np.ndarray, " nodes"]
    """Constant power beside the loads: motors, wards, loads per phase."""
    node_of_bus: Int[np.ndarray, " buses"]
    bus_constant_mva: Complex[np.ndarray, " buses"]
    bus_shunt_mva: Complex[np.ndarray, " buses"]
    """Consumed at 1 pu by the shunts and wards at each bus."""
    ranges: dict[str, slice]
    """Branches of the net's lines ("line") and transformers ("trafo"), in the order of their tables."""

    def admittances(self, rows: Int[np.ndarray, " some"]) -> sparse.csr_array:
        """Rows of the node admittance matrix, per unit."""
        n = self.alive.size
        f, t, diagonal = self.from_node, self.to_node, np.arange(n)
        at_node = self.shunt + 0.0
        which = self.branch_alive
        through = sparse.coo_array(
            (
                np.concatenate(
                    [
                        self.series[which] / np.abs(self.ratio[which]) ** 2,
                        self.y_ft[which],
                        self.y_tf[which],
                        self.series[which],
                        at_node,
                    ]
                ),
                (
                    np.concatenate([f[which], f[which], t[which], t[which], diagonal]),
                    np.concatenate([f[which], t[which], f[which], t[which], diagonal]),
                ),
            ),
            shape=(n, n),
        )
        return sparse.csr_array(through.tocsr()[rows])


def read_equations(net: pandapowerNet) -> Equations:
    """Run an unloaded power flow of the net, whose loads are those of the solver, and take its equations.

    Raises `NotRepresentableError`.
    """
    _refuse_what_controls(net)
    net.load[["p_mw", "q_mvar"]] = 0.0
    try:
        # lightsim2grid=False: else installing that package changes the solver silently
        pp.runpp(net, lightsim2grid=False, tolerance_mva=TOLERANCE_MVA)
    except LoadflowNotConverged as error:
        raise NotRepresentableError("there is no solution even without the loads") from error
    _refuse_options(net._options)
    ppc, bus, branch = net._ppc, net._ppc["bus"].real, net._ppc["branch"].real
    kind = bus[:, BUS_TYPE]
    alive = kind != NONE
    slack = np.flatnonzero(kind == REF)
    f, t = (branch[:, column].astype(np.int64) for column in (F_BUS, T_BUS))
    branch_alive = (branch[:, BR_STATUS] == 1) & alive[f] & alive[t]
    ratio = np.where(branch[:, TAP] == 0, 1.0, branch[:, TAP]) * np.exp(1j * np.deg2rad(branch[:, SHIFT]))
    y_tt, y_ff, y_ft, y_tf = (np.where(branch_alive, y, 0.0) for y in branch_vectors(branch, len(branch)))
    series = -y_ft * np.conj(ratio)
    if not np.isfinite(series[branch_alive]).all() or (np.abs(series[branch_alive]) == 0).any():
        raise NotRepresentableError("a line or transformer has no impedance, or an infinite one")
    if (np.abs(series + y_tf * ratio) > _ASYMMETRY * np.abs(series)).any():
        raise NotRepresentableError("an impedance differs by its direction")
    shunt = (bus[:, GS] + 1j * bus[:, BS]) / ppc["baseMVA"]
    np.add.at(shunt, f, y_ff - series / np.abs(ratio) ** 2)
    np.add.at(shunt, t, y_tt - series)
    bus_constant, bus_shunt = _at_buses(net)
    return Equations(
        base_mva=float(ppc["baseMVA"]),
        base_kv=bus[:, BASE_KV].astype(float),
        alive=alive,
        slack=slack,
        slack_voltage=bus[slack, VM] * np.exp(1j * np.deg2rad(bus[slack, VA])),
        from_node=f,
        to_node=t,
        branch_alive=branch_alive,
        ratio=ratio,
        series=series,
        y_ff=y_ff,
        y_ft=y_ft,
        y_tf=y_tf,
        y_tt=y_tt,
        shunt=np.where(alive, shunt, 0.0),
        constant_mva=np.where(alive, bus[:, PD] + 1j * bus[:, QD], 0.0),
        node_of_bus=net._pd2ppc_lookups["bus"][net.bus.index.to_numpy()].astype(np.int64),
        bus_constant_mva=bus_constant,
        bus_shunt_mva=bus_shunt,
        ranges={
            table: slice(*net._pd2ppc_lookups["branch"].get(table, (0, 0))) for table in ("line", "trafo")
        },
    )


def _refuse_what_controls(net: pandapowerNet) -> None:
    """Raise for what is more than constant powers and impedances; slack generators are sources."""
    holding = net.gen.index[net.gen["in_service"].astype(bool) & ~net.gen["slack"].astype(bool)]
    if holding.size:
        raise NotRepresentableError(f"Gen-{holding[0]} holds the voltage of its bus at a fixed power")
    for table, what in _HOLDS_OR_CONTROLS.items():
        rows = net.get(table)
        if rows is not None and len(rows) and rows["in_service"].astype(bool).any():
            raise NotRepresentableError(f"it has {what}")


def _refuse_options(options: dict[str, object]) -> None:
    """Raise where the net itself asks for another kind of power flow (`user_pf_options`)."""
    for option, plain in (
        ("trafo_loading", "current"),
        ("distributed_slack", False),
        ("tdpf", False),
        ("enforce_q_lims", False),
    ):
        if options.get(option, plain) != plain:
            raise NotRepresentableError(f"it asks for {option} = {options[option]!r}")


def _at_buses(
    net: pandapowerNet,
) -> tuple[Complex[np.ndarray, " buses"], Complex[np.ndarray, " buses"]]:
    """Constant power, and power at 1 pu that grows with the voltage's square, read off a solved net."""
    constant, shunt = np.zeros(len(net.bus), dtype=complex), np.zeros(len(net.bus), dtype=complex)
    vm_pu = net.res_bus["vm_pu"].to_numpy()
    for table in ("shunt", *_OF_POWER):
        elements, result = net[table], net[f"res_{table}"]
        if not len(elements):
            continue
        row = net.bus.index.get_indexer(elements["bus"])
        power = result["p_mw"].to_numpy() + 1j * result["q_mvar"].to_numpy()
        fed = ~np.isnan(vm_pu[row])
        squared = np.where(fed, vm_pu[row], 1.0) ** 2
        if table == "shunt":
            np.add.at(shunt, row, power / squared)
            continue
        if table == "ward":
            works = fed & elements["in_service"].to_numpy(dtype=bool)
            growing = works * (elements["pz_mw"].to_numpy() + 1j * elements["qz_mvar"].to_numpy())
            np.add.at(shunt, row, growing)
            power = power - growing * squared
        np.add.at(constant, row, _OF_POWER[table] * power)
    return constant, shunt
