"""Exported networks, solved by their own tools, have the voltages that were simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandapower as pp
import pandas as pd
import pytest
from pandapower.timeseries import OutputWriter, run_timeseries

from grid_cosim import Feeder, Results, load_feeder
from grid_cosim.errors import ExportError
from grid_cosim.feeder.saving import read_network, save_network
from tests import builders
from tests.exports.networks import crooked, recorded_vm_pu, simulated
from tests.exports.solving import apart_pu, by_opendss, by_power_grid_model, by_pypsa

Exported = Callable[[str], Path]
AGREEMENT_PU = 1e-6
"""Recorded in single precision, to 6e-8 pu; the solvers' own tolerances leave less. The bar is 1e-4."""


def test_opendss_solves_its_case_to_our_voltages(results: Results, exported: Exported) -> None:
    folder = exported("opendss")
    assert apart_pu(by_opendss(folder, 4), recorded_vm_pu(results)) < AGREEMENT_PU
    master = (folder / "master.dss").read_text(encoding="utf-8")
    assert "ODbL" in master.partition("\nclear\n")[0]
    names = pd.read_csv(folder / "names.csv").set_index("opendss")
    assert tuple(names.loc["load.load_0"]) == ("Load-0", "Haus 0 / ü")


def test_power_grid_model_solves_its_batch_to_our_voltages(results: Results, exported: Exported) -> None:
    folder = exported("power-grid-model")
    assert apart_pu(by_power_grid_model(folder), recorded_vm_pu(results)) < AGREEMENT_PU
    assert "ODbL" in (folder / "input.json").read_text(encoding="utf-8")
    times = pd.read_csv(folder / "times.csv", parse_dates=["time"])["time"]
    assert times.tolist() == recorded_vm_pu(results).index.tolist()


def test_pypsa_solves_its_network_to_our_voltages(results: Results, exported: Exported) -> None:
    import pypsa

    folder = exported("pypsa")
    assert apart_pu(by_pypsa(folder), recorded_vm_pu(results)) < AGREEMENT_PU
    network = pypsa.Network(str(folder / "network.nc"))
    assert "ODbL" in str(network.meta["licences"])
    assert network.meta["seed"] == 1


def test_pandapower_opens_the_step_that_is_loaded_most_and_solves_it_again(
    results: Results, exported: Exported
) -> None:
    totals = results.runs["uncontrolled"].table("totals")
    worst = int(totals["peak_of_limit_percent"].argmax())
    net = pp.from_json(str(exported("pandapower") / "network.json"))
    assert net["grid_cosim"]["step"] == worst
    assert "ODbL" in str(net["grid_cosim"]["licences"])
    stored = net.res_bus["vm_pu"].copy()
    ours = recorded_vm_pu(results).iloc[worst].rename(lambda bus: int(bus.removeprefix("Bus-"))).sort_index()
    np.testing.assert_allclose(stored, ours, atol=AGREEMENT_PU)
    drawn = results.runs["uncontrolled"].table("households").groupby("time", sort=True)["p_kw"].sum()
    assert net.load["p_mw"][net.load["type"] == "HH"].sum() * 1e3 == pytest.approx(drawn.iloc[worst])
    pp.runpp(net, lightsim2grid=False)
    np.testing.assert_allclose(net.res_bus["vm_pu"], stored, atol=AGREEMENT_PU)


