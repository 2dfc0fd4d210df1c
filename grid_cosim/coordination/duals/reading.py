"""Power over price as rows of numbers: prices to ask at, made monotone, interpolated, read where it is 0."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

_ROUNDING = 1e-12
"""Of a sum, what adding up leaves: limits that hold exactly, such as one whose parts are all at theirs."""


def price_grid(
    largest: float, *, n_prices: int = 32, smallest: float | None = None
) -> Float[np.ndarray, "prices"]:
    """0 and `n_prices` - 1 prices, geometric from `smallest` to `largest`.

    `smallest` is a thousandth of the largest unless given.
    """
    first = largest / 1000.0 if smallest is None else smallest
    if n_prices < 3 or not 0.0 < first < largest:
        raise ValueError(
            f"got n_prices={n_prices}, smallest={first}, largest={largest}; expected 0 < smallest < largest"
        )
    return np.concatenate([[0.0], np.geomspace(first, largest, n_prices - 1)])


def monotone(curve: Float[np.ndarray, "rows prices"]) -> Float[np.ndarray, "rows prices"]:
    """Non-increasing rows: the middle of the two envelopes; rows that are non-increasing stay as they are."""
    below = np.minimum.accumulate(curve, axis=1)
    above = np.maximum.accumulate(curve[:, ::-1], axis=1)[:, ::-1]
    return 0.5 * (below + above)


def crossing(
    curve: Float[np.ndarray, "rows prices"],
    prices: Float[np.ndarray, "rows prices"],
    *,
    widest: float | None = None,
) -> tuple[Float[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]:
    """Price at which each non-increasing row gets to 0, and whether none does.

    Linear between its prices, or above that as far as the slopes beside say that it may bend down between
    them, as where homes begin to give way that a limit inside holds back: it errs to the safe side. Its
    lowest price where the row starts at or below 0, its largest where it never gets there. Where one of two
    neighbouring prices is more than `widest` times the other, nothing is known of what lies between: there it
    is the higher one, at which the row is surely ≤ 0.
    """
    over = curve > _ROUNDING * np.abs(curve).max(axis=1, keepdims=True)
    right = np.clip(over.sum(axis=1), 1, curve.shape[1] - 1)
    row = np.arange(len(curve))
    high, low = curve[row, right - 1], curve[row, right]
    inside = over.any(axis=1) & ~over[:, -1]
    share = np.where(inside, high, 0.0) / np.where(inside, high - low, 1.0)
    below, above = prices[row, right - 1], prices[row, right]
    price = below + np.minimum(share, 1.0) * (above - below)  # a low end within rounding may be above 0
    price = np.where(inside, np.maximum(price, _if_bent(curve, prices, right)), price)
    if widest is not None:
        apart = above - below > (widest - 1.0) * np.minimum(np.abs(above), np.abs(below))
        price = np.where(apart, above, price)
    never = over[:, -1]
    return np.where(never, prices[:, -1], np.where(over[:, 0], price, prices[:, 0])), never


def _if_bent(
    curve: Float[np.ndarray, "rows prices"],
    prices: Float[np.ndarray, "rows prices"],
    right: Int[np.ndarray, "rows"],
) -> Float[np.ndarray, "rows"]:
    """The highest price at which a row that bends down between `right` - 1 and `right` could cross 0.

    As far as the slopes beside say: what is straight on either side and bends between lies below both lines.
    -inf where nothing is beside, and no higher than the price at `right`.
    """
    row, last = np.arange(len(curve)), curve.shape[1] - 1
    known = (right >= 2) & (right < last)
    ends = [np.clip(right + k, 0, last) for k in (-2, -1, 0, 1)]
    (p0, p1, p2, p3), (c0, c1, c2, c3) = ([of[row, at] for at in ends] for of in (prices, curve))
    with np.errstate(divide="ignore", invalid="ignore"):
        from_left = p1 + c1 * (p1 - p0) / (c0 - c1)
        from_right = p2 + c2 * (p3 - p2) / (c2 - c3)
    bent = np.fmin(np.fmin(from_left, from_right), p2)
    return np.where(known & ~np.isnan(from_right), bent, -np.inf)


def interpolated(
    curve: Float[np.ndarray, "rows prices"],
    prices: Float[np.ndarray, "prices"],
    at: Float[np.ndarray, "rows points"],
) -> Float[np.ndarray, "rows points"]:
    """Every row's linear interpolation at its own points, which lie within `prices`."""
    left = np.clip(np.searchsorted(prices, at, side="right") - 1, 0, len(prices) - 2)
    share = (at - prices[left]) / np.diff(prices)[left]
    row = np.arange(len(curve))[:, None]
    between: Float[np.ndarray, "rows points"] = (
        curve[row, left] * (1.0 - share) + curve[row, left + 1] * share
    )
    return between


def by_price(
    power: Float[np.ndarray, "rows points"], prices: Float[np.ndarray, "rows points"]
) -> tuple[Float[np.ndarray, "rows points"], Float[np.ndarray, "rows points"]]:
    """Both in the order of the prices."""
    order = np.argsort(prices, axis=1, kind="stable")
    return np.take_along_axis(power, order, axis=1), np.take_along_axis(prices, order, axis=1)


def refined_crossing(
    fixed: Float[np.ndarray, "prices"],
    mean: Float[np.ndarray, "rows prices"],
    reach: Int[np.ndarray, "rows 2"],
    *,
    points: Float[np.ndarray, "rows points"],
    refined: Float[np.ndarray, "rows points"],
    widest: float | None,
) -> tuple[Float[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]:
    """As `crossing`, of what each row knows at its own points; where that does not cross 0, of all.

    That is its curve at the fixed prices too, within `reach`: the places of the lowest and the highest.
    """
    refined, points = by_price(refined, points)
    price, never = crossing(monotone(refined), points, widest=widest)
    beyond = np.flatnonzero((refined[:, 0] <= 0.0) | (refined[:, -1] > 0.0))
    if beyond.size:
        low, high = reach[beyond].T[:, :, None]
        place = np.clip(np.arange(fixed.size), low, high)
        known = np.take_along_axis(mean[beyond], place, axis=1)
        power, prices = by_price(
            np.hstack([known, refined[beyond]]), np.hstack([fixed[place], points[beyond]])
        )
        price[beyond], never[beyond] = crossing(monotone(power), prices, widest=widest)
    return price, never & (reach[:, 1] == fixed.size - 1)
