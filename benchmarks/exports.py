"""How far the solvers of other tools are from the voltages that were simulated.

    python benchmarks/exports.py [SOURCE ...]

Runs two hours of a cold evening on each network, exports every step to OpenDSS, power-grid-model and PyPSA,
lets these solve what was written, and compares with the recorded voltages at every bus and step. Recorded is
in single precision, to 6e-8 pu. Needs the extra [dev].
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandapower.networks as networks
import pandas as pd

from grid_cosim import Results, load_feeder, load_scenario, run

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.exports.solving import apart_pu, by_opendss, by_power_grid_model, by_pypsa

SOURCES = (
    "schutterwald:2",
    "simbench:1-LV-rural3--0-sw",
    "create_cigre_network_lv",
    "create_kerber_dorfnetz",
)
"""By name, or a function of pandapower.networks."""
ASKED = (
    "time.start=2016-01-04T17:00:00",
    "time.hours=2",
    "controllers=['uncontrolled']",
    "devices.heat_pump.share=0.5",
)


def main(sources: list[str]) -> None:
    """Print a row of a table for each network."""
    logging.getLogger("pypsa").setLevel(logging.ERROR)
    print("| network | buses | lowest voltage | OpenDSS | power-grid-model | PyPSA |")
    print("|---|---:|---:|---:|---:|---:|")
    for source in sources:
        with TemporaryDirectory() as folder:
            results = simulated(source, Path(folder) / "run")
            ours = recorded_vm_pu(results)
            apart = (
                apart_pu(by_opendss(results.to_opendss(), len(ours)), ours),
                apart_pu(by_power_grid_model(results.to_power_grid_model()), ours),
                apart_pu(by_pypsa(results.to_pypsa()), ours),
            )
            cells = " | ".join(f"{value:.0e} pu" for value in apart)
            lowest = float(np.nanmin(ours))
            print(f"| `{source}` | {ours.shape[1]:,} | {lowest:.3f} pu | {cells} |", flush=True)


def simulated(source: str, out: Path) -> Results:
    """Without control, so that voltages are low."""
    if source.startswith("create_"):
        feeder = load_feeder(getattr(networks, source)())
        return run(load_scenario("cold_evening.toml", ASKED), out=out, feeder=feeder, report=False)
    asked = [*ASKED, f"feeder.source={source}"]
    return run(load_scenario("cold_evening.toml", asked), out=out, report=False)


def recorded_vm_pu(results: Results) -> pd.DataFrame:
    """A row per step, a column per bus."""
    rows = results.runs["uncontrolled"].table("buses")
    return rows.assign(bus=rows["bus"].astype(str)).pivot(index="time", columns="bus", values="vm_pu")


if __name__ == "__main__":
    main(sys.argv[1:] or list(SOURCES))
