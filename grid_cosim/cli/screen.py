"""What a command says: text for people, one JSON document for machines, or next to nothing."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

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


class _Console(Console):
    """A console whose reader may go away: `grid-cosim feeders | head` ends as if all had been read."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


out = _Console()
err = _Console(stderr=True)


@dataclass(frozen=True)
class Screen:
    """Where a command prints; which of its words are shown is decided here and nowhere else.

    For people: text and tables on stdout, warnings and progress on stderr. With `as_json` stdout has one JSON
    document and nothing else. With `quiet` it has what `bare` was given, and stderr has errors only.
    """

    as_json: bool = False
    quiet: bool = False
    _warnings: list[str] = field(default_factory=list, init=False, repr=False)

    @property
    def for_people(self) -> bool:
        """Whether text and tables are shown."""
        return not (self.as_json or self.quiet)

    def say(self, text: str) -> None:
        """A line of what came of the command."""
        if self.for_people:
            out.print(text, markup=False, highlight=False, soft_wrap=True)

    def table(self, table: Table) -> None:
        """A table of what came of it."""
        if self.for_people:
            out.print(table)

    def note(self, text: str) -> None:
        """A line on the way, such as what an interrupted command goes on from."""
        if self.for_people:
            err.print(text, markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """What a reader must know before the numbers; the document has it among `warnings`."""
        self._warnings.append(text)
        if self.for_people:
            err.print(f"warning: {text}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def bare(self, *lines: object) -> None:
        """What `quiet` leaves: the path that was written, or the names of a list, one a line."""
        if self.quiet and not self.as_json:
            for line in lines:
                out.print(str(line), markup=False, highlight=False, soft_wrap=True)

    def document(self, content: Mapping[str, Any]) -> None:
        """All that came of the command, for machines; called once, at its end."""
        if self.as_json:
            warned = {"warnings": self._warnings} if self._warnings else {}
            write_json({**content, **warned})

    def bars(self) -> Progress:
        """Progress on stderr, where somebody may see it: name, how much of all, time, a note."""
        return Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=err,
            disable=self.quiet or not err.is_interactive or not sys.stderr.isatty(),
        )


def write_json(content: Mapping[str, Any]) -> None:
    """One document on stdout; ASCII only, which every console and every reader of JSON understands."""
    text = json.dumps(plain(content), indent=2, allow_nan=False)
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def plain(value: Any) -> Any:
    """A value as JSON can say it; what is not a finite number is null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Path | date):
        return value.isoformat() if isinstance(value, date) else str(value)
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    if isinstance(value, int):
        return int(value)
    number = float(value)  # numpy's numbers too
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and not isinstance(value, float) else number
