"""Cars that may discharge as a convex problem: what is owed after every step is the variable.

A car may not discharge what cannot be charged again before departure, nor charge and discharge at once; a
plan may. Neither pays unless prices are above what a missing kWh costs, or below zero. There, and for a car
that comes home below its reserve, the optimum is a bound from below.
"""

from __future__ import annotations

from collections.abc import Sequence

import cvxpy as cp
import numpy as np

from grid_cosim.devices import V2GVehicle
from grid_cosim.devices.v2g import V2GInputs
from grid_cosim.optimum.models import ConvexModel, convex_model, of_all_steps
from grid_cosim.optimum.stores import before


@convex_model.register
def _(device: V2GVehicle, inputs: Sequence[V2GInputs], final_energy_price_eur_per_kwh: float) -> ConvexModel:
    arrival_kwh, left_h = of_all_steps(inputs, "arrival_kwh"), of_all_steps(inputs, "left_h")
    shape, dt_h = left_h.shape, device.dt_h
    p_max_kw = device.p_max_kw.numpy()
    eta_in, eta_out = device.charge_efficiency.numpy(), device.discharge_efficiency.numpy()
    here, arrives = left_h > 0.0, arrival_kwh > 0.0
    leaves = here & (left_h < 1.5 * dt_h)
    stayed = np.vstack([np.zeros((1, shape[1]), dtype=bool), (here & ~leaves)[:-1]])

    charge_kw, discharge_kw = cp.Variable(shape, nonneg=True), cp.Variable(shape, nonneg=True)
    owed_kwh = cp.Variable(shape, nonneg=True)
    goes_on = (here & stayed & ~arrives).astype(float)
    first = np.zeros(shape[1])
    filled_kwh = dt_h * (
        charge_kw - cp.multiply(discharge_kw, np.broadcast_to(1.0 / (eta_in * eta_out), shape))
    )
    cost_eur = np.where(here, device.delay_cost_eur_per_kwh_h * dt_h, 0.0)
    cost_eur += np.where(leaves, device.undelivered_cost_eur_per_kwh, 0.0)
    wear_eur = dt_h * device.wear_eur_per_kwh.numpy()

    # a car that comes home below its reserve owes more than it could by discharging
    asked_kwh, most = np.zeros(shape[1]), []
    for arrival in arrival_kwh:
        asked_kwh = np.where(arrival > 0.0, arrival, asked_kwh)
        most.append(np.maximum(device.usable_kwh.numpy() / eta_in, asked_kwh))

    after_h = np.where(leaves[-1], 0.0, np.maximum(left_h[-1] - dt_h, 0.0))
    missed_kwh = cp.Variable(shape[1], nonneg=True)
    still_kwh = cp.multiply(owed_kwh[-1], (here & ~leaves)[-1].astype(float)) - missed_kwh
    end_eur = (
        final_energy_price_eur_per_kwh * cp.sum(still_kwh)
        + (device.delay_cost_eur_per_kwh_h / (2.0 * p_max_kw)) @ cp.square(still_kwh)
        + device.undelivered_cost_eur_per_kwh * cp.sum(missed_kwh)
    )
    return ConvexModel(
        p_kw=charge_kw - discharge_kw,
        own_cost_eur=cp.sum(cp.multiply(cost_eur, owed_kwh))
        + wear_eur @ cp.sum(discharge_kw, axis=0)
        + end_eur,
        constraints=[
            owed_kwh == cp.multiply(goes_on, before(owed_kwh, first)) + arrival_kwh - filled_kwh,
            owed_kwh <= np.stack(most),
            charge_kw <= p_max_kw * here,
            discharge_kw <= p_max_kw * (here & ~leaves),
            still_kwh <= p_max_kw * after_h,
            still_kwh >= 0.0,
        ],
    )
