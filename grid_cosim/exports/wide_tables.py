"""A file per quantity with a column per element, as Parquet or CSV, with a `datapackage.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grid_cosim.errors import ExportError
from grid_cosim.exports.chosen import Chosen
from grid_cosim.exports.package import field_of, write_package
from grid_cosim.exports.tables import write_csv
from grid_cosim.results import RECORDED, TABLES, Column, Run

_TIME = {"name": "time", "field_name": "time", "pandas_type": "datetime", "numpy_type": "datetime64[ms]"}
_TIME_IS_INDEX = json.dumps(
    {
        "index_columns": ["time"],
        "columns": [_TIME | {"metadata": None}],
        "column_indexes": [],
        "pandas_version": pd.__version__,
    }
)
"""How pandas notes it in a file; of the other columns there is nothing to say."""


def write(chosen: Chosen, folder: Path) -> list[str]:
    """A folder per controller. Quantities without a number in any row are left out."""
    ending, resources = chosen.to.removesuffix("-wide"), []
    for controller in chosen.controllers:
        (folder / controller).mkdir()
        for name, frame, fields in _wide(chosen.results.runs[controller]):
            path = folder / controller / f"{name}.{ending}"
            if ending == "csv":
                write_csv(frame, path)
            else:
                _write_parquet(frame, path)
            resources.append(
                {
                    "name": f"{controller}-{name}".lower(),
                    "path": f"{controller}/{name}.{ending}",
                    "controller": controller,
                    "fields": fields,
                }
            )
    if not resources:
        raise ExportError(chosen.to, "no table has rows of single steps", remedy="Export to parquet or csv")
    write_package(chosen, folder, resources)
    return []


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Without what would be written for each of ten thousand columns and helps nobody.

    To pandas `time` is the index. As a column it would turn a row in which nothing else is known into times.
    """
    columns = {str(name): pa.array(frame[name].to_numpy(), from_pandas=False) for name in frame.columns}
    table = pa.table(columns).replace_schema_metadata({"pandas": _TIME_IS_INDEX})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)


def _wide(run: Run) -> Iterator[tuple[str, pd.DataFrame, list[dict[str, Any]]]]:
    for table in (*RECORDED, "totals"):
        columns = TABLES[table]
        keys = [name for name, column in columns.items() if column.is_name]
        if not keys:
            frame = run.table(table)
            if len(frame):
                yield table, frame, [field_of(name, column) for name, column in columns.items()]
            continue
        for quantity, column in columns.items():
            if column.is_name or column.is_time or not run.n_rows(table):
                continue
            rows = run.table(table, ["time", keys[0], quantity])
            if rows[quantity].notna().any():
                yield f"{table}.{quantity}", *_pivoted(rows, keys[0], quantity, column)


def _pivoted(
    rows: pd.DataFrame, key: str, quantity: str, column: Column
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Elements in the order of their first row; one called time is told from the column of that name."""
    elements = rows[key].astype(str).replace({"time": f"time ({key})"})
    wide = rows.assign(**{key: elements}).pivot(index="time", columns=key, values=quantity)
    wide = wide[list(dict.fromkeys(elements))].rename_axis(columns=None).reset_index()
    fields = [field_of("time", TABLES["totals"]["time"])]
    fields += [field_of(str(name), column) for name in wide.columns[1:]]
    return wide, fields
