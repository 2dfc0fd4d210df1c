"""`grid-cosim benchmark`: the claims of the method, put to the test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from grid_cosim.cli import completion
from grid_cosim.cli.boundary import Debug, Json, Quiet, Screen, bounded


@bounded
def benchmark(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY",
            help="consensus, scaling, rounds, steps, optimum, or a TOML file of that name with sizes and "
            "seeds of your own; all if left out.",
            autocompletion=completion.studies,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The small variant, a minute or so.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of tables and page; runs/claims if left out.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Cases side by side; -1 for one per core.")] = -1,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Only draw figures and page anew, from the tables there.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a table there of other sizes and seeds.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Put the claims of the method to the test; interrupted, the same command goes on from finished cases.

    For example:
        grid-cosim benchmark rounds --quick
        grid-cosim benchmark --out runs/claims
        grid-cosim benchmark --redraw --out runs/claims
    """
    from grid_cosim.study import STUDIES, run_study, write_page
    from grid_cosim.study.study import study_file

    screen = Screen(as_json=as_json, quiet=quiet)
    target = Path("runs") / ("claims_quick" if quick else "claims") if folder is None else folder
    if redraw:
        named = [study_file(study).stem for study in studies or ()]
        page = write_page(target, named)
        screen.say(f"Wrote {page}")
        screen.bare(page)
        screen.document({"page": page, "studies": named})
        return
    with screen.bars() as bars:
        for study in studies or STUDIES:
            task = bars.add_task(Path(study).stem, total=None, note="")

            def advance(done: int, of: int, last: str, task: Any = task) -> None:
                bars.update(task, completed=done, total=of, note=last)

            run_study(study, out=target, quick=quick, jobs=jobs, force=force, progress=advance)
    page = target / "README.md"
    screen.say(f"Page in {page}")
    screen.bare(page)
    screen.document({"page": page, "studies": [study_file(study).stem for study in studies or STUDIES]})
