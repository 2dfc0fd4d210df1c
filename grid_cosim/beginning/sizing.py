"""How many homes get a car and a heat pump, so that a network's evening is hard, and can be managed.

Hard: without control some limit is overloaded by a fifth or more, by what is drawn in kW; AC comes near that.
To be managed: what is asked for within any twelve hours fits through every limit, with room to spare, and so
does at any time what is neither a car's nor a heat pump's; only when the rest is drawn has to change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from grid_cosim.assembly import scenario_fleet
from grid_cosim.feeder import Feeder, choose_power_flow
from grid_cosim.fleet import Fleet
from grid_cosim.optimum.schedule import net_power
from grid_cosim.scenario import Scenario

HARD = 1.2
"""Least peak, per limit, that makes a study."""
MANAGEABLE = 0.85
"""Most, per limit, that may be asked for within `WINDOW_H` hours, and at any time by all but cars and heat
pumps."""
WINDOW_H = 12.0
_PEAK = 1.3
"""Peak for which the limit is lowered where nothing else makes one hard."""
_LADDER = ((0.2, 0.1), (0.4, 0.2), (0.6, 0.3), (0.6, 0.5), (0.8, 0.6), (1.0, 0.8), (1.0, 1.0))
"""Shares of homes with a car and with a heat pump, from few to all."""
_USUAL = 2
"""Place in the ladder of what is taken first where the limit has to give."""
_TOO_HARD = 2.0
"""Peak, per limit, beyond which the estimate has missed something."""
LOWEST_VM_PU = 0.9
"""Lower end of the voltage band (EN 50160), as `limits.vm_min_pu` unless set."""
_STEPS = 20
"""The limit's share is rounded up to a twentieth."""


@dataclass(frozen=True)
class Sizing:
    """What the scenario says, and what it does to the network without control."""

    car_share: float
    heat_pump_share: float | None
    """None where the network itself says who has one."""
    limit_share: float


@dataclass(frozen=True)
class FreeEvening:
    """The AC power flow of the run without control."""

    limit_percent: Float[np.ndarray, " limits"]
    """Highest loading of each limit, in percent of its rating; NaN if no step has a solution."""
    line_percent: Float[np.ndarray, " lines"]
    lowest_vm_pu: float
    unsolved_steps: int

    def doubts(self, limit_share: float) -> list[str]:
        """What somebody must know who runs a scenario in which transformers alone are limits."""
        over = int((self.line_percent > 100.0).sum())
        peak = float(np.nanmax(self.limit_percent)) / 100.0 / limit_share
        doubts = []
        if over:
            doubts.append(
                f"without control {over} of {len(self.line_percent)} lines come above their rating, up to "
                f"{np.nanmax(self.line_percent):.0f} %, and lines are no limits in this scenario: "
                'limits.lines = "near" makes limits of those'
            )
        if self.lowest_vm_pu < LOWEST_VM_PU:
            doubts.append(
                f"without control the voltage falls to {self.lowest_vm_pu:.3f} pu, and voltages are no "
                'limits in this scenario: limits.voltage = "near" makes limits of those near it'
            )
        if self.unsolved_steps:
            doubts.append(
                f"{self.unsolved_steps} steps without control have no AC solution and are left out: the "
                "demand is far beyond what the network carries"
            )
        if peak < 1.0:
            doubts.append(
                f"without control at most {peak:.0%} of a limit is used, so there is nothing to coordinate: "
                "lower feeder.limit_share as far as other loads leave room, or raise the shares in devices"
            )
        return doubts


class _Ratio(NamedTuple):
    """Of what the limits carry, by the worst of them."""

    peak: float
    mean: float
    """Of the worst `WINDOW_H` hours."""
    fed_in: float
    """Of generation, at its highest; below zero where there never is more than demand."""
    fixed: float
    """Of what cars and heat pumps have no part in, at its highest."""

    @property
    def limit_share(self) -> float:
        """The limit's share at which the peak is as wanted, and what is fed in, needed or fixed fits."""
        least = max(
            self.peak / _PEAK,
            self.mean / MANAGEABLE,
            self.fed_in / MANAGEABLE,
            self.fixed / MANAGEABLE,
            1.0 / _STEPS,
        )
        return math.ceil(_STEPS * least) / _STEPS


