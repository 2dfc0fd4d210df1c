"""PyPSA: `network.nc`, the network with the loads over time, ready for `n.pf()`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pypsa

from grid_cosim.errors import ExportError, MissingExtraError
from grid_cosim.exports.attribution import attribution_lines, licences
from grid_cosim.exports.chosen import Chosen
from grid_cosim.exports.model import Branch, GridModel, read_model
from grid_cosim.exports.naming import write_names
from grid_cosim.exports.powers import Powers, read_powers


def write(chosen: Chosen, folder: Path) -> list[str]:
    """The network over the steps in which the switches stand alike."""
    if find_spec("netCDF4") is None:  # PyPSA itself does without
        raise MissingExtraError("The export to pypsa", extra="pypsa", missing="netCDF4")
    steps = chosen.steps_switched_alike()
    model, powers = read_model(chosen, steps.start), read_powers(chosen, steps)
    _refuse_coupled_slacks(chosen, model)
    results = chosen.results
    network = pypsa.Network(name=results.topology.title or "grid_cosim")
    network.set_snapshots(powers.times.as_unit("ns"))
    _add_grid(network, model, turned=not model.turns_alike)
    _add_loads(network, model, powers)
    network.meta = {
        "producer": "grid_cosim",
        "controller": chosen.controller,
        "seed": results.provenance.get("seed"),
        "licences": licences(results),
        "attribution": attribution_lines(results),
    }
    with _quiet():
        network.export_to_netcdf(str(folder / "network.nc"))
    write_names(folder, "pypsa", _names(model, powers))
    return _about_angles(model)


def _about_angles(model: GridModel) -> list[str]:
    if all(abs(np.angle(branch.ratio)) == 0.0 for branch in model.branches):
        return []
    if model.turns_alike:
        return [
            "Angles are without the vector groups of the transformers, which change no magnitude here; with "
            "them PyPSA's Newton method would not converge from its flat start"
        ]
    return ["Transformers turn the voltage differently: solve with n.lpf(), then n.pf(use_seed=True)"]


def _refuse_coupled_slacks(chosen: Chosen, model: GridModel) -> None:
    """A sub-network of PyPSA has one slack."""
    graph = nx.Graph([(branch.from_node, branch.to_node) for branch in model.branches])
    graph.add_nodes_from(model.nodes)
    for part in nx.connected_components(graph):
        held = sorted(part & model.slacks.keys())
        if len(held) > 1:
            names = " and ".join(model.node_ids[node] for node in held)
            raise ExportError(
                chosen.to,
                f"the external grids at {names} feed one connected network, where PyPSA has one slack",
                remedy="Export it to pandapower, power-grid-model or opendss, which take several",
            )


def _add_grid(network: pypsa.Network, model: GridModel, *, turned: bool) -> None:
    ids, kv = model.node_ids, model.base_kv
    nodes = list(model.nodes)
    held = {node: abs(voltage) for node, voltage in model.slacks.items()}
    network.add(
        "Bus",
        [ids[node] for node in nodes],
        v_nom=kv[nodes],
        v_mag_pu_set=[held.get(node, 1.0) for node in nodes],
    )
    network.add(
        "Generator",
        [f"Source-{ids[n]}" for n in model.slacks],
        bus=[ids[n] for n in model.slacks],
        control="Slack",
    )
    lines = [branch for branch in model.branches if branch.kind == "line"]
    z = np.array([b.z_pu * kv[b.from_node] ** 2 / model.base_mva for b in lines], dtype=complex)
    y = np.array([model.y_siemens(b.y_from_pu + b.y_to_pu, b.from_node) for b in lines], dtype=complex)
    network.add(
        "Line",
        [branch.id for branch in lines],
        **_ends(lines, model),
        r=z.real,
        x=z.imag,
        g=y.real,
        b=y.imag,
        length=[branch.length_km for branch in lines],
        s_nom=[np.sqrt(3.0) * kv[b.from_node] * _or_zero(b.max_i_ka) for b in lines],
    )
    others = [branch for branch in model.branches if branch.kind != "line"]
    rated = np.array([model.base_mva if np.isnan(b.rated_mva) else b.rated_mva for b in others])
    z = np.array([branch.z_pu for branch in others], dtype=complex) * rated / model.base_mva
    ratio = np.array([branch.ratio for branch in others], dtype=complex)
    network.add(
        "Transformer",
        [branch.id for branch in others],
        **_ends(others, model),
        model="pi",
        s_nom=rated,
        r=z.real,
        x=z.imag,
        tap_ratio=np.abs(ratio),
        tap_side=0,
        phase_shift=turned * np.rad2deg(np.angle(ratio)),
    )
    _add_shunts(network, model, others)


def _add_shunts(network: pypsa.Network, model: GridModel, others: list[Branch]) -> None:
    """Those of the network, and what transformers draw to earth at either side."""
    at_node = dict(model.shunts)
    for branch in others:
        for node, y_pu in ((branch.from_node, branch.y_from_pu), (branch.to_node, branch.y_to_pu)):
            at_node[node] = at_node.get(node, 0j) + y_pu
    y = np.array([model.y_siemens(y_pu, node) for node, y_pu in at_node.items()], dtype=complex)
    network.add(
        "ShuntImpedance",
        [f"Shunt-{model.node_ids[node]}" for node in at_node],
        bus=[model.node_ids[node] for node in at_node],
        g=y.real,
        b=y.imag,
    )


def _add_loads(network: pypsa.Network, model: GridModel, powers: Powers) -> None:
    """Consumption positive, generators as loads below zero."""
    nodes = model.node_of(powers.elements["bus"])
    fed = np.flatnonzero(nodes >= 0)
    ids = powers.elements["id"].iloc[fed].tolist()
    snapshots = network.snapshots
    network.add(
        "Load",
        ids,
        bus=[model.node_ids[node] for node in nodes[fed]],
        p_set=pd.DataFrame(powers.p_kw[:, fed] / 1e3, index=snapshots, columns=ids),
        q_set=pd.DataFrame(powers.q_kvar[:, fed] / 1e3, index=snapshots, columns=ids),
    )
    constants = list(model.constants)
    network.add(
        "Load",
        [f"Constant-{model.node_ids[node]}" for node in constants],
        bus=[model.node_ids[node] for node in constants],
        p_set=[model.constants[node].real for node in constants],
        q_set=[model.constants[node].imag for node in constants],
    )


def _ends(branches: list[Branch], model: GridModel) -> dict[str, list[str]]:
    return {
        "bus0": [model.node_ids[branch.from_node] for branch in branches],
        "bus1": [model.node_ids[branch.to_node] for branch in branches],
    }


def _names(model: GridModel, powers: Powers) -> Iterator[tuple[str, str, str]]:
    for bus in model.buses.itertuples():
        if bus.node >= 0:
            yield model.node_ids[bus.node], bus.id, bus.name
    for branch in model.branches:
        yield branch.id, branch.id, branch.name
    for load in powers.elements.itertuples():
        yield load.id, load.id, load.name


def _or_zero(value: float) -> float:
    return 0.0 if np.isnan(value) else value


@contextmanager
def _quiet() -> Iterator[None]:
    """PyPSA tells that it writes; who asked for it knows."""
    logger = logging.getLogger("pypsa")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
