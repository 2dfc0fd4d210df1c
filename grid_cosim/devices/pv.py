"""Photovoltaics on roofs, which can be turned down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from grid_cosim.devices.device import Outputs, PerDevice, Sky, hour_features, hour_of_day, lognormal, normal

_ALBEDO = 0.2
"""Of the ground before the roof (Liu and Jordan, Solar Energy 7:53, 1963)."""
_LOW_SUN = 0.087
"""Sine of 5°: the least by which direct irradiance is divided."""
_SYSTEM, _INVERTER = 0.86, 0.96
"""What soiling, wiring, mismatch, age and so on leave, and what the inverter does: defaults of PVWatts,
version 5 (Dobos, NREL/TP-6A20-62641, 2014)."""
_PER_K = -0.0035
"""Change of the power per kelvin of the cell above 25 °C; PVWatts' premium module."""
_CELL_K_M2_PER_W = 0.03
"""How much the cell is warmer than the air (Ross 1976; 0.02 free-standing to 0.05 integrated in the roof)."""


class RoofState(NamedTuple):
    """A roof remembers nothing; its rows say how many there are."""

    nothing: Float[Tensor, "devices"]


class SunInputs(NamedTuple):
    """What the sun gives in the step."""

    hour: float
    available_kw: Float[Tensor, "devices"]


