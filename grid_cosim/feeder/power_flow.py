"""AC power flow: what every bus, line and transformer sees of the powers that the households draw."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandapower as pp
import pandas as pd
from jaxtyping import Float
from pandapower.auxiliary import LoadflowNotConverged, pandapowerNet

from grid_cosim.feeder.network import Feeder

_TOLERANCE_MVA = 1e-8  # pandapower's default; leaves some 1e-9 pu, as Newton's last step overshoots it by far
_CHECK_TOLERANCE_MVA = 1e-10  # so that the difference is the checked solution's error
_RECYCLE = {"bus_pq": True, "trafo": False, "gen": False}


@dataclass(frozen=True)
class Snapshot:
    """One AC solution, arrays in the order of the feeder's tables; consumption is positive.

    What is not energised is NaN. Where the power flow did not converge every result is NaN: nothing old is
    repeated.
    """

    converged: bool
    iterations: int
    message: str
    """Empty, or what stands out where there is no solution."""
    vm_pu: Float[np.ndarray, " buses"]
    va_degree: Float[np.ndarray, " buses"]
    bus_p_kw: Float[np.ndarray, " buses"]
    """Net consumption; below zero where more is generated or, at a slack, drawn from upstream."""
    line_loading_percent: Float[np.ndarray, " lines"]
    line_p_kw: Float[np.ndarray, " lines"]
    """Into the line at its `from_bus`."""
    trafo_loading_percent: Float[np.ndarray, " trafos"]
    """Of the rated current, the higher of both sides."""
    trafo_p_kw: Float[np.ndarray, " trafos"]
    """Into the transformer at its high-voltage side."""
    trafo_q_kvar: Float[np.ndarray, " trafos"]
    limit_loading_percent: Float[np.ndarray, " limits"]
    limit_p_kw: Float[np.ndarray, " limits"]
    """Into the limited element, towards the homes."""
    limit_q_kvar: Float[np.ndarray, " limits"]
    losses_kw: float
    slack_p_kw: float
    """Drawn from upstream, all external grids and slack generators together."""
    slack_q_kvar: float
    injected_p_kw: Float[np.ndarray, " loaded_buses"]
    """What was asked of the solver, homes and background, in its own order of buses; `check` needs it."""
    injected_q_kvar: Float[np.ndarray, " loaded_buses"]


class PowerFlow(Protocol):
    """Solves the feeder for the households' powers of one step."""

    def solve(
        self,
        *,
        bus_p_kw: Float[np.ndarray, " connections"],
        bus_q_kvar: Float[np.ndarray, " connections"],
        step: int | None,
    ) -> Snapshot:
        """Solve with the homes' sums per connection bus.

        `step` is the quarter of an hour of the year for the background; None leaves it as the net plans it.
        """
        ...

    def check(self, snapshot: Snapshot) -> float:
        """Largest voltage difference (pu) from an independent solution of the same powers."""
        ...


