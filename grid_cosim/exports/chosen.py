"""Which run and which step of it an export is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from grid_cosim.errors import ExportError, ResultsError, near_matches
from grid_cosim.feeder.saving import SavedNetwork, read_network
from grid_cosim.results import Run, StoredResults


@dataclass(frozen=True)
class Chosen:
    """What is exported."""

    results: StoredResults
    to: str
    controller: str
    """Of the formats that hold one run."""
    controllers: tuple[str, ...]
    """All that were asked for."""
    asked_step: int | None
    """Counted from 0; None: not asked for."""
    times: pd.DatetimeIndex
    """Begin of every step that the run did."""

    @property
    def run(self) -> Run:
        """The one run."""
        return self.results.runs[self.controller]

    @cached_property
    def network(self) -> SavedNetwork:
        """The network as it was simulated. Raises `ResultsError` where the folder holds none."""
        if self.results.folder is None:
            raise ExportError(
                self.to, "it needs the network, which lies in the results folder", remedy="Load the results"
            )
        return read_network(self.results.folder)

    @cached_property
    def step(self) -> int:
        """The step that was asked for, else the first in which a limit is loaded most."""
        if self.asked_step is not None:
            return self.asked_step
        share = self.run.table("totals", ["peak_of_limit_percent"])["peak_of_limit_percent"].to_numpy()
        return 0 if np.isnan(share).all() else int(np.nanargmax(share))

    @property
    def when(self) -> str:
        """The step in words."""
        return f"step {self.step} ({self.times[self.step]:%Y-%m-%d %H:%M})"

    def steps_switched_alike(self) -> range:
        """The steps over which a network with its series extends: all, or those around the one asked for.

        Raises `ExportError` where switches move in the run and no step was asked for.
        """
        starts = sorted({0, *(step for step, _ in self.network.switched), len(self.times)})
        starts = [step for step in starts if step <= len(self.times)]
        if len(starts) > 2 and self.asked_step is None:
            spans = [f"steps {a} to {b - 1}" for a, b in pairwise(starts)]
            raise ExportError(
                self.to,
                "switches move in this run, and a case has one wiring. They stand still in "
                + ", ".join(spans),
                remedy="Choose among them with --step, any step of the span that you want",
            )
        at = 0 if self.asked_step is None else self.asked_step
        first = max(step for step in starts if step <= at)
        return range(first, min(step for step in starts if step > at))


def choose(
    results: StoredResults,
    *,
    to: str,
    controller: str | None,
    step: int | None,
    time: datetime | str | None,
) -> Chosen:
    """Find the run and the step. Raises `ExportError`."""
    started = [name for name, run in results.runs.items() if run.started]
    if not started:
        raise ResultsError(results.folder or "these results", "no run has a step to export")
    if controller is not None and controller not in started:
        raise ExportError(
            to,
            f"there is no run of the controller {controller!r}",
            remedy=f"Choose one of {', '.join(started)}{near_matches(controller, started)}",
        )
    one = controller or ("consensus" if "consensus" in started else started[-1])
    times = pd.DatetimeIndex(results.runs[one].table("totals", ["time"])["time"])
    return Chosen(
        results=results,
        to=to,
        controller=one,
        controllers=(one,) if controller is not None else tuple(started),
        asked_step=_step(to, step, time, times, results.basis.dt_h),
        times=times,
    )


def _step(
    to: str, step: int | None, time: datetime | str | None, times: pd.DatetimeIndex, dt_h: float
) -> int | None:
    if step is not None and time is not None:
        raise ExportError(to, "both a step and a time were given", remedy="Give one of them")
    span = f"from {times[0]:%Y-%m-%d %H:%M} to {times[-1] + pd.Timedelta(hours=dt_h):%Y-%m-%d %H:%M}"
    if step is not None:
        if not 0 <= step < len(times):
            raise ExportError(
                to,
                f"there is no step {step}",
                remedy=f"Give one from 0 to {len(times) - 1}, or a time {span}",
            )
        return step
    if time is None:
        return None
    try:
        at = pd.Timestamp(time)
    except ValueError as error:
        raise ExportError(
            to, f"{time!r} is no time", remedy=f"Write it as {times[0]:%Y-%m-%dT%H:%M}, {span}"
        ) from error
    if at.tz is not None:
        raise ExportError(to, f"{time} has a time zone", remedy="Leave it away: results have local time only")
    if not times[0] <= at < times[-1] + pd.Timedelta(hours=dt_h):
        raise ExportError(to, f"{at:%Y-%m-%d %H:%M} is not in the run", remedy=f"Give a time {span}")
    return int(times.searchsorted(at, side="right")) - 1
