"""Consensus, or a model-predictive controller with cvxpy, on the same homes behind one limit; prints JSON.

    python benchmarks/peers/control.py HOMES consensus|mpc|mpc-present|uncontrolled [STEPS]

60 % of the homes own a car, 85 % a heat pump; they share a limit of 2 kW each, in kW, without a power flow.
Played are STEPS quarter hours of a winter day from noon on, all 96 if left out.

The model-predictive controller is one centre that knows every home. In every step it solves, for the next
24 h, the convex problem of `grid_cosim.optimum` (cvxpy, Clarabel) from where the devices stand, and the
first step of the solution is played. `mpc` knows all arrivals and base loads of these 24 h, `mpc-present`
the cars that are here, and takes the base load to stay as it is; both know the weather, as consensus does.
The problem is written anew in every step, since other cars are there; `solver_cpu_ms` is what Clarabel
alone takes in the first steps.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grid_cosim.devices.device import Drive
from grid_cosim.environments.core import Carefree, FleetGame, Player, play
from grid_cosim.environments.villages import Village
from grid_cosim.fleet import DeviceGroup, Fleet, FleetState
from grid_cosim.optimum.problem import FleetProblem
from grid_cosim.study.timing import consensus
from grid_cosim.tariff import outlook_steps

HORIZON = 96
SOLVED_AGAIN = 4
SHARES = {"electric_vehicle": 0.6, "heat_pump": 0.85}


@dataclass(frozen=True)
class Forecast:
    """What the controller takes to happen to a kind of device from a step on."""

    drive: Drive
    begin: int
    first: Any
    """The inputs of the first of its steps; they hold the state."""
    nobody_else_comes: bool

    def at(self, step: int) -> Any:
        """The inputs of that step of the horizon."""
        if step == 0:
            return self.first
        inputs = self.drive.at(self.begin + step)
        if self.nobody_else_comes:
            inputs = inputs._replace(arrival_kwh=torch.zeros_like(inputs.arrival_kwh))
        return inputs


@dataclass(frozen=True)
class ModelPredictive:
    """A player that solves the next 24 h anew in every step."""

    known: FleetGame
    """The game as far as anything is known of it, 24 h longer than what is played."""
    perfect: bool
    solver_s: list[float] = field(default_factory=list)
    """What solving again took, once the problem was compiled; in the first steps only."""

    def init(self, game: FleetGame) -> None:
        """Nothing to remember."""

    def act(
        self, game: FleetGame, memory: None, state: FleetState, step: int
    ) -> tuple[None, Sequence[Tensor]]:
        """The first step of the best plan."""
        fleet, later = self.known.fleet, slice(step, step + HORIZON)
        base_kw = fleet.base_kw[later]
        groups = zip(fleet.groups, state.devices, strict=True)
        ahead = Fleet(
            dt_h=fleet.dt_h,
            base_kw=base_kw if self.perfect else np.broadcast_to(base_kw[0], base_kw.shape).copy(),
            base_kvar=fleet.base_kvar[later],
            tariff_eur_per_kwh=fleet.tariff_eur_per_kwh[step : step + HORIZON + outlook_steps(fleet.dt_h)],
            groups=tuple(self._from_here(group, devices, step) for group, devices in groups),
        )
        problem = FleetProblem(ahead, self.known.coupling)
        plan = problem.solve(self.known.limit_kw[later])
        if len(self.solver_s) < SOLVED_AGAIN:
            began = process_time()
            problem.solve(self.known.limit_kw[later] + 1e-9)
            self.solver_s.append(process_time() - began)
        return None, plan.devices_kw(ahead, ahead.receive(ahead.init(), 0), 0)

    def _from_here(self, group: DeviceGroup, devices: Any, step: int) -> DeviceGroup:
        """The group as it stands: a car that is here comes with what it is still owed."""
        inputs = group.drive.at(step)
        if group.kind == "heat_pump":
            here = replace(group.device, initial_c=devices.temperature_c)
            return replace(group, device=here, drive=Forecast(group.drive, step, inputs, False))
        first = inputs._replace(arrival_kwh=devices.owed_kwh, stay_h=devices.left_h)
        return replace(group, drive=Forecast(group.drive, step, first, not self.perfect))


def first_steps(game: FleetGame, n_steps: int) -> FleetGame:
    """The beginning of a game."""
    fleet = game.fleet
    n_prices = n_steps + outlook_steps(fleet.dt_h)
    short = replace(
        fleet,
        base_kw=fleet.base_kw[:n_steps],
        base_kvar=fleet.base_kvar[:n_steps],
        tariff_eur_per_kwh=fleet.tariff_eur_per_kwh[:n_prices],
    )
    return FleetGame(short, game.coupling, game.limit_kw[:n_steps])


def main(n_homes: int, controller: str, n_steps: int) -> None:
    """Play, and print what a step took and what the episode came to."""
    torch.set_num_threads(1)
    hours = 24.0 * (n_steps + HORIZON) / 96
    known = Village(n_homes, shares=SHARES, hours=hours).draw(1, seed=1)
    game = first_steps(known, n_steps)
    player = _player(controller, game, known)
    wall, cpu = perf_counter(), process_time()
    played = play(game, player)
    wall_s, cpu_s = perf_counter() - wall, process_time() - cpu
    again_s = player.solver_s if isinstance(player, ModelPredictive) else []
    result = {
        "homes": n_homes,
        "steps": n_steps,
        "cpu_ms": 1e3 * (cpu_s - sum(again_s)) / n_steps,
        "wall_ms": 1e3 * wall_s / n_steps,
        "solver_cpu_ms": 1e3 * fmean(again_s) if again_s else 0.0,
        "cost_eur": played.cost_eur,
        "peak_percent": played.peak_percent,
        "excess_percent": played.excess_percent,
        "unserved_percent": played.unserved_percent,
        "too_cold_kelvin_hours": played.too_cold_kelvin_hours,
    }
    print(json.dumps({name: float(f"{value:.5g}") for name, value in result.items()}))


def _player(controller: str, game: FleetGame, known: FleetGame) -> Player:
    if controller == "uncontrolled":
        return Carefree()
    if controller.startswith("mpc"):
        return ModelPredictive(known, perfect=controller == "mpc")
    player = consensus(game, seed=1)
    with torch.no_grad():
        player.act(game, player.init(game), game.init(), 0)  # numba compiles
    return player

    print(
        json.dumps(
            {
                "homes": n_homes,
                "steps": n_steps,
                "cpu_ms": float(f"{1e3 * cpu_s / n_steps:.4g}"),
                "wall_ms": float(f"{1e3 * wall_s / n_steps:.4g}"),
                "cost_eur": round(played.cost_eur, 4),
                "peak_percent": round(played.peak_percent, 2),
                "excess_percent": round(played.excess_percent, 4),
                "unserved_percent": round(played.unserved_percent, 4),
                "too_cold_kelvin_hours": round(played.too_cold_kelvin_hours, 4),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 96)
