"""The simulators as processes of their own, and the shipped script: the same numbers as in-process."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mosaik
import pandapower as pp
import pytest
from loguru import logger

from grid_cosim.assembly import assemble, scenario_feeder
from grid_cosim.cosim import SIM_CONFIG, connect_feeder, connect_recorder, run_world
from grid_cosim.errors import RunError
from grid_cosim.results import TABLES
from grid_cosim.scenario import ControllerName, Scenario, load_scenario
from grid_cosim.shipped import shipped
from tests.builders import street

PROCESSES = {
    name: {"cmd": f"%(python)s -m grid_cosim.cosim.{module} %(addr)s", "env": {"OMP_NUM_THREADS": "1"}}
    for name, module in (("HouseholdSim", "households"), ("FeederSim", "feeder"), ("RecorderSim", "recorder"))
}
# a loaded machine needs longer to start Python than mosaik's ten seconds
PATIENCE = {"start_timeout": 120}


@pytest.fixture(scope="module")
def scenario_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenario")
    pp.to_json(street(), str(folder / "street.json"))
    scenario = folder / "street.toml"
    scenario.write_text(
        'controllers = ["consensus"]\n'
        "[time]\nstart = 2016-01-19T17:00:00\nhours = 1.5\n"
        '[feeder]\nsource = "street.json"\n'
        "[devices.electric_vehicle]\nshare = 1.0\n"
        "[power_flow]\ncheck_every = 2\n"
    )
    return scenario


def written(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.glob("*.parquet")}


def in_process(scenario: Scenario, controller: ControllerName, folder: Path) -> dict[str, bytes]:
    feeder = scenario_feeder(scenario)
    homes = assemble(scenario, feeder, controller)
    run_world(homes, feeder, folder, start=scenario.time.start, check_every=scenario.power_flow.check_every)
    return written(folder)


def run_script(scenario: Path, folder: Path, config: dict) -> None:
    """As a user would write it, shortened by our helpers."""
    with mosaik.World(config, PATIENCE, skip_greetings=True, configure_logging=False) as world:
        homes = world.start("HouseholdSim", scenario=str(scenario)).Neighbourhood()
        grid = world.start("FeederSim", scenario=str(scenario)).Grid()
        recorder = world.start("RecorderSim", scenario=str(scenario), folder=str(folder))
        connect_feeder(world, homes, grid)
        connect_recorder(world, homes, grid, recorder.Recorder())
        world.run(until=6 * 900, print_progress=False)
        recorder.check_horizon()


def test_processes_give_the_same_bytes(scenario_file: Path, tmp_path: Path):
    # value by value; tables as a whole travel in `scenarios/over_tcp.py`
    run_script(scenario_file, tmp_path / "processes", PROCESSES)
    here = in_process(load_scenario(scenario_file), "consensus", tmp_path / "here")
    assert set(here) == set(TABLES)
    assert written(tmp_path / "processes") == here
    assert json.loads((tmp_path / "processes" / "status.json").read_text())["status"] == "complete"


def test_a_process_that_fails_is_noticed_though_mosaik_swallows_it(scenario_file: Path, tmp_path: Path):
    heavy = scenario_file.with_name("heavy.toml")
    heavy.write_text(
        scenario_file.read_text().replace("[power_flow]", "[homes]\nmean_annual_kwh = 2e6\n[power_flow]")
    )
    with pytest.raises(RunError, match="ended after 0 of 6 steps"):
        run_script(heavy, tmp_path, SIM_CONFIG | {"FeederSim": PROCESSES["FeederSim"]})
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "interrupted"


@pytest.fixture
def usual_warnings_and_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """By default a mosaik world redirects warnings and switches its log on, for the whole process."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    yield
    logger.disable("mosaik")


@pytest.mark.usefixtures("usual_warnings_and_log")
def test_the_shipped_script_gives_the_same_bytes(scenario_file: Path, tmp_path: Path):
    script = _module(shipped("scenarios") / "cold_evening.py")
    script.main(scenario_file, tmp_path / "script", "uncontrolled")
    here = in_process(load_scenario(scenario_file), "uncontrolled", tmp_path / "here")
    assert set(here) == set(TABLES) - {"agreement"}
    assert written(tmp_path / "script") == here


def _module(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
