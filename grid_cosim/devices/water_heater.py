"""Hot-water tanks, heated by an element or a small heat pump."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.devices.device import LEVEL_NAMES, Outputs, PerDevice, hour_features, hour_of_day, lognormal

AHEAD_H = (1, 2, 4, 8, 12, 24)
"""Windows of what is expected to be drawn off, in hours from now on."""
_WATER_KWH_PER_L_K = 1.163e-3
"""Specific heat of water times its density."""
_HOUSEHOLD_SIZES = (0.42, 0.34, 0.12, 0.09, 0.03)
"""Shares of German households of 1 to 5 persons (Destatis, Mikrozensus 2018, as for the base load)."""


class TankState(NamedTuple):
    """Heat in the hot part of the tank."""

    stored_kwh: Float[Tensor, "devices"]
    """Above the temperature of cold water; thermal."""


class DrawInputs(NamedTuple):
    """Hot water that is drawn off in the step, and what is usual in the hours to come."""

    hour: float
    draw_kwh: Float[Tensor, "devices"]
    """Thermal."""
    usual_kwh: Float[Tensor, "devices windows"]
    """Means over many days, of the next 1, 2, 4, 8, 12 and 24 hours; thermal."""


@final
@dataclass(frozen=True)
class WaterHeater:
    """A batch of tanks, perfectly stratified: hot water of one temperature above cold water.

    So the state is one number, how much of the tank is hot, and a draw-off is served as long as there is
    hot water. Standing losses go with the hot part. All of this is linear: dE/dt = COP p - draw - E / tau.
    """

    capacity_kwh: Float[Tensor, "devices"]
    """Heat in the tank when all of it is hot."""
    p_max_kw: Float[Tensor, "devices"]
    cop: Float[Tensor, "devices"]
    """Heat per electricity; 1 for a heating element."""
    loss_per_h: Float[Tensor, "devices"]
    """Share of the heat that the tank loses in an hour."""
    initial_kwh: Float[Tensor, "devices"]
    dt_h: float
    undelivered_cost_eur_per_kwh: float = 2.0
    """Of heat that a draw-off did not find, per kWh of electricity that it would have taken; as for cars."""

    @property
    def n_devices(self) -> int:
        """How many tanks."""
        return self.p_max_kw.shape[0]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `observe`."""
        usual = (f"usual_{hours}h" for hours in AHEAD_H)
        return (*LEVEL_NAMES, *usual, "fill_rate", "loss_rate", "capacity", "cop", "hour_sin", "hour_cos")

    @property
    def _decay(self) -> Float[Tensor, "devices"]:
        return torch.exp(-self.dt_h * self.loss_per_h)

    @property
    def kept_h(self) -> Float[Tensor, "devices"]:
        """Heat in the tank after a step per kW of heat during it."""
        return (1.0 - self._decay) / self.loss_per_h

    def init(self, inputs: DrawInputs) -> TankState:
        """The heat that was drawn with the tank."""
        return TankState(self.initial_kwh)

    def receive(self, state: TankState, inputs: DrawInputs) -> TankState:
        """Draw-offs act during the step, not at its start."""
        return state

    def observe(self, state: TankState, inputs: DrawInputs) -> Float[Tensor, "devices features"]:
        """How full the tank can be after the step, what is usually drawn off, and how fast it heats."""
        levels = self.levels(state, self.bounds(state, inputs), inputs)
        return torch.cat([levels, self.surroundings(inputs)], dim=-1)

    def levels(
        self,
        state: TankState,
        bounds: tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]],
        inputs: DrawInputs,
    ) -> Float[Tensor, "devices levels"]:
        """From -4 for a cold tank to 0 for a hot one; below -4 what is missing of the step's draw-off."""
        reached = (self._balance(state, p_kw, inputs) for p_kw in bounds)
        return torch.stack([4.0 * heat / self.capacity_kwh - 4.0 for heat in reached], dim=-1)

    def surroundings(self, inputs: DrawInputs) -> Float[Tensor, "*steps devices features"]:
        """What is usually drawn off in the hours to come, how fast the tank heats and cools, and the hour."""
        usual = (inputs.usual_kwh / self.capacity_kwh[:, None]).movedim(-1, 0)
        shape = usual.shape[1:]
        columns = [
            *(4.0 * usual),
            (2.0 * self.cop * self.p_max_kw / self.capacity_kwh).expand(shape),
            (50.0 * self.loss_per_h).expand(shape),
            (self.capacity_kwh / 10.0).expand(shape),
            (self.cop / 3.0).expand(shape),
            *hour_features(inputs.hour, usual[0]),
        ]
        return torch.stack(columns, dim=-1)

    def bounds(
        self, state: TankState, inputs: DrawInputs
    ) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        """From off to full power, or to what heats the whole tank within the step."""
        nothing = torch.zeros_like(self.p_max_kw)
        missing = self.capacity_kwh - self._balance(state, nothing, inputs)
        return nothing, torch.minimum(self.p_max_kw, missing.clamp(min=0.0) / (self.cop * self.kept_h))

    def _balance(
        self, state: TankState, p_kw: Float[Tensor, "devices"], inputs: DrawInputs
    ) -> Float[Tensor, "devices"]:
        """Heat after the step, the draw-off taken from its end; negative where that was not to be had."""
        return self._decay * state.stored_kwh + self.kept_h * self.cop * p_kw - inputs.draw_kwh

    def step(
        self, state: TankState, p_kw: Float[Tensor, "devices"], inputs: DrawInputs
    ) -> tuple[TankState, Outputs]:
        """Heat for one step; a draw-off gets what hot water there is."""
        heat = self._balance(state, p_kw, inputs)
        after = TankState(torch.minimum(heat.clamp(min=0.0), self.capacity_kwh))
        unserved = (-heat).clamp(min=0.0) / self.cop
        holding = self.dt_h * self.loss_per_h * self.capacity_kwh
        nan = torch.full_like(p_kw, math.nan)
        return after, Outputs(
            requested_kwh=(inputs.draw_kwh + holding) / self.cop,
            due_kwh=inputs.draw_kwh / self.cop,
            served_kwh=p_kw * self.dt_h,
            unserved_kwh=unserved,
            owed_kwh=self._missing_kwh(after),
            age_h=nan,
            temperature_c=nan,
            too_cold_kelvin_hours=torch.zeros_like(p_kw),
            cost_eur=self.undelivered_cost_eur_per_kwh * unserved,
        )

    def uncontrolled_kw(self, state: TankState, inputs: DrawInputs) -> Float[Tensor, "devices"]:
        """A thermostat that keeps the whole tank hot."""
        return self.bounds(state, inputs)[1]

    def _missing_kwh(self, state: TankState) -> Float[Tensor, "devices"]:
        """Electricity that would heat the whole tank."""
        return (self.capacity_kwh - state.stored_kwh) / self.cop

    def terminal_cost_eur(
        self,
        state: TankState,
        inputs: DrawInputs,
        energy_price_eur_per_kwh: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices"]:
        """Electricity for the missing heat, and what usual draw-offs of the coming day will not find.

        That is what they take by the worst of some hours beyond the heat at hand and what full power makes
        by then.
        """
        made = self.cop * self.p_max_kw
        windows = inputs.usual_kwh - made[:, None] * inputs.usual_kwh.new_tensor(AHEAD_H)
        short = (windows - state.stored_kwh[:, None]).clamp(min=0.0).amax(1)
        missed = self.undelivered_cost_eur_per_kwh * short / self.cop
        return energy_price_eur_per_kwh * self._missing_kwh(state) + missed


@dataclass(frozen=True)
class DrawOffs:
    """Draw-offs by step."""

    start_hour: float
    dt_h: float
    draw_kwh: Float[Tensor, "steps devices"]
    usual_kwh: Float[Tensor, "steps devices windows"]

    def at(self, step: int) -> DrawInputs:
        """Those of a step."""
        hour = hour_of_day(self.start_hour, step, self.dt_h)
        return DrawInputs(hour, self.draw_kwh[step], self.usual_kwh[step])


@final
@dataclass(frozen=True)
class WaterHeaterPopulation:
    """Electric hot-water tanks of households.

    Kinds of draw-off (showers of 40 litres, short draws) and their peaks in the morning and in the evening
    follow Jordan and Vajen, Realistic domestic hot-water profiles in different time scales (IEA SHC Task 26,
    2001), who take 200 litres of 45 °C a day for a single-family house: 40 litres for each of five persons.
    Standing losses are the limit of energy class B (EU 812/2013: 12 + 5.93 V^0.4 W, V in litres, 45 K above
    the room). The hours of the peaks, sizes of tanks and elements, and spreads are assumptions.
    """

    litres_per_person: PerDevice = 40.0
    """Hot water of 45 °C per person and day."""
    litres_spread: PerDevice = 0.3
    """Standard deviation of its logarithm among homes."""
    showers_per_person: float = 0.6
    """Showers per person and day, 40 litres each; the rest are short draws."""
    tank_litres: float = 60.0
    """Volume of the tank without anybody."""
    tank_litres_per_person: float = 45.0
    """What every person adds to it."""
    storage_c: float = 60.0
    """Temperature of the hot water in the tank; cold water has 10 °C, the room 20 °C."""
    p_max_kw: float = 2.0
    """Connected power in the middle; drawn within 30 % of it."""
    cop: PerDevice = 1.0
    """Heat per electricity: 1 for a heating element, about 3 for a heat pump of its own."""
    cop_spread: PerDevice = 0.0
    """Standard deviation of its logarithm."""
    morning_hour: float = 7.0
    """Mean time of the peak in the morning; drawn within an hour of it."""
    evening_hour: float = 19.5
    """Mean time of the peak in the evening; drawn within an hour and a half of it."""

    @property
    def kind(self) -> str:
        """The name in scenarios and checkpoints."""
        return "water_heater"

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> WaterHeater:
        """Draw households by their number of persons, and tanks that fit them."""
        n = n_devices
        sizes = torch.tensor(_HOUSEHOLD_SIZES, dtype=torch.float64)
        persons = 1.0 + torch.multinomial(sizes, n, replacement=True, generator=generator).double()
        litres = (self.tank_litres + self.tank_litres_per_person * persons) * (
            0.8 + 0.4 * torch.rand(n, generator=generator, dtype=torch.float64)
        )
        factor = 0.7 + 0.6 * torch.rand(n, generator=generator, dtype=torch.float64)
        cop = lognormal(n, median=self.cop, spread=self.cop_spread, generator=generator, low=0.9, high=5.0)
        filled = torch.rand(n, generator=generator, dtype=torch.float64)
        capacity = _WATER_KWH_PER_L_K * litres * (self.storage_c - 10.0)
        standing_kw = (12.0 + 5.93 * litres**0.4) / 1e3 * (self.storage_c - 20.0) / 45.0
        return WaterHeater(
            capacity_kwh=capacity,
            p_max_kw=self.p_max_kw * factor / cop.clamp(min=1.0),
            cop=cop,
            loss_per_h=standing_kw / capacity,
            initial_kwh=capacity * (0.97 + 0.03 * filled),
            dt_h=dt_h,
        )

    def drive(
        self,
        device: WaterHeater,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        generator: torch.Generator,
    ) -> DrawOffs:
        """Draw what is drawn off; how much of it a home usually needs follows the size of its tank."""
        n, dt_h, dtype = device.n_devices, device.dt_h, device.p_max_kw.dtype

        def within(mean: float, reach: float) -> Tensor:
            return mean + reach * (2.0 * torch.rand(n, generator=generator, dtype=torch.float64) - 1.0)

        litres = device.capacity_kwh.double() / (_WATER_KWH_PER_L_K * (self.storage_c - 10.0))
        persons = ((litres - self.tank_litres) / self.tank_litres_per_person).clamp(min=1.0)
        daily = (
            lognormal(n, median=self.litres_per_person, spread=self.litres_spread, generator=generator)
            * persons
        )
        peaks = within(self.morning_hour, 1.0), within(self.evening_hour, 1.5)
        showers = self.showers_per_person * persons * daily / (self.litres_per_person * persons)
        short = (daily - 40.0 * showers).clamp(min=0.0) / 4.0
        ahead = max(1, round(AHEAD_H[-1] / dt_h))
        hours = (start_hour + dt_h * (0.5 + torch.arange(n_steps + ahead, dtype=torch.float64))) % 24.0
        course = _daily_course(hours[:, None], *peaks) * dt_h / 24.0  # shares of a day
        kwh_per_l = _WATER_KWH_PER_L_K * 35.0  # from 10 to 45 °C
        drawn = []
        for step in range(n_steps):  # step by step: a longer horizon begins like a shorter one
            many = torch.poisson(showers * course[step], generator=generator)
            size = (0.3 * torch.randn(n, generator=generator, dtype=torch.float64) - 0.045).exp()  # mean 1
            few = torch.poisson(short * course[step], generator=generator)
            drawn.append(kwh_per_l * (40.0 * many * size + 4.0 * few))
        usual = torch.cat([torch.zeros(1, n, dtype=torch.float64), (kwh_per_l * daily * course).cumsum(0)])
        steps = [max(1, round(hours_ahead / dt_h)) for hours_ahead in AHEAD_H]
        windows = [usual[window : window + n_steps] - usual[:n_steps] for window in steps]
        return DrawOffs(
            start_hour, dt_h, torch.stack(drawn).to(dtype), torch.stack(windows, dim=-1).to(dtype)
        )


def _daily_course(
    hour: Float[Tensor, "steps 1"], morning: Float[Tensor, "devices"], evening: Float[Tensor, "devices"]
) -> Float[Tensor, "steps devices"]:
    """How much is drawn off at an hour, of a mean of 1: little at night, and two peaks.

    A third comes about the morning's peak (standard deviation 0.9 h), 45 % about the evening's (1.6 h), the
    rest between 6 and 23 h.
    """

    def bump(at: Tensor, width_h: float) -> Tensor:
        distance = (hour - at + 12.0) % 24.0 - 12.0
        return 24.0 / (width_h * math.sqrt(2.0 * math.pi)) * (-0.5 * (distance / width_h) ** 2).exp()

    day = 24.0 / 17.0 * ((hour >= 6.0) & (hour < 23.0))
    return 0.33 * bump(morning, 0.9) + 0.45 * bump(evening, 1.6) + 0.22 * day
