from __future__ import annotations

import numpy as np
import pytest

from grid_cosim.coordination.meters import Meters, MeterState

FIRST = np.array([380.0, 95.0])
LIMIT = np.array([100.0, 80.0])
METERS = Meters(FIRST, LIMIT, np.zeros_like(FIRST), curvature=0.08)


def update(state: MeterState, members: np.ndarray, measured: np.ndarray, loading: np.ndarray) -> MeterState:
    return METERS.update(state, members_kw=members, measured_kw=measured, loading_percent=loading)


def loading_at(loads: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """The law that the meters assume: loading grows with the loads' power and a little with its square."""
    x = loads / FIRST
    return LIMIT * steepness * x * (1.0 + 0.08 * x)


def measured_at(loads: np.ndarray) -> np.ndarray:
    """And losses with the square of what flows: loads = measured - 0.04 measured²/first."""
    return FIRST * (1.0 - np.sqrt(1.0 - 0.16 * loads / FIRST)) / 0.08


@pytest.mark.parametrize("background", [0.0, 0.3, -0.2])
@pytest.mark.parametrize("share", [0.6, 0.9, 1.0, 1.3])
def test_one_measurement_finds_what_members_may_draw_beside_the_other_loads(
    share: float, background: float
) -> None:
    steepness = np.array([0.97, 1.1])
    members, others = (share - background) * FIRST, background * FIRST
    measured = measured_at(members + others)
    state = update(METERS.init(), members, measured, loading_at(members + others, steepness))
    room = state.limit_kw - state.offset_kw
    np.testing.assert_allclose(loading_at(room + others, steepness), LIMIT, rtol=1e-12)
    np.testing.assert_allclose(state.offset_kw, measured - members)


def test_at_the_limit_nothing_is_left_to_correct_whatever_the_law() -> None:
    members, measured = np.array([371.0, 88.0]), np.array([402.0, 93.0])
    state = update(METERS.init(), members, measured, LIMIT)
    np.testing.assert_allclose(state.limit_kw, measured, rtol=1e-12)
    np.testing.assert_allclose(state.limit_kw - state.offset_kw, members, rtol=1e-12)


def test_before_any_measurement_the_first_estimate_holds() -> None:
    state = METERS.init()
    nothing = np.full(2, np.nan)
    after = update(state, np.zeros(2), nothing, nothing)
    np.testing.assert_array_equal(after.limit_kw, FIRST)
    np.testing.assert_array_equal(after.offset_kw, [0.0, 0.0])


def test_a_step_without_a_power_flow_changes_nothing_for_that_limit_only() -> None:
    members = 0.9 * FIRST
    known = update(METERS.init(), members, 1.02 * members, loading_at(members, np.array([1.0, 1.0])))
    after = update(known, 0.7 * FIRST, np.array([np.nan, 70.0]), np.array([np.nan, 55.0]))
    assert (after.limit_kw[0], after.offset_kw[0]) == (known.limit_kw[0], known.offset_kw[0])
    assert after.limit_kw[1] != known.limit_kw[1]
    assert after.offset_kw[1] == pytest.approx(70.0 - 0.7 * 95.0)


@pytest.mark.parametrize("members", [0.3, 0.0, -0.9])
def test_small_loads_and_back_feeding_fall_back_on_the_first_estimate(members: float) -> None:
    power = members * FIRST
    loading = np.abs(members) * LIMIT
    state = update(METERS.init(), power, power + 3.0, loading)
    np.testing.assert_array_equal(state.limit_kw, FIRST)
    np.testing.assert_allclose(state.offset_kw, 3.0)


def test_repeated_measurement_settles_at_the_limit_where_the_law_is_another() -> None:
    """Losses that grow with the square and a constant load beside: the members end at 100 % all the same."""
    state, members = METERS.init(), 0.8 * FIRST
    background = np.array([40.0, 8.0])
    for _ in range(4):  # quadratic losses and a background are what the meters know; only the law is another
        measured = members + background + 0.05 * (members + background) ** 2 / FIRST
        state = update(state, members, measured, LIMIT * measured / FIRST)
        members = state.limit_kw - state.offset_kw
    np.testing.assert_allclose(measured / FIRST, 1.0, atol=1e-6)
