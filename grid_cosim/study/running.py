"""From the name of a study to its table and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grid_cosim.study.cases import Case, StudyError
from grid_cosim.study.execution import Progress, run_cases
from grid_cosim.study.page import require_drawing, write_page
from grid_cosim.study.study import study_file, study_named, study_settings
from grid_cosim.study.tables import StudyResults, as_stored, provenance, tidy


def run_study(
    study: str | Path,
    *,
    out: Path | str,
    quick: bool = False,
    jobs: int | None = None,
    force: bool = False,
    progress: Progress = lambda done, of, last: None,
) -> StudyResults:
    """Run a study into `out`: its table as Parquet, its figure, and the page of all studies there.

    `study` is a name, or a TOML file of that name with sizes and seeds of one's own. `jobs` is how many cases
    run side by side, -1 for one per core; without it joblib's `parallel_config` says. Interrupted, it goes on
    from the finished cases when it is called again. A table there of other sizes and seeds is replaced with
    `force` only.
    Raises `StudyError` for a study that cannot be used, and what `run` raises.
    """
    require_drawing()
    path, folder = study_file(study), Path(out)
    name = path.stem
    settings = study_settings(path, quick=quick)  # read once: the file may change while the cases run
    if jobs == 0:
        raise StudyError(study, "got 0 jobs side by side, expected 1 or more, or -1", "Correct --jobs.")
    if folder.exists() and not folder.is_dir():
        raise StudyError(study, f"the results folder {folder} is a file", "Choose another folder with --out.")
    if not force:
        _require_same(folder / f"{name}.parquet", settings, quick=quick)
    cases = study_cases(path, settings)
    folder.mkdir(parents=True, exist_ok=True)
    rows = run_cases(cases, keep=folder / f"{name}.cases", jobs=jobs, progress=progress)
    results = StudyResults(name, quick, tidy(rows), provenance(settings, source=str(study)))
    results.save(folder / f"{name}.parquet")
    write_page(folder)
    return results


def _require_same(path: Path, settings: Mapping[str, Any], *, quick: bool) -> None:
    """Raise where a table lies that the same command did not leave."""
    if not path.is_file():
        return
    kept = StudyResults.load(path)
    if kept.quick == quick and kept.provenance.get("settings") == as_stored(settings):
        return
    variant = "quick" if kept.quick else "full"
    raise StudyError(
        path,
        f"there is a table of the {variant} variant with other settings or sizes",
        "Give another --out, or --force to replace it.",
    )


def study_cases(path: Path, settings: Mapping[str, Any]) -> Sequence[Case]:
    """What a study computes with these settings, which stand in the file `path`."""
    try:
        return study_named(path.stem).cases(settings, path)
    except (KeyError, TypeError, ValueError) as error:
        lacks = f"it has no setting {error}" if isinstance(error, KeyError) else f"{error}"
        raise StudyError(
            path,
            f"its settings cannot be used: {lacks}",
            "The shipped file shows how.",
        ) from error
