"""How many devices an environment moves on per CPU-second, with random actions and no policy.

    python benchmarks/environment.py [HOMES ...]          # 100, 1,000 and 10,000 if left out

Every home owns a car, a heat pump and a deferrable load, 20 homes share a limit, and an episode is a winter
day of quarter hours. A device-step is one device over one control step. Counted is the process's CPU time
for drawing the actions, stepping and, in the rows that say so, what every home observes; not the drawing of
the fleet. One thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from grid_cosim.environments.core import FleetGame
from grid_cosim.environments.fleet_env import FleetEnv
from grid_cosim.environments.villages import Village

REPETITIONS = 7
SHARES = {"electric_vehicle": 1.0, "heat_pump": 1.0, "deferrable": 1.0}
HOMES_PER_LIMIT = 20


def play_arrays(game: FleetGame, *, observing: bool) -> None:
    """An episode of the game over arrays."""
    state, generator = game.init(), torch.Generator().manual_seed(0)
    for step in range(game.n_steps):
        if observing:
            game.observe(state, step)
        fraction = torch.rand(game.n_households, len(game.kinds), generator=generator)
        state, _ = game.step(state, game.powers_kw(state, fraction, step), step)


def play_dictionaries(env: FleetEnv) -> None:
    """An episode in PettingZoo's dictionaries; they always hold the observations."""
    env.reset(seed=0)
    rng, shape = np.random.default_rng(0), (env.game.n_households, len(env.game.kinds))
    while env.agents:
        env.step(dict(zip(env.agents, rng.random(shape, dtype=np.float32), strict=True)))


def cpu_seconds(play: Callable[[], None]) -> list[float]:
    """Of every repetition, after one that is not counted."""
    play()
    spent = []
    for _ in range(REPETITIONS):
        began = process_time()
        play()
        spent.append(process_time() - began)
    return spent


def main(sizes: list[int]) -> None:
    """Print device-steps per CPU-second: the median of the repetitions, and the best."""
    torch.set_num_threads(1)
    print(f"{'homes':>7}  {'what is played':36} {'median':>12} {'best':>12}  device-steps per CPU-second")
    for n_homes in sizes:
        game = Village(HOMES_PER_LIMIT, shares=SHARES).draw(n_homes // HOMES_PER_LIMIT, seed=1)
        env = FleetEnv(lambda _, fleet=game.fleet: fleet, game.coupling, game.limit_kw)
        device_steps = sum(group.device.n_devices for group in game.fleet.groups) * game.n_steps
        for what, play in {
            "FleetGame, nobody observes": lambda game=game: play_arrays(game, observing=False),
            "FleetGame, everybody observes": lambda game=game: play_arrays(game, observing=True),
            "FleetEnv (PettingZoo's dictionaries)": lambda env=env: play_dictionaries(env),
        }.items():
            spent = cpu_seconds(play)
            per_second = f"{device_steps / median(spent):12,.0f} {device_steps / min(spent):12,.0f}"
            print(f"{game.n_households:>7,}  {what:36} {per_second}")


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        main([int(homes) for homes in sys.argv[1:]] or [100, 1_000, 10_000])
