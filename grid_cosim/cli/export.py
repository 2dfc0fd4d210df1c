"""`grid-cosim export`: results in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli import completion
from grid_cosim.cli.boundary import Debug, Json, Quiet, Screen, bounded
from grid_cosim.exports.formats import FORMATS


@bounded
def export(
    folder: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Results folder of a run.", autocompletion=completion.runs),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help=f"One of {', '.join(FORMATS)}.",
            autocompletion=completion.formats,
        ),
    ],
    target: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; RUN/exports/FORMAT if left out.")
    ] = None,
    controller: Annotated[
        str | None,
        typer.Option(help="Whose run; consensus or the last one if left out, and for tables all of them."),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(help="Control step, counted from 0; the one with the highest loading if left out."),
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="The same by a time within it, such as 2016-01-04T18:30.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a run for another tool: tables, maps, or the network as a case that it solves.

    For example:
        grid-cosim export runs/cold_evening --to opendss
        grid-cosim export runs/cold_evening --to pandapower --time 2016-01-04T18:30
    """
    from grid_cosim.analysis import Results
    from grid_cosim.exports import export as write_export

    written = write_export(
        Results.load(folder), to=to, out=target, controller=controller, step=step, time=time
    )
    screen = Screen(as_json=as_json, quiet=quiet)
    for note in written.notes:
        screen.note(f"note: {note}")
    screen.say(f"Wrote {written.folder}")
    screen.bare(written.folder)
    screen.document({"folder": written.folder, "notes": written.notes})
