"""A device of one's own, complete: what a user writes to have it simulated, trained and controlled.

A pool pump owes a few hours of filtering every day, at any time of it. The documentation shows this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.devices import Outputs
from grid_cosim.devices.device import hour_features


class PumpState(NamedTuple):
    """What is left of the day's filtering."""

    owed_kwh: Float[Tensor, "devices"]
    left_h: Float[Tensor, "devices"]


class PumpInputs(NamedTuple):
    """A day's filtering is asked for where `new_kwh` is positive; it is due `stay_h` later."""

    hour: float
    new_kwh: Float[Tensor, "devices"]
    stay_h: float


@final
@dataclass(frozen=True)
class PoolPump:
    """A batch of pool pumps."""

    p_max_kw: Float[Tensor, "devices"]
    daily_kwh: Float[Tensor, "devices"]
    dt_h: float
    unserved_cost_eur_per_kwh: float = 1.0

    @property
    def n_devices(self) -> int:
        return self.p_max_kw.shape[0]

    @property
    def feature_names(self) -> tuple[str, ...]:
        return ("needed", "left", "hour_sin", "hour_cos")

    def init(self, inputs: PumpInputs) -> PumpState:
        nothing = torch.zeros_like(self.p_max_kw)
        return PumpState(nothing, nothing)

    def receive(self, state: PumpState, inputs: PumpInputs) -> PumpState:
        new = inputs.new_kwh > 0
        return PumpState(
            owed_kwh=state.owed_kwh + inputs.new_kwh, left_h=torch.where(new, inputs.stay_h, state.left_h)
        )

    def observe(self, state: PumpState, inputs: PumpInputs) -> Float[Tensor, "devices features"]:
        needed_h = state.owed_kwh / self.p_max_kw
        columns = [needed_h / 4.0, state.left_h / 24.0, *hour_features(inputs.hour, needed_h)]
        return torch.stack(columns, dim=-1)

    def bounds(
        self, state: PumpState, inputs: PumpInputs
    ) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        return torch.zeros_like(self.p_max_kw), torch.minimum(self.p_max_kw, state.owed_kwh / self.dt_h)

    def step(
        self, state: PumpState, p_kw: Float[Tensor, "devices"], inputs: PumpInputs
    ) -> tuple[PumpState, Outputs]:
        served = p_kw * self.dt_h
        left = state.left_h - self.dt_h
        over = left < 0.5 * self.dt_h
        owed = (state.owed_kwh - served).clamp(min=0.0)
        unserved = torch.where(over, owed, 0.0)
        after = PumpState(torch.where(over, 0.0, owed), left)
        nan = torch.full_like(owed, math.nan)
        return after, Outputs(
            requested_kwh=inputs.new_kwh,
            due_kwh=torch.where(over, self.daily_kwh, 0.0),
            served_kwh=served,
            unserved_kwh=unserved,
            owed_kwh=after.owed_kwh,
            age_h=torch.where(after.owed_kwh > 0, 24.0 - after.left_h, nan),
            temperature_c=nan,
            too_cold_kelvin_hours=torch.zeros_like(owed),
            cost_eur=self.unserved_cost_eur_per_kwh * unserved,
        )

    def uncontrolled_kw(self, state: PumpState, inputs: PumpInputs) -> Float[Tensor, "devices"]:
        return self.bounds(state, inputs)[1]

    def terminal_cost_eur(
        self, state: PumpState, inputs: PumpInputs, energy_price_eur_per_kwh: Float[Tensor, "devices"]
    ) -> Float[Tensor, "devices"]:
        missed = (state.owed_kwh - self.p_max_kw * state.left_h).clamp(min=0.0)
        return energy_price_eur_per_kwh * (state.owed_kwh - missed) + self.unserved_cost_eur_per_kwh * missed


@dataclass(frozen=True)
class PumpDays:
    """Every pump asks at midnight, and in the first step for the rest of the first day."""

    start_hour: float
    dt_h: float
    daily_kwh: Float[Tensor, "devices"]

    def at(self, step: int) -> PumpInputs:
        hour = (self.start_hour + step * self.dt_h) % 24.0
        asks = step == 0 or hour < 0.5 * self.dt_h
        return PumpInputs(hour, self.daily_kwh if asks else torch.zeros_like(self.daily_kwh), 24.0 - hour)


@final
@dataclass(frozen=True)
class PoolPumpPopulation:
    """Pool pumps of 0.5 to 1.5 kW that run about four hours a day."""

    hours_per_day: float = 4.0

    @property
    def kind(self) -> str:
        return "pool_pump"

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> PoolPump:
        p_max = 0.5 + torch.rand(n_devices, generator=generator, dtype=torch.float64)
        return PoolPump(p_max_kw=p_max, daily_kwh=self.hours_per_day * p_max, dt_h=dt_h)

    def drive(
        self,
        device: PoolPump,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        generator: torch.Generator,
    ) -> PumpDays:
        return PumpDays(start_hour, device.dt_h, device.daily_kwh)
