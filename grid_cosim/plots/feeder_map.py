"""What a map of the feeder shows at every moment: loadings and voltages as compact frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from grid_cosim.plots.thinning import blocks, thinned
from grid_cosim.results import Run, StoredResults, Topology

LOADING_STEP_PERCENT = 0.1
VOLTAGE_STEP_PU = 1e-4
UNKNOWN = np.uint16(65_535)
"""Stands for a value that is not known: the run stopped before, or the power flow did not converge."""
MAX_FRAMES = 480
"""Moments on a map's slider at most; longer runs show the worst of each block of steps."""
_MAX_CELLS = 1_000_000
"""Values on a map at most, per run: large networks have fewer moments, but not less than these."""
_LEAST_FRAMES = 48


@dataclass(frozen=True)
class MapFrames:
    """What a map shows at every moment, as whole numbers of a step; `UNKNOWN` where there is nothing."""

    times: np.ndarray
    """(frames,) start of each moment."""
    line_loading: dict[str, np.ndarray]
    """Controller → (frames, lines) uint16, in `LOADING_STEP_PERCENT`."""
    limit_loading: dict[str, np.ndarray]
    """Controller → (frames, limits) uint16, in `LOADING_STEP_PERCENT` of the rating."""
    home_voltage: dict[str, np.ndarray]
    """Controller → (frames, homes) uint16, in `VOLTAGE_STEP_PU`; in a block of steps, the lowest."""
    limit_percent: np.ndarray
    """(limits,) what may be used of the rating."""
    steps_each: int = 1
    """Control steps of which a moment shows the worst."""

    def worst(self, controllers: Iterable[str] | None = None) -> tuple[str, int]:
        """Controller and frame with the largest share of a limit, of all controllers or of some."""
        peaks = {
            name: (np.where(values == UNKNOWN, 0, values) / self.limit_percent).max(axis=1, initial=0)
            for name, values in self.limit_loading.items()
            if controllers is None or name in controllers
        }
        controller = max(peaks, key=lambda name: peaks[name].max(initial=0))
        return controller, int(peaks[controller].argmax()) if len(self.times) else 0


def map_frames(results: StoredResults, *, max_frames: int = MAX_FRAMES) -> MapFrames:
    """All moments of all runs, in the order of the topology's lines, limits and homes."""
    topology = results.topology
    n_elements = len(topology.lines) + len(topology.limits) + len(topology.homes)
    most = int(np.clip(_MAX_CELLS // max(n_elements, 1), min(_LEAST_FRAMES, max_frames), max_frames))
    on = blocks(results, most=most, multiple_of=_recorded_every(results))

    def frames(run: Run, table: str, column: str, ids: pd.Series, step: float, how: str) -> np.ndarray:
        return _whole(thinned(run, table, {column: how}, ids.tolist(), on)[column], step)

    line, limit, voltage = {}, {}, {}
    for name, run in results.runs.items():
        percent = ("loading_percent", LOADING_STEP_PERCENT, "max")
        line[name] = frames(run, "lines", percent[0], topology.lines["line"], *percent[1:])
        limit[name] = _either_way(
            frames(run, "limits", percent[0], topology.limits["limit"], *percent[1:]),
            topology.limits["limit"],
        )
        voltage[name] = frames(run, "buses", "vm_pu", topology.homes["bus"], VOLTAGE_STEP_PU, "min")
    limit_percent = topology.limits["limit_percent"].to_numpy(dtype=float)
    return MapFrames(on.begins, line, limit, voltage, limit_percent, on.steps_each)


def _either_way(loading: np.ndarray, limits: pd.Series) -> np.ndarray:
    """Loadings by limit, of an element with one each way the larger: below zero it is that of the other."""
    row_of = pd.Index(limits)
    other = row_of.get_indexer(limits.astype(str) + " reverse")
    return np.where(other >= 0, np.maximum(loading, loading[:, other]), loading)


def _recorded_every(results: StoredResults) -> int:
    """Steps from one recorded row of a line or bus to the next."""
    for run in results.runs.values():
        for table, elements in (("lines", results.topology.lines), ("buses", results.topology.buses)):
            steps = run.n_rows(table) / max(len(elements), 1)
            if steps >= 1.0:
                return max(1, round(run.n_rows("totals") / steps))
    return 1


def squares(topology: Topology) -> np.ndarray:
    """Rows of the limits that are drawn as squares: transformers, each once."""
    limits = topology.limits
    backward = limits["sense"] < 0 if "sense" in limits else False
    return np.flatnonzero((limits["element"] == "trafo") & ~backward)


def _whole(worst: np.ndarray, step: float) -> np.ndarray:
    """(frames, ids) as whole numbers of a step."""
    known = np.isfinite(worst)
    whole = np.clip(np.round(np.where(known, worst, 0.0) / step), 0, int(UNKNOWN) - 1).astype(np.uint16)
    return np.where(known, whole, UNKNOWN).astype(np.uint16)
