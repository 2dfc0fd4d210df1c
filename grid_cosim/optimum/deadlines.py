"""Energy with a deadline as a convex problem: sessions of cars, and what arrives in queues.

A request is an energy, the step in which it comes, and in how many steps it may be served. What is owed of it
after each of these steps is the variable; power is how fast that falls. A queue serves the oldest first,
a plan may choose: that is no cheaper unless energy is lost, which a plan may then lose earlier, to save
what waiting costs. There the optimum is a bound from below, in the tests by less than a thousandth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cvxpy as cp
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array, diags_array

from grid_cosim.devices import DeferrableLoad, ElectricVehicle
from grid_cosim.devices.deferrable import QueueInputs
from grid_cosim.devices.ev import VehicleInputs
from grid_cosim.optimum.models import ConvexModel, convex_model, no_power, of_all_steps


@dataclass(frozen=True)
class _Requests:
    """What is asked for, in the order of device and step."""

    device: Int[np.ndarray, "requests"]
    start: Int[np.ndarray, "requests"]
    """Step in which it comes, and may first be served."""
    n_steps: Int[np.ndarray, "requests"]
    """In how many steps it may be served; may reach beyond the horizon."""
    energy_kwh: Float[np.ndarray, "requests"]
    replaced: Bool[np.ndarray, "requests"]
    """Another takes its place before its deadline, and what is owed is forgotten."""


@dataclass(frozen=True)
class _Terms:
    """Under which terms a kind of device serves its requests."""

    p_max_kw: Float[np.ndarray, "devices"]
    dt_h: float
    n_steps: int
    delay_eur_per_kwh_h: float
    unserved_eur_per_kwh: float
    lost_energy_waits: bool
    """Whether what is lost at the end of a step has cost a delay in that step."""
    final_energy_price_eur_per_kwh: float


@convex_model.register
def _(
    device: ElectricVehicle, inputs: Sequence[VehicleInputs], final_energy_price_eur_per_kwh: float
) -> ConvexModel:
    energy_kwh, stay_h = of_all_steps(inputs, "arrival_kwh"), of_all_steps(inputs, "stay_h")
    row, start = np.nonzero(energy_kwh.T)
    # as the device has it: a car leaves after the step that brings it within half a step of its departure
    stay = np.maximum(np.floor(stay_h[start, row] / device.dt_h - 0.5).astype(np.int64) + 1, 1)
    again = np.append(row[1:] == row[:-1], False)[: row.size]
    until_next = np.where(again, np.append(start[1:], 0)[: row.size] - start, np.iinfo(np.int64).max)
    return _model(
        _Requests(row, start, np.minimum(stay, until_next), energy_kwh[start, row], until_next < stay),
        _Terms(
            p_max_kw=device.p_max_kw.numpy(),
            dt_h=device.dt_h,
            n_steps=len(inputs),
            delay_eur_per_kwh_h=device.delay_cost_eur_per_kwh_h,
            unserved_eur_per_kwh=device.undelivered_cost_eur_per_kwh,
            lost_energy_waits=True,
            final_energy_price_eur_per_kwh=final_energy_price_eur_per_kwh,
        ),
    )


@convex_model.register
def _(
    device: DeferrableLoad, inputs: Sequence[QueueInputs], final_energy_price_eur_per_kwh: float
) -> ConvexModel:
    energy_kwh = of_all_steps(inputs, "arrival_kwh")
    row, start = np.nonzero(energy_kwh.T)
    patience = np.full(row.size, device.max_age_steps)
    return _model(
        _Requests(row, start, patience, energy_kwh[start, row], np.zeros(row.size, dtype=bool)),
        _Terms(
            p_max_kw=device.p_max_kw.numpy(),
            dt_h=device.dt_h,
            n_steps=len(inputs),
            delay_eur_per_kwh_h=device.delay_cost_eur_per_kwh_h,
            unserved_eur_per_kwh=device.unserved_cost_eur_per_kwh,
            lost_energy_waits=False,
            final_energy_price_eur_per_kwh=final_energy_price_eur_per_kwh,
        ),
    )


def _model(requests: _Requests, terms: _Terms) -> ConvexModel:
    """All steps of all requests one after the other, as far as the horizon reaches."""
    n_devices, dt_h = terms.p_max_kw.size, terms.dt_h
    if not requests.device.size:
        return no_power(terms.n_steps, n_devices)
    left = requests.start + requests.n_steps - terms.n_steps  # steps left after the horizon
    n_here = requests.n_steps - np.maximum(left, 0)
    last = np.cumsum(n_here) - 1
    first = last - n_here + 1
    request = np.repeat(np.arange(n_here.size), n_here)
    step = requests.start[request] + np.arange(request.size) - first[request]

    owed_kwh = cp.Variable(request.size, nonneg=True)
    asked_kwh = np.zeros(request.size)
    asked_kwh[first] = requests.energy_kwh
    goes_on = np.ones(request.size)
    goes_on[first] = 0.0
    before = diags_array(goes_on[1:], offsets=-1, shape=(request.size, request.size))
    served_kwh = asked_kwh + csr_array(before) @ owed_kwh - owed_kwh

    cell = step * n_devices + requests.device[request]  # of (step, device); requests of a queue share cells
    to_power = csr_array(
        (np.full(cell.size, 1.0 / dt_h), (cell, np.arange(cell.size))),
        shape=(terms.n_steps * n_devices, cell.size),
    )
    used = np.unique(cell)
    price = np.full(request.size, terms.delay_eur_per_kwh_h * dt_h)
    if not terms.lost_energy_waits:
        price[last[left <= 0]] = 0.0
    price[last[(left <= 0) & ~requests.replaced]] += terms.unserved_eur_per_kwh
    end_eur, end_constraints = _at_the_end(requests, terms, left, owed_kwh[last])
    return ConvexModel(
        p_kw=cp.reshape(to_power @ served_kwh, (terms.n_steps, n_devices), order="C"),
        own_cost_eur=price @ owed_kwh + end_eur,
        constraints=[
            served_kwh >= 0.0,
            to_power[used] @ served_kwh <= terms.p_max_kw[used % n_devices],
            *end_constraints,
        ],
    )


def _at_the_end(
    requests: _Requests, terms: _Terms, left: Int[np.ndarray, "requests"], owed_kwh: cp.Expression
) -> tuple[cp.Expression, list[cp.Constraint]]:
    """Terminal cost of the requests whose deadline is beyond the horizon.

    A device misses what exceeds its power of all that is due by one of its deadlines. What it misses is a
    variable, which its cost keeps as small as it may be.
    """
    pending = np.flatnonzero(left > 0)
    if not pending.size:
        return cp.Constant(0.0), []
    owner, row = np.unique(requests.device[pending], return_inverse=True)
    p_max_kw, left = terms.p_max_kw[owner], left[pending]
    same_owner = row[:, None] == row[None, :]
    due_by_then = csr_array((same_owner & (left[None, :] <= left[:, None])).astype(float))
    by_owner = csr_array((np.ones(row.size), (row, np.arange(row.size))), shape=(owner.size, row.size))
    missed_kwh = cp.Variable(owner.size, nonneg=True)
    still_kwh = by_owner @ owed_kwh[pending] - missed_kwh
    cost_eur = (
        terms.final_energy_price_eur_per_kwh * cp.sum(still_kwh)
        + (terms.delay_eur_per_kwh_h / (2.0 * p_max_kw)) @ cp.square(still_kwh)
        + terms.unserved_eur_per_kwh * cp.sum(missed_kwh)
    )
    fits_kwh = p_max_kw[row] * terms.dt_h * left
    return cost_eur, [missed_kwh[row] >= due_by_then @ owed_kwh[pending] - fits_kwh]
