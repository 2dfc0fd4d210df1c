"""The controllers that there are, and how each is made of a scenario.

`consensus`: the trained policies at a price on which neighbours agree (arXiv 2605.30461). The others are
what it is held against. Without a centre: `uncontrolled`, every device does what it likes; `independent`, the
policies with each household holding its own share of the limit; `time_of_use`, the policies at a price that
was fixed beforehand. With one: `dimming`, the grid operator cuts all devices alike; `centralised`, the
policies at the exact price. The schedule of `optimum` is made in `arranging`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float

from grid_cosim.controllers import Controller, Decision
from grid_cosim.coordination import (
    CommunicationGraph,
    Copies,
    CurveStep,
    DualState,
    DualStep,
    ExactStep,
    FreshMixing,
    GradientStep,
    LinkOutage,
    NewtonStep,
    TrackedMixing,
    bounds,
    communication,
    handed_over,
    own_share_price,
    price_grid,
    read_edge_list,
)
from grid_cosim.coordination.meters import Meters, MeterState
from grid_cosim.demand import Change, FeedIn, FleetDemand
from grid_cosim.errors import GraphError
from grid_cosim.feeder import Feeder
from grid_cosim.fleet import seeded
from grid_cosim.scenario import ControllerName, Coordination, Scenario
from grid_cosim.tariff import share_of_steps

_UNLIMITED_KW = 1e9
"""A share that stands for none, large enough for any household and finite, as interpolation needs it."""


def deciding(
    controller: ControllerName, scenario: Scenario, *, feeder: Feeder, copies: Copies, meters: Meters
) -> Controller:
    """The controller of that name, as the scenario sets it, for a feeder as it is switched."""
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
            raise AssertionError("one schedule for all arrangements: `arranging`")


@final
@dataclass(frozen=True)
class Uncontrolled:
    """Cars charge on plugging in, heat pumps hold their set point, nothing is postponed."""

    copies: Copies

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """Everything that is wanted, at once."""
        free = np.zeros(self.copies.n_households)
        return None, Decision(demand.uncontrolled_kw(), free, _about_limits(self.copies, free))


@final
@dataclass(frozen=True)
class Independent:
    """Every household keeps to its own share of the limit and talks to nobody.

    It sets its own price so high that its own power fits `share_kw`: all that can be done without messages
    if the limit is to hold whatever the others do.
    """

    copies: Copies
    share_kw: Float[np.ndarray, "households"]
    """Of the tightest limit that a household is a member of; infinite outside of all limits."""
    prices: Float[np.ndarray, "prices"]
    """Grid of prices that bracket the search."""
    feed_in_share_kw: Float[np.ndarray, "households"] | None = None
    """The same of the limits against generation; None where there is none."""

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """The least price, up or down, at which each household fits into its shares."""
        price = own_share_price(demand, np.minimum(self.share_kw, _UNLIMITED_KW), self.prices)
        if self.feed_in_share_kw is not None:
            feed_in_kw = np.minimum(self.feed_in_share_kw, _UNLIMITED_KW)
            price -= own_share_price(FeedIn(demand), feed_in_kw, self.prices)
        return None, Decision(demand.powers_kw(price), price, _about_limits(self.copies, price))


@final
@dataclass(frozen=True)
class Priced:
    """Every limit has a price, found by the dual step; each household acts on its own copies.

    `consensus` with a step that neighbours take together, `centralised` with `ExactStep`, which knows all
    answers. The headroom and the answers that go in are the same.
    """

    copies: Copies
    dual_step: DualStep
    seed: int
    """Of link outages, where the mixing has them."""

    def init(self) -> DualState:
        """Prices are zero and nobody has said anything."""
        return self.dual_step.init()

    def taken_over(self, state: DualState, before: Controller) -> DualState:
        """Prices go on, and what was said about limits with the same members; about others all is new."""
        assert isinstance(before, Priced), "the same kind of controller"
        return handed_over(state, before.dual_step, self.dual_step)

    def step(
        self, state: DualState, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[DualState, Decision]:
        """Find the prices, then act on them."""
        state, outcome = self.dual_step.step(
            state,
            demand=Change(demand),
            limit_kw=meters.headroom_kw + meters.measured_kw,
            offset_kw=meters.measured_kw,
            rng=np.random.default_rng(seeded(self.seed, f"links in step {step}")),
        )
        return state, Decision(
            powers_kw=demand.powers_kw(outcome.local_price),
            local_price=outcome.local_price,
            price=outcome.price[~self.copies.is_meter],
            negotiated=outcome,
        )


@final
@dataclass(frozen=True)
class TimeOfUse:
    """Every household answers a surcharge that was fixed beforehand, wherever it is and whatever happens."""

    copies: Copies
    surcharge_eur_per_kwh: Float[np.ndarray, "steps"]

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """The policies' answer to the surcharge of this step."""
        price = np.full(self.copies.n_households, self.surcharge_eur_per_kwh[step])
        return None, Decision(demand.powers_kw(price), price, _about_limits(self.copies, price))


