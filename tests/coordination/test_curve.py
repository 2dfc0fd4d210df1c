from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array

from grid_cosim.coordination import (
    Copies,
    CurveStep,
    FreshMixing,
    LinkOutage,
    NewtonStep,
    TrackedMixing,
    communication,
    own_share_price,
    price_grid,
)
from grid_cosim.coordination.duals.reading import crossing, interpolated, monotone
from tests.coordination.demand import Logistic, clearing_price, one_limit, some_homes
from tests.coordination.village import live

ROWS = arrays(float, (4, 6), elements=st.floats(-10, 10))


def test_price_grid_begins_at_zero_and_is_geometric() -> None:
    grid = price_grid(4.0, n_prices=5, smallest=0.5)
    np.testing.assert_allclose(grid, [0.0, 0.5, 1.0, 2.0, 4.0])
    assert len(price_grid(4.0)) == 32
    with pytest.raises(ValueError, match="smallest"):
        price_grid(1.0, smallest=2.0)


@given(ROWS)
def test_monotone_rows_never_rise_and_falling_rows_stay(curve: np.ndarray) -> None:
    assert (np.diff(monotone(curve), axis=1) <= 0.0).all()
    falling = -np.sort(-curve, axis=1)
    np.testing.assert_array_equal(monotone(falling), falling)


@example(np.tile([1.0, 1e-12, 1e-12, 1e-12, 1e-12, 1e-12], (4, 1)))
@given(ROWS)
def test_a_crossing_lies_where_the_row_is_zero_or_safely_above(curve: np.ndarray) -> None:
    prices = np.tile(np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0]), (4, 1))
    falling = monotone(curve)
    price, never = crossing(falling, prices)
    for row in range(4):
        nothing = 1e-12 * np.abs(falling[row]).max()  # what adding up leaves
        if falling[row, 0] <= nothing:
            assert price[row] == 0.0
        elif falling[row, -1] > nothing:
            assert never[row]
            assert price[row] == 16.0
        else:
            # the rows are at most 10 high
            assert np.interp(price[row], prices[row], falling[row]) < 1e-9
            assert price[row] <= prices[row, np.argmax(falling[row] <= nothing)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([8.0, 6.0, 4.0, 2.0, -2.0, -6.0], 3.5),  # straight: 2, -2, half-way
        ([2.0, 2.0, 2.0, 2.0, -1.0, -4.0], 11.0 / 3.0),  # flat up to a kink: on the line from the right
        ([9.0, 6.0, 4.0, 2.0, -4.0, -4.0], 10.0 / 3.0),  # flat from there on: between its prices
        (
            [9.0, 7.0, 5.0, 3.0, -3.0, -5.0],
            3.5,
        ),  # steeper than on both sides: what bends twice is not foreseen
        ([1.0, -2.0, -4.0, -5.0, -6.0, -7.0], 1.0 / 3.0),  # nothing to the left of it
    ],
)
def test_what_may_bend_between_two_prices_is_taken_to(row: list[float], expected: float) -> None:
    prices = np.arange(6.0)[None]
    price, _ = crossing(np.array([row]), prices)
    assert price[0] == pytest.approx(expected)


def test_interpolated_rows_agree_with_numpy() -> None:
    prices, rng = np.array([0.0, 1.0, 3.0, 4.0]), np.random.default_rng(0)
    curve, at = rng.normal(size=(3, 4)), rng.uniform(0.0, 4.0, (3, 7))
    expected = [np.interp(a, prices, c) for a, c in zip(at, curve, strict=True)]
    np.testing.assert_allclose(interpolated(curve, prices, at), expected, rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), tight=st.floats(0.3, 0.95))
def test_exact_averages_give_what_root_finding_on_the_sum_gives(seed: int, tight: float) -> None:
    homes = some_homes(15, seed)
    limit = tight * homes.power_kw(np.zeros(15)).sum()
    step = CurveStep(
        communication(one_limit(15), "complete"),
        price_grid(5.0, n_prices=4000),
        rounds=1,
        mixing=FreshMixing(),
    )
    _, agreed = step.step(step.init(), demand=homes, limit_kw=np.array([limit]), offset_kw=np.zeros(1))
    # 4,000 prices: neighbours are 0.17 % apart, and interpolation is off by less
    np.testing.assert_allclose(
        agreed.price, clearing_price(homes, 15, limit, largest=5.0), rtol=1e-3, atol=1e-4
    )


