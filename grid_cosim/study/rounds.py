"""How many rounds are enough on which graph, and what theory promises beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from grid_cosim.coordination.bounds import leftover
from grid_cosim.metrics import KPIS
from grid_cosim.results import Run, StoredResults
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
TRENDS = {"peak": PEAK, "spread": SPREAD}
"""What is said to fall with the rounds."""
DIGITS = {PEAK: 1, SPREAD: 4}
"""Decimals that are compared; what differs in further ones is taken for the same."""
GONE = {PEAK: KPIS[PEAK].good_up_to, SPREAD: 0.0}
"""Up to here there is nothing left to fall."""
FEW = 10
"""Rounds that count as a few; those of the scenario's default."""
ROUNDING = 1e-9
"""Of the unit: errors of double precision, where a bound is zero as on a complete graph."""


def cases(settings: Mapping[str, Any], source: Path) -> Sequence[Case]:
    """Graphs × rounds, for `curve` and for `gradient`."""
    return scenario_cases(settings, source=source, controllers=["consensus"], measure=agreement)


def agreement(_results: StoredResults, run: Run) -> Row:
    """σ of the worst graph; errors of all steps and limits, each beside what it may be at most."""
    agreed, limits = run.table("agreement"), run.table("limits")
    if agreed.empty:
        return {}
    by_limit = agreed.groupby("limit", observed=True)[["contraction", "drift_eur_per_kwh"]].max()
    price_bound = pd.Series(
        leftover(by_limit["contraction"].to_numpy(), by_limit["drift_eur_per_kwh"].to_numpy()),
        index=by_limit.index.astype(str),
    )
    pairs = {
        "estimate_error_kw": (agreed["estimate_error_kw"], agreed["estimate_bound_kw"]),
        "price_error_eur_per_kwh": (
            limits["consensus_error_eur_per_kwh"],
            limits["limit"].astype(str).map(price_bound),
        ),
    }
    row = {"mixing_rate": float(agreed["mixing_rate"].max())}
    for measured, (error, bound) in pairs.items():
        row |= {measured: float(error.max()), BOUNDS[measured]: float(bound.max())}
        row |= _held_against(measured, error, bound)
    return row


def _held_against(measured: str, error: pd.Series, bound: pd.Series) -> Row:
    """How many errors are beyond their own bounds, of how many, and the largest share of a bound."""
    both = error.notna() & bound.notna()
    told = both & (bound > ROUNDING)
    return {
        f"{measured}.checked": int(both.sum()),
        f"{measured}.breaches": int((error > bound + ROUNDING)[both].sum()),
        f"{measured}.of_bound": float((error / bound)[told].max()),
    }


def read(table: pd.DataFrame) -> Reading:
    """Rounds needed by graph, whether more of them help, and measured errors against their bounds."""
    rows = table.assign(good=within_bars(table))[table["controller"] == "consensus"]
    step = "curve" if (rows[STEP] == "curve").any() else str(rows[STEP].iloc[0])
    needed = rounds_needed(rows[rows[STEP] == step])
    most = int(rows[ROUNDS].max())
    ranked = needed.fillna({"rounds needed": 2.0 * most})  # more than any that was tried
    differ = ranked["rounds needed"].nunique() > 1
    order = stats.spearmanr(ranked["σ"], ranked["rounds needed"]).statistic if differ else float("nan")
    trends = with_more_rounds(rows)
    falls = bool(len(trends)) and bool(trends[[f"{name} falls" for name in TRENDS]].all(axis=None))
    checked = [measured for measured in BOUNDS if rows[f"{measured}.checked"].sum()]
    bounded = not rows[[f"{measured}.breaches" for measured in BOUNDS]].sum().any()
    enough = bool((needed.loc[needed["σ"] > ROUNDING, "rounds needed"] <= FEW).any())
    verdict: Verdict = (
        "holds"
        if enough and bounded and falls and order > 0.0
        else "holds in part"
        if enough and (bounded or falls)
        else "does not hold"
    )
    words = [
        f"{graph} {'none up to ' + str(most) if rounds != rounds else f'{rounds:.0f}'}"
        for graph, rounds in zip(needed["graph"], needed["rounds needed"], strict=True)
    ]
    sentences = [
        f"Rounds from which `{step}` stays within all bars: {', '.join(words)}. "
        + ("A few" if enough else "No few")
        + f" (at most {FEW}) are enough on a graph that is not complete.",
        f"Graphs that mix slower need more: rank correlation of σ and rounds needed {order:.2f} (Spearman)."
        if differ
        else "No graph that was tried needs more rounds than another.",
        *_sentences_of_trends(trends),
        *(_against_bound(rows, measured) for measured in checked),
    ]
    return Reading(verdict, sentences, [needed, _shown(trends)])


