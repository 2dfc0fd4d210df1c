"""Dynamic ratings at the control step, from a user's file."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
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

COLUMN = "factor"
LARGEST = 5.0


def rating_factor(
    path: str | Path, *, start: datetime, n_steps: int, dt_h: float, clock: Clock = CET_CLOCK
) -> Float[np.ndarray, " steps"]:
    """Mean factor on a rating in n_steps control steps from `start` (naive, local).

    Its column is `factor`, or the only one it has. Raises `ProfileError` as `read_series` does, and for
    factors that are not above 0 and at most 5.
    """
    series = single_column(Path(path), COLUMN, what="factor", clock=clock)
    wrong = np.flatnonzero((series <= 0.0) | (series > LARGEST))
    if wrong.size:
        raise ProfileError(
            str(path),
            f"{series.iloc[wrong[0]]:g} is no factor on a rating",
            remedy=f"Give numbers above 0, 1 for the rating, up to {LARGEST:g}; percent need converting",
            column=str(series.name),
            where=str(series.index[wrong[0]]),
        )
    require_cover(str(path), series.index, start, start + timedelta(hours=n_steps * dt_h))
    factor = interval_mean(
        series.to_numpy()[:, None],
        resolution_h=hours_per_row(series.index),
        offset_h=hours_between(series.index[0], start),
        n_steps=n_steps,
        dt_h=dt_h,
    )
    return np.asarray(factor[:, 0])
