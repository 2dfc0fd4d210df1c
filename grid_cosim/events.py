"""The events of a scenario: what moves which limits, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from grid_cosim.errors import ScenarioError, near_matches
from grid_cosim.feeder import Feeder
from grid_cosim.moving import Lowered, MovingLimits, Rated
from grid_cosim.profiles import rating_factor
from grid_cosim.scenario import Event, Scenario

_ALL = {"all transformers": "trafo", "all lines": "line"}


def moving_limits(scenario: Scenario, feeder: Feeder) -> MovingLimits | None:
    """What the scenario's events do to the limits of its feeder; None where there are no events.

    Raises `ScenarioError` with all problems: unknown elements, times outside of the horizon, signals to one
    element at one time.
    """
    if not scenario.events:
        return None
    problems: list[str] = []
    lowered: list[Lowered] = []
    rated: list[Rated] = []
    for k, event in enumerate(scenario.events):
        where = f"events.{k}"
        rows = _rows(event, feeder, where, problems)
        start, stop = _steps(event, scenario, where, problems)
        if stop <= start:
            continue
        if event.kind == "signal":
            _refuse_overlap(lowered, rows, start, stop, feeder, where, problems)
            lowered.append(Lowered(rows, start, stop, 100.0 * float(event.share or 0.0)))
        else:
            rated.append(Rated(rows, start, _factor(event, scenario, start, stop)))
    if problems:
        raise ScenarioError(feeder.source, problems)
    return MovingLimits(feeder.limits.limit_percent, tuple(lowered), tuple(rated))


def _rows(event: Event, feeder: Feeder, where: str, problems: list[str]) -> Int[np.ndarray, " some"]:
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
            known = [
                *_ALL,
                *(n for n, element in zip(limits.names, limits.element, strict=True) if element != "bus"),
            ]
            problems.append(
                f"{where}.element: got {name!r}, which is no transformer or line with a limit in "
                f"{feeder.source}.{near_matches(name, known)}"
            )
        found += rows
    return np.unique(np.array(found, dtype=np.int64))


def _steps(event: Event, scenario: Scenario, where: str, problems: list[str]) -> tuple[int, int]:
    """First step and the first one after an event; a step that it touches counts."""
    time = scenario.time
    begin_h = _hours(event.begin, time.start)
    end_h = time.hours if event.end is None else _hours(event.end, time.start)
    for name, hours in (("begin", begin_h), ("end", end_h)):
        if not 0.0 <= hours <= time.hours:
            problems.append(
                f"{where}.{name}: got {time.start + timedelta(hours=hours):%Y-%m-%d %H:%M}, expected a time "
                f"between {time.start:%Y-%m-%d %H:%M} and {time.times()[-1]:%Y-%m-%d %H:%M}, of the run"
            )
            return 0, 0
    if end_h <= begin_h:
        problems.append(f"{where}.end: got {end_h:g} h after the start, expected more than {begin_h:g} h")
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
    )
