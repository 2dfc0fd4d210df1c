"""Statistics over cases, by scipy; and whether a case is within the bars of the KPIs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from grid_cosim.metrics import KPIS
from grid_cosim.scenario import Scenario

CONFIDENCE = 0.95
OF_CONTROL = ("coordination", "dimming", "time_of_use", "power_flow", "controllers")
"""Parts of a scenario that change nothing about its homes, nor do its devices' policies."""


def same_homes(table: pd.DataFrame) -> pd.Series:
    """A number per row, the same wherever all settings but those of control are: the same homes and days."""
    deciding = [name for name in Scenario.model_fields if name not in OF_CONTROL]
    key = [
        name for name in table.columns if name.partition(".")[0] in deciding and not name.endswith(".policy")
    ]
    return table.groupby(key, dropna=False, sort=False).ngroup()


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % confidence interval; NaN where too few values give none."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float] | pd.Series) -> Interval:
    """Mean over seeds with Student's t interval."""
    given = np.asarray(values, dtype=float)
    if not given.size:
        return Interval(np.nan, np.nan, np.nan)
    mean, error = float(given.mean()), float(stats.sem(given)) if given.size > 1 else float("nan")
    if error == 0.0:
        return Interval(mean, mean, mean)
    low, high = (
        stats.t.interval(CONFIDENCE, given.size - 1, loc=mean, scale=error)
        if given.size > 1
        else (np.nan,) * 2
    )
    return Interval(mean, float(low), float(high))


def by_group(table: pd.DataFrame, group: Sequence[str], value: str) -> pd.DataFrame:
    """`mean_interval` of a column for every group, as columns `mean`, `low`, `high`, and `n` values."""
    rows = [
        {**dict(zip(group, key, strict=True)), **mean_interval(part[value])._asdict(), "n": len(part)}
        for key, part in table.groupby(list(group), sort=False, observed=True)
    ]
    return pd.DataFrame(rows)


def exponent(x: Sequence[float] | pd.Series, y: Sequence[float] | pd.Series) -> Interval:
    """The exponent b of y = a x^b, by least squares in the logarithms."""
    fit = stats.linregress(np.log(np.asarray(x, dtype=float)), np.log(np.asarray(y, dtype=float)))
    reach = stats.t.ppf(0.5 + CONFIDENCE / 2.0, len(x) - 2) * fit.stderr if len(x) > 2 else float("nan")
    return Interval(float(fit.slope), float(fit.slope - reach), float(fit.slope + reach))


def within_bars(table: pd.DataFrame) -> pd.Series:
    """Whether every KPI with a line is within it; where one counts from `uncontrolled`, of the same homes."""
    good = pd.Series(True, index=table.index)
    for name, kpi in KPIS.items():
        if kpi.good_up_to is not None:
            start = _without_control(table, name) if kpi.above_uncontrolled else 0.0
            good &= ~(table[name] > kpi.good_up_to + start)
    return good


def _without_control(table: pd.DataFrame, kpi: str) -> pd.Series:
    """The KPI of the uncontrolled run of the same homes, row by row; 0 where there is none."""
    homes, free = same_homes(table), table["controller"] == "uncontrolled"
    return homes.map(table[free].groupby(homes[free])[kpi].first()).fillna(0.0)


def fewest_lasting(rounds: pd.Series, good: pd.Series) -> float:
    """The fewest rounds from which all is good, with any more of those tried as well; NaN where none are."""
    by_rounds = good.groupby(rounds).all().sort_index(ascending=False)
    return float(by_rounds.index[by_rounds.cummin()].min())
