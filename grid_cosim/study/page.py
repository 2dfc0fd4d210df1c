"""The page of a folder of studies: claim, verdict, figure and numbers, all from the tables that lie there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from grid_cosim.errors import MissingExtraError, ResultsError
from grid_cosim.study.study import STUDIES, Reading, study_named
from grid_cosim.study.tables import StudyResults

PAGE = "README.md"
_NOTHING = 1e-9
"""What is smaller is a zero with rounding errors."""


def require_drawing() -> None:
    """Raise where figures cannot be drawn, before hours of computing."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("grid-cosim benchmark", extra="study", missing="matplotlib")


def write_page(folder: Path | str, only: Sequence[str] = ()) -> Path:
    """Draw the figures of every table in the folder, or of `only` some, and write the page of all.

    A table that cannot be read gets a section that says so, and no figure. `ResultsError` without a table.
    """
    require_drawing()
    from grid_cosim.study.drawing import drawn

    found = stored(Path(folder))
    for name in only or ([] if found else ["a study"]):
        if name not in found:
            raise ResultsError(
                folder, f"there is no table of {name}", remedy="Run `grid-cosim benchmark` first"
            )
    for name in only or found:
        figure = Path(folder) / f"{name}.svg"
        if readable(name, found[name]):
            drawn(study_named(name).draw, found[name].table, figure)
        else:
            figure.unlink(missing_ok=True)
    path = Path(folder) / PAGE
    path.write_text(page(found), encoding="utf-8")
    return path


def stored(folder: Path) -> dict[str, StudyResults]:
    """The studies whose tables lie in a folder."""
    paths = {name: folder / f"{name}.parquet" for name in STUDIES}
    return {name: StudyResults.load(path) for name, path in paths.items() if path.is_file()}


def page(found: Mapping[str, StudyResults]) -> str:
    """The page as Markdown."""
    readings = {name: _reading(name, results) for name, results in found.items()}
    verdicts = pd.DataFrame(
        {
            "claim": [f"[{study_named(name).title}](#{name})" for name in found],
            "verdict": [reading.verdict for reading in readings.values()],
        }
    )
    parts = [
        "# The claims of the method, redrawn\n",
        "Everything below is computed from the tables in this folder; nothing is typed in. Sizes and seeds "
        "stand in `benchmarks/claims/*.toml`, or in the file that a command names.\n",
        markdown(verdicts),
        *(_section(name, found[name], reading) for name, reading in readings.items()),
    ]
    return "\n".join(parts)


def _reading(name: str, results: StudyResults) -> Reading:
    """What the study says of its table; where it cannot, that, so that the other studies keep their page."""
    try:
        return study_named(name).read(results.table)
    except Exception as error:
        return Reading(
            "is not decided",
            [
                f"This table cannot be read ({type(error).__name__}: {error}). It is of another version, or "
                "lacks what the claim is about; run the study again."
            ],
            figure=False,
        )


def readable(name: str, results: StudyResults) -> bool:
    """Whether the study finds in its table what its claim is about."""
    return _reading(name, results).figure


def _section(name: str, results: StudyResults, reading: Reading) -> str:
    study, about = study_named(name), results.provenance
    command = f"grid-cosim benchmark {about.get('source', name)}" + (" --quick" if results.quick else "")
    small = "This is the quick variant: it shows a direction and no more.\n" if results.quick else ""
    return "\n".join(
        [
            f"\n## {name}\n",
            f"**{study.title}.** {study.claim}\n",
            f"**It {reading.verdict}.**\n" + (f"\n{small}" if small else ""),
            *([f"![{study.title}]({name}.svg)\n"] if reading.figure else []),
            *(f"- {sentence}" for sentence in reading.sentences),
            "",
            *(markdown(table) for table in reading.tables),
            f"`{command}`: {len(results.table)} rows, grid_cosim {about['versions']['grid-cosim']} on "
            f"{about['processor']}, {about['cores']} cores.\n",
        ]
    )


def markdown(table: pd.DataFrame) -> str:
    """A frame as a Markdown table; numbers to the right."""
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    lines = [
        "| " + " | ".join(map(str, table.columns)) + " |",
        "|" + "|".join("---:" if number else "---" for number in numeric) + "|",
        *("| " + " | ".join(_cell(value) for value in row) + " |" for row in table.itertuples(index=False)),
    ]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        if value != value:
            return "–"
        if abs(value) < _NOTHING:
            return "0"
        return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.4g}"
    return str(value).replace("|", "\\|")
