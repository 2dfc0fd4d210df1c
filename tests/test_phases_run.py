"""The European LV feeder through mosaik: each phase of the transformer is held by the homes on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grid_cosim import load_scenario, run
from grid_cosim.assembly import assemble, scenario_feeder
from grid_cosim.cosim import run_world
from grid_cosim.errors import ScenarioError
from grid_cosim.events import moving_limits
from grid_cosim.scenario import Event

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


def test_each_phase_of_a_line_is_held(tmp_path: Path) -> None:
    # 126 A of a cable's 421; the transformer's own limit is wide
    lines = ("limits.lines='near'", "limits.line_share=0.3", "feeder.limit_share=1.0")
    results = run(load_scenario("european_lv.toml", [*EVENING, *lines]), out=tmp_path / "lv", report=False)
    peaks = {}
    for name, one in results.runs.items():
        limits = one.table("limits")
        share = limits["loading_percent"] / limits["limit_percent"]
        peaks[name] = 100.0 * share.groupby(limits["limit"], observed=True).max()
        assert np.nanmax(one.table("grid")["ac_check_dv_pu"]) < 1e-6
    without, agreed = peaks["uncontrolled"], peaks["consensus"]
    assert {"Line-0-a", "Line-0-b"} <= set(without.index[without > 115.0])
    assert 70.0 < without["Line-0-c"] < 100.0  # near its limit, and no more
    assert agreed.max() <= 101.0
    assert agreed[["Line-0-a", "Line-0-b"]].min() > 95.0
    assert agreed[["Trafo-0-a", "Trafo-0-b", "Trafo-0-c"]].max() < 40.0


@pytest.mark.parametrize("lines", ["none", "near"])
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


def test_an_event_on_an_element_is_one_on_all_its_phases() -> None:
    scenario = load_scenario("european_lv.toml", [*EVENING, "limits.lines='all'"])
    feeder = scenario_feeder(scenario)
    signal = {"kind": "signal", "begin": 0.0, "share": 0.4}
    events = tuple(Event(element=name, **signal) for name in ("Trafo-0", "Line-1", "Line-2-b"))
    moving = moving_limits(scenario.model_copy(update={"events": events}), feeder)
    assert moving is not None
    percent = moving.at(0)
    lowered = [name for name, at in zip(feeder.limits.names, percent, strict=True) if at == 40.0]
    assert lowered == ["Line-1-a", "Line-1-b", "Line-1-c", "Line-2-b"]  # the transformer is at 12 %
    assert percent[:3].tolist() == [12.0, 12.0, 12.0]


@pytest.mark.parametrize("limits", ["limits.voltage='all'", "limits.reverse=true"])
def test_what_is_not_limited_per_phase_is_refused(limits: str) -> None:
    with pytest.raises(ScenarioError, match="only the flow through transformers and lines to the homes"):
        scenario_feeder(load_scenario("european_lv.toml", [limits]))
