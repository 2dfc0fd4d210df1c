"""Random actions in grid_cosim's environment; prints device-steps per CPU-second as JSON.

    python benchmarks/peers/devices_ours.py HOMES STEPS [KIND ...] [arrays]

Every home owns one device of each kind, by default a car, a heat pump and a deferrable load; 20 homes share a
limit. Played in PettingZoo's dictionaries, or with `arrays` underneath them; observations are always made.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter, process_time

import numpy as np
import torch

from grid_cosim.environments.fleet_env import FleetEnv
from grid_cosim.environments.villages import Village

HOMES_PER_LIMIT = 20


def play(env: FleetEnv, *, arrays: bool) -> None:
    """One episode."""
    rng, shape = np.random.default_rng(0), (env.game.n_households, len(env.game.kinds))
    env.reset(seed=0)
    if not arrays:
        while env.agents:
            env.step(dict(zip(env.agents, rng.random(shape, dtype=np.float32), strict=True)))
        return
    game, state = env.game, env.game.init()
    for step in range(game.n_steps):
        game.observe(state, step)
        powers_kw = game.powers_kw(state, torch.from_numpy(rng.random(shape, dtype=np.float32)), step)
        state, _ = game.step(state, powers_kw, step)


def main(n_homes: int, n_steps: int, kinds: list[str], *, arrays: bool) -> None:
    """Print what the second of two episodes came to."""
    torch.set_num_threads(1)
    began = process_time()
    village = Village(HOMES_PER_LIMIT, shares=dict.fromkeys(kinds, 1.0), hours=n_steps / 4)
    game = village.draw(n_homes // HOMES_PER_LIMIT, seed=1)
    env = FleetEnv(lambda _: game.fleet, game.coupling, game.limit_kw)
    built_s = process_time() - began
    play(env, arrays=arrays)
    wall, cpu = perf_counter(), process_time()
    play(env, arrays=arrays)
    wall_s, cpu_s = perf_counter() - wall, process_time() - cpu
    devices = game.n_households * len(kinds)
    result = {
        "devices": devices,
        "cpu_us_per_device_step": 1e6 * cpu_s / (devices * n_steps),
        "per_cpu_second": devices * n_steps / cpu_s,
        "wall_s": wall_s,
        "built_cpu_s": built_s,
    }
    print(json.dumps({name: float(f"{value:.4g}") for name, value in result.items()}))


if __name__ == "__main__":
    named = [argument for argument in sys.argv[3:] if argument != "arrays"]
    all_kinds = ["electric_vehicle", "heat_pump", "deferrable"]
    main(int(sys.argv[1]), int(sys.argv[2]), named or all_kinds, arrays="arrays" in sys.argv[3:])
