"""Who is behind which limit and who decides, as a scenario is switched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from grid_cosim import optimum
from grid_cosim.coordination import Copies
from grid_cosim.coordination.meters import Meters
from grid_cosim.deciding import deciding
from grid_cosim.errors import CosimError
from grid_cosim.feeder import Feeder, Gauges
from grid_cosim.feeder.switching import reswitched
from grid_cosim.fleet import Fleet
from grid_cosim.moving import MovingLimits
from grid_cosim.neighbourhood import Arrangement
from grid_cosim.scenario import WITH_MARGIN, ControllerName, Scenario


def arrangements(
    scenario: Scenario,
    feeder: Feeder,
    controller: ControllerName,
    fleet: Fleet,
    moving: MovingLimits | None,
) -> list[Arrangement]:
    """One for every way in which the feeder is switched, in the order of time."""
    if controller == "optimum":
        return _planned(scenario, feeder, fleet, moving)
    periods = feeder.periods(scenario.time.n_steps)
    return [_arrangement(scenario, at, controller, steps.start) for steps, at in periods]


class Rearranging:
    """Makes the arrangements for what others open and close during a run, each once."""

    def __init__(self, scenario: Scenario, feeder: Feeder, controller: ControllerName) -> None:
        self._scenario, self._feeder, self._controller = scenario, feeder, controller
        self._made: dict[tuple[int, frozenset[tuple[str, bool]]], Arrangement] = {}

    def __call__(self, step: int, closed: Mapping[str, bool]) -> Arrangement:
        """That from a step on, with what is planned for it and not closed or opened by others."""
        if self._controller == "optimum":
            raise CosimError(
                "HouseholdSim",
                "the optimum was scheduled before the run, and others have switched in the grid since",
                remedy="Make it an event of the scenario, of kind switch, or choose another controller",
            )
        planned = self._feeder.at(step)
        key = (id(planned), frozenset(closed.items()))
        if key not in self._made:
            at = reswitched(planned, closed)
            self._made[key] = _arrangement(self._scenario, at, self._controller, step)
        return replace(self._made[key], start=step)


def _arrangement(scenario: Scenario, feeder: Feeder, controller: ControllerName, start: int) -> Arrangement:
    copies = Copies.of(feeder.limits.coupling, feeder.limits.level)
    meters = _meters(feeder, scenario, controller, start)
    decides = deciding(controller, scenario, feeder=feeder, copies=copies, meters=meters)
    return Arrangement(start, copies, meters, decides, Gauges.of(feeder.limits))


def _planned(
    scenario: Scenario, feeder: Feeder, fleet: Fleet, moving: MovingLimits | None
) -> list[Arrangement]:
    """Those of the optimum, which share its schedule."""
    periods = feeder.periods(scenario.time.n_steps)
    copies = [Copies.of(at.limits.coupling, at.limits.level) for _, at in periods]
    meters = [_meters(at, scenario, "optimum", steps.start) for steps, at in periods]
    steps = range(fleet.n_steps)
    schedule = optimum.ac_schedule(
        fleet,
        optimum.Couplings(tuple(of.start for of, _ in periods), tuple(each.coupling for each in copies)),
        meters,
        optimum.by_power_flow(feeder, scenario.time.quarters(), solver=scenario.power_flow.solver),
        limit_percent=None if moving is None else np.stack([moving.at(step) for step in steps]),
    )
    return [
        Arrangement(of.start, behind, known, optimum.Scheduled(behind, schedule), Gauges.of(at.limits))
        for (of, at), behind, known in zip(periods, copies, meters, strict=True)
    ]


def _meters(feeder: Feeder, scenario: Scenario, controller: ControllerName, step: int) -> Meters:
    limits, quarter = feeder.limits, scenario.time.quarters()[step]
    return Meters(
        feeder.first_limit_kw(),
        limits.limit_percent,
        first_background_kw=feeder.background_on_limits_kw(quarter),
        # a voltage's kW are counted from the voltage itself: no curve between them
        curvature=np.where(limits.is_voltage, 0.0, Meters.curvature),
        loss_share=np.where(limits.is_voltage, 0.0, Meters.loss_share),
        margin=scenario.coordination.margin if controller in WITH_MARGIN else 0.0,
    )
