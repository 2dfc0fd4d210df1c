"""Time and memory against the number of homes and of limits, without power flow.

    python benchmarks/scale.py homes [N ...]     every home with a car and a heat pump; 1,000 to 100,000
    python benchmarks/scale.py nested [N ...]    the same behind three levels of limits
    python benchmarks/scale.py limits [M ...]    10,000 such homes behind 74 to 9,000 limits, nested

Households, policies and negotiation, for a day in steps of 15 minutes, from noon to noon in winter. Homes
are behind transformers of 150; with `nested` ten of these are behind a medium-voltage feeder, and all behind
one substation; with `limits` the streets of every transformer are lines that carry one home less each, too.
Transformers are rated so that they bind in the evening, and so are the levels above. Meters measure what is
drawn, exactly. Each size is a process of its own, with all cores: seconds are by the clock, `CPU` is what all
threads together took, memory is the largest resident set.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array

from grid_cosim.assembly import scenario_policies
from grid_cosim.coordination import Copies, CurveStep, TrackedMixing, bounds, communication, price_grid
from grid_cosim.deciding import Priced
from grid_cosim.environments.core import FleetGame
from grid_cosim.environments.priced import ControlledPlayer
from grid_cosim.environments.villages import Village
from grid_cosim.scenario import Coordination, DeviceSection, Scenario
from grid_cosim.study.statistics import exponent

HOMES = (1_000, 3_000, 10_000, 30_000, 100_000)
LIMITS = (74, 300, 1_000, 3_000, 9_000)
OF_MANY_LIMITS = 10_000
PER_TRANSFORMER, PER_FEEDER = 150, 10
KW_PER_HOME = {"transformer": 2.6, "feeder": 2.5, "substation": 2.45}
DEEPEST = 30
"""Lines in a row at the most."""


class Size(NamedTuple):
    """What one process is to do."""

    n_homes: int
    n_limits: int | None
    n_levels: int = 3


class Measured(NamedTuple):
    """What it took."""

    n_homes: int
    n_limits: int
    n_copies: int
    preparing_s: float
    step_s: float
    cpu_s: float
    peak_gib: float
    busy_percent: float
    """Steps in which some limit had a price."""
    peak_percent: float
    """Largest power behind any limit, of the limit."""


def nested(n_homes: int, n_limits: int | None, n_levels: int = 3) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """Coupling, level, and what may be drawn behind each limit, in kW."""
    home = np.arange(n_homes)
    transformer = np.minimum(home // PER_TRANSFORMER, max(n_homes // PER_TRANSFORMER - 1, 0))
    feeder = transformer // PER_FEEDER
    groups = [(np.zeros(n_homes, dtype=int), "substation"), (feeder, "feeder"), (transformer, "transformer")]
    rows, level, limit_kw = [], [], []
    for depth, (group, kind) in enumerate(groups[-n_levels:]):
        members = (
            [home[group == k] for k in range(group.max() + 1)] if kind != "feeder" or feeder.max() else []
        )
        rows += members
        level += [depth] * len(members)
        limit_kw += [KW_PER_HOME[kind] * len(part) for part in members]
    streets = [home[transformer == k] for k in range(transformer.max() + 1)]
    line = 0
    while n_limits is not None and len(rows) < n_limits:
        depth, street = divmod(line, len(streets))
        # every line of a street leads away from the transformer; those along it share its rating
        branch, along = divmod(depth, DEEPEST)
        part = np.array_split(streets[street], -(-len(streets[street]) // DEEPEST))[branch][along:]
        rows.append(part)
        level.append(3 + along)
        limit_kw.append(max(2.8 * len(part), 22.0))
        line += 1
    indptr = np.concatenate([[0], np.cumsum([len(part) for part in rows])])
    members = np.concatenate(rows)
    coupling = csr_array((np.ones(members.size), members, indptr), shape=(len(rows), n_homes))
    return coupling, np.array(level), np.array(limit_kw)


def measure(size: Size) -> Measured:
    """A day of consensus."""
    began = time.perf_counter()
    village = Village(size.n_homes, shares={"electric_vehicle": 1.0, "heat_pump": 1.0})
    coupling, level, limit_kw = nested(*size)
    game = village.draw(1, seed=1)
    game = replace(game, coupling=coupling, limit_kw=np.tile(limit_kw, (game.n_steps, 1)))
    player, copies = consensus(game, level)
    state, memory = game.init(), player.init(game)
    preparing_s = time.perf_counter() - began
    busy, peak, cpu, began = 0, 0.0, time.process_time(), time.perf_counter()
    with torch.no_grad():
        for step in range(game.n_steps):
            memory, powers_kw = player.act(game, memory, state, step)
            busy += bool(memory.controller.price.any())
            state, move = game.step(state, powers_kw, step)
            peak = max(peak, float((coupling @ move.p_kw / limit_kw).max()))
    step_s = (time.perf_counter() - began) / game.n_steps
    return Measured(
        n_homes=size.n_homes,
        n_limits=copies.n_limits,
        n_copies=copies.n_copies,
        preparing_s=preparing_s,
        step_s=step_s,
        cpu_s=(time.process_time() - cpu) / game.n_steps,
        peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        busy_percent=100.0 * busy / game.n_steps,
        peak_percent=100.0 * peak,
    )


def consensus(game: FleetGame, level: np.ndarray) -> tuple[ControlledPlayer, Copies]:
    """The controller with all defaults."""
    settings = Coordination()
    copies = Copies.of(game.coupling, level)
    graph = communication(copies, settings.graph, seed=1, degree=settings.degree)
    startup = bounds.cold_start_rounds(graph, accelerated=settings.accelerated)
    step = CurveStep(
        graph,
        price_grid(
            settings.largest_price_eur_per_kwh,
            n_prices=settings.n_prices,
            smallest=settings.smallest_price_eur_per_kwh,
        ),
        rounds=settings.rounds,
        sweeps=settings.iterations,
        mixing=TrackedMixing(startup),
        accelerated=settings.accelerated,
    )
    scenario = Scenario(devices={kind: DeviceSection() for kind in game.kinds})
    names = [f"H{row}" for row in range(copies.n_households)]
    policies = scenario_policies(scenario, game.fleet, names)
    return ControlledPlayer(Priced(copies, step, 1), policies), copies


def table(sizes: Sequence[Size]) -> list[Measured]:
    """One line per size, as it is done."""
    print(f"{'homes':>8} {'limits':>7} {'copies':>9} {'ready s':>8} {'ms/step':>9} {'CPU ms':>8} "
          f"{'home-steps/s':>13} {'GiB':>6} {'priced %':>9} {'peak %':>7}")  # fmt: skip
    done = []
    for size in sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # for its own peak of memory
            m = pool.apply(measure, (size,))
        done.append(m)
        print(f"{m.n_homes:8,} {m.n_limits:7,} {m.n_copies:9,} {m.preparing_s:8.1f} {1e3 * m.step_s:9.1f} "
              f"{1e3 * m.cpu_s:8.1f} {m.n_homes / m.step_s:13,.0f} {m.peak_gib:6.2f} {m.busy_percent:9.0f} "
              f"{m.peak_percent:7.1f}", flush=True)  # fmt: skip
    return done


def main(what: str, sizes: Sequence[int]) -> None:
    """Measure and print."""
    if what in ("homes", "nested"):
        done = table([Size(n, None, 1 if what == "homes" else 3) for n in sizes or HOMES])
        for name in ("step_s", "cpu_s", "preparing_s"):
            if len(done) > 2:
                fit = exponent([m.n_homes for m in done], [getattr(m, name) for m in done])
                print(f"{name} grows as N^{fit.mean:.2f} ({fit.low:.2f} to {fit.high:.2f})")
    else:
        table([Size(OF_MANY_LIMITS, m) for m in sizes or LIMITS])


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("homes", "nested", "limits"):
        sys.exit(__doc__)
    main(sys.argv[1], [int(argument) for argument in sys.argv[2:]])
