"""What is said of a table follows from the table: each verdict can be lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from grid_cosim.metrics import KPIS
from grid_cosim.study import consensus, optimum, rounds, scaling, steps
from grid_cosim.study.drawing import drawn
from grid_cosim.study.page import markdown, page
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
    rows += [{"what": PRIVATE, "kind": "car", "n_homes": n, "seconds": n**private} for n in (100, 1000)]
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
                errors = {
                    "estimate_error_kw": error_of_bound if step == "curve" else float("nan"),
                    "estimate_bound_kw": 1.0 if step == "curve" else float("nan"),
                    "price_error_eur_per_kwh": error_of_bound if step == "gradient" else float("nan"),
                    "price_bound_eur_per_kwh": 1.0 if step == "gradient" else float("nan"),
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
            run_of(name, title="village", total_cost_gap_percent=gap, flexibility_cost_gap_percent=10 * gap)
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
        (scaling.read(growth(central_unserved=(0.0, 0.0))), "holds in part"),
        (scaling.read(growth(execution=1.2, central_unserved=(0.0, 0.0))), "does not hold"),
        (rounds.read(talked(error_of_bound=1.1)), "holds in part"),
        (rounds.read(talked(error_of_bound=1.1, spread=(0.0, 3.0))), "does not hold"),
        (steps.read(methods(curve_peaks=(110.0, 110.0))), "does not hold"),
        (optimum.read(gaps(consensus_percent=0.3)), "does not hold"),
    ],
)
def test_a_verdict_is_lost_where_the_table_says_otherwise(reading: object, verdict: str) -> None:
    assert reading.verdict == verdict  # type: ignore[attr-defined]


def test_one_error_beyond_its_bound_is_enough_to_lose_a_verdict() -> None:
    table = talked()
    table.loc[table.index[table["estimate_error_kw"].notna()][-1], "estimate_error_kw"] = 1.1
    reading = rounds.read(table)
    assert reading.verdict == "holds in part"
    assert any("within its bound in 3 of 4 cases" in sentence for sentence in reading.sentences)


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
