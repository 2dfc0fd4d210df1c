"""`grid-cosim run`: from a scenario to results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from grid_cosim.cli import completion
from grid_cosim.cli.boundary import Debug, Json, Overrides, Quiet, Screen, bounded
from grid_cosim.cli.tables import results_document, show_results
from grid_cosim.errors import GridCosimError


def default_folder(scenario: Path) -> Path:
    """Where results go unless told: by the name of the file, or where all are called alike of its folder.

    Raises `GridCosimError` where the scenario lies there: it is that of results, which would be replaced.
    """
    named = scenario.stem if scenario.stem != "scenario" else scenario.resolve().parent.name
    target = Path("runs") / (named or scenario.stem)
    if scenario.is_file() and scenario.resolve().parent == target.resolve():
        raise GridCosimError(
            f"{scenario}: is that of the results in {target}, which new ones would replace. Name another "
            "folder with --out."
        )
    return target


@bounded
def run(
    scenario: Annotated[
        Path,
        typer.Argument(
            help="Scenario file (TOML), or the name of a shipped one.", autocompletion=completion.scenarios
        ),
    ],
    overrides: Overrides = None,
    controllers: Annotated[
        str | None,
        typer.Option(
            help="Controllers to run, comma-separated, instead of the scenario's.",
            autocompletion=completion.controllers,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Results folder; if left out, runs/<scenario>, for a scenario.toml runs/<its folder>.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same command was interrupted.")
    ] = False,
    checkpoint_s: Annotated[
        float,
        typer.Option(
            "--checkpoint-every", min=0.0, metavar="SECONDS", help="How much work a crash may cost at most."
        ),
    ] = 30.0,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a scenario under each of its controllers, on identical homes, weather and arrivals.

    For example:
        grid-cosim run cold_evening
        grid-cosim run cold_evening --set feeder.source=schutterwald:12
        grid-cosim run mine.toml --controllers uncontrolled,consensus --out runs/a
        grid-cosim run mine.toml --set seed=7 --json > seed_7.json
        grid-cosim run mine.toml --resume
    """
    from grid_cosim.feeder.catalogue import check_source
    from grid_cosim.scenario import load_scenario

    screen = Screen(as_json=as_json, quiet=quiet)
    changes = list(overrides or ())
    if controllers is not None:
        names = [name.strip() for name in controllers.split(",") if name.strip()]
        changes.append("controllers=[" + ", ".join(f'"{name}"' for name in names) + "]")
    loaded = load_scenario(scenario, changes)
    target = default_folder(scenario) if folder is None else folder

    check_source(loaded.feeder.source)  # before what takes seconds to import

    from grid_cosim.resuming import Left, given_up
    from grid_cosim.runner import run as run_scenario

    if resume:
        screen.say(f"Resuming: {Left.by(target).said}")
    elif (lost := given_up(target)) is not None:
        screen.note(
            f"Beginning anew: {lost.folder} ({lost.said}) is given up; "
            "Ctrl-C now, and the same command with --resume goes on from there."
        )
    with screen.bars() as bars:
        advance = _shown_by(bars, loaded.feeder.source)
        results = run_scenario(loaded, out=target, progress=advance, resume=resume, checkpoint_s=checkpoint_s)
    show_results(results, screen)
    screen.say(f"Results in {target}, report in {target / 'report.html'}")
    screen.bare(target)
    screen.document(results_document(results, target))


def _shown_by(bars: Progress, source: str) -> Callable[[str, int, int], None]:
    """What the runner tells, as bars: one while it prepares, one for each controller."""
    preparing = bars.add_task("preparing", total=1, note=source)
    tasks: dict[str, TaskID] = {}

    def advance(controller: str, done: int, of: int) -> None:
        bars.update(preparing, completed=1)
        if controller not in tasks:
            note = "solving for all steps" if controller == "optimum" else ""
            tasks[controller] = bars.add_task(controller, total=of, note=note)
        if done:
            bars.update(tasks[controller], completed=done, note="")

    return advance
