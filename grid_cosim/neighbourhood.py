"""The neighbourhood: a fleet, its controller and its meters, one control step at a time.

This is the pure object behind the household simulator: arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grid_cosim import pytree
from grid_cosim.controllers import Controller, Decision, TakesOver
from grid_cosim.coordination import Copies
from grid_cosim.coordination.meters import Meters, MeterState
from grid_cosim.demand import FleetDemand, Policies
from grid_cosim.devices import Outputs
from grid_cosim.feeder import Gauges
from grid_cosim.fleet import Fleet, FleetState
from grid_cosim.moving import MovingLimits
from grid_cosim.policies.view import PriceMemory, no_memory, remember

_MANY_HOUSEHOLDS = 2_000
"""Below this torch's threads wait for each other longer than they work."""


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Let torch use `n` threads, and then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class NeighbourhoodState:
    """Where everything stands between two steps."""

    fleet: FleetState
    controller: Any
    meters: MeterState
    drawn_kw: Float[np.ndarray, "households"]
    """What each household drew in the last step."""
    last_kw: Float[np.ndarray, "households"]
    """What each household drew when the meters measured last; each knows its own."""
    limit_percent: Float[np.ndarray, "limits"]
    """The loading that counted as each limit in the last step."""
    sent_percent: Float[np.ndarray, "limits"]
    """The last that was sent from outside, NaN where nothing was."""
    price_memory: PriceMemory
    """The prices on which each household acted during the last day, oldest first."""


@dataclass(frozen=True)
class NeighbourhoodStep:
    """All that one control step did, in household, device and limit order; kW and kvar."""

    base_kw: Float[np.ndarray, "households"]
    flex_kw: Float[np.ndarray, "households"]
    base_kvar: Float[np.ndarray, "households"]
    q_kvar: Float[np.ndarray, "households"]
    tariff_eur_per_kwh: float
    decision: Decision
    outputs: tuple[Outputs, ...]
    terminal_cost_eur: tuple[Tensor, ...]
    """Zero except after the last step."""
    terminal_cost_without_energy_eur: tuple[Tensor, ...]
    """Its part that is delay, discomfort and undelivered energy."""
    meters: MeterState
    """What the meters knew."""
    copies: Copies
    """Who was behind which limit."""
    limit_percent: Float[np.ndarray, "limits"]
    """The loading that counted as each limit."""
    offset_kw: Float[np.ndarray, "limits"]
    """What each element carried beyond its members when it was measured; no node knows it."""
    members_base_kw: Float[np.ndarray, "limits"]
    """Inflexible power of each limit's members."""

    @property
    def limit_kw(self) -> Float[np.ndarray, "limits"]:
        """What each element can carry, as its meter estimates it."""
        return self.meters.headroom_kw + self.meters.measured_kw

    @property
    def p_kw(self) -> Float[np.ndarray, "households"]:
        """Net power per household."""
        return self.base_kw + self.flex_kw


@dataclass(frozen=True)
class Arrangement:
    """Who is behind which limit, and who decides; what a switch that moves changes."""

    start: int
    """Control step from which on it holds."""
    copies: Copies
    meters: Meters
    controller: Controller
    gauges: Gauges


