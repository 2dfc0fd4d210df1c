"""Measured ≤ bound on every graph tried; and bounds that are wrong by little are found out."""

from __future__ import annotations

from dataclasses import dataclass
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
    Demand,
    DualState,
    FreshMixing,
    GradientStep,
    LinkOutage,
    Mixing,
    NewtonStep,
    TrackedMixing,
    communication,
    price_grid,
)
from grid_cosim.coordination.bounds import (
    average_excess_kw,
    cold_start_rounds,
    contraction,
    disagreement,
    leftover,
    leftover_by_step,
    price_disagreement,
    share_disagreement,
)
from grid_cosim.coordination.consensus import Exchange
from tests.coordination.demand import Answers, one_limit, some_homes

Case = tuple[str, int, int]
KINDS = ["line", "ring", "random_regular", "small_world", "complete", "edges"]
GENERAL = settings(max_examples=40, deadline=None)


def kept(measured: np.ndarray, bound: np.ndarray, size: float) -> bool:
    """Measured ≤ bound, but for rounding: some hundred sums of numbers up to `size`, 1e-16 each."""
    return bool((measured <= bound + 1e-9 * np.abs(bound) + 1e-13 * size).all())


def some_graph(kind: str, n: int, seed: int) -> CommunicationGraph:
    """A limit over all homes and one over some of them; for "edges" one limit, a tree and random links."""
    rng = np.random.default_rng(seed)
    if kind == "edges":
        nodes = [*(f"h{i}" for i in range(n)), "meter"]
        links = [(nodes[int(rng.integers(i))], nodes[i]) for i in range(1, n + 1)]
        links += [pair for pair in pairwise(nodes) if rng.random() < 0.3]
        return communication(one_limit(n), "edges", edges=links, names=nodes[:-1])
    coupling = np.ones((2, n))
    coupling[1] = rng.choice([0.0, 0.5, 1.0], n)
    coupling[1, 0] = 1.0
    return communication(Copies.of(csr_array(coupling), np.array([0, 1])), kind, seed=seed)  # type: ignore[arg-type]


cases = st.tuples(st.sampled_from(KINDS), st.integers(2, 24), st.integers(0, 10_000))
"""Of `some_graph`, which is built in the test: networkx draws with generators of its own."""
seeds = st.integers(0, 10_000)
rounds_ = st.integers(1, 15)


def signal(seed: int, steps: int, n: int) -> np.ndarray:
    """What nodes may hold over time: with jumps, drifts and rests."""
    rng = np.random.default_rng(seed)
    jumps = rng.standard_cauchy((steps, n)).clip(-1e3, 1e3) * (rng.random((steps, 1)) < 0.5)
    return rng.normal(0.0, 5.0, n) + np.cumsum(jumps, axis=0) + np.arange(steps)[:, None] * rng.normal(size=n)


# ------------------------------------------------------------------ mixing


@GENERAL
@given(case=cases, seed=seeds, rounds=st.integers(0, 15), accelerated=st.booleans())
def test_fresh_rounds_leave_at_most_what_they_promise(
    case: Case, seed: int, rounds: int, accelerated: bool
) -> None:
    graph = some_graph(*case)
    start = graph.copies.start
    values = signal(seed, 3, graph.copies.n_copies).T
    mixed = Exchange(graph.links, rounds, accelerated=accelerated).mix(values)
    promised = contraction(graph, rounds, accelerated=accelerated)[:, None] * disagreement(values, start)
    assert kept(disagreement(mixed, start), promised, np.abs(values).max())


@GENERAL
@given(case=cases, seed=seeds, rounds=rounds_, accelerated=st.booleans(), down=st.sampled_from([0.0, 0.4]))
def test_tracking_leaves_at_most_what_the_changes_allow(
    case: Case, seed: int, rounds: int, accelerated: bool, down: float
) -> None:
    graph = some_graph(*case)
    start, mixing, rng = graph.copies.start, TrackedMixing(startup_rounds=0), np.random.default_rng(seed)
    values = signal(seed, 8, graph.copies.n_copies)
    told = disagreement(np.diff(values, axis=0, prepend=0.0).T, start)
    shrink = contraction(graph, rounds, accelerated=accelerated, outage=down > 0.0)
    memory, before = mixing.init(graph.links), np.zeros(graph.copies.n_limits)
    for t, value in enumerate(values):
        exchange = Exchange.open(graph.links, rounds, LinkOutage(down), rng, accelerated=accelerated)
        memory, estimate = mixing.step(memory, value[:, None], exchange)
        left = disagreement(estimate, start)[:, 0]
        so_far = told[:, : t + 1].max(axis=1)
        size = np.abs(values[: t + 1]).max()
        assert kept(left, leftover(shrink, so_far, exchanges=t + 1), size)
        assert kept(left, leftover(shrink, so_far), size)
        # from what was left one step ago, the same step alone
        assert kept(left, leftover(shrink, told[:, t], exchanges=1, before=before), size)
        before = left


