"""The optimum as a controller in a whole run: what its devices and its transformer did, by the results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grid_cosim import Results
from grid_cosim.assembly import assemble, scenario_feeder
from grid_cosim.metrics import kpis
from grid_cosim.optimum import Scheduled
from grid_cosim.runner import run
from grid_cosim.scenario import Scenario, load_scenario

SMALL = [
    "feeder.source=schutterwald:13",  # 15 homes
    "time.start=2016-01-04T17:00:00",
    "time.hours=3",
    "feeder.limit_share=0.06",
    "controllers=['uncontrolled', 'optimum']",
]


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("cold_evening.toml", SMALL)


@pytest.fixture(scope="module")
def scheduled(scenario: Scenario) -> Scheduled:
    planned = assemble(scenario, scenario_feeder(scenario), "optimum")
    assert planned.policies == {}
    assert isinstance(planned.controller, Scheduled)
    return planned.controller


@pytest.fixture(scope="module")
def results(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Results:
    seen: list[tuple[str, int, int]] = []
    done = run(
        scenario,
        out=tmp_path_factory.mktemp("run") / "small",
        progress=lambda *news: seen.append(news),
    )
    assert seen[0] == ("optimum", 0, 12)  # solving comes first, and takes a while
    return done


def test_the_run_costs_what_the_solver_says(results: Results, scheduled: Scheduled) -> None:
    values = kpis(results)["optimum"]
    assert values["total_cost_eur"] == pytest.approx(scheduled.schedule.objective_eur, rel=1e-5)
    assert values["total_cost_gap_percent"] == 0.0
    assert values["messages_per_home_per_step"] == 0.0


def test_rounding_leaves_no_trace(results: Results) -> None:
    devices = results.runs["optimum"].table("devices")
    cars = devices[devices["kind"] == "electric_vehicle"]
    for column in ("p_kw", "unserved_kwh", "owed_kwh"):
        values = cars[column].to_numpy()
        assert (values >= 0.0).all()
        assert not ((values > 0.0) & (values < 1e-6)).any(), column


def test_the_transformer_is_used_to_its_limit(results: Results) -> None:
    values = kpis(results)
    assert values["uncontrolled"]["peak_loading_percent"] > 110.0
    # as close as the schedule is corrected: 0.05 points of a limit of 6 %
    assert values["optimum"]["peak_loading_percent"] == pytest.approx(100.0, abs=100.0 * 0.05 / 6.0)


def test_the_results_show_the_dual_variables(results: Results, scheduled: Scheduled) -> None:
    limits = results.runs["optimum"].table("limits")
    price = scheduled.schedule.price_eur_per_kwh[:, 0]
    assert price.max() > 1e-3
    for column in ("price_mean_eur_per_kwh", "price_min_eur_per_kwh", "price_max_eur_per_kwh"):
        np.testing.assert_allclose(limits[column], price, rtol=1e-12)
    households = results.runs["optimum"].table("households")
    np.testing.assert_allclose(
        households.groupby("time", observed=True)["price_eur_per_kwh"].first(), price, rtol=1e-12
    )


def test_the_results_say_how_the_optimum_came_about(results: Results) -> None:
    assert any("optimum" in note and "solved" in note for note in results.notes)


def test_only_who_asks_for_an_optimum_waits_for_the_modelling_library(tmp_path: Path) -> None:
    code = "import sys, grid_cosim.runner; print('cvxpy' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shown.stdout.split() == ["False"]
