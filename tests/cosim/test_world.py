from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import sleep

import mosaik
import numpy as np
import pandas as pd
import pytest
from pandapower.auxiliary import pandapowerNet

from grid_cosim.cosim import FeederSim, HouseholdSim, RecorderSim, run_world
from grid_cosim.errors import CosimError, HorizonError, PowerFlowError, RunError, SolverError
from grid_cosim.feeder import Feeder, PandapowerFlow, PowerGridFlow, Snapshot, power_grid
from grid_cosim.feeder.equations import Equations, read_equations
from grid_cosim.neighbourhood import Neighbourhood
from grid_cosim.results import load_run
from tests.cosim.builders import START, DivergesAt, small_feeder, small_neighbourhood
from tests.signals import interruptible


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return dict(load_run(folder).tables)


def status(folder: Path) -> tuple[str, str]:
    ended = json.loads((folder / "status.json").read_text())
    return ended["status"], ended["message"]


def on_the_wire(power_kw: np.ndarray) -> np.ndarray:
    """KW → MW → kW, which rounds the last digit."""
    return 1e3 * (power_kw / 1e3)


class Numbered(PandapowerFlow):
    """The real power flow, but loading 100, 101, … % and 0, 1, … kW in the first, second, … step."""

    def __init__(self, feeder: Feeder) -> None:
        super().__init__(feeder)
        self._step = -1

    def solve(self, *, bus_p_kw: np.ndarray, bus_q_kvar: np.ndarray, step: int | None) -> Snapshot:
        self._step += 1
        return replace(
            super().solve(bus_p_kw=bus_p_kw, bus_q_kvar=bus_q_kvar, step=step),
            trafo_loading_percent=np.array([100.0 + self._step]),
            limit_loading_percent=np.array([100.0 + self._step]),
            limit_p_kw=np.array([float(self._step)]),
        )


def test_who_runs_when_and_what_each_receives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log: list[str] = []

    def spied(simulator: type, told: Callable[[str, str, object], str]) -> None:
        real = simulator.step

        def step(self, time: int, inputs: dict, max_advance: int) -> int:
            received = sorted(
                f"{eid}.{attribute} from {source.partition('.')[2]}{told(eid, attribute, value)}"
                for eid, attributes in inputs.items()
                for attribute, sources in attributes.items()
                for source, value in sources.items()
            )
            log.extend(f"{time} {simulator.__name__} <- {line}" for line in received)
            return real(self, time, inputs, max_advance)

        monkeypatch.setattr(simulator, "step", step)

    spied(HouseholdSim, lambda eid, attribute, value: f" = {value}")
    spied(FeederSim, lambda eid, attribute, value: "")
    spied(RecorderSim, lambda eid, attribute, value: "")
    feeder = small_feeder(2)
    run_world(
        small_neighbourhood(feeder, n_steps=3),
        feeder,
        tmp_path,
        start=START,
        power_flow=Numbered(feeder),
        bulk=False,
    )

    def step(time: int, trafo_mw: object, trafo_percent: object) -> list[str]:
        return [
            f"{time} HouseholdSim <- Limit-0.P[MW] from Trafo-0 = {trafo_mw}",
            f"{time} HouseholdSim <- Limit-0.loading[%] from Trafo-0 = {trafo_percent}",
            f"{time} FeederSim <- Bus-2.P_load[MW] from ConnectionPoint-2",
            f"{time} FeederSim <- Bus-2.Q_load[MVar] from ConnectionPoint-2",
            f"{time} FeederSim <- Bus-3.P_load[MW] from ConnectionPoint-3",
            f"{time} FeederSim <- Bus-3.Q_load[MVar] from ConnectionPoint-3",
            f"{time} RecorderSim <- Recorder-0.agreement from Neighbourhood-0",
            f"{time} RecorderSim <- Recorder-0.buses from Grid",
            f"{time} RecorderSim <- Recorder-0.devices from Neighbourhood-0",
            f"{time} RecorderSim <- Recorder-0.grid from Grid",
            f"{time} RecorderSim <- Recorder-0.households from Neighbourhood-0",
            f"{time} RecorderSim <- Recorder-0.limits from Grid",
            f"{time} RecorderSim <- Recorder-0.limits from Neighbourhood-0",
            f"{time} RecorderSim <- Recorder-0.lines from Grid",
        ]

    # households in step k learn what the transformer carried in step k - 1
    assert log == step(0, "nan", "nan") + step(900, 0.0, 100.0) + step(1800, 0.001, 101.0)
    # the row of a step holds what the transformer carried in that step
    assert tables(tmp_path)["limits"]["loading_percent"].tolist() == [100.0, 101.0, 102.0]


