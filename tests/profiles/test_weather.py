"""Outdoor temperature: means of a line through the rows, a typical year as a circle, and what is refused."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from grid_cosim.errors import ProfileError
from grid_cosim.profiles import LICENCES, outdoor_temperature, shipped_weather

MANNHEIM = "try2010_12_mannheim"


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """0 °C at midnight, 4 at one, 8 at two."""
    path = tmp_path / "ramp.csv"
    path.write_text("time,temperature_c\n" + "".join(f"2016-01-05 0{h}:00,{4 * h}\n" for h in range(3)))
    return path


def test_a_step_has_the_mean_of_the_line_over_it(ramp):
    got = outdoor_temperature(ramp, start=datetime(2016, 1, 5), n_steps=4, dt_h=0.25)
    np.testing.assert_allclose(got, [0.5, 1.5, 2.5, 3.5])
    got = outdoor_temperature(ramp, start=datetime(2016, 1, 5, 0, 30), n_steps=1, dt_h=1.5)
    np.testing.assert_allclose(got, [5.0])


def test_a_step_across_a_kink_weighs_both_lines(tmp_path):
    path = tmp_path / "kink.csv"
    path.write_text("time,t\n2016-01-05 00:00,0\n2016-01-05 01:00,4\n2016-01-05 02:00,-4\n")
    got = outdoor_temperature(path, start=datetime(2016, 1, 5, 0, 30), n_steps=1, dt_h=1.0)
    np.testing.assert_allclose(got, [(3.0 + 2.0) / 2])


def test_the_first_and_last_row_are_held_for_one_interval_and_the_last_in_the_lookahead(ramp):
    got = outdoor_temperature(ramp, start=datetime(2016, 1, 4, 23), n_steps=4, dt_h=1.0, lookahead_steps=3)
    np.testing.assert_allclose(got, [0.0, 2.0, 6.0, 8.0, 8.0, 8.0, 8.0])


@pytest.mark.parametrize(("start", "n_steps"), [(datetime(2016, 1, 4, 22), 1), (datetime(2016, 1, 5), 4)])
def test_a_horizon_beyond_the_file_is_refused(ramp, start, n_steps):
    with pytest.raises(ProfileError, match="covers 2016-01-04 23:00:00 to 2016-01-05 03:00:00, but the run"):
        outdoor_temperature(ramp, start=start, n_steps=n_steps, dt_h=1.0)


def test_kelvin_is_refused(tmp_path):
    path = tmp_path / "kelvin.csv"
    path.write_text("time,t\n2016-01-05 00:00,270\n2016-01-05 01:00,271\n")
    with pytest.raises(ProfileError, match="270 is no outdoor temperature in °C"):
        outdoor_temperature(path, start=datetime(2016, 1, 5), n_steps=1, dt_h=1.0)


def test_several_columns_need_a_name(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("time,t,wind\n2016-01-05 00:00,0,1\n2016-01-05 01:00,1,1\n")
    with pytest.raises(
        ProfileError, match=r"has the columns 't', 'wind'\. Name the one with the temperature"
    ):
        outdoor_temperature(path, start=datetime(2016, 1, 5), n_steps=1, dt_h=1.0)


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ProfileError, match=r"Shipped are .*\. Did you mean 'try2010_12_mannheim'"):
        outdoor_temperature("try2010_12_manheim", start=datetime(2016, 1, 5), n_steps=1, dt_h=1.0)


# Values read off DWD's file TRY2010_12_Jahr.dat: hours 24 of 4 January and 1, 2, 3 of 5 January.
HOURS = [-5.9, -6.1, -6.2, -6.4]


def test_a_shipped_year_holds_the_hours_of_its_source():
    got = outdoor_temperature(MANNHEIM, start=datetime(2016, 1, 5), n_steps=2, dt_h=1.0)
    # an hour's mean of the line through the middles of the hours: 1/8, 3/4, 1/8
    expected = [(a + 6 * b + c) / 8 for a, b, c in zip(HOURS, HOURS[1:], HOURS[2:], strict=False)]
    np.testing.assert_allclose(got, expected)


def test_the_cold_spell_of_the_upper_rhine():
    """5 and 6 January: mean of the 48 source hours -5.87 °C, coldest -9.3 °C (a line's means are milder)."""
    got = outdoor_temperature(MANNHEIM, start=datetime(2016, 1, 5), n_steps=192, dt_h=0.25)
    assert got.mean() == pytest.approx(-5.87, abs=0.01)
    assert -9.3 <= got.min() < -9.2


@pytest.mark.parametrize("name", shipped_weather())
def test_a_shipped_year_is_a_circle_and_serves_any_year(name):
    year = outdoor_temperature(name, start=datetime(2016, 1, 1), n_steps=8784, dt_h=1.0, lookahead_steps=48)
    np.testing.assert_allclose(year[8784:], year[:48])
    other = outdoor_temperature(name, start=datetime(2031, 12, 31), n_steps=48, dt_h=1.0)
    np.testing.assert_allclose(other, np.concatenate([year[8760:8784], year[:24]]))
    february = (31 + 27) * 24
    assert np.ptp(year) > 30
    # the 29th repeats the 28th; its first and last hour also feel their neighbours
    np.testing.assert_allclose(year[february + 1 : february + 23], year[february + 25 : february + 47])


def test_every_shipped_set_says_where_it_comes_from():
    assert "Datenbasis: Deutscher Wetterdienst" in LICENCES["dwd_try"]
    assert "Open Database License" in LICENCES["simbench"]