def test_series_lie_where_pandapowers_own_writer_puts_them(
    results: Results, exported: Exported, tmp_path: Path
) -> None:
    ours = exported("pandapower-series")
    uncontrolled = results.to_pandapower(tmp_path / "net", step=2, controller="uncontrolled")
    net = pp.from_json(str(uncontrolled / "network.json"))
    logged = [
        *(("res_bus", name) for name in ("vm_pu", "p_mw")),
        *(("res_line", name) for name in ("loading_percent", "p_from_mw")),
        ("res_trafo", "loading_percent"),
        *(("res_load", name) for name in ("p_mw", "q_mvar")),
    ]
    OutputWriter(net, [2], str(tmp_path), ".csv", log_variables=logged)
    run_timeseries(net, [2], verbose=False, lightsim2grid=False)
    for table, column in logged:
        theirs, here = (
            pd.read_csv(folder / table / f"{column}.csv", sep=";", index_col=0) for folder in (tmp_path, ours)
        )
        assert here.index.tolist() == [0, 1, 2, 3]
        assert set(here.columns) <= set(theirs.columns)
        here = (
            here.drop(columns="5") if table == "res_load" else here
        )  # without supply: 0 there, the wish here
        # loadings and powers in single precision
        np.testing.assert_allclose(here.loc[2], theirs.loc[2, here.columns], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shift_degree", [0.0, 30.0, 90.0, 120.0, 150.0, 210.0, 240.0, 270.0, 330.0])
def test_opendss_turns_the_voltage_as_the_vector_group_says(tmp_path: Path, shift_degree: float) -> None:
    from grid_cosim.exports.model import Branch
    from grid_cosim.exports.opendss import _clock

    ratio = np.exp(1j * np.deg2rad(shift_degree))
    branch = Branch("Trafo-0", "", "trafo", 0, 1, 0.01 + 0.05j, ratio, 0j, 0j, np.nan, np.nan, 0.4)
    connection, lead, terminals = _clock(branch)
    import opendssdirect as dss

    for line in (
        "clear",
        "new circuit.c bus1=a phases=3 basekv=20 r1=0 x1=1e-6 r0=0 x0=1e-6",
        f"new transformer.t windings=2 buses=[a b.{terminals}] conns=[{connection} wye] leadlag={lead} "
        "kvs=[20 0.4] kvas=[400 400] %rs=[0.5 0.5] xhl=4",
        "solve",
    ):
        dss.Text.Command(line)
    dss.Circuit.SetActiveBus("b")
    degree = dss.Bus.VMagAngle()[1]
    assert (degree + shift_degree + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=0.01)


def test_a_turn_that_opendss_has_no_transformer_for_matters_in_loops_only(tmp_path: Path) -> None:
    net = builders.coupled_areas(closed=True)
    net.trafo["shift_degree"] = [30.0, 60.0]
    results = simulated(net, tmp_path / "run")
    with pytest.raises(ExportError, match=r"Trafo-1 turns the voltage by 60°.*power-grid-model"):
        results.to_opendss()
    assert (
        apart_pu(by_power_grid_model(results.to_power_grid_model()), recorded_vm_pu(results)) < AGREEMENT_PU
    )
    assert apart_pu(by_pypsa(results.to_pypsa(), seeded=True), recorded_vm_pu(results)) < AGREEMENT_PU


def test_a_case_has_the_wiring_of_its_steps(tmp_path: Path) -> None:
    net = builders.coupled_areas(closed=False)
    event = '[{kind = "switch", begin = 0.5, open = "Trafo-0", close = "Switch-0"}]'
    results = simulated(net, tmp_path / "run", f"events={event}")
    with pytest.raises(ExportError, match=r"steps 0 to 1, steps 2 to 3.*--step"):
        results.to_opendss()
    ours = recorded_vm_pu(results)
    assert ours["Bus-2"].iloc[2] < ours["Bus-2"].iloc[1]  # at the end of the other area's cable now
    for step, rows in ((1, slice(0, 2)), (3, slice(2, 4))):
        assert apart_pu(by_opendss(results.to_opendss(step=step), 2), ours.iloc[rows]) < AGREEMENT_PU
    assert not pp.from_json(str(results.to_pandapower(step=3) / "network.json")).trafo.loc[0, "in_service"]


def test_several_sources_of_one_network_are_refused_by_pypsa(results: Results, tmp_path: Path) -> None:
    net = crooked()
    pp.create_ext_grid(net, 3, vm_pu=1.0)
    with pytest.raises(ExportError, match="Bus-0 and Bus-3 feed one connected network"):
        of_another_network(results, load_feeder(net), tmp_path).to_pypsa()


def test_a_generator_that_holds_a_voltage_is_for_pandapower(results: Results, tmp_path: Path) -> None:
    net = crooked()
    pp.create_gen(net, 3, p_mw=0.001, vm_pu=1.0)
    with pytest.raises(ExportError, match=r"Gen-0 holds the voltage.*Export it to pandapower"):
        of_another_network(results, load_feeder(net), tmp_path).to_power_grid_model()


def test_a_network_that_does_not_give_what_was_recorded_is_not_passed_on(
    results: Results, tmp_path: Path
) -> None:
    net = crooked()
    net.line["length_km"] *= 1.01
    with pytest.raises(ExportError, match=r"solved again, step \d .* pu from what was recorded"):
        of_another_network(results, load_feeder(net), tmp_path).to_pandapower()


def test_what_was_solved_per_phase_is_no_symmetrical_case(results: Results, tmp_path: Path) -> None:
    feeder = load_feeder(builders.street_per_phase(), unbalanced=True)
    other = of_another_network(results, feeder, tmp_path)
    for to in ("opendss", "pandapower"):
        with pytest.raises(ExportError, match="solved per phase"):
            other.export(to)


def of_another_network(results: Results, feeder: Feeder, tmp_path: Path) -> Results:
    """The same results, as if another network had been kept."""
    save_network(feeder, tmp_path, range(68, 72))
    return replace(results, folder=tmp_path)


def test_the_kept_network_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        save_network(load_feeder(crooked()), tmp_path / name, [300, 301])
    for file in ("network.json", "background.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    saved = read_network(tmp_path / "one")
    assert saved.home_names[:2] == ("Haus 0 / ü", "Haus 1 / ü")
    wave = 0.5 + 0.4 * np.sin(np.array([300, 301]) / 3.0)
    np.testing.assert_allclose(saved.series["load/F_pload"], wave)
    assert "profiles" not in saved.net


def test_saved_anew_results_keep_their_network(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "copy")
    again = Results.load(tmp_path / "copy")
    assert (again.to_opendss() / "loadshapes.dss").read_bytes() == (
        results.to_opendss(tmp_path / "case") / "loadshapes.dss"
    ).read_bytes()
