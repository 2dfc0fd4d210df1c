"""From a file with sizes and seeds to scenarios, and from scenarios to columns of a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid_cosim.errors import ScenarioError
from grid_cosim.scenario import load_scenario
from grid_cosim.study.cases import Case, ScenarioWork, StudyError, grid_cases, settings
from grid_cosim.study.study import STUDIES, study_file, study_named, study_settings
from grid_cosim.study.tables import tidy

HERE = Path("study.toml")


def work(case: Case) -> ScenarioWork:
    assert isinstance(case.work, ScenarioWork)
    return case.work


def test_a_grid_is_every_combination_and_a_table_sets_several_at_once() -> None:
    grid = {
        "scenario": "cold_evening.toml",
        "set": ["time.hours=24"],
        "over": {
            "seed": [1, 2],
            "feeder": [{"source": "schutterwald:0", "limit_share": 0.5}, {"source": "schutterwald:13"}],
            "coordination.accelerated": [False],
        },
    }
    cases = grid_cases(grid, source=HERE)
    found = [(s.seed, s.feeder.source, s.feeder.limit_share) for s in (work(c).scenario for c in cases)]
    assert found == [
        (1, "schutterwald:0", 0.5),
        (1, "schutterwald:13", 1.0),
        (2, "schutterwald:0", 0.5),
        (2, "schutterwald:13", 1.0),
    ]
    assert all(work(c).scenario.time.hours == 24.0 for c in cases)
    assert not work(cases[0]).scenario.coordination.accelerated
    assert cases[0].name == "seed 1, source schutterwald:0, limit_share 0.5, accelerated False"


def test_a_scenario_of_ones_own_is_found_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "village.toml").write_text('title = "Mine"\n', encoding="utf-8")
    (case,) = grid_cases({"scenario": "village.toml"}, source=tmp_path / "steps.toml")
    assert work(case).scenario.title == case.name == "Mine"


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"set": []}, "scenario: missing"),
        ({"scenario": 3}, "scenario: got 3, expected the name of a file"),
        ({"scenario": "cold_evening.toml", "set": [3]}, r"set: got \[3\], expected a list of overrides"),
        ({"scenario": "cold_evening.toml", "set": "seed=3"}, "set: got 'seed=3', expected a list"),
        ({"scenario": "cold_evening.toml", "over": 3}, "over: got 3, expected a table of lists"),
        ({"scenario": "cold_evening.toml", "over": {"seed": 3}}, "over: got .*, expected a table of lists"),
        ({"scenario": "cold_evening.toml", "ovr": {}}, "ovr: no such setting. Did you mean 'over'"),
    ],
)
def test_a_grid_that_cannot_be_used_says_why(grid: dict[str, object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        grid_cases(grid, source=HERE)


def test_a_setting_that_does_not_exist_is_the_scenarios_error() -> None:
    with pytest.raises(ScenarioError, match=r"coordination\.round: no such setting"):
        grid_cases({"scenario": "cold_evening.toml", "over": {"coordination.round": [1]}}, source=HERE)


def test_work_differs_with_any_setting_and_with_the_policies(tmp_path: Path) -> None:
    policy = tmp_path / "mine.safetensors"
    policy.write_bytes(b"old")

    def identity(*overrides: str) -> str:
        own = f"devices.heat_pump.policy={policy}"
        return ScenarioWork(load_scenario("cold_evening.toml", [own, *overrides])).identity()

    before = identity()
    assert before == identity()
    assert before != identity("coordination.rounds=11")
    policy.write_bytes(b"new")
    assert before != identity()


def test_work_differs_with_what_is_in_the_files_that_a_scenario_names(tmp_path: Path) -> None:
    weather = tmp_path / "mine.csv"
    found = []
    for temperature in (1, 2, 2):
        weather.write_text(f"temperature_c\n{temperature}\n", encoding="utf-8")
        scenario = load_scenario("cold_evening.toml", [f"weather.source={weather}"])
        found.append(ScenarioWork(scenario).identity())
    assert found[0] != found[1] == found[2]


def test_values_of_a_grid_are_written_as_toml_writes_them() -> None:
    values = {"title": ['say "hi" \\ 5 K'], "controllers": [["uncontrolled", "dimming"]]}
    (case,) = grid_cases({"scenario": "cold_evening.toml", "over": values}, source=HERE)
    assert work(case).scenario.title == 'say "hi" \\ 5 K'
    assert work(case).scenario.controllers == ("uncontrolled", "dimming")


def test_settings_become_columns_by_their_paths() -> None:
    columns = settings(load_scenario("cold_evening.toml", ["seed=7"]))
    assert columns["seed"] == 7
    assert columns["coordination.graph"] == "random_regular"
    assert columns["devices.heat_pump.share"] == "network"
    assert "homes.mean_annual_kwh" not in columns  # without a value
    assert "controllers" not in columns


def test_a_column_of_several_kinds_becomes_text() -> None:
    table = tidy([{"share": "network", "x": 1}, {"share": 0.5, "x": 2.5}, {"x": None}])
    assert list(table["share"][:2]) == ["network", "0.5"]
    assert table["share"].isna()[2]
    assert table["x"].dtype == float


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_that_ships_can_be_laid_out(name: str) -> None:
    path = study_file(name)
    full, quick = (study_named(name).cases(study_settings(path, quick=q), path) for q in (False, True))
    assert len(full) > len(quick) > 0
    identities = [(type(case.work), case.work.identity()) for case in full]
    assert len(set(identities)) == len(full), "a case stands there twice"


def test_a_study_of_ones_own_sizes_has_the_name_of_a_known_one(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no such study\. Did you mean 'steps'"):
        study_file("step")
    with pytest.raises(StudyError, match="no such file"):
        study_file(tmp_path / "steps.toml")
    (tmp_path / "stairs.toml").write_text("")
    with pytest.raises(StudyError, match="no such study"):
        study_file(tmp_path / "stairs.toml")
    (tmp_path / "steps.toml").write_text("[quick]\n")
    with pytest.raises(StudyError, match=r"no section \[full\]"):
        study_settings(study_file(tmp_path / "steps.toml"), quick=False)
