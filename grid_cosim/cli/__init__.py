"""The command line: arguments, progress, tables, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli.benchmark import benchmark
from grid_cosim.cli.boundary import UNUSABLE, add
from grid_cosim.cli.compare import compare
from grid_cosim.cli.completion import join_bash_words
from grid_cosim.cli.export import export
from grid_cosim.cli.feeders import feeders
from grid_cosim.cli.group import Commands, forgiving_streams, silence_libraries
from grid_cosim.cli.new import new
from grid_cosim.cli.plot import plot
from grid_cosim.cli.report import report
from grid_cosim.cli.run import run
from grid_cosim.cli.train import train
from grid_cosim.cli.version import version

app = typer.Typer(
    name="grid-cosim",
    cls=Commands,
    help="What happens to a feeder when everyone has an electric car and a heat pump, "
    "and what coordination can do about it.",
    epilog="[bold]Begin with[/]\n\ngrid-cosim run cold_evening",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (run, new, report, compare, plot, export, feeders, train, benchmark, version):
    add(app, command)


def main() -> None:
    """Entry point of the console script; devices of one's own are imported from the current folder."""
    sys.path.insert(0, str(Path.cwd()))
    forgiving_streams()
    join_bash_words(os.environ)
    if "--debug" not in sys.argv and not sys.warnoptions:
        silence_libraries()
    app(prog_name="grid-cosim")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("grid-cosim"))
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)
        raise typer.Exit(UNUSABLE)
