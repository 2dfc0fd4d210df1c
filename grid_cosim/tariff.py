"""What energy costs by control step, and what a home knows of it: the tariff is published a day ahead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import minimum_filter1d

OUTLOOK_H = 24.0
"""A tariff is known this far ahead."""
_SOON_H = 6.0


class TariffView(NamedTuple):
    """A tariff as a home sees it in each step, in EUR/kWh.

    The price is `floor + premium`. The floor is the lowest price of the coming day: no energy that can
    wait for a day is cheaper. A premium works like a congestion price, with the difference that it is known.
    """

    floor: Float[np.ndarray, "steps columns"]
    premium: Float[np.ndarray, "steps columns"]
    premium_6h: Float[np.ndarray, "steps columns"]
    """Mean price of the next 6 h above the floor."""
    premium_24h: Float[np.ndarray, "steps columns"]
    """Mean price of the next 24 h above the floor."""


def flat_tariff(price_eur_per_kwh: float, *, n_steps: int, dt_h: float) -> Float[np.ndarray, "steps_and_day"]:
    """The same price in all of `n_steps` and in the day after them."""
    return np.full(n_steps + outlook_steps(dt_h), price_eur_per_kwh)


def outlook_steps(dt_h: float) -> int:
    """Control steps that a tariff is known ahead."""
    return max(1, round(OUTLOOK_H / dt_h))


def share_of_steps(
    from_hour: float, to_hour: float, *, start_hour: float, n_steps: int, dt_h: float
) -> Float[np.ndarray, "steps"]:
    """How much of each step lies between two hours of the day, which repeat every day; 0 to 1.

    A window that ends before it begins goes on past midnight. The first step begins at `start_hour`.
    """
    length_h = (to_hour - from_hour) % 24.0 or 24.0
    edges_h = start_hour - from_hour + dt_h * np.arange(n_steps + 1)
    within_h = length_h * np.floor(edges_h / 24.0) + np.minimum(edges_h % 24.0, length_h)
    return np.round(np.diff(within_h) / dt_h, 9)


def tariff_view(
    price_eur_per_kwh: Float[np.ndarray, "steps_and_day columns"], *, n_steps: int, dt_h: float
) -> TariffView:
    """What is seen of a tariff in each of `n_steps`; its last known value goes on."""
    day, soon = outlook_steps(dt_h), max(1, round(_SOON_H / dt_h))
    missing = max(0, n_steps + day - len(price_eur_per_kwh))
    known = np.concatenate([price_eur_per_kwh, np.repeat(price_eur_per_kwh[-1:], missing, axis=0)])
    floor = minimum_filter1d(known, day, axis=0, origin=-(day // 2))[:n_steps]
    total = np.concatenate([np.zeros_like(known[:1]), known.cumsum(axis=0)])

    def mean_ahead(window: int) -> Float[np.ndarray, "steps columns"]:
        return (total[window : window + n_steps] - total[:n_steps]) / window

    return TariffView(
        floor=floor,
        premium=known[:n_steps] - floor,
        premium_6h=mean_ahead(soon) - floor,
        premium_24h=mean_ahead(day) - floor,
    )
