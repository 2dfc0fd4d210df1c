"""Runs that go astray, results folders that are not what they seem, and odd input that must simply work."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grid_cosim import Results, load_scenario, run
from grid_cosim.feeder import PowerGridFlow, load_feeder
from grid_cosim.metrics import kpis
from tests.builders import street
from tests.signals import interruptible
from tests.study import STUDY, base_load, grid_cosim, lay_out, refused, runs, study, weather


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the study in it."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("street.json", "street.json: exists and is not a results folder. Choose another folder with --out"),
        ("thesis", "thesis: exists and is not a results folder"),
        ("street.json/x", "cannot be written (Not a directory). Choose another folder with --out"),
        (".", "is the current folder or lies above it. Name a new folder with --out"),
        ("/", "is the current folder or lies above it"),
    ],
)
def test_results_go_nowhere_that_is_not_theirs(folder: Path, out: str, message: str) -> None:
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter1.tex").write_text("years of work", encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    refused(study(out=out), message, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_link_to_a_folder_is_followed(folder: Path) -> None:
    (folder / "disk").mkdir()
    (folder / "out").symlink_to("disk")
    for _ in range(2):  # the second run replaces the first
        runs(study())
    assert (folder / "out").is_symlink()
    assert Results.load(folder / "disk").complete


def _spike(folder: Path) -> None:
    """A gigawatt in H1 in the third of four steps."""
    table = base_load()
    table.loc["2016-01-04 17:30", "H1"] = 1e6
    table.to_csv(folder / "spike.csv")


def test_a_step_without_a_solution_names_itself_and_keeps_what_was_before(folder: Path) -> None:
    _spike(folder)
    shown = study("homes.base_load=spike.csv")
    said = " ".join(shown.stderr.split())
    assert shown.exit_code == 2
    assert "street.json, step 2 (2016-01-04 17:30): the power flow has no solution for" in said
    assert "most loaded is Trafo-0" in said
    assert "lowest voltage of the last solution" in said
    assert "What was computed until then is in out.partial; `grid-cosim report` draws it." in said
    assert not (folder / "out").exists()

    left = Results.load(folder / "out.partial").runs["consensus"]
    assert left.status == "failed"
    assert left.table("limits")["time"].tolist() == [
        pd.Timestamp("2016-01-04 17:00"),
        pd.Timestamp("2016-01-04 17:15"),
    ]
    drawn = grid_cosim("report", "out.partial")
    assert "warning: consensus failed: " in runs(drawn)
    assert "its results end on Mon 04 Jan 17:15" in (folder / "out.partial" / "report.html").read_text(
        "utf-8"
    )


def test_a_step_without_a_solution_may_be_passed_over_but_not_in_silence(folder: Path) -> None:
    _spike(folder)
    said = runs(study("homes.base_load=spike.csv", "power_flow.on_divergence=continue"))
    assert "consensus: the power flow did not converge in 1 step, first on Mon 04 Jan 17:30" in said
    said = runs(study("homes.mean_annual_kwh=3e8", "power_flow.on_divergence=continue"))
    assert "did not converge in 4 steps" in said


def test_a_limit_below_the_inflexible_load_is_said_once_on_screen(folder: Path) -> None:
    said = runs(study("feeder.limit_share=0.001", controllers="uncontrolled,consensus"))
    assert said.count("the inflexible load alone exceeds the limit of about 0.09 kW in 4 of 4 steps") == 1
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("the inflexible load alone exceeds the limit") == 1


def test_ctrl_c_leaves_what_there_is_under_another_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve, steps = PowerGridFlow.solve, []

    def interrupted(self: PowerGridFlow, **given: Any) -> Any:
        steps.append(given["step"])
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return solve(self, **given)

    monkeypatch.setattr(PowerGridFlow, "solve", interrupted)
    with interruptible():
        shown = study(controllers="uncontrolled,consensus")
    assert shown.exit_code == 130
    assert "Interrupted." in shown.stderr
    assert "is in out.partial" in shown.stderr
    assert "The same command with --resume goes on from there." in shown.stderr
    left = Results.load(folder / "out.partial")
    assert [run.status for run in left.runs.values()] == ["interrupted", "interrupted"]
    assert left.runs["uncontrolled"].table("limits")["time"].nunique() == 2
    assert "warning: uncontrolled was interrupted" in runs(grid_cosim("report", "out.partial"))


def test_a_damaged_results_folder_is_refused(folder: Path) -> None:
    runs(study(controllers="uncontrolled"))
    for name in ("scenario.toml", "feeder.json", "status.json", "provenance.json"):
        path = folder / "out" / name
        whole = path.read_bytes()
        for damaged in (b"[1", None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            shown = grid_cosim("report", "out")
            assert shown.exit_code == 2, (name, damaged, shown.stderr)
            assert shown.stderr.startswith("error: out")
        path.write_bytes(whole)
    runs(grid_cosim("report", "out"))


NOBODY = [f"devices.{kind}.share=0" for kind in ("electric_vehicle", "heat_pump")]


@pytest.mark.parametrize(
    ("overrides", "n_steps"),
    [
        (NOBODY, 4),
        (["time.hours=0.25"], 1),
        (["time.step_minutes=5"], 12),
        (["time.step_minutes=60", "time.hours=3"], 3),
        (["time.start=2016-07-01T12:00:00"], 4),
        (["time.start=2016-12-31T23:30:00"], 4),
    ],
)
def test_odd_but_right(folder: Path, overrides: list[str], n_steps: int) -> None:
    assert runs(study(*overrides, controllers="uncontrolled,consensus")).count("warning") == 0
    results = Results.load(folder / "out")
    assert results.complete
    for ended in results.runs.values():
        times = ended.table("limits")["time"]
        assert times.nunique() == n_steps
        assert times.is_monotonic_increasing
        assert ended.table("limits")["loading_percent"].notna().all()


def test_the_29th_of_february_comes_in_leap_years_only(folder: Path) -> None:
    for year, day in ((2016, 29), (2015, 1)):
        runs(study(f"time.start={year}-02-28T23:30:00", controllers="uncontrolled"))
        last = Results.load(folder / "out").runs["uncontrolled"].table("limits")["time"].max()
        assert (last.day, last.hour) == (day, 0)


def test_a_network_handed_over_in_python_takes_the_place_of_the_scenarios(folder: Path) -> None:
    scenario = load_scenario("study.toml", ["feeder.source=schutterwald:2", "controllers=['consensus']"])
    net = street(2)
    results = run(scenario, out=folder / "out", feeder=load_feeder(net))
    assert results.topology.homes["household"].tolist() == ["H0", "H1"]
    assert "handed over in Python" in results.notes[0]
    assert net.load["in_service"].all()


def test_good_files_are_used_whatever_else_stands_in_them(folder: Path) -> None:
    base_load().assign(remark="frost").tz_localize("UTC").to_csv(folder / "base.csv")
    weather().assign(station="Mannheim").to_csv(folder / "weather.csv")
    runs(study("homes.base_load=base.csv", "weather.source=weather.csv"))
    table = Results.load(folder / "out").runs["consensus"].table("households")
    assert (table["base_kw"] == 0.5).all()


def test_a_byte_order_mark_is_no_problem(folder: Path) -> None:
    (folder / "study.toml").write_text(STUDY, encoding="utf-8-sig")
    runs(study())


def test_prices_that_turn_negative_are_counted_by_the_time_of_the_energy(folder: Path) -> None:
    """Half an hour in which who draws is paid, half an hour in which it is dear; every controller lives."""
    (folder / "spot.csv").write_text("time,spot\n2016-01-04 17:00,-0.2\n2016-01-04 17:30,0.5\n", "utf-8")
    names = ("uncontrolled", "consensus", "centralised", "dimming", "time_of_use")
    runs(study("tariff.source=spot.csv", controllers=",".join(names)))
    results = Results.load(folder / "out")
    stored = kpis(results)
    for name in names:
        run = results.runs[name]
        per_step = run.table("households").groupby("time")[["p_kw", "flex_kw"]].sum()
        asked = run.table("devices").groupby("time")["requested_kwh"].sum()
        own = run.table("devices")[["cost_eur", "terminal_cost_eur"]].to_numpy().sum()
        price = np.array([-0.2, -0.2, 0.5, 0.5])
        total = own + 0.25 * (price @ per_step["p_kw"])
        flexibility = own + price @ (0.25 * per_step["flex_kw"] - asked)
        assert stored[name]["total_cost_eur"] == pytest.approx(total)
        assert stored[name]["flexibility_cost_eur"] == pytest.approx(flexibility)
