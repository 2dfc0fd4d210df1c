"""A run as it is produced: rows come step by step, leave for the disk in pieces, and end up as tables."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from grid_cosim import pytree
from grid_cosim.errors import StateError
from grid_cosim.results.naming import Coded
from grid_cosim.results.parquet import ROW_GROUP_ROWS, open_parquet, read_arrow, read_table, to_arrow
from grid_cosim.results.pieces import FOLDER, Manifest, remove_pieces, to_disk
from grid_cosim.results.record import Record
from grid_cosim.results.rows import OneStep, StepRows
from grid_cosim.results.summary import Summary
from grid_cosim.results.tables import SUMMARY_OF, TABLES, columns_of
from grid_cosim.results.totals import Totals, full_row

Status = Literal["complete", "interrupted", "failed"]
STATUS_FILE = "status.json"
_EVERYTHING = Record()


class RunWriter:
    """Writes the tables of one controller's run into its folder, in the detail that `record` asks for.

    At most `ROW_GROUP_ROWS` rows per table wait in memory. `checkpoint` brings all that was appended to the
    disk, in pieces that are read like tables whatever happens to the process; `finish` makes the tables of
    them, whose bytes depend on the rows alone. Until then `status.json` says "running". `totals` and the
    summaries are reckoned from all that is appended, whatever is kept of it.
    """

    def __init__(self, folder: Path, record: Record = _EVERYTHING) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for table in TABLES:
            self._final(table).unlink(missing_ok=True)
        remove_pieces(self.folder)
        self._begin(record)

    @classmethod
    def resumed(cls, folder: Path, record: Record = _EVERYTHING, *, types: pytree.Types) -> tuple[Self, Any]:
        """A writer that goes on from the last checkpoint in a folder, and what was kept there with it.

        `types` are those of the state. Raises `StateError` and `ResultsError` for what cannot be read.
        """
        manifest = Manifest.of(Path(folder))
        assert manifest is not None, "there is a checkpoint"
        kept = pytree.load(manifest.state_path(Path(folder)), types)
        writer = cls.__new__(cls)
        writer.folder = Path(folder)
        writer._begin(record)
        writer._go_on(manifest, kept["writer"])
        return writer, kept["run"]

    def _begin(self, record: Record) -> None:
        self._record = record
        self._rows = {table: StepRows(table) for table in TABLES}
        self._buffers: dict[str, _Buffer] = {}
        self._totals = Totals()
        self._summaries = {table: Summary(table) for table in SUMMARY_OF if record.keeps_summary(table)}
        self._step = -1
        self._now: np.datetime64 | None = None
        self._told: dict[str, Any] = {}
        self._groups: dict[str, list[str]] = {}
        self._number = 0
        self._finished = False
        write_json(self.folder / STATUS_FILE, {"status": "running", "message": "", "wall_time_s": None})

    def _go_on(self, manifest: Manifest, state: Mapping[str, Any]) -> None:
        self._groups = {table: list(names) for table, names in manifest.groups.items()}
        self._number = manifest.number
        self._step, self._now = state["step"], state["now"]
        self._rows = {table: StepRows(table, names) for table, names in state["names"].items()}
        self._totals.go_on(state["totals"])
        for table, summary in self._summaries.items():
            summary.go_on(state["summaries"][table])
        for table, name in manifest.waiting.items():
            if table not in SUMMARY_OF.values():
                self._buffers[table] = _Buffer(table)
                waiting = read_table(self.folder / FOLDER / name, table)
                self._buffers[table].refill(self._rows[table].stored(waiting))

    @property
    def n_steps(self) -> int:
        """How many steps have been begun."""
        return self._step + 1

    def append(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add the rows of one step: each column of the table as an array of its rows, or one for all.

        Steps come one after the other, each with one time.
        """
        assert not self._finished, "this run is finished"
        rows = self._rows[table].of(columns)
        if not rows.n_rows:
            return
        if rows.time != self._now:
            self.end_step()
            self._now, self._step = rows.time, self._step + 1
        whole = rows.whole() if table in SUMMARY_OF else {}
        if whole:
            self._told |= self._totals.of(table, whole)
        if table in self._summaries:
            self._summaries[table].add(whole, rows.time)
        if self._record.keeps_rows(table, self._step):
            self._keep(table, rows)

    def end_step(self) -> None:
        """All rows of the step are there: its totals, which have a row of their own, follow."""
        if self._told:
            self._keep("totals", self._rows["totals"].of({"time": self._now} | full_row(self._told)))
        self._told = {}

    def checkpoint(self, run: Any = None, *, wall_time_s: float = 0.0) -> None:
        """Bring all to the disk, with the state from which a `run` goes on after these steps.

        A state that cannot be kept is none: the rows are kept all the same, and why it cannot go on.
        """
        assert not self._finished, "this run is finished"
        self.end_step()
        self._number += 1
        parts = self._parts()
        waiting = {
            table: self._write(table, buffer.rows(self._rows[table].names), f"{table}-to-{self._number}")
            for table, buffer in self._buffers.items()
            if buffer.n_rows
        }
        for table, summary in self._summaries.items():
            if summary.n_elements:
                name, columns = SUMMARY_OF[table], summary.columns(self._rows[table].names)
                waiting[name] = self._write(name, columns, f"{name}-{self._number}")
        state, hindrance = f"state-{self._number}.npz", ""
        try:
            pytree.save(parts / state, {"writer": self._state(), "run": run})
        except StateError as error:
            run, hindrance = None, str(error)
            pytree.save(parts / state, {"writer": self._state(), "run": None})
        to_disk(parts / state)
        Manifest(
            step=self.n_steps,
            wall_time_s=wall_time_s,
            number=self._number,
            groups=self._groups,
            waiting=waiting,
            state=state,
            goes_on=run is not None,
            hindrance=hindrance,
        ).commit(self.folder)

    def leave(self, status: Status, message: str, wall_time_s: float) -> None:
        """Say how a run ended that may go on later from its last checkpoint."""
        assert not self._finished, "this run is finished"
        self._finished = True
        self._say(status, message, wall_time_s)

    def finish(
        self, status: Status, message: str = "", wall_time_s: float = float("nan"), run: Any = None
    ) -> None:
        """Make tables of all that was appended, and say how the run ended.

        `run` is the state at its end: whoever is cut off here goes on here.
        """
        self.checkpoint(run, wall_time_s=wall_time_s)
        self._finished = True
        manifest = Manifest.of(self.folder)
        assert manifest is not None, "just written"
        for table in TABLES:
            self._join(table, manifest.paths(self.folder, table))
        self._say(status, message, wall_time_s)
        remove_pieces(self.folder)

    def _say(self, status: Status, message: str, wall_time_s: float) -> None:
        ended = {"status": status, "message": message, "wall_time_s": wall_time_s}
        write_json(self.folder / STATUS_FILE, ended)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "now": self._now,
            "names": {table: rows.names for table, rows in self._rows.items()},
            "totals": self._totals.state,
            "summaries": {table: summary.state for table, summary in self._summaries.items()},
        }

    def _keep(self, table: str, rows: OneStep) -> None:
        if table not in self._buffers:
            self._buffers[table] = _Buffer(table)
        buffer, start = self._buffers[table], 0
        while start < rows.n_rows:
            start += buffer.fill(rows, start)
            if buffer.n_rows == buffer.size:
                groups = self._groups.setdefault(table, [])
                name = f"{table}-{len(groups):05d}"
                groups.append(self._write(table, buffer.rows(self._rows[table].names), name))
                buffer.n_rows = 0

    def _write(self, table: str, columns: Mapping[str, Any], name: str) -> str:
        """Write rows as one row group of a file of their own, and give its name."""
        path = self._parts() / f"{name}.parquet"
        with open_parquet(path, table) as writer:
            writer.write_table(to_arrow(table, columns))
        to_disk(path)
        return path.name

    def _join(self, table: str, pieces: tuple[Path, ...]) -> None:
        """The table of these pieces, under a temporary name that is replaced in one go."""
        final = self._final(table)
        partial = final.with_name(f"{final.name}.partial")
        if not pieces:
            final.unlink(missing_ok=True)
            return
        if len(pieces) == 1:
            shutil.copyfile(pieces[0], partial)
        else:
            with open_parquet(partial, table) as writer:
                for piece in pieces:
                    writer.write_table(read_arrow(piece, table))
        to_disk(partial)
        partial.replace(final)

    def _final(self, table: str) -> Path:
        return self.folder / f"{table}.parquet"

    def _parts(self) -> Path:
        parts = self.folder / FOLDER
        parts.mkdir(exist_ok=True)
        return parts


