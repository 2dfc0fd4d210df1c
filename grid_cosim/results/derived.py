"""Totals and summaries of runs that were recorded without them: the same numbers, from all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pandas as pd

from grid_cosim.results.naming import Coder
from grid_cosim.results.parquet import empty_table
from grid_cosim.results.summary import Summary
from grid_cosim.results.tables import SUMMARY_OF, TABLES, columns_of
from grid_cosim.results.totals import Columns, Totals, full_row

Parts = Callable[[str], Iterable[pd.DataFrame]]
"""Table → its rows in order of time, some at a time."""

TABLE_OF = MappingProxyType({summary: table for table, summary in SUMMARY_OF.items()})


def totals(parts: Parts) -> pd.DataFrame:
    """The table `totals`, of all tables that have rows."""
    summed, told = Totals(), dict[np.datetime64, dict[str, object]]()
    for table in SUMMARY_OF:
        coders = _coders(table)
        for when, columns in _steps(table, parts(table), coders):
            told.setdefault(when, {}).update(summed.of(table, columns))
    times = sorted(told)
    if not times:
        return empty_table("totals")
    frame = pd.DataFrame([full_row(told[when]) for when in times])
    frame.insert(0, "time", np.array(times, dtype="datetime64[ms]"))
    return frame


def summary(name: str, parts: Parts) -> pd.DataFrame:
    """A table with one row per element."""
    table = TABLE_OF[name]
    coders, made = _coders(table), Summary(table)
    for when, columns in _steps(table, parts(table), coders):
        made.add(columns, when)
    if not made.n_elements:
        return empty_table(name)
    return pd.DataFrame(made.columns({column: coder.names for column, coder in coders.items()}))[
        list(TABLES[name])
    ]


def _coders(table: str) -> dict[str, Coder]:
    return {name: Coder() for name, column in columns_of(table).items() if column.is_name}


def _steps(
    table: str, parts: Iterable[pd.DataFrame], coders: dict[str, Coder]
) -> Iterator[tuple[np.datetime64, Columns]]:
    """The rows of each time, as they are stored; a step may lie in two parts."""
    rest: dict[str, np.ndarray] = {}
    for part in parts:
        rows = _arrays(table, part, coders)
        if rest:
            rows = {name: np.concatenate([rest[name], rows[name]]) for name in rows}
        time = rows["time"]
        begins = np.concatenate([[0], 1 + np.flatnonzero(np.diff(time)), [len(time)]])
        for start, stop in pairwise(begins[:-1]):
            yield time[start], {name: values[start:stop] for name, values in rows.items()}
        rest = {name: values[begins[-2] :] for name, values in rows.items()}
    if rest and len(rest["time"]):
        yield rest["time"][0], rest


def _arrays(table: str, part: pd.DataFrame, coders: dict[str, Coder]) -> dict[str, np.ndarray]:
    made = {}
    for name, column in columns_of(table).items():
        if name == "counts" and name not in part:  # written when transformers were all limits
            made[name] = np.ones(len(part), dtype=bool)
            continue
        values = part[name]
        if name not in coders:
            made[name] = values.to_numpy().astype(column.stored)
        elif isinstance(values.dtype, pd.CategoricalDtype):
            made[name] = coders[name].codes(values.cat.categories)[values.cat.codes.to_numpy()]
        else:
            made[name] = coders[name].codes(values.to_numpy())
    return made
