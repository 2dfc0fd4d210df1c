"""Household base load: the shapes as shipped, energy, diversity, seeds, and a user's own table."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from grid_cosim.errors import ProfileError
from grid_cosim.profiles import base_load_from_file, household_base_load, household_shapes
from grid_cosim.profiles.households import ANNUAL_KWH_MEAN, DRAWN_SHAPES, Q_TO_P

MONDAY = datetime(2016, 1, 18)
SHAPES = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L")


def load(n=200, days=7, *, seed=1, start=MONDAY, dt_h=0.25, shapes=None, annual_kwh=None):
    return household_base_load(
        n_households=n,
        shapes=shapes,
        annual_kwh=annual_kwh,
        start=start,
        n_steps=round(days * 24 / dt_h),
        dt_h=dt_h,
        generator=np.random.default_rng(seed),
    )


def coincidence(p_kw):
    return p_kw.sum(axis=1).max() / p_kw.max(axis=0).sum()


def test_the_shapes_are_those_of_simbench():
    """Means and first values of simbench 1.6.3's LoadProfile.csv, within single precision."""
    library = household_shapes()
    assert library.names == ("H0-A", "H0-B", "H0-C", "H0-G", "H0-H", "H0-L")
    assert library.p_pu.shape == library.q_pu.shape == (6, 35_136)
    expected = [0.139125, 0.088292, 0.117400, 0.069558, 0.661685, 0.056466]
    np.testing.assert_allclose(library.mean_pu, expected, atol=1e-6)
    np.testing.assert_allclose(library.p_pu[0, :2], [0.276685, 0.066011], rtol=1e-6)
    np.testing.assert_allclose(library.q_pu[0, :2], [-0.067519, 0.060412], rtol=1e-6)
    assert library.p_pu.min() > 0
    np.testing.assert_allclose(library.p_pu.max(axis=1), 1.0)


def test_a_day_is_a_shifted_day_of_the_same_class_near_by_and_q_goes_with_p():
    """Found again in the source: one and the same row for p and q, every day."""
    library = household_shapes()
    shape = library.names.index("H0-C")
    annual = library.mean_pu[shape] * 8784  # rated at 1 kW
    start = datetime(2016, 1, 1)  # a Friday; its neighbourhood crosses the turn of the year
    p_kw, q_kvar = load(3, 10, start=start, shapes=["H0-C"] * 3, annual_kwh=np.full(3, annual))
    doubled = np.concatenate([library.p_pu[shape], library.p_pu[shape]])
    windows = np.lib.stride_tricks.sliding_window_view(doubled, 96)[:35_136]
    shifts = set()
    for home in range(3):
        for day in range(10):
            block = slice(96 * day, 96 * day + 96)
            found = np.flatnonzero(np.isclose(windows[:, 0], p_kw[96 * day, home], rtol=1e-12))
            found = [r for r in found if np.allclose(windows[r], p_kw[block, home], rtol=1e-12)]
            assert len(found) == 1
            row = found[0]
            np.testing.assert_allclose(
                q_kvar[block, home], Q_TO_P * np.roll(library.q_pu[shape], -row)[:96], rtol=1e-9, atol=1e-12
            )
            source, shift = divmod(row + 48, 96)
            shifts.add(shift - 48)
            away = (source % 366 - day + 183) % 366 - 183
            assert abs(away) <= 21
            weekdays = [(start + timedelta(days=k)).weekday() for k in (day, int(source % 366))]
            assert len({max(w - 4, 0) for w in weekdays}) == 1
    assert shifts <= {-3, -2, -1, 0, 1, 2, 3}
    assert len(shifts) > 3


def test_homes_are_diverse():
    """The same homes with the shapes as they are: 0.56 coincidence; with days of their own below 0.35."""
    library = household_shapes()
    names = [SHAPES[k % 5] for k in range(1000)]
    annual = np.full(1000, 2760.0)
    p_kw, _ = load(1000, shapes=names, annual_kwh=annual)
    shape = [library.names.index(name) for name in names]
    same = library.p_pu[shape, 17 * 96 : 24 * 96].T * (annual / (8784 * library.mean_pu[shape]))
    assert coincidence(same) > 0.5
    assert coincidence(p_kw) < 0.35
    assert p_kw.sum(axis=1).max() < 0.65 * same.sum(axis=1).max()
    # six winter weeks around it stand for this one: their mean differs from it by a few per cent
    assert p_kw.mean() == pytest.approx(same.mean(), rel=0.06)
    assert coincidence(p_kw[:, :10]) > coincidence(p_kw)


def test_a_year_holds_the_annual_energy():
    annual = np.linspace(1000, 5000, 20)
    p_kw, _ = load(20, 366, start=datetime(2016, 1, 1), shapes=list(SHAPES) * 4, annual_kwh=annual)
    # days are drawn with replacement: a home's year varies by about 1 %
    np.testing.assert_allclose(p_kw.sum(axis=0) * 0.25, annual, rtol=0.05)
    assert p_kw.sum() * 0.25 == pytest.approx(annual.sum(), rel=0.01)


def test_scaling_is_linear_and_zero_is_allowed():
    one, q_one = load(4, 1, annual_kwh=np.array([1000.0, 1000, 1000, 0]))
    two, q_two = load(4, 1, annual_kwh=np.array([2000.0, 2000, 2000, 0]))
    np.testing.assert_allclose(two, 2 * one)
    np.testing.assert_allclose(q_two, 2 * q_one)
    assert not one[:, 3].any()


