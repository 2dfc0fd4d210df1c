"""What the optimum knows of a device: its dynamics and cost as a convex problem, in cvxpy's words.

A model says the same as the device's `bounds`, `step` and `terminal_cost_eur`, for all steps at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, Protocol, runtime_checkable

import cvxpy as cp
import numpy as np
from jaxtyping import Float

from grid_cosim.errors import GridCosimError


class OptimumError(GridCosimError):
    """A fleet whose optimum cannot be computed."""


@dataclass(frozen=True)
class ConvexModel:
    """The devices of one kind over the whole horizon."""

    p_kw: cp.Expression
    """Affine, (steps, devices)."""
    own_cost_eur: cp.Expression
    """Convex, a scalar: the devices' own cost in all steps, and that of the state after the last."""
    constraints: list[cp.Constraint] = field(default_factory=list)


@runtime_checkable
class HasConvexModel(Protocol):
    """A device of one's own that an optimum can be computed for."""

    def convex_model(self, inputs: Sequence[Any], final_energy_price_eur_per_kwh: float) -> ConvexModel:
        """The devices from `init` on; `inputs` as `step` gets them, the price as `terminal_cost_eur`."""


@singledispatch
def convex_model(device: Any, inputs: Sequence[Any], final_energy_price_eur_per_kwh: float) -> ConvexModel:
    """The model of a batch of devices: one registered for their class, or their own.

    `inputs` are those of every step; the price is that of energy which is still owed at the end.
    """
    if isinstance(device, HasConvexModel):
        return device.convex_model(inputs, final_energy_price_eur_per_kwh)
    name = type(device).__name__
    raise OptimumError(
        f"No optimum for {name}: the device has no convex model. Leave `optimum` out of `controllers`, or "
        f"give {name} a method convex_model(inputs, final_energy_price_eur_per_kwh) that returns a "
        "grid_cosim.optimum.ConvexModel."
    )


def no_power(n_steps: int, n_devices: int) -> ConvexModel:
    """Devices that are never asked for anything."""
    return ConvexModel(cp.Constant(np.zeros((n_steps, n_devices))), cp.Constant(0.0))


def of_all_steps(inputs: Sequence[Any], name: str) -> Float[np.ndarray, "steps columns"]:
    """One field of the inputs, a row per step."""
    return np.stack([getattr(at, name).numpy() for at in inputs])