class PandapowerFlow:
    """The reference: pandapower's Newton-Raphson, started from the last solution, its matrices kept.

    The loads of the solver's own copy of the net are replaced by one load per bus.
    """

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._buses = np.union1d(feeder.connection_buses, feeder.background.bus)
        self._home_row = np.searchsorted(self._buses, feeder.connection_buses)
        self._background_row = np.searchsorted(self._buses, feeder.background.bus)
        self._net = _with_one_load_per_bus(feeder.net, self._buses)
        self._plain: pandapowerNet | None = None  # for checks: never recycled, made when first needed
        self._warm = False
        self._limit_trafo = feeder.trafos.index.get_indexer(feeder.limits.index)
        self._last: Snapshot | None = None

    def solve(
        self,
        *,
        bus_p_kw: Float[np.ndarray, " connections"],
        bus_q_kvar: Float[np.ndarray, " connections"],
        step: int | None,
    ) -> Snapshot:
        """Solve one step; one without a solution is told in the snapshot and does not harm the next."""
        background_p_kw, background_q_kvar = self._feeder.background.at(step)
        p_kw, q_kvar = np.zeros(self._buses.size), np.zeros(self._buses.size)
        p_kw[self._home_row] += bus_p_kw
        q_kvar[self._home_row] += bus_q_kvar
        p_kw[self._background_row] += background_p_kw
        q_kvar[self._background_row] += background_q_kvar
        if not (np.isfinite(p_kw).all() and np.isfinite(q_kvar).all()):
            wrong = self._buses[~(np.isfinite(p_kw) & np.isfinite(q_kvar))][0]
            raise ValueError(f"the power at Bus-{wrong} is not a finite number")
        _write(self._net, p_kw, q_kvar)
        if not self._run():
            return self._unsolved(p_kw, q_kvar)
        self._last = self._snapshot(p_kw, q_kvar)
        return self._last

    def check(self, snapshot: Snapshot) -> float:
        """Largest voltage difference (pu) from a plain `runpp` that starts anew; NaN without a solution."""
        if not snapshot.converged:
            return float("nan")
        if self._plain is None:
            self._plain = _with_one_load_per_bus(self._feeder.net, self._buses)
        net = self._plain
        _write(net, snapshot.injected_p_kw, snapshot.injected_q_kvar)
        pp.runpp(net, lightsim2grid=False, tolerance_mva=_CHECK_TOLERANCE_MVA)
        return float(np.nanmax(np.abs(net.res_bus["vm_pu"].to_numpy() - snapshot.vm_pu)))

    def _run(self) -> bool:
        """Run from the last solution, if that fails from scratch; say whether there is a solution."""
        # the attempts differ only where they start; recycling needs a solved run before it
        attempts = ["results", "auto"] if self._warm else ["auto"]
        for init in attempts:
            if init == "auto":
                self._net["_ppc"] = None
            try:
                # lightsim2grid=False: else installing that package changes the solver silently
                pp.runpp(
                    self._net,
                    init=init,
                    recycle=_RECYCLE,
                    numba=True,
                    lightsim2grid=False,
                    tolerance_mva=_TOLERANCE_MVA,
                )
            except LoadflowNotConverged:
                continue
            self._warm = True
            return True
        self._warm = False
        return False

    def _snapshot(self, p_kw: np.ndarray, q_kvar: np.ndarray) -> Snapshot:
        net = self._net
        bus_p_kw = 1e3 * net.res_bus["p_mw"].to_numpy()
        trafo_loading = net.res_trafo["loading_percent"].to_numpy()
        trafo_p_kw = 1e3 * net.res_trafo["p_hv_mw"].to_numpy()
        trafo_q_kvar = 1e3 * net.res_trafo["q_hv_mvar"].to_numpy()
        limit_p_kw, limit_q_kvar = self._towards_homes(trafo_p_kw, trafo_q_kvar)
        slack_p_kw, slack_q_kvar = self._from_upstream()
        return Snapshot(
            converged=True,
            iterations=int(net._ppc["iterations"]),
            message="",
            vm_pu=net.res_bus["vm_pu"].to_numpy(copy=True),
            va_degree=net.res_bus["va_degree"].to_numpy(copy=True),
            bus_p_kw=bus_p_kw,
            line_loading_percent=net.res_line["loading_percent"].to_numpy(copy=True),
            line_p_kw=1e3 * net.res_line["p_from_mw"].to_numpy(),
            trafo_loading_percent=trafo_loading.copy(),
            trafo_p_kw=trafo_p_kw,
            trafo_q_kvar=trafo_q_kvar,
            limit_loading_percent=trafo_loading[self._limit_trafo],
            limit_p_kw=limit_p_kw,
            limit_q_kvar=limit_q_kvar,
            losses_kw=-float(np.nansum(bus_p_kw)),
            slack_p_kw=slack_p_kw,
            slack_q_kvar=slack_q_kvar,
            injected_p_kw=p_kw,
            injected_q_kvar=q_kvar,
        )

    def _from_upstream(self) -> tuple[float, float]:
        """P (kW) and Q (kvar) of external grids and slack generators, in pandapower generation."""
        slack = self._net.gen["slack"].to_numpy(dtype=bool)
        grid, gen = self._net.res_ext_grid, self._net.res_gen[slack]
        return (
            1e3 * float(grid["p_mw"].sum() + gen["p_mw"].sum()),
            1e3 * float(grid["q_mvar"].sum() + gen["q_mvar"].sum()),
        )

    def _towards_homes(
        self, trafo_p_kw: np.ndarray, trafo_q_kvar: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Power into the limited transformers on the side that the homes are fed from."""
        rows = self._limit_trafo
        p_kw, q_kvar = trafo_p_kw[rows], trafo_q_kvar[rows]
        backward = self._feeder.limits.direction < 0
        if backward.any():
            p_kw[backward] = 1e3 * self._net.res_trafo["p_lv_mw"].to_numpy()[rows[backward]]
            q_kvar[backward] = 1e3 * self._net.res_trafo["q_lv_mvar"].to_numpy()[rows[backward]]
        return p_kw, q_kvar

    def _unsolved(self, p_kw: np.ndarray, q_kvar: np.ndarray) -> Snapshot:
        def nothing(n: int) -> np.ndarray:
            return np.full(n, np.nan)

        feeder = self._feeder
        buses, lines, trafos = len(feeder.buses), len(feeder.lines), len(feeder.trafos)
        return Snapshot(
            converged=False,
            iterations=0,
            message=self._what_stands_out(p_kw, q_kvar),
            vm_pu=nothing(buses),
            va_degree=nothing(buses),
            bus_p_kw=nothing(buses),
            line_loading_percent=nothing(lines),
            line_p_kw=nothing(lines),
            trafo_loading_percent=nothing(trafos),
            trafo_p_kw=nothing(trafos),
            trafo_q_kvar=nothing(trafos),
            limit_loading_percent=nothing(feeder.limits.n_limits),
            limit_p_kw=nothing(feeder.limits.n_limits),
            limit_q_kvar=nothing(feeder.limits.n_limits),
            losses_kw=float("nan"),
            slack_p_kw=float("nan"),
            slack_q_kvar=float("nan"),
            injected_p_kw=p_kw,
            injected_q_kvar=q_kvar,
        )

    def _what_stands_out(self, p_kw: np.ndarray, q_kvar: np.ndarray) -> str:
        """Name the most loaded line or transformer of the DC power flow, and the lowest voltage of before."""
        net = _with_one_load_per_bus(self._feeder.net, self._buses)
        _write(net, p_kw, q_kvar)
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
        if self._last is not None:
            row = int(np.nanargmin(self._last.vm_pu))
            message += (
                f"; lowest voltage of the last solution: {self._last.vm_pu[row]:.3f} pu "
                f"at Bus-{self._feeder.buses.index[row]}"
            )
        return message


def _with_one_load_per_bus(net: pandapowerNet, buses: np.ndarray) -> pandapowerNet:
    """A copy whose loads, generators at fixed power and storages are one load at each of the buses."""
    net = deepcopy(net)
    for table in ("load", "sgen", "storage"):
        net[table] = net[table].iloc[:0]
    pp.create_loads(net, buses, p_mw=0.0, q_mvar=0.0)
    # a closed switch at a line or transformer changes nothing, but costs time in every step
    net["switch"] = net.switch[(net.switch["et"] == "b") | ~net.switch["closed"].astype(bool)]
    return net


def _write(net: pandapowerNet, p_kw: np.ndarray, q_kvar: np.ndarray) -> None:
    net.load["p_mw"] = p_kw / 1e3
    net.load["q_mvar"] = q_kvar / 1e3
