"""Electric vehicles that may give back: sessions of other cars, with discharging down to a reserve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.devices.device import (
    TWO_WAY_NAMES,
    Outputs,
    PerDevice,
    cost_of_owing_eur,
    hour_features,
    hour_of_day,
    lognormal,
)
from grid_cosim.devices.ev import ElectricVehicle, VehiclePopulation

_LEVEL_KWH = 10.0
"""Stored energy that is one unit of level."""


class V2GState(NamedTuple):
    """A car that is away owes nothing."""

    owed_kwh: Float[Tensor, "devices"]
    """Still to be charged before departure, at the meter; discharging adds to it."""
    session_kwh: Float[Tensor, "devices"]
    """Energy that the session asked for on arrival, at the meter."""
    waited_h: Float[Tensor, "devices"]
    """Time since arrival."""


class V2GInputs(NamedTuple):
    """A car plugs in where `arrival_kwh` is positive."""

    hour: float
    arrival_kwh: Float[Tensor, "devices"]
    left_h: Float[Tensor, "devices"]
    """Time to departure; zero for a car that is away."""


@final
@dataclass(frozen=True)
class V2GVehicle:
    """A batch of cars on wall boxes that work both ways.

    A car asks for energy at the meter until departure, as an `ElectricVehicle` does; more cannot be charged.
    Until then it may discharge by `usable_kwh` below the charge that it wants, which leaves the reserve, and
    never by more than can be charged again before departure.
    """

    p_max_kw: Float[Tensor, "devices"]
    """Of the wall box, in both directions."""
    usable_kwh: Float[Tensor, "devices"]
    """Stored energy between the charge wanted at departure and the reserve."""
    charge_efficiency: Float[Tensor, "devices"]
    discharge_efficiency: Float[Tensor, "devices"]
    wear_eur_per_kwh: Float[Tensor, "devices"]
    """Of a kWh discharged at the meter, the charging that makes up for it included."""
    dt_h: float
    delay_cost_eur_per_kwh_h: float = 0.005
    """Of a kWh that is still owed, per hour; as of other cars."""
    undelivered_cost_eur_per_kwh: float = 2.0
    """Of a kWh that is missing at departure; as of other cars."""

    @property
    def n_devices(self) -> int:
        """How many cars."""
        return self.p_max_kw.shape[0]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `observe`."""
        return (*TWO_WAY_NAMES, "here", "left", "recoverable", "usable", "p_max", "hour_sin", "hour_cos")

    def init(self, inputs: V2GInputs) -> V2GState:
        """All cars are away; those already at home arrive in the first step."""
        nothing = torch.zeros_like(self.p_max_kw)
        return V2GState(nothing, nothing, nothing)

    def receive(self, state: V2GState, inputs: V2GInputs) -> V2GState:
        """Cars plug in."""
        new = inputs.arrival_kwh > 0
        return V2GState(
            owed_kwh=torch.where(new, inputs.arrival_kwh, state.owed_kwh),
            session_kwh=torch.where(new, inputs.arrival_kwh, state.session_kwh),
            waited_h=torch.where(new, 0.0, state.waited_h),
        )

    def observe(self, state: V2GState, inputs: V2GInputs) -> Float[Tensor, "devices features"]:
        """Charge within reach, the terms of trade, and the time that is left."""
        levels = self.levels(state, self.bounds(state, inputs), inputs)
        return torch.cat([levels, self.surroundings(inputs)], dim=-1)

    def levels(
        self,
        state: V2GState,
        bounds: tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]],
        inputs: V2GInputs,
    ) -> Float[Tensor, "devices levels"]:
        """Stored energy less what is wanted at departure, in units of 10 kWh."""
        low, high = bounds
        owed = (self._owed_after(state, p_kw) for p_kw in (low, torch.zeros_like(low), high))
        return torch.stack([-self.charge_efficiency * kwh / _LEVEL_KWH for kwh in owed], dim=-1)

    def surroundings(self, inputs: V2GInputs) -> Float[Tensor, "*steps devices features"]:
        """At what it trades, the time that is left and what can be charged in it, and the hour."""
        left = inputs.left_h
        after = (left - self.dt_h).clamp(min=0.0)
        columns = [
            self.charge_efficiency.expand(left.shape),
            self.discharge_efficiency.expand(left.shape),
            torch.zeros_like(left),
            10.0 * self.wear_eur_per_kwh.expand(left.shape),
            (left > 0.0).to(left.dtype),
            left / 12.0,
            torch.minimum(self.charge_efficiency * self.p_max_kw * after, 2.0 * self.usable_kwh) / _LEVEL_KWH,
            self.usable_kwh.expand(left.shape) / _LEVEL_KWH,
            self.p_max_kw.expand(left.shape) / 11.0,
            *hour_features(inputs.hour, left),
        ]
        return torch.stack(columns, dim=-1)

    def bounds(
        self, state: V2GState, inputs: V2GInputs
    ) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        """The wall box's power; or what fills the car, or all that it can spare, within the step."""
        after_h = (inputs.left_h - self.dt_h).clamp(min=0.0)
        most_owed = torch.minimum(self.usable_kwh / self.charge_efficiency, self.p_max_kw * after_h)
        spare = self.charge_efficiency * (most_owed - state.owed_kwh).clamp(min=0.0)
        gives = torch.minimum(self.p_max_kw, spare * self.discharge_efficiency / self.dt_h)
        here = inputs.left_h > 0.0
        takes = torch.minimum(self.p_max_kw, state.owed_kwh / self.dt_h)
        return torch.where(here, -gives, 0.0), torch.where(here, takes, 0.0)

    def _owed_after(self, state: V2GState, p_kw: Float[Tensor, "devices"]) -> Float[Tensor, "devices"]:
        to_make_up = torch.relu(-p_kw) / (self.charge_efficiency * self.discharge_efficiency)
        return (state.owed_kwh + self.dt_h * (to_make_up - torch.relu(p_kw))).clamp(min=0.0)

    def step(
        self, state: V2GState, p_kw: Float[Tensor, "devices"], inputs: V2GInputs
    ) -> tuple[V2GState, Outputs]:
        """Charge or discharge for one step; a car whose time is up leaves with what it has."""
        owed = self._owed_after(state, p_kw)
        here = inputs.left_h > 0
        leaves = here & (inputs.left_h < 1.5 * self.dt_h)  # a stay is whole steps, up to rounding
        unserved = torch.where(leaves, owed, 0.0)
        given = torch.relu(-p_kw) * self.dt_h
        cost = (
            self.delay_cost_eur_per_kwh_h * owed * self.dt_h
            + self.undelivered_cost_eur_per_kwh * unserved
            + self.wear_eur_per_kwh * given
        )
        stays = here & ~leaves
        after = V2GState(
            owed_kwh=torch.where(leaves, 0.0, owed),
            session_kwh=torch.where(leaves, 0.0, state.session_kwh),
            waited_h=torch.where(stays, state.waited_h + self.dt_h, 0.0),
        )
        nan = torch.full_like(owed, math.nan)
        return after, Outputs(
            requested_kwh=inputs.arrival_kwh,
            # what a car gave and did not get back is missing, too
            due_kwh=torch.where(leaves, torch.maximum(state.session_kwh, unserved), 0.0),
            served_kwh=p_kw * self.dt_h,
            unserved_kwh=unserved,
            owed_kwh=after.owed_kwh,
            age_h=torch.where(after.owed_kwh > 1e-9, after.waited_h, nan),
            temperature_c=nan,
            too_cold_kelvin_hours=torch.zeros_like(owed),
            cost_eur=cost,
        )

    def uncontrolled_kw(self, state: V2GState, inputs: V2GInputs) -> Float[Tensor, "devices"]:
        """Charge at full power on plugging in, and never discharge."""
        return self.bounds(state, inputs)[1]

    def terminal_cost_eur(
        self,
        state: V2GState,
        inputs: V2GInputs,
        energy_price_eur_per_kwh: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices"]:
        """What is still owed must be bought, waited for, and may no longer fit before departure."""
        left_h = (inputs.left_h - self.dt_h).clamp(min=0.0)
        missed = (state.owed_kwh - self.p_max_kw * left_h).clamp(min=0.0)
        return cost_of_owing_eur(
            state.owed_kwh,
            missed,
            p_max_kw=self.p_max_kw,
            energy_price_eur_per_kwh=energy_price_eur_per_kwh,
            delay_cost_eur_per_kwh_h=self.delay_cost_eur_per_kwh_h,
            missed_cost_eur_per_kwh=self.undelivered_cost_eur_per_kwh,
        )


@dataclass(frozen=True)
class V2GSessions:
    """Arrivals and the time to departure, by step."""

    start_hour: float
    dt_h: float
    arrival_kwh: Float[Tensor, "steps devices"]
    left_h: Float[Tensor, "steps devices"]

    def at(self, step: int) -> V2GInputs:
        """Who plugs in at that step, and how long each car still stays."""
        hour = hour_of_day(self.start_hour, step, self.dt_h)
        return V2GInputs(hour, self.arrival_kwh[step], self.left_h[step])


@final
@dataclass(frozen=True)
class V2GPopulation:
    """Commuters' cars as of `VehiclePopulation`, each with a wall box that works both ways.

    Sessions have the sources named there. Capacity, efficiencies, reserve and wear are assumptions: a compact
    car of today, a wall box that loses 8 % each way, and the wear of a home's battery.
    """

    plug_in_probability: PerDevice = 0.8
    """A car plugs in on this share of days, and then charges for all days since."""
    daily_kwh: PerDevice = 8.0
    """Mean energy per car and day, at the meter."""
    energy_spread: float = 0.6
    """Standard deviation of the logarithm of a session's energy."""
    arrival_hour: PerDevice = 17.75
    """Mean time of coming home."""
    arrival_spread_h: PerDevice = 2.0
    """Its standard deviation."""
    departure_hour: PerDevice = 7.5
    """Mean time of leaving, on the next day."""
    departure_spread_h: PerDevice = 1.25
    """Its standard deviation."""
    share_11_kw: float = 1.0
    """The others have 3.7 kW."""
    irregular_share: float = 0.0
    """Cars that come home at any hour before 14 h and leave on the same day."""
    capacity_kwh: PerDevice = 60.0
    """Median usable capacity."""
    capacity_spread: PerDevice = 0.25
    """Standard deviation of its logarithm."""
    wanted_share: float = 0.8
    """State of charge that is wanted at departure."""
    reserve_share: float = 0.4
    """State of charge below which nothing is discharged."""
    charge_efficiency: float = 0.92
    """From the meter into the cells."""
    discharge_efficiency: float = 0.92
    """From the cells to the meter."""
    efficiency_spread: float = 0.0
    """Standard deviation of both; none lies below 0.8 or above 0.99."""
    wear_eur_per_kwh: float = 0.05
    """Of a kWh discharged at the meter: twice that of a home's battery, since it must be charged again."""
    wear_spread: float = 0.0
    """Standard deviation of its logarithm."""

    @property
    def kind(self) -> str:
        """The name in scenarios and checkpoints."""
        return "v2g_vehicle"

    @property
    def power_factor(self) -> float:
        """Where a scenario says nothing: an inverter needs no reactive power."""
        return 1.0

    @property
    def instead_of(self) -> str:
        """Homes with another car get none, as long as there are homes without."""
        return "electric_vehicle"

    @property
    def _cars(self) -> VehiclePopulation:
        return VehiclePopulation(
            plug_in_probability=self.plug_in_probability,
            daily_kwh=self.daily_kwh,
            energy_spread=self.energy_spread,
            arrival_hour=self.arrival_hour,
            arrival_spread_h=self.arrival_spread_h,
            departure_hour=self.departure_hour,
            departure_spread_h=self.departure_spread_h,
            share_11_kw=self.share_11_kw,
            irregular_share=self.irregular_share,
        )

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> V2GVehicle:
        """Draw cars and wall boxes."""
        n = n_devices
        p_max = self._cars.sample(n, dt_h=dt_h, generator=generator).p_max_kw
        capacity = lognormal(
            n,
            median=self.capacity_kwh,
            spread=self.capacity_spread,
            generator=generator,
            low=15.0,
            high=120.0,
        )
        wear = lognormal(n, median=self.wear_eur_per_kwh, spread=self.wear_spread, generator=generator)
        noise = self.efficiency_spread * torch.randn(n, generator=generator, dtype=torch.float64)
        return V2GVehicle(
            p_max_kw=p_max,
            usable_kwh=max(0.0, self.wanted_share - self.reserve_share) * capacity,
            charge_efficiency=(self.charge_efficiency + noise).clamp(0.8, 0.99),
            discharge_efficiency=(self.discharge_efficiency + noise).clamp(0.8, 0.99),
            wear_eur_per_kwh=wear,
            dt_h=dt_h,
        )

    def drive(
        self,
        device: V2GVehicle,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        generator: torch.Generator,
    ) -> V2GSessions:
        """Sessions as those of `VehiclePopulation.drive`."""
        sessions = self._cars.drive(
            ElectricVehicle(device.p_max_kw, device.dt_h),
            n_steps=n_steps,
            start_hour=start_hour,
            outdoor_c=outdoor_c,
            generator=generator,
        )
        left, path = torch.zeros_like(device.p_max_kw), []
        for new, stay in zip(sessions.arrival_kwh, sessions.stay_h, strict=True):
            left = torch.where(new > 0, stay, left)
            path.append(left)
            left = (left - device.dt_h).clamp(min=0.0)
            left = torch.where(left < 0.5 * device.dt_h, 0.0, left)
        return V2GSessions(start_hour, device.dt_h, sessions.arrival_kwh, torch.stack(path))
