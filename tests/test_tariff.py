from __future__ import annotations

import numpy as np
import pytest

from grid_cosim.tariff import flat_tariff, outlook_steps, share_of_steps, tariff_view

DAY_H = 24.0


def seen_one_by_one(price: np.ndarray, step: int, dt_h: float) -> tuple[float, float, float, float]:
    """Floor, premium and the means of 6 and 24 h, of one step, from the definition."""
    day, soon = price[step : step + round(DAY_H / dt_h)], price[step : step + round(6.0 / dt_h)]
    return day.min(), price[step] - day.min(), soon.mean() - day.min(), day.mean() - day.min()


@pytest.mark.parametrize("dt_h", [0.25, 1.0, 24.0 / 7])  # with an even and an odd number of steps a day
def test_what_is_seen_of_a_tariff_is_what_the_definition_says(dt_h: float) -> None:
    n_steps = 40
    price = np.random.default_rng(1).normal(0.3, 0.2, n_steps + outlook_steps(dt_h))
    view = tariff_view(price[:, None], n_steps=n_steps, dt_h=dt_h)
    by_hand = np.array([seen_one_by_one(price, step, dt_h) for step in range(n_steps)])
    # running sums of 1e2 EUR/kWh lose some 1e-14
    np.testing.assert_allclose(np.concatenate(view, axis=1), by_hand, rtol=1e-12, atol=1e-12)


def test_columns_are_tariffs_of_their_own() -> None:
    prices = np.random.default_rng(2).uniform(-0.1, 0.6, (150, 3))
    together = tariff_view(prices, n_steps=54, dt_h=0.25)
    for k in range(3):
        alone = tariff_view(prices[:, k : k + 1], n_steps=54, dt_h=0.25)
        for part, own in zip(together, alone, strict=True):
            np.testing.assert_array_equal(part[:, k : k + 1], own)


def test_the_last_known_price_goes_on() -> None:
    price = np.array([0.2, 0.5, 0.4])[:, None]
    cut = tariff_view(price, n_steps=3, dt_h=1.0)
    whole = tariff_view(np.concatenate([price, np.full((24, 1), 0.4)]), n_steps=3, dt_h=1.0)
    for part, same in zip(cut, whole, strict=True):
        np.testing.assert_array_equal(part, same)


def test_a_flat_tariff_is_all_floor() -> None:
    price = flat_tariff(0.3, n_steps=8, dt_h=0.25)
    assert price.size == 8 + 96
    view = tariff_view(price[:, None], n_steps=8, dt_h=0.25)
    assert (view.floor == 0.3).all()
    assert (view.premium == 0.0).all()
    np.testing.assert_allclose(view.premium_6h, 0.0, atol=1e-12)
    np.testing.assert_allclose(view.premium_24h, 0.0, atol=1e-12)


def test_the_floor_of_negative_prices_is_negative_and_premiums_never_are() -> None:
    price = np.array([0.1, -0.2, 0.0, 0.3] * 12)[:, None]
    view = tariff_view(price, n_steps=24, dt_h=1.0)
    assert (view.floor == -0.2).all()
    assert min(part.min() for part in view[1:]) >= 0.0


@pytest.mark.parametrize(
    ("window", "start_hour", "inside"),
    [
        ((17.0, 21.0), 16.0, [0, 1, 1, 1, 1, 0]),
        ((17.0, 21.0), 18.5, [1, 1, 0.5, 0, 0, 0]),
        ((22.0, 2.0), 21.0, [0, 1, 1, 1, 1, 0]),
        ((22.0, 2.0), 0.0, [1, 1, 0, 0, 0, 0]),
        ((0.0, 24.0), 5.0, [1, 1, 1, 1, 1, 1]),
        ((23.25, 24.0), 22.0, [0, 0.75, 0, 0, 0, 0]),
        ((0.0, 0.5), 23.0, [0, 0.5, 0, 0, 0, 0]),
    ],
)
def test_the_share_of_a_step_within_a_window(
    window: tuple[float, float], start_hour: float, inside: list[float]
) -> None:
    share = share_of_steps(*window, start_hour=start_hour, n_steps=6, dt_h=1.0)
    np.testing.assert_array_equal(share, inside)


def test_a_window_returns_every_day_and_keeps_its_length_at_any_step() -> None:
    for dt_h in (0.25, 0.5, 1.0 / 3.0):
        share = share_of_steps(21.3, 5.8, start_hour=12.0, n_steps=round(72.0 / dt_h), dt_h=dt_h)
        np.testing.assert_allclose(share.reshape(3, -1).sum(axis=1) * dt_h, 8.5, atol=1e-6)  # of rounding
