"""A run as it is produced: rows arrive step by step and leave for the disk in row groups."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grid_cosim.results.naming import Coded
from grid_cosim.results.parquet import ROW_GROUP_ROWS, open_parquet, to_arrow
from grid_cosim.results.record import Record
from grid_cosim.results.rows import OneStep, StepRows
from grid_cosim.results.summary import Summary
from grid_cosim.results.tables import SUMMARY_OF, TABLES, columns_of
from grid_cosim.results.totals import Totals, full_row

Status = Literal["complete", "interrupted", "failed"]
STATUS_FILE = "status.json"
_EVERYTHING = Record()


class RunWriter:
    """Streams the tables of one controller's run into its folder, in the detail that `record` asks for.

    Until `finish`, `status.json` says "running" and every table is called `<name>.parquet.partial`; what was
    appended until a failure is kept by `finish("failed", …)`. At most `ROW_GROUP_ROWS` rows per table wait in
    memory. `totals` and the summaries are reckoned from all that is appended, whatever is kept of it.
    """

    def __init__(self, folder: Path, record: Record = _EVERYTHING) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for table in TABLES:
            for stale in (self._final(table), self._partial(table)):
                stale.unlink(missing_ok=True)
        self._record = record
        self._rows = {table: StepRows(table) for table in TABLES}
        self._buffers: dict[str, _Buffer] = {}
        self._parquet: dict[str, Any] = {}
        self._totals = Totals()
        self._summaries = {table: Summary(table) for table in SUMMARY_OF if record.keeps_summary(table)}
        self._step = -1
        self._now: np.datetime64 | None = None
        self._told: dict[str, Any] = {}
        self._finished = False
        write_json(self.folder / STATUS_FILE, {"status": "running", "message": "", "wall_time_s": None})

    def append(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add the rows of one step: each column of the table as an array of its rows, or one for all.

        Steps come one after the other, each with one time.
        """
        assert not self._finished, "this run is finished"
        rows = self._rows[table].of(columns)
        if not rows.n_rows:
            return
        if rows.time != self._now:
            self._end_step()
            self._now, self._step = rows.time, self._step + 1
        whole = rows.whole() if table in SUMMARY_OF else {}
        if whole:
            self._told |= self._totals.of(table, whole)
        if table in self._summaries:
            self._summaries[table].add(whole, rows.time)
        if self._record.keeps_rows(table, self._step):
            self._keep(table, rows)

    def finish(self, status: Status, message: str = "", wall_time_s: float = float("nan")) -> None:
        """Write what still waits in memory, give the tables their names, and say how the run ended."""
        assert not self._finished, "this run is finished"
        self._end_step()
        self._finished = True
        for table, summary in self._summaries.items():
            if summary.n_elements:
                self._write(SUMMARY_OF[table], summary.columns(self._rows[table].names))
        for table, buffer in self._buffers.items():
            if buffer.n_rows:
                self._write(table, buffer.take(self._rows[table].names))
        for table, parquet in self._parquet.items():
            parquet.close()
            self._partial(table).replace(self._final(table))
        write_json(
            self.folder / STATUS_FILE, {"status": status, "message": message, "wall_time_s": wall_time_s}
        )

    def _end_step(self) -> None:
        """The totals of a step have a row of their own."""
        if self._told:
            self._keep("totals", self._rows["totals"].of({"time": self._now} | full_row(self._told)))
        self._told = {}

    def _keep(self, table: str, rows: OneStep) -> None:
        if table not in self._buffers:
            self._buffers[table] = _Buffer(table)
        buffer, start = self._buffers[table], 0
        while start < rows.n_rows:
            start += buffer.fill(rows, start)
            if buffer.n_rows == buffer.size:
                self._write(table, buffer.take(self._rows[table].names))

    def _write(self, table: str, columns: Mapping[str, Any]) -> None:
        if table not in self._parquet:
            self._parquet[table] = open_parquet(self._partial(table), table)
        self._parquet[table].write_table(to_arrow(table, columns))

    def _final(self, table: str) -> Path:
        return self.folder / f"{table}.parquet"

    def _partial(self, table: str) -> Path:
        return self.folder / f"{table}.parquet.partial"


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

    def take(self, names: Mapping[str, list[str]]) -> dict[str, Any]:
        """All rows, which leave the buffer and are to be used before the next arrive."""
        whole = {name: values[: self.n_rows] for name, values in self._columns.items()}
        self.n_rows = 0
        return whole | {name: Coded(whole[name], names[name]) for name in names}


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
