from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks
import pytest
from typer.testing import CliRunner

from grid_cosim.beginning import Beginning, begin
from grid_cosim.beginning.sizing import HARD, MANAGEABLE, FreeEvening, Sizing, corrected
from grid_cosim.cli import app
from grid_cosim.errors import RefusedNetworkError, ScenarioError
from grid_cosim.metrics import kpis
from grid_cosim.runner import run
from grid_cosim.scenario import load_scenario
from tests.builders import street

FEW_STEPS = ["time.hours=1", 'controllers=["uncontrolled","consensus"]']


@pytest.fixture(scope="module")
def own_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.json"
    pp.to_json(pandapower.networks.create_kerber_landnetz_kabel_2(), str(path))
    return path


@pytest.fixture(scope="module")
def study(own_net: Path, tmp_path_factory: pytest.TempPathFactory) -> Beginning:
    return begin(tmp_path_factory.mktemp("studies") / "my_study", own_net)


def test_the_folder_holds_all_that_the_study_needs(study: Beginning, own_net: Path) -> None:
    assert {path.name for path in study.folder.iterdir()} == {"scenario.toml", "devices.csv", "net.json"}
    assert (study.folder / "net.json").read_bytes() == own_net.read_bytes()
    assert [path for path in study.folder.parent.iterdir() if path != study.folder] == []


def test_the_scenario_says_what_was_found(study: Beginning) -> None:
    text = study.scenario.read_text(encoding="utf-8")
    assert "# Homes: 14, all low-voltage loads, since none is marked as a household." in text
    assert "#   Trafo-0           160 kVA      14 homes" in text
    assert "grid-cosim run my_study/scenario.toml --out my_study/results" in text
    assert tomllib.loads(text)["feeder"]["source"] == "net.json"


def test_what_is_written_runs_as_it_is(study: Beginning, tmp_path: Path) -> None:
    results = run(load_scenario(study.scenario, FEW_STEPS), out=tmp_path / "results")
    assert results.complete
    assert set(kpis(results)) == {"uncontrolled", "consensus"}


def test_the_evening_is_hard_without_control(study: Beginning) -> None:
    limit_percent = 100.0 * study.sizing.limit_share
    assert study.evening.unsolved_steps == 0
    assert 100.0 * (HARD - 0.15) < 100.0 * study.evening.limit_percent.max() / limit_percent < 160.0


def test_the_table_of_devices_is_that_of_the_scenario(study: Beginning, tmp_path: Path) -> None:
    with (study.folder / "devices.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["device"] for row in rows} == {"electric_vehicle", "heat_pump", "deferrable"}
    of_table = ['homes.devices="devices.csv"'] + [
        f'devices.{kind}.share="table"' for kind in ("electric_vehicle", "heat_pump", "deferrable")
    ]
    drawn = run(
        load_scenario(study.scenario, [*FEW_STEPS[:1], 'controllers=["uncontrolled"]']), out=tmp_path / "a"
    )
    listed = run(
        load_scenario(study.scenario, [*FEW_STEPS[:1], 'controllers=["uncontrolled"]', *of_table]),
        out=tmp_path / "b",
    )
    assert kpis(drawn)["uncontrolled"]["total_cost_eur"] == kpis(listed)["uncontrolled"]["total_cost_eur"]


def test_two_beginnings_are_byte_for_byte_the_same(study: Beginning, own_net: Path, tmp_path: Path) -> None:
    again = begin(tmp_path / "my_study", own_net)
    for path in study.folder.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_folder_that_is_there_is_left_alone(own_net: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ScenarioError, match="this is there already"):
        begin(tmp_path, own_net)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_refused_network_leaves_nothing_behind(tmp_path: Path) -> None:
    net = street()
    net.load["p_mw"], net.trafo["sn_mva"] = float("nan"), 0.0
    pp.to_json(net, str(tmp_path / "net.json"))
    with pytest.raises(RefusedNetworkError) as caught:
        begin(tmp_path / "study", tmp_path / "net.json")
    assert len(caught.value.reasons) == 2
    assert "Give the rated power in MVA" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["net.json"]


def test_a_network_without_any_solution_is_refused_with_what_is_suspect(tmp_path: Path) -> None:
    net = street()
    net.line["length_km"] = 50.0
    pp.to_json(net, str(tmp_path / "net.json"))
    suspect = (
        r"no solution.*\n.*no AC solution with the loads as they are in the file.*impedances that are far"
    )
    with pytest.raises(RefusedNetworkError, match=suspect):
        begin(tmp_path / "study", tmp_path / "net.json")
    assert not (tmp_path / "study").exists()


def test_a_limit_that_the_power_flow_shows_too_low_is_raised() -> None:
    evening = FreeEvening(np.array([52.0, 30.0]), np.zeros(1), 1.0, 0)
    assert corrected(Sizing(0.6, 0.3, 0.3), evening).limit_share == 0.3  # 173 % is hard
    assert corrected(Sizing(0.6, 0.3, 0.2), evening).limit_share == 0.4  # 260 % is not what was meant


def test_what_a_study_of_transformers_alone_does_not_see_is_told() -> None:
    fine = FreeEvening(np.array([104.0, 30.0]), np.array([100.0, np.nan]), 0.9, 0)
    assert fine.doubts(0.8) == []
    over = FreeEvening(np.array([104.0, 30.0]), np.array([100.1, 131.0, 7.0]), 0.899, 3)
    lines, voltage, unsolved = over.doubts(0.8)
    assert lines.startswith("without control 2 of 3 lines come above their rating, up to 131 %")
    assert voltage.startswith("without control the voltage falls to 0.899 pu")
    assert unsolved.startswith("3 steps without control have no AC solution")
    (easy,) = FreeEvening(np.array([np.nan, 30.0]), np.zeros(1), 1.0, 0).doubts(0.5)
    assert easy.startswith(
        "without control at most 60% of a limit is used, so there is nothing to coordinate"
    )


def test_generation_that_prevails_sets_no_limit_below_itself(tmp_path: Path) -> None:
    net = street()
    pp.create_sgen(net, 3, 0.06)
    pp.to_json(net, str(tmp_path / "net.json"))
    written = begin(tmp_path / "study", tmp_path / "net.json")
    assert 0.55 < written.sizing.limit_share <= 1.0


def test_what_nobody_can_move_fits_within_the_limit(tmp_path: Path) -> None:
    net = street()
    net.load["type"] = "HH"
    pp.create_load(net, 3, 0.07, name="factory")
    pp.to_json(net, str(tmp_path / "net.json"))
    written = begin(tmp_path / "study", tmp_path / "net.json")
    rated_kva = float(written.diagnosis.feeder.limits.rated_kva[0])
    assert written.sizing.limit_share >= 70.0 / rated_kva / MANAGEABLE


def test_the_command_tells_what_it_found_and_what_to_do_next(own_net: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    told = CliRunner().invoke(app, ["new", str(folder), "--feeder", str(own_net)])
    assert told.exit_code == 0, told.output
    assert "note: no coordinates" in told.stderr
    assert (
        "14 homes (all low-voltage loads, since none is marked as a household) behind 1 limit." in told.stdout
    )
    assert "% of its rating, of which the scenario allows 45%." in told.stdout
    assert f"grid-cosim run {folder / 'scenario.toml'} --out {folder / 'results'}" in told.stdout
    again = CliRunner().invoke(app, ["new", str(folder), "--feeder", str(own_net)])
    assert again.exit_code == 2
    assert "this is there already" in again.stderr
