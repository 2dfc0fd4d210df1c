"""Electric vehicles at home: sessions with an arrival, a departure and an energy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.devices.device import (
    Outputs,
    PerDevice,
    cost_of_owing_eur,
    hour_features,
    hour_of_day,
    lognormal,
    normal,
)


class VehicleState(NamedTuple):
    """A car that is away owes nothing and has no time left."""

    owed_kwh: Float[Tensor, "devices"]
    """Still to be charged before departure, at the meter."""
    left_h: Float[Tensor, "devices"]
    """Time to departure."""
    session_kwh: Float[Tensor, "devices"]
    """Energy that the session asked for."""
    waited_h: Float[Tensor, "devices"]
    """Time since arrival."""


class VehicleInputs(NamedTuple):
    """A car plugs in where `arrival_kwh` is positive."""

    hour: float
    arrival_kwh: Float[Tensor, "devices"]
    stay_h: Float[Tensor, "devices"]


@final
@dataclass(frozen=True)
class ElectricVehicle:
    """A batch of cars on wall boxes whose power can be set between zero and `p_max_kw`.

    Energies are counted at the meter, charging losses included. Waiting has a small cost, so that a
    car charges as soon as nothing speaks against it; leaving without the energy has a large one.
    """

    p_max_kw: Float[Tensor, "devices"]
    dt_h: float
    delay_cost_eur_per_kwh_h: float = 0.005
    """Of a kWh that is still owed, per hour: the worth of being able to leave early."""
    undelivered_cost_eur_per_kwh: float = 2.0
    """Of a kWh that is missing at departure. Our choice: nobody leaves short to dodge a price below 1.7."""

    @property
    def n_devices(self) -> int:
        """How many cars."""
        return self.p_max_kw.shape[0]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `observe`."""
        return ("owed", "left", "needed", "laxity", "urgency", "p_max", "hour_sin", "hour_cos")

    def init(self, inputs: VehicleInputs) -> VehicleState:
        """All cars are away; those already at home arrive in the first step."""
        nothing = torch.zeros_like(self.p_max_kw)
        return VehicleState(nothing, nothing, nothing, nothing)

    def receive(self, state: VehicleState, inputs: VehicleInputs) -> VehicleState:
        """Cars plug in."""
        new = inputs.arrival_kwh > 0
        return VehicleState(
            owed_kwh=torch.where(new, inputs.arrival_kwh, state.owed_kwh),
            left_h=torch.where(new, inputs.stay_h, state.left_h),
            session_kwh=torch.where(new, inputs.arrival_kwh, state.session_kwh),
            waited_h=torch.where(new, 0.0, state.waited_h),
        )

    def observe(self, state: VehicleState, inputs: VehicleInputs) -> Float[Tensor, "devices features"]:
        """Energy owed, time left, and how tightly the one fits into the other."""
        needed_h = state.owed_kwh / self.p_max_kw
        laxity_h = state.left_h - needed_h
        columns = [
            state.owed_kwh / 10.0,
            state.left_h / 12.0,
            needed_h / 4.0,
            laxity_h / 12.0,
            needed_h / state.left_h.clamp(min=self.dt_h),
            self.p_max_kw / 11.0,
            *hour_features(inputs.hour, state.owed_kwh),
        ]
        return torch.stack(columns, dim=-1)

    def bounds(
        self, state: VehicleState, inputs: VehicleInputs
    ) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        """From nothing to the wall box's power, or to what fills the car within the step."""
        return torch.zeros_like(state.owed_kwh), torch.minimum(self.p_max_kw, state.owed_kwh / self.dt_h)

    def step(
        self, state: VehicleState, p_kw: Float[Tensor, "devices"], inputs: VehicleInputs
    ) -> tuple[VehicleState, Outputs]:
        """Charge for one step; a car whose time is up leaves with what it has."""
        served = p_kw * self.dt_h
        owed = (state.owed_kwh - served).clamp(min=0.0)
        here = state.left_h > 0
        left = (state.left_h - self.dt_h).clamp(min=0.0)
        leaves = here & (left < 0.5 * self.dt_h)  # a stay is whole steps, up to rounding
        unserved = torch.where(leaves, owed, 0.0)
        cost = self.delay_cost_eur_per_kwh_h * owed * self.dt_h + self.undelivered_cost_eur_per_kwh * unserved
        waited = torch.where(here, state.waited_h + self.dt_h, 0.0)
        after = VehicleState(
            owed_kwh=torch.where(leaves, 0.0, owed),
            left_h=torch.where(leaves, 0.0, left),
            session_kwh=torch.where(leaves, 0.0, state.session_kwh),
            waited_h=torch.where(leaves, 0.0, waited),
        )
        nan = torch.full_like(owed, math.nan)
        return after, Outputs(
            requested_kwh=inputs.arrival_kwh,
            due_kwh=torch.where(leaves, state.session_kwh, 0.0),
            served_kwh=served,
            unserved_kwh=unserved,
            owed_kwh=after.owed_kwh,
            age_h=torch.where(after.owed_kwh > 0, after.waited_h, nan),
            temperature_c=nan,
            too_cold_kelvin_hours=torch.zeros_like(owed),
            cost_eur=cost,
        )

    def uncontrolled_kw(self, state: VehicleState, inputs: VehicleInputs) -> Float[Tensor, "devices"]:
        """Charge at full power on plugging in."""
        return self.bounds(state, inputs)[1]

    def terminal_cost_eur(
        self,
        state: VehicleState,
        inputs: VehicleInputs,
        energy_price_eur_per_kwh: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices"]:
        """What is still owed must be bought, waited for, and may no longer fit before departure."""
        missed = (state.owed_kwh - self.p_max_kw * state.left_h).clamp(min=0.0)
        return cost_of_owing_eur(
            state.owed_kwh,
            missed,
            p_max_kw=self.p_max_kw,
            energy_price_eur_per_kwh=energy_price_eur_per_kwh,
            delay_cost_eur_per_kwh_h=self.delay_cost_eur_per_kwh_h,
            missed_cost_eur_per_kwh=self.undelivered_cost_eur_per_kwh,
        )


@dataclass(frozen=True)
class VehicleSessions:
    """Arrivals by step."""

    start_hour: float
    dt_h: float
    arrival_kwh: Float[Tensor, "steps devices"]
    stay_h: Float[Tensor, "steps devices"]

    def at(self, step: int) -> VehicleInputs:
        """Who plugs in at that step."""
        hour = hour_of_day(self.start_hour, step, self.dt_h)
        return VehicleInputs(hour, self.arrival_kwh[step], self.stay_h[step])


@final
@dataclass(frozen=True)
class VehiclePopulation:
    """Commuters' cars: home in the evening, gone in the morning.

    Defaults: 39 km a day and car (Nobis & Kuhnimhof, Mobilität in Deutschland 2017, results report,
    BMVI 2018) at 0.2 kWh/km, charging losses and winter included, gives a mean of about 8 kWh a day.
    """

    plug_in_probability: PerDevice = 0.8
    """A car plugs in on this share of days, and then charges for all days since."""
    daily_kwh: PerDevice = 8.0
    energy_spread: float = 0.6
    """Standard deviation of the logarithm of a session's energy."""
    arrival_hour: PerDevice = 17.75
    arrival_spread_h: PerDevice = 2.0
    departure_hour: PerDevice = 7.5
    departure_spread_h: PerDevice = 1.25
    share_11_kw: float = 0.75
    """The others have single-phase 3.7 kW sockets."""
    irregular_share: float = 0.0
    """Cars that come home at any hour before 14 h and leave on the same day: night shifts, pensioners."""

    @property
    def kind(self) -> str:
        """The name in scenarios and checkpoints."""
        return "electric_vehicle"

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> ElectricVehicle:
        """Draw wall boxes."""
        large = torch.rand(n_devices, generator=generator, dtype=torch.float64) < self.share_11_kw
        return ElectricVehicle(p_max_kw=torch.where(large, 11.0, 3.7).to(torch.float64), dt_h=dt_h)

    def drive(
        self,
        device: ElectricVehicle,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        generator: torch.Generator,
    ) -> VehicleSessions:
        """Draw one session per car and day; the car that was there before the start arrives in step 0.

        Arrivals lie between 13 h and midnight and departures between 4:30 and 11:30, so that sessions
        never overlap; irregular cars arrive before 14 h and stay for 1.5 to 10 hours. No session asks
        for more than 90 % of what its stay can charge: whatever is not delivered is then the
        controller's doing. A car that plugged in before the start has been charging since.
        """
        n, dt_h = device.n_devices, device.dt_h
        p_max = device.p_max_kw
        arrival_kwh = torch.zeros(n_steps, n, dtype=p_max.dtype)
        stay_h = torch.zeros(n_steps, n, dtype=p_max.dtype)
        comes_on = torch.as_tensor(self.plug_in_probability, dtype=torch.float64).clamp(min=1e-9)
        median = (self.daily_kwh / comes_on * math.exp(-(self.energy_spread**2) / 2.0)).expand(n)
        irregular = torch.rand(n, generator=generator) < self.irregular_share
        for day in range(-1, math.ceil((start_hour + n_steps * dt_h) / 24.0)):
            comes = torch.rand(n, generator=generator) < self.plug_in_probability
            arrives = normal(
                n,
                mean=self.arrival_hour,
                spread=self.arrival_spread_h,
                generator=generator,
                low=13.0,
                high=23.75,
            )
            leaves = normal(
                n,
                mean=self.departure_hour,
                spread=self.departure_spread_h,
                generator=generator,
                low=4.5,
                high=11.5,
            )
            early = 14.0 * torch.rand(n, generator=generator, dtype=torch.float64)
            stays = 1.5 + 8.5 * torch.rand(n, generator=generator, dtype=torch.float64)
            leaves = torch.where(irregular, early + stays, 24.0 + leaves)
            arrives = torch.where(irregular, early, arrives)
            wanted = lognormal(
                n, median=median, spread=self.energy_spread, generator=generator, low=0.5, high=60.0
            )
            first = torch.ceil((24.0 * day + arrives - start_hour) / dt_h).long()
            last = torch.floor((24.0 * day + leaves - start_hour) / dt_h).long()
            energy = torch.minimum(wanted.to(p_max), 0.9 * p_max * (last - first) * dt_h)
            before = (-first).clamp(min=0) * dt_h
            energy = energy - p_max * before
            start = first.clamp(min=0)
            rows = torch.nonzero(comes & (start < n_steps) & (last > start) & (energy > 0.1)).flatten()
            arrival_kwh[start[rows], rows] = energy[rows]
            stay_h[start[rows], rows] = ((last - start) * dt_h)[rows].to(p_max)
        return VehicleSessions(start_hour, dt_h, arrival_kwh, stay_h)
