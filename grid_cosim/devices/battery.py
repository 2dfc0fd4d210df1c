"""Batteries in homes: charge, discharge, and rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.devices.device import TWO_WAY_NAMES, Outputs, PerDevice, hour_features, hour_of_day, lognormal


class BatteryState(NamedTuple):
    """What is stored."""

    stored_kwh: Float[Tensor, "devices"]
    """Above the reserve that is never used."""


class BatteryInputs(NamedTuple):
    """Nothing happens to a battery from outside."""

    hour: float


def stored_by(
    p_kw: Float[Tensor, "devices"],
    charge_efficiency: Float[Tensor, "devices"] | float,
    discharge_efficiency: Float[Tensor, "devices"] | float,
) -> Float[Tensor, "devices"]:
    """How fast a store fills at this power at the meter, in kW; its losses are those of charger and cells."""
    return charge_efficiency * torch.relu(p_kw) - torch.relu(-p_kw) / discharge_efficiency


@final
@dataclass(frozen=True)
class Battery:
    """A batch of batteries behind inverters of their own, charged from the grid and discharged into it.

    Losses go with the energy, in both directions alike; self-discharge (a few percent a month) and standby
    are neglected. Power is free between the inverter's limits at any state of charge.
    """

    capacity_kwh: Float[Tensor, "devices"]
    p_max_kw: Float[Tensor, "devices"]
    charge_efficiency: Float[Tensor, "devices"]
    discharge_efficiency: Float[Tensor, "devices"]
    wear_eur_per_kwh: Float[Tensor, "devices"]
    """Of a kWh through the meter, in or out."""
    initial_kwh: Float[Tensor, "devices"]
    dt_h: float

    @property
    def n_devices(self) -> int:
        """How many batteries."""
        return self.p_max_kw.shape[0]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `observe`."""
        return (*TWO_WAY_NAMES, "hours", "hour_sin", "hour_cos")

    def init(self, inputs: BatteryInputs) -> BatteryState:
        """The charge that was drawn with the battery."""
        return BatteryState(self.initial_kwh)

    def receive(self, state: BatteryState, inputs: BatteryInputs) -> BatteryState:
        """Nothing arrives."""
        return state

    def observe(self, state: BatteryState, inputs: BatteryInputs) -> Float[Tensor, "devices features"]:
        """State of charge within reach, the terms of trade, and how long charging takes."""
        levels = self.levels(state, self.bounds(state, inputs), inputs)
        return torch.cat([levels, self.surroundings(inputs)], dim=-1)

    def levels(
        self,
        state: BatteryState,
        bounds: tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]],
        inputs: BatteryInputs,
    ) -> Float[Tensor, "devices levels"]:
        """State of charge, from -2 for empty to 2 for full."""
        low, high = bounds
        reached = (self._after(state, p_kw) for p_kw in (low, torch.zeros_like(low), high))
        return torch.stack([4.0 * stored / self.capacity_kwh - 2.0 for stored in reached], dim=-1)

    def surroundings(self, inputs: BatteryInputs) -> Float[Tensor, "*steps devices features"]:
        """At what it trades, how many hours it takes to fill, and the hour."""
        hours = self.capacity_kwh / (self.p_max_kw * self.charge_efficiency)
        if isinstance(inputs.hour, Tensor):
            hours = hours.expand(len(inputs.hour), -1)
        columns = [
            self.charge_efficiency.expand(hours.shape),
            self.discharge_efficiency.expand(hours.shape),
            10.0 * self.wear_eur_per_kwh.expand(hours.shape),
            10.0 * self.wear_eur_per_kwh.expand(hours.shape),
            hours / 3.0,
            *hour_features(inputs.hour, hours),
        ]
        return torch.stack(columns, dim=-1)

    def bounds(
        self, state: BatteryState, inputs: BatteryInputs
    ) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        """The inverter's power, or what empties or fills the battery within the step."""
        empties = state.stored_kwh * self.discharge_efficiency / self.dt_h
        fills = (self.capacity_kwh - state.stored_kwh) / (self.charge_efficiency * self.dt_h)
        return -torch.minimum(self.p_max_kw, empties), torch.minimum(self.p_max_kw, fills)

    def _after(self, state: BatteryState, p_kw: Float[Tensor, "devices"]) -> Float[Tensor, "devices"]:
        filled = self.dt_h * stored_by(p_kw, self.charge_efficiency, self.discharge_efficiency)
        # up to rounding within these bounds
        return torch.minimum((state.stored_kwh + filled).clamp(min=0.0), self.capacity_kwh)

    def step(
        self, state: BatteryState, p_kw: Float[Tensor, "devices"], inputs: BatteryInputs
    ) -> tuple[BatteryState, Outputs]:
        """Charge or discharge for one step, and wear."""
        nothing, nan = torch.zeros_like(p_kw), torch.full_like(p_kw, math.nan)
        return BatteryState(self._after(state, p_kw)), Outputs(
            requested_kwh=nothing,
            due_kwh=nothing,
            served_kwh=p_kw * self.dt_h,
            unserved_kwh=nothing,
            owed_kwh=nothing,
            age_h=nan,
            temperature_c=nan,
            too_cold_kelvin_hours=nothing,
            cost_eur=self.wear_eur_per_kwh * p_kw.abs() * self.dt_h,
        )

    def uncontrolled_kw(self, state: BatteryState, inputs: BatteryInputs) -> Float[Tensor, "devices"]:
        """It rests: without a price that changes nothing speaks for a cycle."""
        return torch.zeros_like(state.stored_kwh)

    def terminal_cost_eur(
        self,
        state: BatteryState,
        inputs: BatteryInputs,
        energy_price_eur_per_kwh: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices"]:
        """What the energy that was stored at the start, and is not any more, would have replaced.

        A credit for what is stored beyond that. So no cycle pays only because a run ends.
        """
        taken = self.discharge_efficiency * (self.initial_kwh - state.stored_kwh)
        return energy_price_eur_per_kwh * taken


@dataclass(frozen=True)
class BatteryHours:
    """The hour of the day."""

    start_hour: float
    dt_h: float

    def at(self, step: int) -> BatteryInputs:
        """That of a step."""
        return BatteryInputs(hour_of_day(self.start_hour, step, self.dt_h))


@final
@dataclass(frozen=True)
class BatteryPopulation:
    """Home storage systems.

    Defaults: 15.4 GWh in 1.8 million systems of German homes at the end of 2024 (BSW-Solar, from the
    Marktstammdatenregister) are 8.6 kWh each. A power of half the capacity per hour, and 95 % each way,
    are about what efficient AC-coupled systems have; spreads are assumptions.
    """

    capacity_kwh: PerDevice = 8.0
    """Median usable capacity."""
    capacity_spread: PerDevice = 0.4
    """Standard deviation of its logarithm."""
    p_max_per_capacity: float = 0.5
    """Power of the inverter per usable capacity, in kW per kWh."""
    charge_efficiency: float = 0.95
    """From the meter into the cells."""
    discharge_efficiency: float = 0.95
    """From the cells to the meter."""
    efficiency_spread: float = 0.0
    """Standard deviation of both; none lies below 0.8 or above 0.99."""
    wear_eur_per_kwh: float = 0.025
    """Of a kWh through the meter, in or out. Our choice: 250 EUR per kWh of cells that last 5,000 cycles."""
    wear_spread: float = 0.0
    """Standard deviation of its logarithm."""
    initial_share: float = 0.5
    """Mean state of charge at the start; uniform, within 0.5 of it as far as there is room."""

    @property
    def kind(self) -> str:
        """The name in scenarios and checkpoints."""
        return "battery"

    @property
    def power_factor(self) -> float:
        """Where a scenario says nothing: an inverter needs no reactive power."""
        return 1.0

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> Battery:
        """Draw batteries, and how full they are."""
        n = n_devices
        capacity = lognormal(
            n, median=self.capacity_kwh, spread=self.capacity_spread, generator=generator, low=1.0, high=60.0
        )
        factor = 0.7 + 0.6 * torch.rand(n, generator=generator, dtype=torch.float64)
        charged = torch.rand(n, generator=generator, dtype=torch.float64) - 0.5
        wear = lognormal(n, median=self.wear_eur_per_kwh, spread=self.wear_spread, generator=generator)
        noise = self.efficiency_spread * torch.randn(n, generator=generator, dtype=torch.float64)
        return Battery(
            capacity_kwh=capacity,
            p_max_kw=self.p_max_per_capacity * factor * capacity,
            charge_efficiency=(self.charge_efficiency + noise).clamp(0.8, 0.99),
            discharge_efficiency=(self.discharge_efficiency + noise).clamp(0.8, 0.99),
            wear_eur_per_kwh=wear,
            initial_kwh=capacity * (self.initial_share + charged).clamp(0.0, 1.0),
            dt_h=dt_h,
        )

    def drive(
        self,
        device: Battery,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        generator: torch.Generator,
    ) -> BatteryHours:
        """Time passes."""
        return BatteryHours(start_hour, device.dt_h)
