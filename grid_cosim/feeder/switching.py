"""A feeder as its switches stand: the same homes and elements, another wiring."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandapower.auxiliary import pandapowerNet

from grid_cosim.feeder.choice import candidates, in_levels
from grid_cosim.feeder.limits import aligned
from grid_cosim.feeder.network import Feeder, transformer_limits
from grid_cosim.feeder.opening import read_wiring

_MOST_NAMED = 4
"""So many homes a message names, no more."""
_COLUMN = {"switch": "closed", "line": "in_service", "trafo": "in_service"}
_BEYOND = {"l": "Line", "t": "Trafo", "t3": "Trafo3w", "b": "Bus"}
_ID = {"switch": "Switch", "line": "Line", "trafo": "Trafo"}


def switch_positions(feeder: Feeder) -> dict[str, bool]:
    """What can be opened and closed, lines and transformers as a whole too, and whether it is closed.

    By wire id ("Switch-3", "Line-7", "Trafo-0"); a switch also by its name in the net, if no other has that.
    """
    found = _by_id(feeder.net)
    return found | {name: found[of] for name, of in _named(feeder.net).items() if name not in found}


def _by_id(net: pandapowerNet) -> dict[str, bool]:
    return {
        f"{_ID[table]}-{index}": bool(closed)
        for table, column in _COLUMN.items()
        for index, closed in net[table][column].items()
    }


@dataclass(frozen=True)
class Switch:
    """A switch of the net."""

    index: int
    name: str | None
    bus: int
    element: str
    """What is beyond it: "Line-7", "Trafo-3" or "Bus-5"."""


def read_switches(feeder: Feeder) -> list[Switch]:
    """All switches in the order of the net's table."""
    table = feeder.net.switch
    names = table["name"] if "name" in table.columns else [None] * len(table)
    return [
        Switch(int(index), None if pd.isna(name) else str(name), int(bus), f"{_BEYOND[kind]}-{int(element)}")
        for index, name, bus, kind, element in zip(
            table.index, names, table["bus"], table["et"], table["element"], strict=True
        )
    ]


def switch_id(feeder: Feeder, name: str) -> str:
    """The wire id of what `switch_positions` names."""
    return name if name in _by_id(feeder.net) else _named(feeder.net).get(name, name)


def _named(net: pandapowerNet) -> dict[str, str]:
    if "name" not in net.switch.columns:
        return {}
    names = net.switch["name"].dropna().astype(str)
    names = names[(names != "") & ~names.duplicated(keep=False)]
    return {name: f"Switch-{index}" for index, name in names.items()}


def switched(feeder: Feeder, closed: Mapping[str, bool]) -> Feeder:
    """The feeder with some of its `switch_positions` (by wire id) otherwise; limits of transformers only."""
    net = with_positions(feeder.net, closed)
    wiring, trafo_branch, line_branch = read_wiring(net, source=feeder.source)
    limits = transformer_limits(
        feeder.trafos,
        trafo_branch,
        wiring,
        wiring.node_of_bus[feeder.home_bus],
        limit_share=feeder.limit_share,
        home_phase=feeder.home_phase,
    )
    return replace(feeder, net=net, wiring=wiring, line_branch=line_branch, limits=limits)


def with_positions(net: pandapowerNet, closed: Mapping[str, bool]) -> pandapowerNet:
    """A copy of a net with some of its `switch_positions` (by wire id) otherwise."""
    net = deepcopy(net)
    for name, position in closed.items():
        word, _, index = name.rpartition("-")
        table = next(table for table, of in _ID.items() if of == word)
        net[table].loc[int(index), _COLUMN[table]] = position
    return net


def cut_off(before: Feeder, after: Feeder) -> str | None:
    """In words which homes are without supply that had one; None where all have."""
    lost = np.flatnonzero(after.without_power & ~before.without_power)
    if not lost.size:
        return None
    names = ", ".join(before.home_names[row] for row in lost[:_MOST_NAMED])
    more = ", …" if lost.size > _MOST_NAMED else ""
    return f"{lost.size} {'home is' if lost.size == 1 else 'homes are'} without supply ({names}{more})"


def reswitched(feeder: Feeder, closed: Mapping[str, bool]) -> Feeder:
    """The same, with the limits that the feeder has; those behind which nobody is then have no members."""
    at = switched(feeder, closed)
    if feeder.choice is not None:
        at = candidates(at, feeder.choice, both_ways=bool((feeder.limits.sense < 0).any()))
    limits = aligned([feeder.limits, at.limits])[1].some(np.arange(feeder.limits.n_limits))
    return replace(at, limits=in_levels(at, limits), notes=feeder.notes, later=())


def changes(before: Feeder, after: Feeder) -> dict[str, bool]:
    """What is switched otherwise, by wire id, and whether it is closed then."""
    were, are = (_by_id(feeder.net) for feeder in (before, after))
    return {name: closed for name, closed in are.items() if closed != were[name]}


def described(closed: Mapping[str, bool]) -> str:
    """Positions in words: "Switch-3 open and Line-7 closed"."""
    words = [f"{name} {'closed' if position else 'open'}" for name, position in sorted(closed.items())]
    return " and ".join(", ".join(words).rsplit(", ", 1))


def moved_homes(before: Feeder, after: Feeder) -> int:
    """Homes that are behind other transformers or lines than before, of those with a limit."""
    assert before.limits.names == after.limits.names, "the same limits"
    flows = np.flatnonzero(~before.limits.is_voltage)
    were, are = (feeder.limits.coupling[flows] != 0.0 for feeder in (before, after))
    return int(np.count_nonzero((were != are).sum(axis=0)))