def test_refining_around_the_last_price_makes_the_sum_right() -> None:
    homes = some_homes(40)
    graph = communication(one_limit(40), "complete")
    limit = np.array([0.6 * homes.power_kw(np.zeros(40)).sum()])
    missed = {}
    for refinement in ((), (0.8, 0.9, 1.0, 1.1, 1.25)):
        step = CurveStep(
            graph, price_grid(5.0, n_prices=12), refinement, None, rounds=1, mixing=FreshMixing()
        )
        state = step.init()
        for _ in range(4):
            state, agreed = step.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(1))
        missed[refinement] = abs(agreed.residual_kw[0])
    first, second = missed.values()
    assert second < 0.01 * first


def test_nodes_that_only_read_their_neighbours_messages_get_the_same_prices() -> None:
    """The step once more, one node at a time: own power, a mailbox, Metropolis weights, two control steps."""
    n, prices, rounds = 12, price_grid(5.0), 4
    graph = communication(one_limit(n), "small_world", seed=2)
    neighbours: list[list[int]] = [[] for _ in range(n + 1)]
    for a, b in graph.links.ends.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    step = CurveStep(graph, prices, (), None, rounds=rounds, mixing=TrackedMixing(startup_rounds=0))
    state, told, running = step.init(), [np.zeros(32)] * (n + 1), [np.zeros(32)] * (n + 1)
    for seed in (4, 5):
        homes = some_homes(n, seed)
        limit = 0.6 * homes.power_kw(np.zeros(n)).sum()
        state, agreed = step.step(state, demand=homes, limit_kw=np.array([limit]), offset_kw=np.zeros(1))
        curves = homes.curve_kw(np.tile(prices, (n, 1)))
        own = [*curves, np.full(32, -limit)]
        running = [running[i] + own[i] - told[i] for i in range(n + 1)]
        told = own
        for _ in range(rounds):
            heard = [[(running[j], len(neighbours[j])) for j in neighbours[i]] for i in range(n + 1)]
            running = [
                x + sum((y - x) / (1 + max(len(inbox), degree)) for y, degree in inbox)
                for x, inbox in zip(running, heard, strict=True)
            ]
        for i, x in enumerate(running):
            assert (np.diff(x) <= 0.0).all()
            expected = crossing(x[None], prices[None])[0][0]
            np.testing.assert_allclose(agreed.price[i], expected, rtol=1e-6)


def nested_three_levels() -> tuple[Copies, Logistic, np.ndarray]:
    """120 homes behind 1 substation > 4 transformers > 12 lines; lines 0.7, transformers 0.65, all 0.6."""
    n, rng = 120, np.random.default_rng(3)
    coupling = np.vstack([np.ones((1, n)), np.kron(np.eye(4), np.ones(30)), np.kron(np.eye(12), np.ones(10))])
    level = np.array([0] + [1] * 4 + [2] * 12)
    homes = some_homes(n, 3)
    homes = replace(homes, flex=homes.flex * np.repeat(rng.lognormal(0.0, 0.4, 12), 10))
    limit = coupling @ homes.power_kw(np.zeros(n)) * np.array([0.6, 0.65, 0.7])[level]
    return Copies.of(csr_array(coupling), level), homes, limit


def test_nested_limits_all_hold_after_one_sweep_from_the_top() -> None:
    copies, homes, limit = nested_three_levels()
    step = CurveStep(communication(copies, "complete"), price_grid(5.0), rounds=1, mixing=FreshMixing())
    state, agreed = step.step(step.init(), demand=homes, limit_kw=limit, offset_kw=np.zeros(17))
    # a chord of the convex curve lies above it, so interpolating errs to the safe side only
    assert (agreed.residual_kw <= 1e-3 * limit).all()
    binding = agreed.price[copies.start[1:] - 1] > 0.0
    for _ in range(8):  # the safe reading of the first sweep is given back level by level
        state, agreed = step.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(17))
    assert (agreed.residual_kw <= 1e-3 * limit).all()
    assert binding.any()
    # complementary slackness at 0.5 %: what is priced is used
    priced = agreed.price[copies.start[1:] - 1] > 0.0
    assert (agreed.residual_kw[priced] > -0.005 * limit[priced]).all()


