"""An OpenDSS case: `master.dss` with a load shape per load, which `solve mode=daily` goes through.

Positive sequence: what is simulated is symmetrical. Zero-sequence impedances are the same as these; whoever
studies unbalance or earth faults gives them their own.
"""

from __future__ import annotations

import cmath
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from grid_cosim.errors import ExportError
from grid_cosim.exports.attribution import ATTRIBUTION_FILE, attribution_lines
from grid_cosim.exports.chosen import Chosen
from grid_cosim.exports.model import Branch, GridModel, read_model
from grid_cosim.exports.naming import NAMES_FILE, write_names
from grid_cosim.exports.powers import Powers, read_powers

_STIFF_OHM_PU = 1e-7
"""Reactance of a source at 1 MVA: its voltage gives way by a ten-millionth per MVA."""
_ROTATED = ("1.2.3", "3.1.2", "2.3.1")
"""Terminals of a second winding whose voltages lag by another 0, 120, 240 degrees."""

_UNTURNED = ("wye", "lag", _ROTATED[0])


def write(chosen: Chosen, folder: Path) -> list[str]:
    """The case over the steps in which the switches stand alike."""
    steps = chosen.steps_switched_alike()
    model, powers = read_model(chosen, steps.start), read_powers(chosen, steps)
    case = _Case(chosen, model, powers)
    for name, lines in case.files().items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    write_names(folder, "opendss", case.names())
    return case.notes


