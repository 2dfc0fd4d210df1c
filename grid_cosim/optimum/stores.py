"""Batteries and hot-water tanks as convex problems: what is stored after every step is the variable.

A battery may not charge and discharge at once, and a plan may: that burns energy, which pays where a kWh
costs less than nothing. There the optimum is a bound from below.
"""

from __future__ import annotations

from collections.abc import Sequence

import cvxpy as cp
import numpy as np
from jaxtyping import Float

from grid_cosim.devices import Battery, WaterHeater
from grid_cosim.devices.battery import BatteryInputs
from grid_cosim.devices.water_heater import AHEAD_H, DrawInputs
from grid_cosim.optimum.models import ConvexModel, convex_model, of_all_steps


@convex_model.register
def _(device: Battery, inputs: Sequence[BatteryInputs], final_energy_price_eur_per_kwh: float) -> ConvexModel:
    shape = (len(inputs), device.n_devices)
    charge_kw, discharge_kw = cp.Variable(shape, nonneg=True), cp.Variable(shape, nonneg=True)
    stored_kwh = cp.Variable(shape, nonneg=True)
    filled_kwh = device.dt_h * (
        cp.multiply(charge_kw, _rows(device.charge_efficiency.numpy(), shape))
        - cp.multiply(discharge_kw, _rows(1.0 / device.discharge_efficiency.numpy(), shape))
    )
    through_kwh = device.dt_h * cp.sum(charge_kw + discharge_kw, axis=0)
    worth_eur = final_energy_price_eur_per_kwh * device.discharge_efficiency.numpy()
    p_max_kw = _rows(device.p_max_kw.numpy(), shape)
    return ConvexModel(
        p_kw=charge_kw - discharge_kw,
        own_cost_eur=device.wear_eur_per_kwh.numpy() @ through_kwh
        + worth_eur @ (device.initial_kwh.numpy() - stored_kwh[-1]),
        constraints=[
            stored_kwh == before(stored_kwh, device.initial_kwh.numpy()) + filled_kwh,
            stored_kwh <= _rows(device.capacity_kwh.numpy(), shape),
            charge_kw <= p_max_kw,
            discharge_kw <= p_max_kw,
        ],
    )


@convex_model.register
def _(
    device: WaterHeater, inputs: Sequence[DrawInputs], final_energy_price_eur_per_kwh: float
) -> ConvexModel:
    shape = (len(inputs), device.n_devices)
    cop, capacity_kwh = device.cop.numpy(), device.capacity_kwh.numpy()
    p_kw, missing_kwh = cp.Variable(shape, nonneg=True), cp.Variable(shape, nonneg=True)
    stored_kwh, short_kwh = cp.Variable(shape, nonneg=True), cp.Variable(shape[1], nonneg=True)
    decay = _rows(np.exp(-device.dt_h * device.loss_per_h.numpy()), shape)
    heat_kwh = cp.multiply(p_kw, _rows(cop * device.kept_h.numpy(), shape))
    kept_kwh = cp.multiply(before(stored_kwh, device.initial_kwh.numpy()), decay)
    drawn_kwh = of_all_steps(inputs, "draw_kwh")
    unserved_eur = device.undelivered_cost_eur_per_kwh / cop
    energy_eur = final_energy_price_eur_per_kwh / cop
    windows_kwh = inputs[-1].usual_kwh.numpy() - np.outer(cop * device.p_max_kw.numpy(), AHEAD_H)
    return ConvexModel(
        p_kw=p_kw,
        own_cost_eur=unserved_eur @ (cp.sum(missing_kwh, axis=0) + short_kwh)
        + energy_eur @ (capacity_kwh - stored_kwh[-1]),
        constraints=[
            stored_kwh == kept_kwh + heat_kwh - drawn_kwh + missing_kwh,
            stored_kwh <= _rows(capacity_kwh, shape),
            p_kw <= _rows(device.p_max_kw.numpy(), shape),
            short_kwh >= windows_kwh.max(axis=1) - stored_kwh[-1],
        ],
    )


def before(after: cp.Variable, first: Float[np.ndarray, "devices"]) -> cp.Expression:
    """What was stored before every step, if `after` is what is stored after it."""
    return cp.vstack([first[None, :], after[:-1]]) if after.shape[0] > 1 else cp.Constant(first[None, :])


def _rows(per_device: Float[np.ndarray, "devices"], shape: tuple[int, int]) -> np.ndarray:
    """The same in every step."""
    return np.broadcast_to(per_device, shape)
