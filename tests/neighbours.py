"""Small fleets with untrained policies, for tests of fleet and controllers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from grid_cosim.devices import DeferrablePopulation, HeatPumpPopulation, VehiclePopulation
from grid_cosim.devices.device import rows_of
from grid_cosim.fleet import Fleet, FleetState, Ownership, draw_fleet
from grid_cosim.policies.checkpoint import Policy, policy_features
from grid_cosim.policies.network import NetworkConfig, PriceMonotoneNetwork
from grid_cosim.tariff import flat_tariff

DT_H = 0.25
OWNERS: dict[str, Ownership] = {
    "electric_vehicle": Ownership(VehiclePopulation(), 0.6),
    "heat_pump": Ownership(HeatPumpPopulation(), 0.8),
    "deferrable": Ownership(DeferrablePopulation(jobs_per_day=6.0), 0.5),
}


def fleet_of(
    n: int = 10,
    *,
    n_steps: int = 48,
    seed: int = 0,
    start_hour: float = 12.0,
    ownership: dict[str, Ownership] | None = None,
) -> Fleet:
    """Homes with a base load of 0.2 to 1.2 kW on a cold day."""
    base_kw = np.random.default_rng(seed).uniform(0.2, 1.2, (n_steps, n))
    return draw_fleet(
        base_kw=base_kw,
        base_kvar=0.3 * base_kw,
        tariff_eur_per_kwh=flat_tariff(0.3, n_steps=n_steps, dt_h=DT_H),
        ownership=OWNERS if ownership is None else ownership,
        outdoor_c=np.full(n_steps + 96, -5.0),
        dt_h=DT_H,
        start_hour=start_hour,
        seed=seed,
    )


def untrained(fleet: Fleet) -> dict[str, Policy]:
    """Policies with random weights: they answer prices, if not wisely."""
    policies = {}
    for group in fleet.groups:
        torch.manual_seed(1)
        features = policy_features(group.device)
        network = PriceMonotoneNetwork(NetworkConfig(n_features=len(features))).requires_grad_(False)
        policies[group.kind] = Policy(group.kind, features, network, {}, {})
    return policies


def after(fleet: Fleet, n_steps: int) -> FleetState:
    """The fleet when step `n_steps` has arrived and everybody has drawn half of what was wanted before."""
    state = fleet.init()
    for step in range(n_steps):
        state = fleet.receive(state, step)
        state, _ = fleet.step(state, [0.5 * p for p in fleet.uncontrolled_kw(state, step)], step)
    return fleet.receive(state, n_steps)


def reordered(fleet: Fleet, state: FleetState, order: np.ndarray) -> tuple[Fleet, FleetState]:
    """The same homes as rows in another order: row k becomes what row order[k] was."""
    row = np.argsort(order)
    groups, states = [], []
    for group, devices in zip(fleet.groups, state.devices, strict=True):
        household = row[group.household]
        by_row = torch.as_tensor(np.argsort(household))
        n = group.device.n_devices
        moved = replace(group, device=rows_of(group.device, by_row, n), household=household[by_row.numpy()])
        groups.append(moved)
        states.append(rows_of(devices, by_row, n))
    mixed = replace(
        fleet, base_kw=fleet.base_kw[:, order], base_kvar=fleet.base_kvar[:, order], groups=tuple(groups)
    )
    return mixed, FleetState(tuple(states))
