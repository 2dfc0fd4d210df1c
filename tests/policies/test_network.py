from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grid_cosim.policies.network import (
    NetworkConfig,
    PriceMonotoneNetwork,
    Response,
    activation_to_reach,
    kinked,
    opened,
)

SCALE, PRICE_MAX = 0.01, 2.0
PRICES = torch.cat([torch.zeros(1), torch.logspace(-4, 2, 400)]).double()

SIGNED = torch.cat([-PRICES.flip(0)[:-1], PRICES])

weight = st.one_of(st.just(0.0), st.floats(1e-6, 5.0))
answers = st.builds(
    lambda base, weights, reach, below: Response(
        base=torch.tensor([base], dtype=torch.float64),
        weights=torch.tensor([weights], dtype=torch.float64),
        price_scale=SCALE,
        price_max=PRICE_MAX,
        reach=None if reach is None else torch.tensor([[reach[0], sum(reach)]], dtype=torch.float64),
        negative_weights=None if below is None else torch.tensor([below], dtype=torch.float64),
    ),
    base=st.floats(-20.0, 200.0),
    weights=st.lists(weight, min_size=6, max_size=6),
    reach=st.none() | st.tuples(st.floats(-20.0, 2.0), st.floats(0.0, 2.0)),
    below=st.none() | st.lists(weight, min_size=4, max_size=4),
)
thorough = settings(deadline=None, max_examples=60)


def open_answer(base: float = 3.0) -> Response:
    weights = torch.tensor([[0.5, 0.1, 2.0, 0.0, 1.0, 0.3]], dtype=torch.float64)
    return Response(torch.tensor([base], dtype=torch.float64), weights, SCALE, PRICE_MAX)


@given(answer=answers)
@example(answer=Response(torch.tensor([-20.0]), torch.full((1, 6), 5.0), SCALE, PRICE_MAX))
@thorough
def test_power_never_rises_with_the_price(answer: Response) -> None:
    fraction = answer.fraction(SIGNED[None, :])[0]
    assert ((fraction >= 0.0) & (fraction <= 1.0)).all()
    assert (fraction.diff() <= 1e-12).all()  # up to rounding where one ramp meets the next
    assert (answer.fraction_slope(SIGNED[None, :]) <= 0.0).all()


@given(answer=answers)
@thorough
def test_at_twice_the_largest_price_of_the_training_nothing_is_drawn(answer: Response) -> None:
    assert answer.fraction(torch.tensor([2.0 * PRICE_MAX], dtype=torch.float64)).item() == 0.0


@given(answer=answers)
@thorough
def test_at_twice_the_lowest_price_of_the_training_all_is_drawn(answer: Response) -> None:
    ends = torch.tensor([0.0, -2.0], dtype=torch.float64)
    fraction = answer.fraction(ends[None, :])[0]
    if answer.negative_weights is None:  # the answer below zero is that at zero, exactly
        below = -torch.logspace(-4, 2, 50).double()
        at_zero = answer.fraction(torch.zeros_like(below)[None, :])
        assert torch.equal(answer.fraction(below[None, :]), at_zero)
        assert (answer.fraction_slope(below[None, :]) == 0.0).all()
    else:
        assert fraction[1] == 1.0


def test_ramps_below_zero_leave_the_answer_above_it_as_it_was() -> None:
    answer = open_answer()
    both = answer._replace(negative_weights=torch.full((1, 5), 0.4, dtype=torch.float64))
    for ask in ("fraction", "fraction_slope", "level"):
        assert torch.equal(getattr(both, ask)(PRICES[None, :]), getattr(answer, ask)(PRICES[None, :]))


def test_the_slope_below_zero_is_the_finite_difference() -> None:
    weights = torch.tensor([[0.2, 0.6, 0.0, 0.4]], dtype=torch.float64)
    answer = open_answer(0.5)._replace(negative_weights=weights, price_min=-1.0)
    width = math.asinh(1.0 / SCALE) / 4
    kinks = -torch.tensor([SCALE * math.sinh(k * width) for k in range(5)], dtype=torch.float64)
    dense = -torch.logspace(-4, 0.3, 3000).double()
    step = 1e-7 * (dense.abs() + SCALE)
    price = dense[((dense[:, None] - kinks).abs() > 10.0 * step[:, None]).all(1)]
    step = 1e-7 * (price.abs() + SCALE)
    ahead, behind = answer.fraction((price + step)[None, :])[0], answer.fraction((price - step)[None, :])[0]
    inside = (behind < 1.0) & (ahead > 0.0)
    assert (price[inside] < -1.05).any(), "the ascent beyond the training's prices is among them"
    assert (behind == 1.0).any()
    slope = answer.fraction_slope(price[None, :])[0]
    # central differences of a function of order one: rounding 1e-16 over a step of 1e-9 at least
    torch.testing.assert_close(slope[inside], ((ahead - behind) / (2.0 * step))[inside], rtol=1e-5, atol=1e-6)


def test_power_is_the_share_of_the_range() -> None:
    answer, price = open_answer(), torch.tensor([[0.0, 0.1, 3.9]], dtype=torch.float64)
    low, high = torch.tensor([-2.0], dtype=torch.float64), torch.tensor([3.0], dtype=torch.float64)
    torch.testing.assert_close(answer.power_kw(price, low, high), -2.0 + 5.0 * answer.fraction(price))
    torch.testing.assert_close(
        answer.power_kw(price[:, 1], low, high), -2.0 + 5.0 * answer.fraction(price[:, 1])
    )


