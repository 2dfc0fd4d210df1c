"""`grid-cosim report`: the page of a results folder anew, or one page of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli import completion
from grid_cosim.cli.boundary import Debug, Json, Quiet, Screen, bounded
from grid_cosim.cli.compare import named
from grid_cosim.cli.tables import results_document, show_results


@bounded
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Results folders of earlier runs; several are put on one page.",
            autocompletion=completion.runs,
        ),
    ],
    names: Annotated[
        str | None, typer.Option(help="What to call several, comma-separated; their folders if left out.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Page to write; if left out, report.html in the folder, comparison.html for several.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the KPIs and the report of a results folder anew, or one report of several; nothing is run.

    For example:
        grid-cosim report runs/cold_evening
        grid-cosim report runs/cold_evening --json
        grid-cosim report runs/cold_evening runs/seed_2 --out compare.html
    """
    from grid_cosim.analysis import Results
    from grid_cosim.metrics import write_kpis
    from grid_cosim.report import write_report

    screen = Screen(as_json=as_json, quiet=quiet)
    if len(folders) > 1:
        called = named(folders, names)
        loaded = {name: Results.load(folder) for name, folder in zip(called, folders, strict=True)}
        page = write_report(loaded, Path("comparison.html") if file is None else file)
        each = {name: results_document(loaded[name], at) for name, at in zip(called, folders, strict=True)}
        document = {"report": page, "results": each}
    else:
        (folder,) = folders
        results = Results.load(folder)
        write_kpis(results, folder)
        page = write_report(results, folder / "report.html" if file is None else file)
        show_results(results, screen)
        document = results_document(results, folder) | {"report": page}
    screen.say(f"Wrote {page}")
    screen.bare(page)
    screen.document(document)
