"""What nodes go on with when others stand behind the limits than before, as switches have moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from grid_cosim.coordination.consensus import Memory
from grid_cosim.coordination.copies import NO_HOUSEHOLD, Copies
from grid_cosim.coordination.duals.protocol import DualState, DualStep
from grid_cosim.coordination.graph import Turn

_NEW = -1
"""In place of the row of a copy that did not exist before."""


def handed_over(state: DualState, before: DualStep, now: DualStep) -> DualState:
    """The state of `now` that goes on from a state of `before`, of the same limits with other members.

    Every copy keeps its price; a household that has come behind a limit is told that of the meter, which has
    none where nobody was behind the limit. Where the
    members are the same, all goes on. About other limits everybody tells anew, as in the first step: a
    running average is that of the members' values only as long as none comes or goes.
    """
    kept, row_before = _same(before.copies, now.copies), _rows_before(before.copies, now.copies)
    awake = None if state.awake is None else state.awake & kept
    goes_on = np.where(kept[now.copies.limit], row_before, _NEW)
    memory = [
        _recalled(turn, goes_on, of_turns)
        for turns, of_turns in _by_exchange(state.memory, before, now)
        for turn in turns
    ]
    source = np.where(row_before == _NEW, before.copies.start[1:][now.copies.limit] - 1, row_before)
    had_members = (np.diff(before.copies.start) > 1)[now.copies.limit]
    return replace(
        state,
        price=np.where(had_members, state.price[source], 0.0),
        level=None if state.level is None else np.where(had_members, state.level[source], 0.0),
        memory=tuple(memory),
        awake=awake,
    )


def _same(before: Copies, now: Copies) -> Bool[np.ndarray, "limits"]:
    """Limits with the same members, priced in the same way; with other weights they tell other values."""
    if (before.weight < 0.0).any() != (now.weight < 0.0).any():
        return np.zeros(now.n_limits, dtype=bool)  # other prices are asked for
    came_or_went = ((before.coupling != 0.0) != (now.coupling != 0.0)).sum(axis=1)
    return np.asarray((came_or_went == 0) & (before.caps == now.caps))


def _rows_before(before: Copies, now: Copies) -> Int[np.ndarray, "copies"]:
    """Where each copy was before; `_NEW` for those of households that were not behind the limit."""
    n_nodes = now.n_households + 1  # a meter counts as the household after the last
    key_before, key = (
        copies.limit * n_nodes + np.where(copies.household == NO_HOUSEHOLD, n_nodes - 1, copies.household)
        for copies in (before, now)
    )
    at = np.minimum(np.searchsorted(key_before, key), key_before.size - 1)
    return np.where(key_before[at] == key, at, _NEW)


def _by_exchange(
    memory: Sequence[Memory], before: DualStep, now: DualStep
) -> list[tuple[tuple[Turn, ...], list[tuple[Turn, Memory]]]]:
    """For everything that is exchanged the turns of now, and those of before with what they remember."""
    found, rest = [], iter(memory)
    for turns_before, turns in zip(before.remembering(), now.remembering(), strict=True):
        found.append((turns, [(turn, next(rest)) for turn in turns_before]))
    return found


def _recalled(
    turn: Turn, goes_on: Int[np.ndarray, "copies"], before: Sequence[tuple[Turn, Memory]]
) -> Memory:
    """What the nodes of a turn remember, of the turns in which they took part before."""
    wanted, found = goes_on[turn.rows], Memory()
    for of, memory in before:
        if memory.value is None or not np.isin(of.rows, wanted).any():
            continue
        place = np.full(max(wanted.max(), of.rows.max()) + 1, _NEW)
        place[of.rows] = np.arange(of.rows.size)
        at = np.where(wanted == _NEW, _NEW, place[wanted])
        here = at != _NEW
        if memory.told is not None:
            here &= memory.told[at]
        found = found.updated(np.flatnonzero(here), memory.of(at[here]), turn.rows.size)
    return found