def worst(graph: CommunicationGraph, *, top: bool = False) -> tuple[np.ndarray, float]:
    """The pattern that W shrinks least (with `top` of those it does not turn over), and by what factor."""
    values, vectors = np.linalg.eigh(graph.mixing.toarray())
    k = -2 if top or values[-2] >= -values[0] else 0
    return vectors[:, k], float(values[k])


@pytest.mark.parametrize("kind", ["ring", "line", "random_regular", "small_world"])
@pytest.mark.parametrize("accelerated", [False, True], ids=["plain", "accelerated"])
@pytest.mark.parametrize("rounds", [1, 4, 9])
def test_no_smaller_contraction_would_do(kind: str, accelerated: bool, rounds: int) -> None:
    graph = communication(one_limit(20), kind, seed=4)  # type: ignore[arg-type]
    pattern, _ = worst(graph, top=accelerated)
    start = graph.copies.start
    before = disagreement(pattern[:, None], start)
    left = disagreement(Exchange(graph.links, rounds, accelerated=accelerated).mix(pattern[:, None]), start)

    def promise(k: int) -> np.ndarray:
        return contraction(graph, k, accelerated=accelerated)[:, None] * before

    np.testing.assert_allclose(left, promise(rounds), rtol=1e-9)
    assert kept(left, promise(rounds), 1.0)
    for wrong in (promise(rounds + 1), 0.5 * promise(rounds), promise(rounds) ** 2):
        assert not kept(left, wrong, 1.0)
    if not accelerated and rounds > 1:
        assert not kept(left, contraction(graph, rounds, accelerated=True)[:, None] * before, 1.0)


@pytest.mark.parametrize("kind", ["random_regular", "small_world", "complete"])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_no_smaller_bound_on_tracking_would_do(kind: str, rounds: int) -> None:
    """Every node's value drifts along the pattern that is shrunk least."""
    graph = communication(one_limit(16), kind, seed=1)  # type: ignore[arg-type]
    pattern, factor = worst(graph)
    mixing, start = TrackedMixing(), graph.copies.start
    memory, value, sign = mixing.init(graph.links), np.zeros((17, 1)), 1.0
    for t in range(200):
        sign = 1.0 if factor**rounds >= 0.0 else (-1.0) ** t
        value = value + sign * pattern[:, None]
        memory, estimate = mixing.step(memory, value, Exchange(graph.links, rounds))
    left, told = disagreement(estimate, start)[:, 0], disagreement(pattern[:, None], start)[:, 0]
    shrink = contraction(graph, rounds)
    assert kept(left, leftover(shrink, told), 1.0)
    if kind == "complete":  # one round is the mean: nothing is left, and nothing else is promised
        assert kept(left, np.zeros(1), 1.0)
        return
    np.testing.assert_allclose(left, leftover(shrink, told, exchanges=200), rtol=1e-9)
    wrong = contraction(graph, rounds + 1)
    for smaller in (leftover(wrong, told), 0.5 * leftover(shrink, told), shrink * told):
        assert not kept(left, smaller, 1.0)


@given(exchanges=st.lists(st.integers(1, 9), min_size=6, max_size=6), shrink=st.floats(0.01, 0.99))
def test_steps_of_any_number_of_exchanges_keep_to_the_bound_by_step(
    exchanges: list[int], shrink: float
) -> None:
    told, left = np.array([[5.0], [0.2], [0.2], [3.0], [0.0], [0.0]]), np.zeros(1)
    bounds = leftover_by_step(np.array([shrink]), told)
    for now, bound, times in zip(told, bounds, exchanges, strict=True):
        left = leftover(np.array([shrink]), now, exchanges=times, before=left)
        assert kept(left, bound, 1.0)


