"""The buses that a solver loads, and plain pandapower runs of the same powers to compare with."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandapower as pp
import pandas as pd
from jaxtyping import Float
from pandapower.auxiliary import LoadflowNotConverged, pandapowerNet

from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.snapshot import Snapshot, VoltageCheck

TOLERANCE_MVA = 1e-10
"""A hundredth of pandapower's default, so that the difference is the checked solution's error."""


class LoadedBuses:
    """The buses with homes or background, sorted, and the sum of the powers there."""

    def __init__(self, feeder: Feeder) -> None:
        self._background = feeder.background
        self.index = np.union1d(feeder.connection_buses, feeder.background.bus)
        self._home_row = np.searchsorted(self.index, feeder.connection_buses)
        self._background_row = np.searchsorted(self.index, feeder.background.bus)

    def powers(
        self,
        bus_p_kw: Float[np.ndarray, " connections"],
        bus_q_kvar: Float[np.ndarray, " connections"],
        step: int | None,
    ) -> tuple[Float[np.ndarray, " loaded_buses"], Float[np.ndarray, " loaded_buses"]]:
        """P (kW) and Q (kvar) per bus; `step` as in `Background.at`. `ValueError` names a bus without any."""
        background_p_kw, background_q_kvar = self._background.at(step)
        p_kw, q_kvar = np.zeros(self.index.size), np.zeros(self.index.size)
        p_kw[self._home_row] += bus_p_kw
        q_kvar[self._home_row] += bus_q_kvar
        p_kw[self._background_row] += background_p_kw
        q_kvar[self._background_row] += background_q_kvar
        if not (np.isfinite(p_kw).all() and np.isfinite(q_kvar).all()):
            wrong = self.index[~(np.isfinite(p_kw) & np.isfinite(q_kvar))][0]
            raise ValueError(f"the power at Bus-{wrong} is not a finite number")
        return p_kw, q_kvar


class PlainRun:
    """Pandapower as anybody would call it: nothing kept from step to step but the net."""

    def __init__(self, feeder: Feeder, buses: LoadedBuses) -> None:
        self._feeder, self._buses = feeder, buses
        self._net: pandapowerNet | None = None

    def check(self, snapshot: Snapshot) -> VoltageCheck:
        """Compare with a plain `runpp` of the same powers."""
        if not snapshot.converged:
            return VoltageCheck(-1, np.nan, np.nan, np.nan)
        reference = self._voltages(snapshot)
        difference = np.abs(reference - snapshot.vm_pu)
        difference[np.isnan(reference) != np.isnan(snapshot.vm_pu)] = np.inf
        row = int(np.nanargmax(difference))
        return VoltageCheck(
            bus=int(self._feeder.buses.index[row]),
            vm_pu=float(snapshot.vm_pu[row]),
            reference_vm_pu=float(reference[row]),
            dv_pu=float(difference[row]),
        )

    def what_stands_out(
        self,
        p_kw: Float[np.ndarray, " loaded_buses"],
        q_kvar: Float[np.ndarray, " loaded_buses"],
        last_vm_pu: Float[np.ndarray, " buses"] | None,
    ) -> str:
        """Name the most loaded line or transformer of the DC power flow, and the lowest voltage of before."""
        net = with_one_load_per_bus(self._feeder.net, self._buses.index)
        write_loads(net, p_kw, q_kvar)
        pp.rundcpp(net)
        worst = pd.concat(
            [
                net.res_line["loading_percent"].rename(lambda i: f"Line-{i}"),
                net.res_trafo["loading_percent"].rename(lambda i: f"Trafo-{i}"),
            ]
        ).dropna()
        message = (
            f"the power flow has no solution for {p_kw.sum():.0f} kW; most loaded is {worst.idxmax()} "
            f"with about {worst.max():.0f} % (estimate without losses and voltage drop)"
        )
        if last_vm_pu is not None:
            row = int(np.nanargmin(last_vm_pu))
            message += (
                f"; lowest voltage of the last solution: {last_vm_pu[row]:.3f} pu "
                f"at Bus-{self._feeder.buses.index[row]}"
            )
        return message

    def _voltages(self, snapshot: Snapshot) -> Float[np.ndarray, " buses"]:
        """From scratch, or where that fails from the solution that is checked; NaN if there is none."""
        if self._net is None:
            self._net = with_one_load_per_bus(self._feeder.net, self._buses.index)
        net = self._net
        write_loads(net, snapshot.injected_p_kw, snapshot.injected_q_kvar)
        near = {
            "init_vm_pu": np.nan_to_num(snapshot.vm_pu, nan=1.0),
            "init_va_degree": np.nan_to_num(snapshot.va_degree),
        }
        for start in ({}, near):
            try:
                # lightsim2grid=False: else installing that package changes the solver silently
                pp.runpp(net, lightsim2grid=False, tolerance_mva=TOLERANCE_MVA, **start)
            except LoadflowNotConverged:
                continue
            return np.asarray(net.res_bus["vm_pu"].to_numpy(copy=True))
        return np.full_like(snapshot.vm_pu, np.nan)


def with_one_load_per_bus(net: pandapowerNet, buses: np.ndarray) -> pandapowerNet:
    """A copy whose loads, generators at fixed power and storages are one load at each of the buses."""
    net = deepcopy(net)
    for table in ("load", "sgen", "storage"):
        net[table] = net[table].iloc[:0]
    pp.create_loads(net, buses, p_mw=0.0, q_mvar=0.0)
    # a closed switch at a line or transformer changes nothing, but costs time in every step
    net["switch"] = net.switch[(net.switch["et"] == "b") | ~net.switch["closed"].astype(bool)]
    return net


def write_loads(net: pandapowerNet, p_kw: np.ndarray, q_kvar: np.ndarray) -> None:
    """The powers of the loaded buses, into the loads of such a copy."""
    net.load["p_mw"] = p_kw / 1e3
    net.load["q_mvar"] = q_kvar / 1e3