@pytest.mark.parametrize("controller", ["uncontrolled", "consensus"])
def test_the_world_is_a_loop_of_households_and_power_flow(tmp_path: Path, controller: str):
    feeder = small_feeder()
    homes = small_neighbourhood(feeder, controller=controller)
    told: list[int] = []
    run_world(homes, feeder, tmp_path, start=START, check_every=3, progress=told.append)

    power_flow = PowerGridFlow(feeder)
    state, measured_kw, loading = homes.init(), np.full(1, np.nan), np.full(1, np.nan)
    done_steps, snapshots = [], []
    quarter = 18 * 96 + 17 * 4  # 19 January, 17:00
    for step in range(homes.fleet.n_steps):
        state, done = homes.step(state, step, measured_kw=measured_kw, loading_percent=loading)
        snapshot = power_flow.solve(
            bus_p_kw=on_the_wire(homes.at_connection_points(done.p_kw)),
            bus_q_kvar=on_the_wire(homes.at_connection_points(done.q_kvar)),
            step=quarter + step,
        )
        measured_kw, loading = on_the_wire(snapshot.limit_p_kw), snapshot.limit_loading_percent
        done_steps.append(done)
        snapshots.append(snapshot)

    written = tables(tmp_path)

    def column(table: str, name: str) -> np.ndarray:
        return written[table][name].to_numpy()

    def over_time(values: list) -> np.ndarray:
        return np.concatenate([np.atleast_1d(value) for value in values])

    np.testing.assert_array_equal(column("households", "p_kw"), over_time([d.p_kw for d in done_steps]))
    np.testing.assert_array_equal(
        column("households", "price_eur_per_kwh"), over_time([d.decision.local_price for d in done_steps])
    )
    owed = over_time([np.concatenate([o.owed_kwh.numpy() for o in d.outputs]) for d in done_steps])
    np.testing.assert_array_equal(column("devices", "owed_kwh"), owed)
    np.testing.assert_array_equal(column("limits", "limit_kw"), over_time([d.limit_kw for d in done_steps]))
    np.testing.assert_array_equal(column("limits", "p_kw"), over_time([s.limit_p_kw for s in snapshots]))
    np.testing.assert_array_equal(column("grid", "losses_kw"), over_time([s.losses_kw for s in snapshots]))
    np.testing.assert_array_equal(
        column("buses", "vm_pu"), over_time([s.vm_pu for s in snapshots]).astype(np.float32)
    )
    assert np.isfinite(column("grid", "ac_check_dv_pu")).tolist() == [k % 3 == 0 for k in range(8)]
    assert written["households"]["time"].iloc[[0, -1]].tolist() == [
        pd.Timestamp("2016-01-19T17:00"),
        pd.Timestamp("2016-01-19T18:45"),
    ]
    assert told == list(range(1, 9))
    assert status(tmp_path) == ("complete", "")
    if controller == "consensus":
        assert column("limits", "price_mean_eur_per_kwh").max() > 0.0


