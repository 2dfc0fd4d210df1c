"""What a household can do alone: find the price at which its own power is its share of the limit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from grid_cosim.coordination.duals.bisection import least_price
from grid_cosim.coordination.duals.protocol import Demand
from grid_cosim.coordination.duals.reading import crossing, monotone

_HALVINGS = 30
"""The bracket of one grid interval shrinks by 1e-9."""


def own_share_price(
    demand: Demand, share_kw: Float[np.ndarray, "households"], prices: Float[np.ndarray, "prices"]
) -> Float[np.ndarray, "households"]:
    """Lowest local price at which each household's own power is at most its share, without any message.

    0 where it is already at price 0, the largest of `prices` where even that does not suffice.
    The grid brackets the price, bisection on the household's own answer then finds it.
    """
    asked = np.tile(prices, (len(share_kw), 1))
    over = monotone(demand.curve_kw(asked) - share_kw[:, None])
    price, never = crossing(over, asked)
    priced = (over[:, 0] > 0.0) & ~never
    right = np.clip((over > 0.0).sum(axis=1), 1, len(prices) - 1)
    low, high = prices[right - 1], prices[right]
    exact = least_price(lambda asked: demand.power_kw(asked) > share_kw, low, high, halvings=_HALVINGS)
    return np.where(priced, exact, price)
