"""Who is behind which limit and who decides, as a scenario is switched: meters, controllers, graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from grid_cosim import optimum
from grid_cosim.controllers import (
    Controller,
    Dimming,
    Independent,
    Priced,
    TimeOfUse,
    Uncontrolled,
    own_feed_in_shares,
    own_shares,
)
from grid_cosim.coordination import (
    CommunicationGraph,
    Copies,
    CurveStep,
    DualStep,
    ExactStep,
    FreshMixing,
    GradientStep,
    LinkOutage,
    NewtonStep,
    TrackedMixing,
    bounds,
    communication,
    price_grid,
    read_edge_list,
)
from grid_cosim.coordination.meters import Meters
from grid_cosim.errors import CosimError
from grid_cosim.feeder import Feeder, Gauges
from grid_cosim.feeder.switching import reswitched
from grid_cosim.fleet import Fleet
from grid_cosim.moving import MovingLimits
from grid_cosim.neighbourhood import Arrangement
from grid_cosim.scenario import ControllerName, Coordination, Scenario
from grid_cosim.tariff import share_of_steps

_WITH_MARGIN: tuple[ControllerName, ...] = ("consensus", "centralised")


def arrangements(
    scenario: Scenario,
    feeder: Feeder,
    controller: ControllerName,
    fleet: Fleet,
    moving: MovingLimits | None,
    *,
    schedule: optimum.Schedule | None = None,
) -> list[Arrangement]:
    """One for every way in which the feeder is switched, in the order of time.

    `schedule` is the optimum's, if it has been found before.
    """
    if controller == "optimum":
        return _planned(scenario, feeder, fleet, moving, schedule)
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
    decides = _controller(scenario, feeder, controller, copies, meters)
    return Arrangement(start, copies, meters, decides, Gauges.of(feeder.limits))


def _planned(
    scenario: Scenario,
    feeder: Feeder,
    fleet: Fleet,
    moving: MovingLimits | None,
    schedule: optimum.Schedule | None,
) -> list[Arrangement]:
    """Those of the optimum, which share its schedule."""
    periods = feeder.periods(scenario.time.n_steps)
    copies = [Copies.of(at.limits.coupling, at.limits.level) for _, at in periods]
    meters = [_meters(at, scenario, "optimum", steps.start) for steps, at in periods]
    steps = range(fleet.n_steps)
    schedule = schedule or optimum.ac_schedule(
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
        margin=scenario.coordination.margin if controller in _WITH_MARGIN else 0.0,
    )


def _controller(
    scenario: Scenario,
    feeder: Feeder,
    controller: ControllerName,
    copies: Copies,
    meters: Meters,
) -> Controller:
    settings = scenario.coordination
    prices = price_grid(
        settings.largest_price_eur_per_kwh,
        n_prices=settings.n_prices,
        smallest=settings.smallest_price_eur_per_kwh,
    )
    match controller:
        case "uncontrolled":
            return Uncontrolled(copies)
        case "independent":
            members_kw = meters.first_limit_kw - _largest_background_kw(scenario, feeder)
            members_kw = np.maximum(members_kw, 0.0)
            shares_kw, feed_in_kw = own_shares(copies, members_kw), own_feed_in_shares(copies, members_kw)
            return Independent(copies, shares_kw, prices, feed_in_kw)
        case "consensus":
            graph = _graph(settings, feeder, copies, seed=scenario.seed)
            return Priced(copies, _dual_step(settings, graph, prices), scenario.seed)
        case "centralised":
            return Priced(copies, ExactStep(copies, settings.largest_price_eur_per_kwh), scenario.seed)
        case "dimming":
            return Dimming(copies, scenario.dimming.power_kw)
        case "time_of_use":
            return TimeOfUse(copies, _surcharge(scenario))
        case "optimum":
            raise AssertionError("one schedule for all arrangements: `_planned`")


def _surcharge(scenario: Scenario) -> Float[np.ndarray, "steps"]:
    """What `time_of_use` asks for on top of the tariff in every step."""
    time, rate = scenario.time, scenario.time_of_use
    share = share_of_steps(
        rate.from_hour, rate.to_hour, start_hour=time.start_hour, n_steps=time.n_steps, dt_h=time.dt_h
    )
    return share * rate.surcharge_eur_per_kwh


def _largest_background_kw(scenario: Scenario, feeder: Feeder) -> np.ndarray:
    """The most that other loads draw behind each limit within the horizon; shares are set beforehand."""
    first, quarters = scenario.time.first_quarter, max(1, round(4 * scenario.time.hours))
    drawn_kw = feeder.background_on_limits_over_kw(np.arange(first, first + quarters))
    return np.asarray(np.maximum(drawn_kw.max(axis=1), 0.0))


def _graph(settings: Coordination, feeder: Feeder, copies: Copies, *, seed: int) -> CommunicationGraph:
    """Who talks to whom; `edges` is read for the graph of that name only."""
    listed = settings.graph == "edges" and settings.edges is not None
    return communication(
        copies,
        settings.graph,
        seed=seed,
        degree=settings.degree,
        rewiring=settings.rewiring,
        cables=feeder.cable_graph,
        edges=read_edge_list(Path(str(settings.edges))) if listed else None,
        names=feeder.home_names,
        limit_names=feeder.limits.names,
    )


def _dual_step(settings: Coordination, graph: CommunicationGraph, prices: np.ndarray) -> DualStep:
    outage = LinkOutage(settings.link_outage) if settings.link_outage else None
    mixing = (
        TrackedMixing(_startup_rounds(settings, graph)) if settings.mixing == "tracked" else FreshMixing()
    )
    match settings.dual_step:
        case "curve":
            return CurveStep(
                graph,
                prices,
                rounds=settings.rounds,
                sweeps=settings.iterations,
                mixing=mixing,
                outage=outage,
                accelerated=settings.accelerated,
            )
        case "newton":
            return NewtonStep(
                graph,
                largest_price=settings.largest_price_eur_per_kwh,
                smallest_price=settings.smallest_price_eur_per_kwh,
                rounds=settings.rounds,
                dual_iterations=settings.iterations,
                mixing=mixing,
                outage=outage,
                accelerated=settings.accelerated,
            )
        case "gradient":
            return GradientStep(
                graph,
                dual_step=settings.gradient_step,
                rounds=settings.rounds,
                dual_iterations=settings.iterations,
                startup_rounds=settings.startup_rounds or 0,
                outage=outage,
            )


def _startup_rounds(settings: Coordination, graph: CommunicationGraph) -> int:
    if settings.startup_rounds is not None:
        return settings.startup_rounds
    accelerated = settings.accelerated and not settings.link_outage
    return bounds.cold_start_rounds(graph, accelerated=accelerated)
