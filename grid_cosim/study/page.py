"""The page of a folder of studies: claim, verdict, figure and numbers, all from the tables that lie there."""

from __future__ import annotations

from collections.abc import Mapping
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


def write_page(folder: Path | str) -> Path:
    """Draw the figures of every table in the folder, and write its page; `ResultsError` without a table."""
    require_drawing()
    from grid_cosim.study.drawing import drawn

    found = stored(Path(folder))
    if not found:
        raise ResultsError(folder, "there is no table of a study", remedy="Run `grid-cosim benchmark` first")
    for name, results in found.items():
        drawn(study_named(name).draw, results.table, Path(folder) / f"{name}.svg")
    path = Path(folder) / PAGE
    path.write_text(page(found), encoding="utf-8")
    return path


def stored(folder: Path) -> dict[str, StudyResults]:
    """The studies whose tables lie in a folder."""
    paths = {name: folder / f"{name}.parquet" for name in STUDIES}
    return {name: StudyResults.load(path) for name, path in paths.items() if path.is_file()}


def page(found: Mapping[str, StudyResults]) -> str:
    """The page as Markdown."""
    readings = {name: study_named(name).read(results.table) for name, results in found.items()}
    verdicts = pd.DataFrame(
        {
            "claim": [f"[{study_named(name).title}](#{name})" for name in found],
            "verdict": [reading.verdict for reading in readings.values()],
        }
    )
    parts = [
        "# The claims of the method, redrawn\n",
        "Everything below is computed from the tables in this folder; nothing is typed in. Sizes and seeds "
        "stand in `benchmarks/claims/*.toml`.\n",
        markdown(verdicts),
        *(_section(name, found[name], reading) for name, reading in readings.items()),
    ]
    return "\n".join(parts)


def _section(name: str, results: StudyResults, reading: Reading) -> str:
    study, about = study_named(name), results.provenance
    command = f"grid-cosim benchmark {name}" + (" --quick" if results.quick else "")
    small = "This is the quick variant: it shows a direction and no more.\n" if results.quick else ""
    return "\n".join(
        [
            f"\n## {name}\n",
            f"**{study.title}.** {study.claim}\n",
            f"**It {reading.verdict}.**\n" + (f"\n{small}" if small else ""),
            f"![{study.title}]({name}.svg)\n",
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
