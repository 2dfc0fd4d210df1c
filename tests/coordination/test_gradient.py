from __future__ import annotations

import numpy as np
import pytest

from grid_cosim.coordination import GradientStep, communication
from tests.coordination.demand import clearing_price, one_limit, some_homes

N = 40
HOMES = some_homes(N)
LIMIT = 0.6 * HOMES.power_kw(np.zeros(N)).sum()


def run(step: GradientStep, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    state, prices, residuals = step.init(), [], []
    for _ in range(n_steps):
        state, agreed = step.step(state, demand=HOMES, limit_kw=np.array([LIMIT]), offset_kw=np.zeros(1))
        prices.append(agreed.price)
        residuals.append(agreed.residual_kw[0])
    return np.array(prices), np.array(residuals)


@pytest.mark.parametrize("kind", ["complete", "ring", "random_regular", "small_world"])
@pytest.mark.parametrize("dual_step", [0.0005, 0.002, 0.01])
def test_average_violation_is_bounded_by_the_mean_price(kind: str, dual_step: float) -> None:
    graph = communication(one_limit(N), kind)  # type: ignore[arg-type]
    prices, residuals = run(GradientStep(graph, dual_step), 300)
    # the mean price moves by at least η mean(v): the projection only adds; v of a step is the residual before
    mean = prices.mean(axis=1)
    gained = np.cumsum(residuals[:-1]) / (N + 1)
    assert (gained <= (mean[1:] - mean[0]) / dual_step + 1e-9).all()


@pytest.mark.parametrize("kind", ["ring", "random_regular", "small_world"])
def test_prices_stay_as_close_as_theory_says(kind: str) -> None:
    graph = communication(one_limit(N), kind)  # type: ignore[arg-type]
    dual_step, rounds = 0.002, 5
    prices, _ = run(GradientStep(graph, dual_step, rounds=rounds, startup_rounds=2000), 100)
    shrink = graph.mixing_rate[0] ** rounds
    # u of the design: v = p + share; power lies between base and base + flex, shares are all the same by now
    loads = np.stack([HOMES.base, HOMES.base + HOMES.flex])
    u = np.ptp(loads)
    spread = np.linalg.norm(prices[-1] - prices[-1].mean()) / np.sqrt(N + 1)
    assert 0.0 < spread <= dual_step * u * shrink / (1.0 - shrink)


def test_it_settles_at_the_clearing_price_although_only_the_meter_knows_the_limit() -> None:
    graph = communication(one_limit(N), "random_regular")
    prices, residuals = run(GradientStep(graph, 0.001), 1500)
    exact = clearing_price(HOMES, N, LIMIT, largest=5.0)
    # η times the spread of the homes' power keeps the copies about half a percent apart
    np.testing.assert_allclose(prices[-1], exact, rtol=0.02)
    assert abs(residuals[-1]) < 1e-6 * LIMIT


def test_a_meter_that_kept_its_term_to_itself_would_drive_the_price_up() -> None:
    """Why shares are mixed: λ ← W^K [λ + η v]₊ with v_meter = -c loses c in the projection."""
    graph = communication(one_limit(N), "random_regular")
    price, dual_step = np.zeros(N + 1), 0.01
    for _ in range(3000):
        v = np.append(HOMES.power_kw(price[:N]), -LIMIT)
        price = np.maximum(price + dual_step * v, 0.0)
        for _ in range(10):
            price = graph.mixing @ price
    assert price.mean() > 1.5 * clearing_price(HOMES, N, LIMIT, largest=5.0)


def test_the_shares_follow_the_meters_offset() -> None:
    step = GradientStep(communication(one_limit(N), "random_regular"), 0.002)
    state = step.init()
    for offset in [0.0] * 50 + [0.1 * LIMIT] * 800:
        state, agreed = step.step(
            state, demand=HOMES, limit_kw=np.array([LIMIT]), offset_kw=np.array([offset])
        )
    assert abs(agreed.residual_kw[0]) < 1e-3 * LIMIT
    exact = clearing_price(HOMES, N, 0.9 * LIMIT, largest=5.0)
    np.testing.assert_allclose(agreed.price.mean(), exact, rtol=0.01)