@final
@dataclass(frozen=True)
class Dimming:
    """Behind an overloaded limit every device is cut to the same power, for one step (§ 14a EnWG).

    Otherwise devices do what they like. The grid operator measures within the step, so it knows whether what
    is wanted now exceeds a limit; it acts on the innermost limits first, and on others if that was not
    enough. `power_kw` is granted to every device, so a limit may stay exceeded.
    """

    copies: Copies
    power_kw: float

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """Everything that is wanted, or up to `power_kw` of it where that is too much."""
        fleet, wanted = demand.fleet, demand.uncontrolled_kw()
        cut = tuple(
            torch.maximum(
                want.clamp(max=self.power_kw), group.device.bounds(devices, group.drive.at(step))[0]
            )
            for group, devices, want in zip(fleet.groups, demand.state.devices, wanted, strict=True)
        )
        whole_kw, cut_kw = fleet.flex_kw(wanted), fleet.flex_kw(cut)
        dimmed = np.zeros(self.copies.n_households, dtype=bool)
        # to draw less is no help against generation
        loaded_by = self.copies.coupling.maximum(0.0)
        for limits in reversed(self.copies.turns()):
            behind = loaded_by[limits]
            p_kw = demand.base_kw + np.where(dimmed, cut_kw, whole_kw)
            overloaded = behind @ (p_kw - demand.last_kw) > meters.headroom_kw[limits]
            dimmed |= behind.T @ overloaded.astype(float) > 0.0
        free = np.zeros(self.copies.n_households)
        powers_kw = tuple(
            torch.where(torch.as_tensor(dimmed[group.household]), less, want)
            for group, less, want in zip(fleet.groups, cut, wanted, strict=True)
        )
        return None, Decision(powers_kw, free, _about_limits(self.copies, free))


def own_shares(
    copies: Copies, first_limit_kw: Float[np.ndarray, "limits"]
) -> Float[np.ndarray, "households"]:
    """Equal shares of every limit among its members; of several limits the tightest counts."""
    return _tightest(copies, first_limit_kw, ~copies.is_meter & (copies.weight > 0.0))


def own_feed_in_shares(
    copies: Copies, first_limit_kw: Float[np.ndarray, "limits"]
) -> Float[np.ndarray, "households"] | None:
    """Likewise of the limits against generation; None where there is none."""
    feeding_in = ~copies.is_meter & (copies.weight < 0.0)
    return _tightest(copies, -first_limit_kw, feeding_in) if feeding_in.any() else None


def _tightest(
    copies: Copies, first_limit_kw: Float[np.ndarray, "limits"], member: Bool[np.ndarray, "copies"]
) -> Float[np.ndarray, "households"]:
    limit, weight = copies.limit[member], copies.weight[member]
    share = first_limit_kw[limit] / np.bincount(limit, weights=weight, minlength=copies.n_limits)[limit]
    tightest = np.full(copies.n_households, np.inf)
    np.minimum.at(tightest, copies.household[member], share)
    return tightest


def _about_limits(copies: Copies, local_price: Float[np.ndarray, "households"]) -> np.ndarray:
    return local_price[copies.household[~copies.is_meter]]


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
    listed = Path(str(settings.edges)) if settings.graph == "edges" else None
    edges = read_edge_list(listed) if listed else None
    try:
        return communication(
            copies,
            settings.graph,
            seed=seed,
            degree=settings.degree,
            rewiring=settings.rewiring,
            cables=feeder.cable_graph,
            edges=edges,
            names=feeder.home_names,
            limit_names=feeder.limits.names,
        )
    except GraphError as error:
        raise (error.of_list(listed) if listed else error) from None


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