def sized(feeder: Feeder, everything: Scenario) -> Sizing:
    """Find shares and limit for a scenario in which every home has both a car and a heat pump.

    Where the network says who has a heat pump, `everything` has to say so, too, and it stays so. An
    estimate in kW, without another draw: a share of the homes is taken to draw that share of what all would.
    """
    fleet = scenario_fleet(everything, feeder)
    own_pumps = feeder.has_heat_pump is not None
    besides, car, pump, limit_kw = _on_limits(everything, feeder, fleet)
    window = max(1, round(WINDOW_H / fleet.dt_h))
    fixed = float((besides / limit_kw[:, None]).max())
    ratios = []
    for car_share, pump_share in _LADDER:
        drawn = besides + car_share * car + (1.0 if own_pumps else pump_share) * pump
        share = drawn / limit_kw[:, None]
        ratios.append(
            _Ratio(
                peak=float(share.max()),
                mean=float(_running_mean(share, window).max()),
                fed_in=-float(share.min()),
                fixed=fixed,
            )
        )

    def at(place: int, limit_share: float) -> Sizing:
        car_share, pump_share = _LADDER[place]
        return Sizing(car_share, None if own_pumps else pump_share, limit_share)

    for place, of in enumerate(ratios):
        if of.peak >= HARD and max(of.mean, of.fixed) <= MANAGEABLE:
            return at(place, 1.0)
    last = len(_LADDER) - 1
    for place in (last,) if ratios[last].peak < HARD else (_USUAL, 0):
        limit_share = ratios[place].limit_share
        if limit_share <= 1.0:
            break
    return at(place, limit_share)


def free_evening(feeder: Feeder, scenario: Scenario) -> FreeEvening:
    """Solve the run without control."""
    fleet = scenario_fleet(scenario, feeder)
    powers_kw, _ = fleet.uncontrolled_run()
    p_kw, q_kvar = net_power(fleet, powers_kw)
    limit = np.full(feeder.limits.n_limits, np.nan)
    line = np.full(len(feeder.lines), np.nan)
    lowest, unsolved = math.nan, 0
    for at in choose_power_flow(feeder).power_flow.solve_all(
        bus_p_kw=p_kw @ feeder.connected,
        bus_q_kvar=q_kvar @ feeder.connected,
        steps=scenario.time.quarters(),
    ):
        if not at.converged:
            unsolved += 1
            continue
        limit = np.fmax(limit, at.limit_loading_percent)
        line = np.fmax(line, at.line_loading_percent)
        lowest = float(np.fmin(lowest, np.nanmin(at.vm_pu)))
    return FreeEvening(limit, line, lowest, unsolved)


def corrected(sizing: Sizing, evening: FreeEvening) -> Sizing:
    """With a larger share of the limits where AC shows far more than was estimated, as generators make it."""
    peak = float(np.nanmax(evening.limit_percent)) / 100.0
    if peak <= _TOO_HARD * sizing.limit_share:
        return sizing
    return replace(sizing, limit_share=math.ceil(_STEPS * peak / _PEAK) / _STEPS)


def _on_limits(scenario: Scenario, feeder: Feeder, fleet: Fleet) -> tuple[Any, Any, Any, Any]:
    """KW on every limit and step: base load and the rest; cars; heat pumps; and what it carries."""
    coupling = feeder.limits.coupling
    powers_kw, _ = fleet.uncontrolled_run()
    besides = coupling @ fleet.base_kw.T
    besides += feeder.background_on_limits_over_kw(np.array(scenario.time.quarters()))
    of = {kind: np.zeros_like(besides) for kind in ("electric_vehicle", "heat_pump")}
    for group, drawn_kw in zip(fleet.groups, powers_kw, strict=True):
        load = coupling[:, group.household] @ drawn_kw.T
        if group.kind in of:
            of[group.kind] += load
        else:
            besides += load
    return besides, of["electric_vehicle"], of["heat_pump"], feeder.first_limit_kw()


def _running_mean(
    values: Float[np.ndarray, "limits steps"], window: int
) -> Float[np.ndarray, "limits windows"]:
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    window = min(window, values.shape[1])
    return (total[:, window:] - total[:, :-window]) / window
