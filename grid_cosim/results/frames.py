"""Tables as an analyst has them: indexed by time and element, with the columns and rows that were asked for.

Tables are read in parts, and of each part only what was asked for is kept: a town's need not fit in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from pandas.api.types import union_categoricals

from grid_cosim.errors import GridCosimError, UnknownNameError
from grid_cosim.results.parquet import require_columns
from grid_cosim.results.store import StoredResults
from grid_cosim.results.tables import TABLES, columns_of

Where = Mapping[str, Any]
"""Column → the value, or the values, that rows have there."""


def frame(
    results: StoredResults,
    name: str,
    controller: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
    start: object = None,
    end: object = None,
) -> pd.DataFrame:
    """The rows of a table by time and element, such as (`time`, `limit`); a summary's by element.

    Tables with a row per step have a `DatetimeIndex`, with its `freq` where rows are equally far apart.
    Without a `controller` the rows of all are there, and the first level of the index says whose they are.
    Rows are those from `start` on and before `end` in which every column of `where` has the value, or one of
    the values, given. `attrs["units"]` has the units of the columns.

    Raises `UnknownNameError` for a table, controller, column or element that there is not.
    """
    wanted = _Wanted.of(name, columns=columns, where=where, start=start, end=end)
    names = _controllers(results, controller)
    rows = _read(results, names, wanted)
    shown = [column for column in rows.columns if column not in ("time", wanted.element, *wanted.beside)]
    values = {column: rows.columns[column] for column in shown}
    made = pd.DataFrame(values, index=_index(rows, wanted, names if controller is None else None))
    made.attrs["units"] = {column: columns_of(name)[column].unit for column in shown}
    return made


def series(
    results: StoredResults,
    name: str,
    column: str,
    controller: str | None = None,
    *,
    where: Where | None = None,
    start: object = None,
    end: object = None,
) -> pd.DataFrame:
    """One column of a table, wide: a row per time, a column per controller and element.

    The columns are a `MultiIndex` (controller, element). A level that was picked by name, by `controller` or
    by one element in `where`, is left out unless nothing else would be left. Where a run has no row, NaN.

    Raises `UnknownNameError` as `frame` does, and `GridCosimError` for what has no time or is no number.
    """
    wanted = _Wanted.of(name, columns=[column], where=where, start=start, end=end)
    if "time" not in TABLES[name]:
        raise GridCosimError(f"The table {name!r} has one row per {wanted.element}: it is no time series.")
    if TABLES[name][column].is_name or TABLES[name][column].is_time:
        raise GridCosimError(
            f"The column {column!r} of the table {name!r} holds no numbers. "
            f"Choose one of {', '.join(_numbers(name))}."
        )
    names = _controllers(results, controller)
    rows = _read(results, names, wanted)
    row, times = pd.factorize(rows.columns["time"], sort=True)
    heads = [_Head("controller", names, rows.controller, picked=controller is not None)]
    if wanted.element is not None:
        held = rows.columns[wanted.element]
        used, codes = np.unique(held.codes, return_inverse=True)
        elements = [str(element) for element in held.categories[used]]
        picked = isinstance((where or {}).get(wanted.element), str)
        heads.append(_Head(wanted.element, elements, codes.astype(np.int64), picked=picked))
    made = _widened(rows.columns[column], row, heads, _regular(times))
    made.attrs["units"] = {column: columns_of(name)[column].unit}
    return made


def column_table(name: str) -> pd.DataFrame:
    """The columns of a table, each with its unit and meaning."""
    known = _known_columns(name)
    about = {column: (known[column].unit, known[column].meaning) for column in known}
    made = pd.DataFrame.from_dict(about, orient="index", columns=["unit", "meaning"])
    return made.rename_axis(index="column")


def table_overview(results: StoredResults) -> pd.DataFrame:
    """How many rows each table has under each controller; reads none of them."""
    rows = {controller: [run.n_rows(name) for name in TABLES] for controller, run in results.runs.items()}
    made = pd.DataFrame(rows, index=pd.Index(list(TABLES), name="table"))
    return made.rename_axis(columns="controller")


def element_of(name: str) -> str | None:
    """The column that says which element a row is about; `None` where a table has one row per step."""
    return next((column for column, about in columns_of(name).items() if about.is_name), None)


@dataclass(frozen=True)
class _Wanted:
    """What to read of a table, and what to keep of it."""

    table: str
    element: str | None
    columns: tuple[str, ...] | None
    """Those to read; `None`: all there are."""
    beside: tuple[str, ...]
    """Of these the ones that only `where` needs."""
    where: Mapping[str, tuple[Any, ...]]
    start: np.datetime64 | None
    end: np.datetime64 | None

    @classmethod
    def of(
        cls, name: str, *, columns: Sequence[str] | None, where: Where | None, start: object, end: object
    ) -> _Wanted:
        known = _known_columns(name)
        columns = [columns] if isinstance(columns, str) else columns
        for column in (*(columns or ()), *(where or {})):
            if column not in known:
                raise UnknownNameError("column", column, known, place=f"in the table {name!r}")
        begin, stop = _moment(start, "start"), _moment(end, "end")
        if (begin is not None or stop is not None) and "time" not in known:
            raise GridCosimError(
                f"The table {name!r} has one row per element over all steps: no start, no end."
            )
        kept = {
            column: (value,) if isinstance(value, str) or np.ndim(value) == 0 else tuple(value)
            for column, value in (where or {}).items()
        }
        element = element_of(name)
        if columns is None:
            return cls(name, element, None, (), kept, begin, stop)
        index = [column for column in ("time", element) if column is not None and column in known]
        beside = tuple(column for column in kept if column not in (*columns, *index))
        read = tuple(dict.fromkeys((*index, *columns, *beside)))
        return cls(name, element, read, beside, kept, begin, stop)

    def of_part(self, part: pd.DataFrame) -> pd.DataFrame:
        """The rows of a part that were asked for."""
        keep = np.ones(len(part), dtype=bool)
        if self.start is not None:
            keep &= part["time"].to_numpy() >= self.start
        if self.end is not None:
            keep &= part["time"].to_numpy() < self.end
        for column, values in self.where.items():
            keep &= part[column].isin(values).to_numpy()
        return part if keep.all() else part[keep]


@dataclass(frozen=True)
class _Rows:
    """Rows of some controllers, one after the other, each in the order of time."""

    controller: Int[np.ndarray, " rows"]
    columns: Mapping[str, Any]
    """Arrays; names as `pd.Categorical` in order of appearance."""


@dataclass(frozen=True)
class _Head:
    """One level of the columns of a wide table."""

    name: str
    values: Sequence[str]
    codes: Int[np.ndarray, " rows"]
    picked: bool


def _known_columns(name: str) -> Mapping[str, Any]:
    if name not in TABLES:
        raise UnknownNameError("table", name, TABLES)
    return columns_of(name)


def _numbers(name: str) -> list[str]:
    return [column for column, about in TABLES[name].items() if not (about.is_name or about.is_time)]


def _controllers(results: StoredResults, controller: str | None) -> list[str]:
    if controller is None:
        return list(results.runs)
    if controller not in results.runs:
        raise UnknownNameError("controller", controller, results.runs, place="in these results")
    return [controller]


def _moment(given: object, what: str) -> np.datetime64 | None:
    if given is None:
        return None
    try:
        moment = pd.Timestamp(given)
    except (TypeError, ValueError) as error:
        raise GridCosimError(f"{what}: {given!r} is not a time. Write it like '2016-01-19 17:30'.") from error
    if moment is pd.NaT:
        raise GridCosimError(f"{what}: {given!r} is not a time. Write it like '2016-01-19 17:30'.")
    if moment.tz is not None:
        raise GridCosimError(f"{what}: {given!r} has a time zone; a run has local times without one.")
    return np.datetime64(moment.to_datetime64(), "ms")


def _read(results: StoredResults, controllers: Sequence[str], wanted: _Wanted) -> _Rows:
    """All rows that were asked for; raises for elements that no run has."""
    kept: list[pd.DataFrame] = []
    codes: list[np.ndarray] = []
    seen: dict[str, set[Any]] = {column: set() for column in wanted.where}
    for code, controller in enumerate(controllers):
        of_run = []
        for part in results.runs[controller].parts(wanted.table, wanted.columns):
            asked = (*(wanted.columns or ()), *wanted.where)
            require_columns(f"{controller}/{wanted.table}", part.columns, asked)
            for column, names in seen.items():
                if columns_of(wanted.table)[column].is_name:
                    names |= set(part[column].unique())
            of_run.append(wanted.of_part(part))
        rows = sum(len(part) for part in of_run)
        kept += [part for part in of_run if len(part)] or of_run[:1]
        codes.append(np.full(rows, code, dtype=np.int32))
    for column, names in seen.items():
        for value in wanted.where[column]:
            if names and value not in names:
                raise UnknownNameError(column, str(value), sorted(names), place=f"in {wanted.table!r}")
    whose = np.concatenate(codes) if codes else np.zeros(0, dtype=np.int32)
    return _in_order(_Rows(whose, _joined(kept, wanted)))


def _joined(parts: list[pd.DataFrame], wanted: _Wanted) -> dict[str, Any]:
    """Each column in one piece; those that not every part has are left out."""
    known = columns_of(wanted.table)
    if not parts:
        parts = [pd.DataFrame({column: [] for column in wanted.columns or known})]
    joined: dict[str, Any] = {}
    for column in [column for column in known if all(column in part for part in parts)]:
        pieces = [part[column] for part in parts]
        if known[column].is_name:
            joined[column] = union_categoricals([_categorical(piece) for piece in pieces])
        else:
            joined[column] = np.concatenate([piece.to_numpy(dtype=known[column].stored) for piece in pieces])
    return joined


def _categorical(names: pd.Series) -> pd.Categorical:
    """Names as numbers, without those that do not occur."""
    if isinstance(names.dtype, pd.CategoricalDtype):
        return names.array.remove_unused_categories()
    return pd.Categorical(names, categories=pd.unique(names.to_numpy(dtype=object)))


def _in_order(rows: _Rows) -> _Rows:
    """Rows by controller and time; a table that was written in another order is sorted."""
    if "time" not in rows.columns:
        return rows
    time = rows.columns["time"]
    falls = (np.diff(time) < np.timedelta64(0)) & (np.diff(rows.controller) == 0)
    if not falls.any():
        return rows
    order = np.lexsort((time, rows.controller))
    return _Rows(rows.controller[order], {name: held[order] for name, held in rows.columns.items()})


def _index(rows: _Rows, wanted: _Wanted, controllers: Sequence[str] | None) -> pd.Index:
    """The levels that there are of controller, time and element; a plain index of a single one."""
    levels: list[tuple[str, pd.Index, np.ndarray]] = []
    if controllers is not None:
        levels.append(("controller", pd.Index(controllers, dtype=object), rows.controller))
    if "time" in rows.columns:
        codes, times = pd.factorize(rows.columns["time"], sort=True)
        levels.append(("time", _regular(times), codes))
    if wanted.element is not None:
        held = rows.columns[wanted.element]
        levels.append((wanted.element, pd.Index(held.categories, dtype=object), held.codes))
    if len(levels) == 1:
        name, level, codes = levels[0]
        alone = level if np.array_equal(codes, np.arange(len(level))) else level[codes]
        return alone.rename(name)
    names, values, numbers = zip(*levels, strict=True)
    return pd.MultiIndex(levels=values, codes=numbers, names=names, verify_integrity=False)


def _regular(times: np.ndarray) -> pd.DatetimeIndex:
    """Times, with their frequency where they are equally far apart."""
    index = pd.DatetimeIndex(times, name="time")
    apart = np.unique(np.diff(times))
    return pd.DatetimeIndex(index, freq=pd.Timedelta(apart[0])) if len(apart) == 1 else index


def _widened(
    values: np.ndarray, row: np.ndarray, heads: Sequence[_Head], times: pd.DatetimeIndex
) -> pd.DataFrame:
    """Long values as a table of a row per time, with the columns that occur.

    Heads that were picked are left out, but for the first where nothing else is left.
    """
    shape = tuple(len(head.values) for head in heads)
    place = np.ravel_multi_index([head.codes for head in heads], shape) if len(values) else np.zeros(0, int)
    occurring, column = np.unique(place, return_inverse=True)
    whole = np.full((len(times), len(occurring)), np.nan, dtype=np.result_type(values.dtype, np.float32))
    whole[row, column] = values
    if len(values) == whole.size:
        whole = whole.astype(values.dtype)  # no gaps: flags and counts stay what they are
    shown = [head for head in heads if not head.picked] or list(heads[:1])
    grid = np.unravel_index(occurring, shape)
    labels = {
        head.name: np.asarray(head.values, dtype=object)[at] for head, at in zip(heads, grid, strict=True)
    }
    names = [head.name for head in shown]
    if len(names) == 1:
        columns: pd.Index = pd.Index(labels[names[0]], name=names[0])
    else:
        columns = pd.MultiIndex.from_arrays([labels[name] for name in names], names=names)
    return pd.DataFrame(whole, index=times, columns=columns)