@dataclass(frozen=True)
class Neighbourhood:
    """Households behind the limits of one feeder, and who decides for them."""

    household_names: tuple[str, ...]
    connection: Int[np.ndarray, "households"]
    """Row of the connection point of each household."""
    connection_buses: Int[np.ndarray, "connection_points"]
    """Bus of the grid behind each connection point."""
    limit_names: tuple[str, ...]
    fleet: Fleet
    policies: Policies
    copies: Copies
    meters: Meters
    controller: Controller
    gauges: Gauges | None = None
    """What is measured for each limit; without it power and loading of an element of the limit's name."""
    moving: MovingLimits | None = None
    """What moves the limits; without it they stay where the meters have them."""
    rearranged_by: Callable[[int, Mapping[str, bool]], Arrangement] | None = None
    """The arrangement from a step on if others open and close what the mapping says."""
    later: tuple[Arrangement, ...] = ()
    """What takes the place of copies, meters, controller and gauges when switches have moved; the limits are
    the same."""

    @cached_property
    def gauge(self) -> Gauges:
        """What is measured for each limit."""
        return Gauges.of_branches(self.limit_names) if self.gauges is None else self.gauges

    @cached_property
    def arrangements(self) -> tuple[Arrangement, ...]:
        """All arrangements, the first one included."""
        return (Arrangement(0, self.copies, self.meters, self.controller, self.gauge), *self.later)

    def arranged(self, step: int) -> Arrangement:
        """Who is behind which limit in a control step, and who decides."""
        return next(at for at in reversed(self.arrangements) if at.start <= max(step, 0))

    @property
    def device_names(self) -> tuple[str, ...]:
        """`household/kind` of every device, group after group."""
        return tuple(
            f"{self.household_names[row]}/{group.kind}"
            for group in self.fleet.groups
            for row in group.household
        )

    def rearranged(self, step: int, closed: Mapping[str, bool]) -> Neighbourhood:
        """The same, as others have opened and closed switches of its feeder (by wire id) before a step.

        Until what is planned next, which knows nothing of that.
        """
        assert self.rearranged_by is not None, "of a scenario"
        last, ahead = self.arranged(step - 1), [at for at in self.later if at.start > step]
        return replace(self, later=(last, self.rearranged_by(step, closed), *ahead))

    def init(self) -> NeighbourhoodState:
        """Before the first step."""
        nothing = np.zeros(self.copies.n_households)
        return NeighbourhoodState(
            self.fleet.init(),
            self.controller.init(),
            self.meters.init(),
            nothing,
            nothing,
            np.array(self.meters.limit_percent, dtype=float),
            np.full(self.copies.n_limits, np.nan),
            no_memory(self.copies.n_households, self.fleet.dt_h),
        )

    @property
    def state_types(self) -> dict[str, type]:
        """What a state consists of, to be read from a file: that before the first step has one of each."""
        return pytree.types_in(self.init(), *(at.controller.init() for at in self.later))

    def step(
        self,
        state: NeighbourhoodState,
        step: int,
        *,
        measured_kw: Float[np.ndarray, "limits"],
        loading_percent: Float[np.ndarray, "limits"],
        sent_percent: Float[np.ndarray, "limits"] | None = None,
        fed_kw: Float[np.ndarray, "households"] | None = None,
        fed_kvar: Float[np.ndarray, "households"] | None = None,
    ) -> tuple[NeighbourhoodState, NeighbourhoodStep]:
        """One control step: meters learn, agents agree, devices act.

        `measured_kw` and `loading_percent` are what each limited element carried in the last step, or where
        switches have moved since then, just after that; NaN where nothing is known, as before the first.
        `sent_percent` is what may be used of each limit by word from outside; it takes the place of what was
        planned until the next arrives, NaN: nothing new. `fed_kw` and `fed_kvar` take the place of the base
        load in this step, NaN: as planned.
        """
        with _threads(1 if self.fleet.n_households < _MANY_HOUSEHOLDS else torch.get_num_threads()):
            fleet, here = self.fleet, self.arranged(step)
            sent = state.sent_percent
            if sent_percent is not None:
                sent = np.where(np.isnan(sent_percent), sent, sent_percent)
            planned = here.meters.limit_percent if self.moving is None else self.moving.at(step)
            limit_percent = np.where(np.isnan(sent), planned, sent)
            meters, last_kw = self._learned(state, step, measured_kw, loading_percent, limit_percent)
            arrived = fleet.receive(state.fleet, step)
            base_kw, base_kvar = (
                _or_fed(fleet.base_kw[step], fed_kw),
                _or_fed(fleet.base_kvar[step], fed_kvar),
            )
            demand = FleetDemand(fleet, self.policies, arrived, step, last_kw, state.price_memory, base_kw)
            remembered = _remembered(state.controller, self.arranged(step - 1), here)
            memory, decision = here.controller.step(remembered, demand=demand, meters=meters, step=step)
            devices, outputs = fleet.step(arrived, decision.powers_kw, step)
            ends = step == fleet.n_steps - 1
            nothing = tuple(torch.zeros(g.household.size, dtype=torch.float64) for g in fleet.groups)
            done = NeighbourhoodStep(
                base_kw=base_kw,
                flex_kw=fleet.flex_kw(decision.powers_kw),
                base_kvar=base_kvar,
                q_kvar=base_kvar + fleet.flex_kvar(decision.powers_kw),
                tariff_eur_per_kwh=float(fleet.tariff_eur_per_kwh[step]),
                decision=decision,
                outputs=outputs,
                terminal_cost_eur=fleet.terminal_cost_eur(devices, step) if ends else nothing,
                terminal_cost_without_energy_eur=fleet.terminal_cost_without_energy_eur(devices, step)
                if ends
                else nothing,
                meters=meters,
                copies=here.copies,
                limit_percent=limit_percent,
                offset_kw=meters.measured_kw - here.copies.coupling @ last_kw,
                members_base_kw=here.copies.coupling @ base_kw,
            )
            acted_on = remember(state.price_memory, torch.as_tensor(decision.local_price))
            after = NeighbourhoodState(
                devices, memory, meters, done.p_kw, last_kw, limit_percent, sent, acted_on
            )
            return after, done

    def _learned(
        self,
        state: NeighbourhoodState,
        step: int,
        measured_kw: Float[np.ndarray, "limits"],
        loading_percent: Float[np.ndarray, "limits"],
        limit_percent: Float[np.ndarray, "limits"],
    ) -> tuple[MeterState, Float[np.ndarray, "households"]]:
        """What the meters know now, and what each household drew when they measured last."""
        here = self.arranged(step)
        known = np.isfinite(measured_kw) & np.isfinite(loading_percent)
        knew, knew_percent, last_kw = state.meters, state.limit_percent, state.last_kw
        if here is not self.arranged(step - 1) and not known.any():
            # behind other limits, and nobody was measured there: all begins as before the first step
            knew, knew_percent = here.meters.init(), np.array(here.meters.limit_percent, dtype=float)
            last_kw = np.zeros(self.fleet.n_households)
        meters = here.meters.update(
            here.meters.moved(knew, knew_percent, limit_percent),
            measured_kw=measured_kw,
            loading_percent=loading_percent,
            limit_percent=limit_percent,
        )
        # without a solution nobody was measured: meters and households both keep to the time before
        return meters, np.where(_measured(here.copies, known), state.drawn_kw, last_kw)

    def at_connection_points(
        self, per_household: Float[np.ndarray, "households"]
    ) -> Float[np.ndarray, "connection_points"]:
        """Sum of a per-household quantity at each connection point."""
        return np.bincount(self.connection, weights=per_household, minlength=self.connection_buses.size)


def _or_fed(
    planned: Float[np.ndarray, "households"], fed: Float[np.ndarray, "households"] | None
) -> Float[np.ndarray, "households"]:
    return planned if fed is None else np.where(np.isnan(fed), planned, fed)


def _measured(copies: Copies, known: Bool[np.ndarray, "limits"]) -> Bool[np.ndarray, "households"]:
    """Households behind a measured limit; a power flow has a solution for all limits or for none."""
    return np.asarray(abs(copies.coupling).T @ known.astype(float) > 0.0)


def _remembered(memory: Any, before: Arrangement, now: Arrangement) -> Any:
    """What a controller remembers; of another controller, what that hands over."""
    if before is now or not isinstance(now.controller, TakesOver):
        return memory
    return now.controller.taken_over(memory, before.controller)
