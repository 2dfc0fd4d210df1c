from __future__ import annotations

import numpy as np
import pytest

from grid_cosim.coordination.meters import Meters, MeterState

FIRST = np.array([380.0, 95.0])
LIMIT = np.array([100.0, 80.0])
METERS = Meters(FIRST, LIMIT, np.zeros_like(FIRST), curvature=0.08)


def update(state: MeterState, measured: np.ndarray, loading: np.ndarray) -> MeterState:
    return METERS.update(state, measured_kw=measured, loading_percent=loading)


def loading_at(loads: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """The law that the meters assume: loading grows with the loads' power and a little with its square."""
    x = loads / FIRST
    return LIMIT * steepness * x * (1.0 + 0.08 * x)


def measured_at(loads: np.ndarray) -> np.ndarray:
    """And losses with the square of what flows: loads = measured - 0.04 measured²/first."""
    return FIRST * (1.0 - np.sqrt(1.0 - 0.16 * loads / FIRST)) / 0.08


@pytest.mark.parametrize("share", [0.6, 0.9, 1.0, 1.3])
def test_one_measurement_finds_how_much_more_may_be_drawn(share: float) -> None:
    steepness = np.array([0.97, 1.1])
    loads = share * FIRST  # members and others alike: a meter cannot tell them apart, and need not
    state = update(METERS.init(), measured_at(loads), loading_at(loads, steepness))
    np.testing.assert_allclose(loading_at(loads + state.headroom_kw, steepness), LIMIT, rtol=1e-12)
    np.testing.assert_allclose(state.measured_kw, measured_at(loads))


def test_at_the_limit_nothing_is_left_whatever_the_law() -> None:
    state = update(METERS.init(), np.array([402.0, 93.0]), LIMIT)
    np.testing.assert_allclose(state.headroom_kw, 0.0, atol=1e-9)


def test_the_margin_stays_free() -> None:
    careful = Meters(FIRST, LIMIT, np.zeros_like(FIRST), curvature=0.08, margin=0.02)
    steepness = np.array([0.97, 1.1])
    loads = 0.9 * FIRST
    loading = loading_at(loads, steepness)
    state = careful.update(careful.init(), measured_kw=measured_at(loads), loading_percent=loading)
    np.testing.assert_allclose(loading_at(loads + state.headroom_kw, steepness), 0.98 * LIMIT, rtol=1e-12)


def test_above_the_limit_the_headroom_is_negative() -> None:
    loads = 1.2 * FIRST
    state = update(METERS.init(), measured_at(loads), loading_at(loads, np.array([1.0, 1.0])))
    assert (state.headroom_kw < 0.0).all()


def test_before_any_measurement_the_first_estimate_holds() -> None:
    meters = Meters(FIRST, LIMIT, np.array([30.0, -5.0]))
    nothing = np.full(2, np.nan)
    state = meters.update(meters.init(), measured_kw=nothing, loading_percent=nothing)
    np.testing.assert_array_equal(state.headroom_kw, [350.0, 100.0])
    np.testing.assert_array_equal(state.measured_kw, [30.0, -5.0])


def test_a_step_without_a_power_flow_changes_nothing_for_that_limit_only() -> None:
    loads = 0.9 * FIRST
    known = update(METERS.init(), measured_at(loads), loading_at(loads, np.array([1.0, 1.0])))
    after = update(known, np.array([np.nan, 70.0]), np.array([np.nan, 55.0]))
    assert (after.headroom_kw[0], after.measured_kw[0]) == (known.headroom_kw[0], known.measured_kw[0])
    assert after.headroom_kw[1] != known.headroom_kw[1]
    assert after.measured_kw[1] == 70.0


@pytest.mark.parametrize("share", [0.3, 0.0, -0.9])
def test_small_loads_and_back_feeding_fall_back_on_the_first_estimate(share: float) -> None:
    measured = share * FIRST + 3.0
    state = update(METERS.init(), measured, np.abs(share) * LIMIT)
    np.testing.assert_allclose(state.headroom_kw, FIRST - measured)


def test_repeated_measurement_settles_at_the_limit_where_the_law_is_another() -> None:
    """Other losses and a constant load beside: the element ends at 100 % all the same."""
    members, background = 0.8 * FIRST, np.array([40.0, 8.0])
    state = METERS.init()
    for _ in range(6):
        measured = members + background + 0.05 * (members + background) ** 2 / FIRST
        state = update(state, measured, LIMIT * measured / FIRST)
        members = members + state.headroom_kw
    np.testing.assert_allclose(measured / FIRST, 1.0, atol=1e-6)
