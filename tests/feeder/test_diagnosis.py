from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks
import pytest
from pandapower.auxiliary import pandapowerNet

from grid_cosim.errors import FeederError
from grid_cosim.feeder import load_feeder
from grid_cosim.feeder.diagnosis import KW_PER_HOME, Diagnosis, diagnose
from tests.builders import street


def said(found: Diagnosis, severity: str) -> str:
    return "\n".join(f"{f.what} {f.where} {f.remedy}" for f in found.findings if f.severity == severity)


def test_a_sound_net_has_nothing_doubtful() -> None:
    found = diagnose(street())
    assert found.feeder is not None
    assert said(found, "refuses") == said(found, "doubtful") == ""
    assert found.rule == 'the loads of type "HH"'
    assert found.kw_per_home is None
    assert found.shipped_percent == pytest.approx([6.1], abs=0.5)  # 6 kW of 100 kVA


def _no_power(net: pandapowerNet) -> None:
    net.load["p_mw"] = net.load["p_mw"].astype(object)
    net.load.loc[[0, 2], "p_mw"] = [np.nan, "two"]


def _no_rating(net: pandapowerNet) -> None:
    net.trafo["sn_mva"] = np.nan


def _missing_bus(net: pandapowerNet) -> None:
    net.load.loc[1, "bus"] = 99


def _no_length(net: pandapowerNet) -> None:
    net.line.loc[1, "length_km"] = 0.0


def _no_loads(net: pandapowerNet) -> None:
    net.load = net.load.iloc[:0]


def _no_grid(net: pandapowerNet) -> None:
    net.ext_grid["in_service"] = False


def _all_dark(net: pandapowerNet) -> None:
    net.line.loc[0, "in_service"] = False


def _no_transformer(net: pandapowerNet) -> None:
    net.trafo["in_service"] = False


def _placeholder(net: pandapowerNet) -> None:
    net.trafo["sn_mva"] = 9900.0


def _high(net: pandapowerNet) -> None:
    net.bus["vn_kv"] = [380.0, *[110.0] * (len(net.bus) - 1)]
    net.trafo["vn_hv_kv"], net.trafo["vn_lv_kv"] = 380.0, 110.0
    net.load["p_mw"] = 40.0


