from __future__ import annotations

import dataclasses
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from grid_cosim import Results, plots
from grid_cosim.cli import app
from grid_cosim.metrics import kpis
from grid_cosim.plots.style import dashes, on_colour
from grid_cosim.report import build_report
from grid_cosim.report.answers import card, headline, most_loaded
from grid_cosim.report.cases import side_by_side
from grid_cosim.scenario.sections import CONTROLLERS
from tests.results.builders import street_topology, synthetic_results
from tests.results.colours import VISIONS, contrast, difference, lab


@pytest.fixture(scope="module")
def results() -> Results:
    return synthetic_results(street_topology(2, 6), n_steps=96)


def changed(results: Results, controller: str, **tables: object) -> Results:
    """The same with some columns of `limits` set; the summaries follow from the rows."""
    run = results.runs[controller]
    limits = run.tables["limits"].assign(**tables)
    runs = {**results.runs, controller: dataclasses.replace(run, tables={**run.tables, "limits": limits})}
    return dataclasses.replace(results, runs=runs)


def later(results: Results, *, days: int = 0, every: int = 1) -> Results:
    """The same a number of days later, or only every so many steps of it."""

    def moved(rows: pd.DataFrame) -> pd.DataFrame:
        kept = rows["time"].isin(np.sort(rows["time"].unique())[::every])
        return rows[kept].assign(time=rows.loc[kept, "time"].to_numpy() + np.timedelta64(days, "D"))

    runs = {
        name: dataclasses.replace(run, tables={table: moved(rows) for table, rows in run.tables.items()})
        for name, run in results.runs.items()
    }
    basis = dataclasses.replace(results.basis, dt_h=results.basis.dt_h * every)
    return dataclasses.replace(results, runs=runs, basis=basis)


def test_the_first_answer_is_the_peak_with_the_hours_above(results):
    loading = np.full(2 * 96, 50.0)
    loading[[20, 22, 25]] = 120.0, 130.0, 110.0  # rows of Trafo-0 in steps 10 and 11, of Trafo-1 in step 12
    shown = changed(results, "consensus", loading_percent=loading)
    made = card(shown, "consensus", kpis(shown))
    limit, worst, *_ = made.answers
    assert (limit.figure, limit.good) == ("130 %", False)
    assert limit.detail == "peak loading, of the limit; 0.75 h above it"
    assert (worst.figure, worst.detail) == ("Trafo-0", "Tue 19 Jan 14:45")
    assert made.verdict.startswith("Overloaded")
    assert made.good is False


def test_a_peak_just_above_the_limit_is_not_rounded_to_it(results):
    shown = changed(results, "consensus", loading_percent=100.6)
    limit = card(shown, "consensus", kpis(shown)).answers[0]
    assert (limit.figure, limit.good) == ("100.6 %", True)
    assert limit.detail == "peak loading, of the limit; 24 h above it, by less than 1 %"


@pytest.mark.parametrize(("unserved", "figure"), [(0.0, "100 %"), (0.04, "99.9 %"), (30.84, "69.1 %")])
def test_the_share_that_was_served_is_never_rounded_up(results, unserved, figure):
    values = {name: {**of_run} for name, of_run in kpis(results).items()}
    values["consensus"]["unserved_energy_percent"] = unserved
    demand = card(results, "consensus", values).answers[3]
    assert demand.figure == figure


def test_costs_are_told_against_no_control(results):
    values = {name: {**of_run} for name, of_run in kpis(results).items()}
    values["uncontrolled"]["total_cost_eur"], values["consensus"]["total_cost_eur"] = 200.0, 190.0
    assert card(results, "consensus", values).answers[4].figure == "190 EUR"
    assert (
        card(results, "consensus", values).answers[4].detail == "10.00 EUR less than without control (-5 %)"
    )
    assert card(results, "uncontrolled", values).answers[4].detail == "energy, delay and discomfort"


def test_a_voltage_outside_its_band_is_told_although_no_limit_asks_for_it(results):
    values = {name: {**of_run} for name, of_run in kpis(results).items()}
    values["consensus"]["lowest_voltage_pu"] = 0.87
    voltage = card(results, "consensus", values).answers[2]
    assert (voltage.figure, voltage.good) == ("0.870 pu", False)
    assert "The voltage leaves 0.9 to 1.1 pu under consensus; no limit of this scenario" in headline(
        results, values
    )


def test_the_headline_names_who_holds_the_limits_and_serves_the_demand(results):
    calm = changed(results, "consensus", loading_percent=99.0)
    values = {name: {**of_run} for name, of_run in kpis(calm).items()}
    for of_run in values.values():
        of_run["cold_kelvin_hours_per_home"], of_run["unserved_energy_percent"] = 0.0, 0.0
    values["independent"]["unserved_energy_percent"] = 43.0
    said = headline(calm, values)
    assert said.startswith("Without control Trafo-")
    assert "The limits hold and the demand is served under consensus." in said
    values["consensus"]["unserved_energy_percent"] = 43.0
    assert "Under independent and consensus the limits do not hold with the demand served." in headline(
        calm, values
    )


def test_a_run_that_stopped_is_not_called_good(results):
    run = dataclasses.replace(results.runs["consensus"], status="failed", message="x")
    stopped = dataclasses.replace(results, runs={**results.runs, "consensus": run})
    made = card(stopped, "consensus", kpis(stopped))
    assert made.verdict.endswith(", until it stopped")
    assert made.good is None


