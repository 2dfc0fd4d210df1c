"""The answer of stores that give back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_cosim.policies.network import NetworkConfig, PriceMonotoneNetwork, Response
from grid_cosim.policies.two_way import Targets, Terms, TwoWayResponse, level_at

SCALE, PRICE_MAX, PRICE_MIN = 0.01, 2.0, -1.0
PRICES = torch.cat([-torch.logspace(1, -4, 300), torch.zeros(1), torch.logspace(-4, 1, 300)]).double()[
    None, :
]


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def answer(
    *,
    base: float = 0.5,
    up: list[float] | None = None,
    down: list[float] | None = None,
    efficiency: float = 0.9,
    wear: float = 0.03,
    floor: float = 0.3,
    idle: float = 0.0,
    reach: tuple[float, float] = (0.5, 0.4),
) -> TwoWayResponse:
    curve = Response(
        base=column(base),
        weights=column(*(up or [0.6, 0.2, 0.8, 0.5]))[None, :],
        price_scale=SCALE,
        price_max=PRICE_MAX,
        negative_weights=column(*(down or [0.3, 0.1, 0.9]))[None, :],
        price_min=PRICE_MIN,
    )
    terms = Terms(column(efficiency), column(efficiency), column(wear), column(wear), column(floor))
    return TwoWayResponse(curve, terms, column(idle - reach[0], idle, idle + reach[1])[None, :])


answers = st.builds(
    answer,
    base=st.floats(-3.0, 3.0),
    up=st.lists(st.floats(0.0, 3.0), min_size=4, max_size=4),
    down=st.lists(st.floats(0.0, 3.0), min_size=3, max_size=3),
    efficiency=st.floats(0.8, 0.99),
    wear=st.floats(0.001, 0.1),
    floor=st.floats(0.05, 0.6),
    idle=st.floats(-2.0, 2.0),
    reach=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
)
thorough = settings(deadline=None, max_examples=80)
LOW, HIGH = column(-4.0), column(5.0)


@given(answer=answers)
@thorough
def test_power_never_rises_with_the_price_and_keeps_its_bounds(answer: TwoWayResponse) -> None:
    p_kw = answer.power_kw(PRICES, LOW, HIGH)[0]
    assert ((p_kw >= LOW) & (p_kw <= HIGH)).all()
    # a level is a number of order one, its rounding over the shortest reach 1e-13
    assert (p_kw.diff() <= 1e-11).all()
    assert (answer.fraction_slope(PRICES) <= 0.0).all()


@given(answer=answers)
@thorough
def test_far_beyond_the_prices_of_the_training_a_store_gives_or_takes_all_it_can(
    answer: TwoWayResponse,
) -> None:
    ends = column(2.0 * PRICE_MAX, 2.0 * PRICE_MIN - 0.4)[None, :]
    least, idle, most = answer.reach[0].tolist()
    # within a reach that is too short to matter the share of it may stay below one
    if idle - least > 1e-3 and most - idle > 1e-3:
        assert answer.power_kw(ends, LOW, HIGH)[0].tolist() == [-4.0, 5.0]


@given(answer=answers)
@thorough
def test_it_never_buys_and_sells_at_once(answer: TwoWayResponse) -> None:
    targets = answer.targets(PRICES)
    assert (targets.charge_to <= targets.discharge_to).all()
    up, down = targets.shares(answer.reach)
    assert ((up == 0.0) | (down == 0.0)).all()


def test_it_rests_exactly_where_no_trade_pays_its_losses_and_its_wear() -> None:
    """Both thresholds stand where the ramps' level at the price of a stored kWh is the level at hand."""
    store = answer()
    p_kw = store.power_kw(PRICES, LOW, HIGH)[0]
    resting = p_kw == 0.0
    assert resting.sum() > 20
    buying, selling = store.terms.buying(PRICES), store.terms.selling(PRICES)
    torch.testing.assert_close(buying[0], (0.3 + PRICES[0] + 0.03) / 0.9 - 0.3)
    torch.testing.assert_close(selling[0], (0.3 + PRICES[0] - 0.03) * 0.9 - 0.3)
    level_to_buy, level_to_sell = level_at(store.curve, buying)[0][0], level_at(store.curve, selling)[0][0]
    assert torch.equal(resting, (level_to_buy <= 0.0) & (level_to_sell >= 0.0))
    no_loss = answer(efficiency=1.0, wear=0.0)
    assert (no_loss.power_kw(PRICES, LOW, HIGH)[0] == 0.0).sum() <= 1


def test_the_slope_is_the_finite_difference() -> None:
    # a reach whose ends need 4 kW and 5 kW: 4 / 0.9 and 5 * 0.9 in the store
    store = answer(reach=(4.0 / 0.9 / 10.0, 5.0 * 0.9 / 10.0))
    price = torch.linspace(-0.4, 0.4, 4001).double()[None, :]
    ahead, behind = store.fraction(price + 1e-8), store.fraction(price - 1e-8)
    middle = store.fraction(price)
    smooth = ((ahead - middle) - (middle - behind)).abs() < 1e-12  # not at a kink
    assert (smooth & (store.fraction_slope(price) < 0.0)).sum() > 100
    torch.testing.assert_close(
        store.fraction_slope(price)[smooth], ((ahead - behind) / 2e-8)[smooth], rtol=1e-4, atol=1e-6
    )
    power = store.power_kw(price, LOW, HIGH)
    torch.testing.assert_close(LOW + (HIGH - LOW) * middle, power, rtol=1e-9, atol=1e-9)


def test_a_target_within_reach_is_met() -> None:
    reach = column(-0.4, 0.0, 0.5)[None, :]
    for charge_to, discharge_to, up, down in (
        (0.25, 1.0, 0.5, 0.0),
        (-1.0, -0.1, 0.0, 0.25),
        (-0.1, 0.1, 0.0, 0.0),
        (2.0, 3.0, 1.0, 0.0),
    ):
        shares = Targets(column(charge_to), column(discharge_to)).shares(reach)
        assert [share.item() for share in shares] == [pytest.approx(up), pytest.approx(down)]


def test_a_training_finds_out_of_resting() -> None:
    reach, rests = column(-0.5, 0.0, 0.5)[None, :], column(-0.1).requires_grad_()
    up, _ = Targets(rests, column(0.4)).shares(reach)
    (gradient,) = torch.autograd.grad(up.sum(), rests)
    assert gradient.item() > 0.1


def test_levels_are_told_apart_from_what_the_perceptron_sees() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(n_features=20, levels=True, two_way=True, n_negative_ramps=4)
    assert config.n_seen == 17
    network = PriceMonotoneNetwork(config)
    seen = torch.randn(1, 17).expand(7, 17).clone()
    seen[:, :2], seen[:, 2:4] = 0.9, 0.3
    store = torch.linspace(-6.0, 6.0, 7)[:, None]
    given = network(torch.cat([store - 0.5, store, store + 0.5, seen], dim=1))
    assert isinstance(given, TwoWayResponse)
    price = torch.zeros(7)
    targets = given.targets(price)
    assert torch.equal(targets.charge_to, targets.charge_to[:1].expand(7))
    p_kw = given.power_kw(price, torch.full((7,), -1.0), torch.full((7,), 1.0))
    assert (p_kw.diff() <= 0.0).all()  # the fuller, the less is drawn
    assert (p_kw[0].item(), p_kw[-1].item()) == (1.0, -1.0)
