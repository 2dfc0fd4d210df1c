"""From an AC solution to what every limit carries, for whatever has solved it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from grid_cosim.feeder.gauges import Gauges
from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.snapshot import AtLimits, Flows


class Readings:
    """Where each limit of a feeder finds its element in an AC solution."""

    def __init__(self, feeder: Feeder) -> None:
        limits = feeder.limits
        self._gauges = Gauges.of(limits)
        self._backward = limits.direction < 0
        element = np.array(limits.element, dtype=object)
        self._rows = {name: np.flatnonzero(element == name) for name in ("trafo", "line", "bus")}
        tables = {"trafo": feeder.trafos, "line": feeder.lines, "bus": feeder.buses}
        self._at = {
            name: table.index.get_indexer(limits.index[self._rows[name]]) for name, table in tables.items()
        }

    def of(self, *, lines: Flows, trafos: Flows, vm_pu: Float[np.ndarray, " buses"]) -> AtLimits:
        """P (kW), Q (kvar) and loading (%) of every limit; a voltage has no Q."""
        p_kw = self._first_side((trafos.first_p_kw, trafos.second_p_kw), lines.first_p_kw)
        q_kvar = self._first_side((trafos.first_q_kvar, trafos.second_q_kvar), lines.first_q_kvar)
        loading = self._spread(trafo=trafos.loading_percent, line=lines.loading_percent)
        p_kw, loading = self._gauges.read(p_kw, loading, self._spread(bus=vm_pu))
        return AtLimits(loading, p_kw, self._gauges.sign * q_kvar)

    def _first_side(self, sides: tuple[np.ndarray, np.ndarray], line: np.ndarray) -> np.ndarray:
        """Of a transformer the side from which the homes are fed, of a line its from side."""
        hv, lv = (self._spread(trafo=side, line=line) for side in sides)
        return np.where(self._backward, lv, hv)

    def _spread(self, **results: np.ndarray) -> np.ndarray:
        """Results by element at the limits about it, NaN elsewhere."""
        values = np.full(self._backward.size, np.nan)
        for element, of_element in results.items():
            values[self._rows[element]] = of_element[self._at[element]]
        return values
