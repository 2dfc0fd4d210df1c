"""How long one waits for the first word: importing the package, help, lists, and messages about bad input.

    python benchmarks/start_up.py

Each line is a process of its own, the best of five; `above Python` is without what Python itself takes to
start and end. The last column names those of torch, pandapower and pandas that were loaded.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

TIMES = 5
MAIN = "import sys; sys.argv = ['grid-cosim', *{words!r}.split()]; from grid_cosim.cli import main; main()"
HEAVY = """
import atexit, sys
atexit.register(lambda: print(*({"torch", "pandapower", "pandas"} & set(sys.modules)), file=sys.stderr))
"""
CASES = {
    "python alone": "pass",
    "import grid_cosim": "import grid_cosim",
    "load_scenario('cold_evening')": "import grid_cosim; grid_cosim.load_scenario('cold_evening')",
    **{
        f"grid-cosim {words}": MAIN.format(words=words)
        for words in (
            "--version",
            "--help",
            "run --help",
            "feeders",
            "version",
            "run nowhere.toml",
            "run cold_evening --set sed=1",
            "run cold_evening --set feeder.source=schuterwald",
            "report nowhere",
        )
    },
}


def measure(code: str) -> tuple[float, float, str]:
    """Wall and CPU seconds of a process that runs this code, and what was loaded of the heavy libraries."""
    best, loaded = (float("inf"), float("inf")), ""
    for _ in range(TIMES):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ran = subprocess.run(
            [sys.executable, "-c", f"{HEAVY}\n{code}"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best[0], wall_s), min(best[1], cpu_s)
        loaded = ", ".join(sorted(ran.stderr.splitlines()[-1].split())) if ran.stderr else ""
    return *best, loaded


def main() -> None:
    """Measure all cases, one after the other."""
    print(f"{'':<52} {'wall s':>7} {'CPU s':>7} {'above Python':>13}  loaded")
    python_s = 0.0
    for name, code in CASES.items():
        wall_s, cpu_s, loaded = measure(code)
        python_s = python_s or cpu_s
        print(f"{name:<52} {wall_s:7.2f} {cpu_s:7.2f} {cpu_s - python_s:13.2f}  {loaded or '-'}", flush=True)


if __name__ == "__main__":
    main()
