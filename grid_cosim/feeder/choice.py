"""Which of a feeder's limits count: transformers, lines, voltages, and the flow in which direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from grid_cosim.feeder.limits import LimitChoice, Limits, branch_limits, joined, nested
from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.phases import limits_per_phase
from grid_cosim.feeder.voltage import voltage_limits, watched_buses


def candidates(feeder: Feeder, choice: LimitChoice, *, both_ways: bool) -> Feeder:
    """The feeder with every limit that the choice may keep; `both_ways` with those against generation.

    The transformers' are those that it has.
    """
    node_of_bus, home_bus = feeder.wiring.node_of_bus, feeder.home_bus
    trafos = feeder.limits.some(_about(feeder.limits, "trafo") & (feeder.limits.sense > 0))
    parts = [trafos, trafos.reversed()] if both_ways else [trafos]
    notes: list[str] = []
    if choice.lines != "none":
        lines = branch_limits(
            "line",
            feeder.lines,
            feeder.line_branch,
            feeder.wiring,
            node_of_bus[home_bus],
            limit_share=choice.line_share,
        )
        if feeder.home_phase is not None:
            lines = limits_per_phase(lines, feeder.home_phase)
            lines = lines.some(np.diff(lines.coupling.indptr) > 0)  # a phase of which no home is a member
        parts += [lines, lines.reversed()] if both_ways else [lines]
    if choice.voltage != "none":
        watched = watched_buses(feeder.wiring, feeder.connection_buses, float(feeder.net.sn_mva))
        low, high = voltage_limits(
            feeder.net,
            watched,
            home_bus,
            feeder.background,
            vm_min_pu=choice.vm_min_pu,
            vm_max_pu=choice.vm_max_pu,
        )
        parts += [low, high] if both_ways else [low]
        notes += _outside("low", low, high, watched.size, choice.vm_min_pu)
        notes += _outside("high", high, low, watched.size, choice.vm_max_pu) if both_ways else []
    limits = in_levels(feeder, joined(parts))
    return replace(feeder, limits=limits, choice=choice, notes=(*feeder.notes, *notes))


def _outside(word: str, end: Limits, other: Limits, n_watched: int, end_pu: float) -> list[str]:
    """A note of the buses that have a limit at the other end of the voltage band only."""
    lost_pu = other.no_load_vm_pu[~np.isin(other.index, end.index)]
    if not lost_pu.size:
        return []
    return [
        f"no limit of {word} voltage at {lost_pu.size} of {n_watched} {_WORDS['bus']}: without any load the "
        f"voltage is {lost_pu.min():.3f} to {lost_pu.max():.3f} pu there, already beyond {end_pu:.3f} pu "
        "(end of the band less the margin), which homes cannot keep; move slack_vm_pu, the band or its margin"
    ]


def counting(
    limits: Limits,
    choice: LimitChoice,
    *,
    peak_percent: Float[np.ndarray, " limits"],
    can_reverse: Bool[np.ndarray, " limits"],
) -> Bool[np.ndarray, " limits"]:
    """Which of the candidates count.

    `peak_percent` is the largest loading of each in a run without control, in percent of what may be used;
    `can_reverse` says of those against generation whether so much can be generated.
    """
    which = {"trafo": "all" if choice.transformers else "none", "line": choice.lines, "bus": choice.voltage}
    near = peak_percent >= choice.near_percent
    wanted = np.array([which[element] for element in limits.element], dtype=object)
    keep = (wanted == "all") | ((wanted == "near") & near)
    against = limits.sense < 0
    if choice.reverse == "auto":
        keep = np.where(against, (wanted != "none") & can_reverse, keep)
    elif choice.reverse:
        keep |= against & (wanted == "near") & can_reverse
    else:
        keep &= ~against
    # a branch that is limited one way only would not show its loading the other way
    ids = np.array(limits.element_ids)
    keep |= ~against & ~limits.is_voltage & np.isin(ids, ids[keep & against & ~limits.is_voltage])
    return np.asarray(keep)


def kept(feeder: Feeder, choice: LimitChoice, keep: Bool[np.ndarray, " limits"]) -> Feeder:
    """A feeder of candidates with those limits that count, and a note of what became of the others."""
    left = in_levels(feeder, feeder.limits.some(keep))
    return replace(feeder, limits=left, notes=(*feeder.notes, *_notes(choice, feeder.limits, left)))


def in_levels(feeder: Feeder, limits: Limits) -> Limits:
    """Limits of a feeder with their levels."""
    node_of_bus = feeder.wiring.node_of_bus
    bus_node = node_of_bus[np.where(limits.is_voltage, limits.index, feeder.home_bus[0])]
    bus_node = np.maximum(bus_node, 0)  # a bus without supply has no members, nor a level that matters
    return nested(limits, feeder.wiring, bus_node)


def _about(limits: Limits, element: str) -> Bool[np.ndarray, " limits"]:
    return np.array([of == element for of in limits.element], dtype=bool)


_WORDS = {"line": "lines that supply homes", "bus": "ends of cables with homes"}


def _notes(choice: LimitChoice, of: Limits, left: Limits) -> list[str]:
    chosen = {"line": choice.lines, "bus": choice.voltage}
    found = []
    for element, which in chosen.items():
        if which == "none":
            continue
        watched = len(set(of.index[_about(of, element)].tolist()))
        text = f"limits {_where(element, left, watched, of)} {_WORDS[element]}"
        if which == "near":
            text += f": the others stay below {choice.near_percent:g} % in the run without control"
        found.append(text + ("; other buses are solved, but not watched" if element == "bus" else ""))
    return found


def _where(element: str, left: Limits, watched: int, of: Limits) -> str:
    """At how many of the elements; of voltages by the end of the band."""
    if element != "bus":
        return f"at {len(set(left.index[_about(left, element)].tolist()))} of {watched}"
    ends = {"low": 1, "high": -1} if (of.sense[_about(of, element)] < 0).any() else {"low": 1}
    at = {word: int((_about(left, element) & (left.sense == sense)).sum()) for word, sense in ends.items()}
    return " and ".join(f"of {word} voltage at {n} of {watched}" for word, n in at.items())
