"""What an interrupted run has left, and whether going on from there gives what it would have given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from grid_cosim import pytree
from grid_cosim.errors import ResultsError
from grid_cosim.optimum import Schedule
from grid_cosim.results import Manifest, StoredResults, remove_pieces, staged_name

_SCHEDULE = "schedule.npz"
_COMPARED = ("versions", "policies", "inputs")
"""Of the provenance, besides the scenario: with anything else than before there would be other numbers."""
_ANEW = "Run it anew, without --resume"


@dataclass(frozen=True)
class Left:
    """What an interrupted run has left beside the place of its results."""

    folder: Path
    results: StoredResults

    @classmethod
    def by(cls, out: Path | str) -> Self:
        """Of the run whose results were to be `out`.

        Raises `ResultsError` where there is nothing to go on from, or only what would fail again.
        """
        folder = staged_name(out)
        if not folder.is_dir():
            why = f"is complete, and there is no {folder.name}" if Path(out).is_dir() else "there is nothing"
            raise ResultsError(out, f"{why} to go on from", remedy=_ANEW)
        try:
            results = StoredResults.load(folder)
        except ResultsError as error:
            raise ResultsError(folder, "holds nothing to go on from", remedy=_ANEW) from error
        for name, run in results.runs.items():
            if run.status == "failed" and Manifest.of(folder / name) is None:
                raise ResultsError(
                    folder,
                    f"{name} has failed, and would fail again: {run.message}",
                    remedy="Change what it says, and run anew, without --resume",
                )
        return cls(folder, results)

    def is_complete(self, controller: str) -> bool:
        """Whether a controller has reached its horizon and need not run again."""
        return self.results.runs[controller].status == "complete"

    def step(self, controller: str) -> int:
        """Control steps of a controller that need not be done again, until it is complete."""
        manifest = Manifest.of(self.folder / controller)
        return manifest.step if manifest is not None and manifest.goes_on else 0

    def _hindrance(self, controller: str) -> str:
        """Why a controller begins anew although something of it is there."""
        manifest = Manifest.of(self.folder / controller)
        if manifest is None or not manifest.hindrance:
            return ""
        return f" anew, since its state cannot be kept ({manifest.hindrance})"

    @property
    def schedule(self) -> Schedule | None:
        """That of the optimum, if it has been found."""
        path = _schedule_path(self.folder)
        if not path.is_file():
            return None
        found = pytree.load(path, {pytree.name(Schedule): Schedule})
        assert isinstance(found, Schedule), "what was kept under that name"
        return found

    @property
    def said(self) -> str:
        """From where it goes on, controller by controller."""
        told = []
        for name in self.results.runs:
            steps = self.step(name)
            goes_on = f"goes on after {steps} step{'s' if steps != 1 else ''}" if steps else "begins"
            goes_on += self._hindrance(name)
            told.append(f"{name} is complete" if self.is_complete(name) else f"{name} {goes_on}")
        return "; ".join(told)

    def refuse_others(self, scenario: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Raise `ResultsError` that names all that is not as it was; `provenance` is that of now."""
        before, now = self.results.provenance, provenance
        found = list(_differences(self.results.scenario, scenario, "scenario"))
        for part in _COMPARED:
            found += _differences(before.get(part, {}), now.get(part, {}), part)
        if found:
            shown = [*found[:8], *([f"and {len(found) - 8} more"] if len(found) > 8 else [])]
            listed = "".join(f"\n  - {one}" for one in shown)
            raise ResultsError(
                self.folder,
                f"cannot be gone on from, since this is another run:{listed}\nSo the numbers would be those "
                "of neither",
                remedy="Make it as it was, or run anew, without --resume",
            )


def given_up(out: Path | str) -> Left | None:
    """What a new run at `out` would put an end to although it could be gone on from; None if nothing."""
    try:
        left = Left.by(out)
    except ResultsError:
        return None
    begun = any(left.is_complete(name) or left.step(name) for name in left.results.runs)
    return left if begun or left.schedule is not None else None


def keep_schedule(folder: Path, schedule: Schedule) -> None:
    """Keep the optimum's schedule while the run is under way; to find it takes a while."""
    path = _schedule_path(folder)
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    pytree.save(partial, schedule)
    partial.replace(path)


def tidy(folder: Path, controllers: Iterable[str]) -> None:
    """Remove what complete runs no longer need: the schedule, and pieces where a process was cut off late."""
    _schedule_path(folder).unlink(missing_ok=True)
    for name in controllers:
        remove_pieces(folder / name)


def _schedule_path(folder: Path) -> Path:
    return folder / "optimum" / _SCHEDULE


def input_files(scenario: Any) -> dict[str, str]:
    """SHA-256 of every file that a scenario names, by its path."""
    found = {}
    for text in sorted(set(_texts(scenario))):
        try:
            if text and Path(text).is_file():
                found[text] = hashlib.sha256(Path(text).read_bytes()).hexdigest()
        except (OSError, ValueError):  # too long for a name, and so none
            continue
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _differences(before: Any, now: Any, where: str) -> Iterator[str]:
    """What differs, each with its path, and how it was and is."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from _differences(before.get(key), now.get(key), f"{where}.{key}")
    elif before != now:
        yield f"{where}: {_short(before)} then, {_short(now)} now"


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
