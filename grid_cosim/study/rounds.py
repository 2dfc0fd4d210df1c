"""How many rounds are enough on which graph, and what theory promises beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy import stats

from grid_cosim.coordination.bounds import leftover
from grid_cosim.results import Results, Run
from grid_cosim.study.cases import Case, Row, scenario_cases
from grid_cosim.study.statistics import fewest_lasting, within_bars
from grid_cosim.study.study import Reading, Study, Verdict

if TYPE_CHECKING:
    from grid_cosim.study.drawing import Figure

GRAPH, ROUNDS, STEP = "coordination.graph", "coordination.rounds", "coordination.dual_step"
PEAK, SPREAD = "peak_loading_percent", "price_spread_eur_per_kwh"
BOUNDS = {
    "estimate_error_kw": "estimate_bound_kw",
    "price_error_eur_per_kwh": "price_bound_eur_per_kwh",
}
"""What was measured → what theory promises: of the estimates of `curve`, of the prices of `gradient`."""
ROUNDING = 1e-9
"""Of the unit: errors of double precision, where a bound is zero as on a complete graph."""


def cases(settings: Mapping[str, Any], source: Path) -> Sequence[Case]:
    """Graphs × rounds, for `curve` and for `gradient`."""
    return scenario_cases(settings, source=source, controllers=["consensus"], measure=agreement)


def agreement(_results: Results, run: Run) -> Row:
    """σ of the worst graph; the largest error of all steps and limits, and what it may be at most."""
    agreed, limits = run.table("agreement"), run.table("limits")
    if agreed.empty:
        return {}
    by_limit = agreed.groupby("limit", observed=True)[["contraction", "drift_eur_per_kwh"]].max()
    price_bound = leftover(by_limit["contraction"].to_numpy(), by_limit["drift_eur_per_kwh"].to_numpy())
    return {
        "mixing_rate": float(agreed["mixing_rate"].max()),
        "estimate_error_kw": float(agreed["estimate_error_kw"].max()),
        "estimate_bound_kw": float(agreed["estimate_bound_kw"].max()),
        "price_error_eur_per_kwh": float(limits["consensus_error_eur_per_kwh"].max()),
        "price_bound_eur_per_kwh": float(price_bound.max()),
    }


def read(table: pd.DataFrame) -> Reading:
    """Rounds needed by graph, and measured errors against their bounds."""
    table = table.assign(good=within_bars(table))
    rows = table[table["controller"] == "consensus"]
    needed = rounds_needed(rows[rows[STEP] == "curve"])
    most = int(rows[ROUNDS].max())
    within = {measured: _within(rows, measured) for measured in BOUNDS}
    checked = {measured: part for measured, part in within.items() if len(part)}
    ranked = needed.fillna({"rounds needed": 2.0 * most})  # more than any that was tried
    differ = ranked["rounds needed"].nunique() > 1
    order = stats.spearmanr(ranked["σ"], ranked["rounds needed"]).statistic if differ else float("nan")
    falls = bool((needed["spread, most rounds"] <= needed["spread, fewest rounds"]).all())
    bounded = all(bool(part.all()) for part in checked.values())
    verdict: Verdict = (
        "holds"
        if bounded and falls and order > 0.0
        else "holds in part"
        if bounded or falls
        else "does not hold"
    )
    words = [
        f"{graph} {'none up to ' + str(most) if rounds != rounds else f'{rounds:.0f}'}"
        for graph, rounds in zip(needed["graph"], needed["rounds needed"], strict=True)
    ]
    sentences = [
        "Rounds from which `curve` stays within all bars: " + ", ".join(words) + ".",
        f"Graphs that mix slower need more: rank correlation of σ and rounds needed {order:.2f} (Spearman).",
        *(_against_bound(rows, measured, part) for measured, part in checked.items()),
    ]
    return Reading(verdict, sentences, [needed])


def rounds_needed(rows: pd.DataFrame) -> pd.DataFrame:
    """By graph: the fewest rounds with which it is within the bars, and so with all more; NaN where none."""
    found = []
    for graph, part in rows.groupby(GRAPH, sort=False):
        spread = part.groupby(ROUNDS)[SPREAD].mean().sort_index()
        found.append(
            {
                "graph": graph,
                "σ": part["mixing_rate"].max(),
                "rounds needed": fewest_lasting(part[ROUNDS], part["good"]),
                "peak % with K = 10": part.loc[part[ROUNDS] == 10, PEAK].max(),
                "spread, fewest rounds": spread.iloc[0],
                "spread, most rounds": spread.iloc[-1],
            }
        )
    return pd.DataFrame(found).sort_values("σ")


def _within(rows: pd.DataFrame, measured: str) -> pd.Series:
    """Whether each error is within its bound, of the rows that have one."""
    both = rows.dropna(subset=[measured, BOUNDS[measured]])
    return both[measured] <= both[BOUNDS[measured]] + ROUNDING


def _against_bound(rows: pd.DataFrame, measured: str, within: pd.Series) -> str:
    both = rows.loc[within.index]
    told = both[both[BOUNDS[measured]] > ROUNDING]
    share = 100.0 * told[measured] / told[BOUNDS[measured]]
    what = "estimates of `curve`" if measured == "estimate_error_kw" else "prices of `gradient`"
    return (
        f"The largest error of the {what} is within its bound in {int(within.sum())} of {len(within)} cases; "
        f"it comes to at most {share.max():.0f} % of it, {share.median():.0f} % in the median."
    )


def draw(table: pd.DataFrame) -> Figure:
    """Peak and spread over rounds, and both kinds of error with their bounds dashed."""
    from grid_cosim.study.drawing import colours, legend_below, log_ticks, panels

    rows = table[table["controller"] == "consensus"]
    figure, axes = panels(
        "curve: peak, % of the limit",
        "curve: spread of the prices, EUR/kWh",
        "curve: error of the estimates, kW",
        "gradient: error of the prices, EUR/kWh",
        columns=2,
    )
    palette = colours(list(rows[GRAPH].unique()))
    curves = zip(axes, ("curve", "curve", "curve", "gradient"), (PEAK, SPREAD, *BOUNDS), strict=True)
    for axis, step, column in curves:
        log_ticks(axis, rows.loc[rows[STEP] == step, ROUNDS], "rounds K")
        if column != PEAK:
            axis.set_yscale("log")
        for graph, part in rows[rows[STEP] == step].groupby(GRAPH, sort=False):
            drawn = part.groupby(ROUNDS)[[column, *([BOUNDS[column]] if column in BOUNDS else [])]].max()
            drawn = drawn.where(drawn > ROUNDING) if column != PEAK else drawn
            axis.plot(drawn.index, drawn[column], marker="o", label=graph, color=palette[str(graph)])
            if column in BOUNDS:
                axis.plot(drawn.index, drawn[BOUNDS[column]], ls="--", lw=0.8, color=palette[str(graph)])
    axes[0].axhline(101.0, color="0.6", lw=0.8, ls=":")
    legend_below(figure, axes[0])
    return figure


STUDY = Study(
    title="A few rounds with a few neighbours are enough",
    claim="Violation and disagreement fall with the rounds per step, faster on graphs that mix faster, and "
    "disagreement never exceeds what theory promises.",
    cases=cases,
    read=read,
    draw=draw,
)
