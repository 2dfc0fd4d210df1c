from __future__ import annotations

import torch

from grid_cosim.policies.prices import sample_prices

N = 4000


def sampled(seed: int = 0, *, n: int = N, start_hour: float = 7.0, dt_h: float = 0.5) -> torch.Tensor:
    return sample_prices(
        n,
        n_steps=round(48 / dt_h),
        dt_h=dt_h,
        start_hour=start_hour,
        price_max_eur_per_kwh=2.0,
        generator=torch.Generator().manual_seed(seed),
    )


def test_prices_lie_between_zero_and_the_largest() -> None:
    prices = sampled()
    assert prices.shape == (96, N)
    assert prices.min() == 0.0
    assert prices.max() == 2.0


def test_a_fifth_is_constant_and_a_tenth_at_least_zero() -> None:
    prices = sampled()
    constant = (prices == prices[0]).all(0)
    zero = (prices == 0.0).all(0)
    # standard errors of 4,000 draws: 0.63 % and 0.47 %; bumps seldom leave a whole process at zero
    assert abs((constant & ~zero).double().mean().item() - 0.2) < 0.025
    assert 0.08 < zero.double().mean().item() < 0.14


def test_prices_are_highest_in_the_evening_and_mostly_near_zero() -> None:
    prices = sampled()
    moving = prices[:, ~(prices == prices[0]).all(0)]
    hour = (7.0 + 0.5 * torch.arange(96)) % 24.0
    evening, night = (hour >= 18.0) & (hour < 21.0), (hour >= 1.0) & (hour < 4.0)
    assert moving[evening].mean() > 2.0 * moving[night].mean()
    assert (moving < 0.01).double().mean() > 0.4


def test_the_seed_decides() -> None:
    assert torch.equal(sampled(1, n=50), sampled(1, n=50))
    assert not torch.equal(sampled(1, n=50), sampled(2, n=50))
