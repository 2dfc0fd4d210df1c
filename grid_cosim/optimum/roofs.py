"""Photovoltaics as a convex problem: in every step any part of what the sun gives may be fed in."""

from __future__ import annotations

from collections.abc import Sequence

import cvxpy as cp

from grid_cosim.devices import Photovoltaics
from grid_cosim.devices.pv import SunInputs
from grid_cosim.optimum.models import ConvexModel, convex_model, of_all_steps


@convex_model.register
def _(
    device: Photovoltaics, inputs: Sequence[SunInputs], final_energy_price_eur_per_kwh: float
) -> ConvexModel:
    available_kw = of_all_steps(inputs, "available_kw")
    fed_in_kw = cp.Variable(available_kw.shape, nonneg=True)
    return ConvexModel(-fed_in_kw, cp.Constant(0.0), [fed_in_kw <= available_kw])
