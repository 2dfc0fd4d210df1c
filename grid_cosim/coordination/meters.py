"""What the meters of the limited elements learn from each AC power flow.

A limit is a loading in percent, and loading is current; households negotiate kilowatts. So every meter
estimates with each AC solution how much more power its element could carry: current grows a little
faster than the power, because the voltage sinks and losses grow. A meter knows its own measurement only.
What households negotiate is therefore the change since that measurement, of which each knows its own:
the sum of p - p_last must not exceed the headroom, which is the sum of p not exceeding c - o.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

PerLimit = float | Float[np.ndarray, "limits"]
"""One number for all limits, or one for each."""

_SURE_PERCENT = 50.0
"""Below this share of its limit an element says little about its loading at the limit."""


class MeterState(NamedTuple):
    """Per limit, what its meter knows. Nobody tells it what its members drew."""

    headroom_kw: Float[np.ndarray, "limits"]
    """What could be drawn beyond `measured_kw` until the limit is reached; negative above it."""
    measured_kw: Float[np.ndarray, "limits"]
    """What the element carried, by the last measurement."""


@dataclass(frozen=True)
class Meters:
    """One meter per limit.

    Before the first measurement nothing flows but `first_background_kw`, and `first_limit_kw` is the limit.
    `curvature` is by how much loading per kW is larger at the limit than at no load, relative: voltage
    drop and losses of a low-voltage feeder at its limit. `loss_share` is what such a feeder loses at its
    limit; losses grow with the square of the power. Both may be given per limit. The aim is a loading below
    the limit by the share `margin`: who draws changes from step to step, and with it the loading by the same
    power.
    """

    first_limit_kw: Float[np.ndarray, "limits"]
    limit_percent: Float[np.ndarray, "limits"]
    first_background_kw: Float[np.ndarray, "limits"]
    curvature: PerLimit = 0.08
    loss_share: PerLimit = 0.04
    margin: float = 0.0

    def init(self) -> MeterState:
        """Before any AC solution, when the members have drawn nothing yet."""
        return MeterState(self.first_limit_kw - self.first_background_kw, self.first_background_kw.copy())

    def update(
        self,
        state: MeterState,
        *,
        measured_kw: Float[np.ndarray, "limits"],
        loading_percent: Float[np.ndarray, "limits"],
        limit_percent: Float[np.ndarray, "limits"] | None = None,
    ) -> MeterState:
        """Learn from an AC solution: what the element carried, and its loading.

        `limit_percent` is the loading that counts as the limit now, where that has moved.

        What is measured, less the losses, is what loads draw. With x that power over the first estimate of
        the limit, loading = a x (1 + curvature x): the measurement gives a, the limit then gives x. A
        measurement that is not a number (power flow did not converge) leaves the state as it is.
        """
        limit_percent = self.limit_percent if limit_percent is None else limit_percent
        moved = limit_percent / self.limit_percent
        first_limit_kw, curvature = self.first_limit_kw * moved, self.curvature * moved
        through = measured_kw / first_limit_kw
        x = through - self.loss_share * moved * through**2
        loaded = 100.0 * loading_percent / limit_percent
        with np.errstate(divide="ignore", invalid="ignore"):
            per_x = loaded / (x * (1.0 + curvature * x))
            aim = 100.0 * (1.0 - self.margin)
            at_limit = (np.sqrt(1.0 + 4.0 * aim * curvature / per_x) - 1.0) / (2.0 * curvature)
            at_limit = np.where(np.equal(curvature, 0.0), aim / per_x, at_limit)
        sure = np.isfinite(at_limit) & (loaded > _SURE_PERCENT) & (x > 0.0)
        headroom_kw = np.where(sure, (at_limit - x) * first_limit_kw, first_limit_kw - measured_kw)
        known = np.isfinite(measured_kw) & np.isfinite(loading_percent)
        return MeterState(
            headroom_kw=np.where(known, headroom_kw, state.headroom_kw),
            measured_kw=np.where(known, measured_kw, state.measured_kw),
        )

    def moved(
        self, state: MeterState, before: Float[np.ndarray, "limits"], now: Float[np.ndarray, "limits"]
    ) -> MeterState:
        """What is known when the loading that counts as the limit has moved, in percent."""
        limit_kw = (state.headroom_kw + state.measured_kw) * (now / before)
        headroom_kw = np.where(now == before, state.headroom_kw, limit_kw - state.measured_kw)
        return MeterState(headroom_kw, state.measured_kw)
