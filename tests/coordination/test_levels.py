"""Nested limits: the levels at which they hold, against the multipliers of the optimum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.special import expit

from grid_cosim.coordination import (
    Copies,
    CurveStep,
    DualStep,
    ExactStep,
    FreshMixing,
    LinkOutage,
    Negotiated,
    TrackedMixing,
    communication,
    price_grid,
)
from grid_cosim.coordination.bounds import cold_start_rounds
from tests.coordination.demand import Affine, Answers, some_homes

LARGEST = 5.0
PER_LINE, LINES, AREAS = 10, 12, 4


def three_levels(sense: tuple[float, ...] = (1.0,)) -> Copies:
    """120 homes behind 1 substation > 4 transformers > 12 lines, once for every sense of flow."""
    n = PER_LINE * LINES
    levels = [
        np.ones((1, n)),
        np.kron(np.eye(AREAS), np.ones(n // AREAS)),
        np.kron(np.eye(LINES), np.ones(PER_LINE)),
    ]
    coupling = np.vstack([sign * rows for sign in sense for rows in levels])
    level = np.tile(np.repeat([0, 1, 2], [1, AREAS, LINES]), len(sense))
    return Copies.of(csr_array(coupling), level)


def some(n: int, rng: np.random.Generator) -> Affine:
    """Homes of different size and price, some lines with much more of both than others."""
    top = rng.uniform(2.0, 8.0, n) * np.repeat(rng.lognormal(0.0, 0.5, LINES), PER_LINE)
    return Affine(top=top, fall=top * rng.uniform(1.0, 6.0, n))


def tight_limits(copies: Copies, homes: Affine, rng: np.random.Generator) -> np.ndarray:
    """Between slack and tight on all levels, and all of it can be kept."""
    free = copies.coupling @ homes.power_kw(np.zeros(copies.n_households))
    return free * rng.uniform(0.5, 1.05, copies.n_limits)


def optimum(copies: Copies, homes: Affine, limit_kw: np.ndarray) -> np.ndarray:
    """Multipliers of: most Σ (p top/fall - p²/(2 fall)) so that A p ≤ c, p ≥ 0; -p' of it is the demand."""
    p_kw = cp.Variable(copies.n_households, nonneg=True)
    worth = (homes.top / homes.fall) @ p_kw - 0.5 * cp.sum(cp.multiply(1.0 / homes.fall, cp.square(p_kw)))
    limits = copies.coupling @ p_kw <= limit_kw
    cp.Problem(cp.Maximize(worth), [limits]).solve(solver=cp.CLARABEL)
    return np.maximum(limits.dual_value, 0.0)


def settle(step: DualStep, homes: Affine, limit_kw: np.ndarray, n_steps: int = 1) -> Negotiated:
    state = step.init()
    rng = np.random.default_rng(0)
    for _ in range(n_steps):
        state, agreed = step.step(
            state, demand=homes, limit_kw=limit_kw, offset_kw=np.zeros(limit_kw.size), rng=rng
        )
    return agreed


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_one_pass_finds_the_multipliers_of_the_optimum(seed: int) -> None:
    rng, copies = np.random.default_rng(seed), three_levels()
    assert copies.caps.all()
    homes = some(copies.n_households, rng)
    limit_kw = tight_limits(copies, homes, rng)
    agreed = settle(ExactStep(copies, LARGEST), homes, limit_kw)
    # what an interior-point method leaves
    np.testing.assert_allclose(agreed.price[copies.start[:-1]], optimum(copies, homes, limit_kw), atol=1e-4)
    assert agreed.residual_kw.max() <= 0.0


