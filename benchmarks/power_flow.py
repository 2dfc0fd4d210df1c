"""Milliseconds per AC power flow and how far the solvers are apart.

    python benchmarks/power_flow.py [SOURCE ...]
    python benchmarks/power_flow.py --per-phase

For the reference (pandapower, started from the last solution) and the fast solver (power-grid-model), step by
step and all steps in one call: a day of quarter hours, with all that a snapshot holds. Time is CPU time: work
beside it disturbs little. Homes draw at random.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import process_time

import numpy as np

from grid_cosim.feeder import (
    PandapowerFlow,
    PowerFlow,
    PowerGridFlow,
    Snapshot,
    choose_power_flow,
    load_feeder,
)

SOURCES = ("schutterwald:2", "simbench:1-LV-urban6--0-sw", "simbench:1-MVLV-urban-all-0-sw")
STEPS = 96


def main(sources: list[str]) -> None:
    """Time each feeder and print a row of a table for it."""
    print("| feeder | buses | making it | pandapower | power-grid-model | in one call | largest difference |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for source in sources:
        feeder = load_feeder(source)
        rng = np.random.default_rng(0)
        p_kw = rng.gamma(1.0, 0.7, (STEPS, feeder.connection_buses.size))
        q_kvar = 0.3 * p_kw

        def one_by_one(flow: PowerFlow, p: np.ndarray = p_kw, q: np.ndarray = q_kvar) -> list[Snapshot]:
            return [flow.solve(bus_p_kw=p[i], bus_q_kvar=q[i], step=i) for i in range(STEPS)]

        def at_once(flow: PowerFlow, p: np.ndarray = p_kw, q: np.ndarray = q_kvar) -> list[Snapshot]:
            return list(flow.solve_all(bus_p_kw=p, bus_q_kvar=q, steps=range(STEPS)))

        reference = PandapowerFlow(feeder)
        reference.solve(bus_p_kw=p_kw[0], bus_q_kvar=q_kvar[0], step=0)  # compiles
        began = process_time()
        fast = PowerGridFlow(feeder)
        made_ms = 1e3 * (process_time() - began)
        slow_ms, theirs = timed(one_by_one, reference)
        fast_ms, ours = timed(one_by_one, fast)
        batch_ms, _ = timed(at_once, fast)
        apart = max(np.nanmax(np.abs(a.vm_pu - b.vm_pu)) for a, b in zip(ours, theirs, strict=True))
        print(
            f"| `{source}` | {len(feeder.buses):,} | {made_ms:.0f} ms | {slow_ms:.1f} ms | {fast_ms:.2f} ms "
            f"| {batch_ms:.2f} ms | {apart:.0e} pu |",
            flush=True,
        )


def per_phase() -> None:
    """Time the European feeder per phase, and compare an evening's heaviest loads with pandapower's run."""
    feeder = load_feeder("ieee_european_lv", unbalanced=True)
    flow = choose_power_flow(feeder).power_flow
    for kw in (1.0, 4.0):
        p_kw = np.random.default_rng(0).gamma(1.0, kw, (STEPS, feeder.connection_buses.size))

        def one_by_one(flow: PowerFlow, p: np.ndarray = p_kw) -> list[Snapshot]:
            return [flow.solve(bus_p_kw=p[i], bus_q_kvar=0.3 * p[i], step=i) for i in range(STEPS)]

        took_ms, solved = timed(one_by_one, flow)
        apart = max(flow.check(at).dv_pu for at in solved[::16])
        drawn_kw = max(at.slack_p_kw for at in solved[::16])
        print(f"{took_ms:.1f} ms per step; up to {drawn_kw:.0f} kW at most {apart:.0e} pu from runpp_3ph")


def timed(
    solve: Callable[[PowerFlow], list[Snapshot]], flow: PowerFlow, *, repeats: int = 3
) -> tuple[float, list[Snapshot]]:
    """Least CPU time per step of some repeats in ms, and the solutions."""
    least = np.inf
    for _ in range(repeats):
        began = process_time()
        solved = solve(flow)
        least = min(least, process_time() - began)
    return 1e3 * least / STEPS, solved


if __name__ == "__main__":
    if "--per-phase" in sys.argv:
        per_phase()
    else:
        main(sys.argv[1:] or list(SOURCES))