@pytest.mark.parametrize(
    ("fault", "what", "remedy"),
    [
        (_no_power, "net.load, row 0: p_mw is nan", "Give the planned power in MW"),
        (
            _no_rating,
            "sn_mva is nan, expected a number above 0",
            "Give the rated power in MVA: it is the limit",
        ),
        (_missing_bus, "bus is 99, which is no bus", "Connect the load to a bus of net.bus"),
        (_no_length, "length_km is 0, expected a number above 0", "a closed switch between two buses"),
        (_no_loads, "no homes", 'Add loads of type "HH"'),
        (_no_grid, "no external grid in service", "pandapower.create_ext_grid"),
        (_all_dark, "none of its 3 homes is connected", "Close the switches between them"),
        (_no_transformer, "no transformer in service", "pandapower.create_transformer"),
        (_placeholder, "1 of 1 transformers are rated 500 MVA or more", "as on the rating plate"),
        (_high, "at 110 kV and more", "Take the medium- or low-voltage network below"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason_and_the_remedy(
    fault: Callable[[pandapowerNet], None], what: str, remedy: str
) -> None:
    net = street()
    fault(net)
    found = diagnose(net)
    assert found.feeder is None
    assert found.findings[0].severity == "refuses"
    assert what in said(found, "refuses")
    assert remedy in said(found, "refuses")


def test_every_row_with_the_fault_is_named() -> None:
    net = street()
    _no_power(net)
    (finding,) = diagnose(net).refused
    assert finding.where == ("load 0 (H0)", "load 2 (H2)")


def test_one_placeholder_among_ratings_is_doubtful_and_marked_homes_are_not_asked_to_be_marked() -> None:
    net = street()
    pp.create_transformer(net, 0, 1, "0.25 MVA 20/0.4 kV")
    net.trafo.loc[0, "sn_mva"] = 9900.0
    net.load["type"] = "HH"
    net.load.loc[1, "p_mw"] = 0.03
    told = said(diagnose(net), "doubtful")
    assert "1 of 2 transformers are rated 500 MVA or more" in told
    assert "give those another type in net.load" in told
    assert 'to "HH"' not in told


def _island(net: pandapowerNet) -> None:
    net.line.loc[2, "in_service"] = False


def _no_line_rating(net: pandapowerNet) -> None:
    net.line.loc[1, "max_i_ka"] = 99999.0


def _two_slacks(net: pandapowerNet) -> None:
    pp.create_ext_grid(net, 4)


def _huge(net: pandapowerNet) -> None:
    net.load.loc[1, "p_mw"] = 0.03


def _kilowatts(net: pandapowerNet) -> None:
    net.load["p_mw"] *= 1000.0


def _taps(net: pandapowerNet) -> None:
    net.trafo["tap_changer_type"], net.trafo["tap_pos"] = None, -1
    net.trafo["tap_neutral"], net.trafo["tap_step_percent"] = 0, 2.5


def _sun_at_night(net: pandapowerNet) -> None:
    pp.create_sgen(net, 3, 0.004)


def _wrong_side(net: pandapowerNet) -> None:
    net.bus.loc[0, "vn_kv"] = 110.0


def _half_a_map(net: pandapowerNet) -> None:
    net.bus["geo"] = ['{"type": "Point", "coordinates": [8.0, 48.0]}', *[None] * (len(net.bus) - 1)]


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (_island, "1 of 5 buses are connected to no external grid; 1 loads (2 kW) there are without power"),
        (_no_line_rating, "1 of 3 lines have no rating"),
        (_two_slacks, "2 external grids, 2 of them feed the same area"),
        (_huge, "1 load of 30 kW is too large for one home and is taken as one home"),
        (_kilowatts, "no AC solution with the loads as they are in the file"),
        (_taps, "have a tap position but no tap_changer_type"),
        (_sun_at_night, "1 static generator of 4 kW, at the same power day and night"),
        (_wrong_side, "1 transformers have a rated voltage far from that of their bus (vn_hv_kv)"),
        (_half_a_map, "4 of 5 buses have no coordinates"),
    ],
)
def test_what_is_doubtful_is_told_with_a_remedy(fault: Callable[[pandapowerNet], None], what: str) -> None:
    net = street()
    fault(net)
    found = diagnose(net)
    assert found.feeder is not None
    (finding,) = (f for f in found.findings if what in f.what)
    assert finding.severity == "doubtful"
    assert finding.remedy


def test_a_mesh_open_switches_and_names_that_repeat_are_told() -> None:
    net = street()
    ring = pp.create_line_from_parameters(net, 1, 4, 0.1, 0.2, 0.08, 0.0, 0.2)
    pp.create_switch(net, 1, ring, et="l", closed=True)
    beside = pp.create_line_from_parameters(net, 1, 2, 0.1, 0.2, 0.08, 0.0, 0.2)
    pp.create_switch(net, 1, beside, et="l", closed=False)
    net.load["name"] = "home"
    told = said(diagnose(net), "information")
    assert "meshed: 1 loops or parallel branches" in told
    assert "1 of 2 switches are open and stay so" in told
    assert "3 load names occur more than once: homes are then told apart by the load's index" in told


# loads that stand for several homes


def test_a_medium_voltage_load_stands_for_as_many_homes_as_it_holds() -> None:
    net = street(2)
    net.load["p_mw"], net.load["scaling"], net.load["type"] = [0.016, 0.001], [0.5, 1.0], None
    feeder = load_feeder(net, kw_per_home=2.0)
    assert feeder.home_load.tolist() == [0, 0, 0, 0, 1]  # 8 kW in use, and never less than one
    assert feeder.home_names == ("H0 #1", "H0 #2", "H0 #3", "H0 #4", "H1")
    assert feeder.limits.coupling.toarray().tolist() == [[1.0] * 5]
    assert feeder.background.p_kw.sum() == 0.0


def test_stations_are_homes_and_other_medium_voltage_loads_are_not() -> None:
    found = diagnose("pandapower:mv_oberrhein")
    assert found.feeder is not None
    assert found.kw_per_home == KW_PER_HOME
    assert np.unique(found.feeder.home_load).size == 141
    assert found.feeder.n_households == round(35_316 / KW_PER_HOME)
    assert "6 loads of 1,800 kW as planned are no homes" in said(found, "information")
    assert found.shipped_percent == pytest.approx([70.9, 85.5], abs=0.1)


def test_too_many_homes_are_refused() -> None:
    net = street()
    with pytest.raises(FeederError, match=r"makes 6,000,000 homes of 6 kW.*give more kW per home"):
        load_feeder(net, kw_per_home=1e-6)


# sources


def test_loads_per_phase_become_homes_with_a_phase() -> None:
    net = street()
    net.load = net.load.iloc[:0]
    pp.create_asymmetric_load(net, 2, p_a_mw=0.002, name="one")
    pp.create_asymmetric_load(net, 3, p_a_mw=0.001, p_b_mw=0.001, p_c_mw=0.001, scaling=0.5, name="three")
    feeder = load_feeder(net)
    assert feeder.home_names == ("one", "three")
    assert feeder.net.load["phase"].tolist() == ["a", ""]
    assert (feeder.net.load["p_mw"] * feeder.net.load["scaling"]).tolist() == pytest.approx([0.002, 0.0015])


def test_a_pandapower_network_goes_by_the_name_of_its_function() -> None:
    assert load_feeder("pandapower:create_kerber_landnetz_kabel_1").n_households == 8
    with pytest.raises(FeederError, match=r"Did you mean 'create_kerber_dorfnetz'.*pandapower.to_json"):
        load_feeder("pandapower:kerber_dorfnetz")


def test_a_file_says_no_more_than_the_net_itself(tmp_path: Path) -> None:
    net = pandapower.networks.create_kerber_landnetz_kabel_1()
    pp.to_json(net, str(tmp_path / "net.json"))
    found, direct = diagnose(tmp_path / "net.json"), diagnose(net)
    assert [f.what for f in found.findings] == [f.what for f in direct.findings]
    assert found.shipped_percent == pytest.approx(direct.shipped_percent)