@pytest.mark.parametrize(
    ("kind", "outage", "n_steps", "apart"),
    [
        # a node's price is off by what interpolating misses; by what rounds leave, less with every step
        ("complete", 0.0, 1, 0.002),
        ("random_regular", 0.0, 3, 0.01),
        ("random_regular", 0.2, 6, 0.02),
    ],
)
def test_neighbours_agree_on_the_multipliers_of_the_optimum(
    kind: str, outage: float, n_steps: int, apart: float
) -> None:
    rng, copies = np.random.default_rng(5), three_levels()
    homes = some(copies.n_households, rng)
    wanted = np.zeros(copies.n_limits)
    wanted[[0, 1, 2, 5, 9]] = 0.05, 0.05, 0.08, 0.1, 0.06  # two transformers, and a line behind each
    drawn_kw = copies.coupling @ homes.power_kw(copies.coupling.T @ wanted)
    limit_kw = drawn_kw * np.where(wanted > 0.0, 1.0, 1.1)
    expected = optimum(copies, homes, limit_kw)
    np.testing.assert_allclose(expected, wanted, atol=1e-4)
    step = CurveStep(
        communication(copies, kind),  # type: ignore[arg-type]
        price_grid(LARGEST),
        sweeps=2,
        outage=LinkOutage(outage) if outage else None,
        accelerated=not outage,
    )
    agreed = settle(step, homes, limit_kw, n_steps)
    members = ~copies.is_meter
    mean = np.bincount(copies.limit[members], weights=agreed.price[members]) / np.bincount(
        copies.limit[members]
    )
    # of the level that homes pay in all: the small difference of two levels may be off by more of itself
    scale = copies.coupling.T @ expected
    np.testing.assert_allclose(agreed.local_price, scale, rtol=apart)
    np.testing.assert_allclose(mean, expected, atol=apart * scale.max())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_limits_both_ways_are_the_optimums_too(seed: int) -> None:
    """Homes that generate where energy is worth little: demand p(μ) - g, limits on Σ p and on -Σ p."""
    rng, copies = np.random.default_rng(seed), three_levels((1.0, -1.0))
    assert copies.caps.all()
    n, n_forward = copies.n_households, copies.n_limits // 2
    homes = some(n, rng)
    generated_kw = np.repeat(rng.choice([0.0, 0.5, 2.0], LINES), PER_LINE) * homes.top
    fixed_kw = copies.coupling @ -generated_kw
    free = copies.coupling @ homes.power_kw(np.zeros(n)) + fixed_kw
    size = np.abs(free[:n_forward])
    forward = np.where(free[:n_forward] > 0.0, size * rng.uniform(0.5, 1.05, n_forward), size)
    limit_kw = np.concatenate([forward, size * rng.uniform(0.7, 1.05, n_forward)])
    p_kw = cp.Variable(n)  # below a price of 0 more than `top` is drawn
    worth = (homes.top / homes.fall) @ p_kw - 0.5 * cp.sum(cp.multiply(1.0 / homes.fall, cp.square(p_kw)))
    constraints = [copies.coupling @ p_kw + fixed_kw <= limit_kw, p_kw >= 0.0]
    problem = cp.Problem(cp.Maximize(worth), constraints)
    problem.solve(solver=cp.CLARABEL)
    step = ExactStep(copies, LARGEST)
    _, agreed = step.step(step.init(), demand=homes, limit_kw=limit_kw, offset_kw=fixed_kw)
    if agreed.saturated.any():  # no price can take as much
        return
    expected = copies.coupling.T @ constraints[0].dual_value
    np.testing.assert_allclose(agreed.local_price, expected, atol=1e-4)  # what the solver leaves
    curve = CurveStep(
        communication(copies, "complete"),
        price_grid(LARGEST, n_prices=64),
        sweeps=3,
        rounds=1,
        mixing=FreshMixing(),
        quiet=False,
    )
    _, told = curve.step(curve.init(), demand=homes, limit_kw=limit_kw, offset_kw=fixed_kw)
    np.testing.assert_allclose(told.local_price, expected, rtol=0.01, atol=0.01)  # twice the smallest price


def test_sets_that_overlap_without_nesting_are_no_caps() -> None:
    coupling = csr_array(np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]))
    assert Copies.of(coupling, np.array([0, 1, 1])).caps.tolist() == [False, False, True]
    nested = csr_array(np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]))
    assert Copies.of(nested, np.array([0, 1])).caps.all()
    # an inner limit that were asked before the outer one
    assert not Copies.of(nested, np.array([1, 0])).caps.any()
    assert not Copies.of(csr_array(np.array([[0.5, 1.0]]))).caps.any()


