"""Runs that are killed at random moments, whose remains are loaded and gone on with.

    python benchmarks/kill.py [SCENARIO] [--kills KILLS] [--seed SEED] [PATH=VALUE ...]

Without more 20 times the shipped scenario's evening with 15 homes and four controllers. Every time a process
of its own gets SIGKILL a random while after a random step of a random controller; what it has left is loaded,
and gone on with. All tables are compared byte for byte with those of a run that nobody has disturbed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import tempfile
import threading
from pathlib import Path
from time import perf_counter

import numpy as np

from grid_cosim import Results, load_scenario, run
from grid_cosim.results import Manifest
from grid_cosim.scenario import Scenario

EVENING = [
    "feeder.source=schutterwald:13",
    "feeder.limit_share=0.06",
    "time.hours=12",
    "controllers=['uncontrolled', 'independent', 'consensus', 'optimum']",
]
CHECKPOINT_S = (0.0, 0.1, 0.5)
"""Times between checkpoints: each kill draws one. By default a run takes 30 s."""


def tables(folder: Path) -> dict[str, bytes]:
    """Every table of a results folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def numbers(folder: Path) -> dict[str, dict[str, float]]:
    """Its KPIs, but for the time that it took."""
    stored = json.loads((folder / "kpis.json").read_text(encoding="utf-8"))
    return {name: {k: v for k, v in of.items() if k != "wall_time_s"} for name, of in stored.items()}


def doomed(
    scenario: Scenario, out: Path, controller: str, step: int, delay_s: float, checkpoint_s: float
) -> None:
    """A run that gets SIGKILL so many seconds after a step."""

    def progress(name: str, done: int, _of: int) -> None:
        if (name, done) == (controller, step):
            threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()

    run(scenario, out=out, progress=progress, report=False, checkpoint_s=checkpoint_s)


def main(scenario: str, kills: int, seed: int, overrides: list[str]) -> None:
    """Run once undisturbed, then kill and go on."""
    loaded = load_scenario(scenario, [*EVENING, *overrides])
    rng, names, n_steps = np.random.default_rng(seed), list(loaded.controllers), loaded.time.n_steps
    spawned = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        began = perf_counter()
        run(loaded, out=whole, report=False)
        print(f"{len(names)} controllers, {n_steps} steps each: {perf_counter() - began:.0f} s undisturbed")
        print("kill  checkpoints  killed after      what was left           the same tables, KPIs")
        same = 0
        for number in range(kills):
            controller, step = names[rng.integers(len(names))], int(rng.integers(1, n_steps + 1))
            delay_s, checkpoint_s = float(rng.uniform(0.0, 0.1)), float(rng.choice(CHECKPOINT_S))
            out = Path(folder) / f"killed_{number}"
            child = spawned.Process(
                target=doomed, args=(loaded, out, controller, step, delay_s, checkpoint_s)
            )
            child.start()
            child.join()
            assert child.exitcode == -signal.SIGKILL, f"it ended with {child.exitcode}, not by the kill"
            staged = out.with_name(f"{out.name}.partial")
            left = Results.load(staged)
            rows = {name: one.n_rows("grid") for name, one in left.runs.items()}
            for name, one in left.runs.items():  # every table is read, and all tell of the same steps
                assert len(one.table("totals")) == len(one.table("grid")) == rows[name]
                for table in one.tables:
                    one.table(table)
            complete = [name for name, one in left.runs.items() if one.status == "complete"]
            kept = Manifest.of(staged / controller)
            run(loaded, out=out, report=False, resume=True)
            alike = tables(out) == tables(whole), numbers(out) == numbers(whole)
            same += all(alike)
            found = f"{len(complete)} complete, {0 if kept is None else kept.step} steps"
            when = f"{controller} {step} + {1e3 * delay_s:.0f} ms"
            print(
                f"{number + 1:4d}  {checkpoint_s:8.1f} s   {when:24s}  {found:22s}  "
                + ", ".join("yes" if part else "NO" for part in alike),
                flush=True,
            )
        print(f"{same} of {kills} the same, {perf_counter() - began:.0f} s in all")
        if same < kills:
            raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("given", nargs="*", default=[], metavar="SCENARIO, PATH=VALUE")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    files = [given for given in asked.given if "=" not in given]
    main(
        files[0] if files else "cold_evening.toml",
        asked.kills,
        asked.seed,
        [given for given in asked.given if "=" in given],
    )
