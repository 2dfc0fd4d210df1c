"""What all commands share: their options, their help, and the one place where errors become exit codes."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from grid_cosim.cli import completion
from grid_cosim.cli.screen import Screen, err, out, write_json
from grid_cosim.errors import GridCosimError, RunError, ScenarioError

__all__ = ["Debug", "Json", "Overrides", "Quiet", "Screen", "add", "bounded", "err", "out"]

FINE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
EXIT_CODES = {
    FINE: "All well.",
    FAILED: "A run or a training did not reach its end, or a mistake of ours.",
    UNUSABLE: "The command or its input cannot be used; the message says what to do.",
    INTERRUPTED: "Interrupted by Ctrl-C.",
}

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a value of the scenario, such as feeder.source=schutterwald:12.",
        autocompletion=completion.settings,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, tables or warnings; only what was written.")
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error, and warnings of libraries.")
]


def bounded(command: Callable[..., None]) -> Callable[..., None]:
    """The error boundary: one message and an exit code, the traceback only with `--debug`."""

    @functools.wraps(command)
    def inside(*args: Any, **options: Any) -> None:
        as_json = bool(options.get("as_json"))
        try:
            command(*args, **options)
        except typer.Exit:
            raise
        except KeyboardInterrupt as interrupt:
            report_error(interrupt, "Interrupted.", as_json=as_json, code=INTERRUPTED)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if options.get("debug"):
                raise
            known = isinstance(error, GridCosimError)
            code = FAILED if isinstance(error, RunError) or not known else UNUSABLE
            if not known and not isinstance(error, OSError):  # a full disk, say, is nobody's mistake
                error.add_note("This is a mistake of ours; --debug shows where. Please report it.")
            message = str(error) if known else f"{type(error).__name__}: {error}"
            if isinstance(error, OSError) and error.filename and error.strerror:
                message = f"{error.filename}: {error.strerror}"
            report_error(error, message, as_json=as_json, code=code)
            raise typer.Exit(code) from None

    return inside


def report_error(error: BaseException, message: str, *, as_json: bool, code: int) -> None:
    """One message on stderr; with `as_json` the same as a document on stdout."""
    notes = list(getattr(error, "__notes__", ()))
    if as_json:
        said = {"kind": type(error).__name__, "message": message, "notes": notes}
        problems = {"problems": error.problems} if isinstance(error, ScenarioError) else {}
        write_json({"error": {**said, **problems}, "exit_code": code})
    if code == INTERRUPTED:
        err.print(message, style="yellow")
    else:
        err.print("error: ", style="bold red", end="")
        err.print(message, markup=False, highlight=False, soft_wrap=True)
    for note in notes:
        err.print(note, markup=False, highlight=False, soft_wrap=True)


def add(app: typer.Typer, command: Callable[..., None]) -> None:
    """Register a command; of its docstring the lines after `For example:` stand below all options."""
    parts = re.split(r"^(?:For example|Example):\s", inspect.getdoc(command) or "", flags=re.MULTILINE)
    lines = [line.strip().replace("[", r"\[") for line in "".join(parts[1:]).splitlines() if line.strip()]
    app.command(help=parts[0].strip(), epilog="\n\n".join(["[bold]For example[/]", *lines]))(command)
