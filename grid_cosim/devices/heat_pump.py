"""Air-source heat pumps in buildings of one thermal zone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.devices.device import (
    LEVEL_NAMES,
    Outputs,
    PerDevice,
    hour_features,
    hour_of_day,
    lognormal,
    normal,
)

_AHEAD_H = (1, 2, 3, 4, 6, 9, 12, 16, 20, 24)
"""The forecast's windows, in hours from now on."""


class BuildingState(NamedTuple):
    """One lumped temperature for air and fabric."""

    temperature_c: Float[Tensor, "devices"]


class WeatherInputs(NamedTuple):
    """Outdoor temperature in the step, and its means over the hours to come (the forecast)."""

    hour: float
    outdoor_c: Float[Tensor, "#devices"]
    ahead_c: Float[Tensor, "#devices windows"]
    """Over the next 1, 2, 3, 4, 6, 9, 12, 16, 20 and 24 hours."""

    @property
    def next_24h_c(self) -> Float[Tensor, "#devices"]:
        """Mean of the coming day."""
        return self.ahead_c[..., -1]


@final
@dataclass(frozen=True)
class HeatPump:
    """A batch of inverter heat pumps, each heating a first-order RC model of its building.

    Building: C dT/dt = COP p + gains - H (T - T_out), the simple hourly model of ISO 13790 reduced to
    one node, solved exactly for constant power within the step.
    Heat pump: COP = 0.85 (6.08 - 0.09 dT + 0.0005 dT²) of air-source machines, dT between the heating
    water and the outdoor air, heating curve 40 - 1.0 T_out for radiators and 30 - 0.5 T_out for floor
    heating: Ruhnau, Hirth, Praktiknjo, Scientific Data 6:189 (2019), doi 10.1038/s41597-019-0199-y.
    Power modulates continuously from zero; defrosting, cycling and hot water are not modelled.
    """

    heat_loss_kw_per_k: Float[Tensor, "devices"]
    capacity_kwh_per_k: Float[Tensor, "devices"]
    gains_kw: Float[Tensor, "devices"]
    p_max_kw: Float[Tensor, "devices"]
    set_point_c: Float[Tensor, "devices"]
    floor_heating: Float[Tensor, "devices"]
    """1 with floor heating, 0 with radiators."""
    initial_c: Float[Tensor, "devices"]
    dt_h: float
    band_below_k: float = 1.0
    """The comfort band reaches this far below the set point, and `band_above_k` above it."""
    band_above_k: float = 1.5
    discomfort_eur_per_k2_h: float = 0.005
    """Of the squared deviation from the set point, per hour."""
    warmth_eur_per_kwh_heat: float = 0.15
    """A kelvin below the set point costs, per hour, at least the heat that it saves: who sets 20.5 °C has
    weighed it against the bill (0.30 EUR/kWh at a COP of 2 to 3). Without it, cooler would be cheaper."""
    cold_eur_per_k_h: float = 0.5
    """Of every kelvin below the comfort band, per hour, on top."""

    @property
    def n_devices(self) -> int:
        """How many buildings."""
        return self.p_max_kw.shape[0]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `observe`."""
        return (
            *LEVEL_NAMES,
            "hold",
            *(f"hold_{hours}h" for hours in _AHEAD_H),
            "kelvin_per_hour",
            "loss_rate",
            "kelvin_per_kwh",
            "cop",
            *(f"cop_{hours}h" for hours in _AHEAD_H),
            "hour_sin",
            "hour_cos",
        )

    def cop(self, outdoor_c: Float[Tensor, "*times #devices"]) -> Float[Tensor, "*times devices"]:
        """Coefficient of performance at that outdoor temperature."""
        floor = self.floor_heating
        sink = floor * (30.0 - 0.5 * outdoor_c) + (1.0 - floor) * (40.0 - outdoor_c)
        lift = (sink - outdoor_c).clamp(min=15.0)  # the regression's own range begins at 15 K
        return 0.85 * (6.08 - 0.09 * lift + 0.0005 * lift**2)

    def holding_kw(
        self, kept_c: Float[Tensor, "devices"], outdoor_c: Float[Tensor, "*times #devices"]
    ) -> Float[Tensor, "*times devices"]:
        """Power that keeps the room at `kept_c` for ever, within what the machine can do."""
        return self._holding_kw(kept_c, outdoor_c, self.cop(outdoor_c))

    def _holding_kw(self, kept_c: Tensor, outdoor_c: Tensor, cop: Tensor) -> Float[Tensor, "*times devices"]:
        heat = self.heat_loss_kw_per_k * (kept_c - outdoor_c) - self.gains_kw
        return torch.minimum((heat / cop).clamp(min=0.0), self.p_max_kw)

    @cached_property
    def _decay(self) -> Float[Tensor, "devices"]:
        return torch.exp(-self.dt_h * self.heat_loss_kw_per_k / self.capacity_kwh_per_k)

    def _power_to_reach(
        self, temperature_c: Tensor, target_c: Tensor, outdoor_c: Tensor, cop: Tensor
    ) -> Float[Tensor, "devices"]:
        """Within one step: the room that settles at `settled` if this power went on is at the target now."""
        settled = (target_c - self._decay * temperature_c) / (1.0 - self._decay)
        return self._holding_kw(settled, outdoor_c, cop)

    def init(self, inputs: WeatherInputs) -> BuildingState:
        """The temperatures that were drawn with the buildings."""
        return BuildingState(self.initial_c)

    def receive(self, state: BuildingState, inputs: WeatherInputs) -> BuildingState:
        """Weather acts during the step, not at its start."""
        return state

    def observe(self, state: BuildingState, inputs: WeatherInputs) -> Float[Tensor, "devices features"]:
        """Distance from the set point within reach, what holding it takes, and how fast the room reacts."""
        cop = self.cop(inputs.outdoor_c)
        levels = self._levels(state, self._bounds(state, inputs, cop), inputs, cop)
        return torch.cat([levels, self.surroundings(inputs)], dim=-1)

    def levels(
        self,
        state: BuildingState,
        bounds: tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]],
        inputs: WeatherInputs,
    ) -> Float[Tensor, "devices 2"]:
        """Kelvin above the set point."""
        return self._levels(state, bounds, inputs, self.cop(inputs.outdoor_c))

    def _levels(
        self, state: BuildingState, bounds: tuple[Tensor, Tensor], inputs: WeatherInputs, cop: Tensor
    ) -> Float[Tensor, "devices 2"]:
        reached = (self._after(state, p_kw, inputs, cop) - self.set_point_c for p_kw in bounds)
        return torch.stack([*reached], dim=-1)

    def surroundings(self, inputs: WeatherInputs) -> Float[Tensor, "*steps devices features"]:
        """What holding the set point takes now and later, how fast the room reacts, and the hour."""
        outdoor_c = torch.cat([inputs.outdoor_c[..., None], inputs.ahead_c], dim=-1).movedim(-1, 0)
        cops = self.cop(outdoor_c)
        cop = cops[0]
        columns = [
            *(self._holding_kw(self.set_point_c, outdoor_c, cops) / self.p_max_kw),
            cop * self.p_max_kw / self.capacity_kwh_per_k,
            (20.0 * self.heat_loss_kw_per_k / self.capacity_kwh_per_k).expand(cop.shape),
            2.0 * cop / self.capacity_kwh_per_k,
            cop / 3.0,
            *(10.0 * (cops[1:] / cop - 1.0)),
            *hour_features(inputs.hour, cop),
        ]
        return torch.stack(columns, dim=-1)

    def bounds(
        self, state: BuildingState, inputs: WeatherInputs
    ) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        """From off to full power, or to what ends the step at the top of the comfort band."""
        return self._bounds(state, inputs, self.cop(inputs.outdoor_c))

    def _bounds(self, state: BuildingState, inputs: WeatherInputs, cop: Tensor) -> tuple[Tensor, Tensor]:
        top = self.set_point_c + self.band_above_k
        return (
            torch.zeros_like(self.p_max_kw),
            self._power_to_reach(state.temperature_c, top, inputs.outdoor_c, cop),
        )

    def _after(
        self, state: BuildingState, p_kw: Float[Tensor, "devices"], inputs: WeatherInputs, cop: Tensor
    ) -> Float[Tensor, "devices"]:
        """Temperature at the end of the step."""
        heat = cop * p_kw + self.gains_kw
        settled = inputs.outdoor_c + heat / self.heat_loss_kw_per_k
        return settled + (state.temperature_c - settled) * self._decay

    def step(
        self, state: BuildingState, p_kw: Float[Tensor, "devices"], inputs: WeatherInputs
    ) -> tuple[BuildingState, Outputs]:
        """Heat for one step; cost and comfort are those of the temperature at its end."""
        cop = self.cop(inputs.outdoor_c)
        temperature = self._after(state, p_kw, inputs, cop)
        deviation = temperature - self.set_point_c
        cold = (-self.band_below_k - deviation).clamp(min=0.0)
        cost = self.dt_h * (self._discomfort(deviation) + self.cold_eur_per_k_h * cold)
        nothing = torch.zeros_like(p_kw)
        after = BuildingState(temperature)
        return after, Outputs(
            requested_kwh=self._holding_kw(self.set_point_c, inputs.outdoor_c, cop) * self.dt_h,
            due_kwh=nothing,
            served_kwh=p_kw * self.dt_h,
            unserved_kwh=nothing,
            owed_kwh=self._missing_kwh(after, cop).clamp(min=0.0),
            age_h=torch.full_like(p_kw, math.nan),
            temperature_c=temperature,
            too_cold_kelvin_hours=cold * self.dt_h,
            cost_eur=cost,
        )

    def _discomfort(self, deviation_k: Float[Tensor, "devices"]) -> Float[Tensor, "devices"]:
        """EUR per hour within the comfort band."""
        warmth = self.warmth_eur_per_kwh_heat * self.heat_loss_kw_per_k
        return self.discomfort_eur_per_k2_h * deviation_k**2 + warmth * (-deviation_k).clamp(min=0.0)

    def uncontrolled_kw(self, state: BuildingState, inputs: WeatherInputs) -> Float[Tensor, "devices"]:
        """A thermostat that closes in on the set point, with a time constant of about an hour."""
        target = state.temperature_c + (self.set_point_c - state.temperature_c) * self.dt_h / max(
            1.0, self.dt_h
        )
        cop = self.cop(inputs.outdoor_c)
        return torch.minimum(
            self._power_to_reach(state.temperature_c, target, inputs.outdoor_c, cop),
            self._bounds(state, inputs, cop)[1],
        )

    def _missing_kwh(self, state: BuildingState, cop: Tensor) -> Float[Tensor, "devices"]:
        """Electricity that would lift the room to its set point; negative above it."""
        kelvin = self.set_point_c - state.temperature_c
        return self.capacity_kwh_per_k * kelvin / cop

    def terminal_cost_eur(
        self,
        state: BuildingState,
        inputs: WeatherInputs,
        energy_price_eur_per_kwh: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices"]:
        """Electricity for the missing heat (a credit for what is stored above), and discomfort meanwhile.

        The heat is bought in the weather of the coming day, so that ending at its mildest hour gains nothing.
        The room warms at a constant rate, with the power that the machine has to spare, or a quarter of
        its power if that is more: such cold does not last. Convex in the temperature.
        """
        kelvin = self.set_point_c - state.temperature_c
        cop = self.cop(inputs.next_24h_c)
        spare_kw = self.p_max_kw - self.holding_kw(self.set_point_c, inputs.next_24h_c)
        hours_per_kelvin = self.capacity_kwh_per_k / (torch.maximum(spare_kw, 0.25 * self.p_max_kw) * cop)
        missing = kelvin.clamp(min=0.0)
        warmth = self.warmth_eur_per_kwh_heat * self.heat_loss_kw_per_k
        discomfort = warmth * missing**2 / 2.0 + self.discomfort_eur_per_k2_h * missing**3 / 3.0
        cold = self.cold_eur_per_k_h * (missing - self.band_below_k).clamp(min=0.0) ** 2 / 2.0
        missing_kwh = self.capacity_kwh_per_k * kelvin / cop
        return energy_price_eur_per_kwh * missing_kwh + hours_per_kelvin * (discomfort + cold)


@dataclass(frozen=True)
class BuildingWeather:
    """Outdoor temperature, one column for all buildings or one each."""

    start_hour: float
    dt_h: float
    outdoor_c: Float[Tensor, "steps columns"]
    ahead_c: Float[Tensor, "steps columns windows"]
    """Means over the hours to come, as in `WeatherInputs`."""

    def at(self, step: int) -> WeatherInputs:
        """The weather of that step."""
        hour = hour_of_day(self.start_hour, step, self.dt_h)
        return WeatherInputs(hour, self.outdoor_c[step], self.ahead_c[step])


def _mean_ahead(series: Tensor, n_steps: int, window: int) -> Tensor:
    """Mean of the next `window` values from each step on; the last known value goes on."""
    padded = torch.cat([series, series[-1:].expand(n_steps + window, -1)])
    total = torch.cat([torch.zeros_like(padded[:1]), padded.cumsum(0)])
    return (total[window : window + n_steps] - total[:n_steps]) / window


@final
@dataclass(frozen=True)
class HeatPumpPopulation:
    """Houses that have been made fit for a heat pump.

    Heated area and transmission plus ventilation loss per area are log-normal about the values of
    usually refurbished and newer single-family houses in the German building typology (Loga, Stein,
    Diefenbach, Born: Deutsche Wohngebäudetypologie, IWU 2015: 0.6 to 1.6 W/(m² K)). Thermal mass:
    ISO 13790, table 12, between class light and medium (110 to 165 kJ/(m² K)). Internal and passive solar
    gains in winter 3 W/m² (DIN V 18599-10 internal gains of dwellings, 45 to 90 Wh/(m² d)).
    The machine covers the load at `design_outdoor_c` (DIN EN 12831, German Rhine valley -10 to -12 °C).
    """

    heated_area_m2: PerDevice = 120.0
    area_spread: PerDevice = 0.25
    loss_w_per_m2_k: PerDevice = 0.95
    loss_spread: PerDevice = 0.3
    mass_kj_per_m2_k: float = 140.0
    mass_spread: float = 0.15
    gains_w_per_m2: float = 3.0
    design_outdoor_c: float = -12.0
    oversizing: float = 1.1
    floor_heating_share: PerDevice = 0.5
    set_point_c: PerDevice = 20.5
    set_point_spread_k: PerDevice = 0.7

    @property
    def kind(self) -> str:
        """The name in scenarios and checkpoints."""
        return "heat_pump"

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> HeatPump:
        """Draw buildings, and machines that fit them."""
        n = n_devices
        area = lognormal(
            n,
            median=self.heated_area_m2,
            spread=self.area_spread,
            generator=generator,
            low=50.0,
            high=300.0,
        )
        loss = lognormal(
            n,
            median=self.loss_w_per_m2_k,
            spread=self.loss_spread,
            generator=generator,
            low=0.3,
            high=3.0,
        )
        mass = lognormal(
            n,
            median=self.mass_kj_per_m2_k,
            spread=self.mass_spread,
            generator=generator,
            low=60.0,
            high=300.0,
        )
        floor = torch.rand(n, generator=generator, dtype=torch.float64) < self.floor_heating_share
        set_point = normal(
            n,
            mean=self.set_point_c,
            spread=self.set_point_spread_k,
            generator=generator,
            low=18.0,
            high=23.0,
        )
        drift = torch.rand(n, generator=generator, dtype=torch.float64)
        unsized = HeatPump(
            heat_loss_kw_per_k=area * loss / 1e3,
            capacity_kwh_per_k=area * mass / 3600.0,
            gains_kw=area * self.gains_w_per_m2 / 1e3,
            p_max_kw=torch.full((n,), math.inf, dtype=torch.float64),
            set_point_c=set_point,
            floor_heating=floor.to(torch.float64),
            initial_c=set_point - 0.3 + 0.6 * drift,
            dt_h=dt_h,
        )
        design = torch.full((n,), self.design_outdoor_c, dtype=torch.float64)
        p_max = self.oversizing * unsized.holding_kw(set_point, design)
        return replace(unsized, p_max_kw=p_max.clamp(min=0.3))

    def drive(
        self,
        device: HeatPump,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        generator: torch.Generator,
    ) -> BuildingWeather:
        """The weather as it will be; nothing is random here."""
        series = outdoor_c.to(device.p_max_kw.dtype)
        return BuildingWeather(
            start_hour=start_hour,
            dt_h=device.dt_h,
            outdoor_c=series[:n_steps],
            ahead_c=torch.stack(
                [_mean_ahead(series, n_steps, max(1, round(hours / device.dt_h))) for hours in _AHEAD_H],
                dim=-1,
            ),
        )
