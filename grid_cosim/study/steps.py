"""Which dual step needs how much talking for the same result, and how much hangs on the step size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grid_cosim.metrics import KPIS
from grid_cosim.scenario import DUAL_ITERATIONS
from grid_cosim.study.cases import Case, scenario_cases
from grid_cosim.study.statistics import fewest_lasting, within_bars
from grid_cosim.study.study import Reading, Study, Verdict

if TYPE_CHECKING:
    from grid_cosim.study.drawing import Figure

STEP, ROUNDS, ETA = "coordination.dual_step", "coordination.rounds", "coordination.gradient_step"
PEAK, MESSAGES, BYTES = (
    "peak_loading_percent",
    "messages_per_home_per_step",
    "message_bytes_per_home_per_step",
)
ITERATIONS = "coordination.dual_iterations"
TALKING = {"rounds": "rounds", "messages": "messages per home and step", "bytes": "bytes per home and step"}


def cases(settings: Mapping[str, Any], source: Path) -> Sequence[Case]:
    """Grids over steps, mixing, rounds and step sizes; and the same homes without control."""
    return scenario_cases(settings, source=source, controllers=["consensus"])


def read(table: pd.DataFrame) -> Reading:
    """The least talking with which every seed is within the bars, method by method."""
    settings = _settings(table)
    needed = least_talking(settings)
    least = needed.groupby("step")[list(TALKING)].min()
    fewest = {name: least[name].idxmin() if least[name].notna().any() else "none" for name in TALKING}
    first = [fewest[name] == "curve" for name in ("rounds", "messages")]
    verdict: Verdict = "holds" if all(first) else "holds in part" if any(first) else "does not hold"
    sentences = [
        "Within the bars means all of them: peak, energy above the limit, undelivered energy and cold, by "
        f"the lines of the KPIs, on each of {table['seed'].nunique()} seed(s).",
        *(f"`{step}`: {_least_words(row)}." for step, row in least.iterrows()),
        "The least of all the settings that were tried: "
        + "; ".join(f"{what} – `{fewest[name]}`" for name, what in TALKING.items())
        + ".",
        *_sensitivity(settings),
    ]
    return Reading(verdict, sentences, [_shown(needed)])


def _settings(table: pd.DataFrame) -> pd.DataFrame:
    """A row per seed and setting of `consensus`, with the words of its method."""
    rows = table.assign(good=within_bars(table))
    rows = rows[rows["controller"] == "consensus"].copy()
    gradient = rows[STEP] == "gradient"
    mixing = rows["coordination.mixing"] + rows["coordination.accelerated"].map(
        {True: ", accelerated", False: ", plain"}
    )
    given = rows.reindex(columns=[ITERATIONS])[ITERATIONS]  # there is no such column where no case sets it
    rows["iterations"] = given.fillna(rows[STEP].map(DUAL_ITERATIONS)).astype(int)
    rows["eta"] = rows[ETA].where(gradient)
    rows["method"] = rows[STEP] + ", " + mixing.where(~gradient, "η " + rows[ETA].map("{:g}".format))
    outage = rows["coordination.link_outage"]
    rows.loc[outage > 0.0, "method"] += (100.0 * outage).map(", {:.0f} % of links down".format)
    rows.loc[rows["iterations"] > 1, "method"] += ", D = " + rows["iterations"].astype(str)
    rows["rounds"] = rows[ROUNDS] * rows["iterations"]
    return rows


def least_talking(settings: pd.DataFrame) -> pd.DataFrame:
    """Per method the fewest rounds per step (K · D) from which all seeds stay within the bars, or NaN."""
    rows = []
    for method, part in settings.groupby("method", sort=False):
        rounds, tried = fewest_lasting(part["rounds"], part["good"]), part["rounds"]
        chosen = part[tried == (tried.max() if np.isnan(rounds) else rounds)]
        talking = [rounds, chosen[MESSAGES].mean(), chosen[BYTES].mean()]
        rows.append(
            {
                "step": chosen[STEP].iloc[0],
                "method": method,
                **(
                    dict.fromkeys(TALKING, np.nan)
                    if np.isnan(rounds)
                    else dict(zip(TALKING, talking, strict=True))
                ),
                PEAK: chosen[PEAK].max(),
                "tried": " ".join(str(k) for k in sorted(tried.unique())),
            }
        )
    return pd.DataFrame(rows)


def _least_words(least: pd.Series) -> str:
    if least.isna().all():
        return "no setting that was tried is within the bars"
    return "of the settings tried, within the bars from " + ", ".join(
        f"{least[name]:,.0f} {what}" for name, what in TALKING.items()
    )


def _sensitivity(settings: pd.DataFrame) -> list[str]:
    """What share of the step sizes works, for each number of iterations of `gradient`."""
    words = []
    for (rounds, iterations), part in settings[settings["eta"].notna()].groupby([ROUNDS, "iterations"]):
        good = part.groupby("eta")["good"].all()
        tried = ", ".join(f"{eta:g}" for eta in good.index)
        works = ", ".join(f"{eta:g}" for eta in good.index[good]) or "none"
        words.append(
            f"`gradient` with K = {rounds}, D = {iterations}: of η = {tried}, within the bars: {works}."
        )
    return words


def _shown(needed: pd.DataFrame) -> pd.DataFrame:
    """For people; the peak is that of the worst seed, where no rounds were enough with the most tried."""
    return needed.rename(columns={**TALKING, PEAK: "peak %", "tried": "rounds tried"}).drop(columns="step")


def draw(table: pd.DataFrame) -> Figure:
    """Peak over rounds and over bytes per method, and over the step size of `gradient`; worst seeds."""
    from grid_cosim.study.drawing import colours, legend_below, log_ticks, panels

    rows = _settings(table)
    gradient = rows[rows[STEP] == "gradient"]
    figure, axes = panels("peak, % of the limit", "peak, % of the limit", "gradient: peak, % of the limit")
    lines = {str(m): part for m, part in rows[rows[STEP] != "gradient"].groupby("method", sort=False)}
    lines["gradient, best η"] = _with_best_eta(gradient)
    palette = colours([_variant(method) for method in lines])
    markers = dict(zip(sorted(rows["iterations"].unique()), "os^Dv<>*" * len(rows), strict=False))
    for method, part in lines.items():
        worst = part.groupby("rounds")[[PEAK, BYTES]].max()
        step = method.partition(", ")[0]
        look = {
            "ls": {"curve": "-", "newton": "--", "gradient": ":"}[step],
            "color": palette[_variant(method)],
            "marker": "." if step == "gradient" else markers[part["iterations"].iloc[0]],
        }
        axes[0].plot(worst.index, worst[PEAK], label=method, **look)
        axes[1].plot(worst[BYTES], worst[PEAK], **look)
    for (rounds, iterations), part in gradient.groupby([ROUNDS, "iterations"]):
        by_eta = part.groupby("eta")[PEAK].max()
        axes[2].plot(by_eta.index, by_eta, marker="o", label=f"K = {rounds}, D = {iterations}")
    for axis in axes:
        axis.axhline(KPIS[PEAK].good_up_to, color="0.6", lw=0.8, ls="--")
    log_ticks(axes[0], rows["rounds"], "rounds per step, K · D")
    log_ticks(axes[1], [1e2, 1e3, 1e4, 1e5], "bytes per home and step")
    log_ticks(axes[2], gradient["eta"], "η, EUR/kWh per kW")
    if len(gradient):
        axes[2].legend()
    legend_below(figure, axes[0], columns=3)
    return figure


def _variant(method: str) -> str:
    """How it mixes, whichever step it is."""
    return method.partition(", ")[2].partition(", D =")[0]


def _with_best_eta(gradient: pd.DataFrame) -> pd.DataFrame:
    """For each number of rounds the rows of the step size whose worst peak is the lowest."""
    worst = gradient.groupby(["rounds", "eta"], as_index=False)[PEAK].max()
    best = worst.sort_values(PEAK).drop_duplicates("rounds")
    return gradient.merge(best[["rounds", "eta"]], on=["rounds", "eta"])


STUDY = Study(
    title="Answer curves need the least talking",
    claim="Telling the whole answer curve (`curve`, new here) gets to the same result with fewer rounds and "
    "messages than Newton's and the paper's gradient step, and has no step size to choose. Its messages are "
    "longer.",
    cases=cases,
    read=read,
    draw=draw,
)
