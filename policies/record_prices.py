"""Writes prices.safetensors: congestion prices of whole fleets, which the policies meet in training.

    python policies/record_prices.py optimum      # some ten minutes on one core; train the policies then,
    python policies/record_prices.py closed-loop  # some five minutes; and train them again

What a policy shall expect of a price follows from what everybody else does at it. So fleets are drawn at
random, with other homes, devices, weather and limits each time. `optimum` begins a new file with their
prices in the perfect-foresight optimum, the dual variable of the limit. `closed-loop` adds the prices that
arise, with other fleets, when the policies as they are in this folder meet a limit. No power flow takes
part; the limit is in kW and its price exact.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import save_file
from scipy.optimize import brentq
from scipy.sparse import csr_array

from grid_cosim.controllers import FleetDemand, Policies
from grid_cosim.devices import DeferrablePopulation, HeatPumpPopulation, VehiclePopulation
from grid_cosim.fleet import Fleet, Ownership, draw_fleet
from grid_cosim.optimum import optimal_schedule
from grid_cosim.policies.checkpoint import load_policy, policy_features
from grid_cosim.policies.prices import load_recorded_prices
from grid_cosim.policies.recipe import POPULATIONS
from grid_cosim.policies.view import no_memory, remember
from grid_cosim.profiles import household_base_load, outdoor_temperature
from grid_cosim.tariff import flat_tariff

HERE = Path(__file__).parent
DT_H, DAYS, START_HOUR = 0.25, 3, 12
LARGEST_PRICE = 4.0
WEATHERS = ("try2010_12_mannheim", "try2010_04_potsdam")


def some_fleet(rng: np.random.Generator) -> Fleet:
    """Some homes in some winter."""
    n_homes, n_steps = int(rng.integers(25, 60)), round(24 * DAYS / DT_H)
    start = datetime(2016, 1, 1, START_HOUR) + timedelta(days=int(rng.integers(0, 60)))
    base_kw, base_kvar = household_base_load(
        n_households=n_homes, shapes=[None] * n_homes, start=start, n_steps=n_steps, dt_h=DT_H, generator=rng
    )
    outdoor_c = outdoor_temperature(
        str(rng.choice(WEATHERS)), start=start, n_steps=n_steps, dt_h=DT_H, lookahead_steps=round(24 / DT_H)
    )
    cars = VehiclePopulation(daily_kwh=rng.uniform(6.0, 14.0), arrival_hour=rng.uniform(17.0, 19.0))
    ownership = {
        "electric_vehicle": Ownership(cars, rng.uniform(0.2, 1.0)),
        "heat_pump": Ownership(HeatPumpPopulation(), rng.uniform(0.2, 1.0)),
        "deferrable": Ownership(DeferrablePopulation(), rng.uniform(0.0, 0.5)),
    }
    return draw_fleet(
        base_kw=base_kw,
        base_kvar=base_kvar,
        tariff_eur_per_kwh=flat_tariff(0.3, n_steps=n_steps, dt_h=DT_H),
        ownership=ownership,
        outdoor_c=outdoor_c + rng.uniform(-5.0, 4.0),
        dt_h=DT_H,
        start_hour=START_HOUR,
        seed=int(rng.integers(2**31)),
    )


def uncontrolled_kw(fleet: Fleet) -> np.ndarray:
    """What all homes draw together in every step when nobody controls anything."""
    state, total = fleet.init(), []
    for step in range(fleet.n_steps):
        state = fleet.receive(state, step)
        powers = fleet.uncontrolled_kw(state, step)
        total.append(fleet.base_kw[step].sum() + fleet.flex_kw(powers).sum())
        state, _ = fleet.step(state, powers, step)
    return np.array(total)


def some_limit_kw(fleet: Fleet, rng: np.random.Generator) -> float:
    """A limit somewhere between the mean and the peak load of an uncontrolled fleet."""
    load_kw = uncontrolled_kw(fleet)
    mean_kw, peak_kw = load_kw.mean(), load_kw.max()
    return float(mean_kw + rng.uniform(0.08, 0.9) ** 1.5 * (peak_kw - mean_kw))


def optimal_price(fleet: Fleet, limit_kw: float) -> np.ndarray:
    """The limit's dual variable in the optimum."""
    everybody = csr_array(np.ones((1, fleet.n_households)))
    price = optimal_schedule(fleet, everybody, np.full((fleet.n_steps, 1), limit_kw)).price_eur_per_kwh
    return np.where(
        price[:, 0] > 1e-5, price[:, 0], 0.0
    )  # the solver leaves a little where the limit is slack


def closed_loop_price(fleet: Fleet, limit_kw: float, policies: Policies) -> np.ndarray:
    """The least price in every step at which the policies hold the limit."""
    n = fleet.n_households
    state, memory, path = fleet.init(), no_memory(n, fleet.dt_h), []
    for step in range(fleet.n_steps):
        state = fleet.receive(state, step)
        demand = FleetDemand(fleet, policies, state, step, np.zeros(n), memory)

        def excess_kw(price: float, demand: FleetDemand = demand) -> float:
            return float(demand.power_kw(np.full(n, price)).sum()) - limit_kw

        if excess_kw(0.0) <= 0.0:
            price = 0.0
        elif excess_kw(LARGEST_PRICE) >= 0.0:
            price = LARGEST_PRICE
        else:
            price = brentq(excess_kw, 0.0, LARGEST_PRICE, xtol=1e-5)
        state, _ = fleet.step(state, demand.powers_kw(np.full(n, price)), step)
        memory = remember(memory, torch.full((n,), price))
        path.append(price)
    return np.array(path)


def shipped_policies() -> Policies:
    """The checkpoints in this folder."""
    policies = {}
    for kind, population in POPULATIONS.items():
        device = population().sample(1, dt_h=DT_H, generator=torch.Generator())
        path = HERE / f"{kind}.safetensors"
        policies[kind] = load_policy(path, kind=kind, feature_names=policy_features(device))
    return policies


def main() -> None:
    """Record as many paths as were asked for."""
    parser = argparse.ArgumentParser(description="Record congestion prices for the training of policies.")
    parser.add_argument("of", choices=["optimum", "closed-loop"])
    parser.add_argument("--paths", type=int, help="160 of the optimum, 80 of the closed loop if left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "prices.safetensors")
    options = parser.parse_args()
    torch.set_num_threads(1)
    closed_loop = options.of == "closed-loop"
    policies = shipped_policies() if closed_loop else {}
    entropy = [options.seed, 1] if closed_loop else options.seed
    seeds = np.random.SeedSequence(entropy).spawn(options.paths or (80 if closed_loop else 160))
    paths = []
    for seed in track(seeds, options.of):
        rng = np.random.default_rng(seed)
        fleet = some_fleet(rng)
        limit_kw = some_limit_kw(fleet, rng)
        paths.append(
            closed_loop_price(fleet, limit_kw, policies) if closed_loop else optimal_price(fleet, limit_kw)
        )
    price = torch.as_tensor(np.stack(paths, axis=1), dtype=torch.float32)
    if closed_loop:
        price = torch.cat([load_recorded_prices(options.out).price, price], dim=1)
    recorded = {"start_hour": str(float(START_HOUR)), "dt_h": str(DT_H), "seed": str(options.seed)}
    save_file({"price": price.contiguous()}, options.out, metadata=recorded)


if __name__ == "__main__":
    main()
