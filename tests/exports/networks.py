"""A network with everything that makes conversions go wrong, and a run on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
from pandapower.auxiliary import pandapowerNet

from grid_cosim import Results, load_feeder, run
from grid_cosim.scenario import load_scenario

SMALL = ["time.start=2016-01-04T17:00:00", "time.hours=1", "devices.heat_pump.share=0.5"]


def crooked() -> pandapowerNet:
    """Two grids of 110 kV; names that no other tool's file should break at.

    ~ b0 ─ T0 ─ b1 ══ b2 ─┬─ line 0, two in parallel, leaky ─ b3 ─┬─ T1 ─┬─ b4 ─── b5
    (102 %, taps)  switch ├─ line 2 ───────────────────────── b3  └─ T2 ─┘  H0 H2  H1 H3, photovoltaics,
                          └─ line 1, open at its end                        motor  battery, ward, shunt
    ~ b8 ─ three windings ─┬─ b9 ─ T3 (turns by 300°) ─ b11 H4
                           └─ b10  works                          b7 without supply: H5
    """
    net = pp.create_empty_network(name="Öd & schräg")
    kv = (110.0, 21.0, 21.0, 21.0, 0.4, 0.4, 21.0, 0.4, 110.0, 20.0, 10.0, 0.4)
    for k, vn_kv in enumerate(kv):
        pp.create_bus(net, vn_kv, name=f"Straße {k}; x=1", geodata=(7.9 + 0.01 * k, 48.4))
    pp.create_ext_grid(net, 0, vm_pu=1.02, va_degree=10.0)
    pp.create_ext_grid(net, 8)
    tap: dict[str, Any] = {"tap_neutral": 0, "tap_changer_type": "Ratio", "shift_degree": 150.0}
    hv = tap | {"tap_side": "hv", "tap_step_percent": 1.5, "tap_min": -9, "tap_max": 9, "tap_pos": -3}
    lv = tap | {"tap_side": "lv", "tap_step_percent": 2.5, "tap_min": -2, "tap_max": 2}
    _trafo(net, 0, 1, 40.0, 110.0, 20.0, vk_percent=12.0, **hv)
    _trafo(net, 3, 4, 0.4, 20.0, 0.4, tap_pos=0, **lv)
    _trafo(net, 3, 4, 0.63, 20.0, 0.4, tap_pos=2, parallel=2, **lv)
    _trafo(net, 9, 11, 0.4, 20.0, 0.4, shift_degree=300.0)
    pp.create_switch(net, 1, 2, et="b", closed=True)
    _line(net, 2, 3, 5.0, 250.0, g_us_per_km=3.0, parallel=2)
    pp.create_switch(net, 6, _line(net, 2, 6, 8.0, 250.0), et="l", closed=False)
    _line(net, 2, 3, 6.0, 250.0)
    _line(net, 4, 5, 0.2, 0.0)
    windings = {"vk_hv_percent": 10.0, "vk_mv_percent": 11.0, "vk_lv_percent": 12.0}
    windings |= {"vkr_hv_percent": 0.3, "vkr_mv_percent": 0.31, "vkr_lv_percent": 0.32}
    ratings = {"sn_hv_mva": 40.0, "sn_mv_mva": 25.0, "sn_lv_mva": 15.0}
    sides = {"vn_hv_kv": 110.0, "vn_mv_kv": 20.0, "vn_lv_kv": 10.0, "shift_lv_degree": 150.0}
    pp.create_transformer3w_from_parameters(
        net, 8, 9, 10, pfe_kw=20.0, i0_percent=0.1, **windings, **ratings, **sides
    )
    names = ("Haus 0 / ü", "Haus 1 / ü", 'Müller, "Hof"', "time", "Haus 1 _ ü", "zwei\nZeilen")
    for name, bus in zip(names, (4, 5, 4, 5, 11, 7), strict=True):
        pp.create_load(net, bus, p_mw=0.004, q_mvar=0.001, type="HH", name=name)
    pp.create_load(net, 3, p_mw=0.5, q_mvar=0.2, name="Fabrik", scaling=0.8)
    pp.create_load(net, 10, p_mw=1.0, q_mvar=0.3, name="Werk", const_z_p_percent=50.0)
    pp.create_sgen(net, 5, p_mw=0.01, q_mvar=0.002, name="Dach")
    pp.create_storage(net, 5, p_mw=0.003, max_e_mwh=1.0)
    pp.create_shunt(net, 3, p_mw=0.01, q_mvar=-0.3, vn_kv=20.0)
    pp.create_shunt(net, 5, p_mw=0.0, q_mvar=0.01)
    pp.create_motor(net, 4, pn_mech_mw=0.01, cos_phi=0.8)
    pp.create_ward(net, 5, ps_mw=0.002, qs_mvar=0.001, pz_mw=0.003, qz_mvar=0.001)
    _follow_series(net)
    return net


def _follow_series(net: pandapowerNet) -> None:
    """Factory and roof vary over the year, the way SimBench writes it."""
    quarters = np.arange(366 * 96)
    wave = 0.5 + 0.4 * np.sin(quarters / 3.0)
    net.load["profile"] = [None] * 6 + ["F", None]
    net.sgen["profile"] = ["PV"]
    net.storage["profile"] = ["PV"]  # SimBench names series of several tables alike
    net["profiles"] = {
        "load": pd.DataFrame({"F_pload": wave, "F_qload": 0.8 * wave}),
        "renewables": pd.DataFrame({"PV": 1.0 - wave}),
        "storage": pd.DataFrame({"PV": wave - 0.5}),
    }


def _trafo(
    net: pandapowerNet,
    hv: int,
    lv: int,
    sn_mva: float,
    hv_kv: float,
    lv_kv: float,
    *,
    vk_percent: float = 5.0,
    **settings: Any,
) -> None:
    pp.create_transformer_from_parameters(
        net,
        hv,
        lv,
        sn_mva,
        hv_kv,
        lv_kv,
        vkr_percent=1.2,
        vk_percent=vk_percent,
        pfe_kw=1.5 * sn_mva,
        i0_percent=0.4,
        **settings,
    )


def _line(net: pandapowerNet, a: int, b: int, km: float, c_nf_per_km: float, **settings: Any) -> int:
    parameters = {"r_ohm_per_km": 0.2, "x_ohm_per_km": 0.12, "max_i_ka": 0.3}
    return int(
        pp.create_line_from_parameters(net, a, b, km, c_nf_per_km=c_nf_per_km, **parameters, **settings)
    )


def simulated(net: pandapowerNet, out: Path, *overrides: str, **loading: Any) -> Results:
    """An hour, without control if nothing else is asked for."""
    asked = [*SMALL, "controllers=['uncontrolled']", *overrides]
    return run(
        load_scenario("cold_evening.toml", asked), out=out, feeder=load_feeder(net, **loading), report=False
    )


def recorded_vm_pu(results: Results, controller: str = "uncontrolled") -> pd.DataFrame:
    """A row per step, a column per bus."""
    rows = results.runs[controller].table("buses")
    return rows.assign(bus=rows["bus"].astype(str)).pivot(index="time", columns="bus", values="vm_pu")
