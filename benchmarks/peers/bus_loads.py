"""Two small mosaik simulators for `grid_*.py`: homes that follow a series, and a sink for results.

Needs mosaik-api-v3 and numpy, nothing of either package that is compared.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import mosaik_api_v3
import numpy as np

STEP_SIZE_S = 900
SKIPPED = 2
"""Steps that are not counted: numba compiles in the first."""
BEGAN: list[tuple[float, float]] = []
"""Wall and CPU time (s) at which the homes began each step; mosaik makes the simulators, in this process."""
TAKEN: dict[str, Any] = {}
"""What reached the sink last, by attribute and source."""


class Homes(mosaik_api_v3.Simulator):
    """One entity per bus that has homes, which together follow a series, and the clock of the comparison."""

    def __init__(self) -> None:
        super().__init__(
            {
                "api_version": "3.0",
                "type": "time-based",
                "models": {"Homes": {"public": True, "params": [], "attrs": ["P[MW]", "Q[MVar]"]}},
            }
        )

    def init(self, sid: str, time_resolution: float, *, loads: str) -> dict[str, Any]:
        """Read the series of every bus."""
        with np.load(loads) as series:
            self._mw, self._mvar = series["p_kw"] / 1e3, series["q_kvar"] / 1e3
        return self.meta

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create one for each column of the series."""
        return [{"eid": f"Homes-{row}", "type": model} for row in range(num)]

    def step(self, time: int, inputs: dict[str, Any], max_advance: int) -> int:
        """Look up the row of this step."""
        BEGAN.append((perf_counter(), process_time()))
        row = time // STEP_SIZE_S % len(self._mw)
        self._now = self._mw[row].tolist(), self._mvar[row].tolist()
        return time + STEP_SIZE_S

    def get_data(self, outputs: dict[str, list[str]]) -> dict[str, dict[str, float]]:
        """P and Q of every bus."""
        mw, mvar = self._now
        rows = ((eid, int(eid.removeprefix("Homes-"))) for eid in outputs)
        return {eid: {"P[MW]": mw[row], "Q[MVar]": mvar[row]} for eid, row in rows}


class Sink(mosaik_api_v3.Simulator):
    """Takes what it is given, and remembers the last of it."""

    def __init__(self) -> None:
        super().__init__(
            {
                "api_version": "3.0",
                "type": "time-based",
                "models": {"Sink": {"public": True, "params": [], "attrs": [], "any_inputs": True}},
            }
        )

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create the one sink."""
        return [{"eid": "Sink", "type": model}]

    def step(self, time: int, inputs: dict[str, Any], max_advance: int) -> int:
        """Keep what arrived."""
        TAKEN.update(inputs.get("Sink", {}))
        return time + STEP_SIZE_S

    def get_data(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Nothing is asked of it."""
        return {}


def until(n_steps: int) -> int:
    """For `world.run`: so that this many steps are counted."""
    return (SKIPPED + n_steps + 1) * STEP_SIZE_S


def milliseconds_per_step() -> dict[str, float]:
    """From the beginning of one step to the beginning of the next."""
    wall_s, cpu_s = np.diff(np.array(BEGAN[SKIPPED:]), axis=0).mean(axis=0)
    return {"wall_ms": round(1e3 * wall_s, 3), "cpu_ms": round(1e3 * cpu_s, 3)}


def buses_of(folder: Path) -> list[int]:
    """The bus of each column of the series."""
    with np.load(folder / "loads.npz") as series:
        return series["bus"].tolist()
