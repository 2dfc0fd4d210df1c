"""Small fleets in changing weather, behind one limit or several, and what they draw without control."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_array

from grid_cosim.devices import DeferrablePopulation, HeatPumpPopulation, VehiclePopulation
from grid_cosim.fleet import Fleet, Ownership, draw_fleet
from grid_cosim.optimum import Schedule
from grid_cosim.tariff import flat_tariff
from tests.devices.episode import spring

DT_H = 0.25
OWNERS = {
    "electric_vehicle": Ownership(VehiclePopulation(irregular_share=0.4), 1.0),
    "heat_pump": Ownership(HeatPumpPopulation(), 1.0),
    "deferrable": Ownership(DeferrablePopulation(jobs_per_day=8.0), 1.0),
}


def homes(
    *kinds: str,
    n: int = 6,
    n_steps: int = 40,
    seed: int = 0,
    mean_c: float = -3.0,
    tariff: np.ndarray | None = None,
    owners: dict[str, Ownership] = OWNERS,
) -> Fleet:
    """From three in the afternoon to one in the night: cars and queues still owe something at the end."""
    base_kw = np.random.default_rng(seed).uniform(0.2, 1.2, (n_steps, n))
    hours = 15.0 + DT_H * np.arange(n_steps + 96)
    return draw_fleet(
        base_kw=base_kw,
        base_kvar=0.3 * base_kw,
        tariff_eur_per_kwh=flat_tariff(0.3, n_steps=n_steps, dt_h=DT_H) if tariff is None else tariff,
        ownership={kind: owners[kind] for kind in kinds or owners},
        outdoor_c=mean_c + 6.0 * np.cos(2.0 * np.pi * (hours - 15.0) / 24.0),
        dt_h=DT_H,
        start_hour=15.0,
        seed=seed,
        sky=spring(n_steps=n_steps, start_hour=15.0, dt_h=DT_H),
    )


def together(fleet: Fleet) -> csr_array:
    """One limit that all are behind."""
    return csr_array(np.ones((1, fleet.n_households)))


def constant(fleet: Fleet, *capacity_kw: float) -> np.ndarray:
    return np.tile(np.array(capacity_kw), (fleet.n_steps, 1))


def uncontrolled_peak_kw(fleet: Fleet) -> float:
    state, peak_kw = fleet.init(), 0.0
    for step in range(fleet.n_steps):
        state = fleet.receive(state, step)
        powers = fleet.uncontrolled_kw(state, step)
        peak_kw = max(peak_kw, float((fleet.base_kw[step] + fleet.flex_kw(powers)).sum()))
        state, _ = fleet.step(state, powers, step)
    return peak_kw


def any_other(fleet: Fleet, seed: int, near: Schedule | None = None) -> Schedule:
    """A schedule within the devices' bounds: at random, or in the neighbourhood of another."""
    rng = np.random.default_rng(seed)
    drawn = tuple(np.empty((fleet.n_steps, group.household.size)) for group in fleet.groups)
    state = fleet.init()
    for step in range(fleet.n_steps):
        state = fleet.receive(state, step)
        powers = []
        for k, (group, devices) in enumerate(zip(fleet.groups, state.devices, strict=True)):
            low, high = group.device.bounds(devices, group.drive.at(step))
            share = torch.as_tensor(rng.uniform(size=group.household.size))
            wanted = low + share * (high - low)
            if near is not None:
                wanted = torch.as_tensor(near.powers_kw[k][step]) + 0.2 * (wanted - 0.5 * (low + high))
            powers.append(torch.minimum(torch.maximum(wanted, low), high))
            drawn[k][step] = powers[-1].numpy()
        state, _ = fleet.step(state, powers, step)
    nothing = np.zeros((fleet.n_steps, 0))
    return Schedule(drawn, nothing, nothing, float("nan"), 0, 0.0)
