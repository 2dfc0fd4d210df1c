"""How time grows with the number of homes: for deciding, and for shared, private and central training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """Fitted exponents with their intervals, and what central training came to."""
    growth = {what: _exponent(part) for what, part in _by_size(table)}
    shared, tried = table[table["what"] == SHARED], table[table["what"] == TRIAL]
    cheap = growth[EXECUTION].mean <= LARGEST_EXPONENT and growth[PRIVATE].mean <= LARGEST_EXPONENT
    ends = not _trained_well(tried).all()
    verdict: Verdict = "holds" if cheap and ends else "holds in part" if cheap or ends else "does not hold"
    sentences = [
        f"{SHARED}: {shared['seconds'].sum() / 60.0:.1f} min for all {len(shared)} policies, whatever N is. "
        "A policy sees a home and a price, never how many homes there are.",
        *(
            f"{what}: time grows as N^{b.mean:.2f}{_between(b)}, "
            f"{_fitted(part)['n_homes'].min():,.0f} to {part['n_homes'].max():,.0f} homes."
            for (what, part), b in zip(_by_size(table), growth.values(), strict=True)
        ),
        _central(tried),
        "All times are CPU time of one thread. Deciding is computed for all homes in one process; where each "
        "home computes for itself it takes the share of one, and messages per home do not grow.",
    ]
    return Reading(verdict, sentences, [_times(table), _beside(tried)])


def _by_size(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The kinds of work that were timed for several numbers of homes."""
    sized = table.dropna(subset=["n_homes", "seconds"])
    return [(str(what), part) for what, part in sized.groupby("what", sort=False) if len(part) > 1]


def _exponent(part: pd.DataFrame) -> Interval:
    fitted = _fitted(part)
    return exponent(fitted["n_homes"], fitted["seconds"])


def _between(b: Interval) -> str:
    return "" if np.isnan(b.low) else f" (95 % interval {b.low:.2f} to {b.high:.2f})"


def _fitted(part: pd.DataFrame) -> pd.DataFrame:
    large = part[part["n_homes"] >= FROM_HOMES]
    return large if len(large) > 1 else part


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
    rows = table.dropna(subset=["seconds"]).sort_values(["what", "n_homes"], kind="stable")
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
        label = f"{what}: N^{_exponent(part).mean:.2f}"
        axis.plot(part["n_homes"], part["seconds"], marker="o", color=colour, label=label)
    shared_s = table.loc[table["what"] == SHARED, "seconds"].sum()
    training.axhline(shared_s, color="0.3", label=f"{SHARED}: any N")
    for axis in (deciding, training):
        axis.set_yscale("log")
        axis.set_xscale("log")
        axis.set_xlim(0.7 * table["n_homes"].min(), 1.4 * table["n_homes"].max())
        axis.set_xlabel("homes N")
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
