"""Reading a regular series: what passes, what is refused and in which words, and how it comes to the step."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_cosim.errors import ProfileError
from grid_cosim.profiles import Clock, interval_mean, read_series

GOOD = """time,a,b
2016-01-05 00:00,1.5,4
2016-01-05 00:15,2.5,5
2016-01-05 00:30,3.5,6
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "load.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_good_file_keeps_its_numbers_and_names_its_resolution(write):
    frame = read_series(write(GOOD))
    assert frame.index.name == "time"
    assert frame.index.freq == pd.Timedelta(minutes=15)
    assert frame.index[0] == pd.Timestamp("2016-01-05 00:00")
    assert frame["a"].tolist() == [1.5, 2.5, 3.5]
    assert frame["b"].tolist() == [4.0, 5.0, 6.0]
    assert (frame.dtypes == np.float64).all()


def test_only_the_wanted_columns_in_the_wanted_order_are_read_and_judged(write):
    path = write(GOOD.replace("2016-01-05 00:15,2.5", "2016-01-05 00:15,oops"))
    assert read_series(path, columns=["b"]).columns.tolist() == ["b"]
    assert read_series(write(GOOD), columns=["b", "a"]).columns.tolist() == ["b", "a"]


def test_byte_order_mark_and_blank_lines_at_the_end_do_no_harm(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_text(GOOD + "\n\n", encoding="utf-8-sig")
    assert read_series(path)["a"].tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize("as_index", [True, False])
def test_parquet_reads_as_csv_does(write, tmp_path, as_index):
    frame = read_series(write(GOOD))
    path = tmp_path / "load.parquet"
    (frame if as_index else frame.reset_index()).to_parquet(path)
    pd.testing.assert_frame_equal(read_series(path), frame)


@pytest.mark.parametrize(
    ("stamp", "zone", "local"),
    [
        ("2016-01-05T00:{}:00Z", None, "2016-01-05 01:00"),  # default: CET
        ("2016-01-05 00:{}+01:00", None, "2016-01-05 00:00"),
        ("2016-07-05 00:{}+02:00", None, "2016-07-04 23:00"),  # standard time all year
        ("2016-07-05 00:{}+02", None, "2016-07-04 23:00"),
        ("2016-07-05T00:{}Z", ZoneInfo("Europe/Berlin"), "2016-07-05 02:00"),
        ("2016-07-05 00:{}", ZoneInfo("Europe/Berlin"), "2016-07-05 00:00"),  # naive stays
    ],
)
def test_times_with_an_offset_become_local_and_naive(write, stamp, zone, local):
    path = write("time,a\n" + "".join(f"{stamp.format(m)},1\n" for m in ("00", "15")))
    frame = read_series(path) if zone is None else read_series(path, zone=zone)
    assert frame.index.tz is None
    assert frame.index[0] == pd.Timestamp(local)


def test_a_parquet_index_with_a_zone_becomes_local_too(tmp_path):
    index = pd.date_range("2016-01-05", periods=2, freq="15min", tz="UTC", name="time")
    pd.DataFrame({"a": [1.0, 2.0]}, index=index).to_parquet(tmp_path / "utc.parquet")
    assert read_series(tmp_path / "utc.parquet").index[0] == pd.Timestamp("2016-01-05 01:00")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2.5", "", "column 'a', line 3 (2016-01-05 00:15:00): the value is missing. Fill it in"),
        ("2.5", "NaN", "column 'a', line 3 (2016-01-05 00:15:00): the value is missing. Fill it in"),
        ("6\n", "-6\n", "column 'b', line 4 (2016-01-05 00:30:00): the value is negative."),
        ("2.5", "inf", "column 'a', line 3 (2016-01-05 00:15:00): the value is infinite. Correct it"),
        ("2.5", "2.5 kW", "column 'a', line 3 (2016-01-05 00:15:00): '2.5 kW' is not a number."),
        ("00:15", "00:00", "line 3: 2016-01-05 00:00:00 occurs twice."),
        ("00:30", "00:45", "line 4: nothing between 2016-01-05 00:15:00 and 2016-01-05 00:45:00, where rows"),
        ("00:30", "00:10", "line 4: 2016-01-05 00:10:00 comes after 2016-01-05 00:15:00."),
        ("2016-01-05 00:15", "05.01.2016 00:15", "column 'time', line 3: '05.01.2016 00:15' cannot be read"),
        ("2016-01-05 00:15", "", "column 'time', line 3: there is no time. Write ISO 8601"),
        (
            "2016-01-05 00:15",
            "2016-01-05 00:15Z",
            "line 2: '2016-01-05 00:00' cannot be read as a time with an",
        ),
        ("2.5,5", "2.5,5,9", "cannot be read (Error tokenizing data"),
        (",", "|", "needs a time column, at least one column of values and two rows, got 1 columns"),
        (",", "\t", "line 1: columns are separated by tabs. Separate columns with commas"),
    ],
)
def test_a_malformed_file_is_refused_by_its_first_bad_place(write, old, new, message):
    path = write(GOOD.replace(old, new))
    with pytest.raises(ProfileError) as error:
        read_series(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_an_odd_interval_among_regular_ones_is_named(write):
    text = "time,a\n" + "".join(f"2016-01-05 00:{m:02},1\n" for m in (0, 15, 20, 35, 50))
    with pytest.raises(ProfileError, match=r"line 4: .* is 5 min after the row before it, others are 15 min"):
        read_series(write(text))


def test_negative_values_pass_where_they_mean_something(write):
    frame = read_series(write(GOOD.replace("2.5", "-2.5")), allow_negative=True)
    assert frame["a"].tolist() == [1.5, -2.5, 3.5]


def test_more_values_than_names_are_refused(write):
    with pytest.raises(ProfileError, match="rows hold more values than the header names"):
        read_series(write(GOOD.replace("time,a,b", "time,a")))


def test_unknown_column_and_file_come_with_near_matches(write):
    path = write(GOOD.replace("time,a,b", "time,home 1,home 2"))
    with pytest.raises(ProfileError, match=r"has no column 'hme 1'.*Did you mean 'home 1'"):
        read_series(path, columns=["hme 1"])
    with pytest.raises(ProfileError, match=r"no such file. Check the path; .* Did you mean 'load.csv'"):
        read_series(path.with_name("laod.csv"))


def test_a_file_too_short_for_the_horizon_says_what_it_covers(write):
    path = write(GOOD)
    read_series(path, covers=(datetime(2016, 1, 5), datetime(2016, 1, 5, 0, 45)))
    with pytest.raises(
        ProfileError, match=r"covers 2016-01-05 00:00:00 to 2016-01-05 00:45:00, but the run needs"
    ):
        read_series(path, covers=(datetime(2016, 1, 5), datetime(2016, 1, 5, 1)))
    with pytest.raises(ProfileError, match=r"Move time\.start, shorten time\.hours, or extend the file"):
        read_series(path, covers=(datetime(2016, 1, 4, 23), datetime(2016, 1, 5, 0, 45)))


def test_a_zone_with_daylight_saving_is_refused_at_the_clock_change(write):
    hours = pd.date_range("2016-03-26 22:00", periods=6, freq="h")
    path = write("time,a\n" + "".join(f"{t:%Y-%m-%dT%H:%MZ},1\n" for t in hours))
    with pytest.raises(ProfileError, match="If the clock change is to blame, use standard time all year"):
        read_series(path, zone=ZoneInfo("Europe/Berlin"))


ROWS = np.array([[1.0], [2.0], [3.0], [6.0]])


@pytest.mark.parametrize(
    ("dt_h", "offset_h", "expected"),
    [
        (0.25, 0.25, [2.0, 3.0]),  # as it is
        (0.5, 0.0, [1.5, 4.5]),  # averaged
        (0.125, 0.25, [2.0, 2.0, 3.0, 3.0]),  # repeated
        (0.375, 0.0, [4 / 3, 8 / 3]),  # 15 + 7.5 of the next; 7.5 + 15
        (0.25, 0.05, [1.2, 2.2, 3.6]),  # 12 min of one row, 3 of the next
    ],
)
def test_interval_mean_exact(dt_h, offset_h, expected):
    got = interval_mean(ROWS, resolution_h=0.25, offset_h=offset_h, n_steps=len(expected), dt_h=dt_h)
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-12)


