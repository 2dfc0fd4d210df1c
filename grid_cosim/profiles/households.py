"""The inflexible load of homes: SimBench's few shapes, made as diverse as homes are, or a user's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from grid_cosim.errors import ProfileError, near_matches
from grid_cosim.profiles.series import (
    CET_CLOCK,
    Clock,
    hours_between,
    hours_per_row,
    interval_mean,
    read_series,
)
from grid_cosim.shipped import shipped

YEAR = 2016  # of the SimBench series; a leap year
STEPS_PER_DAY = 96
DAYS_PER_YEAR = 366

Q_TO_P = 0.3952
"""Rated kvar per rated kW of SimBench's households (its table Load; a power factor of 0.93)."""

DRAWN_SHAPES = ("H0-B", "H0-C", "H0-G", "H0-L")
"""What a home without a shape of its own draws from. H0-A uses 5.4 times as much in January as in July, so
it seems to hold electric heating, a device here; H0-H never falls below 29 % of its peak: no single home."""

ANNUAL_KWH_MEAN = 2760.0
"""Mean of a German household: 1,900, 2,890, 3,720, 4,085, 5,430 kWh for 1, 2, 3, 4, 5 and more persons
(BDEW 2021, "Zahl der Woche: 1.900 Kilowattstunden Strom"), weighted with 42, 34, 12, 9, 3 % of households
(Destatis, Mikrozensus 2018, "Jede fünfte Person lebte 2018 in einem Einpersonenhaushalt")."""

ANNUAL_KWH_SIGMA = 0.5
"""Standard deviation of its logarithm: 0.31 between those five sizes, 0.4 assumed among homes of one size."""

ANNUAL_KWH_SPREAD = 2.5
"""Draws are cut off at so many standard deviations: 698 … 8,502 kWh."""

LARGEST_MEAN_KW = 50.0
"""More than any home draws on the mean: a file is in W if half of its homes do."""

WINDOW_DAYS = 21
SHIFT_STEPS = 3  # 45 min


@dataclass(frozen=True)
class HouseholdShapes:
    """SimBench's household series per unit of rated p and q: a row per shape, a column per 15 min of 2016."""

    names: tuple[str, ...]
    p_pu: Float[np.ndarray, "shapes steps"]
    q_pu: Float[np.ndarray, "shapes steps"]

    @property
    def mean_pu(self) -> Float[np.ndarray, " shapes"]:
        """Mean active power over the year: annual energy / (8,784 h · rated power)."""
        return np.asarray(self.p_pu.mean(axis=1))


@cache
def household_shapes() -> HouseholdShapes:
    """The shipped shapes (SimBench, ODbL 1.0: see `LICENCES`)."""
    table = pq.read_table(shipped("feeders") / "profiles" / "simbench_households.parquet")
    names = tuple(c.removesuffix("_pload") for c in table.column_names if c.endswith("_pload"))
    p_pu, q_pu = (
        np.stack([table[f"{name}_{kind}"].to_numpy().astype(np.float64) for name in names])
        for kind in ("pload", "qload")
    )
    for array in (p_pu, q_pu):
        array.flags.writeable = False  # shared by all callers
    return HouseholdShapes(names, p_pu, q_pu)


def household_base_load(
    *,
    n_households: int,
    shapes: Sequence[str | None] | None = None,
    annual_kwh: Float[np.ndarray, " households"] | None = None,
    start: datetime,
    n_steps: int,
    dt_h: float,
    generator: np.random.Generator,
) -> tuple[Float[np.ndarray, "steps households"], Float[np.ndarray, "steps households"]]:
    """Active (kW) and reactive (kvar) base load of each home, from `start` (naive, local standard time).

    A few shapes for thousands of homes would peak together, so every home lives its own days: each simulated
    day is a day of its shape of the same class (workday, Saturday, Sunday) at most 21 days away in the year,
    begun up to 45 min earlier or later, drawn uniformly. Any year may be simulated: the date finds its place
    in 2016. p and q move together and are scaled so that the shape's whole year (8,784 h) holds the home's
    `annual_kwh`; a part of the year holds what its season and the drawn days give.

    `shapes` names a shape per home; None, for all or for one, draws from `DRAWN_SHAPES`. `annual_kwh` None
    draws from a lognormal distribution with `ANNUAL_KWH_MEAN` and `ANNUAL_KWH_SIGMA`. The series have 15 min;
    other steps keep the energy (`interval_mean`).

    The same generator state gives the same homes, and a longer run begins with the days of a shorter one.
    Raises `ProfileError` for an unknown shape and for annual energies that are negative or not finite.
    """
    library = household_shapes()
    # All draws are made, used or not, and days last: what is given does not change what is drawn after it.
    spread = generator.standard_normal(n_households).clip(-ANNUAL_KWH_SPREAD, ANNUAL_KWH_SPREAD)
    drawn = generator.integers(len(DRAWN_SHAPES), size=n_households)
    shape = _shape_rows(library, shapes, drawn)
    if annual_kwh is None:
        annual_kwh = ANNUAL_KWH_MEAN * np.exp(ANNUAL_KWH_SIGMA * spread - ANNUAL_KWH_SIGMA**2 / 2)
    _check_annual(annual_kwh, n_households)
    rated_kw = annual_kwh / (library.mean_pu[shape] * DAYS_PER_YEAR * 24)

    midnight = datetime(start.year, start.month, start.day)
    offset_h = hours_between(midnight, start)
    n_days = int(np.ceil(round((offset_h + n_steps * dt_h) / 24, 9)))
    rows = _source_rows(midnight.date(), n_days, n_households, generator)
    n_rows = DAYS_PER_YEAR * STEPS_PER_DAY
    p_kw = np.empty((n_days * STEPS_PER_DAY, n_households))
    q_kvar = np.empty_like(p_kw)
    quarter = np.arange(STEPS_PER_DAY)[:, None]
    for day, first in enumerate(rows):
        block = slice(day * STEPS_PER_DAY, (day + 1) * STEPS_PER_DAY)
        source = shape * n_rows + (first + quarter) % n_rows
        p_kw[block] = library.p_pu.ravel()[source] * rated_kw
        q_kvar[block] = library.q_pu.ravel()[source] * (Q_TO_P * rated_kw)
    return (
        interval_mean(p_kw, resolution_h=0.25, offset_h=offset_h, n_steps=n_steps, dt_h=dt_h),
        interval_mean(q_kvar, resolution_h=0.25, offset_h=offset_h, n_steps=n_steps, dt_h=dt_h),
    )


