"""How far the agents stay from the best that perfect foresight could do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from grid_cosim.metrics import KPIS, besides_energy_eur, hardship_eur
from grid_cosim.results import Run, StoredResults
from grid_cosim.study.cases import Case, Row, scenario_cases
from grid_cosim.study.statistics import within_bars
from grid_cosim.study.study import Reading, Study, Verdict

if TYPE_CHECKING:
    from grid_cosim.study.drawing import Figure

TOTAL, FLEXIBILITY = "total_cost_gap_percent", "flexibility_cost_gap_percent"
BESIDES = "besides_energy_gap_percent"
"""The same money, as a share of all that the optimum pays besides the energy of the horizon."""
PAPER_PERCENT = 0.2
"""Of the oracle's energy cost with up to 1,000 agents: arXiv 2605.30461, second-hand."""
BAR = {TOTAL: 0.5, FLEXIBILITY: 15.0}
"""In percent of the optimum's; ours."""


def cases(settings: Mapping[str, Any], source: Path) -> Sequence[Case]:
    """One grid per case of the table; their titles name them."""
    controllers = ["consensus", "centralised", "optimum"]
    return scenario_cases(settings, source=source, controllers=controllers, measure=shares)


def shares(results: StoredResults, run: Run) -> Row:
    """What the extra cost is held against, of this run in EUR, and the second of both ratios."""
    row = {"hardship_eur": hardship_eur(run), "besides_energy_eur": besides_energy_eur(run)}
    total_eur = KPIS["total_cost_eur"].value
    whole = besides_energy_eur(results.runs["optimum"])
    beyond = total_eur(results, run) - total_eur(results, results.runs["optimum"])
    return row | {BESIDES: 100.0 * beyond / whole if whole > 0.0 else float("nan")}


def read(table: pd.DataFrame) -> Reading:
    """Gaps of `consensus`, and how much of them is not knowing the future and how much is talking."""
    table = table.assign(held=within_bars(table))
    ours, exact = _by_title(table, "consensus"), _by_title(table, "centralised")
    held = ours["held"].astype(bool)
    near = (ours[TOTAL] <= PAPER_PERCENT) & held
    cheap = (ours[TOTAL] <= BAR[TOTAL]) & held
    good = [int((cheap & (ours[name] <= BAR[FLEXIBILITY])).sum()) for name in (FLEXIBILITY, BESIDES)]
    verdict: Verdict = "holds" if near.all() else "holds in part" if near.any() else "does not hold"
    talking = (ours[TOTAL] - exact[TOTAL]).abs()
    sentences = [
        f"The total cost of `consensus` is between {_range(ours[TOTAL], 2)} above the optimum's; it is "
        f"within {PAPER_PERCENT} %, and within the bars of all KPIs, in {int(near.sum())} of {len(ours)} "
        "cases.",
        *_sentence_of_broken(held),
        f"The same money is between {_range(ours[FLEXIBILITY], 1)} of what discomfort, delay and "
        f"undelivered energy cost under the optimum, and between {_range(ours[BESIDES], 1)} of all that it "
        "pays besides the energy of the horizon, the state at the end included.",
        *_sentence_of_none(ours[FLEXIBILITY]),
        f"Within the bars of all KPIs, and our own of {BAR[TOTAL]} % of the total and "
        f"{BAR[FLEXIBILITY]:.0f} % of the first of these shares: {good[0]} of {len(ours)} cases; of the "
        f"second: {good[1]}.",
        f"Talking instead of knowing all answers changes the total cost by at most {talking.max():.3f} "
        "points: the rest is what the policies do not know or do not do.",
        f"The figure of {PAPER_PERCENT} % is second-hand, and of the oracle's energy cost in another fleet; "
        "ours is of all energy, waiting, discomfort and the state at the end.",
    ]
    return Reading(verdict, sentences, [_summary(table)])


def _by_title(table: pd.DataFrame, controller: str) -> pd.DataFrame:
    """Means over the rows of a case; held where every one of them is."""
    rows = table[table["controller"] == controller].groupby("title", sort=False)
    return rows[[TOTAL, FLEXIBILITY, BESIDES]].mean().assign(held=rows["held"].all())


def _range(values: pd.Series, digits: int) -> str:
    return f"{values.min():.{digits}f} and {values.max():.{digits}f} %"


def _sentence_of_broken(held: pd.Series) -> list[str]:
    """A low cost that was reached by breaking a limit is no merit."""
    broken = "; ".join(held.index[~held])
    return [f"Not within the bars of all KPIs, so of no account, whatever it costs: {broken}."] * bool(broken)


def _sentence_of_none(gaps: pd.Series) -> list[str]:
    without = gaps.index[gaps.isna()]
    return [
        f"In {len(without)} of {len(gaps)} cases discomfort and delay cost the optimum nothing, and there is "
        f"no share of it: {'; '.join(without)}."
    ] * bool(len(without))


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "title": "case",
        "controller": "controller",
        "peak_loading_percent": "peak %",
        "energy_above_limit_percent": "above %",
        "unserved_energy_percent": "not delivered %",
        "held": "within the bars",
        "total_cost_eur": "total EUR",
        TOTAL: "total gap %",
        "hardship_eur": "discomfort and delay EUR",
        FLEXIBILITY: "gap, % of the optimum's",
        "besides_energy_eur": "besides energy, final state included EUR",
        BESIDES: "gap, % of the optimum's besides energy",
    }
    shown = table.assign(held=table["held"].map({True: "yes", False: "no"}))
    return shown[list(columns)].rename(columns=columns)


def draw(table: pd.DataFrame) -> Figure:
    """Both gaps by case and controller."""
    from grid_cosim.study.drawing import colours, legend_below, panels

    figure, axes = panels(
        "total cost, % above the optimum", "the same, % of its discomfort and delay", columns=2
    )
    controllers = [name for name in table["controller"].unique() if name != "optimum"]
    palette = colours(controllers)
    titles = list(table["title"].unique())[::-1]
    for axis, gap in zip(axes, (TOTAL, FLEXIBILITY), strict=True):
        for controller in controllers:
            part = table[table["controller"] == controller].set_index("title")[gap]
            at = [titles.index(title) for title in part.index]
            axis.plot(part, at, marker="o", ls="", label=controller, color=palette[controller])
        axis.set_yticks(range(len(titles)), titles if axis is axes[0] else [""] * len(titles))
    axes[0].axvline(PAPER_PERCENT, color="0.5", lw=0.8, ls="--")
    legend_below(figure, axes[0])
    return figure


STUDY = Study(
    title="Close to the optimum",
    claim="Without forecasts of prices or arrivals, the agents' cost is within 0.2 % of what perfect "
    "foresight and a central solver could do (a second-hand figure of the paper's).",
    cases=cases,
    read=read,
    draw=draw,
)