@given(
    st.lists(st.floats(0, 1e3), min_size=24, max_size=24),
    st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 1.0, 1.5, 2.0, 3.0]),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_interval_mean_keeps_the_energy(values, dt_h, resolution_h):
    rows = np.array(values)[:, None]
    n_steps = round(24 * resolution_h / dt_h)
    if abs(n_steps * dt_h - 24 * resolution_h) > 1e-9:
        return
    got = interval_mean(rows, resolution_h=resolution_h, offset_h=0.0, n_steps=n_steps, dt_h=dt_h)
    np.testing.assert_allclose(got.sum() * dt_h, rows.sum() * resolution_h, rtol=1e-9)  # cumulated sums


# other dialects and clocks


def test_semicolons_with_decimal_commas_or_points_read_as_commas_do(tmp_path):
    plain, comma, point = (tmp_path / f"{name}.csv" for name in ("plain", "comma", "point"))
    plain.write_text("time,a,b\n2016-01-05 00:00,1.5,2\n2016-01-05 00:30,3,4.25\n")
    comma.write_text("time;a;b\n2016-01-05 00:00;1,5;2\n2016-01-05 00:30;3;4,25\n")
    point.write_text("time;a;b\n2016-01-05 00:00;1.5;2\n2016-01-05 00:30;3;4.25\n")
    for path in (comma, point):
        pd.testing.assert_frame_equal(read_series(path), read_series(plain))


