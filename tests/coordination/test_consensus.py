from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from grid_cosim.coordination import Copies, FreshMixing, LinkOutage, Mixing, TrackedMixing, communication
from grid_cosim.coordination.consensus import Exchange
from grid_cosim.coordination.graph import Links
from tests.coordination.demand import one_limit


def values_of(seed: int, n: int, features: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 5.0, (n, features))


@pytest.mark.parametrize("mixing", [FreshMixing(), TrackedMixing(startup_rounds=0)], ids=["fresh", "tracked"])
@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["ring", "random_regular", "small_world", "complete"]),
    seed=st.integers(0, 1000),
    rounds=st.integers(0, 12),
    down=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_mixing_keeps_the_mean_of_todays_values(
    mixing: Mixing, kind: str, seed: int, rounds: int, down: float
) -> None:
    links = communication(one_limit(14), kind, seed=seed).links  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    memory = mixing.init(links)
    for t in range(4):
        values = values_of(seed + t, 15)
        memory, mixed = mixing.step(memory, values, Exchange.open(links, rounds, LinkOutage(down), rng))
        # rtol: sums of 15 values of size 5 over at most 48 rounds
        np.testing.assert_allclose(mixed.mean(axis=0), values.mean(axis=0), rtol=1e-10, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), down=st.sampled_from([0.0, 0.4]))
def test_rounds_stay_within_the_hull_and_come_closer(seed: int, down: float) -> None:
    links = communication(one_limit(20), "random_regular", seed=seed).links
    values = values_of(seed, 21)
    exchange = Exchange.open(links, 5, LinkOutage(down), np.random.default_rng(seed))
    mixed = exchange.mix(values)
    assert (mixed.max(axis=0) <= values.max(axis=0) + 1e-12).all()
    assert (mixed.min(axis=0) >= values.min(axis=0) - 1e-12).all()
    assert (np.ptp(mixed, axis=0) < np.ptp(values, axis=0)).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), down=st.sampled_from([0.0, 0.4]), accelerated=st.booleans())
def test_what_is_shared_keeps_its_sum_among_those_who_speak_of_it(
    seed: int, down: float, accelerated: bool
) -> None:
    links, rng = communication(one_limit(20), "random_regular", seed=seed).links, np.random.default_rng(seed)
    values, about = values_of(seed, 21), rng.integers(0, 2, (21, 3))
    exchange = Exchange.open(links, 5, LinkOutage(down), rng, accelerated=accelerated)
    mixed = exchange.mix_shared(values, about)
    for column, topic in np.ndindex(3, 2):
        told, left = (each[about[:, column] == topic, column] for each in (values, mixed))
        np.testing.assert_allclose(left.sum(), told.sum(), rtol=1e-10, atol=1e-10)
        assert left.std() <= told.std() + 1e-12
    everywhere = exchange.mix_shared(values, np.zeros((21, 3), dtype=int))
    np.testing.assert_allclose(everywhere, exchange.mix(values), rtol=1e-12)


@pytest.mark.parametrize("up", [None, np.ones((3, 42), dtype=bool)])
def test_votes_bring_round_who_is_far_off(up: np.ndarray | None) -> None:
    links = communication(one_limit(20), "random_regular").links
    choice = np.full(21, 12)
    choice[[3, 20]] = 0, 31
    assert (Exchange(links, 3, up).median(choice) == 12).all()
    assert (Exchange(links, 0).median(choice) == choice).all()
    nobody = np.zeros((3, len(links.ends)), dtype=bool)
    assert (Exchange(links, 3, nobody).median(choice) == choice).all()
    pair = Links.metropolis(2, np.array([[0, 1]]))
    assert Exchange(pair, 1).median(np.array([5, 3])).tolist() == [3, 3]


def test_rounds_are_powers_of_the_mixing_matrix() -> None:
    links = communication(one_limit(12), "small_world").links
    values = values_of(0, 13)
    expected = np.linalg.matrix_power(links.mixing.toarray(), 7) @ values
    np.testing.assert_allclose(Exchange(links, 7).mix(values), expected, rtol=1e-10)


def test_links_that_all_work_are_as_no_outage() -> None:
    links = communication(one_limit(12), "random_regular").links
    values = values_of(1, 13)
    all_up = Exchange(links, 6, np.ones((6, len(links.ends)), dtype=bool))
    np.testing.assert_allclose(all_up.mix(values), Exchange(links, 6).mix(values), rtol=1e-10)


