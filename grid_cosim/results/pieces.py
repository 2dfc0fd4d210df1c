"""What a run has written until now, so that it can be read and gone on from whatever happens to the process.

While a run is under way its rows lie in `parts/` of its folder: full row groups, and per table what has come
since the last of them. `parts/manifest.json` names the files that belong together, the state of the
simulators among them. It is replaced in one go once all of them are on the disk, so there is always one whole
checkpoint, and what no manifest names was never written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from grid_cosim.errors import ResultsError

FOLDER = "parts"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """One checkpoint."""

    step: int = 0
    """Control steps that it holds."""
    wall_time_s: float = 0.0
    number: int = 0
    """Of the checkpoints of a run, in order; no two have a file of the same name that may differ."""
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Table → the files with its full row groups, in order."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """Table → the file with the rows after these; of a summary, with all there is."""
    state: str | None = None
    """File with what the writer and the simulators go on from."""
    goes_on: bool = False
    """Whether that has the simulators' part; a mosaik script of one's own keeps only its rows."""
    hindrance: str = ""
    """Why not, where there is a reason."""

    @classmethod
    def of(cls, folder: Path) -> Manifest | None:
        """The last checkpoint in a controller's folder; None where there is none.

        Raises `ResultsError` for one that cannot be read.
        """
        path = folder / FOLDER / _MANIFEST
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, TypeError, ValueError) as error:
            raise ResultsError(path, f"cannot be read ({error})", remedy="Run the scenario again") from error

    def paths(self, folder: Path, table: str) -> tuple[Path, ...]:
        """Where the rows of a table lie, in order."""
        names = [*self.groups.get(table, ()), *([self.waiting[table]] if table in self.waiting else [])]
        return tuple(folder / FOLDER / name for name in names)

    def state_path(self, folder: Path) -> Path:
        """Where the state lies."""
        assert self.state is not None, "with a state"
        return folder / FOLDER / self.state

    def commit(self, folder: Path) -> None:
        """Make this the last checkpoint, and remove what it no longer needs."""
        parts = folder / FOLDER
        named = {name for files in self.groups.values() for name in files}
        named |= {*self.waiting.values(), self.state or "", _MANIFEST}
        temporary = parts / f"{_MANIFEST}.partial"
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        to_disk(temporary)
        temporary.replace(parts / _MANIFEST)
        to_disk(parts)
        for path in parts.iterdir():
            if path.name not in named:
                path.unlink()


def remove_pieces(folder: Path) -> None:
    """Remove all that lies in pieces; the manifest first, so that nobody takes the rest for a checkpoint."""
    (folder / FOLDER / _MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power failure."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders, and keeps names by itself
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
