from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

from grid_cosim import Results
from grid_cosim.errors import ResultsError
from grid_cosim.results import Run, RunWriter, staged_folder
from tests.results.builders import street_topology, synthetic_results


@pytest.fixture
def results() -> Results:
    return synthetic_results(street_topology(2, 4), n_steps=8)


def _folder_bytes(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_come_back_as_they_went(results, tmp_path):
    results.save(tmp_path / "out")
    back = Results.load(tmp_path / "out")
    assert (back.scenario, back.provenance, back.basis) == (
        results.scenario,
        results.provenance,
        results.basis,
    )
    assert list(back.runs) == ["uncontrolled", "independent", "consensus"]
    assert back.complete
    assert back.runs["consensus"].wall_time_s == results.runs["consensus"].wall_time_s
    for name in ("buses", "lines", "limits", "homes"):
        pd.testing.assert_frame_equal(getattr(back.topology, name), getattr(results.topology, name))
    for table, frame in results.runs["consensus"].tables.items():
        stored = back.runs["consensus"].table(table)
        names = [column for column in frame if stored[column].dtype == "category"]
        expected = frame.reset_index(drop=True).astype(dict.fromkeys(names, "category"))
        pd.testing.assert_frame_equal(stored, expected, check_dtype=False, check_categorical=False)


def test_a_network_without_coordinates_comes_back(tmp_path):
    results = synthetic_results(street_topology(1, 4, located=False), n_steps=4)
    results.save(tmp_path / "out")
    back = Results.load(tmp_path / "out").topology
    assert back.buses[["longitude", "latitude"]].isna().all(axis=None)
    assert back.lines["path"].isna().all()


def test_the_same_results_give_the_same_bytes_also_after_a_round_trip(results, tmp_path):
    results.save(tmp_path / "first")
    synthetic_results(street_topology(2, 4), n_steps=8).save(tmp_path / "second")
    Results.load(tmp_path / "first").save(tmp_path / "third")
    assert _folder_bytes(tmp_path / "first") == _folder_bytes(tmp_path / "second")
    assert _folder_bytes(tmp_path / "first") == _folder_bytes(tmp_path / "third")


def test_saving_replaces_older_results_and_leaves_nothing_beside_them(results, tmp_path):
    results.save(tmp_path / "out")
    dataclasses.replace(results, runs={"consensus": results.runs["consensus"]}).save(tmp_path / "out")
    assert list(Results.load(tmp_path / "out").runs) == ["consensus"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_not_ours_is_not_replaced(results, tmp_path):
    precious = tmp_path / "out" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("years of work")
    with pytest.raises(ResultsError, match="is not a results folder"):
        results.save(tmp_path / "out")
    assert precious.read_text() == "years of work"


def test_what_was_interrupted_while_written_never_takes_the_final_name(tmp_path):
    def interrupted():
        with staged_folder(tmp_path / "out") as folder:
            (folder / "half.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial"]
    with pytest.raises(ResultsError, match="not a results folder"):
        Results.load(tmp_path / "out.partial")


def test_a_run_that_was_cut_off_or_never_started_says_so(results, tmp_path):
    with staged_folder(tmp_path / "out") as folder:
        results.describe(folder)
        RunWriter(folder / "uncontrolled")
        RunWriter(folder / "independent").finish("failed", "step 3: no convergence", 1.0)
    back = Results.load(tmp_path / "out")
    assert not back.complete
    assert {name: (run.status, run.message) for name, run in back.runs.items()} == {
        "uncontrolled": ("interrupted", "it was cut off before it could write its tables"),
        "independent": ("failed", "step 3: no convergence"),
        "consensus": ("interrupted", "it was not started"),
    }
    assert len(back.runs["consensus"].table("limits")) == 0


def test_what_the_scenario_leaves_open_is_left_out_of_the_toml(results, tmp_path):
    open_scenario = {"title": "x", "weather": None, "homes": {"cars": 0.5, "source": None}}
    dataclasses.replace(results, scenario=open_scenario).save(tmp_path / "out")
    assert Results.load(tmp_path / "out").scenario == {"title": "x", "homes": {"cars": 0.5}}


def test_json_holds_null_where_there_is_no_number(results, tmp_path):
    run = Run(results.runs["consensus"].tables)
    dataclasses.replace(results, runs={"consensus": run}).save(tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "consensus" / "status.json").read_text())
    assert stored == {"status": "complete", "message": "", "wall_time_s": None}


@pytest.mark.parametrize("what", ["nothing", "a later format"])
def test_a_folder_without_our_status_is_refused(tmp_path, what):
    if what == "a later format":
        (tmp_path / "status.json").write_text('{"grid_cosim_results": 99}')
    with pytest.raises(ResultsError, match=r"no status\.json|not a results folder"):
        Results.load(tmp_path)
