"""Several results folders side by side: one set of runs on a common time axis, and who each of them is."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from grid_cosim.plots.curves import limits_shown
from grid_cosim.plots.style import BETWEEN
from grid_cosim.results import Basis, Run, StoredResults, Topology

_FIRST_DAY = datetime.date(2001, 1, 1)
"""Day 1 of runs of different dates: its number is its day of the month."""


@dataclass(frozen=True)
class Column:
    """One controller in one of the cases."""

    name: str
    """As figures and tables call it."""
    case: str
    """Its folder's name."""
    controller: str


@dataclass(frozen=True)
class Cases:
    """What a page shows: one case, or several that are compared."""

    each: Mapping[str, StoredResults]
    """Case → its results, as they are stored."""
    together: StoredResults
    """All runs as if they were of one scenario, on one time axis; the results themselves of a single case."""
    columns: Sequence[Column]
    """The runs of `together` in their order."""
    days_later: Mapping[str, int]
    """Case → days by which its times were moved."""

    @property
    def several(self) -> bool:
        """Whether more than one case is compared."""
        return len(self.each) > 1

    @property
    def by_day(self) -> bool:
        """Whether times are counted in days because the dates differ."""
        return len(set(self.days_later.values())) > 1

    @property
    def titles(self) -> list[str]:
        """What the cases are about, each title once."""
        return list(dict.fromkeys(results.basis.title for results in self.each.values()))


def side_by_side(given: StoredResults | Mapping[str, StoredResults]) -> Cases:
    """One case as it is, several on the days of the first one, or on numbered days where the dates differ."""
    if isinstance(given, StoredResults):
        columns = [Column(name, "", name) for name in given.runs]
        return Cases({"": given}, given, columns, {"": 0})
    if len(given) == 1:
        ((case, only),) = given.items()
        columns = [Column(name, case, name) for name in only.runs]
        return Cases(given, only, columns, {case: 0})
    columns = [
        Column(f"{case}{BETWEEN}{controller}", case, controller)
        for case, results in given.items()
        for controller in results.runs
    ]
    days_later = _days_later(given)
    return Cases(given, _together(given, columns, days_later), columns, days_later)


def first_day(results: StoredResults) -> datetime.date | None:
    """The date on which the runs begin; None where none did."""
    starts = [run.table("totals", ["time"])["time"].min() for run in results.runs.values() if run.started]
    return min(starts).date() if starts else None


def _days_later(given: Mapping[str, StoredResults]) -> dict[str, int]:
    days = {case: first_day(results) for case, results in given.items()}
    if len({day for day in days.values() if day is not None}) <= 1:
        return dict.fromkeys(given, 0)
    return {case: 0 if day is None else (_FIRST_DAY - day).days for case, day in days.items()}


def _together(
    given: Mapping[str, StoredResults], columns: Sequence[Column], days_later: Mapping[str, int]
) -> StoredResults:
    runs = {}
    for column in columns:
        run = given[column.case].runs[column.controller]
        tables = {name: _moved(run.table(name), days_later[column.case]) for name in ("totals", "grid")}
        tables["limit_summary"] = run.table("limit_summary")
        runs[column.name] = Run(tables, run.status, run.message, run.wall_time_s)
    every = list(given.values())
    comfort = {results.basis.comfort_low_c for results in every}
    merged = StoredResults(
        scenario={},
        provenance={},
        basis=Basis(
            title=" · ".join(dict.fromkeys(results.basis.title for results in every)),
            dt_h=min(results.basis.dt_h for results in every),
            comfort_low_c=comfort.pop() if len(comfort) == 1 else None,
        ),
        topology=_all_limits([results.topology for results in every]),
        runs=runs,
    )
    shown = limits_shown(merged)
    for column in columns:
        run = given[column.case].runs[column.controller]
        parts = [part[part["limit"].isin(shown)] for part in run.parts("limits", _DRAWN)]
        tables = {"limits": _moved(pd.concat(parts), days_later[column.case])} if run.n_rows("limits") else {}
        runs[column.name] = Run(
            {**runs[column.name].tables, **tables}, run.status, run.message, run.wall_time_s
        )
    return merged


_DRAWN = (
    "time",
    "limit",
    "loading_percent",
    "limit_percent",
    "price_mean_eur_per_kwh",
    "price_min_eur_per_kwh",
    "price_max_eur_per_kwh",
)


def _moved(table: pd.DataFrame, days: int) -> pd.DataFrame:
    return table.assign(time=table["time"] + np.timedelta64(days, "D")) if days else table


def _all_limits(topologies: Sequence[Topology]) -> Topology:
    """The first feeder, with the limits of all: those of one name in two networks share a row."""
    limits = pd.concat([topology.limits for topology in topologies], ignore_index=True)
    first = topologies[0]
    return Topology(
        buses=first.buses,
        lines=first.lines,
        limits=limits.drop_duplicates("limit", ignore_index=True),
        homes=first.homes,
        title=" · ".join(dict.fromkeys(topology.title or topology.source for topology in topologies)),
    )
