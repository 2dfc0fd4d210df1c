"""Our tables as they are, a row per element and step, as Parquet or CSV, with a `datapackage.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from grid_cosim.exports.chosen import Chosen
from grid_cosim.exports.package import field_of, write_package
from grid_cosim.results import TABLES, Run
from grid_cosim.results.parquet import open_parquet, require_columns, to_arrow


def write(chosen: Chosen, folder: Path) -> list[str]:
    """A folder per controller."""
    ending, resources = chosen.to, []
    for controller in chosen.controllers:
        run = chosen.results.runs[controller]
        (folder / controller).mkdir()
        for table in TABLES:
            path = folder / controller / f"{table}.{ending}"
            if not _has_rows(run, table):
                continue
            (_write_parquet if ending == "parquet" else _write_csv)(run, table, path)
            resources.append(_resource(controller, table, ending))
    write_package(chosen, folder, resources)
    return []


def _has_rows(run: Run, table: str) -> bool:
    return run.n_rows(table) > 0 or (table not in run.tables and len(run.table(table)) > 0)


def _write_parquet(run: Run, table: str, path: Path) -> None:
    with open_parquet(path, table) as writer:
        for part in _parts(run, table):
            writer.write_table(to_arrow(table, {name: part[name] for name in part.columns}))


def _write_csv(run: Run, table: str, path: Path) -> None:
    for k, part in enumerate(_parts(run, table)):
        write_csv(part, path, first=k == 0)


def _parts(run: Run, table: str) -> Iterator[pd.DataFrame]:
    for part in run.parts(table):
        require_columns(f"The table {table}", part.columns, TABLES[table])
        yield part


def write_csv(frame: pd.DataFrame, path: Path, *, first: bool = True) -> None:
    """Commas and points, UTF-8, times as ISO 8601; the header with the first rows."""
    frame.to_csv(
        path,
        mode="w" if first else "a",
        header=first,
        index=False,
        date_format="%Y-%m-%dT%H:%M:%S",
        lineterminator="\n",
        encoding="utf-8",
    )


def _resource(controller: str, table: str, ending: str) -> dict[str, Any]:
    return {
        "name": f"{controller}-{table}".lower(),
        "path": f"{controller}/{table}.{ending}",
        "controller": controller,
        "table": table,
        "fields": [field_of(name, column) for name, column in TABLES[table].items()],
    }
