"""`grid-cosim train`: the policy of one kind of device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli import completion
from grid_cosim.cli.boundary import Debug, Json, Overrides, Quiet, Screen, bounded


@bounded
def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="Training recipe (TOML), such as policies/heat_pump.toml.",
            autocompletion=completion.recipes,
        ),
    ],
    target: Annotated[
        Path | None,
        typer.Option("--out", help="Checkpoint to write; beside the recipe or the scenario if left out."),
    ] = None,
    homes: Annotated[
        Path | None,
        typer.Option(
            "--homes",
            metavar="SCENARIO",
            help="Train a private policy for every home of this scenario.",
            autocompletion=completion.scenarios,
        ),
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train the policy of one kind of device; an interrupted training goes on where it was.

    For example:
        grid-cosim train policies/heat_pump.toml
        grid-cosim train policies/heat_pump.toml --out mine.safetensors
        grid-cosim train policies/heat_pump.toml --homes scenarios/cold_evening.toml
    """
    import torch

    from grid_cosim.policies.checkpoint import save_policy
    from grid_cosim.policies.prices import load_recorded_prices
    from grid_cosim.policies.recipe import load_recipe
    from grid_cosim.training_command import recipe_and_checkpoint, training_of

    screen = Screen(as_json=as_json, quiet=quiet)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small batches: more threads at one of them only wait for each other
    recipe, checkpoint = recipe_and_checkpoint(recipe, target, homes)
    loaded = load_recipe(recipe)
    training = training_of(loaded, recipe, homes, overrides or (), threads)
    named = loaded.recorded_prices
    recorded = load_recorded_prices(recipe.parent / named) if named else None
    state = checkpoint.with_name(checkpoint.name + ".training")

    def kept() -> list[Path]:
        return [path for path in state.parent.iterdir() if path.name.startswith(state.name)]

    if kept():
        screen.note(f"Going on with {state}")
    with screen.bars() as bars:
        task = bars.add_task(loaded.device.rpartition(":")[2], total=None, note="")

        def advance(done: int, of: int, loss: float) -> None:
            bars.update(task, completed=done, total=of, note=f"loss {loss:.4f} EUR/day")

        try:
            policy = training(recorded=recorded, state_path=state, progress=advance)
        except KeyboardInterrupt as interrupt:
            then = f"the same command goes on from {state}" if kept() else "too early to go on from"
            interrupt.add_note(f"Stopped; {then}")
            raise
    save_policy(policy, checkpoint)
    for path in kept():
        path.unlink()
    screen.say(f"Wrote {checkpoint}")
    screen.bare(checkpoint)
    screen.document({"device": loaded.device, "checkpoint": checkpoint})