class _Case:
    def __init__(self, chosen: Chosen, model: GridModel, powers: Powers) -> None:
        self._chosen, self._model, self._powers = chosen, model, powers
        self._fed = model.node_of(powers.elements["bus"]) >= 0
        self.notes: list[str] = []
        self._turning = self._vector_groups()
        self._step_h = (
            float((powers.times[1] - powers.times[0]) / np.timedelta64(1, "h"))
            if len(powers.times) > 1
            else chosen.results.basis.dt_h
        )

    def files(self) -> dict[str, list[str]]:
        """File name → its lines."""
        parts = {
            "lines.dss": list(self._lines()),
            "transformers.dss": list(self._transformers()),
            "shunts.dss": list(self._shunts()),
            "loadshapes.dss": list(self._shapes()),
            "loads.dss": list(self._loads()),
        }
        return {"master.dss": list(self._master(parts))} | parts

    def names(self) -> Iterator[tuple[str, str, str]]:
        """Several buses of the network are one of the case where switches join them."""
        for bus in self._model.buses.itertuples():
            if bus.node >= 0:
                yield f"bus.{self._node(bus.node)}", bus.id, bus.name
        for branch in self._model.branches:
            kind = "line" if branch.kind == "line" else "transformer"
            yield f"{kind}.{_safe(branch.id)}", branch.id, branch.name
        for load in self._powers.elements[self._fed].itertuples():
            yield f"load.{_safe(load.id)}", load.id, load.name

    def _master(self, parts: Iterable[str]) -> Iterator[str]:
        results, powers, model = self._chosen.results, self._powers, self._model
        begin = f"{powers.times[0]:%Y-%m-%d %H:%M}"
        yield f"! {_one_line(results.topology.title)}, run {self._chosen.controller}, {begin}"
        yield f"! and {len(powers.times) - 1} steps more, {self._step_h:g} h each; from grid_cosim"
        for line in attribution_lines(results):
            yield f"! {_one_line(line)}"
        yield f"! Also in {ATTRIBUTION_FILE}. Whose names these are is in {NAMES_FILE}."
        yield f"! Then: solve mode=daily number={len(powers.times)}, or number=1 for one step after another."
        yield "clear"
        yield f"set defaultbasefrequency={model.f_hz:g}"
        for k, (node, voltage) in enumerate(model.slacks.items()):
            kv, ohm = model.base_kv[node], _STIFF_OHM_PU * model.base_kv[node] ** 2
            what = "new circuit.grid_cosim" if k == 0 else f"new vsource.source_{k}"
            yield (
                f"{what} bus1={self._node(node)} phases=3 basekv={kv:.9g} pu={abs(voltage):.12g} "
                f"angle={np.rad2deg(cmath.phase(voltage)):.9g} r1=0 x1={ohm:.9g} r0=0 x0={ohm:.9g}"
            )
        for part in parts:
            yield f"redirect {part}"
        bases = sorted({float(model.base_kv[node]) for node in model.nodes})
        yield f"set voltagebases=[{' '.join(f'{kv:.9g}' for kv in bases)}]"
        yield "calcvoltagebases"
        # the default of 1e-4 pu is as coarse as the difference that one looks for
        yield "set tolerance=1e-9 maxiterations=200 maxcontroliter=50"
        yield f"set mode=daily stepsize={3600 * self._step_h:.0f}s number=1 hour=0"

    def _lines(self) -> Iterator[str]:
        model = self._model
        for branch in model.branches:
            if branch.kind != "line":
                continue
            kv = float(model.base_kv[branch.from_node])
            length = branch.length_km if branch.length_km > 0 else 1.0
            z = branch.z_pu * kv**2 / model.base_mva / length
            siemens = model.y_siemens(branch.y_from_pu + branch.y_to_pu, branch.from_node)
            nf = 1e9 * siemens.imag / (2 * np.pi * model.f_hz) / length
            amps = "" if np.isnan(branch.max_i_ka) else f" normamps={1e3 * branch.max_i_ka:.6g}"
            yield (
                f"new line.{_safe(branch.id)} bus1={self._node(branch.from_node)} "
                f"bus2={self._node(branch.to_node)} phases=3 length={length:.9g} units=km "
                f"r1={z.real:.12g} x1={z.imag:.12g} r0={z.real:.12g} x0={z.imag:.12g} "
                f"c1={nf:.12g} c0={nf:.12g}{amps}"
            )

    def _transformers(self) -> Iterator[str]:
        for branch in self._model.branches:
            if branch.kind != "line":
                yield self._transformer(branch)

    def _transformer(self, branch: Branch) -> str:
        model = self._model
        mva = model.base_mva if np.isnan(branch.rated_mva) else branch.rated_mva
        z = 100.0 * branch.z_pu * mva / model.base_mva
        connection, lead, terminals = (_clock(branch) if self._turning else None) or _UNTURNED
        tap = abs(branch.ratio)
        return (
            f"new transformer.{_safe(branch.id)} phases=3 windings=2 "
            f"buses=[{self._node(branch.from_node)} {self._node(branch.to_node)}.{terminals}] "
            f"conns=[{connection} wye] leadlag={lead} "
            f"kvs=[{model.base_kv[branch.from_node]:.9g} {model.base_kv[branch.to_node]:.9g}] "
            f"kvas=[{1e3 * mva:.9g} {1e3 * mva:.9g}] %rs=[{z.real / 2:.12g} {z.real / 2:.12g}] "
            f"xhl={z.imag:.12g} taps=[{tap:.12g} 1] "
            f"maxtap={max(1.1, 1.01 * tap):.6g} mintap={min(0.9, 0.99 * tap):.6g} "
            "%noloadloss=0 %imag=0 ppm_antifloat=0"
        )

    def _vector_groups(self) -> bool:
        """Whether transformers turn the voltage as in the network; else none does, which must be the same."""
        for branch in self._model.branches:
            if _clock(branch) is not None:
                continue
            lag = np.rad2deg(cmath.phase(branch.ratio)) % 360.0
            if not self._model.turns_alike:
                raise ExportError(
                    self._chosen.to,
                    f"{branch.id} turns the voltage by {lag:.6g}°, which no plain transformer of OpenDSS "
                    "does, and another way past it turns it otherwise",
                    remedy="Give it a shift_degree of 0, 30, 90, 120, 150, …, or export to power-grid-model",
                )
            self.notes.append(
                f"Angles are without the vector groups of the transformers: {branch.id} turns the voltage by "
                f"{lag:.6g}°, which no plain transformer of OpenDSS does. Magnitudes are the same"
            )
            return False
        return True

    def _shunts(self) -> Iterator[str]:
        """Shunts of the network; of transformers iron losses and magnetising, at either side."""
        model = self._model
        for branch in model.branches:
            ends = ((branch.from_node, branch.y_from_pu), (branch.to_node, branch.y_to_pu))
            for k, (node, y_pu) in enumerate(ends, start=1):
                rest = complex(y_pu.real, 0.0) if branch.kind == "line" else y_pu
                if abs(rest) > 0.0:
                    yield self._reactor(f"{_safe(branch.id)}_{k}", node, rest)
        for node, y_pu in model.shunts.items():
            yield self._reactor(f"shunt_{self._node(node)}", node, y_pu)

    def _reactor(self, name: str, node: int, y_pu: complex) -> str:
        z = 1.0 / self._model.y_siemens(y_pu, node)
        return f"new reactor.{name} bus1={self._node(node)} phases=3 r={z.real:.12g} x={z.imag:.12g}"

    def _shapes(self) -> Iterator[str]:
        """In kW and kvar, as they are."""
        powers, n = self._powers, len(self._powers.times)
        interval = f"npts={n} interval={self._step_h:.9g} useactual=yes"
        for k in np.flatnonzero(self._fed):
            name = _safe(powers.elements["id"].iat[k])
            mult, qmult = _list(powers.p_kw[:, k]), _list(powers.q_kvar[:, k])
            yield f"new loadshape.{name} {interval} mult=[{mult}] qmult=[{qmult}]"

    def _loads(self) -> Iterator[str]:
        """Constant power at any voltage; what generates is a load below zero."""
        model, powers = self._model, self._powers
        nodes = model.node_of(powers.elements["bus"])
        plain = "vminpu=0.01 vmaxpu=10 vlowpu=0"
        for k in np.flatnonzero(self._fed):
            name, node = _safe(powers.elements["id"].iat[k]), int(nodes[k])
            p_kw, q_kvar = powers.p_kw[0, k], powers.q_kvar[0, k]
            yield (
                f"new load.{name} bus1={self._node(node)} phases=3 conn=wye model=1 "
                f"kv={model.base_kv[node]:.9g} kw={p_kw:.9g} kvar={q_kvar:.9g} daily={name} {plain}"
            )
        for node, mva in model.constants.items():
            yield (
                f"new load.constant_{self._node(node)} bus1={self._node(node)} phases=3 conn=wye model=1 "
                f"kv={model.base_kv[node]:.9g} kw={1e3 * mva.real:.9g} kvar={1e3 * mva.imag:.9g} {plain}"
            )

    def _node(self, node: int) -> str:
        return _safe(self._model.node_ids[node])


def _clock(branch: Branch) -> tuple[str, str, str] | None:
    """How the first winding is connected, whether the second lags or leads it, and its terminals.

    None for what takes more than exchanging phases.
    """
    lag = np.rad2deg(cmath.phase(branch.ratio)) % 360.0
    hour = round(lag / 30.0) % 12
    if abs((lag - 30.0 * hour + 180.0) % 360.0 - 180.0) > 1e-6 or hour in (2, 6, 10):
        return None
    if hour % 4 == 0:
        return "wye", "lag", _ROTATED[hour // 4]
    return (
        ("delta", "lag", _ROTATED[hour // 4])
        if hour % 4 == 1
        else ("delta", "lead", _ROTATED[(hour + 1) // 4 % 3])
    )


def _safe(id_: str) -> str:
    """OpenDSS has no upper case, and a hyphen would be read as a minus here and there."""
    return id_.lower().replace("-", "_")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _list(values: np.ndarray) -> str:
    return " ".join(f"{value:.9g}" for value in values)