def rounds_needed(rows: pd.DataFrame) -> pd.DataFrame:
    """By graph: the fewest rounds with which it is within the bars, and so with all more; NaN where none."""
    found = [
        {
            "graph": graph,
            "σ": part["mixing_rate"].max(),
            "rounds needed": fewest_lasting(part[ROUNDS], part["good"]),
            "peak % with K = 10": part.loc[part[ROUNDS] == 10, PEAK].max(),
        }
        for graph, part in rows.groupby(GRAPH, sort=False)
    ]
    return pd.DataFrame(found).sort_values("σ")


def with_more_rounds(rows: pd.DataFrame) -> pd.DataFrame:
    """By step and graph, where several K were tried: whether peak and spread fall with them.

    They do where the rank correlation with K is below zero, or where nothing is left to fall with any K.
    """
    found = []
    for (step, graph), part in rows.groupby([STEP, GRAPH], sort=False):
        by_rounds = part.groupby(ROUNDS)[list(TRENDS.values())].max().sort_index()
        if len(by_rounds) < 2:
            continue
        row: Row = {"step": step, "graph": graph, "σ": part["mixing_rate"].max()}
        for name, column in TRENDS.items():
            values = by_rounds[column].round(DIGITS[column])
            rank = stats.spearmanr(by_rounds.index, values).statistic if values.nunique() > 1 else np.nan
            row |= {
                f"{name} falls": bool(rank < 0.0 or (values <= GONE[column]).all()),
                f"{name}, fewest rounds": by_rounds[column].iloc[0],
                f"{name}, most rounds": by_rounds[column].iloc[-1],
                f"{name}, rank correlation": rank,
            }
        found.append(row)
    return pd.DataFrame(found)


def _sentences_of_trends(trends: pd.DataFrame) -> list[str]:
    sentences = []
    for step, part in trends.groupby("step", sort=False) if len(trends) else ():
        parts = []
        for name in TRENDS:
            against = list(part.loc[~part[f"{name} falls"], "graph"])
            parts.append(
                f"the {name} falls on {len(part) - len(against)} of {len(part)} graphs"
                + (f", not on {', '.join(against)}" if against else "")
            )
        sentences.append(f"`{step}`, with more rounds: {'; '.join(parts)}.")
    gradient = trends[trends["step"] == "gradient"] if len(trends) else trends
    if len(gradient) and not gradient["peak falls"].all():
        left = gradient["peak, most rounds"]
        sentences.append(
            "More mixing brings the copies of `gradient` together, but at this step size and number of "
            "iterations does not lower its violation on every graph: with the most rounds its peak is "
            f"between {left.min():.0f} and {left.max():.0f} % of the limit."
        )
    return sentences


def _shown(trends: pd.DataFrame) -> pd.DataFrame:
    return trends.drop(columns=[f"{name} falls" for name in TRENDS], errors="ignore")


def _against_bound(rows: pd.DataFrame, measured: str) -> str:
    cases = rows[rows[f"{measured}.checked"] > 0]
    checked, breaches = (int(cases[f"{measured}.{what}"].sum()) for what in ("checked", "breaches"))
    share = 100.0 * cases[f"{measured}.of_bound"]
    what = "estimates of `curve`" if measured == "estimate_error_kw" else "prices of `gradient`"
    return (
        f"The error of the {what} is beyond its own bound in {breaches} of {checked} steps and limits, in "
        f"{int((cases[f'{measured}.breaches'] > 0).sum())} of {len(cases)} cases; it comes to at most "
        f"{share.max():.0f} % of it, {share.median():.0f} % in the median of the cases' largest."
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
