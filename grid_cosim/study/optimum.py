"""How far the agents stay from the best that perfect foresight could do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from grid_cosim.study.cases import Case, scenario_cases
from grid_cosim.study.study import Reading, Study, Verdict

if TYPE_CHECKING:
    from grid_cosim.study.drawing import Figure

TOTAL, FLEXIBILITY = "total_cost_gap_percent", "flexibility_cost_gap_percent"
PAPER_PERCENT = 0.2
"""Of the oracle's energy cost with up to 1,000 agents: arXiv 2605.30461, second-hand."""
BAR = {TOTAL: 0.5, FLEXIBILITY: 15.0}
"""In percent of the optimum's; ours."""


def cases(settings: Mapping[str, Any], source: Path) -> Sequence[Case]:
    """One grid per case of the table; their titles name them."""
    return scenario_cases(settings, source=source, controllers=["consensus", "centralised", "optimum"])


def read(table: pd.DataFrame) -> Reading:
    """Gaps of `consensus`, and how much of them is not knowing the future and how much is talking."""
    gaps = table.pivot_table(index="title", columns="controller", values=[TOTAL, FLEXIBILITY], sort=False)
    ours, exact = gaps[TOTAL]["consensus"], gaps[TOTAL]["centralised"]
    flexibility = gaps[FLEXIBILITY]["consensus"]
    near = [title for title in ours.index if ours[title] <= PAPER_PERCENT]
    good = (ours <= BAR[TOTAL]) & (flexibility <= BAR[FLEXIBILITY])
    verdict: Verdict = "holds" if len(near) == len(ours) else "holds in part" if near else "does not hold"
    talking = (ours - exact).abs()
    sentences = [
        f"The total cost of `consensus` is between {ours.min():.2f} and {ours.max():.2f} % above the "
        f"optimum's; it is within {PAPER_PERCENT} % in {len(near)} of {len(ours)} cases.",
        f"The cost of flexibility, all but the energy that every solution must buy, is between "
        f"{flexibility.min():.1f} and {flexibility.max():.1f} % above the optimum's.",
        f"Within our own bars ({BAR[TOTAL]} % and {BAR[FLEXIBILITY]:.0f} %): {int(good.sum())} of "
        f"{len(good)} cases.",
        f"Talking instead of knowing all answers changes the total cost by at most {talking.max():.3f} "
        "points: the rest is what the policies do not know or do not do.",
        f"The figure of {PAPER_PERCENT} % is second-hand, and of the oracle's energy cost in another fleet; "
        "ours is of all energy, waiting, discomfort and the state at the end.",
    ]
    return Reading(verdict, sentences, [_summary(table)])


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    columns = {
        "title": "case",
        "controller": "controller",
        "peak_loading_percent": "peak %",
        "energy_above_limit_percent": "above %",
        "unserved_energy_percent": "not delivered %",
        "total_cost_eur": "total EUR",
        TOTAL: "total gap %",
        FLEXIBILITY: "flexibility gap %",
    }
    return table[list(columns)].rename(columns=columns)


def draw(table: pd.DataFrame) -> Figure:
    """Both gaps by case and controller."""
    from grid_cosim.study.drawing import colours, legend_below, panels

    figure, axes = panels("total cost, % above the optimum", "flexibility, % above the optimum", columns=2)
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
