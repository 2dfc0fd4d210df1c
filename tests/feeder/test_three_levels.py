"""A cable inside a transformer inside a substation, all of them active at once: the prices by hand."""

from __future__ import annotations

import numpy as np
import pytest

from grid_cosim.coordination import Copies, CurveStep, ExactStep, FreshMixing, communication, price_grid
from grid_cosim.coordination.duals.protocol import DualStep
from grid_cosim.feeder.choice import LimitChoice, candidates
from grid_cosim.feeder.network import load_feeder
from tests import builders
from tests.coordination.demand import Affine

# H0 and H3 are behind the substation only, H1 behind the transformer as well, H2 at the end of its cable
DEMAND = Affine(top=np.array([9.0, 12.0, 10.0, 11.0]), fall=np.array([5.0, 4.0, 6.0, 5.0]))
SUBSTATION_KW, TRANSFORMER_KW, CABLE_KW = 24.0, 11.0, 2.5
SWEEPS = 3
"""On the grid of prices, about what was found there, and once more."""


def by_hand() -> np.ndarray:
    """All three bind: H2 has the cable, H1 the rest of the transformer, H0 and H3 that of the substation."""
    at_home = np.empty(4)
    at_home[2] = (10.0 - CABLE_KW) / 6.0
    at_home[1] = (12.0 - (TRANSFORMER_KW - CABLE_KW)) / 4.0
    at_home[[0, 3]] = (20.0 - (SUBSTATION_KW - TRANSFORMER_KW)) / 10.0
    return np.array([at_home[0], at_home[1] - at_home[0], at_home[2] - at_home[1]])


@pytest.mark.parametrize("way", ["exact", "curve", "reverse"])
def test_three_levels_settle_on_the_prices_of_the_optimum(way: str) -> None:
    """`reverse`: the same homes generate what they drew, and all local prices are negative."""
    feeder = load_feeder(builders.two_levels())
    every = LimitChoice(True, "all", "none", 1.0, 0.9, 1.1, 70.0, way == "reverse")
    limits = candidates(feeder, every, both_ways=True).limits
    end = " reverse" if way == "reverse" else ""
    rows = [limits.names.index(f"{name}{end}") for name in ("Trafo-0", "Trafo-1", "Line-2")]
    tight = limits.some(np.array(rows))
    copies = Copies.of(tight.coupling, tight.level)
    step: DualStep
    if way == "exact":
        step = ExactStep(copies, 4.0)
    else:
        graph = communication(copies, "complete")
        step = CurveStep(graph, price_grid(4.0, n_prices=64), rounds=5, sweeps=SWEEPS, mixing=FreshMixing())
    demand = _Mirrored(DEMAND) if way == "reverse" else DEMAND
    limit_kw = np.array([SUBSTATION_KW, TRANSFORMER_KW, CABLE_KW])
    _, found = step.step(step.init(), demand=demand, limit_kw=limit_kw, offset_kw=np.zeros(3))
    price = np.array([found.price[copies.rows(j)].mean() for j in range(3)])
    expected = by_hand()
    assert (expected > 0.1).all()
    np.testing.assert_allclose(price, expected, rtol=0.02)
    # of what is read between two prices, 0.5 % of the limits
    np.testing.assert_allclose(found.residual_kw, 0.0, atol=0.1)
    np.testing.assert_allclose(
        found.local_price, (-1 if way == "reverse" else 1) * np.cumsum(expected)[[0, 1, 2, 0]], rtol=0.02
    )


class _Mirrored:
    """Homes that feed in what the others draw: p'(μ) = -p(-μ)."""

    def __init__(self, demand: Affine) -> None:
        self._demand = demand

    def power_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return -self._demand.power_kw(-local_price, rows)

    def slope_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self._demand.slope_kw(-local_price, rows)

    def curve_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return -self._demand.curve_kw(-local_price, rows)
