"""What transformers carry, from nothing but the voltages at both their ends.

For grids of other simulators that give voltages and no transformers: the transformers' equations are known,
so their flows are.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Int

from grid_cosim.feeder.equations import read_equations
from grid_cosim.feeder.network import Feeder


@dataclass(frozen=True)
class TrafoFlows:
    """All two-winding transformers of a feeder, in the order of its table; the sides are hv and lv."""

    index: Int[np.ndarray, " trafos"]
    """pandapower index."""
    bus: Int[np.ndarray, "trafos sides"]
    """pandapower index of the bus at each side."""
    admittance_mva: Complex[np.ndarray, "trafos sides sides"]
    """What flows into each side, conjugate, per voltage there and voltage at each side; both per unit."""
    rated_mva: Float[np.ndarray, "trafos sides"]
    """Power that is the rated current of each side, at 1 pu of its bus."""

    @classmethod
    def of(cls, feeder: Feeder) -> TrafoFlows:
        """Those of a feeder. Raises `NotRepresentableError` where its equations are of another kind."""
        net = deepcopy(feeder.net)
        trafo, found = net.trafo, read_equations(net)
        here = found.ranges["trafo"]
        sides = ((found.y_ff, found.y_ft), (found.y_tf, found.y_tt))
        rated = trafo["sn_mva"] * trafo["parallel"] * (trafo["df"] if "df" in trafo.columns else 1.0)
        per_side = [
            rated * net.bus["vn_kv"].loc[trafo[f"{side}_bus"]].to_numpy() / trafo[f"vn_{side}_kv"]
            for side in ("hv", "lv")
        ]
        return cls(
            index=trafo.index.to_numpy(dtype=np.int64),
            bus=trafo[["hv_bus", "lv_bus"]].to_numpy(dtype=np.int64),
            admittance_mva=found.base_mva
            * np.stack([np.stack([y[here] for y in row], 1) for row in sides], 1),
            rated_mva=np.stack(per_side, axis=1).astype(float),
        )

    def power_mva(
        self, vm_pu: Float[np.ndarray, "trafos sides"], va_degree: Float[np.ndarray, "trafos sides"]
    ) -> Complex[np.ndarray, "trafos sides"]:
        """P + jQ into each side."""
        voltage = vm_pu * np.exp(1j * np.deg2rad(va_degree))
        current = (self.admittance_mva @ voltage[:, :, None])[:, :, 0]
        return np.asarray(voltage * np.conj(current))

    def loading_percent(
        self,
        power_mva: Complex[np.ndarray, "trafos sides"],
        vm_pu: Float[np.ndarray, "trafos sides"],
    ) -> Float[np.ndarray, " trafos"]:
        """Of the rated current, the higher of both sides."""
        return np.asarray((100.0 * np.abs(power_mva) / vm_pu / self.rated_mva).max(axis=1))
