"""Read a user's CSV or Parquet file of a regular time series, and bring it to the control step."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from grid_cosim.errors import ProfileError, folder_instead, near_matches
from grid_cosim.spreadsheets import text_of

CET = timezone(timedelta(hours=1), "CET")
"""Central European standard time all year: the clock of the shipped feeders, shapes and temperatures."""


@dataclass(frozen=True)
class Clock:
    """What times in a file mean, and to which clock they are brought: standard time all year."""

    standard: tzinfo = CET
    """The run's clock; times with an offset are converted to it."""
    wall: tzinfo | None = None
    """Zone whose wall clock times without an offset show, daylight saving included; None: the run's clock."""

    @classmethod
    def of(cls, timezone_name: str | None) -> Clock:
        """That of an IANA zone; None for Central European standard time."""
        if timezone_name is None:
            return cls()
        zone = ZoneInfo(timezone_name)
        offsets = [zone.utcoffset(datetime(2016, month, 1)) for month in (1, 7)]
        return cls(timezone(min(offset for offset in offsets if offset is not None)), zone)

    @property
    def meridian_deg(self) -> float:
        """Where the sun is highest at noon of the run's clock, by and large."""
        offset = self.standard.utcoffset(datetime(2016, 1, 1))
        assert offset is not None
        return 15.0 * (offset / timedelta(hours=1))


CET_CLOCK = Clock()
"""Central European standard time, also in files that say no offset."""

_CLOCK_CHANGE = (
    "If the clock change is to blame, use standard time all year, write the offset (+01:00), or name the "
    "zone in time.timezone"
)
_DAY_FIRST = re.compile(r"^(\d\d)\.(\d\d)\.(\d{4})(?= |$)")
"""A date with dots, as German spreadsheets make of any: the day is always first."""
_LOOKED_AT = 20_000  # characters; enough for a decimal comma to show
_ISO = "Write ISO 8601 times such as 2016-01-05 00:15"


def read_series(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    preferred: str | None = None,
    allow_negative: bool = False,
    zone: tzinfo = CET,
    wall: tzinfo | None = None,
    covers: tuple[datetime, datetime] | None = None,
) -> pd.DataFrame:
    """The file's columns as float64 on a naive, regular `DatetimeIndex` named "time" with `freq` set.

    The first column of a CSV (one header line, UTF-8; commas and decimal points, or semicolons and decimal
    commas or points) holds ISO 8601 times; a Parquet file keeps them in its pandas index or its first column.
    Times without an offset are local and stay as they are, or if `wall` is given are times of that zone, with
    its daylight saving; these and times with an offset are converted to `zone`. A `zone` with daylight saving
    makes a gap and a duplicate every year, which are refused: hence the default, standard time.

    `columns` are those wanted (None: all, or `preferred` alone where there is one of that name). `covers` is
    the span (begin, end) that the file must hold, a row reaching from its own time to the next.

    Raises `ProfileError` with file, column, first bad row and remedy for: no such file or column, unreadable
    times, missing, non-numeric, infinite or (unless allowed) negative values, gaps, duplicates, disorder, and
    a file too short.
    """
    path = Path(path)
    raw = _load(path)
    if raw.shape[1] < 2 or len(raw) < 2:
        raise ProfileError(
            str(path),
            f"needs a time column, at least one column of values and two rows, got {raw.shape[1]} columns "
            f"({', '.join(map(repr, raw.columns[:3]))}) and {len(raw)} rows",
            remedy="Separate columns with commas and write decimals with a point",
        )
    times = _times(path, raw.iloc[:, 0], zone, wall)
    index = _regular(path, times)
    values = raw.iloc[:, 1:]
    if columns is None:
        columns = list(values.columns)
        if preferred is not None and preferred in columns:
            columns = [preferred]
    wanted = list(columns)
    missing = [name for name in wanted if name not in values.columns]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ProfileError(
            str(path),
            f"has no column {missing[0]!r}{others}; it has {', '.join(map(repr, values.columns[:8]))}"
            + (", …" if values.shape[1] > 8 else ""),
            remedy=f"Name the columns as wanted.{near_matches(missing[0], values.columns)}",
        )
    numbers = _numbers(path, values[wanted], index, allow_negative=allow_negative)
    frame = pd.DataFrame(numbers, index=index, columns=wanted)
    if covers is not None:
        require_cover(str(path), index, *covers)
    return frame


def single_column(
    path: Path, column: str, *, what: str, allow_negative: bool = False, clock: Clock = CET_CLOCK
) -> pd.Series:
    """The column of that name, or the only one that the file has; `what` it is, in words, for the error."""
    frame = read_series(
        path, preferred=column, allow_negative=allow_negative, zone=clock.standard, wall=clock.wall
    )
    if column not in frame.columns and frame.shape[1] > 1:
        raise ProfileError(
            str(path),
            f"has the columns {', '.join(map(repr, frame.columns[:8]))}",
            remedy=f"Name the one with the {what} {column!r}",
        )
    return frame[column if column in frame.columns else frame.columns[0]]