def test_drawn_annual_energies_have_the_documented_mean_and_bounds():
    p_kw, _ = load(4000, 28, shapes=["H0-B"] * 4000)
    flat, _ = load(4000, 28, shapes=["H0-B"] * 4000, annual_kwh=np.full(4000, ANNUAL_KWH_MEAN))
    ratio = p_kw[0] / flat[0]
    assert ratio.mean() == pytest.approx(1.0, abs=0.025)  # 3 standard errors: 3 * 0.53 / sqrt(4000)
    assert ratio.min() >= np.exp(-0.5 * 2.5 - 0.125) - 1e-9
    assert ratio.max() <= np.exp(0.5 * 2.5 - 0.125) + 1e-9
    assert np.log(ratio).std() == pytest.approx(0.5, abs=0.02)


def test_homes_without_a_shape_draw_an_unheated_one():
    assert set(DRAWN_SHAPES) == set(household_shapes().names) - {"H0-A", "H0-H"}
    mixed, _ = load(60, 2, shapes=["H0-A", *[None] * 59])
    drawn, _ = load(60, 2)
    np.testing.assert_array_equal(mixed[:, 1:], drawn[:, 1:])
    assert not np.allclose(mixed[:, 0], drawn[:, 0])


def test_one_seed_one_world_and_a_longer_run_begins_like_a_shorter_one():
    p_kw, q_kvar = load(30, 3, seed=7)
    again, q_again = load(30, 3, seed=7)
    np.testing.assert_array_equal(p_kw, again)
    np.testing.assert_array_equal(q_kvar, q_again)
    np.testing.assert_array_equal(load(30, 1, seed=7)[0], p_kw[:96])
    assert not np.allclose(load(30, 3, seed=8)[0], p_kw)


@pytest.mark.parametrize("dt_h", [1 / 12, 0.25, 1 / 3, 0.5, 1.0])
def test_any_step_keeps_the_energy(dt_h):
    quarter, q_quarter = load(10, 2)
    p_kw, q_kvar = load(10, 2, dt_h=dt_h)
    assert p_kw.shape == (round(48 / dt_h), 10)
    np.testing.assert_allclose(p_kw.sum(axis=0) * dt_h, quarter.sum(axis=0) * 0.25)
    np.testing.assert_allclose(q_kvar.sum(axis=0) * dt_h, q_quarter.sum(axis=0) * 0.25)


def test_a_run_may_start_in_the_evening():
    whole, _ = load(10, 2)
    evening, _ = load(10, 1, start=MONDAY.replace(hour=17, minute=30))
    np.testing.assert_array_equal(evening, whole[70 : 70 + 96])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shapes": ["H0-A", "H0-Z"]}, "household shapes: 'H0-Z' is unknown. Known are H0-A, H0-B"),
        ({"shapes": ["H0-A"]}, "household shapes: 1 names for 2 homes"),
        ({"annual_kwh": np.array([1.0, -2.0])}, "annual_kwh, home 2: -2 kWh is no annual consumption"),
        ({"annual_kwh": np.array([np.nan, 2.0])}, "annual_kwh, home 1: nan kWh is no annual consumption"),
        ({"annual_kwh": np.array([1.0])}, "annual_kwh: 1 values for 2 homes"),
    ],
)
def test_what_no_home_can_have_is_refused(arguments, message):
    with pytest.raises(ProfileError) as error:
        load(2, 1, **arguments)
    assert str(error.value).startswith(message)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "homes.csv"
    rows = "".join(f"2016-01-05 0{h}:00,{h},{10 + h}\n" for h in range(4))
    path.write_text("time,north,south\n" + rows)
    return path


def test_a_users_table_in_the_order_of_the_homes(table):
    p_kw, q_kvar = base_load_from_file(
        table, ["south", "north"], start=datetime(2016, 1, 5, 1), n_steps=4, dt_h=0.5, power_factor=0.8
    )
    np.testing.assert_allclose(p_kw, [[11, 1], [11, 1], [12, 2], [12, 2]])
    np.testing.assert_allclose(q_kvar, 0.75 * p_kw)


@pytest.mark.parametrize(
    ("homes", "n_steps", "power_factor", "message"),
    [
        (["nort"], 1, 0.95, "has no column 'nort'"),
        (["north"], 5, 0.95, "covers 2016-01-05 00:00:00 to 2016-01-05 04:00:00"),
        (["north"], 1, 0.0, "the power factor is 0"),
    ],
)
def test_a_users_table_that_does_not_serve(table, homes, n_steps, power_factor, message):
    with pytest.raises(ProfileError, match=message):
        base_load_from_file(
            table, homes, start=datetime(2016, 1, 5), n_steps=n_steps, dt_h=1.0, power_factor=power_factor
        )


def test_a_table_in_watts_is_refused(tmp_path):
    path = tmp_path / "watts.csv"
    path.write_text("time,a,b\n2016-01-05 00:00,310,95\n2016-01-05 01:00,290,105\n")
    with pytest.raises(ProfileError, match=r"more than 200 kW on the mean.*W need dividing by 1000"):
        base_load_from_file(path, ["a", "b"], start=datetime(2016, 1, 5), n_steps=4, dt_h=0.25)