def test_the_most_loaded_elements_come_first_with_the_time_on_the_pages_axis(results):
    loading = np.tile([60.0, 90.0], 96)
    loading[2 * 40 + 1] = 150.0
    one = changed(results, "independent", loading_percent=loading)
    cases = side_by_side({"a": one, "b": later(one, days=3)})
    limit, peaks = most_loaded(cases)[0]
    assert limit == "Trafo-1"
    peak = peaks["a · independent"]
    assert (peak.text, peak.when, peak.hours_above, peak.good) == ("150.0", "Tue 19 Jan 22:00", 0.25, False)
    day_one = pd.Timestamp("2001-01-01 22:00").timestamp() * 1000
    assert {peaks[f"{case} · independent"].milliseconds for case in "ab"} == {day_one}


def test_runs_of_the_same_days_keep_their_dates_and_others_are_put_upon_each_other(results):
    same = side_by_side({"a": results, "b": results})
    assert not same.by_day
    assert list(same.together.runs) == [f"{case} · {name}" for case in "ab" for name in results.runs]
    other = side_by_side({"a": results, "b": later(results, days=200)})
    assert other.by_day
    begins = {name: run.table("totals")["time"].min() for name, run in other.together.runs.items()}
    assert set(begins.values()) == {pd.Timestamp("2001-01-01 12:00")}


def test_a_run_of_longer_steps_keeps_its_values_between_them(results):
    cases = side_by_side({"fine": results, "coarse": later(results, every=2)})
    for draw, column in ((plots.transformer_loading, "loading_percent"), (plots.energy_owed, "owed_kwh")):
        data = draw(cases.together).renderers[0].data_source.data
        coarse, fine = (np.asarray(data[f"{column} {case} · consensus"]) for case in ("coarse", "fine"))
        np.testing.assert_allclose(coarse[:-1:2], fine[:-1:2])
        np.testing.assert_allclose(coarse[1:-1:2], fine[:-2:2])


def test_limits_of_cases_that_differ_are_all_drawn(results):
    halved = dataclasses.replace(
        results,
        runs={
            name: dataclasses.replace(
                run, tables={**run.tables, "limits": run.tables["limits"].assign(limit_percent=50.0)}
            )
            for name, run in results.runs.items()
        },
    )
    plot = plots.transformer_loading(side_by_side({"a": results, "b": halved}).together)
    drawn = [line.glyph.y for line in plot.legend[0].items[-1].renderers]
    assert sorted(float(plot.renderers[0].data_source.data[name][0]) for name in drawn) == [50.0, 100.0]


def test_settings_that_differ_are_told_and_a_single_run_says_nothing_of_them(results):
    other = dataclasses.replace(results, scenario={**results.scenario, "coordination": {"rounds": 20}})
    page = build_report({"a": results, "b": other})
    section = page[page.index('id="settings"') : page.index('id="map"')]
    assert "<code>coordination.rounds</code>" in section
    assert "<code>title</code>" not in section
    assert 'id="settings"' not in build_report(results)


def test_the_command_puts_several_folders_on_one_page(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results.save("one")
    later(results, days=1).save("two")
    both = ["report", "one", "two"]
    shown = CliRunner().invoke(app, [*both, "--names", "today,tomorrow", "--out", "new/page.html"])
    assert shown.exit_code == 0, shown.output
    page = Path("new/page.html").read_text(encoding="utf-8")
    assert "comparison of 2 results" in page
    assert 'value="tomorrow · consensus"' in page
    wrong = CliRunner().invoke(app, [*both, "--names", "today"])
    assert wrong.exit_code == 2
    assert "--names gives 1 names for 2 folders" in wrong.stderr
    assert not Path("one/report.html").exists()


def test_colours_tell_controllers_and_cases_apart():
    two = plots.controller_colours(["a · consensus", "a · uncontrolled", "b · consensus", "b · uncontrolled"])
    assert len(set(two.values())) == 4
    assert two["a · consensus"] == plots.controller_colours(["consensus"])["consensus"]
    seeds = plots.controller_colours([f"{seed} · consensus" for seed in range(6)])
    assert len(set(seeds.values())) == 6
    assert len({tuple(dash) for dash in dashes(two).values()}) == 4
    many = dashes(f"{case} · {run}" for case in "ab" for run in ("x", "y", "z", "v"))
    assert many["a · x"] == many["a · y"] != many["b · x"]


def test_controllers_look_unlike_with_any_colour_vision_on_a_light_and_a_dark_page():
    # the first pair of Sharma, Wu and Dalal 2005
    assert difference(np.array([50, 2.6772, -79.7751]), np.array([50, 0, -82.7485])) == pytest.approx(
        2.0425, abs=5e-5
    )
    colours = plots.controller_colours(CONTROLLERS)
    for vision in VISIONS:
        apart = [difference(lab(a, vision), lab(b, vision)) for a, b in combinations(colours.values(), 2)]
        # one in 10,000 people lacks the cones for blue
        assert min(apart) > (13.0 if vision == "tritanopia" else 17.0), vision
    for page in ("#ffffff", "#1a2126"):
        assert min(contrast(colour, page) for colour in colours.values()) > 2.5


def test_text_on_a_colour_is_black_or_white_whichever_has_more_contrast():
    # contrast with white: #0f83a6 4.4, #b08d2f 3.1; with black: 4.7, 6.8
    assert [on_colour(colour) for colour in ("#ffffff", "#000000", "#b08d2f", "#1c5f93")] == [
        "#000000",
        "#ffffff",
        "#000000",
        "#ffffff",
    ]
