from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from grid_cosim.coordination import (
    Copies,
    CurveStep,
    Demand,
    DualStep,
    ExactStep,
    FreshMixing,
    Negotiated,
    Status,
    communication,
    price_grid,
)
from tests.coordination.demand import Affine, clearing_price, one_limit, some_homes

LARGEST = 5.0
"""meter 0: homes 0 to 8      meter 1: homes 0 to 3      meter 2: homes 4 to 7      home 9: free"""
NESTED = Copies.of(
    csr_array(
        np.array([[1.0] * 9 + [0.0], [1.0] * 4 + [0.0] * 6, [0.0] * 4 + [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]])
    ),
    np.array([0, 1, 1]),
)


class Appliances(Affine):
    """Whatever the price, no more than 2 kW each."""

    def power(self, mu: np.ndarray) -> np.ndarray:
        return np.minimum(super().power(mu), 2.0)


def agreed(step: DualStep, demand: Demand, limit_kw: list[float], offset_kw: float = 0.0) -> Negotiated:
    limit = np.array(limit_kw)
    _, outcome = step.step(
        step.init(), demand=demand, limit_kw=limit, offset_kw=np.full(limit.size, offset_kw)
    )
    return outcome


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), tight=st.floats(0.3, 0.95), offset_kw=st.floats(-5.0, 5.0))
def test_one_limit_is_cleared_by_root_finding_on_the_sum(seed: int, tight: float, offset_kw: float) -> None:
    homes = some_homes(15, seed)
    room = tight * homes.power_kw(np.zeros(15)).sum()
    outcome = agreed(ExactStep(one_limit(15), LARGEST), homes, [room + offset_kw], offset_kw)
    assert outcome.status is Status.SETTLED
    assert np.ptp(outcome.price) == 0.0
    # both brackets are 1e-12 to 1e-11 wide
    assert outcome.price[0] == pytest.approx(clearing_price(homes, 15, room, largest=LARGEST), abs=2e-11)
    assert -1e-8 < outcome.residual_kw[0] <= 0.0  # at most some hundred kW per EUR/kWh over that width


def test_a_slack_limit_costs_nothing() -> None:
    homes = some_homes(15)
    outcome = agreed(ExactStep(one_limit(15), LARGEST), homes, [homes.power_kw(np.zeros(15)).sum()])
    assert not outcome.price.any()
    assert not outcome.saturated.any()


def test_a_hopeless_limit_stands_at_the_largest_price() -> None:
    homes = some_homes(15)
    outcome = agreed(ExactStep(one_limit(15), LARGEST), homes, [0.9 * homes.base.sum()])
    assert (outcome.price == LARGEST).all()
    assert outcome.saturated.all()
    assert outcome.status is Status.SATURATED


def test_where_the_answer_jumps_the_limit_holds() -> None:
    """Both homes drop all of their 2 kW within the width of a rounding error, at 0.25 and at 0.5."""
    homes = Appliances(top=np.array([2.0 + 2.5e12, 2.0 + 5e12]), fall=np.full(2, 1e13))
    outcome = agreed(ExactStep(one_limit(2), LARGEST), homes, [3.0])
    assert outcome.price[0] == pytest.approx(0.25, abs=1e-11)
    assert outcome.residual_kw[0] == -1.0


def test_nobody_sends_anything() -> None:
    outcome = agreed(ExactStep(NESTED, LARGEST), some_homes(10), [20.0, 5.0, 5.0])
    assert not np.any(outcome.rounds)
    assert not outcome.messages.any()
    assert not outcome.message_bytes.any()


def test_nested_prices_by_hand() -> None:
    """Ten homes of 10 - 10 μ kW. Four are held at 24 kW, so the others may draw 48: 50 (1 - λ0) = 48."""
    homes = Affine(top=np.full(10, 10.0), fall=np.full(10, 10.0))
    outcome = agreed(ExactStep(NESTED, LARGEST), homes, [72.0, 24.0, 1e3])
    by_limit = [outcome.price[NESTED.rows(limit)] for limit in range(3)]
    for price, expected in zip(by_limit, (0.04, 0.36, 0.0), strict=True):
        np.testing.assert_allclose(price, expected, atol=1e-11)
    np.testing.assert_allclose(outcome.local_price, [0.4] * 4 + [0.04] * 5 + [0.0], atol=1e-11)


def test_limits_that_carry_a_share_settle_over_the_passes() -> None:
    """Meter 2 carries half of home 7: no cap. It takes what the caps leave, and then the other way round."""
    homes = Affine(top=np.full(10, 10.0), fall=np.full(10, 10.0))
    limits = [72.0, 24.0, 30.0]
    assert NESTED.caps.tolist() == [True, True, False]
    missed = []
    for passes in (1, 2, 4, 40):
        outcome = agreed(ExactStep(NESTED, LARGEST, passes=passes), homes, limits)
        assert (outcome.residual_kw[NESTED.caps] <= 1e-9).all()  # they come last
        priced = outcome.price[NESTED.start[1:] - 1] > 0.0
        missed.append(max(outcome.residual_kw.max(), -outcome.residual_kw[priced].min()))
    # in the end all limits hold, and what has a price is used
    assert missed == sorted(missed, reverse=True)
    assert missed[-1] < 1e-6 < missed[0]


def test_half_a_member_pays_half_the_price() -> None:
    homes = Affine(top=np.full(10, 10.0), fall=np.full(10, 10.0))
    # meter 2: 3 · 10 (1 - λ) + 0.5 · 10 (1 - 0.5 λ) = 24.0625 at 1/3
    outcome = agreed(ExactStep(NESTED, LARGEST), homes, [1e3, 1e3, 35.0 - 32.5 / 3.0])
    np.testing.assert_allclose(outcome.local_price, [0.0] * 4 + [1 / 3] * 3 + [1 / 6] + [0.0] * 2, atol=1e-11)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), tight=st.floats(0.4, 0.9), passes=st.integers(1, 3))
def test_curves_over_exact_averages_find_the_same_prices(seed: int, tight: float, passes: int) -> None:
    homes = some_homes(10, seed)
    wanted = NESTED.coupling @ homes.power_kw(np.zeros(10))
    limits = list(wanted * tight * np.array([0.9, 1.0, 0.8]))
    curves = CurveStep(
        communication(NESTED, "complete"),
        price_grid(LARGEST, n_prices=4000, smallest=1e-5),
        rounds=1,
        passes=passes,
        mixing=FreshMixing(),
    )
    exact = agreed(ExactStep(NESTED, LARGEST, passes=passes), homes, limits)
    # 4,000 prices, 0.3 % apart; what is read between them is handed on from limit to limit, a few times
    np.testing.assert_allclose(
        exact.local_price, agreed(curves, homes, limits).local_price, rtol=0.03, atol=1e-3
    )
    assert (exact.residual_kw[NESTED.caps] <= 0.0).all()
