"""Which feeder, which homes, what is mended, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks
import pandas as pd
import pytest
import simbench
from pandapower.auxiliary import pandapowerNet
from pandapower.io_utils import to_dict_of_dfs

from grid_cosim.errors import FeederError
from grid_cosim.feeder.network import Feeder, load_feeder
from grid_cosim.feeder.power_flow import PandapowerFlow
from tests import builders

RURAL = "1-LV-rural3--2-no_sw"
# pandapower warns about networks that it ships itself
OLD_FILE = pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")


@pytest.fixture(scope="module")
def simbench_net() -> pandapowerNet:
    return simbench.get_simbench_net(RURAL)


@pytest.fixture(scope="module")
def rural(simbench_net: pandapowerNet) -> Feeder:
    return load_feeder(simbench_net)


def test_schutterwald_area_2() -> None:
    feeder = load_feeder("schutterwald:2")
    assert feeder.title == "Schutterwald, area 2"
    assert len(feeder.buses) == 335
    assert feeder.n_households == 177
    assert feeder.has_heat_pump is not None
    assert feeder.has_heat_pump.sum() == 153
    assert feeder.limits.rated_kva.tolist() == [400.0]
    assert feeder.limits.coupling.sum() == 177
    assert feeder.background.bus.size == 0
    assert "153 heat pump loads replaced by models: 153 homes have one" in feeder.notes
    assert feeder.buses.longitude.between(7.8, 8).all()
    assert all(len(path) >= 2 for path in feeder.lines.path)


def test_all_areas_of_schutterwald() -> None:
    feeder = load_feeder("schutterwald")
    assert feeder.n_households == 1506
    assert feeder.limits.n_limits == 14
    assert feeder.limits.level.tolist() == [0] * 14
    assert set(feeder.limits.coupling.data) == {1.0}
    assert (feeder.limits.coupling.sum(axis=0) == 1).all()
    assert feeder.has_heat_pump is not None
    assert feeder.has_heat_pump.sum() == 1251
    assert len(set(feeder.home_names)) == 1506


@OLD_FILE
def test_areas_have_pandapowers_numbers() -> None:
    whole = pandapower.networks.lv_schutterwald()
    areas = list(pp.topology.connected_components(pp.topology.create_nxgraph(whole)))
    for area in (0, 13):
        assert set(load_feeder(f"schutterwald:{area}").buses.index) == set(areas[area])


def test_homes_and_profiles_of_simbench(rural: Feeder) -> None:
    assert rural.n_households == 113
    assert set(rural.profile) == {"H0-A", "H0-B", "H0-C", "H0-G", "H0-L"}
    assert rural.has_heat_pump is not None
    assert rural.has_heat_pump.sum() == 17
    assert "17 car loads, series already charged, replaced by models" in rural.notes
    assert "Open Database License" in rural.licence


def test_simbench_taps_are_mended_and_count(simbench_net: pandapowerNet, rural: Feeder) -> None:
    assert any(note.startswith("taps of 1 transformer(s) set to tap_changer_type") for note in rural.notes)
    zero = np.zeros(rural.connection_buses.size)
    vm_pu = PandapowerFlow(rural).solve(bus_p_kw=zero, bus_q_kvar=zero, step=0).vm_pu
    # position -1 of 2.5 % at the high side lifts the low side by 1 / 0.975
    assert np.median(vm_pu) == pytest.approx(1.025 / 0.975, abs=0.005)
    assert simbench_net.trafo.tap_changer_type.isna().all()  # the user's own net stays as it was


def test_background_follows_simbench_series(simbench_net: pandapowerNet, rural: Feeder) -> None:
    absolute = simbench.get_absolute_values(deepcopy(simbench_net), profiles_instead_of_study_cases=True)
    step = 4321
    heat_pump_or_car = simbench_net.load.profile.str.startswith(("Air_", "Soil_", "HLS_", "APLS_", "H0"))
    loads = simbench_net.load.index[~heat_pump_or_car]
    p_kw, q_kvar = rural.background.at(step)
    expected_p = (
        absolute["load", "p_mw"].loc[step, loads].sum()
        + absolute["storage", "p_mw"].loc[step].sum()
        - absolute["sgen", "p_mw"].loc[step].sum()
    )
    assert p_kw.sum() == pytest.approx(1e3 * expected_p)
    assert q_kvar.sum() == pytest.approx(1e3 * absolute["load", "q_mvar"].loc[step, loads].sum())
    assert rural.background.at(step + 35136)[0] == pytest.approx(p_kw)  # the year wraps round


def test_planned_background_is_that_of_the_net(simbench_net: pandapowerNet, rural: Feeder) -> None:
    load = simbench_net.load[simbench_net.load.profile.str.startswith("G")]
    planned = load.p_mw.sum() + simbench_net.storage.p_mw.sum() - simbench_net.sgen.p_mw.sum()
    assert rural.background.at(None)[0].sum() == pytest.approx(1e3 * planned)


def test_background_is_constant_without_series_and_scaled() -> None:
    net = builders.street()
    pp.create_load(net, 2, p_mw=0.010, q_mvar=0.002, scaling=0.5)
    pp.create_load(net, 3, p_mw=0.010, in_service=False)
    background = load_feeder(net).background
    assert background.bus.tolist() == [2]
    for step in (None, 0, 99999):
        p_kw, q_kvar = background.at(step)
        assert (p_kw.tolist(), q_kvar.tolist()) == ([5.0], [1.0])


def test_a_net_handed_over_is_not_changed() -> None:
    net = builders.coupled_areas(closed=True)
    pp.create_load(net, 2, p_mw=0.001, type="HP")
    before = deepcopy(net)
    feeder = load_feeder(net)
    zero = np.zeros(4)
    PandapowerFlow(feeder).solve(bus_p_kw=zero, bus_q_kvar=zero, step=None)
    assert pp.toolbox.nets_equal(net, before)
    assert feeder.title == "coupled"


@pytest.mark.parametrize("ending", ["json", "xlsx"])
def test_a_file_gives_the_same_feeder(tmp_path: Path, ending: str) -> None:
    net = builders.two_levels()
    path = tmp_path / f"mine.{ending}"
    if ending == "json":
        pp.to_json(net, str(path))
    else:  # as pandapower.to_excel does, which wants one package more
        with pd.ExcelWriter(path, engine="openpyxl") as writer:
            for name, table in to_dict_of_dfs(net, include_empty_tables=True).items():
                table.to_excel(writer, sheet_name=name)
    ours, theirs = load_feeder(net), load_feeder(path)
    assert theirs.source == str(path)
    assert theirs.home_names == ours.home_names == ("H0", "H1", "H2", "H3")
    assert (theirs.limits.coupling != ours.limits.coupling).nnz == 0


def test_heat_pumps_mark_as_many_homes_at_their_bus() -> None:
    net = builders.street()
    pp.create_load(net, 3, p_mw=0.002, type="HH")
    for bus in (3, 4, 0):
        pp.create_load(net, bus, p_mw=0.001, type="HP")
    feeder = load_feeder(net)
    assert feeder.home_bus.tolist() == [2, 3, 4, 3]
    assert feeder.has_heat_pump is not None
    assert feeder.has_heat_pump.tolist() == [False, True, True, False]
    assert feeder.background.bus.size == 0  # all three are switched off
    assert feeder.connection_buses.tolist() == [2, 3, 4]
    assert feeder.home_connection.tolist() == [0, 1, 2, 1]


def test_without_marks_low_voltage_loads_are_homes() -> None:
    net = builders.two_levels()
    net.load["type"] = "wye"
    feeder = load_feeder(net)
    assert feeder.home_names == ("H1", "H2", "H3")  # H0 is at 20 kV
    assert feeder.has_heat_pump is None
    assert "no load is marked as a household: all 3 low-voltage loads are taken as homes" in feeder.notes


def test_the_user_may_choose_the_homes() -> None:
    feeder = load_feeder(builders.two_levels(), homes=[3, 0])
    assert feeder.home_names == ("H0", "H3")
    assert feeder.background.at(None)[0].sum() == pytest.approx(4.0)
    with pytest.raises(FeederError, match="homes names load 17"):
        load_feeder(builders.two_levels(), homes=[17])


def test_names_are_unique() -> None:
    net = builders.street()
    net.load["name"] = ["a", "a", None]
    assert load_feeder(net).home_names == ("a (0)", "a (1)", "Load-2")


@OLD_FILE
def test_medium_voltage_net_without_households() -> None:
    feeder = load_feeder(pandapower.networks.mv_oberrhein())
    assert feeder.limits.n_limits == 2
    assert any("141 loads that stand for low-voltage grids" in note for note in feeder.notes)


def test_projected_coordinates_become_degrees_around_zero() -> None:
    net = builders.street()
    for bus in net.bus.index:
        net.bus.loc[bus, "geo"] = f'{{"type": "Point", "coordinates": [{3.4e6 + 100 * bus}, {5.4e6}]}}'
    feeder = load_feeder(net)
    assert feeder.buses.longitude.diff().iloc[1:].to_numpy() == pytest.approx(100 / 111_320)
    assert feeder.lines.path[0] == [
        feeder.buses.loc[bus, ["longitude", "latitude"]].tolist() for bus in (1, 2)
    ]
    assert "coordinates are not longitude and latitude: drawn as metres around 0° N, 0° E" in feeder.notes


def test_a_tap_without_type_in_ones_own_net_is_left_and_noted() -> None:
    net = builders.street()
    net.trafo[["tap_pos", "tap_neutral", "tap_step_percent"]] = [2.0, 0.0, 2.5]
    assert any("pandapower ignores the tap" in note for note in load_feeder(net).notes)


def _no_homes(net: pandapowerNet) -> None:
    net.load = net.load.iloc[:0]


def _no_transformers(net: pandapowerNet) -> None:
    net.trafo = net.trafo.iloc[:0]


def _no_external_grid(net: pandapowerNet) -> None:
    net.ext_grid = net.ext_grid.iloc[:0]


def _cut_off(net: pandapowerNet) -> None:
    net.line["in_service"] = False


def _fed_at_the_homes(net: pandapowerNet) -> None:
    net.ext_grid["bus"] = 1


def _power_missing(net: pandapowerNet) -> None:
    pp.create_load(net, 2, p_mw=np.nan)


def _bus_missing(net: pandapowerNet) -> None:
    net.line.loc[0, "to_bus"] = 99
    net.load.loc[0, "bus"] = 98


def _no_rating(net: pandapowerNet) -> None:
    net.trafo.loc[0, "sn_mva"] = 0.0


def _column_missing(net: pandapowerNet) -> None:
    net.line = net.line.drop(columns="length_km")


def _no_capacitance(net: pandapowerNet) -> None:
    net.line = net.line.drop(columns="c_nf_per_km")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_homes, r"street: no homes: .* Add loads of type \"HH\""),
        (_no_transformers, "street: no transformer in service.*create_transformer"),
        (_no_external_grid, "street: no external grid in service.*create_ext_grid"),
        (_cut_off, "none of its 3 homes is connected to an external grid"),
        (_fed_at_the_homes, "none of its 3 homes is supplied through one of its 1 transformers"),
        (_power_missing, "net.load, row 3: p_mw is nan, expected a number. Correct the value"),
        (_bus_missing, r"net.line, row 0: to_bus is 99, which is no bus \(and 1 more such\)"),
        (_no_rating, "net.trafo, row 0: sn_mva is 0, expected a number above 0"),
        (_column_missing, "net.line has no column length_km"),
        (_no_capacitance, "pandapower cannot build its equations.*diagnostic"),
    ],
)
def test_a_net_that_cannot_be_simulated_is_refused_with_a_remedy(
    spoil: Callable[[pandapowerNet], None], message: str
) -> None:
    net = builders.street()
    spoil(net)
    with pytest.raises(FeederError, match=message):
        load_feeder(net)


def test_a_limit_share_of_nothing_is_refused() -> None:
    with pytest.raises(FeederError, match="limit_share is 0"):
        load_feeder(builders.street(), limit_share=0.0)


@pytest.mark.parametrize("source", ["simbench:1-LV-rural1--0-sw", "schutterwald:13"])
def test_the_background_of_many_steps_is_that_of_each(source: str):
    """With series and without; the last steps are in the next year, which begins like this one."""
    feeder = load_feeder(source)
    steps = np.array([0, 1, 5000, 35_135, 35_136, 40_000])
    over = feeder.background_on_limits_over_kw(steps)
    each = np.stack([feeder.background_on_limits_kw(int(step)) for step in steps], axis=1)
    np.testing.assert_allclose(over, each, rtol=1e-12, atol=1e-12)  # sums in another order
    if feeder.background.series_names:
        assert np.ptp(each) > 0.1
