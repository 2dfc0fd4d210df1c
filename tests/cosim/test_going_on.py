"""A world that goes on where another has ended gives the same bytes, wherever that was, whoever decides."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from grid_cosim.assembly import assemble
from grid_cosim.cosim import run_world
from grid_cosim.cosim.interrupts import uninterrupted
from grid_cosim.cosim.standing import Pace
from grid_cosim.feeder import Feeder, Solver, Solvers, load_feeder
from grid_cosim.neighbourhood import Neighbourhood
from grid_cosim.results import Manifest, Record, load_run
from tests import builders
from tests.cosim.builders import START, small_feeder, small_neighbourhood
from tests.signals import interruptible
from tests.test_switching import OUT, asked, busy, limited

N_STEPS = 8
SWITCHED = {**OUT, "begin": 0.5, "end": 1.25}
SIGNAL = {"kind": "signal", "element": "Trafo-1", "begin": 0.75, "end": 1.5, "share": 0.6}
DEVICES = {"electric_vehicle": {"share": 1.0}, "heat_pump": {"share": 0.5}}


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def same_after(
    stops: Sequence[int],
    homes: Neighbourhood,
    feeder: Feeder,
    folder: Path,
    *,
    solver: Solver = "auto",
    **how: Any,
) -> None:
    """The same tables with interruptions after so many steps as without."""

    def world(name: str, stop: int = 0, *, resume: bool = False) -> None:
        def progress(done: int) -> None:
            if done == stop:
                raise KeyboardInterrupt

        power_flow = Solvers(feeder, solver)
        given = {"start": START, "check_every": 3, "progress": progress, "resume": resume} | how
        run_world(homes, feeder, folder / name, power_flow=power_flow, **given)

    world("whole")
    for row, stop in enumerate(stops):
        with pytest.raises(KeyboardInterrupt):
            world("cut", stop, resume=row > 0)
        left = load_run(folder / "cut")
        assert (left.status, left.n_rows("grid"), left.n_rows("totals")) == ("interrupted", stop, stop)
    world("cut", resume=True)
    assert tables(folder / "cut") == tables(folder / "whole")
    assert load_run(folder / "cut").status == "complete"
    assert not (folder / "cut" / "parts").exists()


@cache
def switched_feeder() -> Feeder:
    """Six homes; the switches move in steps 2 and 5, the limit in 3 and 6."""
    return limited(scenario(), busy(6))


def scenario(**coordination: Any) -> Any:
    return asked(SWITCHED, SIGNAL, hours=2.0, seed=3, devices=DEVICES, coordination=coordination)


@pytest.mark.parametrize(
    ("controller", "coordination", "solver", "stops"),
    [
        ("independent", {}, "auto", (5,)),
        ("centralised", {}, "auto", (3,)),
        ("consensus", {}, "auto", (1, 2, 3, 5, 8)),
        ("consensus", {"dual_step": "newton", "link_outage": 0.2}, "pandapower", (2, 4, 5)),
        ("consensus", {"dual_step": "gradient"}, "auto", (3,)),
    ],
)
def test_the_same_bytes_while_limits_move_and_switches_open(
    controller: Any, coordination: dict[str, Any], solver: Solver, stops: tuple[int, ...], tmp_path: Path
) -> None:
    feeder = switched_feeder()
    homes = assemble(scenario(**coordination), feeder, controller)
    assert homes.fleet.n_steps == N_STEPS
    assert [at.start for at in homes.later] == [2, 5]
    same_after(stops, homes, feeder, tmp_path, solver=solver)


def test_per_phase(tmp_path: Path) -> None:
    asking = asked(hours=1.0, devices=DEVICES)
    feeder = limited(asking, load_feeder(builders.street_per_phase("abcab"), unbalanced=True))
    same_after([2], assemble(asking, feeder, "consensus"), feeder, tmp_path)


@pytest.mark.parametrize("solver", ["auto", "pandapower"])
def test_a_step_without_a_solution(solver: Solver, tmp_path: Path) -> None:
    feeder, homes = small_feeder(), small_neighbourhood(small_feeder())
    base_kw = homes.fleet.base_kw.copy()
    base_kw[3] *= 200.0
    homes = dataclasses.replace(homes, fleet=dataclasses.replace(homes.fleet, base_kw=base_kw))
    same_after([3, 4], homes, feeder, tmp_path, solver=solver, on_divergence="continue")
    assert load_run(tmp_path / "whole").table("grid")["converged"].tolist() == [k != 3 for k in range(8)]


def test_groups_that_are_full_and_less_detail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("parquet", "writer"):
        monkeypatch.setattr(f"grid_cosim.results.{module}.ROW_GROUP_ROWS", 7)
    feeder, homes = small_feeder(), small_neighbourhood(small_feeder())
    record = Record(devices="summary", limits="summary", buses="none", every=2)
    same_after([1, 4, 7], homes, feeder, tmp_path, record=record, checkpoint_s=0.0)


@dataclasses.dataclass(frozen=True)
class Hearsay:
    """Decides like another, and remembers something that no file can hold."""

    inner: Any

    def init(self) -> Any:
        return (self.inner.init(), print)

    def step(self, state: Any, **given: Any) -> Any:
        memory, decision = self.inner.step(state[0], **given)
        return (memory, print), decision


def test_a_state_that_cannot_be_kept_loses_no_rows(tmp_path: Path) -> None:
    feeder, homes = small_feeder(), small_neighbourhood(small_feeder())
    homes = dataclasses.replace(homes, controller=Hearsay(homes.controller))

    def interrupt(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_world(homes, feeder, tmp_path, start=START, progress=interrupt)
    left = Manifest.of(tmp_path)
    assert left is not None
    assert not left.goes_on
    assert "households.controller.1: is a builtin_function_or_method" in left.hindrance
    assert load_run(tmp_path).n_rows("grid") == 3
    run_world(homes, feeder, tmp_path, start=START, resume=True)  # from the beginning
    assert load_run(tmp_path).n_rows("grid") == N_STEPS


def test_ctrl_c_waits_until_what_belongs_together_is_written() -> None:
    done = []

    def twice() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("first")
            signal.raise_signal(signal.SIGINT)
            done.append("second")

    with interruptible(), pytest.raises(KeyboardInterrupt):
        twice()
    assert done == ["first", "second"]


def test_a_third_ctrl_c_does_not_wait() -> None:
    done = []

    def impatient() -> None:
        with uninterrupted():
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
                done.append(1)

    with interruptible(), pytest.raises(KeyboardInterrupt):
        impatient()
    assert len(done) == 2


def test_a_checkpoint_that_takes_long_is_not_taken_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("grid_cosim.cosim.standing.perf_counter", lambda: now[0])
    pace = Pace(30.0)
    now[0] = 29.0
    assert not pace.due
    now[0] = 30.0
    assert pace.due
    with pace.taken():
        now[0] += 4.0
    now[0] += 199.0
    assert not pace.due
    now[0] += 1.0  # 50 times as long as it took: 2 %
    assert pace.due
    assert Pace(0.0).due
