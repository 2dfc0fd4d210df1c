"""Energy prices at the control step, from a user's file."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from grid_cosim.errors import ProfileError
from grid_cosim.profiles.series import (
    CET_CLOCK,
    Clock,
    hours_between,
    hours_per_row,
    interval_mean,
    require_cover,
    single_column,
)

COLUMN = "price_eur_per_kwh"
LARGEST_EUR_PER_KWH = 10.0


def energy_price(
    path: str | Path,
    *,
    start: datetime,
    n_steps: int,
    dt_h: float,
    lookahead_steps: int = 0,
    clock: Clock = CET_CLOCK,
) -> Float[np.ndarray, " steps"]:
    """Mean price in EUR/kWh of n_steps + lookahead_steps control steps from `start` (naive, local).

    A row holds until the next; prices may be negative. The file must cover the n_steps; where it ends within
    the lookahead, its last day repeats. Its column is `price_eur_per_kwh`, or the only one it has.

    Raises `ProfileError` as `read_series` does, and for prices that cannot be EUR/kWh.
    """
    series = _price(Path(path), clock)
    end = series.index[-1] + series.index.freq
    require_cover(str(path), series.index, start, start + timedelta(hours=n_steps * dt_h))
    day, before_h = max(1, round(24.0 / dt_h)), hours_between(series.index[0], start)
    earlier = min(day, _whole_steps(before_h, dt_h))
    later = min(n_steps + lookahead_steps, _whole_steps(hours_between(start, end), dt_h))
    known = interval_mean(
        series.to_numpy()[:, None],
        resolution_h=hours_per_row(series.index),
        offset_h=before_h - earlier * dt_h,
        n_steps=earlier + later,
        dt_h=dt_h,
    )[:, 0]
    repeated = np.resize(known[-day:], n_steps + lookahead_steps - later)
    return np.concatenate([known, repeated])[earlier:]


def _whole_steps(span_h: float, dt_h: float) -> int:
    return int(span_h / dt_h + 1e-9)  # of rounding: 0.3 / 0.1 is a little less than 3


def _price(path: Path, clock: Clock) -> pd.Series:
    """The file's price, checked to be in EUR/kWh."""
    series = single_column(path, COLUMN, what="price", allow_negative=True, clock=clock)
    wrong = np.flatnonzero(series.abs() > LARGEST_EUR_PER_KWH)
    if wrong.size:
        raise ProfileError(
            str(path),
            f"{series.iloc[wrong[0]]:g} is no price in EUR/kWh",
            remedy=f"Give EUR/kWh, up to {LARGEST_EUR_PER_KWH:g}; EUR/MWh and ct/kWh need converting",
            column=str(series.name),
            where=str(series.index[wrong[0]]),
        )
    return series
