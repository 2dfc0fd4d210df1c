"""Energy prices: what a row means, the day beyond the horizon, and what is refused."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from grid_cosim.errors import ProfileError
from grid_cosim.profiles import energy_price

DAY = datetime(2016, 1, 5)


def written(folder: Path, n_hours: int, column: str = "price_eur_per_kwh", factor: float = 0.01) -> Path:
    """An hourly price that is `factor` times the hours since midnight of 5 January, less 3 of them."""
    path = folder / "prices.csv"
    rows = [f"2016-01-{5 + h // 24:02d} {h % 24:02d}:00,{factor * (h - 3):.4f}\n" for h in range(n_hours)]
    path.write_text(f"time,{column}\n" + "".join(rows))
    return path


def test_a_price_holds_until_the_next_row_and_may_be_negative(tmp_path):
    path = written(tmp_path, 6)
    got = energy_price(path, start=DAY, n_steps=8, dt_h=0.5)
    np.testing.assert_allclose(got, [-0.03, -0.03, -0.02, -0.02, -0.01, -0.01, 0.0, 0.0])
    longer = energy_price(path, start=datetime(2016, 1, 5, 0, 30), n_steps=1, dt_h=2.0)
    np.testing.assert_allclose(longer, [(-0.03 / 2 - 0.02 - 0.01 / 2) / 2])


def test_beyond_the_horizon_the_file_counts_as_far_as_it_goes(tmp_path):
    got = energy_price(written(tmp_path, 40), start=DAY, n_steps=20, dt_h=1.0, lookahead_steps=20)
    np.testing.assert_allclose(got, 0.01 * (np.arange(40) - 3))


def test_after_its_end_the_last_day_repeats(tmp_path):
    got = energy_price(written(tmp_path, 30), start=DAY, n_steps=28, dt_h=1.0, lookahead_steps=24)
    hours = np.concatenate([np.arange(30), np.arange(6, 28)])
    np.testing.assert_allclose(got, 0.01 * (hours - 3))


def test_what_is_known_repeats_where_that_is_less_than_a_day(tmp_path):
    got = energy_price(written(tmp_path, 5), start=DAY, n_steps=5, dt_h=1.0, lookahead_steps=7)
    np.testing.assert_allclose(got, 0.01 * (np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]) - 3))


def test_a_step_of_which_the_file_knows_a_part_is_not_known(tmp_path):
    path = written(tmp_path, 5)
    got = energy_price(path, start=DAY, n_steps=2, dt_h=2.0, lookahead_steps=1)
    np.testing.assert_allclose(got, [-0.025, -0.005, -0.025])
    with pytest.raises(ProfileError, match="covers 2016-01-05 00:00:00 to 2016-01-05 05:00:00, but the run"):
        energy_price(path, start=DAY, n_steps=3, dt_h=2.0)


def test_the_only_column_may_have_any_name_and_several_need_the_right_one(tmp_path):
    assert energy_price(written(tmp_path, 3, "spot"), start=DAY, n_steps=1, dt_h=1.0)[0] == -0.03
    path = tmp_path / "two.csv"
    path.write_text("time,day_ahead,intraday\n2016-01-05 00:00,0.1,0.1\n2016-01-05 01:00,0.1,0.1\n")
    with pytest.raises(ProfileError, match="Name the one with the price 'price_eur_per_kwh'"):
        energy_price(path, start=DAY, n_steps=1, dt_h=1.0)


def test_a_price_per_mwh_is_refused(tmp_path):
    with pytest.raises(ProfileError, match=r"-36 is no price in EUR/kWh.*EUR/MWh and ct/kWh need converting"):
        energy_price(written(tmp_path, 6, factor=12.0), start=DAY, n_steps=4, dt_h=1.0)


def test_what_the_file_knows_of_the_time_before_the_start_repeats_as_well(tmp_path):
    got = energy_price(
        written(tmp_path, 30), start=datetime(2016, 1, 5, 20), n_steps=4, dt_h=1.0, lookahead_steps=12
    )
    hours = np.concatenate([np.arange(20, 30), np.arange(6, 12)])
    np.testing.assert_allclose(got, 0.01 * (hours - 3))
