"""A small neighbourhood on a small feeder, and what stands in for its power flow."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import torch

from grid_cosim.controllers import Controller
from grid_cosim.coordination import Copies, CurveStep, communication, price_grid
from grid_cosim.coordination.meters import Meters
from grid_cosim.deciding import Priced, Uncontrolled
from grid_cosim.devices import HeatPumpPopulation, VehiclePopulation
from grid_cosim.feeder import Feeder, PandapowerFlow, Snapshot, load_feeder
from grid_cosim.fleet import Fleet, Ownership, draw_fleet
from grid_cosim.neighbourhood import Neighbourhood
from grid_cosim.policies.checkpoint import Policy, policy_features
from grid_cosim.policies.network import NetworkConfig, PriceMonotoneNetwork
from grid_cosim.tariff import flat_tariff
from tests.builders import street

START = datetime(2016, 1, 19, 17)


def small_feeder(n_homes: int = 3) -> Feeder:
    return load_feeder(street(n_homes))


def small_neighbourhood(feeder: Feeder, *, n_steps: int = 8, controller: str = "consensus") -> Neighbourhood:
    """Every home has a car, every other a heat pump; policies are untrained networks."""
    n = feeder.n_households
    rng = np.random.default_rng(5)
    fleet = draw_fleet(
        base_kw=rng.uniform(5.0, 15.0, (n_steps, n)),
        base_kvar=rng.uniform(0.5, 1.5, (n_steps, n)),
        tariff_eur_per_kwh=flat_tariff(0.3, n_steps=n_steps, dt_h=0.25),
        ownership={
            "electric_vehicle": Ownership(VehiclePopulation(), 1.0, 0.98),
            "heat_pump": Ownership(HeatPumpPopulation(), 0.5, 0.95),
        },
        outdoor_c=np.full(n_steps + 4, -5.0),
        dt_h=0.25,
        start_hour=float(START.hour),
        seed=3,
    )
    copies = Copies.of(feeder.limits.coupling, feeder.limits.level)
    return Neighbourhood(
        household_names=feeder.home_names,
        connection=feeder.home_connection,
        connection_buses=feeder.connection_buses,
        limit_names=feeder.limits.names,
        fleet=fleet,
        policies={} if controller == "uncontrolled" else _untrained(fleet),
        copies=copies,
        # half of what the transformer can carry, so that there is something to agree on
        meters=Meters(
            feeder.first_limit_kw() / 4, feeder.limits.limit_percent / 4, np.zeros(feeder.limits.n_limits)
        ),
        controller=_controller(controller, copies),
    )


def _controller(name: str, copies: Copies) -> Controller:
    if name == "uncontrolled":
        return Uncontrolled(copies)
    graph = communication(copies, "complete")
    return Priced(copies, CurveStep(graph, price_grid(4.0), rounds=2), seed=1)


def _untrained(fleet: Fleet) -> dict[str, Policy]:
    torch.manual_seed(0)
    return {
        group.kind: Policy(
            kind=group.kind,
            feature_names=policy_features(group.device),
            network=PriceMonotoneNetwork(NetworkConfig(len(policy_features(group.device)))).requires_grad_(
                False
            ),
            recipe={},
            versions={},
        )
        for group in fleet.groups
    }


class DivergesAt(PandapowerFlow):
    """The real power flow, but without a solution in its `call`-th call, counted from 0."""

    def __init__(self, feeder: Feeder, call: int) -> None:
        super().__init__(feeder)
        self._call = call
        self._calls = 0

    def solve(self, *, bus_p_kw: np.ndarray, bus_q_kvar: np.ndarray, step: int | None) -> Snapshot:
        solution = super().solve(bus_p_kw=bus_p_kw, bus_q_kvar=bus_q_kvar, step=step)
        self._calls += 1
        return without_solution(solution) if self._calls == self._call + 1 else solution


def without_solution(snapshot: Snapshot) -> Snapshot:
    """What the power flow gives where it does not converge."""
    nothing = {
        name: np.full_like(value, np.nan) if isinstance(value, np.ndarray) else float("nan")
        for name, value in vars(snapshot).items()
        if isinstance(value, np.ndarray | float) and not name.startswith("injected")
    }
    told = {"converged": False, "iterations": 0, "message": "most loaded is Trafo-0 with about 310 %"}
    return replace(snapshot, **(nothing | told))
