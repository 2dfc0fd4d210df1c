"""What `grid-cosim train` trains, and which files it reads and writes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grid_cosim.assembly import scenario_devices, scenario_feeder
from grid_cosim.policies.checkpoint import PolicyError, load_policy, policy_features
from grid_cosim.policies.private_training import train_private
from grid_cosim.policies.recipe import Recipe, RecipeError
from grid_cosim.policies.training import train
from grid_cosim.scenario import load_scenario
from grid_cosim.shipped import shipped

_SUFFIX = ".safetensors"
"""Of a checkpoint."""


def training_of(
    recipe: Recipe, file: Path, homes: Path | None, overrides: Sequence[str], threads: int
) -> Callable[..., Any]:
    """What trains by a recipe, read from `file`: one policy for all, or one for every home of a scenario."""
    if homes is None:
        return functools.partial(_by_method(recipe.method), recipe)
    if recipe.method == "ppo":
        raise RecipeError(str(file), "method: got 'ppo', expected 'dynamics' with --homes")
    return _private_training(recipe, file.with_suffix(_SUFFIX), homes, overrides, threads)


def _by_method(method: str) -> Callable[..., Any]:
    """What trains a shared policy."""
    if method == "ppo":
        from grid_cosim.policies.ppo import train_ppo  # needs the extra [rl]

        return train_ppo
    return train


def recipe_and_checkpoint(recipe: Path, target: Path | None, homes: Path | None) -> tuple[Path, Path]:
    """The recipe's file, a shipped one where there is none of that name, and the checkpoint to write."""
    beside = recipe.with_suffix(_SUFFIX)
    if not recipe.is_file() and (shipped("policies") / recipe.name).is_file():
        recipe, beside = shipped("policies") / recipe.name, Path(beside.name)
    if homes is not None:
        beside = homes.with_name(f"{homes.stem}_{recipe.stem}{_SUFFIX}")
    checkpoint = beside if target is None else target
    if checkpoint.suffix != _SUFFIX:
        raise PolicyError(checkpoint, "no name for a policy", f"Give one that ends in {_SUFFIX}.")
    if checkpoint.is_dir():
        raise PolicyError(checkpoint, "this is a folder", "Name a file with --out.")
    if not checkpoint.parent.is_dir():
        raise PolicyError(checkpoint, "there is no such folder", "Make it first, or correct --out.")
    return recipe, checkpoint


def _private_training(
    recipe: Recipe, shared: Path, homes: Path, overrides: Sequence[str], threads: int
) -> Callable[..., Any]:
    """The training of all homes of a scenario; `shared` is the policy with which they may begin."""
    scenario = load_scenario(homes, overrides)
    names, device = scenario_devices(scenario, scenario_feeder(scenario), recipe.device, dt_h=recipe.dt_h)
    begin = None
    if recipe.private.begin == "shared":
        kind = recipe.make_population().kind
        begin = load_policy(shared, kind=kind, feature_names=policy_features(device))
        if begin.homes:
            raise PolicyError(
                shared,
                "private policies, but private.begin = 'shared' wants one that serves everybody",
                "Train it by the recipe without --homes, or begin = 'random'.",
            )
    own = recipe.for_homes(scenario.devices[recipe.device].population)
    return functools.partial(train_private, own, device, names, begin=begin, threads=threads)