def require_cover(source: str, index: pd.DatetimeIndex, begin: datetime, end: datetime) -> None:
    """Refuse a series that does not hold all of [begin, end); a row reaches to the time of the next."""
    last = index[-1] + index.freq
    if index[0] > begin or last < end:
        raise ProfileError(
            source,
            f"covers {index[0]} to {last}, but the run needs {begin} to {end}",
            remedy="Move time.start, shorten time.hours, or extend the file",
        )


def hours_per_row(index: pd.DatetimeIndex) -> float:
    """Hours from one row of a frame of `read_series` to the next."""
    return float(pd.Timedelta(index.freq) / pd.Timedelta(hours=1))


def hours_between(begin: datetime, end: datetime) -> float:
    """Hours from `begin` to `end`."""
    return float((pd.Timestamp(end) - pd.Timestamp(begin)) / pd.Timedelta(hours=1))


def interval_mean(
    values: Float[np.ndarray, "rows columns"],
    *,
    resolution_h: float,
    offset_h: float,
    n_steps: int,
    dt_h: float,
) -> Float[np.ndarray, "steps columns"]:
    """Mean over each control step of a series whose rows are themselves means over `resolution_h`.

    The first step begins `offset_h` after the first row does. Energy is kept whatever the two resolutions
    are: longer steps average rows, shorter ones repeat them, steps that cut a row take their part of it.
    """
    edges = np.round((offset_h + dt_h * np.arange(n_steps + 1)) / resolution_h, 9)
    assert 0 <= edges[0] <= edges[-1] <= len(values), "the series must cover the steps"
    if dt_h == resolution_h and edges[0] == round(edges[0]):
        return values[round(edges[0]) : round(edges[-1])].copy()
    row = np.floor(edges).astype(int)
    part = (edges - row)[:, None]
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    until = total[row] + part * values[np.minimum(row, len(values) - 1)]
    mean: np.ndarray = np.diff(until, axis=0) * (resolution_h / dt_h)
    return mean


