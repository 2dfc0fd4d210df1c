from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from grid_cosim.errors import ProfileError
from grid_cosim.profiles import sky, sun_position
from grid_cosim.profiles.sun import diffuse_share

MANNHEIM = {"latitude_deg": 49.5, "longitude_deg": 8.55}


def of_a_day(day: int) -> np.ndarray:
    hours = np.arange(0.0, 24.0, 1 / 60)
    return sun_position(np.full(hours.size, float(day)), hours, **MANNHEIM).up


def test_the_sun_stands_highest_by_the_tilt_of_the_earth() -> None:
    """23.44° above and below what it is at the equinoxes; Spencer's series is within a tenth of a degree."""
    for day, declination in ((172, 23.44), (355, -23.44), (80, 0.0)):
        height = np.degrees(np.arcsin(of_a_day(day).max()))
        assert height == pytest.approx(90.0 - 49.5 + declination, abs=0.35)


def test_noon_is_when_the_sun_is_in_the_south() -> None:
    """11 February is 14.2 minutes late and 3 November 16.4 early (the extremes of the equation of time); in
    Mannheim, 6.45° west of the meridian of CET, the sun is 25.8 minutes late besides."""
    for day, late_min in ((42, 14.2), (307, -16.4)):
        noon_min = float(of_a_day(day).argmax())
        assert noon_min == pytest.approx(12 * 60 + 25.8 + late_min, abs=1.5)


def test_the_vector_to_the_sun_has_length_one_and_turns_from_east_to_west() -> None:
    hours = np.arange(0.0, 24.0, 0.25)
    sun = sun_position(np.full(hours.size, 172.0), hours, **MANNHEIM)
    np.testing.assert_allclose(sun.east**2 + sun.north**2 + sun.up**2, 1.0, rtol=1e-12)
    assert (sun.east[(hours > 1) & (hours < 12)] > 0.0).all()
    assert (sun.east[(hours > 13) & (hours < 24)] < 0.0).all()


def test_a_shipped_year_brings_what_falls_on_mannheim() -> None:
    """1,090 kWh/m² in a year by the sum of the file's hours; the way between its rows keeps the sum."""
    year = sky("try2010_12_mannheim", start=datetime(2017, 1, 1), n_steps=365 * 96, dt_h=0.25, **MANNHEIM)
    kwh = 0.25e-3 * (year.direct_w_per_m2 + year.diffuse_w_per_m2).sum()
    assert kwh == pytest.approx(1090.0, abs=5.0)
    assert (year.direct_w_per_m2[year.sun.up < 0.087] == 0.0).all()
    assert (year.direct_w_per_m2 >= 0.0).all()


def test_global_irradiance_alone_is_parted_by_its_clearness(tmp_path: Path) -> None:
    path = tmp_path / "weather.csv"
    rows = [f"2016-06-20 {hour:02d}:00,15.0,{800.0 if hour == 12 else 0.0}" for hour in range(24)]
    path.write_text("time,temperature_c,global_w_per_m2\n" + "\n".join(rows) + "\n", encoding="utf-8")
    at = sky(path, start=datetime(2016, 6, 20, 6), n_steps=48, dt_h=0.25, **MANNHEIM)
    both = at.direct_w_per_m2 + at.diffuse_w_per_m2
    assert both.max() > 690.0
    assert (at.direct_w_per_m2 >= 0.0).all()
    assert at.diffuse_w_per_m2[both.argmax()] < 0.5 * both.max()


@pytest.mark.parametrize(("clear", "share"), [(0.1, 0.991), (0.22, 0.9802), (0.5, 0.659), (0.9, 0.165)])
def test_the_diffuse_share_is_that_of_erbs(clear: float, share: float) -> None:
    day, up = np.array([100.0]), np.array([0.7])
    beyond = 1367.0 * (1.0 + 0.033 * np.cos(2.0 * np.pi * 100.0 / 365.0))
    assert diffuse_share(clear * beyond * up, day, up)[0] == pytest.approx(share, abs=2e-3)


def test_a_file_without_irradiance_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "cold.csv"
    path.write_text("time,temperature_c\n2016-01-01 00:00,1\n2016-01-01 01:00,-2\n", encoding="utf-8")
    with pytest.raises(ProfileError, match=r"holds no irradiance.*Add a column 'global_w_per_m2'"):
        sky(path, start=datetime(2016, 1, 1), n_steps=2, dt_h=0.25, **MANNHEIM)
