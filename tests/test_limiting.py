"""Limits of every kind in a whole run: on the wire, in the tables, in the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pytest

from grid_cosim import Results, load_scenario, run
from grid_cosim.assembly import scenario_feeder
from grid_cosim.errors import ScenarioError
from grid_cosim.metrics import kpis
from grid_cosim.report.reading import reading
from grid_cosim.scenario import Scenario
from tests.study import lay_out

EVERY = (
    "limits.lines='all'",
    "limits.voltage='all'",
    "limits.vm_min_pu=0.9995",
    "limits.vm_max_pu=1.001",
    "limits.vm_margin_pu=0",
    "limits.reverse=true",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    return tmp_path


def scenario(*changes: str, controllers: str = "['uncontrolled', 'consensus']") -> Scenario:
    return load_scenario("study.toml", [f"controllers={controllers}", *changes])


def test_every_limit_reads_its_element_and_its_meter_the_same(folder: Path) -> None:
    results = run(scenario(*EVERY), out="out")
    topology = results.topology.limits.set_index("limit")
    assert list(topology.index) == [
        *("Trafo-0", "Trafo-0 reverse"),
        *(f"Line-{k}{end}" for end in ("", " reverse") for k in range(3)),
        *("Bus-4 low", "Bus-4 high"),
    ]
    assert list(topology["to_bus"][["Line-1", "Bus-4 low"]]) == ["Bus-3", "Bus-4"]
    for of_run in results.runs.values():
        limits = of_run.table("limits").pivot(index="time", columns="limit", values="loading_percent")
        lines = of_run.table("lines").pivot(index="time", columns="line", values="loading_percent")
        vm_pu = of_run.table("buses").pivot(index="time", columns="bus", values="vm_pu")["Bus-4"]
        # lines and buses are stored with seven digits
        np.testing.assert_allclose(limits["Line-1"], lines["Line-1"], rtol=1e-6)
        np.testing.assert_allclose(limits["Line-1 reverse"], -lines["Line-1"], rtol=1e-6)
        moved = 100 * (1.0 - vm_pu) * vm_pu
        np.testing.assert_allclose(limits["Bus-4 low"], moved / (0.0005 * 0.9995), atol=0.03)
        np.testing.assert_allclose(limits["Bus-4 high"], -moved / (0.001 * 1.001), atol=0.03)
        # what a meter measured in a step is what its element carried in the step before
        table = of_run.table("limits")
        drawn = of_run.table("households").pivot(index="time", columns="household", values="p_kw").to_numpy()
        coupling = scenario_feeder(scenario(*EVERY)).limits.coupling
        offset_kw = table.pivot(index="time", columns="limit", values="offset_kw")[list(topology.index)]
        carried = table.pivot(index="time", columns="limit", values="p_kw")[list(topology.index)]
        measured = offset_kw.to_numpy()[1:] + drawn[:-1] @ coupling.T
        np.testing.assert_allclose(measured, carried.to_numpy()[:-1], rtol=1e-9, atol=1e-9)


def test_a_report_tells_voltages_and_lines(folder: Path) -> None:
    run(scenario(*EVERY), out="out")
    results = Results.load("out")
    values = kpis(results)["uncontrolled"]
    assert values["lowest_voltage_pu"] < 0.9995
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert f"the voltage sinks to {values['lowest_voltage_pu']:.3f} pu" in page
    assert '<option value="Bus-4 low">' in page
    assert '"squares": {"rows": [0]' in page


@pytest.mark.parametrize(
    ("lowest_pu", "words"),
    [
        ("0.99", "keeps the voltage within the band; "),
        ("0.9995", "leaves the band: the voltage sinks to 0.99"),
    ],
)
def test_a_report_of_voltage_limits_alone_tells_the_voltage(folder: Path, lowest_pu: str, words: str) -> None:
    changes = ("limits.transformers=false", "limits.voltage='all'", f"limits.vm_min_pu={lowest_pu}")
    results = run(scenario(*changes, "limits.vm_margin_pu=0", controllers="['uncontrolled']"), out="out")
    assert reading(results, "uncontrolled", kpis(results)).startswith(words)


def test_near_is_what_comes_near_without_control(folder: Path) -> None:
    """The first cable carries all homes, the last a single one."""
    uncontrolled = run(scenario("limits.lines='all'", controllers="['uncontrolled']"), out="out")
    limits = uncontrolled.runs["uncontrolled"].table("limits")
    peak = limits.groupby("limit", observed=True)["loading_percent"].max()
    between = (peak["Line-0"] + peak["Line-2"]) / 2
    near = scenario("limits.lines='near'", f"limits.near_percent={between}")
    lines = {name for name in peak.index if name.startswith("Line") and peak[name] >= between}
    assert set(scenario_feeder(near).limits.names) == {"Trafo-0", *lines}
    assert "Line-0" in lines
    assert "Line-2" not in lines


def test_what_events_lower_is_near_the_sooner(folder: Path) -> None:
    uncontrolled = run(scenario("limits.lines='all'", controllers="['uncontrolled']"), out="out")
    limits = uncontrolled.runs["uncontrolled"].table("limits")
    peak = float(limits.loc[limits["limit"] == "Line-1", "loading_percent"].max())
    near = scenario("limits.lines='near'", f"limits.near_percent={1.5 * peak}")
    assert "Line-1" not in scenario_feeder(near).limits.names
    with Path("study.toml").open("a", encoding="utf-8") as file:
        file.write('[[events]]\nkind = "signal"\nelement = "Line-1"\nbegin = 0.5\nshare = 0.6\n')
    near = scenario("limits.lines='near'", f"limits.near_percent={1.5 * peak}")
    assert "Line-1" in scenario_feeder(near).limits.names  # peak / 0.6 is more


def test_a_scenario_in_which_nothing_comes_near_says_what_to_do(folder: Path) -> None:
    with pytest.raises(ScenarioError, match="lower near_percent, or set transformers = true"):
        scenario_feeder(scenario("limits.transformers=false", "limits.lines='near'"))
    with pytest.raises(ScenarioError, match="expected at least one kind of limit"):
        scenario("limits.transformers=false")


def test_without_any_solution_nobody_knows_what_is_near(folder: Path) -> None:
    net = pp.from_json("street.json")
    net.line["length_km"] *= 1e6
    pp.to_json(net, "street.json")
    with pytest.raises(ScenarioError, match=r"no step of the run without control has an AC solution"):
        scenario_feeder(scenario("limits.lines='near'"))


def test_generation_in_the_net_is_limited_where_it_may_be_too_much(folder: Path) -> None:
    net = pp.from_json("street.json")
    pp.create_sgen(net, 4, p_mw=0.080)
    pp.to_json(net, "street.json")
    names = scenario_feeder(scenario("limits.voltage='all'")).limits.names
    assert "Trafo-0 reverse" in names  # 80 of about 90 kW
    assert "Bus-4 high" not in names  # 1.3 % of 10
    net.sgen["p_mw"] = 0.010
    pp.to_json(net, "street.json")
    assert scenario_feeder(scenario()).limits.names == ("Trafo-0",)
