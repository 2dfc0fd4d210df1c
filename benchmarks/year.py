"""A long run: time and peak memory after each tenth of it, and after KPIs and report; its KPIs.

    python benchmarks/year.py [SCENARIO] [--days DAYS] [PATH=VALUE ...]

Without more a year of the shipped scenario's 177 homes with `consensus`, from the first of January on, every
row of every table recorded.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from time import perf_counter

from grid_cosim import Results, kpis, load_scenario, run, write_report

DAYS = 366.0  # 35,136 steps: the series are those of 2016


def peak_mib() -> float:
    """The most memory that this process has used until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def main(scenario: str, days: float, overrides: list[str]) -> None:
    """Run, and print as it goes."""
    given = [
        "controllers=['consensus']",
        "time.start=2016-01-01T00:00:00",
        f"time.hours={24.0 * days:g}",
        *overrides,
    ]
    loaded = load_scenario(scenario, given)
    n_steps = loaded.time.n_steps
    marks = {round(tenth * n_steps / 10): tenth for tenth in range(1, 11)}
    began = perf_counter()
    print(f"{n_steps:,} steps of {len(loaded.controllers)} controllers")

    def progress(controller: str, done: int, _of: int) -> None:
        if done == 0:
            print(f"{controller:14s} begins   {perf_counter() - began:8.1f} s {peak_mib():8.0f} MiB")
        elif done in marks:
            so_far = f"{perf_counter() - began:8.1f} s {peak_mib():8.0f} MiB"
            print(f"{controller:14s} {10 * marks[done]:4d} %   {so_far}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run(loaded, out=out, progress=progress, report=False)
        print(f"run and KPIs            {perf_counter() - began:8.1f} s {peak_mib():8.0f} MiB")
        results = Results.load(out)
        write_report(results, out / "report.html")
        print(f"report                  {perf_counter() - began:8.1f} s {peak_mib():8.0f} MiB")
        for path in sorted(out.rglob("*.*")):
            if path.stat().st_size > 100_000:
                size = path.stat().st_size
                print(
                    f"  {path.relative_to(out)!s:34s} {size / 1e6:9.1f} MB {size / n_steps:9.0f} B per step"
                )
        for controller, values in kpis(results).items():
            print(controller)
            for name, value in values.items():
                print(f"  {name:34s} {value:12.5g}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("given", nargs="*", default=[], metavar="SCENARIO, PATH=VALUE")
    parser.add_argument("--days", type=float, default=DAYS)
    asked = parser.parse_args()
    files = [given for given in asked.given if "=" not in given]
    main(files[0] if files else "cold_evening.toml", asked.days, [g for g in asked.given if "=" in g])
