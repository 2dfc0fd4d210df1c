"""`grid-cosim benchmark`: messages, exit codes, and what lies in the folder."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from grid_cosim.cli import app
from grid_cosim.study import STUDIES, StudyResults
from grid_cosim.study.cases import ScenarioWork, settings
from grid_cosim.study.page import page, stored
from grid_cosim.study.running import study_cases
from grid_cosim.study.study import study_file, study_settings
from grid_cosim.study.tables import tidy

ROOT = Path(__file__).resolve().parent.parent.parent
OWN = """
[[full.scenarios]]
scenario = "evening.toml"
set = ["controllers=['consensus']"]
over = { "coordination.rounds" = [5, 10] }
"""
EVENING = """
[time]
hours = 0.5
[feeder]
source = "schutterwald:13"
[devices.electric_vehicle]
share = 1.0
"""


def benchmark(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["benchmark", *arguments], env={"COLUMNS": "200"})


def test_a_study_of_ones_own_leaves_its_table_and_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("steps.toml").write_text(OWN, encoding="utf-8")
    Path("evening.toml").write_text(EVENING, encoding="utf-8")
    shown = benchmark("steps.toml", "--jobs", "1", "--out", "out")
    assert shown.exit_code == 0, shown.stderr
    assert "Page in out/README.md" in shown.stdout
    assert {path.name for path in Path("out").iterdir()} == {"steps.parquet", "steps.svg", "README.md"}
    table = pd.read_parquet("out/steps.parquet")
    assert list(table["coordination.rounds"]) == [5, 10]
    assert set(table["n_homes"]) == {15}
    assert (table["messages_per_home_per_step"] > 0).all()
    assert StudyResults.load(Path("out/steps.parquet")).provenance["settings"] == tomllib.loads(OWN)["full"]

    assert "`grid-cosim benchmark steps.toml`" in Path("out/README.md").read_text("utf-8")
    refused = benchmark("steps", "--quick", "--jobs", "1", "--out", "out")
    assert refused.exit_code == 2
    assert "there is a table of the full variant with other settings" in " ".join(refused.stderr.split())
    assert "--force" in refused.stderr
    assert list(pd.read_parquet("out/steps.parquet")["coordination.rounds"]) == [5, 10]

    before = Path("out/README.md").read_text("utf-8")
    Path("out/README.md").unlink()
    assert benchmark("steps", "--redraw", "--out", "out").exit_code == 0
    assert "no table of rounds" in " ".join(benchmark("rounds", "--redraw", "--out", "out").stderr.split())
    assert Path("out/README.md").read_text("utf-8") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stepps"], "Study stepps: no such study. Did you mean 'steps'?"),
        (["mine/steps.toml"], "Study mine/steps.toml: no such file"),
        (["steps", "--jobs", "0"], "got 0 jobs side by side, expected 1 or more, or -1"),
        (["--redraw", "--out", "nowhere"], "nowhere: there is no table of a study"),
    ],
)
def test_bad_input_gets_one_message_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = benchmark(*arguments)
    assert shown.exit_code == 2
    assert message in " ".join(shown.stderr.split())
    assert "mistake of ours" not in shown.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_claim_without_the_controllers_it_is_about_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("consensus.toml").write_text(OWN, encoding="utf-8")
    Path("evening.toml").write_text(EVENING, encoding="utf-8")
    Path("optimum.toml").write_text("[full]\nscenarioss = []\n", encoding="utf-8")
    assert "no scenario runs uncontrolled or independent" in benchmark("consensus.toml").stderr
    assert "its settings cannot be used: it has no setting 'scenarios'" in benchmark("optimum.toml").stderr


def test_without_matplotlib_it_says_so_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("grid_cosim.study.page.find_spec", lambda name: None)
    shown = benchmark("steps", "--quick")
    assert shown.exit_code == 2
    assert "pip install 'grid-cosim[study]'" in " ".join(shown.stderr.split())
    assert list(tmp_path.iterdir()) == []


FOUND = stored(ROOT / "docs" / "claims")


def test_the_page_in_the_documentation_is_what_its_tables_say() -> None:
    assert list(FOUND) == list(STUDIES)
    said = (ROOT / "docs" / "claims" / "README.md").read_text(encoding="utf-8")
    assert said == page(FOUND), "run: grid-cosim benchmark --redraw --out docs/claims"


@pytest.mark.parametrize("name", STUDIES)
def test_the_tables_in_the_documentation_are_of_the_sizes_and_seeds_that_ship(name: str) -> None:
    path, results = study_file(name), FOUND[name]
    cases = study_cases(path, study_settings(path, quick=results.quick))
    if name == "scaling":
        assert len(cases) == len(results.table)
        return
    scenarios = [case.work.scenario for case in cases if isinstance(case.work, ScenarioWork)]
    wanted = tidy([settings(s) | {"controller": c} for s in scenarios for c in s.controllers])
    kept = results.table[list(wanted.columns)]
    pd.testing.assert_frame_equal(kept, wanted, check_dtype=False, obj=f"run: grid-cosim benchmark {name}")
