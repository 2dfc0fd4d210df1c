"""The least price at which something is no longer exceeded, many rows at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float


def least_price(
    exceeded: Callable[[Float[np.ndarray, "rows"]], Bool[np.ndarray, "rows"]],
    low: Float[np.ndarray, "rows"],
    high: Float[np.ndarray, "rows"],
    *,
    halvings: int,
) -> Float[np.ndarray, "rows"]:
    """Upper end of each row's bracket after so many halvings: not exceeded there, unless it is at `high`.

    A row must be exceeded at `low`, or what comes out is not the least.
    """
    for _ in range(halvings):
        middle = 0.5 * (low + high)
        above = exceeded(middle)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high
