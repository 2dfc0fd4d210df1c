"""`grid-cosim plot`: figures for papers from a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grid_cosim.cli import completion
from grid_cosim.cli.boundary import Debug, Json, Quiet, Screen, bounded
from grid_cosim.errors import GridCosimError, UnknownNameError

if TYPE_CHECKING:
    from grid_cosim.plots.paper import Figure
    from grid_cosim.results import StoredResults


@bounded
def plot(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Results folder of an earlier run.", autocompletion=completion.runs
        ),
    ],
    figures: Annotated[
        list[str] | None,
        typer.Option(
            "--figure",
            metavar="NAME",
            help="loading, duration, price, energy, temperature, voltage, map or kpis; may be given "
            "several times. All that there is something to draw of, if left out.",
        ),
    ] = None,
    controllers: Annotated[
        str | None, typer.Option(help="Controllers to draw, comma-separated; all if left out.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option(help="The limit to draw, such as Trafo-0; the most loaded if left out.")
    ] = None,
    width: Annotated[
        float, typer.Option(metavar="MM", help="Width in mm: 88 for a column of a journal, 180 for both.")
    ] = 88.0,
    file_format: Annotated[
        str | None, typer.Option("--format", help="svg, pdf or png; pdf if left out.")
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--out", help="Folder, or for one figure a file; RUN/figures if left out."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw figures for papers: exact sizes, vectors, curves that can be told apart without colours, too.

    For example:
        grid-cosim plot runs/cold_evening
        grid-cosim plot runs/cold_evening --figure loading --width 180 --format svg
    """
    from grid_cosim.plots import paper
    from grid_cosim.results import StoredResults

    for name in figures or ():
        if name not in paper.FIGURES:
            raise UnknownNameError("figure", name, paper.FIGURES)
    results = StoredResults.load(folder)
    wanted = list(dict.fromkeys(figures or paper.FIGURES))
    files = _files(folder / "figures" if target is None else target, wanted, file_format, paper.FORMATS)
    chosen = None
    if controllers is not None:
        chosen = [name.strip() for name in controllers.split(",") if name.strip()]
    screen, drawn = Screen(as_json=as_json, quiet=quiet), []
    for name, path in files.items():
        try:
            figure = _drawn(results, name, chosen, limit, width)
        except paper.NothingToDrawError as nothing:
            if figures:
                raise
            screen.note(f"{name}: {nothing}")
            continue
        paper.save_figure(figure, path, of=results)
        screen.say(f"Wrote {path}")
        drawn.append(path)
    screen.bare(*drawn)
    screen.document({"figures": drawn})


def _drawn(
    results: StoredResults, name: str, controllers: list[str] | None, limit: str | None, width_mm: float
) -> Figure:
    from grid_cosim.plots import paper

    draw = paper.FIGURES[name]
    if name in paper.OF_A_LIMIT:
        return draw(results, limit=limit, controllers=controllers, width_mm=width_mm)
    return draw(results, controllers=controllers, width_mm=width_mm)


def _files(
    target: Path, wanted: list[str], file_format: str | None, formats: tuple[str, ...]
) -> dict[str, Path]:
    """Where each figure goes: into a folder, or as the file that is named."""
    ending = target.suffix.lower().removeprefix(".")
    if file_format is not None and file_format not in formats:
        raise UnknownNameError("format", file_format, formats)
    if ending in formats and not target.is_dir():
        if len(wanted) > 1:
            raise GridCosimError(f"{target} is one file: choose one figure with --figure, or name a folder.")
        if file_format not in (None, ending):
            raise GridCosimError(f"{target} ends in .{ending}, but --format says {file_format}: drop one.")
        return {wanted[0]: target}
    return {name: target / f"{name}.{file_format or 'pdf'}" for name in wanted}
