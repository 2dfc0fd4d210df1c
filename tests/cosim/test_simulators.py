"""FeederSim and RecorderSim by themselves, as in somebody's own script."""

from __future__ import annotations

import json
from pathlib import Path

import mosaik
import numpy as np
import pandas as pd
import pytest

from grid_cosim.cosim import SIM_CONFIG, FeederSim, RecorderSim
from grid_cosim.errors import CosimError, RunError
from grid_cosim.feeder import Feeder, PandapowerFlow, load_feeder
from grid_cosim.results import read_table
from grid_cosim.scenario import Scenario
from tests.builders import street_per_phase
from tests.cosim.builders import START, small_feeder, small_neighbourhood


def grid_of(feeder: Feeder, **how: object) -> FeederSim:
    simulator = FeederSim()
    simulator.init("F", feeder=feeder, start=START, **how)
    simulator.create(1, "Grid")
    return simulator


def test_all_that_is_connected_to_a_bus_is_added_up():
    feeder = small_feeder()
    simulator = grid_of(feeder)
    at_bus_2 = {
        "P_load[MW]": {"Homes.ConnectionPoint-2": 0.006, "Shop.Load-0": 0.002},
        "Q_load[MVar]": {"Homes.ConnectionPoint-2": 0.001},
        "P_gen[MW]": {"Roof.PV-0": 0.003},
        "Q_gen[MVar]": {"Roof.PV-0": 0.0},
    }
    simulator.step(0, {"Bus-2": at_bus_2, "Bus-4": {"P_load[MW]": {"Shop.Load-1": None}}}, 900)
    expected = PandapowerFlow(feeder).solve(
        bus_p_kw=np.array([5.0, 0.0, 0.0]), bus_q_kvar=np.array([1.0, 0.0, 0.0]), step=None
    )
    vm_pu = [simulator.get_data({f"Bus-{i}": ["Vm[pu]"]})[f"Bus-{i}"]["Vm[pu]"] for i in range(5)]
    # 1 MW ÷ 1000 is not exactly 1 kW, and the solver stops at 1e-8 MVA
    np.testing.assert_allclose(vm_pu, expected.vm_pu, rtol=1e-9)


def test_a_bus_without_homes_can_be_fed_too():
    simulator = grid_of(small_feeder())
    homes = {f"Bus-{i}": {"P_load[MW]": {"H": 0.005}} for i in (2, 3, 4)}
    simulator.step(0, homes | {"Bus-1": {"P_gen[MW]": {"Roof.PV-0": 0.015}}}, 900)
    data = simulator.get_data({"Grid": ["P[MW]", "losses[MW]"], "Bus-1": ["P[MW]"], "Trafo-0": ["P[MW]"]})
    assert data["Bus-1"]["P[MW]"] == pytest.approx(-0.015)
    # the roof feeds the homes: only the losses come from upstream
    assert data["Grid"]["P[MW]"] == pytest.approx(data["Grid"]["losses[MW]"], abs=1e-9)
    assert data["Trafo-0"]["P[MW]"] == pytest.approx(data["Grid"]["P[MW]"], abs=1e-9)


def test_a_prepared_power_flow_feeds_the_buses_of_homes_only():
    feeder = small_feeder()
    simulator = grid_of(feeder, power_flow=PandapowerFlow(feeder))
    with pytest.raises(CosimError, match="Bus-1 has no homes"):
        simulator.step(0, {"Bus-1": {"P_gen[MW]": {"Roof.PV-0": 0.015}}}, 900)


def test_each_phase_of_a_transformer_is_an_entity():
    simulator = grid_of(load_feeder(street_per_phase("aab"), unbalanced=True))
    # the first two homes are on phase a, the third on b; what hangs on Bus-1 is on all three
    fed = {"Bus-1": 0.006, "Bus-2": 0.005, "Bus-3": 0.003, "Bus-4": 0.004}
    simulator.step(0, {bus: {"P_load[MW]": {"H": p_mw}} for bus, p_mw in fed.items()}, 900)
    outputs = ["P[MW]", "Q[MVar]", "loading[%]"]
    data = simulator.get_data(dict.fromkeys(("Trafo-0", "Trafo-0-a", "Trafo-0-b", "Trafo-0-c"), outputs))
    phases = [data[f"Trafo-0-{phase}"] for phase in "abc"]
    # lines lose some, and neighbours on other phases move the neutral
    np.testing.assert_allclose([at["P[MW]"] for at in phases], [0.010, 0.006, 0.002], rtol=0.02)
    assert all(type(value) is float for at in phases for value in at.values())
    assert 0.018 < sum(at["P[MW]"] for at in phases) < data["Trafo-0"]["P[MW]"] < 0.0183
    # 10 kW on one phase of 100 kVA / 3
    assert phases[0]["loading[%]"] == pytest.approx(30.0, rel=0.02)
    assert data["Trafo-0"]["loading[%]"] == pytest.approx(phases[0]["loading[%]"], rel=1e-6)


