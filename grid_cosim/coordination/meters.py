"""What the meters of the limited elements learn from each AC power flow.

A limit is a loading in percent, and loading is current; households negotiate kilowatts. So every meter
keeps an estimate of the household power at which its element would reach its limit, corrected with each
AC solution: current grows a little faster than the power, because the voltage sinks and losses grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_SURE_PERCENT = 50.0
"""Below this share of its limit an element says little about its loading at the limit."""


class MeterState(NamedTuple):
    """Per limit, what the meter knows: c - o is what its members may draw."""

    limit_kw: Float[np.ndarray, "limits"]
    offset_kw: Float[np.ndarray, "limits"]


@dataclass(frozen=True)
class Meters:
    """One meter per limit.

    `first_limit_kw`, and `first_offset_kw` of other loads, hold until the first AC solution. `curvature` is
    by how much loading per kW is larger at the limit than at no load, relative: voltage drop and losses
    of a low-voltage feeder at its limit. `loss_share` is what such a feeder loses at its limit; losses
    grow with the square of the power.
    """

    first_limit_kw: Float[np.ndarray, "limits"]
    limit_percent: Float[np.ndarray, "limits"]
    first_offset_kw: Float[np.ndarray, "limits"]
    curvature: float = 0.08
    loss_share: float = 0.04

    def init(self) -> MeterState:
        """Before any AC solution."""
        return MeterState(self.first_limit_kw.copy(), self.first_offset_kw.copy())

    def update(
        self,
        state: MeterState,
        *,
        members_kw: Float[np.ndarray, "limits"],
        measured_kw: Float[np.ndarray, "limits"],
        loading_percent: Float[np.ndarray, "limits"],
    ) -> MeterState:
        """Learn from an AC solution: what the members drew, what the element carried, its loading.

        What is measured, less the losses, is what loads draw: members, and a background that stays as it is.
        With x that power over the first estimate of the limit, loading = a x (1 + curvature x): the
        measurement gives a, the limit then gives x. A measurement that is not a number (power flow did not
        converge) leaves the state as it is.
        """
        through = measured_kw / self.first_limit_kw
        x = through - self.loss_share * through**2
        background = x * self.first_limit_kw - members_kw
        loaded = 100.0 * loading_percent / self.limit_percent
        with np.errstate(divide="ignore", invalid="ignore"):
            per_x = loaded / (x * (1.0 + self.curvature * x))
            at_limit = (np.sqrt(1.0 + 400.0 * self.curvature / per_x) - 1.0) / (2.0 * self.curvature)
        offset = measured_kw - members_kw
        sure = np.isfinite(at_limit) & (loaded > _SURE_PERCENT) & (x > 0.0)
        room = np.where(sure, at_limit * self.first_limit_kw - background, self.first_limit_kw - offset)
        known = np.isfinite(measured_kw) & np.isfinite(loading_percent)
        return MeterState(
            limit_kw=np.where(known, room + offset, state.limit_kw),
            offset_kw=np.where(known, offset, state.offset_kw),
        )
