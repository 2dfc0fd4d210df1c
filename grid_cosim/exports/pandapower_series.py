"""The files that pandapower's OutputWriter leaves: `res_bus/vm_pu.csv`, a row per step, a column per bus.

What was recorded is written as it is; nothing is solved again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from grid_cosim.errors import ExportError, ResultsError
from grid_cosim.exports.chosen import Chosen

_SERIES = (
    ("buses", "bus", "Bus", "vm_pu", "res_bus", "vm_pu", 1.0),
    ("buses", "bus", "Bus", "p_kw", "res_bus", "p_mw", 1e-3),
    ("lines", "line", "Line", "loading_percent", "res_line", "loading_percent", 1.0),
    ("lines", "line", "Line", "p_kw", "res_line", "p_from_mw", 1e-3),
)
"""Our table, its element, the word of its ids, the column; pandapower's table, its column; factor."""


def write(chosen: Chosen, folder: Path) -> list[str]:
    """A file per quantity, with pandapower's indices; `times.csv` says when each step began."""
    run, notes = chosen.run, []
    for table, element, word, column, to_table, to_column, factor in _SERIES:
        if not run.n_rows(table):
            notes.append(f"{to_table}/{to_column} is not there: record.{table} was not all")
            continue
        rows = run.table(table, ["time", element, column])
        index = rows[element].astype(str).str.removeprefix(f"{word}-").astype(np.int64)
        _write(folder, to_table, to_column, chosen, rows["time"], index, factor * rows[column].astype(float))
    _transformers(chosen, folder)
    notes += _loads(chosen, folder)
    if not any(folder.iterdir()):
        raise ExportError(
            chosen.to,
            "nothing was recorded that it holds",
            remedy='Run it again with record.buses = "all" and record.lines = "all"',
        )
    times = pd.Series(chosen.times.strftime("%Y-%m-%dT%H:%M:%S"), name="time")
    times.to_csv(folder / "times.csv", sep=";", index_label="time_step", lineterminator="\n")
    return notes


def _transformers(chosen: Chosen, folder: Path) -> None:
    """Those with a limit, per phase the phase that is loaded most."""
    rows = chosen.run.table("limits", ["time", "limit", "loading_percent"])
    number = rows["limit"].astype(str).str.extract(r"^Trafo-(\d+)", expand=False)
    rows, number = rows[number.notna()], number.dropna().astype(np.int64)
    if len(rows):
        loading = rows.assign(index=number, loading=rows["loading_percent"].abs())
        most = loading.groupby(["time", "index"], as_index=False, observed=True)["loading"].max()
        _write(folder, "res_trafo", "loading_percent", chosen, most["time"], most["index"], most["loading"])


def _loads(chosen: Chosen, folder: Path) -> list[str]:
    """The homes."""
    run = chosen.run
    if not run.n_rows("households"):
        return ["res_load is not there: record.households was not all"]
    try:
        saved = chosen.network
    except ResultsError as error:
        return [f"res_load is not there: {error}"]
    index = dict(zip(saved.home_names, saved.home_load, strict=True))
    rows = run.table("households", ["time", "household", "p_kw", "q_kvar"])
    of = rows["household"].astype(str).map(index)
    for ours, theirs in (("p_kw", "p_mw"), ("q_kvar", "q_mvar")):
        _write(folder, "res_load", theirs, chosen, rows["time"], of, rows[ours] / 1e3)
    return []


def _write(
    folder: Path,
    table: str,
    column: str,
    chosen: Chosen,
    times: pd.Series,
    index: pd.Series,
    values: pd.Series,
) -> None:
    step = chosen.times.get_indexer(pd.DatetimeIndex(times))
    wide = pd.DataFrame({"step": step, "index": index.to_numpy(), "value": values.to_numpy()}).pivot(
        index="step", columns="index", values="value"
    )
    (folder / table).mkdir(exist_ok=True)
    wide.rename_axis(index=None, columns=None).to_csv(
        folder / table / f"{column}.csv", sep=";", lineterminator="\n"
    )