@pytest.mark.parametrize(
    ("simulator", "how", "problem"),
    [
        (FeederSim, {}, "started without a network"),
        (FeederSim, {"feeder": "schutterwald:2", "on_divergence": "hope"}, "on_divergence is 'hope'"),
        (
            FeederSim,
            {"feeder": "schutterwald:2", "solver": "best"},
            "solver is 'best'. Use 'auto', 'power-grid",
        ),
        (RecorderSim, {}, "started without a place to write to"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(simulator: type, how: dict, problem: str):
    with pytest.raises(CosimError, match=problem):
        simulator().init("S", **how)


def limits_of_households(*names: str) -> dict:
    n = len(names)
    return {
        "limit": np.array(names, dtype=object),
        "limit_percent": np.full(n, 100.0),
        "limit_kw": np.arange(n) + 50.0,
        "offset_kw": np.full(n, 1.0),
        "base_kw": np.full(n, 20.0),
        "price_mean_eur_per_kwh": np.full(n, 0.1),
        "price_min_eur_per_kwh": np.full(n, 0.1),
        "price_max_eur_per_kwh": np.full(n, 0.1),
        "messages": np.arange(n),
        "message_bytes": 8 * np.arange(n),
        "rounds": np.arange(n),
        "saturated": np.arange(n) > 1,
        "consensus_error_eur_per_kwh": np.full(n, 0.01),
    }


def limits_of_grid(*names: str) -> dict:
    loading = np.array([float(name.removeprefix("Trafo-")) for name in names])
    return {"limit": list(names), "p_kw": 10.0 * loading, "loading_percent": loading}


def recorded_limits(folder: Path, sources: dict) -> pd.DataFrame:
    recorder = RecorderSim()
    recorder.init("R", folder=folder, start=START, n_steps=1)
    recorder.create(1, "Recorder")
    recorder.step(0, {"Recorder-0": {"limits": sources}}, 900)
    return read_table(folder / "limits.parquet", "limits")


def test_both_sides_of_a_limit_are_matched_by_its_name(tmp_path: Path):
    told = {
        "H": limits_of_households("Trafo-0", "Trafo-4", "Trafo-7"),
        "G": limits_of_grid("Trafo-7", "Trafo-0"),
    }
    written = recorded_limits(tmp_path, told)
    assert written["limit"].tolist() == ["Trafo-0", "Trafo-4", "Trafo-7"]
    assert written["loading_percent"].tolist() == pytest.approx([0.0, np.nan, 7.0], nan_ok=True)
    assert written["p_kw"].tolist() == pytest.approx([0.0, np.nan, 70.0], nan_ok=True)
    assert written["limit_kw"].tolist() == [50.0, 51.0, 52.0]
    assert written["saturated"].tolist() == [False, False, True]


def test_what_nobody_sends_is_nan_and_no_message(tmp_path: Path):
    written = recorded_limits(tmp_path, {"G": limits_of_grid("Trafo-3")})
    assert written["loading_percent"].tolist() == [3.0]
    assert written["price_mean_eur_per_kwh"].isna().all()
    assert written["messages"].tolist() == written["rounds"].tolist() == [0]
    assert written["saturated"].tolist() == [False]
    assert written["consensus_error_eur_per_kwh"].isna().all()


def test_two_sources_of_the_same_columns_are_refused(tmp_path: Path):
    with pytest.raises(CosimError, match="G2 and another source both send p_kw, loading_percent"):
        recorded_limits(tmp_path, {"G1": limits_of_grid("Trafo-3"), "G2": limits_of_grid("Trafo-4")})


def test_any_other_number_becomes_a_signal(tmp_path: Path):
    with mosaik.World(SIM_CONFIG, skip_greetings=True, configure_logging=False) as world:
        homes = world.start("HouseholdSim", neighbourhood=small_neighbourhood(small_feeder())).Neighbourhood()
        recorder = world.start("RecorderSim", folder=tmp_path, start=START)
        home = next(child for child in homes.children if child.eid == "Household-1")
        world.connect(home, recorder.Recorder(), "P[MW]", "price[EUR/kWh]")
        world.run(until=1800, print_progress=False)
        assert recorder.check_horizon() == 2
    signals = pd.read_parquet(tmp_path / "signals.parquet")
    assert signals["source"].unique().tolist() == ["HouseholdSim-0.Household-1"]
    assert signals["attribute"].tolist() == ["P[MW]", "price[EUR/kWh]"] * 2
    assert signals["time"].dt.minute.tolist() == [0, 0, 15, 15]
    assert (signals["value"] >= 0.0).all()


def test_a_signal_must_be_a_number(tmp_path: Path):
    recorder = RecorderSim()
    recorder.init("R", folder=tmp_path)
    with pytest.raises(CosimError, match="Chat sends mood as str"):
        recorder.step(0, {"Recorder-0": {"mood": {"Chat": "good"}}}, 900)


def test_a_recorder_that_is_stopped_early_says_so(tmp_path: Path):
    recorder = RecorderSim()
    recorder.init("R", folder=tmp_path, step_size=900)
    recorder.setup_done()
    for time in (0, 900):
        recorder.step(time, {}, 3600)
    with pytest.raises(RunError, match="after 2 of 4 steps"):
        recorder.check_horizon()
    recorder.finalize()
    ended = json.loads((tmp_path / "status.json").read_text())
    assert (ended["status"], ended["message"]) == ("interrupted", "it ended after 2 of 4 steps")


def test_what_is_given_beside_a_scenario_takes_its_place(tmp_path: Path):
    feeder, scenario = small_feeder(), Scenario(time={"step_minutes": 30}, power_flow={"check_every": 2})
    grid, own_way = FeederSim(), FeederSim()
    grid.init("F", scenario=scenario, feeder=feeder)
    own_way.init("F", scenario=scenario, feeder=feeder, check_every=0, step_size=60, on_divergence="continue")
    assert (grid._clock.step_size, grid._checks.every, grid._on_divergence) == (1800, 2, "stop")
    assert (own_way._clock.step_size, own_way._checks.every, own_way._on_divergence) == (60, 0, "continue")
    with pytest.raises(CosimError, match="Give the scenario's file"):
        FeederSim().init("F", scenario=scenario, overrides=["seed=2"])


def test_a_coarser_time_resolution_gives_the_same_calendar(tmp_path: Path):
    recorder = RecorderSim()
    recorder.init("R", time_resolution=60.0, folder=tmp_path, start=START, step_size=15)
    for time in (0, 15):
        assert recorder.step(time, {"Recorder-0": {"x": {"A": 1.0}}}, 30) == time + 15
    times = pd.read_parquet(tmp_path / "signals.parquet")["time"]
    assert (times.iloc[1] - times.iloc[0]).total_seconds() == 900.0


def test_many_buses_can_be_fed_at_once_and_beside_single_ones():
    one_by_one, at_once = grid_of(small_feeder()), grid_of(small_feeder())
    roof = {"Bus-1": {"P_gen[MW]": {"Roof.PV-0": 0.004}}, "Bus-2": {"P_load[MW]": {"Shop.Load-0": 0.002}}}
    homes = {
        f"Bus-{i}": {"P_load[MW]": {"H": 0.001 * i}, "Q_load[MVar]": {"H": 0.0005 * i}} for i in (2, 3, 4)
    }
    homes["Bus-2"]["P_load[MW]"] |= roof["Bus-2"]["P_load[MW]"]
    one_by_one.step(0, homes | {"Bus-1": roof["Bus-1"]}, 900)
    points = {
        "bus": np.array([4, 2, 3]),
        "P[MW]": np.array([0.004, 0.002, 0.003]),
        "Q[MVar]": np.array([0.002, 0.001, 0.0015]),
    }
    at_once.step(0, roof | {"Grid": {"connection_points": {"H": points}}}, 900)
    asked = {f"Bus-{i}": ["P[MW]", "Q[MVar]"] for i in range(5)}
    given, expected = at_once.get_data(asked), one_by_one.get_data(asked)
    for bus in asked:
        assert given[bus] == pytest.approx(expected[bus], rel=1e-12, abs=1e-15)  # sums in another order
    assert at_once.get_data({"Grid": ["measured"]})["Grid"]["measured"]["limit"].tolist() == ["Trafo-0"]


def test_a_bus_that_is_not_there_is_refused_at_once_too():
    points = {"bus": np.array([77]), "P[MW]": np.array([0.1]), "Q[MVar]": np.array([0.0])}
    with pytest.raises(CosimError, match="Bus-77"):
        grid_of(small_feeder()).step(0, {"Grid": {"connection_points": {"H": points}}}, 900)
