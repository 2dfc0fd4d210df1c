from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from grid_cosim.policies.checkpoint import PolicyError
from grid_cosim.policies.prices import (
    RecordedPrices,
    load_recorded_prices,
    sample_negative_prices,
    sample_prices,
    sample_tariffs,
)

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


def test_a_recorded_path_comes_with_the_day_before_it() -> None:
    # the price is the number of the step; the run began at noon, the episode begins at six in the evening
    price = torch.arange(1.0, 385.0)[:, None] / 384.0
    recorded = RecordedPrices(price, start_hour=12.0, dt_h=0.25)
    drawn = recorded.sample(
        400,
        n_steps=192,
        dt_h=0.25,
        start_hour=18.0,
        price_max_eur_per_kwh=1e9,
        generator=torch.Generator().manual_seed(0),
    )
    assert drawn.shape == (96 + 192, 400)
    unknown = drawn.isnan().sum(0)
    # first day of the record: 96 - 24 steps lie before it, give or take an hour; later days: none
    first_day = unknown > 0
    assert 0.3 < first_day.float().mean() < 0.7
    assert set(unknown[first_day].tolist()) <= set(range(68, 77))
    slack = (drawn.nan_to_num() == 0.0).all(0)
    assert 0.2 < slack.float().mean() < 0.4  # three in ten: the standard error is 2.3 %
    assert (drawn[-1] > 0.0).equal(~slack)


def test_recorded_prices_are_read_from_their_file(tmp_path: Path) -> None:
    price = torch.rand(96, 3)
    path = tmp_path / "prices.safetensors"
    save_file({"price": price}, path, metadata={"start_hour": "12.0", "dt_h": "0.25"})
    loaded = load_recorded_prices(path)
    assert (loaded.start_hour, loaded.dt_h) == (12.0, 0.25)
    torch.testing.assert_close(loaded.price, price)
    with pytest.raises(PolicyError) as refusal:
        loaded.sample(
            2,
            n_steps=4,
            dt_h=0.5,
            start_hour=18.0,
            price_max_eur_per_kwh=2.0,
            generator=torch.Generator(),
        )
    assert str(refusal.value) == (
        f"policy {path}: recorded every 0.25 h, the recipe steps every 0.5 h. "
        "Set dt_h = 0.25 in the recipe, or leave recorded_prices out."
    )
    with pytest.raises(PolicyError, match=r"no such file.*record_prices"):
        load_recorded_prices(tmp_path / "missing.safetensors")
    save_file({"weights": price}, path)
    with pytest.raises(PolicyError, match="holds no recorded prices"):
        load_recorded_prices(path)


def test_tariffs_are_flat_dear_at_hours_or_hourly() -> None:
    tariff = sample_tariffs(
        2000,
        n_steps=192,
        dt_h=0.25,
        start_hour=0.0,
        energy_price_eur_per_kwh=0.3,
        generator=torch.Generator().manual_seed(0),
    )
    assert tariff.min() > 0.0
    distinct = torch.tensor([len(column.unique()) for column in tariff.T])
    assert 0.55 < (distinct == 1).float().mean() < 0.65
    assert 0.2 < (distinct == 2).float().mean() < 0.3
    hourly = distinct > 20
    assert 0.1 < hourly.float().mean() < 0.2
    within_hours = tariff[:, hourly].reshape(48, 4, -1)
    torch.testing.assert_close(within_hours[:, :1].expand_as(within_hours), within_hours)


def test_negative_prices_come_about_noon() -> None:
    prices = sample_negative_prices(
        2000,
        n_steps=192,
        dt_h=0.25,
        start_hour=-6.0,
        energy_price_eur_per_kwh=0.3,
        generator=torch.Generator().manual_seed(0),
    )
    hour = (-6.0 + 0.25 * torch.arange(192)) % 24.0
    assert (prices <= 0.0).all()
    assert (prices[(hour < 6.5) | (hour >= 19.5)] == 0.0).all()
    noon = prices[(hour >= 12.75) & (hour < 13.0)]
    assert 0.5 < (noon < -0.004).float().mean() < 0.8  # a day is sunny with 0.3 to 1: 0.65 on average
    lowest = prices.amin(0)
    near_tariff = (lowest < -0.2) & (lowest > -0.4)
    assert near_tariff.float().mean() > 0.4
    assert (lowest < -0.5).any()
    days = prices.reshape(2, 96, -1).amin(1) < 0.0
    assert (days[0] != days[1]).any()
