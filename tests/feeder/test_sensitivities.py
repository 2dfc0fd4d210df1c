"""Sensitivities of voltages against differences of the AC power flow."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandapower as pp
import pytest
from pandapower.auxiliary import pandapowerNet

from grid_cosim.feeder.network import load_feeder
from grid_cosim.feeder.sensitivities import POWER_FACTOR, sensitivities, voltage_without_load
from tests import builders

KW = 0.5
TAN_PHI = float(np.tan(np.arccos(POWER_FACTOR)))


def differences(net: pandapowerNet, at: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Central differences over 1 kW of the drop at each bus by consumption at each other, pu per kW."""
    columns = []
    for bus in of:
        vm_pu = []
        for kw in (-KW, KW):
            moved = deepcopy(net)
            pp.create_load(moved, bus, p_mw=kw / 1e3, q_mvar=TAN_PHI * kw / 1e3)
            pp.runpp(moved, tolerance_mva=1e-10, lightsim2grid=False, numba=False)
            vm_pu.append(moved.res_bus["vm_pu"][at].to_numpy())
        columns.append((vm_pu[0] - vm_pu[1]) / (2 * KW))
    return np.stack(columns, axis=1)


def of_jacobian(net: pandapowerNet, at: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.concatenate([rows for _, rows in sensitivities(net).rows(at, of)])


def tapped() -> pandapowerNet:
    net = builders.street()
    for column, value in {"tap_side": "hv", "tap_neutral": 0, "tap_step_percent": 2.5, "tap_pos": -2}.items():
        net.trafo[column] = value
    net.trafo["tap_changer_type"] = "Ratio"
    return net


def with_generator() -> pandapowerNet:
    """A generator that holds the voltage at b2 of the street."""
    net = builders.street()
    pp.create_gen(net, 2, p_mw=0.001, vm_pu=0.99)
    return net


@pytest.mark.parametrize(
    "net",
    [
        builders.street(),
        builders.coupled_areas(closed=True),
        builders.two_levels(),
        tapped(),
        with_generator(),
    ],
    ids=["radial", "mesh", "three voltages", "tap changer", "voltage held"],
)
def test_the_jacobian_says_what_the_power_flow_does(net: pandapowerNet) -> None:
    buses = net.load["bus"].to_numpy(dtype=np.int64)
    expected = differences(net, buses, buses)
    # what is left over 1 kW is the third derivative, below 1e-6 of the slope; and Newton's 1e-10 MVA
    np.testing.assert_allclose(of_jacobian(net, buses, buses), expected, rtol=1e-5, atol=1e-11)
    assert (np.abs(expected) > 1e-6).any()


def test_the_jacobian_of_a_real_feeder() -> None:
    feeder = load_feeder("schutterwald:2")
    buses = feeder.connection_buses[::40]
    expected = differences(feeder.net, buses, buses)
    # voltages of 0.94 pu bend more: some 1e-5 of the slope over 1 kW
    np.testing.assert_allclose(of_jacobian(feeder.net, buses, buses), expected, rtol=1e-4)


def test_a_bus_without_supply_moves_nothing_and_is_not_moved() -> None:
    net = builders.coupled_areas(closed=False)
    net.trafo.loc[1, "in_service"] = False
    buses = net.load["bus"].to_numpy(dtype=np.int64)
    rows = of_jacobian(net, buses, buses)
    assert (rows[:2, :2] > 0).all()
    assert not rows[2:].any()
    assert not rows[:, 2:].any()


def test_without_load_the_voltage_is_that_of_the_grid_times_the_tap() -> None:
    # two steps of 2.5 % below neutral on the high side; nothing is charged, so nothing drops
    vm_pu = voltage_without_load(tapped())
    assert vm_pu == pytest.approx([1.0, *(4 * [1 / 0.95])])
