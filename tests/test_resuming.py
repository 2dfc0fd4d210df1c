"""Runs that go on after an interruption: the same bytes as without one, and nothing else is gone on from."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from grid_cosim import Results, load_scenario, run
from grid_cosim.errors import ResultsError
from grid_cosim.feeder import Feeder, fingerprint, load_feeder
from grid_cosim.optimum import ac_schedule
from grid_cosim.results import Manifest, pieces, staged_folder
from grid_cosim.resuming import Left, input_files
from grid_cosim.scenario import Scenario
from tests.results.builders import synthetic_results
from tests.study import base_load, grid_cosim, lay_out, refused, runs, study
from tests.test_switching import OUT, asked, busy

Stop = tuple[str, int]
"""Controller, and after how many of its steps."""
DEVICES = {"electric_vehicle": {"share": 1.0}, "heat_pump": {"share": 0.5}}
SWITCHED = {**OUT, "begin": 0.5, "end": 0.75}


def evening(controllers: Sequence[str], *events: dict[str, Any], **sections: Any) -> Scenario:
    """Four steps."""
    given = {"devices": DEVICES, "power_flow": {"check_every": 3}} | sections
    return asked(*events, hours=1.0, seed=3, controllers=list(controllers), **given)


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


def test_a_run_goes_on_with_the_controller_that_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Complete ones are left alone, and the optimum, whose schedule takes a while, is not solved again."""
    solved: list[int] = []

    def counted(*given: Any, **named: Any) -> Any:
        solved.append(1)
        return ac_schedule(*given, **named)

    monkeypatch.setattr("grid_cosim.optimum.ac_schedule", counted, raising=False)
    scenario, feeder = evening(["uncontrolled", "dimming", "optimum"], SWITCHED), busy(4)
    same_after([("uncontrolled", 3), ("dimming", 4), ("optimum", 2)], scenario, feeder, tmp_path)
    assert len(solved) == 2  # once for each of both runs


def test_whatever_a_crash_leaves_loads_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the folder after every file that is brought to the disk: what SIGKILL would leave."""
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
    scenario, feeder = evening(["uncontrolled"], record={"limits": "summary"}), busy(4)
    run(scenario, out=out, feeder=feeder, report=False, checkpoint_s=0.0)
    monkeypatch.undo()
    shots, steps = sorted(seen.iterdir()), []
    for shot in shots:
        left = Results.load(shot).runs["uncontrolled"]
        steps.append(left.n_rows("totals"))
        assert left.status == "interrupted"
        rows = [left.n_rows(name) for name in ("households", "devices", "lines", "buses", "grid")]
        assert rows == [steps[-1] * n for n in (8, 12, 5, 7, 1)]
        assert len(left.table("limit_summary")) == (2 if steps[-1] else 0)
    assert steps == sorted(steps)
    assert set(steps) == set(range(5))
    for shot in shots[5 :: len(shots) // 3]:
        shutil.copytree(shot, tmp_path / "cut.partial")
        run(scenario, out=tmp_path / "cut", feeder=feeder, report=False, resume=True)
        assert tables(tmp_path / "cut") == tables(out)
        shutil.rmtree(tmp_path / "cut")


def test_killed_for_real_and_gone_on_with_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    command = ["run", "study.toml", "--controllers", "uncontrolled,consensus", "--set", "time.hours=3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "grid_cosim.cli", *command, "--out", "cut", "--checkpoint-every", "0"],
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        manifest = Manifest.of(tmp_path / "cut.partial" / "consensus")
        if manifest is not None and manifest.step > 2:
            break
        time.sleep(0.03)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    left = Results.load("cut.partial")
    assert left.runs["uncontrolled"].status == "complete"
    assert left.runs["consensus"].status == "interrupted"
    done = left.runs["consensus"].n_rows("totals")
    assert 2 < done < 12
    shown = grid_cosim(*command, "--resume", "--out", "cut")
    runs(shown)
    assert f"Resuming: uncontrolled is complete; consensus goes on after {done} steps" in shown.stdout
    runs(grid_cosim(*command, "--out", "whole"))
    assert tables(tmp_path / "cut") == tables(tmp_path / "whole")


def test_another_run_is_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    base_load().to_csv("base.csv")
    given = ["homes.base_load=base.csv", "controllers=['uncontrolled']"]
    scenario = load_scenario("study.toml", given)
    stopped(scenario, tmp_path / "out", ("uncontrolled", 2))
    table = base_load()
    table.iloc[-1, 0] = 0.6  # beyond the run's hour
    table.to_csv("base.csv")
    changes = [part for one in ("seed=2", *given) for part in ("--set", one)]
    shown = grid_cosim("run", "study.toml", *changes, "--out", "out", "--resume")
    said = " ".join(shown.stderr.split())
    assert shown.exit_code == 2
    assert (
        "out.partial: cannot be gone on from, since this is another run: - scenario.seed: 1 then, 2 now"
        in said
    )
    assert f"- inputs.{tmp_path / 'base.csv'}: '" in said
    assert "Make it as it was, or run anew, without --resume" in said
    assert Results.load("out.partial").runs["uncontrolled"].n_rows("grid") == 2  # nothing was touched


def test_all_that_decides_on_the_numbers_is_compared(tmp_path: Path) -> None:
    scenario = {"seed": 1, "time": {"hours": 2.0}, "events": [{"begin": 1}]}
    origin = {
        "created": "yesterday",
        "versions": {"numpy": "2.4"},
        "policies": {"pv": {"sha256": 40 * "a"}},
        "inputs": {"x.csv": "1"},
    }
    described = synthetic_results(n_steps=1)
    described = dataclasses.replace(described, scenario=scenario, provenance=origin)
    left = Left(tmp_path, described)
    left.refuse_others(scenario, origin | {"created": "today"})
    with pytest.raises(ResultsError) as caught:
        left.refuse_others(
            {"seed": 1, "time": {"hours": 3.0}, "record": {"every": 2}},
            {"versions": {"numpy": "2.5"}, "policies": {"pv": {"sha256": 40 * "b"}}, "inputs": {}},
        )
    assert [line for line in str(caught.value).splitlines() if line.startswith("  - ")] == [
        "  - scenario.time.hours: 2.0 then, 3.0 now",
        "  - scenario.events: [{'begin': 1}] then, nothing now",
        "  - scenario.record: nothing then, {'every': 2} now",
        "  - versions.numpy: '2.4' then, '2.5' now",
        "  - policies.pv.sha256: 'aaaaaaaaaaa… then, 'bbbbbbbbbbb… now",
        "  - inputs.x.csv: '1' then, nothing now",
    ]


def test_every_file_that_a_scenario_names_is_an_input(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a", "utf-8")
    named = {"homes": {"base_load": str(tmp_path / "a.csv")}, "title": "x" * 5000, "n": [3, "simbench", ""]}
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert input_files(named) == {str(tmp_path / "a.csv"): digest}


def test_another_network_in_memory_is_told_apart() -> None:
    net = busy(4).net
    before = fingerprint(load_feeder(net))
    assert fingerprint(busy(4)) == before
    net.line.loc[0, "length_km"] *= 1.0000001
    assert fingerprint(load_feeder(net)) != before


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
    scenario, feeder = evening(["uncontrolled"]), busy(4)
    run(scenario, out=tmp_path / "whole", feeder=feeder, report=False)

    def full_disk(controller: str, done: int, of: int) -> None:
        if done == 3:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        run(scenario, out=tmp_path / "cut", feeder=feeder, report=False, progress=full_disk)
    assert "The same command with --resume goes on from there." in caught.value.__notes__
    left = Results.load(tmp_path / "cut.partial").runs["uncontrolled"]
    assert (left.status, left.n_rows("grid")) == ("failed", 3)
    run(scenario, out=tmp_path / "cut", feeder=feeder, report=False, resume=True)
    assert tables(tmp_path / "cut") == tables(tmp_path / "whole")


def test_two_processes_do_not_write_the_same_results(tmp_path: Path) -> None:
    def again() -> None:
        with staged_folder(tmp_path / "out"):
            pass

    with staged_folder(tmp_path / "out"), pytest.raises(ResultsError, match="another process is writing"):
        again()
    again()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_system_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with staged_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out").is_dir()


def test_a_lock_that_its_holder_has_just_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a third process could lock the file that takes its place."""

    def late(file: IO[str]) -> bool:
        (tmp_path / ".out.lock").unlink()
        return True

    monkeypatch.setattr("grid_cosim.results.staging._lock", late)
    with pytest.raises(ResultsError, match="another process is writing"), staged_folder(tmp_path / "out"):
        pass


