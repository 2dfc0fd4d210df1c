"""The European LV feeder through mosaik: each phase of the transformer is held by the homes on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grid_cosim import load_scenario, run
from grid_cosim.assembly import assemble, scenario_feeder
from grid_cosim.cosim import run_world

EVENING = [
    "time.start=2016-01-18T16:00:00",
    "time.hours=8",
    "controllers=['uncontrolled', 'consensus']",
    "power_flow.check_every=16",
]
LIMIT_PERCENT = 12.0


def test_each_phase_is_a_limit_of_its_own(tmp_path: Path) -> None:
    results = run(load_scenario("european_lv.toml", EVENING), out=tmp_path / "lv", report=False)
    peaks = {}
    for name, one in results.runs.items():
        limits = one.table("limits")
        peaks[name] = limits.groupby("limit", observed=True)["loading_percent"].max()
        assert peaks[name].index.tolist() == ["Trafo-0-a", "Trafo-0-b", "Trafo-0-c"]
        # pandapower's three-phase run leaves some 1e-7 pu
        assert np.nanmax(one.table("grid")["ac_check_dv_pu"]) < 1e-6
    without, agreed = peaks["uncontrolled"], peaks["consensus"]
    assert (without[["Trafo-0-a", "Trafo-0-b"]] > 1.1 * LIMIT_PERCENT).all()
    assert without["Trafo-0-c"] < LIMIT_PERCENT
    # some ten cars of 3.7 kW on each phase: one of them more or less is 1.5 points of 267 kVA
    assert (agreed < LIMIT_PERCENT + 0.2).all()
    assert (agreed[["Trafo-0-a", "Trafo-0-b"]] > 0.95 * LIMIT_PERCENT).all()
    limits = results.runs["consensus"].table("limits")
    price = limits.groupby("limit", observed=True)["price_mean_eur_per_kwh"].max()
    assert (price[["Trafo-0-a", "Trafo-0-b"]] > 0.01).all()
    assert price["Trafo-0-c"] < 1e-6


@pytest.mark.parametrize("lines", ["none"])
def test_a_meter_reads_its_own_phase_however_it_is_connected(tmp_path: Path, lines: str) -> None:
    changes = (f"limits.lines='{lines}'", "limits.line_share=0.3", "time.hours=1")
    scenario = load_scenario("european_lv.toml", [*EVENING, *changes])
    feeder, written = scenario_feeder(scenario), []
    for bulk in (True, False):
        folder = tmp_path / f"bulk is {bulk}"
        homes = assemble(scenario, feeder, "consensus")
        run_world(homes, feeder, folder, start=scenario.time.start, bulk=bulk)
        written.append({path.name: path.read_bytes() for path in folder.glob("*.parquet")})
    assert written[0] == written[1]