def test_error_shrinks_with_the_mixing_rate() -> None:
    graph = communication(one_limit(50), "random_regular", seed=3)
    values = values_of(2, 51, 1)
    spread = np.linalg.norm(values - values.mean())
    for rounds in (1, 5, 20):
        mixed = Exchange(graph.links, rounds).mix(values)
        assert np.linalg.norm(mixed - mixed.mean()) <= spread * graph.mixing_rate[0] ** rounds + 1e-12


def test_news_travels_one_link_per_round() -> None:
    homes = [f"h{i}" for i in range(6)]
    line = [*pairwise(homes), (homes[-1], "meter")]
    links = communication(one_limit(6), "edges", edges=line, names=homes).links
    values = np.zeros((7, 1))
    values[0] = 1.0
    for rounds in range(7):
        reached = Exchange(links, rounds).mix(values)[:, 0] > 0.0
        np.testing.assert_array_equal(reached, np.arange(7) <= rounds)


def test_nothing_crosses_a_link_that_is_down() -> None:
    homes = ["a", "b", "c"]
    links = communication(
        one_limit(3), "edges", edges=[("a", "b"), ("b", "c"), ("c", "meter")], names=homes
    ).links
    up = np.ones((50, 3), dtype=bool)
    up[:, np.flatnonzero((np.sort(links.ends, axis=1) == [1, 2]).all(axis=1))] = False
    mixed = Exchange(links, 50, up).mix(np.array([[4.0], [0.0], [0.0], [2.0]]))
    # 50 rounds between two neighbours with weights of at least 1/3: 3**-50 is left
    np.testing.assert_allclose(mixed[:, 0], [2.0, 2.0, 1.0, 1.0], rtol=1e-10)


def test_tracked_mixing_closes_in_on_values_that_rest_and_fresh_does_not() -> None:
    links = communication(one_limit(40), "random_regular").links
    values = values_of(5, 41, 1)
    errors = {}
    for mixing in (FreshMixing(), TrackedMixing(startup_rounds=0)):
        memory = mixing.init(links)
        for _ in range(40):
            memory, mixed = mixing.step(memory, values, Exchange(links, 3))
        errors[type(mixing)] = np.abs(mixed - values.mean()).max()
    assert errors[TrackedMixing] < 1e-3 * errors[FreshMixing]


def test_tracked_error_of_drifting_values_is_bounded_by_the_drift() -> None:
    graph = communication(one_limit(40), "random_regular", seed=2)
    rng = np.random.default_rng(0)
    values, mixing, rounds = values_of(6, 41, 1), TrackedMixing(startup_rounds=300), 5
    memory = mixing.init(graph.links)
    shrink = graph.mixing_rate[0] ** rounds
    largest_drift = 0.0
    for _ in range(60):
        k = mixing.rounds(memory, rounds)
        memory, mixed = mixing.step(memory, values, Exchange(graph.links, k))
        # Zhu & Martínez 2010: the geometric sum of what the drift adds; 1e-6 is left of the start
        bound = largest_drift * shrink / (1.0 - shrink) + 1e-6
        assert np.linalg.norm(mixed - values.mean()) <= bound
        drift = rng.normal(0.0, 0.1, values.shape)
        values = values + drift
        largest_drift = max(largest_drift, float(np.linalg.norm(drift - drift.mean())))


def test_only_the_first_exchange_of_tracked_mixing_is_longer() -> None:
    links = communication(one_limit(5), "ring").links
    mixing = TrackedMixing(startup_rounds=80)
    memory = mixing.init(links)
    assert mixing.rounds(memory, 10) == 80
    memory, _ = mixing.step(memory, values_of(0, 6), Exchange(links, 80))
    assert mixing.rounds(memory, 10) == 10
    assert FreshMixing().rounds(FreshMixing().init(links), 10) == 10


def test_outages_repeat_with_their_seed_and_need_a_generator() -> None:
    links = communication(one_limit(9), "ring").links
    first, second = (Exchange.open(links, 4, LinkOutage(0.5), np.random.default_rng(7)) for _ in range(2))
    assert first.up is not None
    np.testing.assert_array_equal(first.up, second.up)
    with pytest.raises(ValueError, match="expected a generator"):
        Exchange.open(links, 4, LinkOutage(0.5))
    with pytest.raises(ValueError, match="probability"):
        LinkOutage(1.0)