@final
@dataclass(frozen=True)
class Photovoltaics:
    """A batch of roofs. Consumption is positive: power lies between minus what the sun gives, and zero.

    What is not fed in is lost. It costs the owner what it would have earned, the tariff: energy is settled at
    the tariff in both directions, and nothing is added here.
    """

    peak_kw: Float[Tensor, "devices"]
    """Of the modules under standard test conditions."""
    p_max_kw: Float[Tensor, "devices"]
    """Of the inverter, to the grid."""
    tilt_deg: Float[Tensor, "devices"]
    azimuth_deg: Float[Tensor, "devices"]
    """From north over east; 180 is south."""
    dt_h: float

    @property
    def n_devices(self) -> int:
        """How many roofs."""
        return self.p_max_kw.shape[0]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `observe`."""
        return ("available", "p_max", "hour_sin", "hour_cos")

    def init(self, inputs: SunInputs) -> RoofState:
        """Nothing."""
        return RoofState(torch.zeros_like(self.p_max_kw))

    def receive(self, state: RoofState, inputs: SunInputs) -> RoofState:
        """Nothing."""
        return state

    def observe(self, state: RoofState, inputs: SunInputs) -> Float[Tensor, "devices features"]:
        """How much there is, and the hour."""
        share = inputs.available_kw / self.p_max_kw
        return torch.stack([share, self.p_max_kw / 10.0, *hour_features(inputs.hour, share)], dim=-1)

    def bounds(
        self, state: RoofState, inputs: SunInputs
    ) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        """From feeding in all that there is to nothing."""
        return -inputs.available_kw, torch.zeros_like(inputs.available_kw)

    def step(
        self, state: RoofState, p_kw: Float[Tensor, "devices"], inputs: SunInputs
    ) -> tuple[RoofState, Outputs]:
        """Feed in for one step. It asks to feed in all that there is: a request below zero."""
        nothing, nan = torch.zeros_like(p_kw), torch.full_like(p_kw, math.nan)
        return state, Outputs(
            requested_kwh=-inputs.available_kw * self.dt_h,
            due_kwh=nothing,
            served_kwh=p_kw * self.dt_h,
            unserved_kwh=nothing,
            owed_kwh=nothing,
            age_h=nan,
            temperature_c=nan,
            too_cold_kelvin_hours=nothing,
            cost_eur=nothing,
        )

    def uncontrolled_kw(self, state: RoofState, inputs: SunInputs) -> Float[Tensor, "devices"]:
        """Feed in all that there is."""
        return self.bounds(state, inputs)[0]

    def terminal_cost_eur(
        self,
        state: RoofState,
        inputs: SunInputs,
        energy_price_eur_per_kwh: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices"]:
        """Nothing is left."""
        return torch.zeros_like(energy_price_eur_per_kwh)

    def available_kw(
        self, sky: Sky, outdoor_c: Float[Tensor, "steps #devices"]
    ) -> Float[Tensor, "steps devices"]:
        """What the roofs can feed in.

        Irradiance on the tilted plane with isotropic diffuse light (Liu and Jordan 1963; Duffie and Beckman,
        equation 2.15.1), power by PVWatts with the cell temperature after Ross.
        """
        tilt, azimuth = torch.deg2rad(self.tilt_deg), torch.deg2rad(self.azimuth_deg)
        facing = (
            sky.sun_east * tilt.sin() * azimuth.sin()
            + sky.sun_north * tilt.sin() * azimuth.cos()
            + sky.sun_up * tilt.cos()
        )
        direct = sky.direct_w_per_m2 * facing.clamp(min=0.0) / sky.sun_up.clamp(min=_LOW_SUN)
        diffuse = sky.diffuse_w_per_m2 * (1.0 + tilt.cos()) / 2.0
        ground = (sky.direct_w_per_m2 + sky.diffuse_w_per_m2) * _ALBEDO * (1.0 - tilt.cos()) / 2.0
        sent = direct + diffuse + ground
        warm = 1.0 + _PER_K * (outdoor_c + _CELL_K_M2_PER_W * sent - 25.0)
        return torch.minimum(self.peak_kw * sent / 1000.0 * warm * _SYSTEM * _INVERTER, self.p_max_kw)


@dataclass(frozen=True)
class SunnyHours:
    """What the roofs can feed in, by step."""

    start_hour: float
    dt_h: float
    available_kw: Float[Tensor, "steps devices"]

    def at(self, step: int) -> SunInputs:
        """That of a step."""
        return SunInputs(hour_of_day(self.start_hour, step, self.dt_h), self.available_kw[step])


@final
@dataclass(frozen=True)
class PvPopulation:
    """Roofs of single-family houses, most of them towards the south.

    Inverters are a tenth smaller than the modules (the ratio 1.1 is PVWatts' default). Sizes, tilts and
    directions are assumptions.
    """

    peak_kw: PerDevice = 8.0
    """Median power of the modules."""
    peak_spread: PerDevice = 0.35
    """Standard deviation of its logarithm."""
    dc_per_ac: float = 1.1
    """Power of the modules per power of the inverter."""
    tilt_deg: PerDevice = 35.0
    """Mean angle between roof and horizontal plane."""
    tilt_spread_deg: PerDevice = 10.0
    """Its standard deviation."""
    azimuth_deg: PerDevice = 180.0
    """Mean direction, from north over east; 180 is south."""
    azimuth_spread_deg: PerDevice = 50.0
    """Its standard deviation."""

    @property
    def kind(self) -> str:
        """The name in scenarios and checkpoints."""
        return "pv"

    @property
    def power_factor(self) -> float:
        """Where a scenario says nothing: an inverter needs no reactive power."""
        return 1.0

    @property
    def needs_sky(self) -> bool:
        """It is driven by the sun."""
        return True

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> Photovoltaics:
        """Draw roofs and modules."""
        n = n_devices
        peak = lognormal(
            n, median=self.peak_kw, spread=self.peak_spread, generator=generator, low=1.0, high=30.0
        )
        tilt = normal(
            n, mean=self.tilt_deg, spread=self.tilt_spread_deg, generator=generator, low=0.0, high=90.0
        )
        azimuth = self.azimuth_deg + self.azimuth_spread_deg * torch.randn(
            n, generator=generator, dtype=torch.float64
        )
        return Photovoltaics(peak, peak / self.dc_per_ac, tilt, azimuth % 360.0, dt_h)

    def drive(
        self,
        device: Photovoltaics,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        sky: Sky,
        generator: torch.Generator,
    ) -> SunnyHours:
        """The sun as it will shine; nothing is random here."""
        here = Sky(*(part[:n_steps].to(device.p_max_kw.dtype) for part in sky))
        outdoor = outdoor_c[:n_steps].to(device.p_max_kw.dtype)
        return SunnyHours(start_hour, device.dt_h, device.available_kw(here, outdoor))