def test_nested_limits_hold_with_ten_tracked_rounds_on_sparse_graphs() -> None:
    copies, homes, limit = nested_three_levels()
    step = CurveStep(communication(copies, "random_regular"), price_grid(5.0))
    state = step.init()
    for _ in range(6):
        state, agreed = step.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(17))
        # inner levels give back what the safe first reading left unused; the outer one sees it a step later
        assert (agreed.residual_kw <= 0.01 * limit).all()


VILLAGE = {"n": 200, "seed": 1, "n_steps": 120, "limit_kw": 400.0}


def test_a_village_keeps_its_limit_with_ten_rounds_and_uses_it() -> None:
    def ten_rounds(n: int) -> CurveStep:
        return CurveStep(communication(one_limit(n), "random_regular", seed=1), price_grid(5.0, n_prices=64))

    trace = live(ten_rounds(200), **VILLAGE)  # type: ignore[arg-type]
    assert trace.short.sum() > 30
    assert trace.miss_percent.max() < 0.5
    assert np.abs(trace.miss_percent[trace.short]).mean() < 0.5
    assert np.maximum(trace.miss_percent, 0.0).mean() < 0.05
    # prices really differ from home to home, by about a percent
    spread = trace.price_std[trace.short] / trace.price_mean[trace.short]
    assert 1e-4 < np.median(spread) < 0.03


def test_without_memory_ten_rounds_are_too_few() -> None:
    graph = communication(one_limit(200), "random_regular", seed=1)
    trace = live(CurveStep(graph, price_grid(5.0), mixing=FreshMixing()), **VILLAGE)  # type: ignore[arg-type]
    assert np.abs(trace.miss_percent[trace.short]).mean() > 5.0


@pytest.mark.parametrize("trouble", ["five rounds", "three of ten links down"])
def test_few_rounds_or_failing_links_cost_little(trouble: str) -> None:
    graph = communication(one_limit(200), "random_regular", seed=1)
    step = CurveStep(graph, price_grid(5.0, n_prices=64), rounds=5)
    if trouble != "five rounds":
        step = CurveStep(graph, price_grid(5.0, n_prices=64), outage=LinkOutage(0.3))
    trace = live(step, **VILLAGE, rng=np.random.default_rng(0))  # type: ignore[arg-type]
    assert np.abs(trace.miss_percent[trace.short]).mean() < 1.0
    assert trace.miss_percent.max() < 1.2


@pytest.mark.parametrize(
    ("kind", "rounds"), [("random_regular", 3), ("random_regular", 5), ("small_world", 5), ("small_world", 7)]
)
def test_what_is_mixed_again_near_the_price_makes_few_rounds_enough(kind: str, rounds: int) -> None:
    """The errors of the first exchange alone come to 5 % of the limit with five rounds on a small world."""
    graph = communication(one_limit(200), kind, seed=1)  # type: ignore[arg-type]
    step = CurveStep(graph, price_grid(5.0), rounds=rounds, sweeps=2, accelerated=True)
    trace = live(step, n=200, seed=1, n_steps=96, limit_kw=400.0)
    assert trace.miss_percent.max() < 1.0
    assert np.median(trace.price_std[trace.short] / trace.price_mean[trace.short]) < 0.03
    assert trace.price_std.max() < 0.008


def test_who_is_far_off_comes_round() -> None:
    """A home that begins to draw 200 kW, a third of the limit: alone it would pay the most."""
    n, kw = 200, np.zeros(200)
    homes, graph = some_homes(n), communication(one_limit(n), "random_regular")
    limit = np.array([0.6 * homes.power_kw(np.zeros(n)).sum() + 200.0])
    step = CurveStep(graph, price_grid(5.0), rounds=5, sweeps=2, accelerated=True)
    state = step.init()
    for kw[7] in (200.0, 200.0, 0.0, 200.0):
        now = replace(homes, base=homes.base + kw)
        state, agreed = step.step(state, demand=now, limit_kw=limit, offset_kw=np.zeros(1))
    assert np.ptp(agreed.price) < 0.5 * agreed.price.mean()


