"""What hangs on the buses, one row per element: where it is, and what the net plans for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from grid_cosim.feeder.background import series_followed
from grid_cosim.feeder.network import Feeder


@dataclass(frozen=True)
class Elements:
    """One of pandapower's tables, in its order."""

    index: Int[np.ndarray, " elements"]
    """pandapower index."""
    bus: Int[np.ndarray, " elements"]
    """pandapower bus index."""
    names: tuple[str | None, ...]
    profile: tuple[str | None, ...] | None
    """Names of the SimBench series; None for a table without."""


@dataclass(frozen=True)
class Plan:
    """What the net plans for loads (consumption) or fixed generators (generation).

    These are the rows of `Feeder.background`, there summed per bus.
    """

    planned: Bool[np.ndarray, " elements"]
    """False for households and for what is out of service: of these nothing is planned."""
    pq: Float[np.ndarray, "2 elements"]
    """P (kW) and Q (kvar); of what follows a series, its weight."""
    column: Int[np.ndarray, "2 elements"]
    """Column of the series that P and Q follow; -1: constant."""
    series: Float[np.ndarray, "year_steps series"]

    def at(self, step: int | None) -> Float[np.ndarray, "2 elements"]:
        """P (kW) and Q (kvar) in a step of the year, which wraps round; None: as planned."""
        if step is None or len(self.series) == 0:
            return self.pq.copy()
        # the last one is what column -1 finds
        factor = np.append(self.series[step % len(self.series)], 1.0)
        return np.asarray(self.pq * factor[self.column])


def read_elements(feeder: Feeder, table: Literal["load", "sgen", "gen", "ext_grid"]) -> Elements:
    """All elements of a table, in service or not."""
    frame = feeder.net[table]
    profile = None
    if "profile" in frame.columns:
        profile = tuple(None if pd.isna(name) else str(name) for name in frame["profile"])
    return Elements(
        index=frame.index.to_numpy(dtype=np.int64),
        bus=frame["bus"].to_numpy(dtype=np.int64),
        names=tuple(None if pd.isna(name) else str(name) for name in frame["name"]),
        profile=profile,
    )


def read_plan(feeder: Feeder, table: Literal["load", "sgen"]) -> Plan:
    """The plan of a table."""
    frame, names = feeder.net[table], feeder.background.series_names
    planned = frame["in_service"].to_numpy(dtype=bool)
    if table == "load":
        planned = planned & ~frame.index.isin(feeder.home_load)
    scaling = np.where(planned, 1e3 * frame["scaling"].to_numpy(dtype=float), 0.0)
    power = frame[["p_mw", "q_mvar"]].to_numpy(dtype=float).T
    profile = frame["profile"].tolist() if "profile" in frame.columns else [None] * len(frame)
    column: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    follows = [[column.get(name, -1) for name in series_followed(table, shape)] for shape in profile]
    return Plan(
        planned=planned,
        pq=np.where(planned, scaling * power, 0.0),  # what is out of service may be without a number
        column=np.array(follows, dtype=np.int64).reshape(-1, 2).T,
        series=feeder.background.series,
    )
