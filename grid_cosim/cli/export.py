"""`grid-cosim export`: results in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli.boundary import Debug, bounded, err, out
from grid_cosim.exports.formats import FORMATS


@bounded
def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Results folder of a run.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.")],
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
    debug: Debug = False,
) -> None:
    """Write a run for another tool: tables, maps, or the network as a case that it solves.

    Example: grid-cosim export runs/cold_evening --to opendss --controller uncontrolled
    """
    from grid_cosim.analysis import Results
    from grid_cosim.exports import export as write_export

    written = write_export(
        Results.load(folder), to=to, out=target, controller=controller, step=step, time=time
    )
    for note in written.notes:
        err.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    out.print(f"Wrote {written.folder}", markup=False, highlight=False, soft_wrap=True)
