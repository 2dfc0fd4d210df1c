"""Random actions in EV2Gym; prints device-steps per CPU-second as JSON.

    python benchmarks/peers/devices_ev2gym.py STATIONS STEPS [SPAWN]

The package's own configuration `V2GProfitMax.yaml` with private charging stations of one port each, 20 of
them to a transformer, and no power flow. SPAWN, its `spawn_multiplier`, says how many cars come.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import ev2gym
import numpy as np
import yaml
from ev2gym.models.ev2gym_env import EV2Gym
from ev2gym.rl_agent.reward import profit_maximization
from ev2gym.rl_agent.state import V2G_profit_max

STATIONS_PER_TRANSFORMER = 20


def main(n_stations: int, n_steps: int, spawn: int | None) -> None:
    """Print what the second of two episodes came to."""
    package = Path(ev2gym.__file__).parent
    config = yaml.safe_load((package / "example_config_files/V2GProfitMax.yaml").read_text())
    config |= {
        "ev_specs_file": str(package.parent / config["ev_specs_file"]),
        "number_of_charging_stations": n_stations,
        "number_of_transformers": n_stations // STATIONS_PER_TRANSFORMER,
        "number_of_ports_per_cs": 1,
        "simulation_length": n_steps,
        "simulate_grid": False,
        "scenario": "private",
    }
    if spawn is not None:
        config["spawn_multiplier"] = spawn
    began = process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        env = EV2Gym(str(file), seed=1, state_function=V2G_profit_max, reward_function=profit_maximization)
    built_s = process_time() - began
    rng = np.random.default_rng(0)
    for _ in range(2):
        env.reset(seed=1)
        env.done = False  # its reset leaves that as it was
        connected = 0
        wall, cpu = perf_counter(), process_time()
        for _ in range(n_steps):
            *_, info = env.step(rng.uniform(env.action_space.low, env.action_space.high))
            connected += int(info["action_mask"].sum())
        wall_s, cpu_s = perf_counter() - wall, process_time() - cpu
    result = {
        "devices": n_stations,
        "cpu_us_per_device_step": 1e6 * cpu_s / (n_stations * n_steps),
        "per_cpu_second": n_stations * n_steps / cpu_s,
        "wall_s": wall_s,
        "built_cpu_s": built_s,
        "share_of_stations_with_a_car": connected / (n_stations * n_steps),
    }
    print(json.dumps({name: float(f"{value:.4g}") for name, value in result.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
