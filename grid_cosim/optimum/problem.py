"""The centralised problem: all devices behind some limits over the whole horizon, with perfect foresight."""

from __future__ import annotations

import time
import warnings
from typing import NamedTuple

import cvxpy as cp
import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from grid_cosim.fleet import DeviceGroup, Fleet
from grid_cosim.optimum import (  # noqa: F401  # they register the models of their devices
    buildings,
    deadlines,
    roofs,
    stores,
    two_way_cars,
)
from grid_cosim.optimum.models import ConvexModel, OptimumError, convex_model, no_power
from grid_cosim.optimum.parts import Couplings, parts_of
from grid_cosim.optimum.schedule import Schedule

EXCESS_EUR_PER_KWH = 100.0
"""Price of load above a capacity that no schedule keeps: well above what any kWh is worth to a device, which
is 2 EUR to a car that leaves short, and some 10 EUR to a house that stays colder for two days."""


def optimal_schedule(
    fleet: Fleet, coupling: csr_array, capacity_kw: Float[np.ndarray, "steps limits"]
) -> Schedule:
    """The optimum where the households behind each limit may draw `capacity_kw` together.

    Least total cost: energy at the tariff, the devices' own cost, and the cost of the state after the last
    step. `coupling` is A of the design, (limits, households). Raises `OptimumError` for devices without a
    convex model.
    """
    return FleetProblem(fleet, coupling).solve(capacity_kw)


class FleetProblem:
    """The problem of a fleet, compiled once and solved for one capacity after the other.

    `couplings` say from which step on who is behind which limit, or it is one matrix for all steps.
    """

    def __init__(self, fleet: Fleet, couplings: Couplings | csr_array) -> None:
        self._fleet = fleet
        if not isinstance(couplings, Couplings):
            couplings = Couplings.always(couplings)
        self._parts = [
            (part, _PartProblem(part.fleet, part.couplings)) for part in parts_of(fleet, couplings)
        ]
        self._solves = 0
        self._solve_time_s = 0.0

    def solve(self, capacity_kw: Float[np.ndarray, "steps limits"]) -> Schedule:
        """The optimum for these capacities; what shares no limit is solved by itself, if anything changed."""
        began = time.perf_counter()
        powers = tuple(np.zeros((self._fleet.n_steps, g.household.size)) for g in self._fleet.groups)
        price, excess_kw = np.zeros_like(capacity_kw), np.zeros_like(capacity_kw)
        cost_eur = 0.0
        for part, problem in self._parts:
            found = problem.solve(capacity_kw[:, part.limits])
            for all_kw, rows, some_kw in zip(powers, part.devices, found.powers_kw, strict=True):
                all_kw[:, rows] = some_kw
            price[:, part.limits] = found.price_eur_per_kwh
            excess_kw[:, part.limits] = found.excess_kw
            cost_eur += found.cost_eur
        self._solves += 1
        self._solve_time_s += time.perf_counter() - began
        return Schedule(powers, price, excess_kw, cost_eur, self._solves, self._solve_time_s)


class _Solution(NamedTuple):
    """As in `Schedule`, of a part."""

    powers_kw: tuple[Float[np.ndarray, "steps _devices"], ...]
    price_eur_per_kwh: Float[np.ndarray, "steps limits"]
    excess_kw: Float[np.ndarray, "steps limits"]
    cost_eur: float


class _PartProblem:
    """The problem of households that have nothing to do with others."""

    def __init__(self, fleet: Fleet, couplings: Couplings) -> None:
        self._dt_h = fleet.dt_h
        periods = couplings.periods(fleet.n_steps)
        self._base_kw = couplings.behind(fleet.base_kw)
        tariff = fleet.dt_h * fleet.tariff_eur_per_kwh[: fleet.n_steps]
        self._base_cost_eur = float(tariff @ fleet.base_kw.sum(axis=1))
        models = [_model(group, fleet) for group in fleet.groups]
        self._p_kw = [model.p_kw for model in models]
        self._cost_eur = sum(
            (model.own_cost_eur + tariff @ cp.sum(model.p_kw, axis=1) for model in models), cp.Constant(0.0)
        )
        shape = (fleet.n_steps, couplings.n_limits)
        self._room_kw = cp.Parameter(shape)
        self._excess_kw = cp.Variable(shape, nonneg=True)
        flex_kw = cp.vstack(
            [
                sum(
                    (
                        p_kw[steps.start : steps.stop] @ csr_array(coupling[:, group.household].T)
                        for p_kw, group in zip(self._p_kw, fleet.groups, strict=True)
                    ),
                    cp.Constant(np.zeros((len(steps), couplings.n_limits))),
                )
                for steps, coupling in periods
            ]
        )
        self._limits = flex_kw - self._excess_kw <= self._room_kw
        penalty_eur = EXCESS_EUR_PER_KWH * fleet.dt_h * cp.sum(self._excess_kw)
        self._problem = cp.Problem(
            cp.Minimize(self._cost_eur + penalty_eur),
            [self._limits, *(constraint for model in models for constraint in model.constraints)],
        )
        self._last: tuple[np.ndarray, _Solution] | None = None

    def solve(self, capacity_kw: Float[np.ndarray, "steps limits"]) -> _Solution:
        if self._last is not None and np.array_equal(self._last[0], capacity_kw):
            return self._last[1]
        self._room_kw.value = capacity_kw - self._base_kw
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)  # is refused below
            # qdldl works in one thread: the same problem always has the same solution, to the last digit
            self._problem.solve(solver=cp.CLARABEL, direct_solve_method="qdldl")
        if self._problem.status != cp.OPTIMAL:
            raise OptimumError(
                f"No optimum: the solver Clarabel ends with {self._problem.status!r}. Look for extreme "
                "parameters of the devices, or leave `optimum` out of `controllers`."
            )
        solution = _Solution(
            powers_kw=tuple(np.asarray(p_kw.value, dtype=float) for p_kw in self._p_kw),
            price_eur_per_kwh=np.maximum(self._limits.dual_value, 0.0) / self._dt_h,
            excess_kw=np.maximum(self._excess_kw.value, 0.0),
            cost_eur=self._base_cost_eur + float(self._cost_eur.value),
        )
        self._last = (capacity_kw.copy(), solution)
        return solution


def _model(group: DeviceGroup, fleet: Fleet) -> ConvexModel:
    if not group.household.size:
        return no_power(fleet.n_steps, 0)
    inputs = [group.drive.at(step) for step in range(fleet.n_steps)]
    return convex_model(group.device, inputs, fleet.final_energy_price_eur_per_kwh)
