"""Long runs, thinned for drawing: tables are read in parts, and each block of steps keeps its worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from grid_cosim.plots.style import MAX_POINTS, block_starts
from grid_cosim.results import Run, StoredResults

_THIN = {"max": np.fmax, "min": np.fmin}


@dataclass(frozen=True)
class Blocks:
    """Equally many steps each, all but perhaps the last."""

    times: np.ndarray
    """(steps,) of all runs."""
    starts: Int[np.ndarray, " blocks"]
    """First step of each block."""

    @property
    def begins(self) -> np.ndarray:
        """(blocks,) time at which each begins."""
        return self.times[self.starts]

    @property
    def steps_each(self) -> int:
        """Steps of a block."""
        return int(self.starts[1]) if self.starts.size > 1 else len(self.times)

    def of(self, times: np.ndarray) -> Int[np.ndarray, " rows"]:
        """Block of each time."""
        return np.asarray(np.searchsorted(self.begins, times, side="right") - 1)


def blocks(results: StoredResults, *, most: int = MAX_POINTS, multiple_of: int = 1) -> Blocks:
    """At most so many blocks of the time axis that all runs share, each of a multiple of some steps."""
    every = [run.table("totals", ["time"])["time"].to_numpy() for run in results.runs.values()]
    times = np.unique(np.concatenate(every)) if every else np.zeros(0, dtype="datetime64[ms]")
    steps = -(-max(1, -(-len(times) // most)) // multiple_of) * multiple_of
    starts = block_starts(len(times), most) if multiple_of == 1 else np.arange(0, len(times), steps)
    return Blocks(times, starts)


def thinned(
    run: Run,
    table: str,
    columns: Mapping[str, str],
    ids: Sequence[str],
    blocks: Blocks,
) -> dict[str, Float[np.ndarray, "blocks ids"]]:
    """The largest ("max") or smallest ("min") value of each column, by block and element; NaN: no value."""
    key = {"limits": "limit", "lines": "line", "buses": "bus"}[table]
    shape = (blocks.starts.size, len(ids))
    worst = {name: np.full(shape, np.nan) for name in columns}
    row_of = pd.Index(ids)
    if not row_of.is_unique:  # homes at one bus
        once = thinned(run, table, columns, list(row_of.unique()), blocks)
        rows = row_of.unique().get_indexer(row_of)
        return {name: values[:, rows] for name, values in once.items()}
    for part in run.parts(table, ["time", key, *columns]):
        names = part[key].astype("category")
        row = row_of.get_indexer(names.cat.categories)[names.cat.codes.to_numpy()]
        block = blocks.of(part["time"].to_numpy())
        shown = (row >= 0) & (block >= 0)
        cell = block[shown] * len(ids) + row[shown]
        for name, how in columns.items():
            _THIN[how].at(worst[name].ravel(), cell, part[name].to_numpy(dtype=float)[shown])
    return worst