@pytest.mark.parametrize("controller", ["uncontrolled", "consensus"])
def test_all_values_at_once_and_one_by_one_give_the_same_bytes(tmp_path: Path, controller: str):
    feeder = small_feeder(5)
    written = []
    for bulk in (True, False):
        folder = tmp_path / f"bulk is {bulk}"
        homes = small_neighbourhood(feeder, controller=controller)
        run_world(homes, feeder, folder, start=START, check_every=2, bulk=bulk)
        written.append({path.name: path.read_bytes() for path in folder.glob("*.parquet")})
    assert written[0] == written[1]
    assert {"limits.parquet", "totals.parquet"} <= set(written[0])


def test_what_is_measured_finds_its_limit_by_name():
    simulator = HouseholdSim()
    simulator.init("H", neighbourhood=small_neighbourhood(small_feeder()))
    simulator.create(1, "Neighbourhood")
    simulator._neighbourhood = replace(simulator._neighbourhood, limit_names=("Trafo-0", "Trafo-1"))
    assert simulator._limit_rows(["Trafo-1", "Trafo-0"]) == [1, 0]
    assert simulator._limit_rows(["Trafo-0", "Trafo-1"]) == slice(None)
    with pytest.raises(CosimError, match="there is no limit Trafo-7"):
        simulator._limit_rows(["Trafo-0", "Trafo-7"])


def overloaded(homes: Neighbourhood, *, at_step: int) -> Neighbourhood:
    base_kw = homes.fleet.base_kw.copy()
    base_kw[at_step] *= 200.0
    return replace(homes, fleet=replace(homes.fleet, base_kw=base_kw))


def test_a_step_without_solution_stops_the_run_and_says_which_and_keeps_the_steps_before(tmp_path: Path):
    feeder = small_feeder()
    homes = overloaded(small_neighbourhood(feeder, controller="uncontrolled"), at_step=3)
    with pytest.raises(PowerFlowError, match=r"step 3 \(2016-01-19 17:45\).*most loaded is .*-0") as caught:
        run_world(homes, feeder, tmp_path, start=START)
    assert caught.value.step == 3
    assert status(tmp_path) == ("failed", str(caught.value))
    assert len(tables(tmp_path)["grid"]) == 3
    assert len(tables(tmp_path)["households"]) == 9


def test_going_on_without_a_step_gives_nan_and_nothing_old(tmp_path: Path):
    feeder = small_feeder()
    homes = small_neighbourhood(feeder)
    run_world(
        homes, feeder, tmp_path, start=START, power_flow=DivergesAt(feeder, 3), on_divergence="continue"
    )
    written = tables(tmp_path)
    missing = [k == 3 for k in range(8)]
    assert (~written["grid"]["converged"]).tolist() == missing
    assert written["limits"]["loading_percent"].isna().tolist() == missing
    assert written["buses"]["vm_pu"].isna().tolist() == [m for m in missing for _ in range(5)]
    # the meters keep what they knew
    known = written["limits"]["limit_kw"]
    assert known[4] == known[3]
    assert status(tmp_path)[0] == "complete"


def test_a_solution_that_the_reference_does_not_confirm_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def with_a_wrong_tap(net: pandapowerNet) -> Equations:
        right = read_equations(net)
        return replace(right, ratio=np.where(np.arange(right.ratio.size) == 3, 1.001, 1.0) * right.ratio)

    monkeypatch.setattr(power_grid, "read_equations", with_a_wrong_tap)
    feeder = small_feeder()  # three lines, then the transformer
    wrong = PowerGridFlow(feeder)
    homes = small_neighbourhood(feeder)
    with pytest.raises(
        SolverError, match=r"step 0 \(2016-01-19 17:00\).*gives 0\.98\d* pu at Bus-4, .* run 0\.98"
    ) as caught:
        run_world(homes, feeder, tmp_path, start=START, power_flow=wrong, check_every=4)
    assert caught.value.step == 0
    assert status(tmp_path) == ("failed", str(caught.value))
    run_world(homes, feeder, tmp_path, start=START, power_flow=wrong)  # nobody looks


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_solved_step_is_checked_and_then_every_so_many(tmp_path: Path, first: int):
    feeder = small_feeder()
    flow = DivergesAt(feeder, 0) if first else PowerGridFlow(feeder)
    grid = FeederSim()
    grid.init("F", feeder=feeder, power_flow=flow, check_every=4, step_size=1, on_divergence="continue")
    grid.create(1, "Grid")
    checked = []
    for time in range(first, 10):
        grid.step(time, {}, 10)
        checked.append(not np.isnan(grid.get_data({"Grid": ["ac_check_dv[pu]"]})["Grid"]["ac_check_dv[pu]"]))
    # with `first` the first step has no solution, so that the second is the first to be looked at
    assert [first + k for k in np.flatnonzero(checked)] == ([2, 4, 8] if first else [0, 4, 8])


