"""Heat pumps as a convex problem: the temperatures after every step are the variables, power follows."""

from __future__ import annotations

from collections.abc import Sequence

import cvxpy as cp
import numpy as np
import torch
from jaxtyping import Float

from grid_cosim.devices import HeatPump
from grid_cosim.devices.heat_pump import WeatherInputs
from grid_cosim.optimum.models import ConvexModel, convex_model, of_all_steps


@convex_model.register
def _(
    device: HeatPump, inputs: Sequence[WeatherInputs], final_energy_price_eur_per_kwh: float
) -> ConvexModel:
    """All temperatures are in K above the set point."""
    dt_h, shape = device.dt_h, (len(inputs), device.n_devices)
    loss_kw_per_k, set_point_c = device.heat_loss_kw_per_k.numpy(), device.set_point_c.numpy()
    outdoor_c = np.broadcast_to(of_all_steps(inputs, "outdoor_c"), shape).copy()
    cop = np.stack([device.cop(at.outdoor_c).numpy() for at in inputs])
    decay = np.exp(-dt_h * loss_kw_per_k / device.capacity_kwh_per_k.numpy())
    unheated = outdoor_c + device.gains_kw.numpy() / loss_kw_per_k - set_point_c  # in the end
    kw_per_k = loss_kw_per_k / (cop * (1.0 - decay))
    start = device.init(inputs[0]).temperature_c.numpy() - set_point_c
    slope, at_zero = _largest_power(device, start, decay, unheated, kw_per_k)

    above, below = cp.Variable(shape), cp.Variable(shape, nonneg=True)
    cold = cp.Variable(shape, nonneg=True)  # below the comfort band
    before = cp.vstack([start[None, :], above[:-1]]) if shape[0] > 1 else cp.Constant(start[None, :])
    p_kw = cp.multiply(kw_per_k, above - cp.multiply(decay[None, :], before) - (1.0 - decay) * unheated)
    cost_eur_per_h = (
        device.discomfort_eur_per_k2_h * cp.sum_squares(above)
        + cp.sum(below @ (device.warmth_eur_per_kwh_heat * loss_kw_per_k))
        + device.cold_eur_per_k_h * cp.sum(cold)
    )
    end_eur = _at_the_end(device, inputs[-1], final_energy_price_eur_per_kwh, above[-1], below[-1], cold[-1])
    return ConvexModel(
        p_kw=p_kw,
        own_cost_eur=dt_h * cost_eur_per_h + end_eur,
        constraints=[
            p_kw >= 0.0,
            p_kw <= np.broadcast_to(device.p_max_kw.numpy(), shape),
            p_kw + cp.multiply(slope, before) <= at_zero,
            below >= -above,
            cold >= below - device.band_below_k,
        ],
    )


def _largest_power(
    device: HeatPump,
    start: Float[np.ndarray, "devices"],
    decay: Float[np.ndarray, "devices"],
    unheated: Float[np.ndarray, "steps devices"],
    kw_per_k: Float[np.ndarray, "steps devices"],
) -> tuple[Float[np.ndarray, "steps devices"], Float[np.ndarray, "steps devices"]]:
    """Slope and value at zero of the largest power over the temperature before the step.

    The device ends no step above its comfort band, and is off where the room floats above it by itself. Over
    the temperature the second puts a bend into a line. Where a room may get there, in warm weather, the line
    from the coolest room that there can be to the warmest takes its place: the optimum is then a bound from
    below.
    """
    slope, at_zero = np.empty_like(unheated), np.empty_like(unheated)
    coolest, warmest = start, np.maximum(start, device.band_above_k)
    for step, drift in enumerate((1.0 - decay) * unheated):
        most_kw = kw_per_k[step] * np.maximum(device.band_above_k - decay * coolest - drift, 0.0)
        floats = decay * warmest + drift > device.band_above_k
        chord = most_kw / np.maximum(warmest - coolest, 1e-9)
        slope[step] = np.where(floats, chord, kw_per_k[step] * decay)
        at_zero[step] = np.where(
            floats, chord * coolest + most_kw, kw_per_k[step] * (device.band_above_k - drift)
        )
        coolest, warmest = decay * coolest + drift, np.maximum(decay * warmest + drift, device.band_above_k)
    return slope, at_zero


def _at_the_end(
    device: HeatPump,
    inputs: WeatherInputs,
    final_energy_price_eur_per_kwh: float,
    above: cp.Expression,
    below: cp.Expression,
    cold: cp.Expression,
) -> cp.Expression:
    """`terminal_cost_eur` of the temperatures after the last step."""
    outdoor_c = inputs.next_24h_c
    spare_kw = device.p_max_kw - device.holding_kw(device.set_point_c, outdoor_c)
    kwh_per_k = (device.capacity_kwh_per_k / device.cop(outdoor_c)).numpy()
    hours_per_k = kwh_per_k / torch.maximum(spare_kw, 0.25 * device.p_max_kw).numpy()
    warmth_eur_per_k_h = device.warmth_eur_per_kwh_heat * device.heat_loss_kw_per_k.numpy()
    return (
        -final_energy_price_eur_per_kwh * (kwh_per_k @ above)
        + (hours_per_k * warmth_eur_per_k_h / 2.0) @ cp.square(below)
        + (hours_per_k * device.discomfort_eur_per_k2_h / 3.0) @ cp.power(below, 3)
        + (hours_per_k * device.cold_eur_per_k_h / 2.0) @ cp.square(cold)
    )
