"""The command line: arguments, progress, tables, and the one place where errors become exit codes.

Exit codes: 0 all well; 2 the input cannot be used; 1 a run or a training did not reach its end;
130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli.benchmark import benchmark
from grid_cosim.cli.boundary import out
from grid_cosim.cli.feeders import feeders
from grid_cosim.cli.new import new
from grid_cosim.cli.run import report, run
from grid_cosim.cli.train import train

app = typer.Typer(
    name="grid-cosim",
    help="What happens to a feeder when everyone has an electric car and a heat pump, "
    "and what coordination can do about it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (run, new, feeders, train, report, benchmark):
    app.command()(command)


def main() -> None:
    """Entry point of the console script; devices of one's own are imported from the current folder."""
    sys.path.insert(0, str(Path.cwd()))
    app()


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
