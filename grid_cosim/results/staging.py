"""Where results are written: beside their place, under a name of their own, by one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from grid_cosim.errors import ResultsError
from grid_cosim.results.pieces import to_disk
from grid_cosim.results.writer import STATUS_FILE, write_json


def staged_name(path: Path | str) -> Path:
    """Where results lie until they are complete and take the name `path`.

    Raises `ResultsError` for the current folder and what lies above it, whose place nothing can take.
    """
    final = _target(path)
    if Path.cwd().is_relative_to(final.resolve()):
        raise ResultsError(
            path, "is the current folder or lies above it", remedy="Name a new folder with --out"
        )
    return final.with_name(final.name + ".partial")


_HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
"""What the systems say of a file that another process has locked."""


@contextmanager
def staged_folder(path: Path | str, *, resume: bool = False) -> Iterator[Path]:
    """Give a folder to fill that takes the name `path` when all is well, and keeps `<path>.partial` when not.

    An empty one, or with `resume` what was left there. Raises `ResultsError` where `path` exists and is not
    a results folder, cannot be written, or is being written by another process.
    """
    final, staged = _target(path), staged_name(path)
    for existing in (final, staged):
        _refuse_foreign(existing)
    with _alone(final):
        if not resume:
            _empty(staged)
        elif not staged.is_dir():  # another process had it, and has ended just now
            raise ResultsError(path, "is complete by now", remedy="Open it; there is nothing to go on from")
        yield staged
        _refuse_foreign(final)
        if final.exists():
            shutil.rmtree(final)
        staged.replace(final)
        to_disk(final.parent)


def _empty(staged: Path) -> None:
    """Begin anew."""
    try:
        if staged.exists():
            shutil.rmtree(staged)
        staged.mkdir()
        write_json(staged / STATUS_FILE, {"grid_cosim_results": "begun"})
    except OSError as error:
        raise _unwritable(staged, error) from error


def _unwritable(path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        path, f"cannot be written ({error.strerror})", remedy="Choose another folder with --out"
    )


def _target(path: Path | str) -> Path:
    final = Path(path)
    return final.resolve() if final.is_symlink() else final


@contextmanager
def _alone(final: Path) -> Iterator[None]:
    """Hold the right to write these results; the system takes it from a process that has ended."""
    path = final.with_name(f".{final.name}.lock")
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        file = path.open("a")
    except OSError as error:
        raise _unwritable(final, error) from error
    with file:
        if not _lock(file) or not _is_still(path, file):
            raise ResultsError(
                final,
                "another process is writing there",
                remedy="Wait until it has ended, or choose another folder with --out",
            )
        try:
            yield
        finally:
            if os.name != "nt":  # Windows removes no file that is open; there it stays, empty
                path.unlink(missing_ok=True)


def _lock(file: IO[str]) -> bool:
    """Lock a file, and say whether we have it; on a file system without locks everybody has."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True


def _is_still(path: Path, file: IO[str]) -> bool:
    """Whether an open file is what lies at `path`; who held it before us has removed it at the end."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _refuse_foreign(path: Path) -> None:
    """Raise where `path` is something that we did not write and must not delete."""
    if not path.exists():
        return
    ours = path.is_dir() and (not any(path.iterdir()) or "grid_cosim_results" in _peek(path / STATUS_FILE))
    if not ours:
        raise ResultsError(
            path, "exists and is not a results folder", remedy="Choose another folder with --out"
        )


def _peek(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
