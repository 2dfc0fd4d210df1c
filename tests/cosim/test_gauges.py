"""Transformers read off voltages, against pandapower's own results."""

from __future__ import annotations

import numpy as np
import pandapower as pp
import pytest

from grid_cosim.cosim import GaugeSim
from grid_cosim.errors import CosimError
from grid_cosim.feeder import load_feeder
from grid_cosim.feeder.trafo_flows import TrafoFlows
from tests.builders import parallel_transformers, street

SIDES = ("hv", "lv")


def stepped() -> pp.auxiliary.pandapowerNet:
    """All that a transformer can have: a tap, a vector group, one in parallel, a derating, iron losses."""
    net = street()
    net.trafo["tap_side"], net.trafo["tap_neutral"], net.trafo["tap_pos"] = "hv", 0, 2
    net.trafo["tap_step_percent"], net.trafo["tap_changer_type"] = 2.5, "Ratio"
    net.trafo["shift_degree"], net.trafo["parallel"], net.trafo["df"] = 150.0, 2, 0.8
    net.trafo["pfe_kw"], net.trafo["i0_percent"], net.trafo["vn_lv_kv"] = 0.4, 0.5, 0.41
    return net


@pytest.mark.parametrize("make", [street, stepped, parallel_transformers])
def test_flows_are_those_of_pandapower(make):
    net = make()
    flows = TrafoFlows.of(load_feeder(make()))
    net.load["p_mw"], net.load["q_mvar"] = 0.03, 0.01
    pp.runpp(net, lightsim2grid=False, tolerance_mva=1e-12, calculate_voltage_angles=True)
    vm_pu, va_degree = (net.res_bus[column].to_numpy()[flows.bus] for column in ("vm_pu", "va_degree"))
    power_mva = flows.power_mva(vm_pu, va_degree)
    for side, name in enumerate(SIDES):
        expected = net.res_trafo[f"p_{name}_mw"] + 1j * net.res_trafo[f"q_{name}_mvar"]
        # what rounding of the voltages leaves behind the impedance
        np.testing.assert_allclose(power_mva[:, side], expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(
        flows.loading_percent(power_mva, vm_pu), net.res_trafo["loading_percent"], rtol=1e-9
    )


def gauging() -> GaugeSim:
    simulator = GaugeSim()
    simulator.init("G", feeder=load_feeder(street()))
    return simulator


def test_a_gauge_names_its_buses_and_takes_their_voltages():
    net, simulator = street(), gauging()
    (gauges,) = simulator.create(1, "Gauges")
    assert [(child["eid"], child["extra_info"]) for child in gauges["children"]] == [
        ("Trafo-0", {"hv": "Bus-0", "lv": "Bus-1"})
    ]
    pp.runpp(net, lightsim2grid=False, tolerance_mva=1e-12)
    given = {
        f"{column}_{side}[{unit}]": {f"Theirs.Bus-{bus}": float(net.res_bus.at[bus, result])}
        for bus, side in enumerate(SIDES)
        for column, unit, result in (("Vm", "pu", "vm_pu"), ("Va", "deg", "va_degree"))
    }
    assert simulator.step(0, {"Trafo-0": given}, 900) == 900
    assert simulator.get_data({"Trafo-0": ["P[MW]", "Q[MVar]", "loading[%]"]})["Trafo-0"] == pytest.approx(
        {
            "P[MW]": net.res_trafo.at[0, "p_hv_mw"],
            "Q[MVar]": net.res_trafo.at[0, "q_hv_mvar"],
            "loading[%]": net.res_trafo.at[0, "loading_percent"],
        }
    )
    simulator.step(900, {"Trafo-0": given | {"Va_lv[deg]": {"Theirs.Bus-1": None}}}, 900)
    assert np.isnan(simulator.get_data({"Trafo-0": ["loading[%]"]})["Trafo-0"]["loading[%]"])
    twice = {"Vm_hv[pu]": {"Theirs.Bus-0": 1.0, "Theirs.Bus-1": 1.0}}
    with pytest.raises(CosimError, match=r"Vm_hv\[pu\] of Trafo-0 comes from 2 sources"):
        simulator.step(1800, {"Trafo-0": twice}, 900)


def test_what_cannot_be_gauged_is_refused():
    with pytest.raises(CosimError, match="started without a network"):
        GaugeSim().init("G")
    simulator = gauging()
    simulator.create(1, "Gauges")
    with pytest.raises(CosimError, match="a second Gauges"):
        simulator.create(1, "Gauges")
    net = street()
    pp.create_gen(net, 1, p_mw=0.008, vm_pu=1.001)
    simulator = GaugeSim()
    simulator.init("G", feeder=load_feeder(net))
    with pytest.raises(CosimError, match="do not tell what its transformers carry: Gen-0 holds the voltage"):
        simulator.create(1, "Gauges")