def test_a_world_that_ends_early_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = mosaik.World.run
    monkeypatch.setattr(mosaik.World, "run", lambda self, until, **how: real(self, until // 2, **how))
    feeder = small_feeder()
    with pytest.raises(RunError, match="ended after 4 of 8 steps"):
        run_world(small_neighbourhood(feeder), feeder, tmp_path, start=START)
    assert status(tmp_path)[0] == "failed"
    assert len(tables(tmp_path)["grid"]) == 4


def test_an_interrupted_run_says_so_and_keeps_its_steps(tmp_path: Path):
    def interrupt(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    feeder = small_feeder()
    with pytest.raises(KeyboardInterrupt):
        run_world(small_neighbourhood(feeder), feeder, tmp_path, start=START, progress=interrupt)
    assert status(tmp_path) == ("interrupted", "stopped by the user after 3 of 8 steps")
    assert len(tables(tmp_path)["grid"]) == 3


def test_any_other_failure_arrives_as_it_was_raised(tmp_path: Path):
    def fail(done: int) -> None:
        raise ZeroDivisionError("by the progress bar")

    feeder = small_feeder()
    with pytest.raises(ZeroDivisionError, match="by the progress bar"):
        run_world(small_neighbourhood(feeder), feeder, tmp_path, start=START, progress=fail)
    assert status(tmp_path) == ("failed", "ZeroDivisionError: by the progress bar")


def test_it_runs_where_an_event_loop_runs_as_in_a_notebook(tmp_path: Path):
    feeder = small_feeder()

    async def cell() -> float:
        return run_world(small_neighbourhood(feeder), feeder, tmp_path, start=START)

    assert asyncio.run(cell()) > 0.0
    assert status(tmp_path)[0] == "complete"


def test_a_notebook_can_interrupt_it(tmp_path: Path):
    def interrupt(done: int) -> None:
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)
        if done >= 2:
            sleep(0.2)  # the main thread needs a moment to notice

    async def cell() -> None:
        feeder = small_feeder()
        run_world(small_neighbourhood(feeder), feeder, tmp_path, start=START, progress=interrupt)

    loop = asyncio.new_event_loop()  # as in a notebook, and unlike in asyncio.run, Ctrl-C is not taken over
    with interruptible(), pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())
    loop.close()
    assert status(tmp_path)[0] == "interrupted"
    assert 2 <= len(tables(tmp_path)["grid"]) < 8


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    feeder = small_feeder()
    run_world(small_neighbourhood(feeder), feeder, tmp_path, start=START)
    assert capfd.readouterr() == ("", "")


def test_households_beyond_their_horizon_are_refused():
    homes = HouseholdSim()
    homes.init("H", neighbourhood=small_neighbourhood(small_feeder(), n_steps=2))
    homes.create(1, "Neighbourhood")
    homes.step(0, {}, 2700)
    homes.step(900, {}, 2700)
    with pytest.raises(HorizonError, match="step 3 of 2"):
        homes.step(1800, {}, 2700)


def test_households_of_another_network_are_refused(tmp_path: Path):
    with pytest.raises(CosimError, match="the grid has no Bus-4"):
        run_world(small_neighbourhood(small_feeder(3)), small_feeder(2), tmp_path, start=START)