def test_that_price_is_the_largest_that_scenarios_ask_by_default() -> None:
    from grid_cosim.policies.recipe import Recipe
    from grid_cosim.scenario import Coordination

    assert Coordination().largest_price_eur_per_kwh >= 2.0 * Recipe("deferrable").price_max_eur_per_kwh


LEVELS = torch.tensor([[-1.3, 1.4]], dtype=torch.float64)


@pytest.mark.parametrize(
    "answer",
    [
        *(open_answer(base) for base in (3.0, 9.0, 40.0)),
        open_answer(1.5)._replace(reach=LEVELS),
        open_answer(0.4)._replace(reach=LEVELS + 1.0),
    ],
)
def test_the_slope_is_the_finite_difference(answer: Response) -> None:
    width = math.asinh(PRICE_MAX / SCALE) / 6
    kinks = torch.tensor([SCALE * math.sinh(k * width) for k in range(7)], dtype=torch.float64)
    dense = torch.logspace(-4, 1, 6000).double()
    if answer.reach is not None:  # the ends of the flat piece are kinks too
        level = answer.level(dense[None, :])[0]
        kinks = torch.cat([kinks, *(dense[(level - end).abs() < 2e-3] for end in (0.0, -0.05))])
    step = 1e-7 * (dense + SCALE)
    price = dense[((dense[:, None] - kinks).abs() > 10.0 * step[:, None]).all(1)]
    step = 1e-7 * (price + SCALE)
    fraction = answer.fraction(price[None, :])[0]
    ahead, behind = answer.fraction((price + step)[None, :])[0], answer.fraction((price - step)[None, :])[0]
    both_open = (ahead > 0.0) & (behind < 1.0) & ((ahead < 1.0) == (behind < 1.0)) & (fraction < 1.0)
    slope = answer.fraction_slope(price[None, :])[0]
    assert both_open.sum() > 20
    # central differences of a function of order one: rounding 1e-16 over a step of 1e-9 at least
    torch.testing.assert_close(
        slope[both_open], ((ahead - behind) / (2.0 * step))[both_open], rtol=1e-5, atol=1e-6
    )
    closed = (fraction == 0.0) | (fraction == 1.0)
    assert closed.any()
    assert (slope[closed] == 0.0).all()


def test_asking_many_prices_at_once_is_asking_one_by_one() -> None:
    torch.manual_seed(0)
    network = PriceMonotoneNetwork(NetworkConfig(n_features=3))
    answer = network(torch.randn(4, 3))
    prices = torch.rand(4, 7) * 5.0
    for ask in (answer.fraction, answer.fraction_slope):
        together = ask(prices)
        assert together.shape == (4, 7)
        for column in range(7):
            assert torch.equal(ask(prices[:, column]), together[:, column])


def test_an_untrained_network_draws_most_at_price_zero_and_little_at_the_largest() -> None:
    torch.manual_seed(0)
    answer = PriceMonotoneNetwork(NetworkConfig(n_features=3))(torch.randn(50, 3))
    assert (answer.fraction(torch.zeros(50)) > 0.7).all()
    assert (answer.fraction(torch.full((50,), PRICE_MAX)) < 0.01).all()


def test_both_ends_of_the_range_are_reached_exactly_and_can_be_left_again() -> None:
    for base, end in ((4.7, 1.0), (-4.7, 0.0)):
        assert open_answer(base).fraction(torch.zeros(1).double()).item() == end
    base = torch.tensor([4.5], dtype=torch.float64, requires_grad=True)
    answer = open_answer()._replace(base=base)
    answer.fraction(torch.zeros(1).double()).sum().backward()
    assert base.grad is not None
    assert base.grad.item() > 0.0


def test_a_level_within_reach_is_reached() -> None:
    reach = torch.tensor([[-0.4, 0.2], [-0.1, 0.1], [0.3, 0.5]], dtype=torch.float64)
    for level in (-0.2, 0.05, 0.35):
        share = opened(activation_to_reach(torch.full((3,), level, dtype=torch.float64), reach))
        wanted = ((level - reach[:, 0]) / (reach[:, 1] - reach[:, 0])).clamp(0.0, 1.0)
        assert (share - wanted).abs().max() < 0.08  # the sigmoid rounds the corners


def test_a_level_is_answered_wherever_the_store_stands() -> None:
    torch.manual_seed(0)
    network = PriceMonotoneNetwork(NetworkConfig(n_features=7, levels=True))
    seen = torch.randn(1, 5).expand(9, 5)
    store = torch.linspace(-3.0, 3.0, 9)[:, None]
    answer = network(torch.cat([store, store + 0.5, seen], dim=1))
    price = torch.full((9, 1), 0.02)
    assert torch.equal(answer.level(price), answer.level(price)[:1].expand(9, 1))
    fraction = answer.fraction(price)[:, 0]
    assert (fraction.diff() <= 0.0).all()  # the fuller, the less is drawn
    assert fraction[0] == 1.0
    assert fraction[-1] == 0.0


def test_the_level_that_is_wanted_is_that_of_many_numbers() -> None:
    numbers = torch.tensor([-1.5, -0.5, -0.25, 0.0, 1.0])
    torch.testing.assert_close(kinked(numbers), torch.tensor([-1.05, -0.05, -0.025, 0.0, 1.0]))
