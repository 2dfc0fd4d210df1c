"""The limits of a scenario: what its section `limits` asks for, on its network and with its homes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array

from grid_cosim.errors import ScenarioError
from grid_cosim.events import moving_limits
from grid_cosim.feeder import Feeder, choose_power_flow
from grid_cosim.feeder.choice import LimitChoice, candidates, kept
from grid_cosim.fleet import Fleet
from grid_cosim.optimum.schedule import net_power
from grid_cosim.scenario import Scenario

_ONLY_CONSUMING = frozenset({"deferrable", "heat_pump", "water_heater"})
"""Kinds of devices of which it is known that they never generate."""


def with_limits(scenario: Scenario, feeder: Feeder, draw: Callable[[Scenario, Feeder], Fleet]) -> Feeder:
    """The feeder with the limits that the scenario asks for; `draw` draws the scenario's homes if needed.

    What comes near its limit, or near what events leave of it, is found by an AC power flow of all steps
    without control. Raises `ScenarioError` where nothing is left to keep.
    """
    settings = scenario.limits
    per_phase = feeder.home_phase is not None
    if per_phase and (settings.voltage != "none" or settings.reverse is True):
        raise ScenarioError(
            feeder.source,
            [
                "limits: per phase only the flow through transformers and lines to the homes is limited; "
                "leave voltage and reverse out, or set feeder.unbalanced = false"
            ],
        )
    choice = LimitChoice(
        transformers=settings.transformers,
        lines=settings.lines,
        voltage=settings.voltage,
        line_share=settings.line_share,
        vm_min_pu=settings.vm_min_pu + settings.vm_margin_pu,
        vm_max_pu=settings.vm_max_pu - settings.vm_margin_pu,
        near_percent=settings.near_percent,
        reverse=settings.reverse,
    )
    both_ways = not per_phase and (
        settings.reverse is True or (settings.reverse == "auto" and _may_generate(scenario, feeder))
    )
    if settings.only_transformers and not both_ways:
        return feeder
    feeder = candidates(feeder, choice, both_ways=both_ways)
    n_limits = feeder.limits.n_limits
    peak_percent, can_reverse = np.zeros(n_limits), np.zeros(n_limits, dtype=bool)
    if both_ways or "near" in (settings.lines, settings.voltage):
        usable = _least_share(scenario, feeder)
        fleet = draw(scenario, feeder)
        powers_kw, lowest_kw = fleet.uncontrolled_run()
        if both_ways:
            can_reverse = _can_reverse(scenario, feeder, lowest_kw, usable)
        if "near" in (settings.lines, settings.voltage):
            peak_percent = _peak_percent(scenario, feeder, *net_power(fleet, powers_kw)) / usable
    found = kept(feeder, choice, peak_percent=peak_percent, can_reverse=can_reverse)
    if found.limits.n_limits == 0:
        raise ScenarioError(
            feeder.source,
            [
                f"limits: nothing comes above {settings.near_percent:g} % of its limit without control, so "
                "there is no limit to keep; lower near_percent, or set transformers = true"
            ],
        )
    return found


def _may_generate(scenario: Scenario, feeder: Feeder) -> bool:
    """Whether anything of the scenario might feed in: what is known only to consume spares a look."""
    if any(kind not in _ONLY_CONSUMING for kind in scenario.devices):
        return True
    return any((feeder.background.at(quarter)[0] < 0.0).any() for quarter in scenario.time.quarters())


def _least_share(scenario: Scenario, feeder: Feeder) -> Float[np.ndarray, " limits"]:
    """The least that events leave of every limit in any step, as a share of it."""
    moving = moving_limits(scenario, feeder)
    least = np.full(feeder.limits.n_limits, np.inf)
    if moving is None:
        return np.ones_like(least)
    for step in range(scenario.time.n_steps):
        least = np.minimum(least, moving.at(step))
    return np.asarray(least / feeder.limits.limit_percent)


def _can_reverse(
    scenario: Scenario,
    feeder: Feeder,
    lowest_kw: Float[np.ndarray, "steps households"],
    usable: Float[np.ndarray, " limits"],
) -> Bool[np.ndarray, " limits"]:
    """Whether generation can come near a limit against it, if all homes draw the least that they may."""
    limits = feeder.limits
    background = (feeder.background_on_limits_kw(quarter) for quarter in scenario.time.quarters())
    largest_kw = np.full(limits.n_limits, -np.inf)
    for home_kw, besides_kw in zip(lowest_kw, background, strict=True):
        largest_kw = np.maximum(largest_kw, limits.coupling @ home_kw + besides_kw)
    near_kw = scenario.limits.near_percent / 100.0 * limits.first_limit_kw() * usable
    return np.asarray((limits.sense < 0) & (largest_kw >= near_kw))


def _peak_percent(
    scenario: Scenario,
    feeder: Feeder,
    p_kw: Float[np.ndarray, "steps households"],
    q_kvar: Float[np.ndarray, "steps households"],
) -> Float[np.ndarray, " limits"]:
    """Largest AC loading of every limit over all steps, of what may be used of it."""
    chosen = choose_power_flow(feeder, scenario.power_flow.solver)
    at_buses = csr_array(
        (np.ones(feeder.n_households), (np.arange(feeder.n_households), feeder.home_connection)),
        shape=(feeder.n_households, feeder.connection_buses.size),
    )
    steps = scenario.time.quarters()
    peak_percent, solved = np.zeros(feeder.limits.n_limits), False
    for at in chosen.power_flow.solve_all(
        bus_p_kw=p_kw @ at_buses, bus_q_kvar=q_kvar @ at_buses, steps=steps
    ):
        # without a solution the demand is far beyond the limits: the steps around it say which
        peak_percent = np.fmax(peak_percent, at.limit_loading_percent)
        solved = solved or bool(np.isfinite(at.limit_loading_percent).any())
    if not solved:
        raise ScenarioError(
            feeder.source,
            [
                "limits: no step of the run without control has an AC solution, so nobody knows what comes "
                'near its limit; set "all" in place of "near", or lower the load or the share of devices'
            ],
        )
    return np.asarray(100.0 * peak_percent / feeder.limits.limit_percent)
