from __future__ import annotations

import pytest
import torch

from grid_cosim.policies.view import (
    VIEW_NAMES,
    PriceMemory,
    memory_steps,
    no_memory,
    remember,
    view,
    view_of_path,
)

DAY = memory_steps(0.25)


def scaled(price: float) -> float:
    return float(torch.asinh(torch.tensor(price / 0.01)) / 3.0)


def remembering(prices: torch.Tensor, dt_h: float) -> PriceMemory:
    """The memory of who has just acted on these prices."""
    memory = no_memory(prices.shape[1], dt_h)
    for price in prices:
        memory = remember(memory, price)
    return memory


def test_a_home_remembers_the_prices_of_one_day() -> None:
    memory = no_memory(2, 0.25)
    for step in range(DAY + 3):
        memory = remember(memory, torch.tensor([float(step), -float(step)]))
    assert DAY == 96
    remembered = torch.stack(memory.sums).diff(dim=0)
    torch.testing.assert_close(remembered[:, 0], torch.arange(3.0, DAY + 3.0, dtype=torch.float64))
    torch.testing.assert_close(remembered[:, 1], -remembered[:, 0])


@pytest.mark.parametrize(
    ("name", "steps_ago"),
    [
        ("price_last_1h", range(1, 5)),
        ("price_last_6h", range(1, 25)),
        ("price_yesterday_next_2h", range(89, 97)),
        ("price_yesterday_next_6h", range(73, 97)),
        ("price_yesterday_next_12h", range(49, 97)),
    ],
)
def test_a_price_is_seen_in_its_windows_only(name: str, steps_ago: range) -> None:
    column = VIEW_NAMES.index(name)
    zero = torch.zeros(1)
    for ago in range(1, DAY + 1):
        prices = torch.zeros(DAY, 1)
        prices[-ago] = 0.2
        memory = remembering(prices, 0.25)
        seen = view(memory, zero, zero, zero, dt_h=0.25)[0, column].item()
        expected = scaled(0.2 / len(steps_ago)) if ago in steps_ago else 0.0
        assert seen == pytest.approx(expected, rel=1e-5)


def test_the_tariff_is_seen_by_all_alike() -> None:
    tariff = [torch.tensor([price]) for price in (0.24, 0.05, 0.02)]
    seen = view(no_memory(3, 0.25), *tariff, dt_h=0.25)
    assert seen.shape == (3, len(VIEW_NAMES))
    expected = torch.tensor([0.8, scaled(0.05), scaled(0.02)]).expand(3, 3)
    torch.testing.assert_close(seen[:, :3], expected)
    assert (seen[:, 3:] == 0.0).all()


def test_a_home_knows_how_much_it_remembers() -> None:
    memory, zero, seen = no_memory(1, 0.25), torch.zeros(1), []
    for _ in range(DAY + 10):
        seen.append(view(memory, zero, zero, zero, dt_h=0.25)[0])
        memory = remember(memory, zero)
    known = torch.stack(seen)[:, VIEW_NAMES.index("remembered")]
    torch.testing.assert_close(known, (torch.arange(DAY + 10.0) / DAY).clamp(max=1.0))
    assert (torch.stack(seen)[:, :-1] == 0.0).all()


def test_windows_are_hours_not_steps() -> None:
    zero = torch.zeros(1)
    hourly = torch.rand(24, 1, generator=torch.Generator().manual_seed(0))
    quarterly = hourly.repeat_interleave(4, dim=0)
    torch.testing.assert_close(
        view(remembering(hourly, 1.0), zero, zero, zero, dt_h=1.0),
        view(remembering(quarterly, 0.25), zero, zero, zero, dt_h=0.25),
    )


@pytest.mark.parametrize("dt_h", [0.25, 0.5, 1.0])
def test_the_view_of_a_path_is_that_of_its_steps(dt_h: float) -> None:
    generator = torch.Generator().manual_seed(0)
    day, n_steps = memory_steps(dt_h), 30
    price = torch.rand(day + n_steps, 3, generator=generator)
    price[: day - 5] = torch.nan
    tariff = [torch.rand(n_steps, 3, generator=generator) for _ in range(3)]
    at_once = view_of_path(price, *tariff, dt_h=dt_h)
    memory = remembering(price[day - 5 : day], dt_h)
    for step in range(n_steps):
        now = view(memory, *(part[step] for part in tariff), dt_h=dt_h)
        torch.testing.assert_close(at_once[step], now)
        memory = remember(memory, price[day + step])


def test_a_long_year_leaves_the_memory_exact() -> None:
    """Sums grow with the time; what they tell of the last day must not be lost in them."""
    prices = 0.5 * torch.rand(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    memory, zero = remembering(prices, 0.25), torch.zeros(1)
    of_last_day = remembering(prices[-DAY:], 0.25)
    torch.testing.assert_close(
        view(memory, zero, zero, zero, dt_h=0.25), view(of_last_day, zero, zero, zero, dt_h=0.25)
    )
