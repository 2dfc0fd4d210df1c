"""Outdoor temperature at the control step, from a shipped reference year or a user's file."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from grid_cosim.errors import ProfileError, near_matches
from grid_cosim.profiles.series import (
    CET_CLOCK,
    Clock,
    hours_between,
    hours_per_row,
    require_cover,
    single_column,
)
from grid_cosim.shipped import shipped

COLUMN = "temperature_c"
COLDEST_C, WARMEST_C = -60.0, 60.0


def shipped_weather() -> tuple[str, ...]:
    """Names of the reference years that travel with the package."""
    return tuple(sorted(path.stem for path in _folder().glob("*.csv")))


def outdoor_temperature(
    path_or_shipped_name: str | Path,
    *,
    start: datetime,
    n_steps: int,
    dt_h: float,
    lookahead_steps: int = 0,
    clock: Clock = CET_CLOCK,
) -> Float[np.ndarray, " steps"]:
    """Mean outdoor temperature in °C of n_steps + lookahead_steps control steps from `start` (naive, local).

    Between two rows the temperature runs linearly, and a step's value is the mean of that line over the step:
    exact for any `dt_h`, and without a shift by half a step. Before its first and after its last row a file
    holds their values for one interval. It must cover the n_steps; where it ends within the lookahead, its
    last value is held. Its column is `temperature_c`, or the only one it has.

    A shipped name (`shipped_weather()`) is a typical year that serves any: only month, day and time of
    `start` count, December runs on into January, and a run across the end of February meets the 29th.

    Raises `ProfileError` as `read_series` does, for values outside -60 … 60 °C and for an unknown name.
    """
    name = str(path_or_shipped_name)
    path, typical = weather_path(name)
    return at_steps(
        _temperature(path, CET_CLOCK if typical else clock),
        name,
        typical=typical,
        start=start,
        n_steps=n_steps,
        dt_h=dt_h,
        lookahead_steps=lookahead_steps,
    )


def weather_path(name: str) -> tuple[Path, bool]:
    """The file of a weather, and whether it is a shipped year, which serves any year."""
    typical = name in shipped_weather()
    if not typical and Path(name).suffix == "" and not Path(name).exists():
        raise ProfileError(
            name,
            "is neither a file nor a shipped temperature",
            remedy=f"Shipped are {', '.join(shipped_weather())}.{near_matches(name, shipped_weather())}",
        )
    return (_folder() / f"{name}.csv" if typical else Path(name)), typical


def at_steps(
    series: pd.Series,
    name: str,
    *,
    typical: bool,
    start: datetime,
    n_steps: int,
    dt_h: float,
    lookahead_steps: int = 0,
) -> Float[np.ndarray, " steps"]:
    """A column of a weather file at the control steps, as `outdoor_temperature` says."""
    resolution = hours_per_row(series.index)
    values = series.to_numpy()
    if typical:
        year = series.index[0].year
        first = hours_between(series.index[0], start.replace(year=year))
        turns = int(np.ceil((n_steps + lookahead_steps) * dt_h / (len(values) * resolution))) + 1
        values = np.concatenate([values[-1:], np.tile(values, turns + 1)])  # row before the first: the last
        first += resolution
    else:
        first = hours_between(series.index[0], start)
        freq = series.index.freq
        held = pd.date_range(series.index[0] - freq, series.index[-1], freq=freq)
        require_cover(name, held, start, start + timedelta(hours=n_steps * dt_h))
    edges_h = first + dt_h * np.arange(n_steps + lookahead_steps + 1)
    return _line_mean(values, edges_h / resolution)


def _line_mean(
    values: Float[np.ndarray, " rows"], edges: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, " edges-1"]:
    """Mean between consecutive edges (in rows) of the line through the values, constant beyond both ends."""
    area = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2)])
    inside = np.clip(edges, 0.0, len(values) - 1.0)
    row = np.minimum(np.floor(inside).astype(int), len(values) - 2)
    part = inside - row
    until = area[row] + values[row] * part + (values[row + 1] - values[row]) * part**2 / 2
    until += values[0] * np.minimum(edges, 0.0) + values[-1] * np.maximum(edges - (len(values) - 1), 0.0)
    mean: np.ndarray = np.diff(until) / np.diff(edges)
    return mean


def _temperature(path: Path, clock: Clock) -> pd.Series:
    """The file's temperature, checked to be in °C."""
    series = single_column(path, COLUMN, what="temperature", allow_negative=True, clock=clock)
    wrong = np.flatnonzero((series < COLDEST_C) | (series > WARMEST_C))
    if wrong.size:
        raise ProfileError(
            str(path),
            f"{series.iloc[wrong[0]]:g} is no outdoor temperature in °C",
            remedy=f"Give °C, between {COLDEST_C:g} and {WARMEST_C:g}; kelvin and fahrenheit need converting",
            column=str(series.name),
            where=str(series.index[wrong[0]]),
        )
    return series


def _folder() -> Path:
    return shipped("feeders") / "weather"