@dataclass(frozen=True)
class Roofs(Answers):
    """All turn down at what energy is worth, within a third of a per cent of it."""

    p_kw: np.ndarray

    def power(self, mu: np.ndarray) -> np.ndarray:
        return -self.p_kw[:, None] * expit((mu + 0.3) / 0.001)


@pytest.mark.parametrize("n", [80, 400])
def test_a_cliff_in_the_answer_is_found_from_the_second_step_on(n: int) -> None:
    """Between the wider points of the refinement nobody knows where it is; far copies speak of other ones."""
    copies = Copies.of(csr_array(-np.ones((1, n))))
    step = CurveStep(communication(copies, "random_regular"), price_grid(4.0, smallest=0.002), sweeps=2)
    rng = np.random.default_rng(0)
    size, state = rng.uniform(2.0, 8.0, n), step.init()
    for k in range(14):
        roofs = Roofs(size * (1.0 + 0.05 * k) * rng.uniform(0.8, 1.2, n))
        limit_kw = np.array([0.5 * roofs.p_kw.sum()])
        state, agreed = step.step(state, demand=roofs, limit_kw=limit_kw, offset_kw=np.zeros(1))
        if k > 1:
            assert abs(agreed.residual_kw[0]) < 0.02 * limit_kw[0]


@pytest.mark.parametrize("n", [60, 1500])
def test_a_limit_that_wakes_is_held_at_once(n: int) -> None:
    homes = some(PER_LINE * LINES, np.random.default_rng(1))
    rows = np.arange(n) % (PER_LINE * LINES)
    many = Affine(homes.top[rows], homes.fall[rows])
    copies = Copies.of(csr_array(np.ones((1, n))))
    graph = communication(copies, "random_regular")
    mixing = TrackedMixing(cold_start_rounds(graph, accelerated=True))
    step = CurveStep(graph, price_grid(4.0), sweeps=2, mixing=mixing, accelerated=True)
    state, free = step.init(), many.power_kw(np.zeros(n)).sum()
    for share, quiet in ((2.0, True), (2.0, True), (0.7, False), (0.7, False)):
        state, agreed = step.step(
            state, demand=many, limit_kw=np.array([share * free]), offset_kw=np.zeros(1)
        )
        assert (agreed.messages[0] < 1.5 * graph.messages_per_round[0] * agreed.rounds[0]) or quiet
        assert agreed.residual_kw[0] < 0.01 * share * free
        if not quiet:
            assert agreed.residual_kw[0] > -0.02 * free
            assert np.ptp(agreed.price) < 0.1 * agreed.price.mean()


@pytest.mark.parametrize("shares", [(0.7, 2.0), (0.7, 0.4), (0.95, 0.6), (0.7, 1.3, 0.7)], ids=str)
def test_news_of_one_meter_reach_all_copies_at_once(shares: tuple[float, ...]) -> None:
    """A limit of 1,500 homes that jumps while it has a price: its meter alone knows."""
    n, rows = 1500, np.arange(1500) % (PER_LINE * LINES)
    homes = some(PER_LINE * LINES, np.random.default_rng(1))
    many = Affine(homes.top[rows], homes.fall[rows])
    graph = communication(Copies.of(csr_array(np.ones((1, n)))), "random_regular")
    mixing = TrackedMixing(cold_start_rounds(graph, accelerated=True))
    step = CurveStep(graph, price_grid(4.0), sweeps=2, mixing=mixing, accelerated=True)
    state, free = step.init(), many.power_kw(np.zeros(n)).sum()
    for share in (shares[0], *shares):
        state, agreed = step.step(
            state, demand=many, limit_kw=np.array([share * free]), offset_kw=np.zeros(1)
        )
        assert abs(agreed.residual_kw[0] + max(share - 1.0, 0.0) * free) < 1e-3 * free
        assert np.ptp(agreed.price) <= 0.01 * agreed.price.mean()


