"""The limits of a scenario: what its section `limits` asks for, on its network and with its homes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from grid_cosim.errors import ScenarioError
from grid_cosim.events import moving_limits, switched_feeders
from grid_cosim.feeder import Feeder, choose_power_flow
from grid_cosim.feeder.choice import candidates, counting, kept
from grid_cosim.feeder.limits import LimitChoice, aligned
from grid_cosim.feeder.network import Later
from grid_cosim.feeder.switching import changes, described, moved_homes
from grid_cosim.fleet import Fleet
from grid_cosim.optimum.schedule import net_power
from grid_cosim.scenario import Scenario
from grid_cosim.scenario.grid import Limits as LimitsSection

_ONLY_CONSUMING = frozenset({"deferrable", "heat_pump", "water_heater"})
"""Kinds of devices of which it is known that they never generate."""


def with_limits(scenario: Scenario, feeder: Feeder, draw: Callable[[Scenario, Feeder], Fleet]) -> Feeder:
    """The feeder with the limits that the scenario asks for, and as its events switch it.

    `draw` draws the scenario's homes if needed. What comes near its limit, or near what events leave of it,
    is found by an AC power flow of all steps without control. However it is switched, the limits are the
    same; behind some nobody is then. Raises `ScenarioError` where nothing is left to keep, or for events that
    cannot be.
    """
    settings, as_loaded = scenario.limits, replace(feeder, later=())
    periods = switched_feeders(scenario, as_loaded)
    per_phase = feeder.home_phase is not None
    if per_phase and (settings.voltage != "none" or settings.reverse is True):
        raise ScenarioError(
            scenario.source,
            [
                "limits: per phase only the flow through transformers and lines to the homes is limited; "
                "leave voltage and reverse out, or set feeder.unbalanced = false"
            ],
        )
    choice = _choice(settings)
    both_ways = not per_phase and (
        settings.reverse is True or (settings.reverse == "auto" and _may_generate(scenario, feeder))
    )
    if settings.only_transformers and not both_ways:
        return _one_after_the_other(scenario, as_loaded, periods)
    periods = _with_same_limits(
        [(steps, candidates(at, choice, both_ways=both_ways)) for steps, at in periods]
    )
    fleet = draw(scenario, feeder) if both_ways or "near" in (settings.lines, settings.voltage) else None
    run = None if fleet is None else _FreeRun.of(fleet)
    keep = np.logical_or.reduce([_counting(scenario, choice, run, steps, at) for steps, at in periods])
    if not keep.any():
        raise ScenarioError(
            scenario.source,
            [
                f"limits: nothing comes above {settings.near_percent:g} % of its limit without control, so "
                "there is no limit to keep; lower near_percent, or set transformers = true"
            ],
        )
    every = [(steps, kept(at, choice, keep)) for steps, at in periods]
    return _one_after_the_other(scenario, as_loaded, every)


def _choice(settings: LimitsSection) -> LimitChoice:
    return LimitChoice(
        transformers=settings.transformers,
        lines=settings.lines,
        voltage=settings.voltage,
        line_share=settings.line_share,
        vm_min_pu=settings.vm_min_pu + settings.vm_margin_pu,
        vm_max_pu=settings.vm_max_pu - settings.vm_margin_pu,
        near_percent=settings.near_percent,
        reverse=settings.reverse,
    )


_Period = tuple[range, Feeder]
"""Control steps, and how the feeder is switched in them."""


def _with_same_limits(periods: Sequence[_Period]) -> list[_Period]:
    every = aligned([feeder.limits for _, feeder in periods])
    return [(steps, replace(at, limits=limits)) for (steps, at), limits in zip(periods, every, strict=True)]


def _one_after_the_other(scenario: Scenario, as_loaded: Feeder, periods: Sequence[_Period]) -> Feeder:
    """The feeder of the first period, with those of the later ones, and notes of what is switched."""
    (_, first), *others = _with_same_limits(periods)
    moved = changes(as_loaded, first)
    if moved:
        first = replace(first, notes=(*first.notes, f"from the start on {described(moved)}"))
    before, later = first, []
    for steps, at in others:
        when = scenario.time.times()[steps.start]
        n_homes = moved_homes(before, at)
        note = (
            f"from {when:%Y-%m-%d %H:%M} on {described(changes(before, at))}: "
            f"{n_homes} {'home is' if n_homes == 1 else 'homes are'} behind other limits than before"
        )
        only_then = [f"from then on {text}" for text in at.notes if text not in first.notes]
        later.append(Later(steps.start, at, (note, *only_then)))
        before = at
    return replace(first, later=tuple(later))


class _FreeRun(NamedTuple):
    """What homes draw without control, and the least that they may draw."""

    p_kw: Float[np.ndarray, "steps households"]
    q_kvar: Float[np.ndarray, "steps households"]
    lowest_kw: Float[np.ndarray, "steps households"]

    @classmethod
    def of(cls, fleet: Fleet) -> _FreeRun:
        powers_kw, lowest_kw = fleet.uncontrolled_run()
        return cls(*net_power(fleet, powers_kw), lowest_kw)


def _counting(
    scenario: Scenario, choice: LimitChoice, run: _FreeRun | None, steps: range, feeder: Feeder
) -> Bool[np.ndarray, " limits"]:
    """Which candidates count by what happens in some control steps."""
    n_limits = feeder.limits.n_limits
    peak_percent, can_reverse = np.zeros(n_limits), np.zeros(n_limits, dtype=bool)
    if run is not None:
        usable = _least_share(scenario, feeder, steps)
        quarters = scenario.time.quarters()[steps.start : steps.stop]
        of = _FreeRun(*(part[steps.start : steps.stop] for part in run))
        if (feeder.limits.sense < 0).any():
            can_reverse = _can_reverse(scenario, feeder, of.lowest_kw, quarters, usable)
        if "near" in (choice.lines, choice.voltage):
            peak_percent = _peak_percent(scenario, feeder, of, quarters) / usable
    return counting(feeder.limits, choice, peak_percent=peak_percent, can_reverse=can_reverse)


def _may_generate(scenario: Scenario, feeder: Feeder) -> bool:
    """Whether anything of the scenario might feed in: what is known only to consume spares a look."""
    if any(kind not in _ONLY_CONSUMING for kind in scenario.devices):
        return True
    return any((feeder.background.at(quarter)[0] < 0.0).any() for quarter in scenario.time.quarters())


def _least_share(scenario: Scenario, feeder: Feeder, steps: range) -> Float[np.ndarray, " limits"]:
    """The least that events leave of every limit in any of the steps, as a share of it."""
    moving = moving_limits(scenario, feeder)
    least = np.full(feeder.limits.n_limits, np.inf)
    if moving is None:
        return np.ones_like(least)
    for step in steps:
        least = np.minimum(least, moving.at(step))
    return np.asarray(least / feeder.limits.limit_percent)


def _can_reverse(
    scenario: Scenario,
    feeder: Feeder,
    lowest_kw: Float[np.ndarray, "steps households"],
    quarters: Sequence[int],
    usable: Float[np.ndarray, " limits"],
) -> Bool[np.ndarray, " limits"]:
    """Whether generation can come near a limit against it, if all homes draw the least that they may."""
    limits = feeder.limits
    background = (feeder.background_on_limits_kw(quarter) for quarter in quarters)
    largest_kw = np.full(limits.n_limits, -np.inf)
    for home_kw, besides_kw in zip(lowest_kw, background, strict=True):
        largest_kw = np.maximum(largest_kw, limits.coupling @ home_kw + besides_kw)
    near_kw = scenario.limits.near_percent / 100.0 * limits.first_limit_kw() * usable
    return np.asarray((limits.sense < 0) & (largest_kw >= near_kw))


def _peak_percent(
    scenario: Scenario,
    feeder: Feeder,
    run: _FreeRun,
    quarters: Sequence[int],
) -> Float[np.ndarray, " limits"]:
    """Largest AC loading of every limit over all steps, of what may be used of it."""
    chosen = choose_power_flow(feeder, scenario.power_flow.solver)
    at_buses = feeder.connected
    peak_percent, solved = np.zeros(feeder.limits.n_limits), False
    for at in chosen.power_flow.solve_all(
        bus_p_kw=run.p_kw @ at_buses, bus_q_kvar=run.q_kvar @ at_buses, steps=quarters
    ):
        # without a solution the demand is far beyond the limits: the steps around it say which
        peak_percent = np.fmax(peak_percent, at.limit_loading_percent)
        solved = solved or bool(np.isfinite(at.limit_loading_percent).any())
    if not solved:
        raise ScenarioError(
            scenario.source,
            [
                "limits: no step of the run without control has an AC solution, so nobody knows what comes "
                'near its limit; set "all" in place of "near", or lower the load or the share of devices'
            ],
        )
    return np.asarray(100.0 * peak_percent / feeder.limits.limit_percent)
