"""The quick variant of every study runs, and shows what is claimed on a small scale."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from grid_cosim.study import STUDIES, rounds, run_study, statistics
from grid_cosim.study.page import page, stored
from grid_cosim.study.trainings import CENTRAL, PRIVATE, SHARED, TRIAL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("claims")


def table(name: str, folder: Path) -> pd.DataFrame:
    """The table of a study, run once."""
    found = stored(folder)
    return found[name].table if name in found else run_study(name, out=folder, quick=True, jobs=1).table


def test_only_who_talks_holds_the_limit_and_serves_everybody(folder: Path) -> None:
    means = (
        table("consensus", folder)
        .groupby("controller")[["energy_above_limit_percent", "unserved_energy_percent"]]
        .mean()
    )
    above, unserved = means["energy_above_limit_percent"], means["unserved_energy_percent"]
    assert above["uncontrolled"] > 10.0 * above["consensus"]
    assert above["independent"] < 0.01
    assert unserved["independent"] > 5.0 > 0.5 > unserved["consensus"]


def test_slower_graphs_need_more_rounds_and_errors_stay_within_their_bounds(folder: Path) -> None:
    rows = table("rounds", folder)
    curve = rows[rows["coordination.dual_step"] == "curve"].assign(good=statistics.within_bars)
    needed = rounds.rounds_needed(curve).set_index("graph")["rounds needed"]
    assert needed["complete"] == 1.0
    assert needed["random_regular"] == 10.0
    assert pd.isna(needed["line"])
    for measured, bound in rounds.BOUNDS.items():
        both = rows.dropna(subset=[bound])
        assert len(both) > 1
        assert (both[measured] <= both[bound] + rounds.ROUNDING).all()
        assert (both[measured] > 1e-3 * both[bound]).any(), "a bound so far off shows nothing"


def test_curves_need_the_fewest_rounds_and_the_gradient_hangs_on_its_step(folder: Path) -> None:
    rows = table("steps", folder)
    good = rows.assign(good=statistics.within_bars).groupby(
        ["coordination.dual_step", "coordination.rounds"]
    )["good"]
    assert good.all()["curve", 10]
    peaks = rows[rows["coordination.dual_step"] == "gradient"].set_index("coordination.gradient_step")[
        "peak_loading_percent"
    ]
    assert abs(peaks[0.001] - peaks[0.1]) > 10.0


def test_the_optimum_is_the_cheapest_that_holds_the_limit_and_consensus_is_near(folder: Path) -> None:
    rows = table("optimum", folder).set_index("controller")
    gap = rows["total_cost_gap_percent"]
    assert gap["optimum"] == 0.0
    assert 0.0 < gap["consensus"] < 1.0
    assert abs(gap["consensus"] - gap["centralised"]) < 0.1
    assert rows.loc["optimum", "peak_loading_percent"] < 100.5


def test_shared_training_knows_no_number_of_homes_and_a_central_critic_pays_more(
    folder: Path,
) -> None:
    rows = table("scaling", folder)
    by_work = dict(list(rows.groupby("what")))
    assert by_work[SHARED]["n_homes"].isna().all()
    assert len(by_work[PRIVATE]) == len(by_work[CENTRAL]) == 2
    assert (rows.loc[rows["what"] != TRIAL, "seconds"] > 0.0).all()
    (trial,) = by_work[TRIAL].to_dict("records")
    assert trial["consensus.excess_percent"] < 0.1
    assert trial["consensus.unserved_percent"] < 0.5
    cost = {who: trial[f"{who}.cost_eur_per_home_and_day"] for who in ("central", "consensus")}
    assert cost["central"] > cost["consensus"]  # after so few episodes


def test_the_page_is_what_its_tables_say(folder: Path) -> None:
    for name in STUDIES:
        table(name, folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text == page(stored(folder))
    assert text.count("This is the quick variant") == len(STUDIES)
    assert all(f"]({name}.svg)" in text and (folder / f"{name}.svg").is_file() for name in STUDIES)
    assert list(folder.glob("*.cases")) == []
