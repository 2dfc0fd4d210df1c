"""A study: a claim, the cases that test it, and how its table is read and drawn."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from grid_cosim.errors import folder_instead, near_matches, not_toml
from grid_cosim.shipped import shipped
from grid_cosim.study.cases import Case, StudyError

if TYPE_CHECKING:
    from grid_cosim.study.drawing import Figure

STUDIES = ("consensus", "scaling", "rounds", "steps", "optimum")
"""The claims of the method, in the order of reading; each is a module of `grid_cosim.study`."""

Verdict = Literal["holds", "holds in part", "does not hold", "is not decided"]


@dataclass(frozen=True)
class Reading:
    """What a table says, in words and numbers that were computed from it."""

    verdict: Verdict
    sentences: Sequence[str]
    tables: Sequence[pd.DataFrame] = ()
    """Condensed for people; column names are headings."""
    figure: bool = True
    """Whether there is one."""


@dataclass(frozen=True)
class Study:
    """A claim that can be tested."""

    title: str
    claim: str
    """What is claimed, in a sentence or two."""
    cases: Callable[[Mapping[str, Any], Path], Sequence[Case]]
    """From the settings of one variant and the file that they stand in."""
    read: Callable[[pd.DataFrame], Reading]
    draw: Callable[[pd.DataFrame], Figure]


def study_named(name: str) -> Study:
    """The study of that name."""
    if name not in STUDIES:
        raise StudyError(
            name, f"no such study.{near_matches(name, STUDIES)}", f"Known: {', '.join(STUDIES)}."
        )
    study: Study = import_module(f"grid_cosim.study.{name}").STUDY
    return study


def study_file(name: str | Path) -> Path:
    """The file with the sizes and seeds of a study: its name for the shipped one, or a file of one's own."""
    path = Path(name)
    if path.suffix != ".toml":
        study_named(path.name)
        return shipped("benchmarks") / "claims" / f"{path.name}.toml"
    if not path.is_file():
        raise StudyError(name, folder_instead(path), f"Give a file, or one of {', '.join(STUDIES)}.")
    study_named(path.stem)
    return path


def study_settings(path: Path, *, quick: bool) -> dict[str, Any]:
    """The settings of the full or the quick variant."""
    try:
        variants = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StudyError(path, not_toml(error), "A study of the same name is shipped.") from error
    variant = "quick" if quick else "full"
    found = variants.get(variant)
    if not isinstance(found, dict):
        raise StudyError(path, f"there is no section [{variant}]", "Add one; the shipped files show how.")
    return found
