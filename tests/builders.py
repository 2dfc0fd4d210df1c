"""Tiny feeders, each with its drawing. `H` is a home of 2 kW, `T` a transformer, `~` the external grid."""

from __future__ import annotations

import pandapower as pp
from pandapower.auxiliary import pandapowerNet


def street(n_homes: int = 3) -> pandapowerNet:
    """One transformer, homes in a row.

    ~ b0 ─ T0 ─ b1 ─── b2 ─── b3 ─── b4
                       H0     H1     H2
    """
    net = pp.create_empty_network(name="street")
    top = _bus(net, 20.0)
    pp.create_ext_grid(net, top)
    low = _bus(net, 0.4)
    _trafo(net, top, low, kva=100)
    _row_of_homes(net, low, n_homes)
    return net


def street_per_phase(phases: str = "abc") -> pandapowerNet:
    """`street` with zero-sequence data: the homes' phases as letters, "-" for all three."""
    net = street(len(phases))
    net.load["phase"] = [letter.strip("-") for letter in phases]
    net.line["r0_ohm_per_km"], net.line["x0_ohm_per_km"], net.line["c0_nf_per_km"] = 0.8, 0.3, 0.0
    net.trafo["vector_group"], net.trafo["shift_degree"] = "Dyn", 30.0
    net.trafo["vk0_percent"], net.trafo["vkr0_percent"] = 4.0, 1.2
    net.trafo["mag0_percent"], net.trafo["mag0_rx"], net.trafo["si0_hv_partial"] = 100.0, 0.0, 0.9
    net.ext_grid["s_sc_max_mva"], net.ext_grid["rx_max"] = 1000.0, 0.1
    net.ext_grid["r0x0_max"], net.ext_grid["x0x_max"] = 0.1, 1.0
    return net


def fishbone() -> pandapowerNet:
    """Homes on service cables beside the main one, as in a real street; lines are 100 m, services 10 m.

    ~ b0 ─ T0 ─ b1 ─── b2 ─── b3 ─── b4
                       │      │      │
                       b5 H0  b6 H1  b7 H2
    """
    net = pp.create_empty_network(name="fishbone")
    top = _bus(net, 20.0)
    pp.create_ext_grid(net, top)
    low = _bus(net, 0.4)
    _trafo(net, top, low, kva=100)
    junctions = []
    for _ in range(3):
        junction = _bus(net, 0.4)
        _line(net, junctions[-1] if junctions else low, junction, length_km=0.1)
        junctions.append(junction)
    for junction in junctions:
        end = _bus(net, 0.4)
        _line(net, junction, end, length_km=0.01)
        _home(net, end)
    return net


def parallel_transformers() -> pandapowerNet:
    """Two different transformers side by side.

            ┌ T0 100 kVA ┐
    ~ b0 ───┤            ├─ b1 ─── b2 H0
            └ T1 300 kVA ┘
    """
    net = pp.create_empty_network(name="parallel")
    top = _bus(net, 20.0)
    pp.create_ext_grid(net, top)
    low = _bus(net, 0.4)
    _trafo(net, top, low, kva=100, vk_percent=4.0, vkr_percent=1.5)
    _trafo(net, top, low, kva=300, vk_percent=6.0, vkr_percent=1.0)
    _row_of_homes(net, low, 1)
    return net


def two_levels() -> pandapowerNet:
    """Two areas behind one substation; b2 has a customer of its own, who hangs on T0 only.

                                ┌─ T1 ─ b3 ─── b4 H1 ─── b5 H2
    ~ b0 ─ T0 ─ b1 ─── b2 ──────┤
                       H0       └─ T2 ─ b6 ─── b7 H3
    """
    net = pp.create_empty_network(name="two levels")
    top = _bus(net, 110.0)
    pp.create_ext_grid(net, top)
    middle = _bus(net, 20.0)
    _trafo(net, top, middle, kva=1000, hv_kv=110.0, lv_kv=20.0)
    station = _bus(net, 20.0)
    _line(net, middle, station)
    _home(net, station)
    for n_homes in (2, 1):
        low = _bus(net, 0.4)
        _trafo(net, station, low, kva=100)
        _row_of_homes(net, low, n_homes)
    return net


def coupled_areas(*, closed: bool) -> pandapowerNet:
    """Two areas whose ends can be joined by a switch at line 4.

          ┌─ T0 ─ b1 ─── b2 H0 ─── b3 H1 ┐
    ~ b0 ─┤                              / line 4, switch at b3
          └─ T1 ─ b4 ─── b5 H2 ─── b6 H3 ┘
    """
    net = pp.create_empty_network(name="coupled")
    top = _bus(net, 20.0)
    pp.create_ext_grid(net, top)
    ends = []
    for _ in range(2):
        low = _bus(net, 0.4)
        _trafo(net, top, low, kva=100)
        ends.append(_row_of_homes(net, low, 2)[-1])
    line = _line(net, ends[0], ends[1])
    pp.create_switch(net, ends[0], line, et="l", closed=closed)
    return net


def fed_from_below() -> pandapowerNet:
    """The external grid on the low side of the first transformer.

    ~ b0 ─ T0 ─ b1 ─── b2 ─ T1 ─ b3 ─── b4 H0      (b0 0.4 kV, b1 and b2 20 kV, b3 0.4 kV)
    """
    net = pp.create_empty_network(name="fed from below")
    first = _bus(net, 0.4)
    pp.create_ext_grid(net, first)
    up, across = _bus(net, 20.0), _bus(net, 20.0)
    _trafo(net, up, first, kva=200)
    _line(net, up, across)
    low = _bus(net, 0.4)
    _trafo(net, across, low, kva=100)
    _row_of_homes(net, low, 1)
    return net


def _bus(net: pandapowerNet, vn_kv: float) -> int:
    return int(pp.create_bus(net, vn_kv))


def _line(net: pandapowerNet, a: int, b: int, length_km: float = 0.05) -> int:
    return int(
        pp.create_line_from_parameters(
            net, a, b, length_km, r_ohm_per_km=0.2, x_ohm_per_km=0.08, c_nf_per_km=0.0, max_i_ka=0.27
        )
    )


def _trafo(
    net: pandapowerNet,
    hv: int,
    lv: int,
    *,
    kva: float,
    hv_kv: float = 20.0,
    lv_kv: float = 0.4,
    vk_percent: float = 4.0,
    vkr_percent: float = 1.2,
) -> int:
    return int(
        pp.create_transformer_from_parameters(
            net, hv, lv, kva / 1e3, hv_kv, lv_kv, vkr_percent, vk_percent, pfe_kw=0.0, i0_percent=0.0
        )
    )


def _row_of_homes(net: pandapowerNet, start: int, n: int) -> list[int]:
    buses = [start]
    for _ in range(n):
        buses.append(_bus(net, 0.4))
        _line(net, buses[-2], buses[-1])
        _home(net, buses[-1])
    return buses[1:]


def _home(net: pandapowerNet, bus: int) -> None:
    pp.create_load(net, bus, p_mw=0.002, q_mvar=0.0004, type="HH", name=f"H{len(net.load)}")