def wall_clock(begin: str, periods: int) -> list[str]:
    """Half hours as a clock on a wall in Berlin shows them."""
    times = pd.date_range(begin, periods=periods, freq="30min", tz="UTC").tz_convert("Europe/Berlin")
    return [f"{time:%Y-%m-%d %H:%M}" for time in times]


@pytest.mark.parametrize("begin", ["2016-03-26 22:00", "2016-10-29 22:00"])  # clocks go forward, and back
def test_a_wall_clock_becomes_standard_time(tmp_path, begin):
    path = tmp_path / "meter.csv"
    shown = wall_clock(begin, 10)
    path.write_text("time,a\n" + "".join(f"{time},{k}\n" for k, time in enumerate(shown)))
    clock = Clock.of("Europe/Berlin")
    frame = read_series(path, zone=clock.standard, wall=clock.wall)
    assert frame.index[0] == pd.Timestamp(begin) + pd.Timedelta(hours=1)
    assert frame["a"].tolist() == list(range(10))
    with pytest.raises(ProfileError, match="clock change is to blame"):
        read_series(path)


def test_a_night_that_shows_the_repeated_hour_once_cannot_be_told(tmp_path):
    path = tmp_path / "meter.csv"
    shown = dict.fromkeys(wall_clock("2016-10-29 22:00", 10))
    path.write_text("time,a\n" + "".join(f"{time},1\n" for time in shown))
    clock = Clock.of("Europe/Berlin")
    with pytest.raises(ProfileError, match="on the clock of Europe/Berlin these times cannot be told"):
        read_series(path, zone=clock.standard, wall=clock.wall)


@pytest.mark.parametrize(
    ("name", "hours"), [(None, 1), ("Europe/Berlin", 1), ("Europe/London", 0), ("Australia/Sydney", 10)]
)
def test_the_clock_of_a_zone_is_its_standard_time(name, hours):
    clock = Clock.of(name)
    assert clock.standard.utcoffset(None) == pd.Timedelta(hours=hours)
    assert clock.meridian_deg == 15.0 * hours


def test_a_file_as_a_german_spreadsheet_saves_it_reads_like_any_other(tmp_path, write):
    rows = (
        "Zeit;Straße;b",
        "05.01.2016 00:00;1,5;4",
        "05.01.2016 00:15;2,5;5",
        "05.01.2016 00:30;3,5;6",
        ";;",
    )
    path = tmp_path / "excel.csv"
    path.write_bytes("".join(f"{row};\r\n" for row in rows).encode("cp1252"))
    expected = read_series(write(GOOD)).rename(columns={"a": "Straße"})
    pd.testing.assert_frame_equal(read_series(path), expected)


def test_days_come_first_in_dates_with_dots(tmp_path):
    path = tmp_path / "load.csv"
    path.write_text("time,a\n31.01.2016,1\n01.02.2016,2\n", encoding="utf-8")
    assert read_series(path).index.tolist() == [pd.Timestamp("2016-01-31"), pd.Timestamp("2016-02-01")]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
@pytest.mark.parametrize(("day", "quarters"), [("2016-03-27", 92), ("2016-10-30", 100)])
def test_the_column_of_times_of_a_parquet_file_may_stand_anywhere(tmp_path, zone, day, quarters):
    times = pd.date_range(day, periods=quarters, freq="15min", tz="Europe/Berlin")
    frame = pd.DataFrame({"b": 1.0, "when": times.tz_convert(zone), "a": np.arange(quarters) * 0.5})
    frame.to_parquet(tmp_path / "load.parquet", index=False)
    read = read_series(tmp_path / "load.parquet", columns=["a"])
    assert read["a"].tolist() == frame["a"].tolist()
    begin = pd.Timestamp(day) - pd.Timedelta(hours=0 if quarters == 92 else 1)  # on the clock of winter
    assert (read.index[0], read.index.freq) == (begin, pd.Timedelta(minutes=15))
