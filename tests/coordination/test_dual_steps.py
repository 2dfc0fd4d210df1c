"""What holds for every dual step, then for the curve alone by unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from grid_cosim.coordination import (
    CommunicationGraph,
    Copies,
    CurveStep,
    DualStep,
    FreshMixing,
    GradientStep,
    LinkOutage,
    NewtonStep,
    Status,
    TrackedMixing,
    communication,
    price_grid,
)
from grid_cosim.coordination.duals.points import NEAR
from tests.coordination.demand import Affine, clearing_price, one_limit, some_homes

PRICES = price_grid(5.0)

STEPS: dict[str, Callable[[CommunicationGraph], DualStep]] = {
    "curve": lambda g: CurveStep(g, PRICES),
    "curve, accelerated": lambda g: CurveStep(g, PRICES, accelerated=True),
    "newton": lambda g: NewtonStep(g, largest_price=5.0, smallest_price=0.005),
    "gradient": lambda g: GradientStep(g, dual_step=0.002, dual_iterations=3),
}


@pytest.fixture(params=STEPS)
def build(request: pytest.FixtureRequest) -> Callable[[CommunicationGraph], DualStep]:
    return STEPS[request.param]


def settle(step: DualStep, demand: object, limit_kw: np.ndarray, n_steps: int):  # type: ignore[no-untyped-def]
    state = step.init()
    for _ in range(n_steps):
        state, agreed = step.step(
            state,
            demand=demand,  # type: ignore[arg-type]
            limit_kw=limit_kw,
            offset_kw=np.zeros(len(limit_kw)),
        )
    return state, agreed


def test_every_step_finds_the_clearing_price(build: Callable[[CommunicationGraph], DualStep]) -> None:
    homes = some_homes(30)
    limit = 0.6 * homes.power_kw(np.zeros(30)).sum()
    step = build(communication(one_limit(30), "random_regular", seed=1))
    _, agreed = settle(step, homes, np.array([limit]), 150)
    exact = clearing_price(homes, 30, limit, largest=5.0)
    # what is left: the curve's interpolation, the gradient's step times the spread of the homes
    np.testing.assert_allclose(agreed.price, exact, rtol=0.03)
    assert abs(agreed.residual_kw[0]) < 0.005 * limit


def test_prices_are_zero_where_the_limit_is_slack(build: Callable[[CommunicationGraph], DualStep]) -> None:
    homes = some_homes(30)
    top = homes.power_kw(np.zeros(30)).sum()
    step = build(communication(one_limit(30), "random_regular"))
    state, agreed = settle(step, homes, np.array([0.7 * top]), 20)
    assert agreed.price.min() > 0.0
    for _ in range(80):
        state, agreed = step.step(state, demand=homes, limit_kw=np.array([1.3 * top]), offset_kw=np.zeros(1))
    # the gradient leaves η times the load above the share on copies of large homes, whatever the sum says
    assert agreed.price.max() <= (0.002 * 8.6 if isinstance(step, GradientStep) else 0.0)
    assert agreed.residual_kw[0] < 0.0
    assert not agreed.saturated.any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), tight=st.floats(0.05, 1.5), kind=st.sampled_from(list(STEPS)))
def test_prices_are_never_negative(seed: int, tight: float, kind: str) -> None:
    homes = some_homes(12, seed)
    step = STEPS[kind](communication(one_limit(12), "small_world", seed=seed))
    limit = np.array([tight * homes.power_kw(np.zeros(12)).sum()])
    _, agreed = settle(step, homes, limit, 4)
    assert agreed.price.min() >= 0.0
    assert np.isfinite(agreed.price).all()


def test_the_order_of_households_is_irrelevant(build: Callable[[CommunicationGraph], DualStep]) -> None:
    n, rng = 20, np.random.default_rng(0)
    order = rng.permutation(n)
    names = [f"h{i}" for i in range(n)]
    ring = [*pairwise(names), ("h19", "h0"), ("h0", "meter"), ("h7", "h13")]
    homes = some_homes(n)
    shuffled = type(homes)(*(getattr(homes, f)[order] for f in ("base", "flex", "bid", "steepness")))
    limit = np.array([0.6 * homes.power_kw(np.zeros(n)).sum()])
    _, here = settle(build(communication(one_limit(n), "edges", edges=ring, names=names)), homes, limit, 3)
    graph = communication(one_limit(n), "edges", edges=ring, names=[names[i] for i in order])
    _, there = settle(build(graph), shuffled, limit, 3)
    np.testing.assert_allclose(there.local_price, here.local_price[order], rtol=1e-6)
    np.testing.assert_allclose(there.residual_kw, here.residual_kw, rtol=1e-6, atol=1e-9)


def test_a_step_changes_no_state_that_it_was_given(build: Callable[[CommunicationGraph], DualStep]) -> None:
    homes, limit = some_homes(10), np.array([15.0])
    step = build(communication(one_limit(10), "random_regular"))
    state, _ = settle(step, homes, limit, 2)
    first, second = (
        step.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(1))[1].price for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_a_step_is_a_dual_step(build: Callable[[CommunicationGraph], DualStep]) -> None:
    assert isinstance(build(communication(one_limit(3), "ring")), DualStep)


def test_what_homes_at_a_distance_do_arrives_late(build: Callable[[CommunicationGraph], DualStep]) -> None:
    """Homes on a line that ends at the meter; the first one changes its mind: one link further per round."""
    n, rounds = 24, {"CurveStep": 10, "NewtonStep": 40, "GradientStep": 30}
    names = [f"h{i}" for i in range(n)]
    line = [*pairwise(names), (names[-1], "meter")]
    step = build(communication(one_limit(n), "edges", edges=line, names=names))
    calm = some_homes(n)
    base = calm.base.copy()
    base[0] += 2.0
    keen = type(calm)(base, calm.flex, calm.bid, calm.steepness)
    limit = np.array([0.5 * calm.power_kw(np.zeros(n)).sum()])
    state, _ = settle(step, calm, limit, 200)  # a line mixes slowly
    told = {
        who: step.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(1))[1].price
        for who, homes in (("calm", calm), ("keen", keen))
    }
    differs = told["calm"] != told["keen"]
    reach = rounds[type(step).__name__]
    assert differs[: min(reach, n) // 2].all()
    assert not differs[reach + 1 :].any()


def test_messages_are_neighbours_times_rounds() -> None:
    graph = communication(one_limit(9), "ring")
    homes, limit = some_homes(9), np.array([20.0])
    curve = CurveStep(graph, PRICES, rounds=7, mixing=TrackedMixing(startup_rounds=50))
    state = curve.init()
    state, first = curve.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(1))
    state, second = curve.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(1))
    # one number first; once awake, everybody passes that on once; then the curve
    assert (first.messages[0], second.messages[0]) == (20 * (50 + 1 + 50), 20 * (7 + 1 + 7))
    numbers = 1 + len(PRICES) + len(curve.refinement)
    assert second.message_bytes[0] == 20 * (7 * 8 * numbers + 1)
    assert second.rounds[0] == 7 + graph.hops[0] + 7
    assert graph.hops[0] == 10  # the farthest of ten in a ring is five away
    state, slack = curve.step(state, demand=homes, limit_kw=np.array([1e3]), offset_kw=np.zeros(1))
    assert (slack.messages[0], slack.message_bytes[0]) == (20 * 7, 20 * 7 * 8)
    loud = replace(curve, quiet=False)
    _, slack = loud.step(loud.init(), demand=homes, limit_kw=np.array([1e3]), offset_kw=np.zeros(1))
    assert slack.message_bytes[0] == 20 * 50 * 8 * (numbers - 1)
    twice = replace(curve, sweeps=2, mixing=FreshMixing())
    _, agreed = twice.step(twice.init(), demand=homes, limit_kw=limit, offset_kw=np.zeros(1))
    # three votes of a byte between the exchanges; the second tells of its own points and mixes four prices
    assert agreed.messages[0] == 20 * (7 + 1 + 7 + 3 + 7)
    assert agreed.message_bytes[0] == 20 * (7 * 8 * (numbers + NEAR) + 1 + 3)
    assert agreed.rounds[0] == 7 + graph.hops[0] + 7 + 3 + 7
    newton = NewtonStep(graph, 5.0, 0.01, rounds=7, dual_iterations=3, mixing=FreshMixing())
    _, agreed = newton.step(newton.init(), demand=homes, limit_kw=limit, offset_kw=np.zeros(1))
    assert (agreed.rounds[0], agreed.messages[0]) == (21, 20 * 21)
    gradient = GradientStep(graph, 0.01, rounds=7, dual_iterations=2, startup_rounds=30)
    _, agreed = gradient.step(gradient.init(), demand=homes, limit_kw=limit, offset_kw=np.zeros(1))
    assert agreed.messages[0] == 20 * (30 + 14)
    assert agreed.consensus_error_eur_per_kwh[0] == pytest.approx(np.std(agreed.price))
    assert np.std(agreed.price) > 0.0


def test_a_limit_below_the_inflexible_load_is_said(build: Callable[[CommunicationGraph], DualStep]) -> None:
    homes = some_homes(10)
    step = build(communication(one_limit(10), "complete"))
    _, agreed = settle(step, homes, np.array([0.5 * homes.base.sum()]), 15)
    assert agreed.residual_kw[0] > 0.0
    if isinstance(step, GradientStep):  # knows no largest price
        assert agreed.status is Status.STOPPED
    else:
        assert agreed.saturated.all()
        assert agreed.status is Status.SATURATED
        np.testing.assert_array_equal(agreed.price, 5.0)


def test_three_households_by_hand() -> None:
    """P = 4-2λ, 3-λ, 5-4λ; 12-7λ = 5 at λ = 1, where they take 2, 2 and 1 kW."""
    homes = Affine(np.array([4.0, 3.0, 5.0]), np.array([2.0, 1.0, 4.0]))
    graph = communication(one_limit(3), "complete")
    for step in (
        CurveStep(
            graph, np.array([0.0, 0.5, 1.2, 4.0]), refinement=(), widest=None, rounds=1, mixing=FreshMixing()
        ),
        NewtonStep(graph, 4.0, 0.5, rounds=1, dual_iterations=6, mixing=FreshMixing()),
        GradientStep(graph, 0.3, rounds=1, dual_iterations=200, startup_rounds=1),
    ):
        _, agreed = settle(step, homes, np.array([5.0]), 1)
        np.testing.assert_allclose(agreed.price, 1.0, rtol=1e-6)
        np.testing.assert_allclose(homes.power_kw(agreed.local_price), [2.0, 2.0, 1.0], rtol=1e-5)


def test_one_newton_iteration_solves_affine_demand_behind_a_share_of_the_limit() -> None:
    """Half of each power counts, at half of the price: (12 - 7λ/2)/2 = 2.5 at λ = 2."""
    homes = Affine(np.array([4.0, 3.0, 5.0]), np.array([2.0, 1.0, 4.0]))
    graph = communication(Copies.of(csr_array(np.full((1, 3), 0.5))), "complete")
    step = NewtonStep(graph, 4.0, 4.0, rounds=1, dual_iterations=1, mixing=FreshMixing())
    _, agreed = settle(step, homes, np.array([2.5]), 1)
    np.testing.assert_allclose(agreed.price, 2.0, rtol=1e-6)
    np.testing.assert_allclose(agreed.local_price, 1.0, rtol=1e-6)


def test_the_meter_says_what_the_element_carries_beside_its_members() -> None:
    homes = Affine(np.array([4.0, 3.0, 5.0]), np.array([2.0, 1.0, 4.0]))
    step = CurveStep(communication(one_limit(3), "complete"), np.linspace(0.0, 1.2, 61), mixing=FreshMixing())
    _, agreed = step.step(step.init(), demand=homes, limit_kw=np.array([6.5]), offset_kw=np.array([1.5]))
    np.testing.assert_allclose(agreed.price, 1.0, rtol=1e-6)


def test_links_that_fail_at_times_leave_the_limit_kept(
    build: Callable[[CommunicationGraph], DualStep],
) -> None:
    homes = some_homes(30)
    limit = np.array([0.6 * homes.power_kw(np.zeros(30)).sum()])
    whole = build(communication(one_limit(30), "random_regular"))
    fields = {name: getattr(whole, name) for name in whole.__dataclass_fields__}  # type: ignore[attr-defined]
    step = type(whole)(**{**fields, "outage": LinkOutage(0.3)})
    state, rng = step.init(), np.random.default_rng(0)
    for _ in range(150):
        state, agreed = step.step(state, demand=homes, limit_kw=limit, offset_kw=np.zeros(1), rng=rng)
    assert abs(agreed.residual_kw[0]) < 0.01 * limit[0]


def test_a_home_behind_two_parallel_transformers_pays_both_by_weight(
    build: Callable[[CommunicationGraph], DualStep],
) -> None:
    homes = some_homes(10)
    top = homes.power_kw(np.zeros(10)).sum()
    step = build(communication(Copies.of(csr_array(np.full((2, 10), 0.5))), "complete"))
    _, agreed = settle(step, homes, np.array([0.30 * top, 0.35 * top]), 600)
    assert (agreed.residual_kw < 0.005 * top).all()
    # the looser one costs nothing where the tighter one binds
    held = ~step.graph.copies.is_meter  # type: ignore[attr-defined]
    assert agreed.price[:10].min() > 0.0
    assert agreed.price[held][10:].max() < 1e-3


def test_homes_behind_no_limit_pay_nothing(build: Callable[[CommunicationGraph], DualStep]) -> None:
    homes = some_homes(4)
    step = build(communication(Copies.of(csr_array(np.array([[1.0, 1, 1, 0], [0, 0, 0, 0]]))), "ring"))
    _, agreed = settle(step, homes, np.array([3.0, 1.0]), 5)
    assert agreed.local_price[3] == 0.0
    assert agreed.local_price[:3].min() > 0.0
    assert agreed.messages[1] == 0
