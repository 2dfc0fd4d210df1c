"""AC power flow: what every bus, line and transformer sees of the powers that the households draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import pandapower as pp
from jaxtyping import Float
from pandapower.auxiliary import LoadflowNotConverged
from pandapower.pypower.idx_bus import VA, VM

from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.plain_run import LoadedBuses, PlainRun, with_one_load_per_bus, write_loads
from grid_cosim.feeder.readings import Readings
from grid_cosim.feeder.snapshot import FlowMemory, Flows, Snapshot, VoltageCheck, unsolved

AGREEMENT_PU = 1e-5
"""A solution that differs by more from the reference is wrong: what the solvers' tolerances leave is some
thousand times smaller, and this is a ten-thousandth of a voltage band of 0.1 pu."""
_TOLERANCE_MVA = 1e-8  # pandapower's default; leaves some 1e-9 pu, as Newton's last step overshoots it by far
_VOLTAGE = [VM, VA]
_RECYCLE = {"bus_pq": True, "trafo": False, "gen": False}


@runtime_checkable
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

    def solve_all(
        self,
        *,
        bus_p_kw: Float[np.ndarray, "steps connections"],
        bus_q_kvar: Float[np.ndarray, "steps connections"],
        steps: Sequence[int | None],
    ) -> Iterator[Snapshot]:
        """Solve many steps that are known beforehand, in order."""
        ...

    def check(self, snapshot: Snapshot) -> VoltageCheck:
        """Compare the voltages with an independent solution of the same powers."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A power flow that keeps something from step to step, on which what it gives depends."""

    @property
    def memory(self) -> FlowMemory:
        """What it keeps."""
        ...

    def recall(self, memory: FlowMemory) -> None:
        """Go on from what another of the same feeder has kept: to the same numbers, bit for bit."""
        ...


class PandapowerFlow:
    """The reference: pandapower's Newton-Raphson, started from the last solution, its matrices kept.

    The loads of the solver's own copy of the net are replaced by one load per bus.
    """

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._buses = LoadedBuses(feeder)
        self._net = with_one_load_per_bus(feeder.net, self._buses.index)
        self._plain = PlainRun(feeder, self._buses)
        self._readings = Readings(feeder)
        self._warm = False
        self._slack_generator = feeder.net.gen["slack"].to_numpy(dtype=bool)
        self._last_vm_pu: Float[np.ndarray, " buses"] | None = None

    @property
    def memory(self) -> FlowMemory:
        """The last solution, from which the next step starts."""
        start = self._net["_ppc"]["bus"][:, _VOLTAGE].copy() if self._warm else None
        return FlowMemory(self._last_vm_pu, start)

    def recall(self, memory: FlowMemory) -> None:
        """Go on from there."""
        self._last_vm_pu, self._warm = memory.vm_pu, False
        self._net["_ppc"] = None
        if memory.start is None:
            return
        write_loads(self._net, np.zeros(self._buses.index.size), np.zeros(self._buses.index.size))
        solved = self._run()  # what is kept besides the voltages depends on the network alone
        assert solved, "a network without load has a solution"
        self._net["_ppc"]["bus"][:, _VOLTAGE] = memory.start

    def solve(
        self,
        *,
        bus_p_kw: Float[np.ndarray, " connections"],
        bus_q_kvar: Float[np.ndarray, " connections"],
        step: int | None,
    ) -> Snapshot:
        """Solve one step; one without a solution is told in the snapshot and does not harm the next."""
        p_kw, q_kvar = self._buses.powers(bus_p_kw, bus_q_kvar, step)
        write_loads(self._net, p_kw, q_kvar)
        if not self._run():
            message = self._plain.what_stands_out(p_kw, q_kvar, self._last_vm_pu)
            return unsolved(self._feeder, message, p_kw=p_kw, q_kvar=q_kvar)
        found = self._snapshot(p_kw, q_kvar)
        self._last_vm_pu = found.vm_pu
        return found

    def solve_all(
        self,
        *,
        bus_p_kw: Float[np.ndarray, "steps connections"],
        bus_q_kvar: Float[np.ndarray, "steps connections"],
        steps: Sequence[int | None],
    ) -> Iterator[Snapshot]:
        """One after the other, each from the last solution."""
        for p_kw, q_kvar, step in zip(bus_p_kw, bus_q_kvar, steps, strict=True):
            yield self.solve(bus_p_kw=p_kw, bus_q_kvar=q_kvar, step=step)

    def check(self, snapshot: Snapshot) -> VoltageCheck:
        """Compare with a plain `runpp` that starts anew."""
        return self._plain.check(snapshot)

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
        lines, trafos = self._flows("line", "from", "to"), self._flows("trafo", "hv", "lv")
        vm_pu = net.res_bus["vm_pu"].to_numpy(copy=True)
        at_limits = self._readings.of(lines=lines, trafos=trafos, vm_pu=vm_pu)
        external_grid_p_kw, generator_p_kw = self._generated("p_mw")
        external_grid_q_kvar, generator_q_kvar = self._generated("q_mvar")
        slack = self._slack_generator
        return Snapshot(
            converged=True,
            iterations=int(net._ppc["iterations"]),
            message="",
            vm_pu=vm_pu,
            va_degree=net.res_bus["va_degree"].to_numpy(copy=True),
            bus_p_kw=bus_p_kw,
            bus_q_kvar=1e3 * net.res_bus["q_mvar"].to_numpy(),
            line_loading_percent=lines.loading_percent,
            line_i_ka=net.res_line["i_ka"].to_numpy(copy=True),
            line_p_kw=lines.first_p_kw,
            trafo_loading_percent=trafos.loading_percent,
            trafo_p_kw=trafos.first_p_kw,
            trafo_q_kvar=trafos.first_q_kvar,
            limit_loading_percent=at_limits.loading_percent,
            limit_p_kw=at_limits.p_kw,
            limit_q_kvar=at_limits.q_kvar,
            losses_kw=-float(np.nansum(bus_p_kw)),
            slack_p_kw=float(external_grid_p_kw.sum() + generator_p_kw[slack].sum()),
            slack_q_kvar=float(external_grid_q_kvar.sum() + generator_q_kvar[slack].sum()),
            external_grid_p_kw=external_grid_p_kw,
            external_grid_q_kvar=external_grid_q_kvar,
            generator_p_kw=generator_p_kw,
            generator_q_kvar=generator_q_kvar,
            injected_p_kw=p_kw,
            injected_q_kvar=q_kvar,
        )

    def _flows(self, element: str, first: str, second: str) -> Flows:
        """Of all lines or transformers, with pandapower's names of their sides."""
        result = self._net[f"res_{element}"]
        powers = [
            1e3 * result[name].to_numpy()
            for side in (first, second)
            for name in (f"p_{side}_mw", f"q_{side}_mvar")
        ]
        return Flows(result["loading_percent"].to_numpy(copy=True), *powers)

    def _generated(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """P (kW) or Q (kvar) of external grids and of generators, counted as pandapower does: generated."""
        grid, generator = self._net.res_ext_grid[column], self._net.res_gen[column]
        return 1e3 * grid.to_numpy(), 1e3 * generator.to_numpy()