def test_a_cold_start_needs_its_startup_rounds() -> None:
    homes, graph = some_homes(200), communication(one_limit(200), "random_regular")
    limit = 0.6 * homes.power_kw(np.zeros(200)).sum()
    missed = {}
    for startup in (0, 100):
        step = CurveStep(graph, price_grid(5.0), widest=None, mixing=TrackedMixing(startup_rounds=startup))
        _, agreed = step.step(step.init(), demand=homes, limit_kw=np.array([limit]), offset_kw=np.zeros(1))
        missed[startup] = abs(agreed.residual_kw[0]) / limit
    assert missed[100] < 0.01 < missed[0]


def test_a_limit_that_falls_by_a_fifth_is_met_at_once() -> None:
    """Only the meter knows; its news is 80 kW at one node of 201."""
    homes, graph = some_homes(200), communication(one_limit(200), "random_regular")
    limit = 0.6 * homes.power_kw(np.zeros(200)).sum()
    step = CurveStep(graph, price_grid(5.0), widest=None)
    state = step.init()
    for share in (1.0, 1.0, 1.0, 0.8, 0.8, 0.8):
        now = np.array([share * limit])
        state, agreed = step.step(state, demand=homes, limit_kw=now, offset_kw=np.zeros(1))
        assert abs(agreed.residual_kw[0]) < 0.01 * limit


def test_the_refined_prices_are_all_read_between_and_the_grid_is_not() -> None:
    step = CurveStep(communication(one_limit(3), "complete"), price_grid(4.0, n_prices=64, smallest=0.002))
    gaps = np.array(step.refinement[1:]) / np.array(step.refinement[:-1])
    assert step.widest is not None
    assert gaps.max() < step.widest < step.prices[3] / step.prices[2]


def test_between_distant_prices_the_safe_one_is_taken_and_the_next_step_is_exact() -> None:
    """Demand that falls off a cliff between two prices of the grid: linear reading would go far over."""
    homes = Logistic(np.zeros(50), np.full(50, 3.0), np.full(50, 0.19), np.full(50, 60.0))
    graph = communication(one_limit(50), "complete")
    limit, prices = np.array([100.0]), price_grid(5.0)
    first, then = {}, {}
    for widest in (None, 1.06):
        step = CurveStep(graph, prices, widest=widest, rounds=1, mixing=FreshMixing())
        state, agreed = step.step(step.init(), demand=homes, limit_kw=limit, offset_kw=np.zeros(1))
        first[widest] = agreed.residual_kw[0]
        for _ in range(3):
            state, agreed = step.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(1))
        then[widest] = agreed.residual_kw[0]
    assert first[None] > 10.0
    assert -100.0 < first[1.06] <= 0.0
    assert abs(then[1.06]) < 0.25 * first[None]


def test_newton_with_forty_tracked_rounds_keeps_the_village_limit() -> None:
    graph = communication(one_limit(200), "random_regular", seed=1)
    step = NewtonStep(graph, largest_price=5.0, smallest_price=0.005, rounds=10, dual_iterations=4)
    trace = live(step, **VILLAGE)  # type: ignore[arg-type]
    # from the second step on: the first starts at price 0 and D = 4 cannot climb all the way
    assert trace.miss_percent[2:].max() < 2.0


def test_own_share_without_messages() -> None:
    homes = some_homes(30)
    share = np.full(30, 2.0)
    share[0], share[1] = 100.0, 0.5 * homes.base[1]
    price = own_share_price(homes, share, price_grid(5.0))
    power = homes.power_kw(price)
    assert price[0] == 0.0
    assert price[1] == 5.0
    priced = (price > 0.0) & (price < 5.0)
    assert priced.sum() > 15
    np.testing.assert_allclose(power[priced], share[priced], rtol=1e-6)
    assert (power[2:] <= share[2:] + 1e-12).all()