class _Buffer:
    """Rows of one table that wait for a full row group, in arrays of its size that are used again."""

    def __init__(self, table: str) -> None:
        self.size = ROW_GROUP_ROWS
        self.n_rows = 0
        self._columns = {
            name: np.empty(self.size, dtype=column.stored) for name, column in columns_of(table).items()
        }

    def fill(self, rows: OneStep, start: int) -> int:
        """Take rows from `start` on, as many as there is room for, and say how many."""
        count = min(rows.n_rows - start, self.size - self.n_rows)
        here = slice(self.n_rows, self.n_rows + count)
        for name, values in rows.columns.items():
            self._columns[name][here] = values if values.size == 1 else values[start : start + count]
        self.n_rows += count
        return count

    def rows(self, names: Mapping[str, list[str]]) -> dict[str, Any]:
        """All rows, to be used before the next arrive."""
        whole = {name: values[: self.n_rows] for name, values in self._columns.items()}
        return whole | {name: Coded(whole[name], names[name]) for name in names}

    def refill(self, columns: Mapping[str, np.ndarray]) -> None:
        """Take back rows that have waited before."""
        self.n_rows = len(columns["time"])
        for name, values in columns.items():
            self._columns[name][: self.n_rows] = values


def write_json(path: Path, value: Any) -> None:
    """Write JSON under a temporary name that replaces `path` in one go; NaN becomes null."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(
        json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    partial.replace(path)


def _plain(value: Any) -> Any:
    """The value in JSON's own types."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case np.ndarray():
            return [_plain(item) for item in value.tolist()]
        case np.generic():
            return _plain(value.item())
        case float():
            return value if np.isfinite(value) else None
        case os.PathLike():
            return os.fspath(value)
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)
