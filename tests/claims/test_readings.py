"""What is said of a table follows from the table: each verdict can be lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grid_cosim.errors import ResultsError
from grid_cosim.metrics import KPIS
from grid_cosim.study import consensus, optimum, rounds, scaling, steps
from grid_cosim.study.drawing import drawn
from grid_cosim.study.page import markdown, page, write_page
from grid_cosim.study.statistics import Interval
from grid_cosim.study.study import STUDIES, study_named
from grid_cosim.study.tables import StudyResults, tidy
from grid_cosim.study.timing import EXECUTION
from grid_cosim.study.trainings import CENTRAL, PRIVATE, SHARED, TRIAL

SAME = {"seed": 1, "feeder.source": "x", "feeder.limit_share": 1.0, "time.hours": 24.0, "title": "t"}


def run_of(controller: str, **columns: object) -> dict[str, object]:
    """A run that is within all bars, but for `columns`."""
    return {"controller": controller, **dict.fromkeys(KPIS, 0.0), **SAME, **columns}


def essential(independent_percent: float = 30.0, above_percent: float = 0.05) -> pd.DataFrame:
    """Two sizes, three seeds; without control 4 % of the energy is above the limit."""
    by_controller = {
        "uncontrolled": {"energy_above_limit_percent": 4.0},
        "independent": {"unserved_energy_percent": independent_percent},
        "consensus": {"energy_above_limit_percent": above_percent},
    }
    return tidy(
        [
            run_of(controller, seed=seed, n_homes=homes, **{k: v + 0.01 * seed for k, v in kpis.items()})
            for homes in (31, 177)
            for seed in (1, 2, 3)
            for controller, kpis in by_controller.items()
        ]
    )


def growth(
    execution: float = 1.0, private: float = 1.0, central_unserved: Sequence[float] = (0.0, 9.0)
) -> pd.DataFrame:
    """Times that are powers of N; a team of 2 and one of 50 homes that were trained centrally."""
    tried = {f"{who}.{what}": 0.0 for who in ("central", "consensus", "uncontrolled") for what in (
        "cost_eur_per_home_and_day", "excess_percent", "unserved_percent")}  # fmt: skip
    rows: list[dict[str, object]] = [
        {"what": EXECUTION, "n_homes": n, "seconds": 1e-4 * n**execution, "preparing_s": 1.0}
        for n in (100, 1000, 10000)
    ]
    rows += [{"what": PRIVATE, "kind": "car", "n_homes": n, "seconds": n**private} for n in (100, 500, 1000)]
    rows += [{"what": SHARED, "kind": "car", "seconds": 90.0}]
    rows += [{"what": CENTRAL, "n_homes": n, "seconds": n**1.5, "experience_bytes": 1e6} for n in (2, 100)]
    rows += [
        {"what": TRIAL, "n_homes": n, **tried, "uncontrolled.excess_percent": 5.0}
        | {"central.unserved_percent": unserved}
        for n, unserved in zip((2, 50), central_unserved, strict=True)
    ]
    return tidy(rows)


def talked(error_of_bound: float = 0.9, spread: Sequence[float] = (3.0, 0.0)) -> pd.DataFrame:
    """Two graphs, K = 2 and 10; the slower one needs 10."""
    rows = [run_of("uncontrolled", **{"coordination.dual_step": "curve", "coordination.rounds": 10})]
    for graph, sigma, peaks in (("complete", 0.0, (100.0, 100.0)), ("ring", 0.9, (130.0, 100.0))):
        for k, peak, apart in zip((2, 10), peaks, spread, strict=True):
            for step in ("curve", "gradient"):
                errors = {}
                for measured, of_step in zip(rounds.BOUNDS, ("curve", "gradient"), strict=True):
                    held = step == of_step
                    errors |= {
                        measured: error_of_bound if held else float("nan"),
                        rounds.BOUNDS[measured]: 1.0 if held else float("nan"),
                        f"{measured}.checked": 96 if held else 0,
                        f"{measured}.breaches": 2 if held and error_of_bound > 1.0 else 0,
                        f"{measured}.of_bound": error_of_bound if held else float("nan"),
                    }
                setting = {
                    "coordination.dual_step": step,
                    "coordination.graph": graph,
                    "coordination.rounds": k,
                }
                kpis = {"peak_loading_percent": peak, "price_spread_eur_per_kwh": apart, "mixing_rate": sigma}
                rows.append(run_of("consensus", **setting, **kpis, **errors))
    return tidy(rows)


def methods(curve_peaks: Sequence[float] = (110.0, 100.0), newton_peak: float = 100.0) -> pd.DataFrame:
    """Curve with K = 5 and 10, newton with K · D = 40, gradient that holds with one of two step sizes."""

    def row(step: str, k: int, d: int, eta: float, peak: float) -> dict[str, object]:
        return run_of(
            "consensus",
            peak_loading_percent=peak,
            messages_per_home_per_step=4.0 * k * d,
            message_bytes_per_home_per_step=4.0 * k * d * (600.0 if step == "curve" else 24.0),
            **{
                "coordination.dual_step": step,
                "coordination.mixing": "tracked",
                "coordination.accelerated": True,
                "coordination.link_outage": 0.0,
                "coordination.rounds": k,
                "coordination.dual_iterations": d,
                "coordination.gradient_step": eta,
            },
        )

    return tidy(
        [
            *(row("curve", k, 1, 0.02, peak) for k, peak in zip((5, 10), curve_peaks, strict=True)),
            row("newton", 10, 4, 0.02, newton_peak),
            row("gradient", 10, 20, 0.001, 129.0),
            row("gradient", 10, 20, 0.01, 100.0),
        ]
    )


def gaps(consensus_percent: float = 0.1) -> pd.DataFrame:
    by_controller = {
        "uncontrolled": -0.1,
        "consensus": consensus_percent,
        "centralised": 0.09,
        "optimum": 0.0,
    }
    return tidy(
        [
            run_of(
                name,
                title="village",
                total_cost_gap_percent=gap,
                flexibility_cost_gap_percent=10 * gap,
                besides_energy_gap_percent=8 * gap,
                hardship_eur=40.0,
                besides_energy_eur=50.0,
            )
            for name, gap in by_controller.items()
        ]
    )


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "consensus": essential,
    "scaling": growth,
    "rounds": talked,
    "steps": methods,
    "optimum": gaps,
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_table_as_claimed_is_read_as_such_and_can_be_drawn(name: str, tmp_path: Path) -> None:
    study, table = study_named(name), TABLES[name]()
    assert study.read(table).verdict == "holds"
    for file in ("one.svg", "two.svg"):
        drawn(study.draw, table, tmp_path / file)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize(
    ("reading", "verdict"),
    [
        (consensus.read(essential(independent_percent=0.0)), "holds in part"),
        (consensus.read(essential(above_percent=0.2)), "does not hold"),
        (scaling.read(growth(execution=1.2)), "holds in part"),
        (scaling.read(growth(private=1.2)), "holds in part"),
        (scaling.read(growth(execution=1.2, private=1.2)), "does not hold"),
        (rounds.read(talked(error_of_bound=1.1)), "holds in part"),
        (rounds.read(talked(spread=(0.0, 3.0))), "holds in part"),
        (rounds.read(talked(error_of_bound=1.1, spread=(0.0, 3.0))), "does not hold"),
        (steps.read(methods(curve_peaks=(110.0, 110.0))), "does not hold"),
        (optimum.read(gaps(consensus_percent=0.3)), "does not hold"),
    ],
)
def test_a_verdict_is_lost_where_the_table_says_otherwise(reading: object, verdict: str) -> None:
    assert reading.verdict == verdict  # type: ignore[attr-defined]


def test_one_error_beyond_its_bound_is_enough_to_lose_a_verdict() -> None:
    table = talked()
    row = table.index[table["coordination.dual_step"].eq("curve") & table["controller"].eq("consensus")][-1]
    table.loc[row, "estimate_error_kw.breaches"] = 1
    reading = rounds.read(table)
    assert reading.verdict == "holds in part"
    assert any("in 1 of 384 steps and limits, in 1 of 4 cases" in sentence for sentence in reading.sentences)


def test_more_rounds_that_do_not_help_lose_the_verdict_and_are_named() -> None:
    table = talked()
    rising = table["coordination.graph"].eq("ring") & table["coordination.dual_step"].eq("gradient")
    table.loc[rising, "peak_loading_percent"] = [115.0, 130.0]
    reading = rounds.read(table)
    assert reading.verdict == "holds in part"
    said = " ".join(reading.sentences)
    assert "`gradient`, with more rounds: the peak falls on 1 of 2 graphs, not on ring" in said
    assert "its peak is between 100 and 130 % of the limit" in said
    assert "`curve`, with more rounds: the peak falls on 2 of 2 graphs; the spread falls on 2 of 2" in said


def test_a_peak_that_stays_above_the_limit_does_not_fall() -> None:
    table = talked()
    table.loc[table["coordination.dual_step"].eq("gradient"), "peak_loading_percent"] = 131.0
    assert rounds.read(table).verdict == "holds in part"


def test_no_few_rounds_are_enough_where_only_a_complete_graph_holds() -> None:
    table = talked()
    table.loc[table["coordination.graph"] == "ring", "peak_loading_percent"] = 110.0
    assert rounds.read(table).verdict == "does not hold"


def test_the_gradient_alone_can_be_read() -> None:
    table = talked()
    table = table[table["coordination.dual_step"] == "gradient"]
    assert any("`gradient` stays within" in sentence for sentence in rounds.read(table).sentences)


def test_a_low_cost_by_breaking_a_limit_is_of_no_account() -> None:
    table = gaps()
    table.loc[table["controller"] == "consensus", "peak_loading_percent"] = 120.0
    reading = optimum.read(table)
    assert reading.verdict == "does not hold"
    assert any("whatever it costs: village" in sentence for sentence in reading.sentences)
    assert any("shares: 0 of 1 cases; of the second: 0." in sentence for sentence in reading.sentences)


def test_cases_without_a_share_are_counted_and_named() -> None:
    table = gaps()
    table["flexibility_cost_gap_percent"] = float("nan")
    said = " ".join(optimum.read(table).sentences)
    assert "In 1 of 1 cases discomfort and delay cost the optimum nothing" in said
    assert "share of it: village" in said


def noisy(exponent: float, noise: Sequence[float]) -> pd.DataFrame:
    """As `growth`, with times of deciding that scatter."""
    table = growth(execution=exponent)
    table.loc[table["what"] == EXECUTION, "seconds"] *= np.array(noise)
    return table


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (noisy(1.0, (1.002, 0.998, 1.002)), "holds"),
        (growth(private=0.8), "holds in part"),  # less than N times as much is not as claimed
        (growth(execution=1.2, private=0.8), "does not hold"),
        (growth()[lambda t: t["n_homes"].isin([2, 50, 100]) | t["n_homes"].isna()], "is not decided"),
    ],
)
def test_growth_is_judged_by_the_upper_end_of_its_interval(table: pd.DataFrame, said: str) -> None:
    assert scaling.read(table).verdict == said


@pytest.mark.parametrize(
    ("fit", "at_most", "is_one"),
    [
        (Interval(1.0, 0.96, 1.04), "holds", "holds"),
        (Interval(1.0, 0.9, 1.1), "holds in part", "holds in part"),
        (Interval(0.7, 0.66, 0.74), "holds", "does not hold"),
        (Interval(1.2, 1.19, 1.21), "does not hold", "does not hold"),
        (Interval(0.62, 0.04, 1.21), "is not decided", "is not decided"),
        (Interval(1.0, float("nan"), float("nan")), "is not decided", "is not decided"),
    ],
)
def test_an_exponent_is_what_its_whole_interval_says(fit: Interval, at_most: str, is_one: str) -> None:
    assert scaling._at_most(fit, 1.05) == at_most
    assert scaling._is_one(fit) == is_one


def test_times_of_one_size_decide_nothing() -> None:
    reading = scaling.read(tidy([{"what": EXECUTION, "n_homes": 20, "seconds": 1.0}]))
    assert reading.verdict == "is not decided"


def test_where_nothing_was_due_nobody_delivers_less() -> None:
    table = essential().assign(unserved_energy_percent=float("nan"))
    assert consensus.read(table).verdict == "does not hold"


def test_growth_at_the_large_end_is_not_hidden_by_a_pooled_fit() -> None:
    table = growth()
    more = [
        {"what": EXECUTION, "n_homes": n, "seconds": (n / 1e4) ** 1.3, "preparing_s": (n / 1e4) ** 1.5}
        for n in (20000, 50000, 100000)
    ]
    reading = scaling.read(tidy([*table.to_dict("records"), *more]))
    said = " ".join(reading.sentences)
    assert "in the last decade of N as N^1.30" in said
    assert "Laying out homes and graph, once: time grows as" in said
    assert reading.verdict == "holds in part"


def test_limits_that_differ_are_no_double_entries_and_a_mean_alone_is_not_enough() -> None:
    table = essential()
    twice = pd.concat([table, table.assign(**{"feeder.limit_share": 0.5})], ignore_index=True)
    assert consensus.read(twice).verdict == "holds"
    wide = essential()
    wide.loc[wide["controller"] == "consensus", "energy_above_limit_percent"] = [0.0, 0.0, 0.15] * 2
    reading = consensus.read(wide)
    assert reading.verdict == "holds in part"
    assert any("in the mean, but not with its interval, for 31 and 177" in s for s in reading.sentences)


def test_sizes_with_fewer_seeds_are_named() -> None:
    table = essential()
    table = table[(table["n_homes"] == 31) | (table["seed"] < 3)]
    assert "Means over 3 seeds (177 homes: 2)" in consensus.read(table).sentences[0]


def test_a_table_that_cannot_be_read_says_so_and_leaves_the_others_their_page(tmp_path: Path) -> None:
    about = {"versions": {"grid-cosim": "0.1.0"}, "processor": "abacus", "cores": 2}
    StudyResults("steps", False, methods(), about | {"source": "mine/steps.toml"}).save(
        tmp_path / "steps.parquet"
    )
    StudyResults("rounds", False, methods(), about).save(tmp_path / "rounds.parquet")
    text = write_page(tmp_path).read_text("utf-8")
    assert "This table cannot be read (KeyError:" in text
    assert "**It is not decided.**" in text
    assert "`grid-cosim benchmark mine/steps.toml`: 5 rows" in text
    assert {path.name for path in tmp_path.glob("*.svg")} == {"steps.svg"}
    with pytest.raises(ResultsError, match="there is no table of optimum"):
        write_page(tmp_path, ["optimum"])


def test_the_figure_shows_the_gradient_with_its_best_step_size() -> None:
    lines = {str(line.get_label()): line for line in steps.draw(methods()).axes[0].get_lines()}
    assert list(lines["gradient, best η"].get_ydata()) == [100.0]


def test_methods_are_compared_by_the_least_talking_that_is_enough() -> None:
    reading = steps.read(methods())
    (table,) = reading.tables
    needed = table.set_index("method")["rounds"]
    assert needed["curve, tracked, accelerated"] == 10.0
    assert needed["newton, tracked, accelerated, D = 4"] == 40.0
    assert pd.isna(needed["gradient, η 0.001, D = 20"])
    assert any("of η = 0.001, 0.01, within the bars: 0.01" in sentence for sentence in reading.sentences)
    assert any("bytes per home and step – `newton`" in sentence for sentence in reading.sentences)


def test_the_exponents_of_a_page_are_those_of_the_table() -> None:
    said = " ".join(scaling.read(growth(execution=0.9)).sentences)
    assert "Deciding: time grows as N^0.90 (95 % interval 0.90 to 0.90), 100 to 10,000 homes" in said
    assert "for these numbers of homes: 2 (of 2, 50)" in said


def test_the_page_shows_every_study_with_its_verdict_and_survives_the_disk(tmp_path: Path) -> None:
    about = {"versions": {"grid-cosim": "0.1.0"}, "processor": "abacus", "cores": 2}
    StudyResults("steps", True, methods(), about).save(tmp_path / "steps.parquet")
    kept = StudyResults.load(tmp_path / "steps.parquet")
    assert kept.provenance == about
    pd.testing.assert_frame_equal(kept.table, methods())
    text = page({"steps": kept})
    assert "| [Answer curves need the least talking](#steps) | holds |" in text
    assert "quick variant" in text
    assert "on abacus, 2 cores" in text


def test_numbers_in_tables_are_short_and_unknown_ones_a_dash() -> None:
    shown = markdown(
        pd.DataFrame({"x": [1234.5678, 0.123456, float("nan"), 2.0, 1e-20], "a|b": ["p|q", "", "", "", ""]})
    )
    assert shown.splitlines() == [
        "| x | a|b |",
        "|---:|---|",
        "| 1,235 | p\\|q |",
        "| 0.1235 |  |",
        "| – |  |",
        "| 2 |  |",
        "| 0 |  |",
    ]
