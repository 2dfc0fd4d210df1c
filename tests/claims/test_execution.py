"""Cases run side by side or alone, are kept when finished, and never taken for those of other work."""

from __future__ import annotations

import json
import pickle
import threading
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import pytest

from grid_cosim.errors import GridCosimError
from grid_cosim.study.cases import Case, Row
from grid_cosim.study.execution import CaseError, run_cases


@dataclass(frozen=True)
class Squared:
    """Work that can be watched, and stopped once."""

    x: int
    log: list[int] = field(default_factory=list)
    stops: list[BaseException] = field(default_factory=list)

    def identity(self) -> str:
        return str(self.x)

    def __call__(self) -> list[Row]:
        if self.stops:
            raise self.stops.pop()
        self.log.append(self.x)
        return [{"x": self.x, "square": self.x**2, "thread": threading.current_thread().name}]


def numbers(*xs: int, log: list[int] | None = None, alone: tuple[int, ...] = ()) -> list[Case]:
    kept = [] if log is None else log
    return [Case(f"x = {x}", Squared(x, kept), alone=x in alone) for x in xs]


def run(
    cases: list[Case], folder: Path, jobs: int | None = 1
) -> tuple[list[Row], list[tuple[int, int, str]]]:
    told: list[tuple[int, int, str]] = []
    rows = run_cases(cases, keep=folder / "cases", jobs=jobs, progress=lambda *now: told.append(now))
    return rows, told


def test_rows_come_in_the_order_of_the_cases_and_progress_counts(tmp_path: Path) -> None:
    rows, told = run(numbers(3, 1, 2), tmp_path)
    assert [row["square"] for row in rows] == [9, 1, 4]
    assert told == [(0, 3, ""), (1, 3, "x = 3"), (2, 3, "x = 1"), (3, 3, "x = 2")]
    assert list(tmp_path.iterdir()) == []


def test_interrupted_it_goes_on_from_what_was_finished(tmp_path: Path) -> None:
    log: list[int] = []
    cases = numbers(1, 2, 3, log=log)
    cases[1].work.stops.append(KeyboardInterrupt())  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(cases, tmp_path)
    assert "goes on from there" in stopped.value.__notes__[0]
    assert log == [1]
    rows, told = run(cases, tmp_path)
    assert log == [1, 2, 3]
    assert [row["x"] for row in rows] == [1, 2, 3]
    assert told[0] == (1, 3, "")


def test_a_finished_study_starts_anew(tmp_path: Path) -> None:
    log: list[int] = []
    run(numbers(1, log=log), tmp_path)
    run(numbers(1, log=log), tmp_path)
    assert log == [1, 1]


def test_what_was_kept_of_other_code_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[int] = []
    for digest in ("old", "new"):
        monkeypatch.setattr("grid_cosim.study.execution._code", lambda digest=digest: digest)
        cases = numbers(1, 2, log=log)
        cases[1].work.stops.append(KeyboardInterrupt())  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            run(cases, tmp_path)
    assert log == [1, 1]


def test_the_backend_is_the_users_and_timings_run_alone_and_last(tmp_path: Path) -> None:
    log: list[int] = []
    with joblib.parallel_config(backend="threading", n_jobs=2):
        rows, _ = run(numbers(1, 2, 3, 4, log=log, alone=(2,)), tmp_path, jobs=None)
    here = threading.current_thread().name
    assert [row["thread"] == here for row in rows] == [False, True, False, False]
    assert log[-1] == 2


def test_a_case_that_cannot_be_computed_is_named(tmp_path: Path) -> None:
    cases = numbers(1, 2)
    cases[1].work.stops.append(GridCosimError("no such feeder"))  # type: ignore[attr-defined]
    with pytest.raises(CaseError, match=r"'x = 2': no such feeder"):
        run(cases, tmp_path)
    (kept,) = (tmp_path / "cases").glob("*.json")
    assert json.loads(kept.read_text())[0]["x"] == 1


def test_an_error_comes_back_from_another_process_as_it_was() -> None:
    error = pickle.loads(pickle.dumps(CaseError("x = 2", "no such feeder")))  # noqa: S301
    assert isinstance(error, CaseError)
    assert str(error) == "Case 'x = 2': no such feeder"
