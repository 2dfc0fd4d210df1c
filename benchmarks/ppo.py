"""Model-free PPO against the shipped policy of the same device, which was trained through its dynamics.

    python benchmarks/ppo.py [UPDATES] [KIND ...]

Both meet the same devices and prices, drawn as the kind's recipe draws them, but with a seed that no
training had; recorded prices come from the same file. What counts is the recipe's weighted mean cost per
device and day. Then each in turn serves all devices of its kind in the scenario; their gap is by how much the
total cost of `consensus` then lies above the optimum's.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import process_time

import torch

from grid_cosim.metrics import kpis
from grid_cosim.policies.checkpoint import Policy, load_policy, policy_features, save_policy
from grid_cosim.policies.episode import Episode, draw_episode, rollout_cost
from grid_cosim.policies.household_game import HouseholdGame
from grid_cosim.policies.ppo import train_ppo
from grid_cosim.policies.prices import load_recorded_prices
from grid_cosim.policies.recipe import POPULATIONS, load_recipe
from grid_cosim.policies.training import sample_weight
from grid_cosim.runner import run
from grid_cosim.scenario import load_scenario
from grid_cosim.shipped import shipped

DEVICES_PER_UPDATE = 128
EVALUATED, UNSEEN_SEED = 2048, 1_000_001
SCENARIO, OVERRIDES = "cold_evening.toml", ["controllers=['consensus', 'optimum']"]


def main(updates: int, kinds: list[str]) -> None:
    """Train and print a row per kind."""
    torch.set_num_threads(1)
    columns = [
        "uncontrolled",
        "PPO",
        "shipped",
        "of its savings",
        "gap, PPO",
        "gap, shipped",
        "training, CPU s",
    ]
    print(f"| device | {' | '.join(columns)} |")
    print(f"|---{'|---:' * len(columns)}|")
    gap_of_shipped = gap_percent([])
    for kind in kinds:
        path = shipped("policies") / f"{kind}.toml"
        recipe = load_recipe(path)
        recorded = load_recorded_prices(path.parent / recipe.recorded_prices)
        large = replace(recipe, devices_per_update=EVALUATED)
        episode = draw_episode(large, torch.Generator().manual_seed(UNSEEN_SEED), recorded=recorded)
        features = policy_features(episode.device)
        weight = sample_weight(large, episode)

        def cost(policy: Policy, episode: Episode = episode, weight: torch.Tensor = weight) -> float:
            with torch.no_grad():
                return float((weight * rollout_cost(policy.network, episode)).mean())

        began = process_time()
        learned = train_ppo(
            replace(recipe, method="ppo", updates=updates, devices_per_update=DEVICES_PER_UPDATE),
            recorded=recorded,
            progress=lambda done, of, loss: print(f"\r{done}/{of} {loss:.3f}", end="", file=sys.stderr),
        )
        took_s = process_time() - began
        free = float((weight * uncontrolled_cost(episode)).mean())
        ppo = cost(learned)
        known = cost(load_policy(path.with_suffix(".safetensors"), kind=kind, feature_names=features))
        share = 100.0 * (free - ppo) / (free - known)
        with tempfile.TemporaryDirectory() as folder:
            save_policy(learned, Path(folder) / "ppo.safetensors")
            gap = gap_percent([f"devices.{kind}.policy={(Path(folder) / 'ppo.safetensors').as_posix()}"])
        print(
            f"| {kind} | {free:.3f} | {ppo:.3f} | {known:.3f} | {share:.0f} % | {gap:.3f} % | "
            f"{gap_of_shipped:.3f} % | {took_s:.0f} |",
            flush=True,
        )


def gap_percent(overrides: list[str]) -> float:
    """By how much the total cost of the scenario lies above the optimum's."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = load_scenario(SCENARIO, [*OVERRIDES, *overrides])
        results = run(scenario, out=Path(folder) / "run", report=False)  # its tables lie in the folder
        return kpis(results)["consensus"]["total_cost_gap_percent"]


def uncontrolled_cost(episode: Episode) -> torch.Tensor:
    """What the episode costs each device if nobody controls it."""
    game, device = HouseholdGame(episode), episode.device
    state, total = game.init(), torch.zeros(device.n_devices)
    for step in range(episode.n_steps):
        inputs = episode.drive.at(step)
        low, high = device.bounds(state, inputs)
        fraction = (device.uncontrolled_kw(state, inputs) - low) / (high - low).clamp(min=1e-9)
        state, cost = game.step(state, fraction, step)
        total = total + cost
    return total


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300, sys.argv[2:] or list(POPULATIONS))