def test_no_smaller_bound_by_step_would_do() -> None:
    """Many exchanges while more is told than before, then one while nothing is."""
    shrink, told = np.array([0.6]), np.array([[1.0], [5.0], [0.0]])
    first = leftover(shrink, told[0], exchanges=100)
    second = leftover(shrink, told[1], exchanges=100, before=first)
    third = leftover(shrink, told[2], exchanges=1, before=second)
    np.testing.assert_allclose(leftover_by_step(shrink, told), [first, second, third], rtol=1e-12)


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize(("kind", "n"), [("random_regular", 20), ("random_regular", 1500), ("ring", 30)])
def test_after_a_cold_start_everybody_knows_what_the_meter_knew(kind: str, n: int, accelerated: bool) -> None:
    graph = communication(one_limit(n), kind)  # type: ignore[arg-type]
    rounds, left = cold_start_rounds(graph, accelerated=accelerated), []
    for enough in (rounds, rounds // 2):
        values = np.zeros((n + 1, 1))
        values[-1] = n + 1.0
        left.append(np.abs(Exchange(graph.links, enough, accelerated=accelerated).mix(values) - 1.0).max())
    assert left[0] <= 0.01
    assert left[1] > 0.02  # half as many would not do


def test_bounds_of_links_that_never_mix_grow_without_end() -> None:
    one, told = np.ones(2), np.array([0.0, 2.0])
    np.testing.assert_array_equal(leftover(one, told, exchanges=5, before=1.0), [1.0, 11.0])
    np.testing.assert_array_equal(leftover(one, told, before=1.0), [1.0, np.inf])


def test_accelerated_rounds_beside_one_keep_their_digits() -> None:
    """On a ring of 3000 the interval ends 7e-7 below 1: T_K by its recurrence in 40 digits says 0.99973."""
    graph = communication(one_limit(2999), "ring")
    # 1 - σ of a ring with weights 1/3 is 2/3 (1 - cos 2π/n)
    gap = 2.0 / 3.0 * 2.0 * np.sin(np.pi / 3000) ** 2
    np.testing.assert_allclose(1.0 - graph.mixing_rate, gap, rtol=1e-6)  # 1e-16 of 1 is 1e-10 of the gap
    half = 0.5 * (1.0 - gap - graph.interval[0, 0])
    top = 1.0 + gap / half
    before, now = 1.0, top
    for _ in range(9):
        before, now = now, 2.0 * top * now - before
    np.testing.assert_allclose(contraction(graph, 10, accelerated=True), 1.0 / now, rtol=1e-9)
    assert contraction(graph, 10**6, accelerated=True)[0] == 0.0


# ------------------------------------------------------------------ the gradient step


@dataclass(frozen=True)
class Fixed(Answers):
    """Households that draw what they draw, whatever it costs."""

    p_kw: np.ndarray

    def power(self, mu: np.ndarray) -> np.ndarray:
        return np.repeat(self.p_kw[:, None], mu.shape[1], axis=1)

    def slope(self, local_price: np.ndarray) -> np.ndarray:
        return np.zeros_like(self.p_kw)


def demands(answering: bool, seed: int, steps: int, n: int) -> list[Demand]:
    if answering:
        return [some_homes(n, seed + t // 3) for t in range(steps)]
    return [Fixed(p_kw) for p_kw in signal(seed, steps, n)]


@GENERAL
@given(
    case=cases,
    seed=seeds,
    rounds=rounds_,
    iterations=st.integers(1, 3),
    dual_step=st.sampled_from([1e-3, 0.05, 2.0]),
    answering=st.booleans(),
    down=st.sampled_from([0.0, 0.4]),
)
def test_the_gradient_keeps_its_bounds(
    case: Case,
    seed: int,
    rounds: int,
    iterations: int,
    dual_step: float,
    answering: bool,
    down: float,
) -> None:
    graph, steps, rng = some_graph(*case), 6, np.random.default_rng(seed)
    copies = graph.copies
    step = GradientStep(
        graph, dual_step, rounds, iterations, startup_rounds=int(rng.integers(3)), outage=LinkOutage(down)
    )
    limits_kw = copies.coupling.sum(axis=1) * rng.uniform(-1.0, 5.0, (steps, copies.n_limits))
    shrink = contraction(graph, rounds, outage=down > 0.0)
    size = np.diff(copies.start)
    state, u, asked, bound = step.init(), np.zeros(copies.n_limits), 0.0, 0.0
    drifts: list[np.ndarray] = []
    for t, demand in enumerate(demands(answering, seed, steps, copies.n_households)):
        before = state.price
        state, agreed = step.step(
            state, demand=demand, limit_kw=limits_kw[t], offset_kw=np.zeros(copies.n_limits), rng=rng
        )
        measured = agreed.agreement
        assert measured is not None
        scale = dual_step * 1e3 * (t + 1) * iterations
        u = np.maximum(u, measured.drift_eur_per_kwh / dual_step)
        so_far = price_disagreement(shrink, u, dual_step, iterations=(t + 1) * iterations)
        assert kept(agreed.consensus_error_eur_per_kwh, so_far, scale)
        assert kept(so_far, price_disagreement(shrink, u, dual_step), scale)
        drifts.append(measured.drift_eur_per_kwh)
        by_step = leftover_by_step(shrink, np.array(drifts))[-1]
        assert kept(agreed.consensus_error_eur_per_kwh, by_step, scale)
        assert kept(by_step, price_disagreement(shrink, u, dual_step), scale)
        np.testing.assert_array_equal(measured.contraction, shrink)
        rise = np.add.reduceat(state.price - before, copies.start[:-1]) / size
        np.testing.assert_allclose(
            measured.excess_bound_kw,
            average_excess_kw(rise, size, dual_step, iterations),
            rtol=1e-9,
            atol=1e-13 * scale / dual_step,
        )
        # in every step, so in any set of steps, and on average from the first
        assert kept(measured.asked_excess_kw, measured.excess_bound_kw, 1e3 * size.max())
        asked, bound = asked + measured.asked_excess_kw, bound + measured.excess_bound_kw
        assert kept(asked, bound, 1e3 * size.max() * steps)


@GENERAL
@given(case=cases, seed=seeds, rounds=rounds_, startup=st.integers(0, 5))
def test_shares_are_as_near_as_the_meters_changes_allow(
    case: Case, seed: int, rounds: int, startup: int
) -> None:
    """So u is bounded before anything is negotiated: by what homes draw and by how the meter changes."""
    graph, steps = some_graph(*case), 6
    copies = graph.copies
    step = GradientStep(graph, 0.1, rounds, startup_rounds=startup)
    limits_kw = signal(seed + 1, steps, copies.n_limits)
    shrink, size = contraction(graph, rounds), np.diff(copies.start)
    state = step.init()
    for t, p_kw in enumerate(signal(seed, steps, copies.n_households)):
        demand, nothing = Fixed(p_kw), np.zeros(copies.n_limits)
        state, agreed = step.step(state, demand=demand, limit_kw=limits_kw[t], offset_kw=nothing)
        assert agreed.agreement is not None
        own = np.zeros((copies.n_copies, 1))
        members = ~copies.is_meter
        own[members, 0] = copies.weight[members] * p_kw[copies.household[members]]
        apart = disagreement(own, copies.start)[:, 0]
        change = np.abs(np.diff(limits_kw[: t + 1], axis=0, prepend=0.0)).max(axis=0)
        for exchanges in (t, None):
            allowed = apart + share_disagreement(shrink, change, size, exchanges=exchanges)
            assert kept(agreed.agreement.drift_eur_per_kwh / 0.1, allowed, 1e4)


@pytest.mark.parametrize("kind", ["random_regular", "small_world", "ring"])
def test_no_smaller_bound_on_the_prices_would_do(kind: str) -> None:
    """Homes that draw along the pattern that is shrunk least, at prices far above zero."""
    graph, rounds, dual_step = communication(one_limit(12), kind, seed=2), 2, 0.01  # type: ignore[arg-type]
    pattern, _ = worst(graph)
    homes = Fixed(pattern[:-1] - pattern[-1])  # the meter itself draws nothing: all are moved alike
    step = GradientStep(graph, dual_step, rounds, startup_rounds=0)
    u = disagreement(pattern[:, None], graph.copies.start)[:, 0]
    shrink, smaller = contraction(graph, rounds), contraction(graph, rounds + 1)
    first = 0.1 * dual_step
    state = DualState(10.0 + first * pattern, step.init().memory)
    for t in range(120):
        state, agreed = step.step(state, demand=homes, limit_kw=np.zeros(1), offset_kw=np.zeros(1))
        left = agreed.consensus_error_eur_per_kwh
        so_far = price_disagreement(shrink, u, dual_step, iterations=t + 1, before=first * u)
        np.testing.assert_allclose(left, so_far, rtol=1e-9)
    bound = price_disagreement(shrink, u, dual_step)
    assert kept(left, bound, 10.0)
    assert (left > 0.99 * bound).all()
    for wrong in (price_disagreement(smaller, u, dual_step), 0.5 * bound, dual_step * u * shrink):
        assert not kept(left, wrong, 10.0)


def test_no_smaller_bound_on_the_average_excess_would_do() -> None:
    """Homes that do not answer, at prices far above zero: they rise by exactly what the limit is missed."""
    graph, dual_step, iterations = communication(one_limit(12), "random_regular"), 0.01, 2
    step = GradientStep(graph, dual_step, rounds=3, dual_iterations=iterations)
    state, asked = DualState(np.full(13, 10.0), step.init().memory), []
    for _ in range(25):
        state, agreed = step.step(
            state, demand=Fixed(np.full(12, 2.0)), limit_kw=np.array([23.0]), offset_kw=np.zeros(1)
        )
        assert agreed.agreement is not None
        asked.append(agreed.agreement.asked_excess_kw)
    np.testing.assert_allclose(asked, 1.0, rtol=1e-9)
    average, rise, size = np.mean(asked, axis=0), state.price.mean(keepdims=True) - 10.0, np.array([13])
    assert kept(average, average_excess_kw(rise, size, dual_step, 25 * iterations), 24.0)
    for wrong in (
        average_excess_kw(rise, size, dual_step, 26 * iterations),
        average_excess_kw(rise, size - 1, dual_step, 25 * iterations),
        0.5 * average_excess_kw(rise, size, dual_step, 25 * iterations),
    ):
        assert not kept(average, wrong, 24.0)


def test_a_clamp_from_above_would_break_the_bound_on_the_average() -> None:
    graph, dual_step = communication(one_limit(6), "complete"), 0.1
    price, asked = np.zeros(7), []
    for _ in range(50):
        excess = np.full(7, 1.0)
        price = graph.mixing @ np.clip(price + dual_step * excess, 0.0, 2.0)
        asked.append(excess.sum())
    bound = average_excess_kw(price.mean(keepdims=True), np.array([7]), dual_step, 50)
    assert not kept(np.array([np.mean(asked)]), bound, 7.0)


# ------------------------------------------------------------------ estimates of curve and newton


@settings(max_examples=25, deadline=None)
@given(
    case=cases,
    seed=seeds,
    rounds=rounds_,
    accelerated=st.booleans(),
    mixing=st.sampled_from([FreshMixing(), TrackedMixing()]),
    newton=st.booleans(),
)
def test_estimates_are_as_good_as_the_rounds_promise(
    case: Case, seed: int, rounds: int, accelerated: bool, mixing: Mixing, newton: bool
) -> None:
    graph = some_graph(*case)
    copies = graph.copies
    step = (
        NewtonStep(graph, 5.0, 0.005, rounds=rounds, mixing=mixing, accelerated=accelerated)
        if newton
        else CurveStep(graph, price_grid(5.0), rounds=rounds, mixing=mixing, accelerated=accelerated)
    )
    state = step.init()
    limit_kw = 1.5 * np.asarray(copies.coupling.sum(axis=1))
    for demand in demands(True, seed, 6, copies.n_households):
        state, agreed = step.step(
            state, demand=demand, limit_kw=limit_kw, offset_kw=np.zeros(copies.n_limits)
        )
        assert agreed.agreement is not None
        measured = agreed.agreement
        assert kept(measured.estimate_error_kw, measured.estimate_bound_kw, 10.0 * copies.n_copies)
        assert np.isnan(measured.drift_eur_per_kwh).all()


def test_errors_of_the_estimates_are_those_of_the_sum_that_is_to_be_known() -> None:
    """Two homes of 1 and 4 kW on a line, one fresh round: what each then takes for the whole excess."""
    homes = [Fixed(np.array([1.0, 4.0]))]
    graph = communication(one_limit(2), "line")  # home, home, meter
    step = CurveStep(graph, np.array([0.0, 1.0, 2.0]), refinement=(), rounds=1, mixing=FreshMixing())
    _, agreed = step.step(step.init(), demand=homes[0], limit_kw=np.array([7.0]), offset_kw=np.zeros(1))
    heard = np.array([[2 / 3, 1 / 3, 0], [1 / 3, 1 / 3, 1 / 3], [0, 1 / 3, 2 / 3]]) @ [1.0, 4.0, -7.0]
    assert agreed.agreement is not None
    np.testing.assert_allclose(agreed.agreement.estimate_error_kw, np.std(3.0 * heard), rtol=1e-12)
    entered = 3.0 * np.std([1.0, 4.0, -7.0])
    np.testing.assert_allclose(agreed.agreement.estimate_bound_kw, 2 / 3 * entered, rtol=1e-12)
    np.testing.assert_allclose(agreed.agreement.mixing_rate, 2 / 3, rtol=1e-12)
