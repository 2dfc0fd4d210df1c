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
    first_step: int = 0
    """Control step that begins at mosaik's time 0; `start` is when step 0 begins all the same."""

    def when(self, time: int) -> datetime:
        """Calendar time."""
        since_start = self.first_step * self.step_size + time
        return self.start + timedelta(seconds=since_start * self.time_resolution)

    def step(self, time: int) -> int:
        """Control step, counted from 0."""
        return self.first_step + time // self.step_size

    def quarter_of_the_year(self, time: int) -> int:
        """Quarter of an hour since the first of January: the index of yearly series."""
        now = self.when(time)
        return int((now - datetime(now.year, 1, 1)).total_seconds() // 900)


def clock(
    start: datetime | str | None, step_size: int | None, time_resolution: float, first_step: int = 0
) -> Clock:
    """A simulator's clock: `start` may be an ISO 8601 text; a new year and 15 min where nothing is said."""
    begin = datetime(2016, 1, 1) if start is None else datetime.fromisoformat(str(start))
    step_size = units(0.25, time_resolution) if step_size is None else step_size
    return Clock(begin, step_size, time_resolution, first_step)


def units(hours: float, time_resolution: float) -> int:
    """A duration in units of mosaik's time, which must be fine enough for it."""
    count = hours * 3600.0 / time_resolution
    assert round(count) > 0, f"{hours} h are less than a unit of mosaik's time"
    assert abs(count - round(count)) < 1e-6, f"{hours} h are {count} units of mosaik's time"
    return round(count)
