"""Mosaik's integer time, in calendar time and control steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Clock:
    """`step_size` is in units of mosaik's time, each `time_resolution` seconds long."""

    start: datetime
    """Local, without a zone."""
    step_size: int
    time_resolution: float = 1.0

    def when(self, time: int) -> datetime:
        """Calendar time."""
        return self.start + timedelta(seconds=time * self.time_resolution)

    def step(self, time: int) -> int:
        """Control step, counted from 0."""
        return time // self.step_size

    def quarter_of_the_year(self, time: int) -> int:
        """Quarter of an hour since the first of January: the index of yearly series."""
        now = self.when(time)
        return int((now - datetime(now.year, 1, 1)).total_seconds() // 900)


def step_size(dt_h: float, time_resolution: float) -> int:
    """A control step in units of mosaik's time, which must be fine enough for it."""
    units = dt_h * 3600.0 / time_resolution
    assert round(units) > 0, f"{dt_h} h are less than a unit of mosaik's time"
    assert abs(units - round(units)) < 1e-6, f"{dt_h} h are {units} units of mosaik's time"
    return round(units)