def test_what_another_process_has_completed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    def resumed() -> None:
        with staged_folder(tmp_path / "out", resume=True) as folder:
            folder.mkdir()

    with staged_folder(tmp_path / "out"):
        pass
    with pytest.raises(ResultsError, match="out: is complete by now"):
        resumed()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_not_yet_described_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would end without its network, which only a beginning writes."""

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("grid_cosim.runner.save_network", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(evening(["uncontrolled"]), out=tmp_path / "out", feeder=busy(4), report=False)
    with pytest.raises(ResultsError, match="holds nothing to go on from"):
        Left.by(tmp_path / "out")


def test_a_new_run_says_what_it_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    changes = ["controllers=['uncontrolled', 'independent']"]
    stopped(load_scenario("study.toml", changes), tmp_path / "out", ("independent", 2))
    pieces_of_another_end = tmp_path / "out.partial" / "uncontrolled" / "parts"
    pieces_of_another_end.mkdir()
    command = ("run", "study.toml", "--set", *changes, "--out", "out")
    shutil.copytree("out.partial", "other.partial")
    runs(grid_cosim(*command[:-1], "other", "--resume"))
    assert not (tmp_path / "other" / "uncontrolled" / "parts").exists()
    said = runs(grid_cosim(*command))
    assert "out.partial (uncontrolled is complete; independent goes on after 2 steps) is given up" in said
    assert "given up" not in runs(grid_cosim(*command))


def test_why_a_controller_begins_anew_is_said(tmp_path: Path) -> None:
    described = synthetic_results(n_steps=1)
    name = next(iter(described.runs))
    (tmp_path / name / "parts").mkdir(parents=True)
    Manifest(step=3, hindrance="run.controller: is a lock").commit(tmp_path / name)
    unfinished = {name: dataclasses.replace(described.runs[name], status="interrupted")}
    said = Left(tmp_path, dataclasses.replace(described, runs=unfinished)).said
    assert said == f"{name} begins anew, since its state cannot be kept (run.controller: is a lock)"
