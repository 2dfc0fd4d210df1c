"""A run as it is produced: rows arrive step by step and leave for the disk in row groups."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from grid_cosim.results.tables import ROW_GROUP_ROWS, TABLES, as_times, columns_of, open_parquet, to_arrow

Status = Literal["complete", "interrupted", "failed"]
STATUS_FILE = "status.json"


class RunWriter:
    """Streams the tables of one controller's run into its folder.

    Until `finish`, `status.json` says "running" and every table is called `<name>.parquet.partial`; what was
    appended until a failure is kept by `finish("failed", …)`. At most `ROW_GROUP_ROWS` rows per table wait in
    memory, plus the step being appended.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for table in TABLES:
            for stale in (self._final(table), self._partial(table)):
                stale.unlink(missing_ok=True)
        self._buffers = {table: _Buffer(table) for table in TABLES}
        self._parquet: dict[str, Any] = {}
        self._finished = False
        write_json(self.folder / STATUS_FILE, {"status": "running", "message": "", "wall_time_s": None})

    def append(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add the rows of one step: each column of the table as an array of its rows, or one for all."""
        assert not self._finished, "this run is finished"
        buffer = self._buffers[table]
        buffer.append(columns)
        while buffer.n_rows >= ROW_GROUP_ROWS:
            self._write(table, buffer.take(ROW_GROUP_ROWS))

    def finish(self, status: Status, message: str = "", wall_time_s: float = float("nan")) -> None:
        """Write what still waits in memory, give the tables their names, and say how the run ended."""
        assert not self._finished, "this run is finished"
        self._finished = True
        for table, buffer in self._buffers.items():
            if buffer.n_rows:
                self._write(table, buffer.take(buffer.n_rows))
        for table, parquet in self._parquet.items():
            parquet.close()
            self._partial(table).replace(self._final(table))
        write_json(
            self.folder / STATUS_FILE, {"status": status, "message": message, "wall_time_s": wall_time_s}
        )

    def _write(self, table: str, columns: Mapping[str, np.ndarray]) -> None:
        if table not in self._parquet:
            self._parquet[table] = open_parquet(self._partial(table), table)
        self._parquet[table].write_table(to_arrow(table, columns))

    def _final(self, table: str) -> Path:
        return self.folder / f"{table}.parquet"

    def _partial(self, table: str) -> Path:
        return self.folder / f"{table}.parquet.partial"


class _Buffer:
    """Rows of one table that wait for a full row group."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._steps: list[dict[str, np.ndarray]] = []
        self.n_rows = 0

    def append(self, columns: Mapping[str, Any]) -> None:
        wanted = columns_of(self._table)
        odd = sorted(set(columns) ^ set(wanted))
        assert not odd, f"{self._table}: columns {odd} are missing or unknown"
        arrays = {
            name: np.atleast_1d(as_times(values) if name == "time" else np.array(values))
            for name, values in columns.items()
        }
        n_rows = max((len(array) for array in arrays.values() if len(array) != 1), default=1)
        sizes = {name: len(array) for name, array in arrays.items() if len(array) not in (1, n_rows)}
        assert not sizes, f"{self._table}: {sizes} rows where the other columns have {n_rows}"
        self._steps.append({name: np.broadcast_to(array, n_rows) for name, array in arrays.items()})
        self.n_rows += n_rows

    def take(self, n_rows: int) -> dict[str, np.ndarray]:
        """The first `n_rows` rows, which leave the buffer."""
        whole = {
            name: np.concatenate([step[name] for step in self._steps]) for name in columns_of(self._table)
        }
        self.n_rows -= n_rows
        self._steps = [{name: values[n_rows:] for name, values in whole.items()}] if self.n_rows else []
        return {name: values[:n_rows] for name, values in whole.items()}


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
