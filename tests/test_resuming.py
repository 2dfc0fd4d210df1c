"""Runs that go on after an interruption: the same bytes as without one, and nothing else is gone on from."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from grid_cosim import Results, load_scenario, run
from grid_cosim.errors import ResultsError
from grid_cosim.feeder import Feeder, load_feeder
from grid_cosim.optimum import ac_schedule
from grid_cosim.results import Manifest, pieces, staged_folder
from grid_cosim.scenario import Scenario
from tests import builders
from tests.study import base_load, grid_cosim, lay_out, refused, runs, study
from tests.test_switching import OUT, asked, busy

Stop = tuple[str, int]
"""Controller, and after how many of its steps."""
DEVICES = {"electric_vehicle": {"share": 1.0}, "heat_pump": {"share": 0.5}}
SWITCHED = {**OUT, "begin": 0.5, "end": 1.25}
SIGNAL = {"kind": "signal", "element": "Trafo-1", "begin": 0.75, "end": 1.5, "share": 0.6}


def evening(controllers: Sequence[str], *events: dict[str, Any], **sections: Any) -> Scenario:
    """Eight steps of homes that are too many for their transformers."""
    given = {"devices": DEVICES, "power_flow": {"check_every": 3}} | sections
    return asked(*events, hours=2.0, seed=3, controllers=list(controllers), **given)


def tables(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def numbers(folder: Path) -> dict[str, dict[str, float]]:
    """KPIs; how long it took is no number of the run."""
    stored = json.loads((folder / "kpis.json").read_text(encoding="utf-8"))
    return {name: {k: v for k, v in of.items() if k != "wall_time_s"} for name, of in stored.items()}


def stopped(
    scenario: Scenario, out: Path, stop: Stop, *, feeder: Feeder | None = None, **how: Any
) -> Results:
    """What is left of a run that somebody has stopped."""

    def progress(controller: str, done: int, of: int) -> None:
        if (controller, done) == stop and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scenario, out=out, feeder=feeder, progress=progress, report=False, **how)
    return Results.load(out.with_name(f"{out.name}.partial"))


def same_after(stops: Sequence[Stop], scenario: Scenario, feeder: Feeder | None, folder: Path) -> None:
    """The same tables and KPIs with interruptions as without."""
    run(scenario, out=folder / "whole", feeder=feeder, report=False)
    for row, stop in enumerate(stops):
        left = stopped(scenario, folder / "cut", stop, feeder=feeder, resume=row > 0)
        controller, done = stop
        assert left.runs[controller].status == "interrupted"
        assert left.runs[controller].n_rows("grid") == left.runs[controller].n_rows("totals") == done
        complete = [name for name, of in left.runs.items() if of.status == "complete"]
        assert complete == list(left.runs)[: list(left.runs).index(controller)]
    run(scenario, out=folder / "cut", feeder=feeder, report=False, resume=True)
    assert tables(folder / "cut") == tables(folder / "whole")
    assert numbers(folder / "cut") == numbers(folder / "whole")
    assert not (folder / "cut.partial").exists()
    assert not list((folder / "cut").rglob("*.npz"))


NAMES = ("uncontrolled", "independent", "dimming", "time_of_use", "centralised", "consensus", "optimum")


def test_every_controller_goes_on_while_limits_move_and_switches_open(tmp_path: Path) -> None:
    """The switches move in steps 2 and 5, the limit in 3 and 6: stopped before, at and after those."""
    stops = [(name, 1 + row) for row, name in enumerate(NAMES)]
    stops[-2:-1] = [("consensus", k) for k in (1, 2, 3, 5, 8)]
    same_after(stops, evening(NAMES, SWITCHED, SIGNAL), busy(), tmp_path)


@pytest.mark.parametrize(
    ("coordination", "power_flow"),
    [
        ({"dual_step": "newton", "link_outage": 0.2}, {"solver": "pandapower", "check_every": 3}),
        ({"dual_step": "gradient"}, {}),
        ({"mixing": "fresh", "accelerated": True}, {}),
    ],
)
def test_every_way_to_agree_and_to_solve_goes_on(
    coordination: dict[str, Any], power_flow: dict[str, Any], tmp_path: Path
) -> None:
    scenario = evening(["consensus"], SWITCHED, coordination=coordination, power_flow=power_flow)
    same_after([("consensus", 2), ("consensus", 4), ("consensus", 5)], scenario, busy(), tmp_path)


def test_a_run_per_phase_goes_on(tmp_path: Path) -> None:
    feeder = load_feeder(builders.street_per_phase("abcab"), unbalanced=True)
    same_after([("consensus", 3)], evening(["consensus"]), feeder, tmp_path)


@pytest.mark.parametrize("solver", ["auto", "pandapower"])
def test_what_has_no_solution_is_passed_over_as_before(
    solver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before and after the step with a gigawatt in H1, from which no other one can start."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    table = base_load()
    table.loc["2016-01-04 17:30", "H1"] = 1e6
    table.to_csv("spike.csv")
    given = ["homes.base_load=spike.csv", f"power_flow.solver={solver}", "power_flow.on_divergence=continue"]
    scenario = load_scenario("study.toml", [*given, "controllers=['uncontrolled']"])
    same_after([("uncontrolled", 2), ("uncontrolled", 3)], scenario, None, tmp_path)


def test_rows_that_fill_groups_and_less_detail_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("parquet", "writer"):
        monkeypatch.setattr(f"grid_cosim.results.{module}.ROW_GROUP_ROWS", 50)
    record = {"devices": "summary", "buses": "none", "every": 2}
    scenario = evening(["uncontrolled"], record=record)
    same_after([("uncontrolled", k) for k in (1, 4, 7)], scenario, busy(), tmp_path)


def test_the_optimum_is_not_solved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[int] = []

    def counted(*given: Any, **named: Any) -> Any:
        solved.append(1)
        return ac_schedule(*given, **named)

    monkeypatch.setattr("grid_cosim.optimum.ac_schedule", counted, raising=False)
    scenario = evening(["uncontrolled", "optimum"])
    stopped(scenario, tmp_path / "out", ("uncontrolled", 2), feeder=busy())
    run(scenario, out=tmp_path / "out", feeder=busy(), report=False, resume=True)
    assert len(solved) == 1


def test_whatever_a_crash_leaves_loads_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the folder after every single file that is brought to the disk, as SIGKILL would leave it."""
    real, seen = pieces.to_disk, tmp_path / "seen"
    out = tmp_path / "whole"

    def spied(path: Path) -> None:
        real(path)
        staged = tmp_path / "whole.partial"
        if staged.is_dir():
            shutil.copytree(staged, seen / f"{len(list(seen.iterdir())):03d}")

    seen.mkdir()
    for module in ("pieces", "writer"):
        monkeypatch.setattr(f"grid_cosim.results.{module}.to_disk", spied)
    scenario, feeder = evening(["uncontrolled"], record={"limits": "summary"}), busy()
    run(scenario, out=out, feeder=feeder, report=False, checkpoint_s=0.0)
    monkeypatch.undo()
    shots, steps = sorted(seen.iterdir()), []
    for shot in shots:
        left = Results.load(shot).runs["uncontrolled"]
        steps.append(left.n_rows("totals"))
        assert left.status == "interrupted"
        rows = [left.n_rows(name) for name in ("households", "devices", "lines", "buses", "grid")]
        assert rows == [steps[-1] * n for n in (16, 24, 5, 7, 1)]
        assert len(left.table("limit_summary")) == (2 if steps[-1] else 0)
    assert steps == sorted(steps)
    assert set(steps) == set(range(9))
    for shot in shots[5 :: len(shots) // 6]:
        shutil.copytree(shot, tmp_path / "cut.partial")
        run(scenario, out=tmp_path / "cut", feeder=feeder, report=False, resume=True)
        assert tables(tmp_path / "cut") == tables(out)
        shutil.rmtree(tmp_path / "cut")


def test_killed_for_real_and_gone_on_with_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    command = ["run", "study.toml", "--controllers", "uncontrolled,consensus", "--checkpoint-every", "0"]
    command += ["--set", "time.hours=24"]
    process = subprocess.Popen(
        [sys.executable, "-m", "grid_cosim.cli", *command, "--out", "cut"], stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        manifest = Manifest.of(tmp_path / "cut.partial" / "consensus")
        if manifest is not None and manifest.step > 2:
            break
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    left = Results.load("cut.partial")
    assert left.runs["uncontrolled"].status == "complete"
    assert left.runs["consensus"].status == "interrupted"
    done = left.runs["consensus"].n_rows("totals")
    assert 2 < done < 96
    said = runs(grid_cosim(*command, "--resume", "--out", "cut"))
    assert f"Resuming: uncontrolled is complete; consensus goes on after {done} steps" in said
    runs(grid_cosim(*command, "--out", "whole"))
    assert tables(tmp_path / "cut") == tables(tmp_path / "whole")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of which a run was interrupted."""
    folder = tmp_path_factory.mktemp("left")
    lay_out(folder)
    base_load().to_csv(folder / "base.csv")
    scenario = load_scenario(
        folder / "study.toml", ["homes.base_load=base.csv", "controllers=['uncontrolled']"]
    )
    stopped(scenario, folder / "out", ("uncontrolled", 2))
    return folder


def resumed(*overrides: str) -> Any:
    changes = [part for override in overrides for part in ("--set", override)]
    given = ["--set", "homes.base_load=base.csv", "--controllers", "uncontrolled", "--out", "out"]
    return grid_cosim("run", "study.toml", *given, *changes, "--resume")


def test_another_run_is_not_gone_on_from(left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(left, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(left)
    for override, message in (
        ("seed=2", "scenario.seed: 1 then, 2 now"),
        ("record.every=2", "scenario.record.every: 1 then, 2 now"),
    ):
        shown = resumed(override)
        assert shown.exit_code == 2
        assert message in shown.stderr
        assert "or run anew, without --resume" in shown.stderr
    with monkeypatch.context() as other:
        other.setattr("grid_cosim.runner.versions", lambda: {"numpy": "0.1"})
        assert "versions.numpy: '" in resumed().stderr
    before = (left / "base.csv").read_text("utf-8")
    (left / "base.csv").write_text(before.replace("0.5", "0.6"), "utf-8")
    shown = resumed()
    assert f"inputs.{left / 'base.csv'}: '" in shown.stderr.replace("\n", "")
    (left / "base.csv").write_text(before, "utf-8")
    assert Results.load("out.partial").runs["uncontrolled"].n_rows("grid") == 2  # nothing was touched
    assert "goes on after 2 steps" in runs(resumed())


def test_another_network_in_memory_is_not_gone_on_from(tmp_path: Path) -> None:
    scenario = evening(["uncontrolled"])
    stopped(scenario, tmp_path / "out", ("uncontrolled", 2), feeder=busy())
    net = busy().net
    net.line.loc[0, "length_km"] *= 1.0000001
    with pytest.raises(ResultsError, match=r"inputs\.network: '\w+…' then, '\w+…' now|inputs\.network: "):
        run(scenario, out=tmp_path / "out", feeder=load_feeder(net), resume=True)


def test_where_there_is_nothing_to_go_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    given = ("run", "study.toml", "--controllers", "uncontrolled", "--out", "out")
    refused(grid_cosim(*given, "--resume"), "out: there is nothing to go on from. Run it anew", tmp_path)
    with pytest.raises(KeyboardInterrupt), staged_folder("out"):
        raise KeyboardInterrupt
    refused(grid_cosim(*given, "--resume"), "out.partial: holds nothing to go on from", tmp_path)
    runs(grid_cosim(*given))
    shown = grid_cosim(*given, "--resume")
    assert "out: is complete, and there is no out.partial to go on from" in " ".join(shown.stderr.split())


def test_what_has_failed_would_fail_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    given = ("homes.mean_annual_kwh=3e8",)
    assert "--resume" not in study(*given).stderr
    assert Results.load("out.partial").runs["consensus"].status == "failed"
    scenario = load_scenario("study.toml", [*given, "controllers=['consensus']"])
    with pytest.raises(ResultsError, match=r"consensus has failed, and would fail again: .* no solution"):
        run(scenario, out="out", resume=True)


def test_a_mistake_that_is_mended_is_gone_on_from(tmp_path: Path) -> None:
    scenario = evening(["uncontrolled"])
    run(scenario, out=tmp_path / "whole", feeder=busy(), report=False)

    def full_disk(controller: str, done: int, of: int) -> None:
        if done == 4:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        run(scenario, out=tmp_path / "cut", feeder=busy(), report=False, progress=full_disk)
    assert "The same command with --resume goes on from there." in caught.value.__notes__
    left = Results.load(tmp_path / "cut.partial").runs["uncontrolled"]
    assert (left.status, left.n_rows("grid")) == ("failed", 4)
    run(scenario, out=tmp_path / "cut", feeder=busy(), report=False, resume=True)
    assert tables(tmp_path / "cut") == tables(tmp_path / "whole")


def test_two_processes_do_not_write_the_same_results(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(left)
    with pytest.raises(KeyboardInterrupt), staged_folder("other"):
        shown = study(controllers="uncontrolled", out="other")
        assert shown.exit_code == 2
        assert "other: another process is writing there" in shown.stderr
        raise KeyboardInterrupt
    runs(study(controllers="uncontrolled", out="other"))
    assert not list(left.glob(".*.lock"))
