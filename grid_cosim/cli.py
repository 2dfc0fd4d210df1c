"""The command line: arguments, progress, tables, and the one place where errors become exit codes.

Exit codes: 0 all well; 2 the input cannot be used; 1 a run or a training did not reach its end;
130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from grid_cosim.errors import GridCosimError, RunError

app = typer.Typer(
    name="grid-cosim",
    help="What happens to a feeder when everyone has an electric car and a heat pump, "
    "and what coordination can do about it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
out = Console()
err = Console(stderr=True)


Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a value of the scenario, such as feeder.source=schutterwald:12.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def main() -> None:
    """Entry point of the console script; devices of one's own are imported from the current folder."""
    sys.path.insert(0, str(Path.cwd()))
    app()


def bounded(command: Callable[..., None]) -> Callable[..., None]:
    """The error boundary: one message and an exit code, the traceback only with `--debug`."""

    @functools.wraps(command)
    def inside(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        try:
            command(*args, debug=debug, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            err.print("Interrupted.", style="yellow")
            _show_notes(sys.exception())
            raise typer.Exit(130) from None
        except Exception as error:
            if debug:
                raise
            known = isinstance(error, GridCosimError)
            what = str(error) if known else f"{type(error).__name__}: {error}"
            err.print("error: ", style="bold red", end="")
            err.print(what, markup=False, highlight=False, soft_wrap=True)
            _show_notes(error)
            if not known and not isinstance(error, OSError):  # a full disk, say, is nobody's mistake
                err.print("This is a mistake of ours; --debug shows where. Please report it.")
            raise typer.Exit(1 if isinstance(error, RunError) or not known else 2) from None

    return inside


def _show_notes(error: BaseException | None) -> None:
    for note in getattr(error, "__notes__", ()):
        err.print(note, markup=False, highlight=False, soft_wrap=True)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=err,
    )


@app.command()
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

    from grid_cosim.runner import run as run_scenario

    with _progress() as bars:
        preparing = bars.add_task("preparing", total=1, note=loaded.feeder.source)
        tasks: dict[str, Any] = {}

        def advance(controller: str, done: int, of: int) -> None:
            bars.update(preparing, completed=1)
            if controller not in tasks:
                note = "solving for all steps" if controller == "optimum" else ""
                tasks[controller] = bars.add_task(controller, total=of, note=note)
            if done:
                bars.update(tasks[controller], completed=done, note="")

        results = run_scenario(loaded, out=target, progress=advance)
        bars.update(preparing, completed=1)
    _show_warnings(results)
    _show_kpis(results)
    out.print(f"Results in {target}, report in {target / 'report.html'}", soft_wrap=True, highlight=False)


def _show_warnings(results: Any) -> None:
    """What the report says at its top."""
    from grid_cosim.report.reading import warnings

    for warning in warnings(results):
        err.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _show_kpis(results: Any) -> None:
    from grid_cosim.metrics import is_good, kpis, told, voltage_band

    values, band = kpis(results), voltage_band(results)
    table = Table(title=results.basis.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("")
    for controller in values:
        table.add_column(controller, justify="right")
    for name in told(values):
        cells = []
        for controller, run_values in values.items():
            good = is_good(name, controller, values, band)
            colour = {True: "green", False: "red", None: "default"}[good]
            cells.append(f"[{colour}]{_number(run_values[name])}[/]")
        table.add_row(name, *cells)
    out.print(table)


def _number(value: float) -> str:
    if value != value:
        return "–"
    if abs(value) < 1e-12 or 0.01 <= abs(value) < 1e6:
        return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.3f}"
    return f"{value:.1e}"


@app.command()
@bounded
def feeders(debug: Debug = False) -> None:
    """List the feeders at hand: buses, homes, transformers, loading as shipped."""
    from grid_cosim.feeder.catalogue import list_feeders, simbench_codes

    table = Table(
        title="Feeders",
        title_justify="left",
        title_style="bold",
        caption="loading: of the most loaded transformer, as shipped",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("name", no_wrap=True)
    for heading in ("buses", "homes", "heat\npumps", "trans-\nformers", "loading"):
        table.add_column(heading, justify="right", no_wrap=True)
    roomy = out.width >= 100  # else the words would take a line each
    if roomy:
        table.add_column("what")
    for feeder in list_feeders():
        table.add_row(
            feeder.name,
            f"{feeder.buses:,}",
            f"{feeder.homes:,}",
            f"{feeder.heat_pumps:,}",
            f"{feeder.transformers:,}",
            f"{feeder.loading_percent:.0f} %",
            *([feeder.what] if roomy else ()),
        )
    out.print(table)
    out.print(
        f"Besides, all {len(simbench_codes())} SimBench grids by their code (simbench:<code>), and any "
        "pandapower network as a .json or .xlsx file.",
        highlight=False,
    )


@app.command()
@bounded
def train(
    recipe: Annotated[Path, typer.Argument(help="Training recipe (TOML), such as policies/heat_pump.toml.")],
    target: Annotated[
        Path | None,
        typer.Option("--out", help="Checkpoint to write; beside the recipe or the scenario if left out."),
    ] = None,
    homes: Annotated[
        Path | None,
        typer.Option(
            "--homes", metavar="SCENARIO", help="Train a private policy for every home of this scenario."
        ),
    ] = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Train the policy of one kind of device; an interrupted training goes on where it was.

    Example: grid-cosim train policies/heat_pump.toml --homes scenarios/cold_evening.toml
    """
    import torch

    from grid_cosim.policies.checkpoint import save_policy
    from grid_cosim.policies.prices import load_recorded_prices
    from grid_cosim.policies.recipe import load_recipe
    from grid_cosim.training_command import recipe_and_checkpoint, training_of

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
        err.print(f"Going on with {state}", highlight=False)
    with _progress() as bars:
        task = bars.add_task(loaded.device.rpartition(":")[2], total=None, note="")

        def advance(done: int, of: int, loss: float) -> None:
            bars.update(task, completed=done, total=of, note=f"loss {loss:.4f} EUR/day")

        try:
            policy = training(recorded=recorded, state_path=state, progress=advance)
        except KeyboardInterrupt:
            then = f"the same command goes on from {state}" if kept() else "too early to go on from"
            err.print(f"Stopped; {then}", highlight=False)
            raise
    save_policy(policy, checkpoint)
    for path in kept():
        path.unlink()
    out.print(f"Wrote {checkpoint}", highlight=False, soft_wrap=True)


@app.command()
@bounded
def report(
    folder: Annotated[Path, typer.Argument(help="Results folder of an earlier run.")], debug: Debug = False
) -> None:
    """Write the KPIs and the report of a results folder anew, without running anything."""
    from grid_cosim.metrics import write_kpis
    from grid_cosim.report import write_report
    from grid_cosim.results import Results

    results = Results.load(folder)
    write_kpis(results, folder)
    path = write_report(results, folder / "report.html")
    _show_warnings(results)
    _show_kpis(results)
    out.print(f"Wrote {path}", highlight=False, soft_wrap=True)


@app.command()
@bounded
def benchmark(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...",
            help="consensus, scaling, rounds, steps, optimum, or a TOML file of that name with sizes and "
            "seeds of your own; all if left out.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The small variant, a minute or so.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of tables and page; runs/claims if left out.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Cases side by side; -1 for one per core.")] = -1,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Only draw figures and page anew, from the tables there.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a table there of other sizes and seeds.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Put the claims of the method to the test; interrupted, the same command goes on from finished cases.

    Example: grid-cosim benchmark rounds --quick
    """
    from grid_cosim.study import STUDIES, run_study, write_page
    from grid_cosim.study.study import study_file

    target = Path("runs") / ("claims_quick" if quick else "claims") if folder is None else folder
    if redraw:
        named = [study_file(study).stem for study in studies or ()]
        out.print(f"Wrote {write_page(target, named)}", highlight=False, soft_wrap=True)
        return
    with _progress() as bars:
        for study in studies or STUDIES:
            task = bars.add_task(Path(study).stem, total=None, note="")

            def advance(done: int, of: int, last: str, task: Any = task) -> None:
                bars.update(task, completed=done, total=of, note=last)

            run_study(study, out=target, quick=quick, jobs=jobs, force=force, progress=advance)
    out.print(f"Page in {target / 'README.md'}", highlight=False, soft_wrap=True)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        out.print(version("grid-cosim"), highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


if __name__ == "__main__":
    main()
