"""The co-simulation: starts the three simulators in this process, connects them and runs to the horizon.

In every step HouseholdSim's connection points feed FeederSim's buses; what the limited elements carry
reaches HouseholdSim's limits one step later; RecorderSim gets the tables of both.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import mosaik

from grid_cosim.cosim import clock
from grid_cosim.cosim.feeder import Divergence
from grid_cosim.cosim.keeping import CHECKPOINT_S, Keeping
from grid_cosim.errors import CosimError, GridCosimError, RunError
from grid_cosim.results import Record

if TYPE_CHECKING:
    from grid_cosim.feeder import Feeder, PowerFlow, Solvers
    from grid_cosim.neighbourhood import Neighbourhood

SIM_CONFIG = {
    "HouseholdSim": {"python": "grid_cosim.cosim.households:HouseholdSim"},
    "FeederSim": {"python": "grid_cosim.cosim.feeder:FeederSim"},
    "RecorderSim": {"python": "grid_cosim.cosim.recorder:RecorderSim"},
}
"""For `mosaik.World`; a copy of it may replace an entry by a `cmd`."""
_EVERYTHING = Record()
_WIRED_BY = {"ConnectionPoint": "bus", "Limit": "element"}
"""Model → where its `extra_info` names the element of the grid."""


def connect_feeder(
    world: Any,
    neighbourhood: Any,
    grid: Any,
    *,
    bulk: bool = False,
    switches: bool = False,
    told: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    """Every connection point to its bus, and every limited element back to its meter, one step later.

    `neighbourhood` and `grid` are mosaik's entities. A grid of another simulator works too if its elements
    have the same ids and attributes. With `bulk` two connections carry all values at once: the same
    numbers, and mosaik's cost no longer grows with the homes. With `switches` the homes are told, one step
    later too, what others open and close in the grid: who is behind which limit follows. Both simulators
    must be ours for that, for `bulk`, and where the scenario's own events switch. `told` is what the homes
    hear in the first step of a world that goes on where another has ended (`GridAt.told`); with `bulk` only.
    """
    elements = {element.eid: element for element in grid.children}
    planned, in_grid = neighbourhood.extra_info["switched"], grid.extra_info.get("switched", [])
    if planned != in_grid:
        raise CosimError(
            "connect_feeder",
            f"the homes' scenario switches in steps {planned}, the grid in {in_grid}",
            remedy="Start FeederSim with the scenario of the households",
        )
    if planned:
        _connect_shifted(world, grid, neighbourhood, "remeasured", told)
    if switches:
        world.connect(grid, neighbourhood, "switches", time_shifted=True, initial_data={"switches": {}})
    if bulk:
        for child in neighbourhood.children:
            if child.type in _WIRED_BY:
                _element(elements, child.extra_info[_WIRED_BY[child.type]])
        world.connect(neighbourhood, grid, "connection_points")
        _connect_shifted(world, grid, neighbourhood, "measured", told)
        return
    assert not told, "one by one a world begins at its beginning"
    branch = {"P[MW]": float("nan"), "loading[%]": float("nan")}
    bus = {"Vm[pu]": float("nan")}
    for child in neighbourhood.children:
        if child.type == "ConnectionPoint":
            fed = _element(elements, child.extra_info["bus"])
            world.connect(child, fed, ("P[MW]", "P_load[MW]"), ("Q[MVar]", "Q_load[MVar]"))
        elif child.type == "Limit":
            element = _element(elements, child.extra_info["element"])
            unmeasured = bus if element.type == "Bus" else branch
            world.connect(element, child, *unmeasured, time_shifted=True, initial_data=unmeasured)


def _connect_shifted(
    world: Any, grid: Any, neighbourhood: Any, table: str, told: Mapping[str, Mapping[str, Any]]
) -> None:
    nothing: dict[str, Any] = {"limit": [], "P[MW]": [], "loading[%]": [], "Vm[pu]": []}
    first = dict(told.get(table, nothing))
    world.connect(grid, neighbourhood, table, time_shifted=True, initial_data={table: first})


def connect_recorder(world: Any, neighbourhood: Any, grid: Any, recorder: Any) -> None:
    """All tables to the recorder."""
    world.connect(neighbourhood, recorder, "households", "devices", "limits", "agreement")
    world.connect(grid, recorder, "lines", "buses", "limits", "grid")


def run_world(
    neighbourhood: Neighbourhood,
    feeder: Feeder,
    folder: Path,
    *,
    start: datetime,
    power_flow: PowerFlow | Solvers | None = None,
    check_every: int = 0,
    on_divergence: Divergence = "stop",
    progress: Callable[[int], None] | None = None,
    record: Record = _EVERYTHING,
    bulk: bool = True,
    checkpoint_s: float = CHECKPOINT_S,
    resume: bool = False,
) -> float:
    """Co-simulate a neighbourhood on its feeder, recording into `folder`; gives the wall time in s.

    `record` says in which detail, `bulk` is that of `connect_feeder`. `progress` is told after each step how
    many are done. Whatever happens, the tables until then are kept, and the folder's status says how the run
    ended. Errors of the simulators arrive here as they were raised; `RunError` where mosaik ends before the
    horizon without one. May be called from a running event loop.

    Every `checkpoint_s` seconds (0: after every step) all that is needed to go on is brought to the disk, and
    so it is on an interruption. With `resume` the run goes on from there, if there is anything, to the same
    tables as if it had never ended: everything else must be as it was, and `bulk` the default.
    """
    run = _Run(
        neighbourhood,
        feeder,
        power_flow,
        start=start,
        check_every=check_every,
        on_divergence=on_divergence,
        progress=progress,
        bulk=bulk,
        keeping=Keeping.begin(folder, record, neighbourhood, checkpoint_s=checkpoint_s, resume=resume),
    )
    keeping = run.keeping
    try:
        if keeping.done < run.n_steps:
            _outside_event_loops(run)
        if keeping.done < run.n_steps:
            raise RunError(reached=keeping.done, n_steps=run.n_steps, reason="mosaik gave no reason")
    except KeyboardInterrupt:
        keeping.leave("interrupted", f"stopped by the user after {keeping.done} of {run.n_steps} steps")
        raise
    except GridCosimError as error:
        keeping.finish("failed", str(error))
        raise
    except BaseException as error:
        with suppress(OSError):  # a full disk, say, which is what has failed
            keeping.leave("failed", f"{type(error).__name__}: {error}")
        raise
    return keeping.finish("complete", "")


@dataclass
class _Run:
    """One run, and how far it is."""

    neighbourhood: Neighbourhood
    feeder: Feeder
    power_flow: PowerFlow | Solvers | None
    start: datetime
    check_every: int
    on_divergence: Divergence
    progress: Callable[[int], None] | None
    bulk: bool
    keeping: Keeping
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def n_steps(self) -> int:
        return self.neighbourhood.fleet.n_steps

    def on_step(self, done: int) -> None:
        self.keeping.after(done)
        if self.cancelled.is_set():
            raise KeyboardInterrupt
        if self.progress is not None:
            self.progress(done)

    def __call__(self) -> None:
        """Start, create, connect, run."""
        step_size = clock.units(self.neighbourhood.fleet.dt_h, 1.0)
        begins = self.keeping.begins
        first_step = 0 if begins is None else begins.step
        # its own loop, so that mosaik does not leave a closed one behind as this thread's
        loop = asyncio.new_event_loop()
        world = mosaik.World(SIM_CONFIG, skip_greetings=True, configure_logging=False, asyncio_loop=loop)
        try:
            neighbourhood = world.start(
                "HouseholdSim",
                neighbourhood=self.neighbourhood,
                first_step=first_step,
                state=None if begins is None else begins.households,
                on_state=self.keeping.standing.households,
            ).Neighbourhood()
            grid = world.start(
                "FeederSim",
                feeder=self.feeder,
                power_flow=self.power_flow,
                start=self.start,
                step_size=step_size,
                check_every=self.check_every,
                on_divergence=self.on_divergence,
                first_step=first_step,
                state=None if begins is None else begins.grid,
                on_state=self.keeping.standing.grid,
            ).Grid()
            recorder = world.start(
                "RecorderSim",
                writer=self.keeping.writer,
                start=self.start,
                step_size=step_size,
                n_steps=self.n_steps,
                on_step=self.on_step,
                first_step=first_step,
            ).Recorder()
            told = {} if begins is None else begins.grid.told(self.neighbourhood.limit_names)
            connect_feeder(world, neighbourhood, grid, bulk=self.bulk, told=told)
            connect_recorder(world, neighbourhood, grid, recorder)
            until = (self.n_steps - first_step) * step_size
            world.run(until=until, print_progress=False, shutdown=False)
        finally:
            _cancel_pending(loop)
            world.shutdown()


def _outside_event_loops(run: _Run) -> None:
    """Call `run` in this thread, or where an event loop runs already, as in a notebook, in one of its own."""
    if not _in_event_loop():
        run()
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(run)
        try:
            running.result()
        except KeyboardInterrupt:
            run.cancelled.set()
            with suppress(BaseException):
                running.result()
            raise


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _cancel_pending(loop: asyncio.AbstractEventLoop) -> None:
    """End the simulators that still wait for one that has failed."""
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))


def _element(elements: dict[str, Any], eid: str) -> Any:
    if eid not in elements:
        raise CosimError(
            "connect_feeder",
            f"the grid has no {eid}",
            remedy="Start FeederSim with the network of the households' scenario",
        )
    return elements[eid]
