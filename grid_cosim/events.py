"""The events of a scenario: what moves which limits, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from grid_cosim.errors import ScenarioError, near_matches
from grid_cosim.feeder import Feeder
from grid_cosim.feeder.switching import cut_off, described, switch_id, switch_positions, switched
from grid_cosim.moving import Lowered, MovingLimits, Rated
from grid_cosim.profiles import Clock, rating_factor
from grid_cosim.scenario import Event, Scenario

_ALL = {"all transformers": "trafo", "all lines": "line"}
_MOST_NAMED = 6
"""So many limits a message names, no more."""


def moving_limits(scenario: Scenario, feeder: Feeder) -> MovingLimits | None:
    """What the scenario's events do to the limits of its feeder; None where there are no events.

    Raises `ScenarioError` with all problems: unknown elements, times outside of the horizon, signals to one
    element at one time.
    """
    if all(event.kind == "switch" for event in scenario.events):
        return None
    problems: list[str] = []
    lowered: list[Lowered] = []
    rated: list[Rated] = []
    for k, event in enumerate(scenario.events):
        if event.kind == "switch":
            continue
        where = f"events.{k}"
        rows = _rows(event, scenario, feeder, where, problems)
        start, stop = _steps(event, scenario, where, problems)
        if stop <= start:
            continue
        if event.kind == "signal":
            _refuse_overlap(lowered, rows, start, stop, feeder, where, problems)
            lowered.append(Lowered(rows, start, stop, 100.0 * float(event.share or 0.0)))
        else:
            rated.append(Rated(rows, start, _factor(event, scenario, start, stop)))
    if problems:
        raise ScenarioError(scenario.source, problems)
    return MovingLimits(feeder.limits.limit_percent, tuple(lowered), tuple(rated))


def switched_feeders(scenario: Scenario, feeder: Feeder) -> list[tuple[range, Feeder]]:
    """Control steps in which the switches stand still, and the feeder as they stand then.

    A later event takes the place of an earlier one for what both move. Raises `ScenarioError` with all
    problems: unknown names, times outside of the horizon, what stands already as an event asks, homes that
    are left without supply.
    """
    problems: list[str] = []
    moves = _switch_moves(scenario, feeder, problems)
    starts = sorted({0, *(at for move in moves for at in (move.start, move.stop))})
    starts = [start for start in starts if start < scenario.time.n_steps]
    periods: list[tuple[range, Feeder]] = []
    before: dict[str, bool] = {}
    for first, stop in pairwise([*starts, scenario.time.n_steps]):
        closed = _closed(moves, first, switch_positions(feeder))
        if periods and closed == before:
            periods[-1] = (range(periods[-1][0].start, stop), periods[-1][1])
            continue
        at, before = switched(feeder, closed) if closed else feeder, closed
        lost = cut_off(feeder, at)
        if lost is not None:
            events = " and ".join(move.where for move in moves if move.start <= first < move.stop)
            while_it_lasts = f"from {_clock(scenario, first)} to {_clock(scenario, stop)}"
            problems.append(
                f"{events}: {while_it_lasts}, with {described(closed)}, {lost}; close another switch in the "
                "same event, through which they are fed then"
            )
        periods.append((range(first, stop), at))
    if problems:
        raise ScenarioError(scenario.source, problems)
    return periods


class _Move(NamedTuple):
    """What a switch event moves in which control steps, by wire id, and whether it is closed then."""

    where: str
    start: int
    stop: int
    closed: dict[str, bool]


def _closed(moves: Sequence[_Move], step: int, stands: Mapping[str, bool]) -> dict[str, bool]:
    """What stands otherwise in a step than it does in the network."""
    here = [move.closed for move in moves if move.start <= step < move.stop]
    closed = {name: at for each in here for name, at in each.items()}
    return {name: at for name, at in closed.items() if at != stands[name]}


def _switch_moves(scenario: Scenario, feeder: Feeder, problems: list[str]) -> list[_Move]:
    stands = switch_positions(feeder)
    moves: list[_Move] = []
    asked: list[tuple[int, str, str, str]] = []
    for k, event in enumerate(scenario.events):
        if event.kind != "switch":
            continue
        where, closed = f"events.{k}", dict[str, bool]()
        for name, position in event.closed.items():
            field, found = f"{where}.{'close' if position else 'open'}", switch_id(feeder, name)
            if name not in stands:
                problems.append(
                    f"{field}: got {name!r}, expected a switch, line or transformer of {feeder.source}, as "
                    f"Switch-3, Line-7, Trafo-0 or the own name of a switch.{near_matches(name, stands)}"
                )
            elif closed.get(found, position) != position:
                problems.append(f"{field}: got {name!r}, in `open` too as {found}, expected it once")
            else:
                closed[found] = position
                asked.append((len(moves), field, name, found))
        moves.append(_Move(where, *_steps(event, scenario, where, problems), closed))
    problems += [
        f"{field}: got {name!r}, which is {'closed' if moves[k].closed[found] else 'open'} already"
        for k, field, name, found in asked
        if _moves_nothing(moves, k, found, stands)
    ]
    return moves


def _moves_nothing(moves: Sequence[_Move], k: int, name: str, stands: Mapping[str, bool]) -> bool:
    """Whether something would stand as an event asks in all of its steps without that event, too."""
    steps = range(moves[k].start, moves[k].stop)
    others = [move for i, move in enumerate(moves) if i != k and name in move.closed]
    return bool(steps) and all(
        _closed(others, step, stands).get(name, stands[name]) == moves[k].closed[name] for step in steps
    )


def _clock(scenario: Scenario, step: int) -> str:
    return f"{scenario.time.start + timedelta(hours=step * scenario.time.dt_h):%Y-%m-%d %H:%M}"


def _rows(
    event: Event, scenario: Scenario, feeder: Feeder, where: str, problems: list[str]
) -> Int[np.ndarray, " some"]:
    """The limits that an event is about: by name, by element both ways, or all of a kind.

    A signal to an element is about what is drawn through it; a rating holds both ways.
    """
    limits = feeder.limits
    ids, forward = limits.element_ids, limits.sense > 0
    found: list[int] = []
    for name in event.elements:
        if name in _ALL:
            rows = [row for row, element in enumerate(limits.element) if element == _ALL[name]]
        else:
            rows = [row for row, of in enumerate(ids) if of == name]
        if event.kind == "signal":
            rows = [row for row in rows if forward[row]]
        if name in limits.names:
            rows = [*rows, limits.names.index(name)]
        rows = [row for row in rows if limits.element[row] != "bus"]
        if not rows:
            problems.append(f"{where}.element: got {name!r}, {_missing(name, scenario, feeder)}")
        found += rows
    return np.unique(np.array(found, dtype=np.int64))


def _missing(name: str, scenario: Scenario, feeder: Feeder) -> str:
    """Why an event finds no limit under a name, and what would help."""
    limits = feeder.limits
    flows = [(of, kind) for of, kind in zip(limits.names, limits.element, strict=True) if kind != "bus"]
    kinds = {kind for _, kind in flows}
    words = [word for word, kind in _ALL.items() if kind in kinds]
    is_line = name == "all lines" or name in {f"Line-{i}" for i in feeder.lines.index}
    is_trafo = name == "all transformers" or name in {f"Trafo-{i}" for i in feeder.trafos.index}
    none_is = "of which none is a limit" if name in _ALL else "which is no limit"
    if is_line and scenario.limits.lines != "all":
        why = f'{none_is}; set limits.lines = "all"'
    elif is_trafo and not scenario.limits.transformers:
        why = f"{none_is}; set limits.transformers = true"
    else:
        why = f"which is no transformer or line with a limit in {feeder.source}"
    names = [of for of, _ in flows]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    there_are = ", ".join([*words, *names[:_MOST_NAMED]]) + more if names else "none"
    guess = near_matches(name, [*words, *names])
    return f"{why}. Limits that an event may name: {there_are}.{guess}"


def _steps(event: Event, scenario: Scenario, where: str, problems: list[str]) -> tuple[int, int]:
    """First step and the first one after an event; a step that it touches counts, and the run ends it."""
    time = scenario.time
    begin_h = _hours(event.begin, time.start)
    end_h = time.hours if event.end is None else _hours(event.end, time.start)
    stop = time.start + timedelta(hours=time.hours)
    run = f"the run, from {time.start:%Y-%m-%d %H:%M} to {stop:%Y-%m-%d %H:%M}"
    if not 0.0 <= begin_h < time.hours:
        remedy = "lengthen time.hours" if begin_h > 0.0 else "let the run begin earlier"
        problems.append(
            f"{where}.begin: got {time.start + timedelta(hours=begin_h):%Y-%m-%d %H:%M}, expected a time "
            f"within {run}; {remedy}, or move the event or leave it out"
        )
        return 0, 0
    if end_h <= begin_h:
        problems.append(f"{where}.end: got {end_h:g} h after the start, expected more than {begin_h:g} h")
    end_h = min(end_h, time.hours)
    # rounded: 1.1 / 0.1 is a little more than 11
    return int(np.floor(round(begin_h / time.dt_h, 9))), int(np.ceil(round(end_h / time.dt_h, 9)))


def _hours(at: float | datetime, start: datetime) -> float:
    return (at - start) / timedelta(hours=1) if isinstance(at, datetime) else float(at)


def _refuse_overlap(
    lowered: list[Lowered],
    rows: Int[np.ndarray, " some"],
    start: int,
    stop: int,
    feeder: Feeder,
    where: str,
    problems: list[str],
) -> None:
    for earlier in lowered:
        both = np.intersect1d(earlier.rows, rows)
        if both.size and start < earlier.stop and earlier.start < stop:
            problems.append(
                f"{where}: a second signal to {feeder.limits.names[both[0]]} at the same time, expected one"
            )


def _factor(event: Event, scenario: Scenario, start: int, stop: int) -> Float[np.ndarray, " steps"]:
    time = scenario.time
    if event.source is None:
        return np.full(stop - start, float(event.share or 0.0))
    return rating_factor(
        Path(event.source),
        start=time.start + timedelta(hours=start * time.dt_h),
        n_steps=stop - start,
        dt_h=time.dt_h,
        clock=Clock.of(time.timezone),
    )
