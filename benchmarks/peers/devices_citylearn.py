"""Random actions in CityLearn; prints device-steps per CPU-second as JSON.

    python benchmarks/peers/devices_citylearn.py BUILDINGS STEPS DATASET

DATASET is the folder `data/datasets/citylearn_challenge_2022_phase_all` of CityLearn's repository: 17
houses with PV and a battery, which is what is acted on. They are repeated under new names until there are
as many as wanted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from citylearn.citylearn import CityLearnEnv


def main(n_buildings: int, n_steps: int, folder: Path) -> None:
    """Print what the second of two episodes came to."""
    schema = json.loads((folder / "schema.json").read_text())
    originals = list(schema["buildings"].values())
    schema["root_directory"] = str(folder)
    schema["buildings"] = {f"Building_{i + 1}": originals[i % len(originals)] for i in range(n_buildings)}
    began = process_time()
    env = CityLearnEnv(
        schema, central_agent=False, simulation_end_time_step=n_steps, episode_time_steps=n_steps + 1
    )
    built_s = process_time() - began
    rng = np.random.default_rng(0)
    low, high = (np.stack([getattr(space, side) for space in env.action_space]) for side in ("low", "high"))
    for _ in range(2):
        env.reset()
        done = steps = 0
        wall, cpu = perf_counter(), process_time()
        while not done:
            _, _, terminated, truncated, _ = env.step(list(rng.uniform(low, high)))
            done = terminated or truncated
            steps += 1
        wall_s, cpu_s = perf_counter() - wall, process_time() - cpu
    devices = low.size
    result = {
        "devices": devices,
        "steps": steps,
        "cpu_us_per_device_step": 1e6 * cpu_s / (devices * steps),
        "per_cpu_second": devices * steps / cpu_s,
        "wall_s": wall_s,
        "built_cpu_s": built_s,
    }
    print(json.dumps({name: float(f"{value:.4g}") for name, value in result.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
