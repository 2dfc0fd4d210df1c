"""Runs the cases of a study, several at a time, and keeps each as soon as it is finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

from grid_cosim.errors import GridCosimError
from grid_cosim.study.cases import Case, Row, Work
from grid_cosim.versions import versions


class CaseError(GridCosimError):
    """A case that cannot be computed: says which, and why."""

    def __init__(self, case: str, problem: str) -> None:
        self.case, self.problem = case, problem
        super().__init__(f"Case {case!r}: {problem}")

    def __reduce__(self) -> tuple[type[CaseError], tuple[str, str]]:
        """For the way back from another process."""
        return CaseError, (self.case, self.problem)


Progress = Callable[[int, int, str], None]
"""Called with the cases done, all of them, and the name of the one that was finished last."""


def run_cases(cases: Sequence[Case], *, keep: Path, jobs: int | None, progress: Progress) -> list[Row]:
    """All rows, in the order of the cases.

    Finished cases lie in the folder `keep` until all are; a second call with the same code goes on from
    there. `jobs` is joblib's `n_jobs`: how many cases run side by side, -1 for one per core; `None` leaves
    it, like the backend, to `joblib.parallel_config`. Cases that must be alone run last, in this process.
    """
    keep.mkdir(parents=True, exist_ok=True)
    paths = [keep / f"{_key(case.work)}.json" for case in cases]
    todo = [k for k, path in enumerate(paths) if not path.is_file()]
    progress(len(cases) - len(todo), len(cases), "")
    try:
        for done, (k, rows) in enumerate(_finished(cases, todo, jobs), 1 + len(cases) - len(todo)):
            partial = paths[k].with_suffix(".partial")
            partial.write_text(json.dumps(rows), encoding="utf-8")
            partial.replace(paths[k])
            progress(done, len(cases), cases[k].name)
    except BaseException as error:
        error.add_note(f"Finished cases are kept in {keep}; the same command goes on from there.")
        raise
    rows = [row for path in paths for row in json.loads(path.read_text(encoding="utf-8"))]
    shutil.rmtree(keep)
    return rows


def _finished(
    cases: Sequence[Case], todo: Sequence[int], jobs: int | None
) -> Iterator[tuple[int, list[Row]]]:
    from joblib import Parallel, delayed

    beside = [k for k in todo if not cases[k].alone]
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    yield from parallel(delayed(_numbered)(k, cases[k]) for k in beside)
    for k in todo:
        if cases[k].alone:
            yield _numbered(k, cases[k])


def _numbered(k: int, case: Case) -> tuple[int, list[Row]]:
    try:
        return k, case.work()
    except GridCosimError as error:
        raise CaseError(case.name, str(error)) from None


def _key(work: Work) -> str:
    text = f"{type(work).__qualname__}\n{work.identity()}\n{_code()}\n{versions()}"
    return sha256(text.encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """Digest of this package's source, so that no case of another version is taken for one of this."""
    digest = sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
