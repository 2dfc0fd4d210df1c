"""The optimum on a feeder: a limit is a loading in an AC power flow, not a number of kilowatts.

Solve with an estimate of what each limit's members may draw in every step, solve the AC power flow of all
steps, correct the estimate as the meters of a run do, and solve again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array

from grid_cosim.coordination.meters import Meters, MeterState
from grid_cosim.feeder import Feeder, Solver, choose_power_flow
from grid_cosim.fleet import Fleet
from grid_cosim.optimum.parts import Couplings
from grid_cosim.optimum.problem import FleetProblem
from grid_cosim.optimum.schedule import Schedule, net_power

_CLOSE_PERCENT = 0.05
"""As near to its limit, in points of loading, a limited element must come where it has a price."""
_PRICED_EUR_PER_KWH = 1e-4
"""Below this a price is the solver's rounding, and what the limit still leaves is worth nothing."""
_UNKEPT_KW = 1e-3
"""Above this the excess over a capacity is more than the solver's rounding: the limit cannot be kept."""
_MOST_SOLVES = 4


class Measured(NamedTuple):
    """What the limited elements carry in every step; NaN where the power flow has no solution."""

    p_kw: Float[np.ndarray, "steps limits"]
    loading_percent: Float[np.ndarray, "steps limits"]


Measure = Callable[[Float[np.ndarray, "steps households"], Float[np.ndarray, "steps households"]], Measured]
"""Of the households' net power in all steps, kW and kvar."""


def by_power_flow(feeder: Feeder, quarters: Sequence[int], *, solver: Solver = "auto") -> Measure:
    """Measure by AC power flow; `quarters` of the year say for every step what the other loads draw."""
    periods = feeder.periods(len(quarters))
    solvers = [choose_power_flow(at, solver).power_flow for _, at in periods]
    at_point = feeder.connected

    def measure(
        p_kw: Float[np.ndarray, "steps households"], q_kvar: Float[np.ndarray, "steps households"]
    ) -> Measured:
        limits = []
        for (steps, _), power_flow in zip(periods, solvers, strict=True):
            of = slice(steps.start, steps.stop)
            solved = power_flow.solve_all(
                bus_p_kw=p_kw[of] @ at_point, bus_q_kvar=q_kvar[of] @ at_point, steps=quarters[of]
            )
            limits += [(at.limit_p_kw, at.limit_loading_percent) for at in solved]
        return Measured(*(np.stack(of_steps) for of_steps in zip(*limits, strict=True)))

    return measure


def ac_schedule(
    fleet: Fleet,
    couplings: Couplings | csr_array,
    meters: Meters | Sequence[Meters],
    measure: Measure,
    *,
    limit_percent: Float[np.ndarray, "steps limits"] | None = None,
) -> Schedule:
    """The optimum of a fleet whose loading keeps the limits of the meters, or `limit_percent` if they move.

    Where `couplings` are those of several periods, there are as many `meters`.
    Until every element with a price is within 0.05 points of its limit, four solves at the most; what is
    missed then is told in `missed_percent`. The first estimate is read off the power flow of the fleet
    without control. Raises `OptimumError` for devices
    without a convex model.
    """
    if not isinstance(couplings, Couplings):
        couplings = Couplings.always(couplings)
    problem = FleetProblem(fleet, couplings)
    each = [meters] if isinstance(meters, Meters) else meters
    periods = zip(each, couplings.periods(fleet.n_steps), strict=True)
    at = [of for of, (steps, _) in periods for _ in steps]
    percent = np.stack([of.limit_percent for of in at]) if limit_percent is None else limit_percent
    unloaded_kw = np.stack(
        [
            of.first_limit_kw * (now / of.limit_percent) - of.first_background_kw
            for of, now in zip(at, percent, strict=True)
        ]
    )

    def learn(
        powers_kw: Sequence[Float[np.ndarray, "steps _devices"]], known_kw: Float[np.ndarray, "steps limits"]
    ) -> tuple[Float[np.ndarray, "steps limits"], Float[np.ndarray, "steps limits"]]:
        """What members may draw, as the meters conclude, and how far the loading is beyond the limits."""
        p_kw, q_kvar = net_power(fleet, powers_kw)
        members_kw = couplings.behind(p_kw)
        measured = measure(p_kw, q_kvar)
        learned_kw = members_kw + _headroom(at, measured, known_kw - members_kw, percent)
        return learned_kw, measured.loading_percent - percent

    capacity_kw, _ = learn(fleet.uncontrolled_run()[0], unloaded_kw)
    schedule = problem.solve(capacity_kw)
    while True:
        learned_kw, beyond_percent = learn(schedule.powers_kw, capacity_kw)
        misses = _misses(schedule, beyond_percent)
        if not misses.any():
            return schedule
        if schedule.solves >= _MOST_SOLVES:
            return replace(schedule, missed_percent=float(np.abs(beyond_percent[misses]).max()))
        capacity_kw = np.where(misses.any(axis=0), learned_kw, capacity_kw)
        schedule = problem.solve(capacity_kw)


def _misses(
    schedule: Schedule, beyond_percent: Float[np.ndarray, "steps limits"]
) -> Bool[np.ndarray, "steps limits"]:
    """Where a limit that can be kept is not, or has a price though something is left of it."""
    above = (beyond_percent > _CLOSE_PERCENT) & (schedule.excess_kw < _UNKEPT_KW)
    below = (beyond_percent < -_CLOSE_PERCENT) & (schedule.price_eur_per_kwh > _PRICED_EUR_PER_KWH)
    return np.asarray(above | below)


def _headroom(
    meters: Sequence[Meters],
    measured: Measured,
    known_kw: Float[np.ndarray, "steps limits"],
    limit_percent: Float[np.ndarray, "steps limits"],
) -> Float[np.ndarray, "steps limits"]:
    """What the meters of every step say; as `known_kw` where there is no solution to measure."""
    headroom_kw = np.empty_like(known_kw)
    for step, (p_kw, loading_percent) in enumerate(zip(*measured, strict=True)):
        before = MeterState(known_kw[step], p_kw)
        headroom_kw[step] = (
            meters[step]
            .update(
                before,
                measured_kw=p_kw,
                loading_percent=loading_percent,
                limit_percent=limit_percent[step],
            )
            .headroom_kw
        )
    return headroom_kw
