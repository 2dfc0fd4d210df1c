"""Tables on disk: the one way to read and write them.

Bytes are a function of the rows alone: no timestamps, no pandas metadata, fixed compression and row groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grid_cosim.errors import ResultsError
from grid_cosim.results.naming import dictionary_array
from grid_cosim.results.tables import Column, columns_of

ROW_GROUP_ROWS = 200_000
"""Rows per Parquet row group: what a streaming writer holds in memory at most, per table."""


def schema(table: str) -> Any:
    """The Arrow schema of a table; every field carries its `unit` and `meaning` as metadata."""
    fields = [
        pa.field(name, column.dtype, metadata={"unit": column.unit, "meaning": column.meaning})
        for name, column in columns_of(table).items()
    ]
    return pa.schema(fields, metadata={"table": table, "producer": "grid_cosim"})


def to_arrow(table: str, columns: Mapping[str, Any]) -> Any:
    """Turn whole columns into an Arrow table of the registered schema.

    Names are dictionary-encoded in order of appearance, so the same rows always give the same bytes.
    """
    wanted = columns_of(table)
    assert set(columns) == set(wanted), (
        f"{table}: columns {sorted(set(columns) ^ set(wanted))} are missing or unknown"
    )
    return pa.table(
        [_to_array(columns[name], column) for name, column in wanted.items()], schema=schema(table)
    )


def _to_array(values: Any, column: Column) -> Any:
    if column.is_name:
        return dictionary_array(values)
    if column.is_time:
        return pa.array(as_times(values))
    return pa.array(np.asarray(values, dtype=column.stored), from_pandas=False)


def as_times(values: Any) -> np.ndarray:
    """Times as `datetime64[ms]`; times with a zone are refused, since a run has local time only."""
    if isinstance(values, np.datetime64):
        return np.array([values], dtype="datetime64[ms]")
    index = pd.DatetimeIndex(np.atleast_1d(np.asarray(values)) if np.ndim(values) == 0 else values)
    assert index.tz is None, "times are local times without a zone"
    return np.asarray(index.values, dtype="datetime64[ms]")


def open_parquet(path: Path, table: str) -> Any:
    """A Parquet writer with the settings that make bytes reproducible.

    Names and times repeat; numbers hardly do: looking for repetitions there takes longer than all else and
    makes files larger.
    """
    repeating = [name for name, column in columns_of(table).items() if column.is_name or column.is_time]
    return pq.ParquetWriter(
        path,
        schema(table),
        compression="zstd",
        compression_level=1,
        version="2.6",
        use_dictionary=repeating,
    )


def write_table(path: Path, table: str, frame: pd.DataFrame) -> None:
    """Write a whole table to `path`, under a temporary name that is replaced in one go."""
    partial = path.with_name(path.name + ".partial")
    with open_parquet(partial, table) as writer:
        for rows in _row_groups(len(frame)):
            part = frame.iloc[rows]
            writer.write_table(to_arrow(table, {name: part[name] for name in frame.columns}))
    partial.replace(path)


def _row_groups(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, ROW_GROUP_ROWS):
        yield slice(start, min(start + ROW_GROUP_ROWS, n_rows))


def read_table(path: Path, table: str, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table, or some of its columns; names come back as categoricals, times as `datetime64[ms]`."""
    with _readable(path, table, columns):
        return pq.read_table(path, columns=columns).to_pandas()


def read_tables(paths: Sequence[Path], table: str, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The same of a table in several files, one after the other."""
    if len(paths) == 1:
        return read_table(paths[0], table, columns=columns)
    parts = []
    for path in paths:
        with _readable(path, table, columns):
            parts.append(pq.read_table(path, columns=columns))
    return pa.concat_tables(parts).unify_dictionaries().to_pandas()


def read_arrow(path: Path, table: str) -> Any:
    """Read a table as Arrow has it, to be written again as it is."""
    with _readable(path, table):
        return pq.read_table(path)


def read_parts(path: Path, table: str, *, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """The same, one row group after the other."""
    with _readable(path, table), pq.ParquetFile(path) as stored:
        for group in range(stored.num_row_groups):
            yield stored.read_row_group(group, columns=columns).to_pandas()


def rows_in(path: Path, table: str) -> int:
    """How many rows a table has, without reading them."""
    with _readable(path, table):
        return int(pq.read_metadata(path).num_rows)


@contextmanager
def _readable(path: Path, table: str, columns: Sequence[str] | None = None) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, pa.ArrowInvalid) and "FieldRef" in str(error):
            require_columns(path, pq.read_schema(path).names, columns or ())
        raise ResultsError(
            path, f"the table {table!r} cannot be read ({error})", remedy="Run the scenario again"
        ) from error


def require_columns(where: object, there: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise `ResultsError` where a table was written before a column was."""
    known = set(there)
    for column in wanted:
        if column not in known:
            raise ResultsError(
                where,
                f"was written by an earlier version, without the column {column!r}",
                remedy="Run the scenario again",
            )


def empty_table(table: str) -> pd.DataFrame:
    """A table without rows, with the dtypes of a full one."""
    return schema(table).empty_table().to_pandas()
