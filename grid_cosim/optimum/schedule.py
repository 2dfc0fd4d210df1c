"""A schedule: what every device draws in every step, decided beforehand; its replay, and who plays it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.controllers import Decision
from grid_cosim.coordination import Copies
from grid_cosim.coordination.meters import MeterState
from grid_cosim.demand import FleetDemand
from grid_cosim.fleet import Fleet, FleetState

_ROUNDING_KW = 1e-6
"""Interior-point methods come that close to a bound, but not onto it."""


@dataclass(frozen=True)
class Schedule:
    """The optimum of a fleet behind its limits."""

    powers_kw: tuple[Float[np.ndarray, "steps _devices"], ...]
    """Per group of the fleet."""
    price_eur_per_kwh: Float[np.ndarray, "steps limits"]
    """Dual variables of the limits, never negative: what congestion prices can be held against."""
    excess_kw: Float[np.ndarray, "steps limits"]
    """Load above the capacity, where the inflexible load alone exceeds it."""
    objective_eur: float
    """Total cost by the solver: energy at the tariff, the devices' own cost, and the state at the end."""
    solves: int
    """How often the problem was solved, for capacities ever closer to the limit of the loading."""
    solve_time_s: float
    missed_percent: float = 0.0
    """By how much, in points of loading, an element is still off a limit that binds or can be kept; 0 where
    the capacities have been found."""

    def devices_kw(self, fleet: Fleet, state: FleetState, step: int) -> tuple[Tensor, ...]:
        """Powers of one step per group; at the devices' bounds where the solver is there up to rounding."""
        powers = []
        for group, devices, planned in zip(fleet.groups, state.devices, self.powers_kw, strict=True):
            low, high = group.device.bounds(devices, group.drive.at(step))
            p_kw = torch.as_tensor(planned[step])
            p_kw = torch.where(p_kw < low + _ROUNDING_KW, low, p_kw)
            powers.append(torch.where(p_kw > high - _ROUNDING_KW, high, p_kw))
        return tuple(powers)


def net_power(
    fleet: Fleet, powers_kw: Sequence[Float[np.ndarray, "steps _devices"]]
) -> tuple[Float[np.ndarray, "steps households"], Float[np.ndarray, "steps households"]]:
    """Active and reactive power of the households, kW and kvar, if the groups draw these powers."""
    p_kw, q_kvar = fleet.base_kw.copy(), fleet.base_kvar.copy()
    for group, drawn_kw in zip(fleet.groups, powers_kw, strict=True):
        p_kw[:, group.household] += drawn_kw
        q_kvar[:, group.household] += group.kvar_per_kw * np.abs(drawn_kw)
    return p_kw, q_kvar


def replay_eur(fleet: Fleet, schedule: Schedule) -> float:
    """Total cost of a schedule by the devices themselves; what its `objective_eur` says by convex models."""
    state, cost_eur = fleet.init(), 0.0
    for step in range(fleet.n_steps):
        state = fleet.receive(state, step)
        powers = schedule.devices_kw(fleet, state, step)
        state, outputs = fleet.step(state, powers, step)
        energy_kwh = fleet.dt_h * (fleet.base_kw[step] + fleet.flex_kw(powers)).sum()
        cost_eur += float(fleet.tariff_eur_per_kwh[step] * energy_kwh)
        cost_eur += sum(float(out.cost_eur.sum()) for out in outputs)
    return cost_eur + sum(float(cost.sum()) for cost in fleet.terminal_cost_eur(state, fleet.n_steps - 1))


@final
@dataclass(frozen=True)
class Scheduled:
    """Plays a schedule that knew everything beforehand, and tells its prices."""

    copies: Copies
    schedule: Schedule

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """What was decided for this step."""
        price = self.schedule.price_eur_per_kwh[step][self.copies.limit]
        return None, Decision(
            powers_kw=self.schedule.devices_kw(demand.fleet, demand.state, step),
            local_price=self.copies.local_price(price),
            price=price[~self.copies.is_meter],
        )
