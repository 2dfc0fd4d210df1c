"""What is measured at an element, as the limits about it count it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from grid_cosim.feeder.limits import Limits, voltage_kw


@dataclass(frozen=True)
class Gauges:
    """Turns power and loading of branches, and voltages of buses, into `p_kw` and loading of limits."""

    element: tuple[str, ...]
    """Wire id of what is measured for each limit: "Trafo-3", "Line-7", "Bus-12", or a phase, "Line-7-a"."""
    is_voltage: Bool[np.ndarray, " limits"]
    sign: Float[np.ndarray, " limits"]
    """What turns the power measured at the element into the limit's. A transformer's, and that of a phase, is
    counted towards the homes already, a line's into its from side."""
    sense: Float[np.ndarray, " limits"]
    signed: Bool[np.ndarray, " limits"]
    """Whether the other direction has a limit of its own: loading by flow that way then counts below zero."""
    no_load_vm_pu: Float[np.ndarray, " limits"]
    end_vm_pu: Float[np.ndarray, " limits"]
    pu2_per_kw: Float[np.ndarray, " limits"]

    @classmethod
    def of(cls, limits: Limits) -> Gauges:
        """The gauges of these limits."""
        is_line = np.array([element == "line" for element in limits.element], dtype=bool) & (limits.phase < 0)
        sense, element = limits.sense.astype(float), np.array(limits.element_ids)
        return cls(
            element=limits.measured_ids,
            is_voltage=limits.is_voltage,
            sign=sense * np.where(is_line, limits.direction, 1),
            sense=sense,
            signed=np.isin(element, element[(sense < 0.0) & ~limits.is_voltage]),
            no_load_vm_pu=limits.no_load_vm_pu,
            end_vm_pu=limits.end_vm_pu,
            pu2_per_kw=limits.pu2_per_kw,
        )

    @classmethod
    def of_branches(cls, element: tuple[str, ...]) -> Gauges:
        """Where power and loading of each element are the limit's, as of transformers."""
        ones, nothing = np.ones(len(element)), np.full(len(element), np.nan)
        no = np.zeros(len(element), dtype=bool)
        return cls(element, no, ones, ones, no, nothing, nothing, nothing)

    def read(
        self,
        p_kw: Float[np.ndarray, " limits"],
        loading_percent: Float[np.ndarray, " limits"],
        vm_pu: Float[np.ndarray, " limits"],
    ) -> tuple[Float[np.ndarray, " limits"], Float[np.ndarray, " limits"]]:
        """Power (kW) and loading (%) of every limit; NaN where its element was not measured.

        Power and loading are asked of branches only, the voltage of buses only. What does not load a limit
        of its own sense counts below zero: of an element with limits both ways the loading by flow against
        the limit, a voltage above that without load for the lower end of the band.
        """
        limit_kw = self.sign * p_kw
        against = self.signed & (limit_kw < 0.0)
        loading_percent = np.where(against, -loading_percent, loading_percent)
        moved_kw, end_kw = (
            voltage_kw(vm, self.no_load_vm_pu, self.sense, self.pu2_per_kw) for vm in (vm_pu, self.end_vm_pu)
        )
        return (
            np.where(self.is_voltage, moved_kw, limit_kw),
            np.where(self.is_voltage, 100.0 * moved_kw / end_kw, loading_percent),
        )
