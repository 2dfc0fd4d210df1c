"""Results beside each other: KPIs, what differs in the scenarios, and what makes numbers incomparable."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from grid_cosim import GridCosimError, Results, compare, kpis
from grid_cosim.cli import app
from grid_cosim.comparison import names_of
from grid_cosim.metrics import KPIS
from tests.results.builders import street_topology, synthetic_results

cli = CliRunner()
STREET = street_topology(1, 4)


@pytest.fixture(scope="module")
def today() -> Results:
    return synthetic_results(STREET, n_steps=8)


@pytest.fixture(scope="module")
def fewer() -> Results:
    """Without `independent`, and with other settings."""
    made = synthetic_results(STREET, ("uncontrolled", "consensus"), n_steps=8)
    scenario = {
        "title": "A cold evening",
        "feeder": {"source": "synthetic"},
        "coordination": {"rounds": 20},
        "events": [{"kind": "dimming", "percent": 60}],
    }
    return dataclasses.replace(made, scenario=scenario)


@pytest.fixture(scope="module")
def folders(today, fewer, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("runs")
    return [str(today.save(folder / "january" / "run")), str(fewer.save(folder / "march" / "run"))]


def test_kpis_are_a_table_with_units(today):
    table = today.kpis()
    assert list(table.index) == list(KPIS)
    assert list(table.columns) == list(today.controllers)
    assert table.attrs["units"]["total_cost_eur"] == "EUR"
    assert table.loc["total_cost_eur", "consensus"] == kpis(today)["consensus"]["total_cost_eur"]
    assert table.dtypes.eq(float).all()


def test_kpis_stand_by_controller_and_results(today, fewer):
    found = compare({"today": today, "fewer": fewer})
    assert list(found.kpis.columns) == [
        ("uncontrolled", "today"),
        ("uncontrolled", "fewer"),
        ("independent", "today"),
        ("consensus", "today"),
        ("consensus", "fewer"),
    ]
    pd.testing.assert_series_equal(
        found.kpis["consensus", "fewer"], fewer.kpis()["consensus"], check_names=False
    )


def test_changes_count_from_the_first(today, fewer):
    found = today.compare({"fewer": fewer}, name="today")
    other = dataclasses.replace(today.runs["consensus"], wall_time_s=1.0)
    slow = dataclasses.replace(today, runs={"consensus": other})
    changes = compare({"slow": slow, "today": today}).changes("consensus")
    assert changes.loc["wall_time_s"].tolist() == [0.0, today.runs["consensus"].wall_time_s - 1.0]
    assert found.changes("independent")["fewer"].isna().all()


def test_of_the_settings_those_that_differ_are_shown_by_their_path(today, fewer):
    settings = compare({"today": today, "fewer": fewer}).settings
    assert settings.to_dict("index") == {
        "coordination.rounds": {"today": 5, "fewer": 20},
        "events.0.kind": {"today": "–", "fewer": "dimming"},
        "events.0.percent": {"today": "–", "fewer": 60},
    }
    assert len(compare({"a": today, "b": today}).settings) == 0


def test_the_tidy_table_has_a_row_per_number(today, fewer):
    tidy = compare({"today": today, "fewer": fewer}).tidy()
    assert list(tidy.columns) == ["kpi", "controller", "results", "unit", "value"]
    row = tidy.query("kpi == 'peak_loading_percent' and controller == 'consensus' and results == 'fewer'")
    assert row["value"].item() == kpis(fewer)["consensus"]["peak_loading_percent"]
    assert row["unit"].item() == "% of limit"
    assert tidy["value"].notna().all()


def changed(results: Results, **provenance: object) -> Results:
    return dataclasses.replace(results, provenance={**results.provenance, **provenance})


CUT = "consensus is interrupted; its KPIs count what it reached."


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda r: r, None),
        (lambda r: changed(r, created="yesterday"), None),
        (
            lambda r: synthetic_results(street_topology(1, 5), n_steps=8),
            "Other networks or homes (a: synthetic, 4 homes, 1 limit; b: synthetic, 5 homes, 1 limit)",
        ),
        (lambda r: synthetic_results(STREET, n_steps=12), "Other days or steps (a: Tue 19 Jan 2016 12:00 to"),
        (
            lambda r: dataclasses.replace(r, basis=dataclasses.replace(r.basis, dt_h=0.5)),
            "Other days or steps",
        ),
        (lambda r: changed(r, seed=3), "Other seeds (a: 0; b: 3)"),
        (
            lambda r: changed(r, versions={"grid-cosim": "0.0.9"}),
            "Other versions of grid_cosim (a: –; b: 0.0.9)",
        ),
        (
            lambda r: changed(r, policies={"heat_pump": {"sha256": "ffff"}, "pv": "x"}),
            "Other policies of heat_pump: a difference may come from their training.",
        ),
        (
            lambda r: dataclasses.replace(
                r,
                runs={**r.runs, "consensus": dataclasses.replace(r.runs["consensus"], status="interrupted")},
            ),
            f"b: {CUT}",
        ),
    ],
)
def test_what_makes_numbers_incomparable_is_said(today, change, warning):
    found = compare({"a": today, "b": change(today)})
    assert len(found.warnings) == (0 if warning is None else 1)
    assert all(said.startswith(warning) for said in found.warnings)


def test_a_comparison_can_be_read(today, fewer):
    found = compare({"today": today, "fewer <20": changed(fewer, seed=4)})
    assert "warning: Other seeds (today: 0; fewer <20: 4)" in str(found)
    assert "coordination.rounds" in str(found)
    assert "total_cost_gap_percent" not in str(found)  # no optimum: nothing to tell
    assert "fewer &lt;20" in found._repr_html_()
    assert "The scenarios are the same." in str(compare({"a": today, "b": today}))


def test_names_of_folders_are_as_short_as_they_can_be(tmp_path):
    assert names_of([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]
    assert names_of([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    with pytest.raises(GridCosimError, match="named twice"):
        names_of([tmp_path / "a", tmp_path / "x" / ".." / "a"])


def test_folders_are_opened(folders):
    found = compare({"january": folders[0], "march": Results.load(folders[1])})
    assert isinstance(found.results["january"], Results)
    assert np.isfinite(found.changes("consensus").loc["total_cost_eur", "march"])
    with pytest.raises(
        GridCosimError, match=r"No controller named 'consens' in these results\. Did you mean"
    ):
        found.of("consens")
    with pytest.raises(GridCosimError, match="needs two results"):
        compare({"january": folders[0]})


def test_the_command_shows_and_writes_the_comparison(folders, tmp_path):
    file = tmp_path / "new" / "kpis.csv"
    shown = cli.invoke(app, ["compare", *folders, "--out", str(file)], env={"COLUMNS": "120"})
    assert shown.exit_code == 0
    for fact in ("coordination.rounds", "january/run", "march/run", "change", "independent (january/run)"):
        assert fact in shown.output
    written = pd.read_csv(file)
    assert set(written["controller"]) == {"uncontrolled", "consensus"}
    assert written.query("kpi == 'peak_loading_percent'")["unit"].eq("% of limit").all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs two results at least"),
        (["--names", "a,b,c"], "--names gives 3 names for 1 folders"),
        (["nowhere"], "nowhere: no such folder. Name the results folder of a run"),
        (["{march}", "--controllers", "concensus"], "Did you mean 'consensus'?"),
    ],
)
def test_what_cannot_be_compared_is_refused(folders, arguments, message):
    given = [argument.format(march=folders[1]) for argument in arguments]
    shown = cli.invoke(app, ["compare", folders[0], *given])
    assert shown.exit_code == 2
    assert message in " ".join(shown.stderr.split())
