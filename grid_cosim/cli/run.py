"""`grid-cosim run` and `grid-cosim report`: from a scenario to results, and the page of those anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from grid_cosim.cli.boundary import Debug, Overrides, bounded, err, out, progress_bars
from grid_cosim.cli.tables import show_kpis, show_warnings


@bounded
def run(
    scenario: Annotated[Path, typer.Argument(help="Scenario file (TOML), or the name of a shipped one.")],
    overrides: Overrides = None,
    controllers: Annotated[
        str | None, typer.Option(help="Controllers to run, comma-separated, instead of the scenario's.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Results folder; runs/<scenario> if left out.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same command was interrupted.")
    ] = False,
    checkpoint_s: Annotated[
        float,
        typer.Option(
            "--checkpoint-every", min=0.0, metavar="SECONDS", help="How much work may be lost to a crash."
        ),
    ] = 30.0,
    debug: Debug = False,
) -> None:
    """Run a scenario under each of its controllers, on identical homes, weather and arrivals.

    Example: grid-cosim run scenarios/cold_evening.toml --set feeder.source=schutterwald:12 --set seed=7
    """
    from grid_cosim.scenario import load_scenario

    changes = list(overrides or ())
    if controllers is not None:
        names = [name.strip() for name in controllers.split(",") if name.strip()]
        changes.append("controllers=[" + ", ".join(f'"{name}"' for name in names) + "]")
    loaded = load_scenario(scenario, changes)
    target = Path("runs") / scenario.stem if folder is None else folder

    from grid_cosim.resuming import Left
    from grid_cosim.runner import run as run_scenario

    if resume:
        err.print(f"Resuming: {Left.by(target).said}", highlight=False, soft_wrap=True)
    with progress_bars() as bars:
        preparing = bars.add_task("preparing", total=1, note=loaded.feeder.source)
        tasks: dict[str, Any] = {}

        def advance(controller: str, done: int, of: int) -> None:
            bars.update(preparing, completed=1)
            if controller not in tasks:
                note = "solving for all steps" if controller == "optimum" else ""
                tasks[controller] = bars.add_task(controller, total=of, note=note)
            if done:
                bars.update(tasks[controller], completed=done, note="")

        results = run_scenario(loaded, out=target, progress=advance, resume=resume, checkpoint_s=checkpoint_s)
        bars.update(preparing, completed=1)
    show_warnings(results)
    show_kpis(results)
    out.print(f"Results in {target}, report in {target / 'report.html'}", soft_wrap=True, highlight=False)


@bounded
def report(
    folder: Annotated[Path, typer.Argument(help="Results folder of an earlier run.")], debug: Debug = False
) -> None:
    """Write the KPIs and the report of a results folder anew, without running anything."""
    from grid_cosim.analysis import Results
    from grid_cosim.metrics import write_kpis
    from grid_cosim.report import write_report

    results = Results.load(folder)
    write_kpis(results, folder)
    path = write_report(results, folder / "report.html")
    show_warnings(results)
    show_kpis(results)
    out.print(f"Wrote {path}", highlight=False, soft_wrap=True)