def test_links_are_down_as_often_as_said() -> None:
    links = communication(one_limit(99), "ring").links
    exchange = Exchange.open(links, 200, LinkOutage(0.3), np.random.default_rng(0))
    assert exchange.up is not None
    # 20,000 draws: standard error 0.0033
    assert abs(exchange.up.mean() - 0.7) < 0.015


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["ring", "random_regular", "small_world", "complete"]),
    seed=st.integers(0, 1000),
    rounds=st.integers(0, 25),
)
def test_accelerated_rounds_keep_the_mean_and_leave_no_more_than_chebyshev_allows(
    kind: str, seed: int, rounds: int
) -> None:
    links = communication(one_limit(30), kind, seed=seed).links  # type: ignore[arg-type]
    values = values_of(seed, 31)
    mixed = Exchange.open(links, rounds, accelerated=True).mix(values)
    np.testing.assert_allclose(mixed.mean(axis=0), values.mean(axis=0), rtol=1e-9, atol=1e-12)
    low, high = links.interval[0]
    half = max(0.5 * (high - low), 1e-3)
    allowed = 1.0 / np.cosh(rounds * np.arccosh((1.0 - 0.5 * (low + high)) / half))
    before = np.linalg.norm(values - values.mean(axis=0), axis=0)
    after = np.linalg.norm(mixed - values.mean(axis=0), axis=0)
    assert (after <= allowed * before + 1e-9).all()


def test_accelerated_rounds_are_a_polynomial_of_the_mixing_matrix() -> None:
    """Two rounds by hand: T_2((W - c)/e) / T_2((1 - c)/e) with T_2(x) = 2 x² - 1."""
    links = communication(one_limit(12), "small_world").links
    low, high = links.interval[0]
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    shifted = (links.mixing.toarray() - middle * np.eye(13)) / half
    top = (1.0 - middle) / half
    values = values_of(0, 13)
    by_hand = (2.0 * shifted @ shifted - np.eye(13)) @ values / (2.0 * top**2 - 1.0)
    np.testing.assert_allclose(Exchange(links, 2, accelerated=True).mix(values), by_hand, rtol=1e-9)


def test_ten_accelerated_rounds_do_what_twenty_plain_ones_do() -> None:
    links = communication(one_limit(177), "random_regular", seed=1).links
    values = values_of(1, 178)
    left = {
        (rounds, accelerated): np.abs(
            Exchange(links, rounds, accelerated=accelerated).mix(values) - values.mean(axis=0)
        ).max()
        for rounds, accelerated in ((10, True), (20, False))
    }
    assert left[10, True] < left[20, False]


def test_each_group_gets_its_own_weights() -> None:
    """A well connected limit is not slowed down by a badly connected one beside it."""
    copies = Copies.of(csr_array(np.kron(np.eye(2), np.ones((1, 20)))))
    rings = communication(copies, "ring").links
    complete = communication(copies, "complete").links
    here = np.arange(21)
    ends = np.concatenate([rings.among(here).ends, complete.among(here).ends + 21])
    both = Links.metropolis(42, ends)
    values = values_of(3, 42)
    mixed = Exchange(both, 3, accelerated=True).mix(values)
    # one group is complete: a single round gives its mean
    np.testing.assert_allclose(mixed[21:], np.tile(values[21:].mean(axis=0), (21, 1)), rtol=1e-6)


def test_news_travels_one_link_per_accelerated_round() -> None:
    links = communication(one_limit(19), "ring").links
    values = np.zeros((20, 1))
    values[0] = 1.0
    reached = [
        int((Exchange(links, rounds, accelerated=True).mix(values)[:, 0] != 0.0).sum()) for rounds in range(4)
    ]
    assert reached == [1, 3, 5, 7]


def test_links_that_fail_make_all_rounds_plain() -> None:
    links = communication(one_limit(12), "random_regular").links
    exchange = Exchange.open(links, 6, LinkOutage(0.3), np.random.default_rng(0), accelerated=True)
    plain = Exchange.open(links, 6, LinkOutage(0.3), np.random.default_rng(0))
    np.testing.assert_array_equal(exchange.mix(values_of(0, 13)), plain.mix(values_of(0, 13)))


@pytest.mark.parametrize("accelerated", [True, False])
def test_columns_are_mixed_some_at_a_time_where_they_are_too_many_for_the_cache(
    accelerated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = communication(one_limit(12), "random_regular").links
    values, exchange = values_of(4, 13, 40), Exchange(links, 6, accelerated=accelerated)
    at_once = exchange.mix(values)
    monkeypatch.setattr("grid_cosim.coordination.consensus._IN_CACHE", 13 * 17)
    np.testing.assert_array_equal(exchange.mix(values), at_once)
