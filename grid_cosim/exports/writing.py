"""Write an export: which run and step, into which folder, and what lies in each whatever the format."""

from __future__ import annotations

import importlib
import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from grid_cosim.errors import ExportError, MissingExtraError, near_matches
from grid_cosim.exports.attribution import ATTRIBUTION_FILE, attribution_text, licences
from grid_cosim.exports.chosen import Chosen, choose
from grid_cosim.exports.formats import FORMATS
from grid_cosim.results import StoredResults

_MANIFEST = "export.json"


class Writer(Protocol):
    """What the module of a format has as its function `write`."""

    def __call__(self, chosen: Chosen, folder: Path) -> list[str]:
        """Fill the folder; gives what a reader must know besides, in sentences.

        Licences belong into the files themselves where the format has a place for them; the folder has them
        in any case. Raises `ExportError` for what the format has no room for.
        """


@dataclass(frozen=True)
class Exported:
    """What an export has written."""

    folder: Path
    files: tuple[str, ...]
    """Relative to the folder."""
    notes: tuple[str, ...]
    """What a reader must know besides."""


def export(
    results: StoredResults,
    *,
    to: str,
    out: Path | str | None = None,
    controller: str | None = None,
    step: int | None = None,
    time: datetime | str | None = None,
) -> Exported:
    """Write results into a folder in one of the `FORMATS`.

    `out` is `exports/<format>` in the results folder if left out. `controller` is `consensus` if left out, or
    the last one; tables are written for all. `step` counts from 0, `time` is within the step that is meant;
    left out, it is the step in which a limit is loaded most.
    Raises `ExportError`, `MissingExtraError` where the format's own library is not installed, and
    `ResultsError` where the results folder lacks what it takes.
    """
    if to not in FORMATS:
        near = near_matches(to, FORMATS)
        raise ExportError(
            to,
            "there is no such format",
            remedy=f"Choose one of {', '.join(FORMATS)}" + (f".{near}" if near else ""),
        )
    if (step is not None or time is not None) and not FORMATS[to].step:
        of_one = ", ".join(name for name, row in FORMATS.items() if row.step)
        raise ExportError(to, "it is about all steps", remedy=f"Leave the step away; it is for {of_one}")
    chosen = choose(results, to=to, controller=controller, step=step, time=time)
    folder = _target(results, to, out)
    writer = _writer(to)
    staged = folder.with_name(folder.name + ".partial")
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
    except OSError as error:
        raise ExportError(
            to, f"{folder} cannot be written ({error.strerror})", remedy="Choose another folder with --out"
        ) from error
    try:
        notes = writer(chosen, staged)
        (staged / ATTRIBUTION_FILE).write_text(attribution_text(results), encoding="utf-8", newline="\n")
        files = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
        _describe(chosen, staged, files, notes)
        if folder.exists():
            shutil.rmtree(folder)
        staged.replace(folder)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return Exported(folder, (*files, _MANIFEST), tuple(notes))


def _writer(to: str) -> Writer:
    wanted = FORMATS[to]
    try:
        writer: Writer = importlib.import_module(f"grid_cosim.exports.{wanted.module}").write
    except ModuleNotFoundError as error:
        if wanted.extra is None:
            raise
        raise MissingExtraError(f"The export to {to}", extra=wanted.extra, missing=error.name) from error
    return writer


def _target(results: StoredResults, to: str, out: Path | str | None) -> Path:
    """The folder, which is new, empty or an export of ours."""
    if out is None and results.folder is None:
        raise ExportError(to, "results that were not loaded have no folder", remedy="Name one with out=…")
    folder = Path(out) if out is not None else Path(results.folder or "") / "exports" / to
    ours = not folder.exists() or (
        folder.is_dir() and ((folder / _MANIFEST).is_file() or not any(folder.iterdir()))
    )
    if not ours or Path.cwd().is_relative_to(folder.resolve()):
        raise ExportError(
            to,
            f"{folder} exists and is not an export"
            if not ours
            else f"{folder} is or holds the current folder",
            remedy="Choose another folder with --out",
        )
    return folder


def _describe(chosen: Chosen, folder: Path, files: list[str], notes: list[str]) -> None:
    results = chosen.results
    about = {
        "grid_cosim_export": chosen.to,
        "title": results.basis.title,
        "feeder": results.topology.title,
        "source": results.topology.source,
        "controllers": list(chosen.controllers),
        "seed": results.provenance.get("seed"),
        "versions": results.provenance.get("versions"),
        "licences": licences(results),
        "notes": notes,
        "files": files,
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / _MANIFEST).write_text(text, encoding="utf-8", newline="\n")
