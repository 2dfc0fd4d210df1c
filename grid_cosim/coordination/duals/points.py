"""At which prices the nodes of a limit tell more, once they know about where its price is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Real

REFINEMENT = tuple(np.geomspace(0.79, 1.22, 10).tolist())
"""Multiples of the price just found at which a node tells more; they reach down to the next fixed price."""
CLOSE, CLOSE_RATIO = 12, 1.005
"""So many prices of a lattice with that ratio about the price found last: where answers jump, as those of
roofs do at what energy is worth, the price hardly moves from step to step, and what lies between two points
of the wider ones is not known. A lattice price has the same place in everybody's message, so that copies with
slightly different prices speak of the same ones; of its ends, where they may not, nothing is read."""
_ENDS = 3

NEAR = 4
"""Fixed prices near the one found: the two between which a curve crosses 0, and one on either side."""


def about(
    found: Float[np.ndarray, "rows"], multiples: Sequence[float], smallest: float
) -> Float[np.ndarray, "rows points"]:
    """Multiples of what each row found, of the smallest price where that was less."""
    size = np.maximum(np.abs(found), smallest)[:, None] * np.array(multiples)
    return np.where(found[:, None] < 0.0, -size, size)


def close_to(last: Float[np.ndarray, "rows"], smallest: float) -> Float[np.ndarray, "rows points"]:
    """Prices of a lattice about the last one of each row; each has the column that it has for everybody."""
    place = np.round(np.log(np.maximum(np.abs(last), smallest) / smallest) / np.log(CLOSE_RATIO))
    size = smallest * CLOSE_RATIO ** by_column(place[:, None] - CLOSE // 2 + np.arange(CLOSE))
    return np.where(last[:, None] < 0.0, -size, size)


def without_ends(points: Float[np.ndarray, "rows points"], n_about: int) -> Int[np.ndarray, "rows kept"]:
    """Columns of which something is read: the `n_about` first ones, and the inner ones of the lattice."""
    kept = np.argsort(points[:, n_about:], axis=1)[:, _ENDS:-_ENDS] + n_about
    return np.hstack([np.tile(np.arange(n_about), (len(kept), 1)), kept])


def window(place: Int[np.ndarray, "rows"], n_prices: int) -> Int[np.ndarray, "rows near"]:
    """Places, ascending, of the fixed prices near the one at or above which each row crosses."""
    near = min(NEAR, n_prices)
    first = np.clip(place - near // 2, 0, n_prices - near)
    return np.asarray(first[:, None] + np.arange(near))


def by_column(places: Real[np.ndarray, "rows columns"]) -> Real[np.ndarray, "rows columns"]:
    """Places in a row, in the order in which each has the column that it has for everybody."""
    n_columns = places.shape[1]
    first = places[:, :1]
    return np.asarray(first + (np.arange(n_columns) - first) % n_columns)
