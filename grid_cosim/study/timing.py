"""How long deciding takes for any number of homes, without power flow.

Times, here and of trainings, are CPU seconds of one thread: other programs lengthen them little.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time
from typing import final

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from grid_cosim.assembly import scenario_policies
from grid_cosim.coordination import Copies, CurveStep, TrackedMixing, bounds, communication, price_grid
from grid_cosim.deciding import Priced
from grid_cosim.environments.core import FleetGame
from grid_cosim.environments.priced import ControlledPlayer
from grid_cosim.environments.villages import Village
from grid_cosim.scenario import Coordination, DeviceSection, Scenario
from grid_cosim.shipped import shipped
from grid_cosim.study.cases import Row, digests

EXECUTION = "Deciding"
"""This kind of work, as it stands in the table's column `what`."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and linear algebra on one core, so that times of few and of many homes compare.

    CPU time counts every thread, those that only wait in a loop as well.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@final
@dataclass(frozen=True)
class ExecutionWork:
    """Control steps of `consensus` with all defaults behind one limit; its meter measures what homes draw."""

    n_homes: int
    n_steps: int
    seed: int

    def identity(self) -> str:
        """Its numbers, and the shipped policies byte by byte."""
        return "\n".join([repr(self), *shipped_policies()])

    def __call__(self) -> list[Row]:
        """One row: the median over all steps but the first, in which more is made ready."""
        with one_thread(), torch.no_grad():
            began = process_time()
            game = Village(self.n_homes).draw(1, self.seed)
            player = consensus(game, seed=self.seed)
            preparing_s = process_time() - began
            state, memory, times_s = game.init(), player.init(game), []
            for step in range(self.n_steps):
                began = process_time()
                memory, powers_kw = player.act(game, memory, state, step)
                state, _ = game.step(state, powers_kw, step)
                times_s.append(process_time() - began)
        return [
            {
                "what": EXECUTION,
                "n_homes": self.n_homes,
                "seed": self.seed,
                "threads": 1,
                "seconds": float(np.median(times_s[1:])),
                "preparing_s": preparing_s,
            }
        ]


def shipped_policies() -> list[str]:
    """Digests of the policies, recipes and recorded prices that ship."""
    return digests(sorted(shipped("policies").iterdir()))


def consensus(game: FleetGame, *, seed: int) -> ControlledPlayer:
    """The controller `consensus` for any game, with the shipped policies and the default coordination."""
    settings = Coordination()
    copies = Copies.of(game.coupling)
    graph = communication(copies, settings.graph, seed=seed, degree=settings.degree)
    assert graph.links.interval.size  # found once, when the graph is laid out
    step = CurveStep(
        graph,
        price_grid(
            settings.largest_price_eur_per_kwh,
            n_prices=settings.n_prices,
            smallest=settings.smallest_price_eur_per_kwh,
        ),
        rounds=settings.rounds,
        sweeps=settings.iterations,
        mixing=TrackedMixing(bounds.cold_start_rounds(graph, accelerated=settings.accelerated)),
        accelerated=settings.accelerated,
    )
    scenario = Scenario(devices={kind: DeviceSection() for kind in game.kinds})
    names = [f"H{row}" for row in range(copies.n_households)]
    return ControlledPlayer(Priced(copies, step, seed), scenario_policies(scenario, game.fleet, names))
