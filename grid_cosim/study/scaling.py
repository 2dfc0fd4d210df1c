"""How time grows with the number of homes: for deciding, and for shared, private and central training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from grid_cosim.study.cases import Case, Work
from grid_cosim.study.statistics import Interval, exponent
from grid_cosim.study.study import Reading, Study, Verdict
from grid_cosim.study.timing import EXECUTION, ExecutionWork
from grid_cosim.study.trainings import (
    CENTRAL,
    PRIVATE,
    SHARED,
    TRIAL,
    CentralTrainingWork,
    CentralTrialWork,
    PrivateTrainingWork,
    SharedTrainingWork,
)

if TYPE_CHECKING:
    from grid_cosim.study.drawing import Figure

LARGEST_EXPONENT = 1.05
FROM_HOMES = 100
"""Where fits begin if they can: with fewer homes fixed costs are most of what is seen."""

DECADE = 10.0
"""The sizes from a tenth of the largest on are also fitted by themselves."""
WIDEST_INTERVAL = 0.5
"""An exponent that is known less well decides nothing."""

EXCESS_LEFT, UNSERVED_PERCENT = 0.1, 1.0
"""What counts as trained, for the central baseline: far less strict than the lines of the KPIs."""


def cases(settings: Mapping[str, Any], source: Path) -> Sequence[Case]:
    """Timings, one after the other; before them trials, which may run side by side."""
    deciding, shared = settings["execution"], settings["shared_training"]
    private, central = settings["private_training"], settings["central_training"]
    works: list[tuple[str, Work]] = [
        *((EXECUTION, ExecutionWork(n, deciding["steps"], deciding["seed"])) for n in deciding["homes"]),
        *((SHARED, SharedTrainingWork(kind, shared["updates"])) for kind in shared["kinds"]),
        *((PRIVATE, PrivateTrainingWork(private["kind"], n, private["updates"])) for n in private["homes"]),
    ]
    updates, seed = central["updates"], central["seed"]
    works += [(CENTRAL, CentralTrainingWork(n, 1, updates, seed)) for n in central["homes"]]
    trials = [CentralTrialWork(n, limit_kw, updates, seed) for n, limit_kw in central["tried"]]
    return [
        *(Case(f"{TRIAL}, {_of_what(work)}", work) for work in trials),
        *(Case(f"{what}, {_of_what(work)}", work, alone=True) for what, work in works),
    ]


def _of_what(work: Any) -> str:
    return f"{work.n_homes:,} homes" if hasattr(work, "n_homes") else str(work.kind)


def read(table: pd.DataFrame) -> Reading:
    """Fitted exponents with their intervals, and, beside the verdict, what central training came to."""
    growth = {what: _growth(part) for what, part in _by_size(table)}
    shared, tried = table[table["what"] == SHARED], table[table["what"] == TRIAL]
    verdict = _verdict(
        [
            _at_most(growth.get(EXECUTION, UNKNOWN).steepest, LARGEST_EXPONENT),
            _is_one(growth.get(PRIVATE, UNKNOWN).pooled),
        ]
    )
    sentences = [
        f"{SHARED}: {shared['seconds'].sum() / 60.0:.1f} min for all {len(shared)} policies, whatever N is. "
        "A policy sees a home and a price, never how many homes there are.",
        *(_sentence_of_growth(what, growth[what], part) for what, part in _by_size(table)),
        *_laying_out(table),
        *([_central(tried)] if len(tried) else []),
        "All times are CPU time of one thread. Deciding is computed for all homes in one process; where each "
        "home computes for itself it takes the share of one, and messages per home do not grow.",
    ]
    return Reading(verdict, sentences, [_times(table), *([_beside(tried)] if len(tried) else [])])


class Growth(NamedTuple):
    """Exponents of N: of all sizes, and of those within the last factor of ten."""

    pooled: Interval
    at_the_end: Interval

    @property
    def steepest(self) -> Interval:
        """A pooled fit hides what only happens to many homes, such as falling out of a cache."""
        return max(self, key=lambda fit: (not np.isnan(fit.mean), fit.mean))


_NO_FIT = Interval(np.nan, np.nan, np.nan)
UNKNOWN = Growth(_NO_FIT, _NO_FIT)


def _by_size(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The kinds of work that were timed for several numbers of homes."""
    sized = table.dropna(subset=["n_homes", "seconds"])
    groups = sized.groupby("what", sort=False)
    return [(str(what), part) for what, part in groups if part["n_homes"].nunique() > 1]


def _growth(part: pd.DataFrame, seconds: str = "seconds") -> Growth:
    fitted = _fitted(part)
    last = part[part["n_homes"] >= part["n_homes"].max() / DECADE]
    enough = last["n_homes"].nunique() > 2  # else there is no interval
    return Growth(
        exponent(fitted["n_homes"], fitted[seconds]),
        exponent(last["n_homes"], last[seconds]) if enough else _NO_FIT,
    )


def _at_most(b: Interval, line: float) -> Verdict:
    """Whether an exponent is; only its mean: in part."""
    if np.isnan(b.low) or b.high - b.low > WIDEST_INTERVAL:
        return "is not decided"
    return "holds" if b.high <= line else "holds in part" if b.mean <= line else "does not hold"


def _is_one(b: Interval) -> Verdict:
    """Whether times are as the number of homes, neither more nor less."""
    above = _at_most(b, LARGEST_EXPONENT)
    below = _at_most(Interval(2.0 - b.mean, 2.0 - b.high, 2.0 - b.low), LARGEST_EXPONENT)
    return max(above, below, key=_FROM_BEST.index)


