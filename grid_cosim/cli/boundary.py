"""What all commands share: the screens, the options, progress, and where errors become exit codes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from grid_cosim.errors import GridCosimError, RunError

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


def progress_bars() -> Progress:
    """Bars on stderr: name, how much of all, time gone and left, a note."""
    return Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=err,
    )
