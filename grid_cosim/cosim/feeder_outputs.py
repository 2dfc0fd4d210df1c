"""What FeederSim sends: from a snapshot to attributes and tables, without mosaik."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from grid_cosim.cosim.columns import Columns, FeederColumns

if TYPE_CHECKING:
    from grid_cosim.feeder import Feeder, Snapshot
    from grid_cosim.feeder.elements import Elements

TABLES = ("buses", "lines", "limits", "grid", "measured", "remeasured", "switches")


class FeederOutputs:
    """What one step gave, on the wire; computed where it is asked for."""

    def __init__(
        self,
        feeder: Feeder,
        columns: FeederColumns,
        snapshot: Snapshot,
        ac_check_dv_pu: float,
        elements: Mapping[str, Elements],
        drawn: Mapping[str, np.ndarray],
        *,
        sent: Mapping[str, bool],
        remeasured: Snapshot | None,
    ) -> None:
        self.feeder, self.at = feeder, snapshot
        self._columns, self._elements, self._drawn = columns, elements, drawn
        self._ac_check_dv_pu, self._remeasured, self._sent = ac_check_dv_pu, remeasured, sent
        self._values: dict[tuple[str, str], list[Any]] = {}

    def table(self, name: str) -> Columns:
        """A whole table of the results, or what others have switched."""
        if name == "grid":
            return self._columns.grid(self.at, self._ac_check_dv_pu)
        if name == "remeasured":
            found = self._columns.measured(self.at if self._remeasured is None else self._remeasured)
            return found if self._remeasured is not None else {key: rows[:0] for key, rows in found.items()}
        if name == "switches":
            return dict(self._sent)
        columns = self._columns
        make = {
            "buses": columns.buses,
            "lines": columns.lines,
            "limits": columns.limits,
            "measured": columns.measured,
        }[name]
        return make(self.at)

    def values(self, model: str, attribute: str) -> list[Any]:
        """All entities of a model, as Python numbers: JSON takes no others."""
        key = (model, attribute)
        if key == ("Grid", "ac_check_dv[pu]"):
            return [self._ac_check_dv_pu]
        if key not in self._values:
            self._values[key] = np.atleast_1d(_WIRE[key](self)).tolist()
        return self._values[key]

    def drawn(self, model: str, power: int) -> np.ndarray:
        """P (0) or Q (1) of loads or static generators; nothing at a dead bus, as in pandapower."""
        drawn = np.where(np.isnan(self.at_bus(model, self.at.vm_pu)), 0.0, self._drawn[model][power])
        return drawn if self.at.converged else np.full_like(drawn, np.nan)

    def at_bus(self, model: str, of_buses: np.ndarray) -> np.ndarray:
        """What each element of a model sees at its bus."""
        rows: np.ndarray = self.feeder.buses.index.get_indexer(self._elements[model].bus)
        return np.asarray(of_buses[rows])

    def towards_homes(self, trafos: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Per transformer, as its limit counts it: one that feeds homes backwards at its other side."""
        if self.feeder.home_phase is not None:
            return trafos  # the limits are those of the phases
        of = self.feeder.limits
        forward = np.array([element == "trafo" for element in of.element]) & (of.sense > 0)
        trafos = trafos.copy()
        trafos[self.feeder.trafos.index.get_indexer(of.index[forward])] = limits[forward]
        return trafos


_WIRE: Mapping[tuple[str, str], Callable[[FeederOutputs], Any]] = {
    ("Grid", "converged"): lambda o: o.at.converged,
    ("Grid", "iterations"): lambda o: o.at.iterations,
    ("Grid", "losses[MW]"): lambda o: o.at.losses_kw / 1e3,
    ("Grid", "P[MW]"): lambda o: o.at.slack_p_kw / 1e3,
    ("Grid", "Q[MVar]"): lambda o: o.at.slack_q_kvar / 1e3,
    ("Bus", "P[MW]"): lambda o: o.at.bus_p_kw / 1e3,
    ("Bus", "Q[MVar]"): lambda o: o.at.bus_q_kvar / 1e3,
    ("Bus", "Vm[pu]"): lambda o: o.at.vm_pu,
    ("Bus", "Va[deg]"): lambda o: o.at.va_degree,
    ("Line", "P[MW]"): lambda o: o.at.line_p_kw / 1e3,
    ("Line", "I[kA]"): lambda o: o.at.line_i_ka,
    ("Line", "loading[%]"): lambda o: o.at.line_loading_percent,
    ("Trafo", "P[MW]"): lambda o: o.towards_homes(o.at.trafo_p_kw, o.at.limit_p_kw) / 1e3,
    ("Trafo", "Q[MVar]"): lambda o: o.towards_homes(o.at.trafo_q_kvar, o.at.limit_q_kvar) / 1e3,
    ("Trafo", "loading[%]"): lambda o: o.at.trafo_loading_percent,
    ("Phase", "P[MW]"): lambda o: o.at.limit_p_kw / 1e3,
    ("Phase", "Q[MVar]"): lambda o: o.at.limit_q_kvar / 1e3,
    ("Phase", "loading[%]"): lambda o: o.at.limit_loading_percent,
    ("Load", "P[MW]"): lambda o: o.drawn("Load", 0) / 1e3,
    ("Load", "Q[MVar]"): lambda o: o.drawn("Load", 1) / 1e3,
    ("StaticGen", "P[MW]"): lambda o: o.drawn("StaticGen", 0) / 1e3,
    ("StaticGen", "Q[MVar]"): lambda o: o.drawn("StaticGen", 1) / 1e3,
    ("Gen", "P[MW]"): lambda o: o.at.generator_p_kw / 1e3,
    ("Gen", "Q[MVar]"): lambda o: o.at.generator_q_kvar / 1e3,
    ("Gen", "Vm[pu]"): lambda o: o.at_bus("Gen", o.at.vm_pu),
    ("Gen", "Va[deg]"): lambda o: o.at_bus("Gen", o.at.va_degree),
    ("ExternalGrid", "P[MW]"): lambda o: o.at.external_grid_p_kw / 1e3,
    ("ExternalGrid", "Q[MVar]"): lambda o: o.at.external_grid_q_kvar / 1e3,
}
"""Output attributes, from kW to what the wire carries."""
