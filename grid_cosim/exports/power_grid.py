"""power-grid-model: `input.json`, the network, and `update.json`, the loads of all steps as a batch.

Transformers are its `generic_branch` with what they draw to earth as shunts, so that the equations are
pandapower's and not those of its own transformer, which differ in where the iron losses are.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from power_grid_model import ComponentType, DatasetType, initialize_array
from power_grid_model.utils import json_serialize

from grid_cosim.exports.attribution import attribution_lines
from grid_cosim.exports.chosen import Chosen
from grid_cosim.exports.model import Branch, GridModel, read_model
from grid_cosim.exports.naming import write_names
from grid_cosim.exports.powers import Powers, read_powers

_STIFF_VA = 1e20  # short-circuit power of a source: its voltage gives way by 1e-15 pu


def write(chosen: Chosen, folder: Path) -> list[str]:
    """Both files over the steps in which the switches stand alike, with times and names beside them."""
    steps = chosen.steps_switched_alike()
    model, powers = read_model(chosen, steps.start), read_powers(chosen, steps)
    network = _Network(model, powers)
    _write(folder / "input.json", json_serialize(network.input()), chosen)
    _write(folder / "update.json", json_serialize(network.update(), dataset_type=DatasetType.update), chosen)
    write_names(folder, "power_grid_model", network.names())
    with (folder / "times.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["scenario", "time"])
        writer.writerows([k, f"{time:%Y-%m-%dT%H:%M:%S}"] for k, time in enumerate(powers.times))
    if model.f_hz == 50.0:
        return []
    return [f"The model is to be made with system_frequency={model.f_hz:g}; 50 is its default"]


def _write(path: Path, text: str, chosen: Chosen) -> None:
    """With the attribution, which the reader of power-grid-model leaves aside."""
    stored = json.loads(text)
    stored["attribution"] = attribution_lines(chosen.results)
    path.write_text(json.dumps(stored, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


class _Network:
    def __init__(self, model: GridModel, powers: Powers) -> None:
        self._model, self._powers = model, powers
        self._next = 0
        self._number = {node: k for k, node in enumerate(model.nodes)}
        at = model.node_of(powers.elements["bus"])
        self._fed = np.flatnonzero(at >= 0)
        self._at = at[self._fed]
        self._names: list[tuple[str, str, str]] = []
        self._load_ids = np.zeros(0, dtype=np.int64)

    def input(self) -> dict[ComponentType, np.ndarray]:
        """The network; the loads draw what they do in the first step."""
        model = self._model
        node = self._component(ComponentType.node, len(model.nodes))
        node["u_rated"] = 1e3 * model.base_kv[list(model.nodes)]
        parts = {ComponentType.node: node} | self._branches()
        parts[ComponentType.shunt] = self._shunts()
        source = self._component(ComponentType.source, len(model.slacks))
        voltage = np.array(list(model.slacks.values()))
        source["node"], source["status"] = [self._number[n] for n in model.slacks], 1
        source["u_ref"], source["u_ref_angle"] = np.abs(voltage), np.angle(voltage)
        source["sk"], source["rx_ratio"] = _STIFF_VA, 0.0
        parts[ComponentType.source] = source
        parts[ComponentType.sym_load] = self._loads()
        return {name: part for name, part in parts.items() if part.size}

    def update(self) -> dict[ComponentType, np.ndarray]:
        """P and Q of all loads in every step; to be asked for after `input`."""
        powers = self._powers
        update = initialize_array(
            DatasetType.update, ComponentType.sym_load, (len(powers.times), self._fed.size)
        )
        update["id"] = self._load_ids[: self._fed.size]
        update["p_specified"] = 1e3 * powers.p_kw[:, self._fed]
        update["q_specified"] = 1e3 * powers.q_kvar[:, self._fed]
        return {ComponentType.sym_load: update}

    def names(self) -> list[tuple[str, str, str]]:
        """Number, id and own name of buses, branches and loads; several buses may be one node."""
        model, powers = self._model, self._powers
        buses = [
            (str(self._number[bus.node]), bus.id, bus.name)
            for bus in model.buses.itertuples()
            if bus.node >= 0
        ]
        elements = powers.elements.iloc[self._fed]
        loads = zip(self._load_ids, elements["id"], elements["name"], strict=False)
        return [*buses, *self._names, *((str(number), id_, name) for number, id_, name in loads)]

    def _branches(self) -> dict[ComponentType, np.ndarray]:
        model = self._model
        lines = [branch for branch in model.branches if branch.kind == "line"]
        others = [branch for branch in model.branches if branch.kind != "line"]
        line = self._component(ComponentType.line, len(lines))
        self._connect(line, lines)
        y = np.array([model.y_siemens(b.y_from_pu + b.y_to_pu, b.from_node) for b in lines], dtype=complex)
        z = np.array([self._ohm(b) for b in lines], dtype=complex)
        line["r1"], line["x1"] = z.real, z.imag
        line["c1"], line["tan1"] = y.imag / (2 * np.pi * model.f_hz), 0.0
        line["i_n"] = [1e3 * branch.max_i_ka for branch in lines]
        other = self._component(ComponentType.generic_branch, len(others))
        self._connect(other, others)
        z = np.array([self._ohm(branch) for branch in others], dtype=complex)
        ratio = np.array([branch.ratio for branch in others], dtype=complex)
        other["r1"], other["x1"], other["g1"], other["b1"] = z.real, z.imag, 0.0, 0.0
        other["k"], other["theta"] = np.abs(ratio), np.angle(ratio)
        other["sn"] = [1e6 * branch.rated_mva for branch in others]
        return {ComponentType.line: line, ComponentType.generic_branch: other}

    def _connect(self, array: np.ndarray, branches: list[Branch]) -> None:
        array["from_node"] = [self._number[branch.from_node] for branch in branches]
        array["to_node"] = [self._number[branch.to_node] for branch in branches]
        array["from_status"] = array["to_status"] = 1
        self._names += [
            (str(number), branch.id, branch.name)
            for number, branch in zip(array["id"], branches, strict=True)
        ]

    def _ohm(self, branch: Branch) -> complex:
        return branch.z_pu * self._model.base_kv[branch.to_node] ** 2 / self._model.base_mva

    def _shunts(self) -> np.ndarray:
        """Of the network, of transformers at either side, and of lines what is no charging."""
        model = self._model
        at_node: dict[int, complex] = dict(model.shunts)
        for branch in model.branches:
            for node, y_pu in ((branch.from_node, branch.y_from_pu), (branch.to_node, branch.y_to_pu)):
                rest = complex(y_pu.real, 0.0) if branch.kind == "line" else y_pu
                if rest != 0.0:
                    at_node[node] = at_node.get(node, 0j) + rest
        shunt = self._component(ComponentType.shunt, len(at_node))
        y = np.array([model.y_siemens(y_pu, node) for node, y_pu in at_node.items()], dtype=complex)
        shunt["node"], shunt["status"] = [self._number[node] for node in at_node], 1
        shunt["g1"], shunt["b1"] = y.real, y.imag
        return shunt

    def _loads(self) -> np.ndarray:
        powers, constants = self._powers, self._model.constants
        load = self._component(ComponentType.sym_load, self._fed.size + len(constants))
        drawn = np.array(list(constants.values()), dtype=complex)
        nodes = [*self._at, *constants]
        load["node"], load["status"], load["type"] = [self._number[int(node)] for node in nodes], 1, 0
        load["p_specified"] = np.concatenate([1e3 * powers.p_kw[0, self._fed], 1e6 * drawn.real])
        load["q_specified"] = np.concatenate([1e3 * powers.q_kvar[0, self._fed], 1e6 * drawn.imag])
        self._load_ids = load["id"].copy()
        return load

    def _component(self, name: ComponentType, size: int) -> np.ndarray:
        """Elements with numbers that no other has."""
        array = initialize_array(DatasetType.input, name, size)
        array["id"] = self._next + np.arange(size)
        self._next += size
        return array
