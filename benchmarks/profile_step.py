"""Where the time of a control step goes: agents, power flow, and mosaik with the recording.

    python benchmarks/profile_step.py [SCENARIO] [PATH=VALUE ...]

The same run is done by hand (agents and power flow alone, timed apart) and in mosaik; the difference is
what the co-simulation and the recording cost. A day of the scenario, controller `consensus`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from grid_cosim import assemble, load_scenario
from grid_cosim.assembly import scenario_feeder
from grid_cosim.cosim.world import run_world
from grid_cosim.feeder import choose_power_flow

STEPS_PER_YEAR = 35_136


def main(scenario: str, overrides: list[str]) -> None:
    """Time one day and print milliseconds per step."""
    began = perf_counter()
    loaded = load_scenario(scenario, ["time.hours=24", *overrides])
    feeder = scenario_feeder(loaded)
    neighbourhood = assemble(loaded, feeder, "consensus")
    loading_s = perf_counter() - began

    flow = choose_power_flow(feeder, loaded.power_flow.solver).power_flow
    n_steps, n_limits = neighbourhood.fleet.n_steps, feeder.limits.n_limits
    nowhere = np.zeros(feeder.connection_buses.size)
    flow.solve(bus_p_kw=nowhere, bus_q_kvar=nowhere, step=None)  # pandapower compiles
    agents_s = power_flow_s = 0.0
    state = neighbourhood.init()
    measured = loading = np.full(n_limits, np.nan)
    for step in range(n_steps):
        began = perf_counter()
        state, done = neighbourhood.step(state, step, measured_kw=measured, loading_percent=loading)
        p_kw = neighbourhood.at_connection_points(done.p_kw)
        q_kvar = neighbourhood.at_connection_points(done.q_kvar)
        agents_s += perf_counter() - began
        began = perf_counter()
        solved = flow.solve(bus_p_kw=p_kw, bus_q_kvar=q_kvar, step=loaded.time.first_quarter + step)
        power_flow_s += perf_counter() - began
        measured, loading = solved.limit_p_kw, solved.limit_loading_percent

    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        run_world(neighbourhood, feeder, Path(folder), start=loaded.time.start, power_flow=flow)
        world_s = perf_counter() - began

    per_step = 1e3 / n_steps
    print(f"{feeder.title}: {feeder.n_households} homes, {n_limits} limits, {n_steps} steps")
    print(f"loading and assembling     {loading_s:8.2f} s, once")
    print(f"agents                     {agents_s * per_step:8.2f} ms per step")
    print(f"power flow                 {power_flow_s * per_step:8.2f} ms per step")
    print(f"mosaik and recording       {(world_s - agents_s - power_flow_s) * per_step:8.2f} ms per step")
    print(f"in all                     {world_s * per_step:8.2f} ms per step")
    print(f"a year of quarter hours    {world_s / n_steps * STEPS_PER_YEAR / 60.0:8.1f} min")


if __name__ == "__main__":
    paths = [argument for argument in sys.argv[1:] if "=" not in argument]
    main(paths[0] if paths else "cold_evening.toml", [a for a in sys.argv[1:] if "=" in a])
