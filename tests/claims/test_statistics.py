"""Intervals, exponents and bars, on numbers that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grid_cosim.metrics import KPIS
from grid_cosim.study.statistics import (
    by_group,
    exponent,
    fewest_lasting,
    mean_interval,
    same_homes,
    within_bars,
)


def test_the_interval_of_a_mean_is_students() -> None:
    # t(0.975, 4) = 2.776445 from tables; standard error sqrt(2.5 / 5)
    mean, low, high = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3.0
    assert [low, high] == pytest.approx([3.0 - 2.776445 * 0.5**0.5, 3.0 + 2.776445 * 0.5**0.5], rel=1e-6)


def test_equal_values_have_an_interval_without_width_and_one_value_has_none() -> None:
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)
    mean, low, high = mean_interval([2.0])
    assert mean == 2.0
    assert np.isnan([low, high]).all()


def test_groups_keep_their_names() -> None:
    table = pd.DataFrame({"homes": [5, 5, 9], "kind": ["a", "a", "b"], "x": [1.0, 3.0, 7.0]})
    found = by_group(table, ["homes", "kind"], "x").set_index(["homes", "kind"])
    assert found.loc[(5, "a"), "mean"] == 2.0
    assert found.loc[(5, "a"), "n"] == 2
    assert found.loc[(9, "b"), "mean"] == 7.0


def test_the_exponent_of_a_power_law_is_found_with_its_uncertainty() -> None:
    homes = np.array([10.0, 100.0, 1000.0, 10000.0])
    exact = exponent(homes, 3.0 * homes**1.5)
    assert exact == pytest.approx((1.5, 1.5, 1.5))
    noisy = exponent(homes, 3.0 * homes**1.5 * np.array([1.1, 0.9, 1.1, 0.9]))
    assert noisy.low < 1.5 < noisy.high
    assert np.isnan(exponent(homes[:2], homes[:2]).low)


def rows(**columns: object) -> pd.DataFrame:
    """Runs of the same homes that are within all bars, but for `columns`."""
    good = dict.fromkeys(KPIS, 0.0)
    same = {"seed": 1, "feeder.source": "x", "feeder.limit_share": 1.0, "time.hours": 24.0, "title": "t"}
    return pd.DataFrame({"controller": ["uncontrolled", "consensus"], **good, **same, **columns})


def test_a_case_is_within_the_bars_if_every_kpi_with_a_line_is() -> None:
    assert list(within_bars(rows())) == [True, True]
    for name, kpi in KPIS.items():
        if kpi.good_up_to is not None:
            broken = rows(**{name: [0.0, kpi.good_up_to + 0.01]})
            assert list(within_bars(broken)) == [True, False], name


def test_cold_counts_from_what_the_same_homes_have_without_control() -> None:
    cold = {"cold_kelvin_hours_per_home": [3.0, 3.05]}
    assert list(within_bars(rows(**cold)))[1]
    assert not list(within_bars(rows(**cold, seed=[1, 2])))[1]


def test_homes_in_other_weather_are_other_homes_and_those_under_other_control_are_not() -> None:
    assert list(same_homes(rows(**{"weather.shift_k": [0.0, -5.0]}))) == [0, 1]
    assert list(same_homes(rows(**{"homes.mean_annual_kwh": [float("nan"), 3000.0]}))) == [0, 1]
    control = {
        "coordination.rounds": [5, 10],
        "devices.heat_pump.policy": ["a", "b"],
        "dimming.power_kw": [1, 2],
    }
    assert list(same_homes(rows(**control))) == [0, 0]
    cold = {"cold_kelvin_hours_per_home": [3.0, 3.05]}
    assert not list(within_bars(rows(**cold, **{"weather.shift_k": [0.0, -5.0]})))[1]


def test_a_kpi_that_does_not_apply_is_no_fault() -> None:
    assert within_bars(rows(cold_kelvin_hours_per_home=float("nan"))).all()


def test_rounds_are_enough_where_all_seeds_are_good_and_stay_so() -> None:
    rounds = pd.Series([3, 3, 5, 5, 7, 7])
    lucky = pd.Series([True, True, True, False, True, True])  # good at 3, but not at 5
    assert fewest_lasting(rounds, lucky) == 7.0
    assert np.isnan(fewest_lasting(rounds, pd.Series([True] * 5 + [False])))
