"""The commands as one: wrong arguments are said like any other error, and consoles cannot make it fail."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from grid_cosim.cli.boundary import UNUSABLE, report_error

_UsageError: Any = typer.BadParameter.__mro__[1]  # of click, or of the click that newer typers carry


class Commands(TyperGroup):
    """What is wrong with the arguments becomes one message, or with `--json` a document, and exit code 2."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run what `args` ask for, by default the command line; ends the process unless told otherwise."""
        words = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except _UsageError as error:
            where = "grid-cosim" if error.ctx is None else error.ctx.command_path
            message = f"{error.format_message().rstrip('.')}. See: {where} --help"
            report_error(error, message, as_json="--json" in words, code=UNUSABLE)
            code = UNUSABLE
        if standalone_mode:
            sys.exit(code or 0)
        return code


def silence_libraries() -> None:
    """Keep from the screen what libraries say to programmers, such as that a function will be renamed.

    What a user can act on is said by us, through `Screen.warn` or as an error. `--debug` and Python's own
    `-W` leave everything as it is; in tests nothing is silenced and every warning is an error.
    """
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # else Python prints them on stderr


def forgiving_streams() -> None:
    """Show `?` for a sign that the console does not know, such as λ in a Windows code page."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
