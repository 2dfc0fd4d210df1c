"""What was drawn at every load, generator and storage of the network, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from grid_cosim.errors import ExportError
from grid_cosim.exports.chosen import Chosen
from grid_cosim.feeder.background import series_followed
from grid_cosim.feeder.saving import SavedNetwork

_SIGN = {"load": 1.0, "sgen": -1.0, "storage": 1.0}
WIRE_ID = {"load": "Load", "sgen": "StaticGen", "storage": "Storage"}


@dataclass(frozen=True)
class Powers:
    """Elements that draw a power of their own; consumption is positive, generators are below zero."""

    elements: pd.DataFrame
    """id, table (of pandapower), index, bus (pandapower's), name."""
    steps: np.ndarray
    """Control steps that are there."""
    times: pd.DatetimeIndex
    p_kw: np.ndarray
    """(steps, elements)."""
    q_kvar: np.ndarray

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """P and Q of all elements in a control step."""
        row = int(np.flatnonzero(self.steps == step)[0])
        return self.p_kw[row], self.q_kvar[row]


def read_powers(chosen: Chosen, steps: range) -> Powers:
    """The powers in those of the steps that were recorded. Raises `ExportError` where none was."""
    saved = chosen.network
    homes, recorded = _homes(chosen, saved, steps)
    parts = [homes, *(_others(saved, table, recorded) for table in WIRE_ID)]
    return Powers(
        elements=pd.concat([part[0] for part in parts], ignore_index=True),
        steps=recorded,
        times=chosen.times[recorded],
        p_kw=np.hstack([part[1] for part in parts]),
        q_kvar=np.hstack([part[2] for part in parts]),
    )


def _homes(
    chosen: Chosen, saved: SavedNetwork, steps: range
) -> tuple[tuple[pd.DataFrame, np.ndarray, np.ndarray], np.ndarray]:
    run = chosen.run
    if not run.n_rows("households"):
        raise ExportError(
            chosen.to,
            "the powers of the homes were not recorded",
            remedy='Run it again with record.households = "all"',
        )
    rows = run.table("households", ["time", "household", "p_kw", "q_kvar"])
    wide = rows.pivot(index="time", columns="household", values=["p_kw", "q_kvar"])
    at = chosen.times.get_indexer(pd.DatetimeIndex(wide.index))
    inside = np.isin(at, np.array(steps))
    if not inside.any():
        raise ExportError(
            chosen.to,
            f"none of the steps {steps.start} to {steps.stop - 1} was recorded",
            remedy="Run it again with record.every = 1, or choose another step",
        )
    wide, at = wide[inside], at[inside]
    load = np.array(saved.home_load, dtype=np.int64)
    elements = pd.DataFrame(
        {
            "id": [f"Load-{index}" for index in load],
            "table": "load",
            "index": load,
            "bus": saved.net.load.loc[load, "bus"].to_numpy(),
            "name": list(saved.home_names),
        }
    )
    p_kw, q_kvar = (wide[quantity][list(saved.home_names)].to_numpy() for quantity in ("p_kw", "q_kvar"))
    return (elements, p_kw, q_kvar), at


def _others(
    saved: SavedNetwork, table: str, steps: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """What is in service and no home's, as the net and its series plan it."""
    frame = saved.net[table]
    frame = frame[frame["in_service"].astype(bool)]
    if table == "load":
        frame = frame.drop(index=list(saved.home_load), errors="ignore")
    profile = frame["profile"].tolist() if "profile" in frame.columns else [None] * len(frame)
    column: dict[str | None, int] = {name: i for i, name in enumerate(saved.series.columns)}
    followed = [series_followed(table, name) for name in profile]
    series = saved.series.to_numpy(dtype=float)
    factors = np.hstack(
        [series[steps] if len(series) else np.zeros((len(steps), 0)), np.ones((len(steps), 1))]
    )  # the last one is what column -1 finds
    scaling = 1e3 * _SIGN[table] * frame["scaling"].to_numpy(dtype=float)
    powers = []
    for row, quantity in enumerate(("p_mw", "q_mvar")):
        follows = [column.get(names[row], -1) for names in followed]
        powers.append(
            factors[:, np.array(follows, dtype=np.int64)] * scaling * frame[quantity].to_numpy(float)
        )
    names = frame["name"].tolist() if "name" in frame.columns else [None] * len(frame)
    elements = pd.DataFrame(
        {
            "id": [f"{WIRE_ID[table]}-{index}" for index in frame.index],
            "table": table,
            "index": frame.index.to_numpy(dtype=np.int64),
            "bus": frame["bus"].to_numpy(dtype=np.int64),
            "name": ["" if pd.isna(name) else str(name) for name in names],
        }
    )
    return elements, powers[0], powers[1]
