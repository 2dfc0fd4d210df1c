"""Households on one side, the grid on the other: simulators as processes of their own, over TCP.

    python scenarios/over_tcp.py

runs the same evening twice. First mosaik starts both as processes (`cmd`). Then it connects to two that run
already (`connect`); on other machines you would have started them there by hand:

    python -m grid_cosim.cosim.households --remote 0.0.0.0:5555
    python -m grid_cosim.cosim.feeder --remote 0.0.0.0:5556

Each reads the scenario from a file of its own machine. What is recorded is, bit for bit, what a run in one
process records. There is no encryption and nobody asks who connects: for networks that you trust.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mosaik

from grid_cosim.cosim import connect_feeder, connect_recorder
from grid_cosim.scenario import load_scenario

MODULES = {"Households": "grid_cosim.cosim.households", "Feeder": "grid_cosim.cosim.feeder"}
RECORDER = {"Recorder": {"python": "mosaik_components.grid_cosim:RecorderSim"}}
IN_PROCESS = {
    "Households": {"python": "mosaik_components.grid_cosim:HouseholdSim"},
    "Feeder": {"python": "mosaik_components.grid_cosim:FeederSim"},
}
STARTED = {name: {"cmd": f"%(python)s -m {module} %(addr)s"} for name, module in MODULES.items()}
PATIENCE = {"start_timeout": 120}
"""Seconds: a process has to load what it needs."""
SCENARIO = Path(__file__).with_name("cold_evening.toml")
SMALL = ("feeder.source=schutterwald:0", "feeder.limit_share=0.28", "time.hours=12")
FOLDER = Path("runs/over_tcp")


def main(
    scenario: Path = SCENARIO,
    overrides: Sequence[str] = SMALL,
    folder: Path = FOLDER,
    ways: Sequence[str] = ("python", "cmd", "connect"),
) -> dict[str, bool]:
    """Run `consensus` in each of these ways; tells of each whether its tables are those of the first."""
    for way in ways:
        match way:
            case "python":
                run(IN_PROCESS, scenario, overrides, folder / way)
            case "cmd":
                run(STARTED, scenario, overrides, folder / way)
            case "connect":
                with running_by_hand() as addresses:
                    connected = {name: {"connect": address} for name, address in addresses.items()}
                    run(connected, scenario, overrides, folder / way)
    same = {way: tables(folder / way) == tables(folder / ways[0]) for way in ways}
    for way, is_same in same.items():
        print(
            f"{way}: {'the same bytes' if is_same else 'OTHER BYTES'} in {len(tables(folder / way))} tables"
        )
    return same


def run(config: dict[str, Any], scenario: Path, overrides: Sequence[str], folder: Path) -> None:
    """The co-simulation; whatever the configuration says, the script is the same."""
    horizon = load_scenario(scenario, overrides).time
    given = {"scenario": str(scenario), "overrides": list(overrides)}  # texts: they travel as JSON
    with mosaik.World(config | RECORDER, PATIENCE, skip_greetings=True) as world:
        neighbourhood = world.start("Households", controller="consensus", **given).Neighbourhood()
        grid = world.start("Feeder", **given).Grid()
        recorder = world.start("Recorder", folder=str(folder), **given)
        # tables as a whole: a message each, instead of one number per bus
        connect_feeder(world, neighbourhood, grid, bulk=True)
        connect_recorder(world, neighbourhood, grid, recorder.Recorder())
        world.run(until=horizon.n_steps * round(horizon.dt_h * 3600))
        # mosaik returns normally when a process has failed: ask
        print(f"{recorder.check_horizon()} steps recorded in {folder}")


@contextmanager
def running_by_hand() -> Iterator[dict[str, str]]:
    """Both simulators, listening; in the place of somebody at another machine."""
    ports = {name: free_port() for name in MODULES}
    processes = [
        subprocess.Popen([sys.executable, "-m", MODULES[name], "--remote", f"127.0.0.1:{port}"])
        for name, port in ports.items()
    ]
    try:
        wait_until_listening(ports.values())
        yield {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(ports: Iterable[int]) -> None:
    """Until nobody else could listen there; a first connection would be taken for mosaik's."""
    deadline = time.monotonic() + PATIENCE["start_timeout"]
    for port in ports:
        while time.monotonic() < deadline:
            try:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            except OSError:
                break
            time.sleep(0.05)


def tables(folder: Path) -> dict[str, bytes]:
    """What was recorded, byte for byte."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


if __name__ == "__main__":
    main()