def _load(path: Path) -> pd.DataFrame:
    """The file as it is, time in the first column."""
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise ProfileError(
            str(path),
            folder_instead(path),
            remedy="Check the path; it may start at the scenario's folder or at the current one."
            + near_matches(path.name, siblings),
        )
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            return _time_first(pq.read_table(path).to_pandas())
        text = text_of(path)
        separator, decimal = _dialect(text)
        _require_header(path, text, separator)
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            decimal=decimal,
            low_memory=False,
            skip_blank_lines=False,
        )
    except (ValueError, pa.ArrowException, OSError) as error:  # pandas' parser errors are ValueErrors
        reason = str(error).strip().rstrip(".")
        raise ProfileError(
            str(path),
            f"cannot be read ({reason})",
            remedy="Give a UTF-8 CSV with one header line, separated by commas (or semicolons, where commas "
            "are decimal), or a Parquet file",
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise ProfileError(
            str(path),
            "rows hold more values than the header names",
            remedy="Name every column, end no line with a comma",
        )
    filled = np.flatnonzero(frame.notna().any(axis=1))
    frame = frame.iloc[: filled[-1] + 1 if filled.size else 0]  # blank lines at the end are no rows
    nothing = [name for name in frame.columns[1:] if _UNNAMED.fullmatch(name) and frame[name].isna().all()]
    return frame.drop(columns=nothing)  # separators at the ends of lines make no column


_UNNAMED = re.compile(r"Unnamed: \d+")
"""What pandas calls a column without a name."""


def _time_first(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its times, index or only column of times, in the first column."""
    if isinstance(frame.index, pd.DatetimeIndex):
        return frame.reset_index()
    times = [name for name in frame.columns if pd.api.types.is_datetime64_any_dtype(frame[name])]
    if len(times) != 1:
        return frame
    return frame[[*times, *frame.columns.drop(times)]]


def _dialect(text: str) -> tuple[str, str]:
    """What separates columns, and decimals: semicolons in the header allow for decimal commas."""
    header, _, rows = text.partition("\n")
    if ";" not in header:
        return ",", "."
    return ";", "," if re.search(r"\d,\d", rows[:_LOOKED_AT]) else "."


def _require_header(path: Path, text: str, separator: str) -> None:
    """Refuse a CSV whose first line holds values, other separators, or a name twice."""
    names = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    if any("\t" in name for name in names):
        raise ProfileError(
            str(path),
            "columns are separated by tabs",
            remedy="Separate columns with commas, or with semicolons where commas are decimal",
            where="line 1",
        )
    if names and re.match(r"\d{4}-\d\d", names[0].strip()):
        raise ProfileError(
            str(path),
            f"there is no header: {names[0]!r} is a time",
            remedy="Put a header line above it that names the columns",
            where="line 1",
        )
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise ProfileError(
            str(path), "stands there twice", remedy="Name every column once", column=twice[0], where="line 1"
        )


def _row(path: Path, position: int) -> str:
    """Where the reader finds a row: the line of a CSV (the header is line 1), the row of a Parquet file."""
    return f"row {position + 1}" if path.suffix.lower() in {".parquet", ".pq"} else f"line {position + 2}"


def _times(path: Path, column: pd.Series, zone: tzinfo, wall: tzinfo | None) -> pd.DatetimeIndex:
    """Naive local times; those with an offset, or on the clock of `wall`, are converted to `zone`."""
    if pd.api.types.is_datetime64_any_dtype(column):
        times = pd.DatetimeIndex(column)
        aware = times.tz is not None
        bad = np.flatnonzero(times.isna())
    else:
        text = column.astype("string").str.strip()
        by_day = text.str.match(_DAY_FIRST)
        if by_day.fillna(True).all():
            text = text.str.replace(_DAY_FIRST, r"\3-\2-\1", regex=True)
        has_offset = text.str.contains(r"[T ].*(?:[Zz]|[+-]\d)", regex=True).fillna(False)
        aware = bool(has_offset.any())
        parsed = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
        times = pd.DatetimeIndex(parsed) if aware else pd.DatetimeIndex(parsed).tz_localize(None)
        # a bare number would pass as a year, and a mixture of times with and without offset has no meaning
        bad = np.flatnonzero(parsed.isna() | text.str.fullmatch(r"\d+").fillna(True) | (has_offset != aware))
    if bad.size:
        found = column.iloc[bad[0]]
        raise ProfileError(
            str(path),
            "there is no time"
            if pd.isna(found)
            else (f"{found!r}" if isinstance(found, str) else f"{found}")
            + " cannot be read as a time"
            + (" with an offset" if aware else ""),
            remedy=f"{_ISO}, all with an offset or all without",
            column=str(column.name),
            where=_row(path, int(bad[0])),
        )
    if not aware and wall is not None:
        try:
            times = times.tz_localize(wall, ambiguous="infer")
        except Exception as error:  # of pytz or pandas: a time that the zone skips, or has twice
            raise ProfileError(
                str(path),
                f"on the clock of {wall} these times cannot be told ({str(error).partition(', try')[0]})",
                remedy="Give every interval of the night in which clocks go back, or write offsets (+01:00)",
                column=str(column.name),
            ) from error
        aware = True
    return times.tz_convert(zone).tz_localize(None) if aware else times


def _regular(path: Path, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The same times with their resolution as `freq`; refuses gaps, duplicates and disorder."""
    gaps = np.diff(times.to_numpy().astype("datetime64[ns]").astype(np.int64))
    sizes, counts = np.unique(gaps[gaps > 0], return_counts=True)
    usual = int(sizes[counts.argmax()]) if sizes.size else 0
    wrong = np.flatnonzero((gaps != usual) | (gaps <= 0))
    if wrong.size:
        k = int(wrong[0])
        here, before, step = times[k + 1], times[k], pd.Timedelta(usual, unit="ns")
        if gaps[k] == 0:
            problem = f"{here} occurs twice"
        elif gaps[k] < 0:
            problem = f"{here} comes after {before}"
        elif gaps[k] > usual:
            problem = f"nothing between {before} and {here}, where rows are {_minutes(step)} apart"
        else:
            problem = (
                f"{here} is {_minutes(here - before)} after the row before it, others are {_minutes(step)}"
            )
        raise ProfileError(
            str(path),
            problem,
            remedy=f"Give one row per interval, in order. {_CLOCK_CHANGE}",
            where=_row(path, k + 1),
        )
    return pd.date_range(times[0], periods=len(times), freq=pd.Timedelta(usual, unit="ns"), name="time")


def _minutes(span: pd.Timedelta) -> str:
    return f"{span / pd.Timedelta(minutes=1):g} min"


def _numbers(
    path: Path, values: pd.DataFrame, index: pd.DatetimeIndex, *, allow_negative: bool
) -> Float[np.ndarray, "rows columns"]:
    """The values in float64, or the first bad one named."""

    def refuse(row: int, column: str, problem: str, remedy: str) -> ProfileError:
        return ProfileError(
            str(path), problem, remedy=remedy, column=column, where=f"{_row(path, row)} ({index[row]})"
        )

    for name in values.columns[[not pd.api.types.is_numeric_dtype(t) for t in values.dtypes]]:
        cells = values[name]
        bad = np.flatnonzero(pd.to_numeric(cells, errors="coerce").isna() & cells.notna())
        if bad.size:
            raise refuse(
                int(bad[0]),
                str(name),
                f"{cells.iloc[bad[0]]!r} is not a number",
                "Write decimals with a point",
            )
    numbers: np.ndarray = values.to_numpy(dtype=np.float64, na_value=np.nan)
    for wrong, problem, remedy in (
        (np.isnan(numbers), "the value is missing", "Fill it in: nothing is interpolated silently"),
        (np.isinf(numbers), "the value is infinite", "Correct it"),
        (
            (numbers < 0) & (not allow_negative),
            "the value is negative",
            "Consumption counts positive and generation has no place here: correct the sign",
        ),
    ):
        if wrong.any():
            row, column = np.unravel_index(int(wrong.argmax()), numbers.shape)
            raise refuse(int(row), str(values.columns[column]), problem, remedy)
    return numbers