_FROM_BEST: tuple[Verdict, ...] = ("holds", "holds in part", "is not decided", "does not hold")


def _verdict(parts: Sequence[Verdict]) -> Verdict:
    """Of all parts together: one that is shown is something, but one that is not takes from the whole."""
    best, worst = (end(parts, key=_FROM_BEST.index) for end in (min, max))
    return worst if best == worst or _FROM_BEST.index(best) > 1 else "holds in part"


def _sentence_of_growth(what: str, growth: Growth, part: pd.DataFrame) -> str:
    sizes = _fitted(part)["n_homes"]
    return f"{what}: time grows as {_powers(growth)}, {sizes.min():,.0f} to {sizes.max():,.0f} homes."


def _laying_out(table: pd.DataFrame) -> list[str]:
    """How making ready grows: once, before the first step."""
    part = table.reindex(columns=[*table.columns.union(["preparing_s"])])
    part = part[(part["what"] == EXECUTION) & part["preparing_s"].notna()]
    if part["n_homes"].nunique() < 2:
        return []
    return [f"Laying out homes and graph, once: time grows as {_powers(_growth(part, 'preparing_s'))}."]


def _powers(growth: Growth) -> str:
    said = f"N^{growth.pooled.mean:.2f}{_between(growth.pooled)}"
    if np.isnan(growth.at_the_end.mean):
        return said
    return f"{said}, in the last decade of N as N^{growth.at_the_end.mean:.2f}{_between(growth.at_the_end)}"


def _between(b: Interval) -> str:
    return "" if np.isnan(b.low) else f" (95 % interval {b.low:.2f} to {b.high:.2f})"


def _fitted(part: pd.DataFrame) -> pd.DataFrame:
    large = part[part["n_homes"] >= FROM_HOMES]
    return large if large["n_homes"].nunique() > 1 else part


def _trained_well(tried: pd.DataFrame) -> pd.Series:
    """Whether the centrally trained team removes most of the excess and serves nearly everything."""
    left = tried["central.excess_percent"] / tried["uncontrolled.excess_percent"]
    return (left <= EXCESS_LEFT) & (tried["central.unserved_percent"] <= UNSERVED_PERCENT)


def _central(tried: pd.DataFrame) -> str:
    good = tried.loc[_trained_well(tried), "n_homes"]
    of = ", ".join(f"{n:.0f}" for n in tried["n_homes"])
    which = ", ".join(f"{n:.0f}" for n in good) or "none"
    return (
        f"With the same number of episodes for every N, the centrally trained team leaves at most a tenth of "
        f"the energy above the limit that there is without control, and at most {UNSERVED_PERCENT:g} % "
        f"undelivered, for these numbers of homes: {which} (of {of})."
    )


def _beside(tried: pd.DataFrame) -> pd.DataFrame:
    """What the team did in villages that it had not seen, beside `consensus` and nobody's control."""
    shown: dict[str, Any] = {"homes": tried["n_homes"].astype(int)}
    for who in ("central", "consensus", "uncontrolled"):
        shown[f"{who}: above %"] = tried[f"{who}.excess_percent"]
        shown[f"{who}: not delivered %"] = tried[f"{who}.unserved_percent"]
        shown[f"{who}: EUR per home and day"] = tried[f"{who}.cost_eur_per_home_and_day"]
    return pd.DataFrame(shown)


def _times(table: pd.DataFrame) -> pd.DataFrame:
    columns = table.columns.union(["kind", "preparing_s", "experience_bytes"])
    rows = table.reindex(columns=columns).dropna(subset=["seconds"])
    rows = rows.sort_values(["what", "n_homes"], kind="stable")
    return pd.DataFrame(
        {
            "what": rows["what"] + rows["kind"].map(": {}".format, na_action="ignore").fillna(""),
            "homes": rows["n_homes"].map("{:,.0f}".format, na_action="ignore").fillna("any"),
            "seconds": rows["seconds"],
            "laying out, s": rows["preparing_s"],
            "experience, MB": rows["experience_bytes"] / 1e6,
        }
    )


def draw(table: pd.DataFrame) -> Figure:
    """Seconds over homes, both logarithmic: a straight line is a power of N, and its slope the exponent."""
    from grid_cosim.study.drawing import PALETTE, panels

    figure, (deciding, training) = panels("deciding: CPU s per control step", "training: CPU s")
    for colour, (what, part) in zip(PALETTE, _by_size(table), strict=False):
        axis = deciding if what == EXECUTION else training
        label = f"{what}: N^{_growth(part).pooled.mean:.2f}"
        axis.plot(part["n_homes"], part["seconds"], marker="o", color=colour, label=label)
    shared_s = table.loc[table["what"] == SHARED, "seconds"].sum()
    if shared_s:
        training.axhline(shared_s, color="0.3", label=f"{SHARED}: any N")
    for axis in (deciding, training):
        if axis.has_data():
            axis.set_yscale("log")
        axis.set_xscale("log")
        axis.set_xlim(0.7 * table["n_homes"].min(), 1.4 * table["n_homes"].max())
        axis.set_xlabel("homes N")
        if axis.get_legend_handles_labels()[0]:
            axis.legend()
    return figure


STUDY = Study(
    title="Cost grows no faster than the number of homes",
    claim="Training shared policies does not depend on N, private ones cost N times as much, and deciding "
    f"grows at most linearly (an exponent of up to {LARGEST_EXPONENT}).",
    cases=cases,
    read=read,
    draw=draw,
)