def test_a_limit_that_has_slept_has_the_rounds_of_a_cold_start() -> None:
    """What it remembers is of another day."""
    n = 60
    homes = some(PER_LINE * LINES, np.random.default_rng(1))
    graph = communication(Copies.of(csr_array(np.ones((1, n)))), "random_regular")
    mixing = TrackedMixing(cold_start_rounds(graph, accelerated=True))
    step = CurveStep(graph, price_grid(4.0), sweeps=2, mixing=mixing, accelerated=True)
    state, spread = step.init(), []
    for size, share in ((1.0, 0.7), (1.0, 0.7), (0.3, 2.0), (1.5, 0.6)):
        some_of = Affine(size * homes.top[:n], size * homes.fall[:n])
        limit_kw = np.array([share * some_of.power_kw(np.zeros(n)).sum()])
        state, agreed = step.step(state, demand=some_of, limit_kw=limit_kw, offset_kw=np.zeros(1))
        spread.append(np.ptp(agreed.price) / max(agreed.price.mean(), 1e-9))
    assert spread[2] == 0.0  # nothing to pay
    assert spread[3] < spread[0]


def test_a_price_of_the_other_sense_does_not_surprise_who_sleeps() -> None:
    """Homes 0 and 1 must take what they feed in; behind the line of home 0 there is little room for that."""
    copies = Copies.of(csr_array(np.array([[-1.0, -1.0], [1.0, 0.0]])), np.array([0, 1]))
    takers = Affine(top=np.array([0.0, 0.0]), fall=np.array([4.0, 4.0]))
    step = CurveStep(communication(copies, "complete"), price_grid(4.0), sweeps=3)
    fixed = np.array([10.0, -10.0])
    state = step.init()
    for _ in range(2):
        state, agreed = step.step(state, demand=takers, limit_kw=np.array([4.0, -8.0]), offset_kw=fixed)
        np.testing.assert_allclose(agreed.residual_kw, 0.0, atol=0.05)
    np.testing.assert_allclose(agreed.local_price, [-0.5, -1.0], atol=0.01)


@pytest.mark.parametrize("sense", [1.0, -1.0])
@pytest.mark.parametrize("level", [[0, 0], [0, 1], [1, 0]])
def test_a_limit_that_nobody_is_behind_says_nothing(sense: float, level: list[int]) -> None:
    """However far above it its element is, as by a factory behind a transformer."""
    homes = Affine(np.full(6, 3.0), np.full(6, 0.5))
    coupling = np.zeros((2, 6))
    coupling[0] = sense
    copies = Copies.of(csr_array(coupling), np.array(level))
    step = CurveStep(communication(copies, "ring"), price_grid(4.0), sweeps=2)
    for quiet in (True, False):
        _, agreed = replace(step, quiet=quiet).step(
            step.init(), demand=homes, limit_kw=np.array([1e3, -5.0]), offset_kw=np.zeros(2)
        )
        assert not agreed.price.any()
        assert agreed.messages[1] == 0


@pytest.mark.parametrize("kind", ["outage", "never quiet"])
def test_a_cold_start_is_once_where_nobody_is_asked_whether_it_is_slack(kind: str) -> None:
    homes = some_homes(60)
    copies = Copies.of(csr_array(np.ones((1, 60))))
    step = CurveStep(
        communication(copies, "random_regular"), price_grid(4.0), sweeps=2, mixing=TrackedMixing(40)
    )
    step = replace(step, outage=LinkOutage(0.1)) if kind == "outage" else replace(step, quiet=False)
    limit_kw, state, rounds = np.array([0.6 * homes.power_kw(np.zeros(60)).sum()]), step.init(), []
    for k in range(4):
        state, agreed = step.step(
            state, demand=homes, limit_kw=limit_kw, offset_kw=np.zeros(1), rng=np.random.default_rng(k)
        )
        rounds.append(int(agreed.rounds[0]))
    assert rounds[0] > 80
    assert max(rounds[1:]) < 30