def base_load_from_file(
    path: str | Path,
    home_names: Sequence[str],
    *,
    start: datetime,
    n_steps: int,
    dt_h: float,
    power_factor: float = 0.95,
    clock: Clock = CET_CLOCK,
) -> tuple[Float[np.ndarray, "steps households"], Float[np.ndarray, "steps households"]]:
    """Active (kW) and reactive (kvar) base load from a user's table: times, and a column in kW per home name.

    A row is the mean from its time to the next row's. Steps of another length keep the energy. Reactive power
    follows from one lagging `power_factor` in (0, 1]. Other columns are ignored.
    Raises `ProfileError` as `read_series` does, homes without a column and a horizon not covered included,
    and for values that cannot be homes' kW.
    """
    if not 0.0 < power_factor <= 1.0:
        raise ProfileError(
            str(path), f"the power factor is {power_factor:g}", remedy="Give a value above 0 and at most 1"
        )
    end = start + timedelta(hours=n_steps * dt_h)
    frame = read_series(
        path, columns=list(home_names), covers=(start, end), zone=clock.standard, wall=clock.wall
    )
    _check_kilowatts(str(path), frame)
    p_kw = interval_mean(
        frame.to_numpy(),
        resolution_h=hours_per_row(frame.index),
        offset_h=hours_between(frame.index[0], start),
        n_steps=n_steps,
        dt_h=dt_h,
    )
    return p_kw, p_kw * np.sqrt(1.0 / power_factor**2 - 1.0)


def _check_kilowatts(source: str, frame: pd.DataFrame) -> None:
    """Refuse what must be watts."""
    mean_kw = frame.mean()
    if len(mean_kw) and mean_kw.median() > LARGEST_MEAN_KW:
        column = str(mean_kw.idxmax())
        raise ProfileError(
            source,
            f"half of the homes draw more than {mean_kw.median():,.0f} kW on the mean, which no home does",
            remedy="Give kW: W need dividing by 1000, and kWh per interval by its length in hours",
            column=column,
        )


def _shape_rows(
    library: HouseholdShapes, shapes: Sequence[str | None] | None, drawn: Int[np.ndarray, " households"]
) -> Int[np.ndarray, " households"]:
    """Row of each home's shape: the named one, or the drawn one where none is named."""
    row_of = {name: row for row, name in enumerate(library.names)}
    if shapes is not None and len(shapes) != len(drawn):
        raise ProfileError(
            "household shapes",
            f"{len(shapes)} names for {len(drawn)} homes",
            remedy="Give one name per home, or none",
        )
    named = shapes if shapes is not None else [None] * len(drawn)
    unknown = next((name for name in named if name is not None and name not in row_of), None)
    if unknown is not None:
        raise ProfileError(
            "household shapes",
            f"{unknown!r} is unknown",
            remedy=f"Known are {', '.join(row_of)}.{near_matches(unknown, row_of)}",
        )
    rows = [
        row_of[DRAWN_SHAPES[choice] if name is None else name]
        for name, choice in zip(named, drawn, strict=True)
    ]
    return np.array(rows, dtype=np.int64)


def _check_annual(annual_kwh: Float[np.ndarray, " households"], n_households: int) -> None:
    """Refuse annual energies that no home can have."""
    if annual_kwh.shape != (n_households,):
        raise ProfileError(
            "annual_kwh",
            f"{annual_kwh.size} values for {n_households} homes",
            remedy="Give one value per home",
        )
    wrong = np.flatnonzero(~np.isfinite(annual_kwh) | (annual_kwh < 0))
    if wrong.size:
        raise ProfileError(
            "annual_kwh",
            f"{annual_kwh[wrong[0]]:g} kWh is no annual consumption",
            remedy="Give finite values of at least 0",
            where=f"home {wrong[0] + 1}",
        )


def _day_class(day: date) -> int:
    """0 for a workday, 1 for a Saturday, 2 for a Sunday; public holidays count as the weekday they are."""
    return max(day.weekday() - 4, 0)


def _source_rows(
    first_day: date, n_days: int, n_households: int, generator: np.random.Generator
) -> Int[np.ndarray, "days households"]:
    """Row of the year's series at which each home's simulated day begins; the year is a circle."""
    new_year = date(YEAR, 1, 1)
    classes = np.array([_day_class(new_year + timedelta(days=k)) for k in range(DAYS_PER_YEAR)])
    around = np.arange(-WINDOW_DAYS, WINDOW_DAYS + 1)
    rows = np.empty((n_days, n_households), dtype=np.int64)
    for k in range(n_days):
        day = first_day + timedelta(days=k)
        near = (day.replace(year=YEAR) - new_year).days + around
        candidates = near[classes[near % DAYS_PER_YEAR] == _day_class(day)]
        source = candidates[generator.integers(len(candidates), size=n_households)]
        shift = generator.integers(-SHIFT_STEPS, SHIFT_STEPS + 1, size=n_households)
        rows[k] = source * STEPS_PER_DAY + shift
    return rows
