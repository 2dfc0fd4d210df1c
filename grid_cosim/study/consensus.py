"""What talking to the neighbours is worth, for any number of homes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from grid_cosim.metrics import KPIS
from grid_cosim.study.cases import Case, scenario_cases
from grid_cosim.study.statistics import Interval, by_group, mean_interval, same_homes
from grid_cosim.study.study import Reading, Study, Verdict

if TYPE_CHECKING:
    from grid_cosim.study.drawing import Figure

ABOVE, UNSERVED, OWED = "energy_above_limit_percent", "unserved_energy_percent", "owed_kwh_per_home"
SHOWN = {ABOVE: "above limit %", UNSERVED: "not delivered %", OWED: "owed at the end, kWh per home"}


def cases(settings: Mapping[str, Any], source: Path) -> Sequence[Case]:
    """Areas × seeds, each under all controllers."""
    return scenario_cases(settings, source=source, controllers=["uncontrolled", "independent", "consensus"])


def read(table: pd.DataFrame) -> Reading:
    """For every number of homes: whether the limit is held, and whether everything is delivered."""
    table = _per_home(table)
    sizes = {int(n): part for n, part in table.groupby("n_homes")}
    held = [n for n, part in sizes.items() if _holds_and_delivers(part)]
    nearly = [n for n, part in sizes.items() if _does_in_the_mean(part) and n not in held]
    sacrificed = [n for n, part in sizes.items() if _delivers_less(part)]
    overloaded = [
        n for n, part in sizes.items() if mean_interval(_of(part, "uncontrolled", ABOVE)).low > _line(ABOVE)
    ]
    broken = [n for n in sizes if n not in held and n not in nearly]
    verdict: Verdict = (
        "holds"
        if len(held) == len(sacrificed) == len(overloaded) == len(sizes)
        else "holds in part"
        if held or nearly
        else "does not hold"
    )
    homes = _listed(list(sizes))
    sentences = [
        f"Means over {_seeds(table)} with 95 % intervals (Student's t), for {homes} homes. What is said "
        "here is said of the whole interval.",
        f"Without control the energy above the limit is beyond {_line(ABOVE)} % for {_listed(overloaded)} "
        "homes.",
        f"`consensus` keeps it up to {_line(ABOVE)} % and at most {_line(UNSERVED)} % undelivered for "
        f"{_listed(held)} homes"
        + (f"; in the mean, but not with its interval, for {_listed(nearly)}" if nearly else "")
        + (f"; it does not for {_listed(broken)}." if broken else "."),
        f"`independent` leaves more undelivered than `consensus` (interval of the difference, seed by seed, "
        f"above zero) for {_listed(sacrificed)} homes.",
        *_sentence_of_worst(table),
    ]
    return Reading(verdict, sentences, [_summary(table)])


def _per_home(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{OWED: table["deferred_energy_kwh"] / table["n_homes"]})


def _of(part: pd.DataFrame, controller: str, kpi: str) -> pd.Series:
    return part.loc[part["controller"] == controller, kpi].dropna()


def _line(kpi: str) -> float:
    line = KPIS[kpi].good_up_to
    assert line is not None
    return line


def _of_consensus(part: pd.DataFrame) -> list[tuple[Interval, float]]:
    """Both KPIs that count, and their lines; a single seed has no interval, and shows nothing."""
    return [(mean_interval(_of(part, "consensus", kpi)), _line(kpi)) for kpi in (ABOVE, UNSERVED)]


def _holds_and_delivers(part: pd.DataFrame) -> bool:
    return all(found.high <= line for found, line in _of_consensus(part))


def _does_in_the_mean(part: pd.DataFrame) -> bool:
    return all(found.mean <= line for found, line in _of_consensus(part))


def _delivers_less(part: pd.DataFrame) -> bool:
    """Whether `independent` leaves more undelivered than `consensus`, homes by homes, beyond the interval."""
    by_homes = (
        part.assign(homes=same_homes(part))
        .pivot_table(index="homes", columns="controller", values=UNSERVED)
        .reindex(columns=["independent", "consensus"])  # where nothing was due there is no such column
    )
    return mean_interval((by_homes["independent"] - by_homes["consensus"]).dropna()).low > 0.0


def _seeds(table: pd.DataFrame) -> str:
    """How many, and where there are others than mostly."""
    by_size = table.groupby("n_homes")["seed"].nunique()
    usual = int(by_size.max())
    others = "; ".join(f"{homes:,} homes: {n}" for homes, n in by_size[by_size < usual].items())
    return f"{usual} seeds" + (f" ({others})" if others else "")


def _sentence_of_worst(table: pd.DataFrame) -> list[str]:
    """The worst single case of `consensus`, so that no mean hides it."""
    rows = table[table["controller"] == "consensus"]
    worst = rows.loc[rows["peak_loading_percent"].idxmax()]
    least = rows.loc[rows[UNSERVED].fillna(0.0).idxmax()]
    return [
        f"The highest peak of `consensus` over all cases is {worst['peak_loading_percent']:.1f} % of the "
        f"limit ({worst['n_homes']} homes, seed {worst['seed']}); the most that it leaves undelivered is "
        f"{least[UNSERVED]:.3f} % ({least['n_homes']} homes, seed {least['seed']})."
    ]


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean ± half the interval by homes and controller."""
    rows = []
    for (homes, controller), part in table.groupby(["n_homes", "controller"], sort=False):
        row: dict[str, Any] = {"homes": homes, "controller": controller, "seeds": len(part)}
        for kpi, heading in {"peak_loading_percent": "peak %", **SHOWN}.items():
            mean, low, high = mean_interval(part[kpi])
            row[heading] = f"{mean:.2f} ± {(high - low) / 2:.2f}"
        rows.append(row)
    return pd.DataFrame(rows).sort_values("homes", kind="stable")


def _listed(numbers: Sequence[int]) -> str:
    words = [f"{n:,}" for n in sorted(numbers)]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "no number of"


def draw(table: pd.DataFrame) -> Figure:
    """Violation, undelivered energy and backlog over the number of homes."""
    from grid_cosim.study.drawing import colours, legend_below, log_ticks, panels, with_intervals

    table = _per_home(table)
    figure, axes = panels(*SHOWN.values())
    palette = colours(list(table["controller"].unique()))
    for axis, kpi in zip(axes, SHOWN, strict=True):
        means = by_group(table, ["n_homes", "controller"], kpi).sort_values("n_homes")
        for k, (controller, part) in enumerate(means.groupby("controller", sort=False)):
            beside = part.assign(n_homes=part["n_homes"] * 1.04**k)  # else the bars hide each other
            with_intervals(axis, beside, "n_homes", label=str(controller), colour=palette[str(controller)])
        log_ticks(axis, table["n_homes"], "homes")
    legend_below(figure, axes[0])
    return figure


STUDY = Study(
    title="Consensus is essential",
    claim="Without messages the limit can only be held by leaving energy undelivered; when neighbours agree "
    "on a price, the limit holds and everything is delivered, for any number of homes.",
    cases=cases,
    read=read,
    draw=draw,
)
