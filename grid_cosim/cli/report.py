"""`grid-cosim report`: the page of a results folder anew, or one page of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli.boundary import Debug, bounded, out
from grid_cosim.cli.compare import named
from grid_cosim.cli.tables import show_kpis, show_warnings


@bounded
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN_A [RUN_B ...]", help="Results folders; several are put on one page."),
    ],
    names: Annotated[
        str | None, typer.Option(help="What to call several, comma-separated; their folders if left out.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Page to write; report.html in the folder, or comparison.html for several."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write the KPIs and the report of a results folder anew, or one report of several; nothing is run.

    Example: grid-cosim report runs/cold_evening runs/seed_2 --out compare.html
    """
    from grid_cosim.analysis import Results
    from grid_cosim.metrics import write_kpis
    from grid_cosim.report import write_report

    if len(folders) > 1:
        loaded = {
            name: Results.load(folder) for name, folder in zip(named(folders, names), folders, strict=True)
        }
        target = Path("comparison.html") if file is None else file
        out.print(f"Wrote {write_report(loaded, target)}", highlight=False, soft_wrap=True)
        return
    (folder,) = folders
    results = Results.load(folder)
    write_kpis(results, folder)
    path = write_report(results, folder / "report.html" if file is None else file)
    show_warnings(results)
    show_kpis(results)
    out.print(f"Wrote {path}", highlight=False, soft_wrap=True)
