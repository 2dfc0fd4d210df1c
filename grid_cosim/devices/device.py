"""What every flexible device is: separable dynamics, vectorised over devices, differentiable.

Consumption is positive. Powers are electric, in kW, constant over a control step of `dt_h` hours.
All tensors are batched over the devices of one kind; nothing here knows households, prices of
others, a feeder or a co-simulation.

A device is driven in this order, once per control step:

    state = device.receive(state, inputs)          what the step brings (a car plugs in, demand arrives)
    x = device.observe(state, inputs)              all that its policy may see, besides the price
    p_min, p_max = device.bounds(state, inputs)    what it can draw
    state, out = device.step(state, p_kw, inputs)  what happens if it draws p_kw
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

T = TypeVar("T")

PerDevice = float | Float[Tensor, "devices"]
"""A parameter of a population: one for all, or one for each device, as a device table gives it."""


class Outputs(NamedTuple):
    """What one control step did, per device; energies are electric and counted at the meter."""

    requested_kwh: Float[Tensor, "devices"]
    """Newly asked for in this step (a heat pump asks for what holding the set point takes)."""
    due_kwh: Float[Tensor, "devices"]
    """Energy whose deadline was settled in this step, delivered or not; zero without deadlines."""
    served_kwh: Float[Tensor, "devices"]
    unserved_kwh: Float[Tensor, "devices"]
    """Of `due_kwh`, what was not delivered."""
    owed_kwh: Float[Tensor, "devices"]
    """Still to be delivered after the step."""
    age_h: Float[Tensor, "devices"]
    """How long the oldest demand has waited; NaN where nothing waits or waiting has no meaning."""
    temperature_c: Float[Tensor, "devices"]
    """Of the room; NaN for devices without one."""
    too_cold_kelvin_hours: Float[Tensor, "devices"]
    """Below the comfort band, integrated over the step."""
    cost_eur: Float[Tensor, "devices"]
    """The device's own cost: delay, discomfort, undelivered energy. Neither energy nor price."""


@runtime_checkable
class Drive(Protocol):
    """What happens to the devices from outside, step by step (arrivals, weather)."""

    def at(self, step: int) -> Any:
        """The device's inputs of that control step."""


@runtime_checkable
class Device(Protocol):
    """Dynamics of `n_devices` devices of one kind.

    `State` and `Inputs` are the device's own NamedTuples of tensors, each with `n_devices` rows.
    """

    @property
    def n_devices(self) -> int:
        """How many devices the batch holds."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `observe`, in order; a checkpoint is bound to them."""

    def init(self, inputs: Any) -> Any:
        """The state before the first step, whose inputs are given."""

    def receive(self, state: Any, inputs: Any) -> Any:
        """The state once the step's news has arrived."""

    def observe(self, state: Any, inputs: Any) -> Float[Tensor, "devices features"]:
        """State and parameters of each device as its policy sees them, of order one."""

    def bounds(self, state: Any, inputs: Any) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        """Smallest and largest power, in kW; stated here and nowhere else."""

    def step(self, state: Any, p_kw: Float[Tensor, "devices"], inputs: Any) -> tuple[Any, Outputs]:
        """The state after drawing `p_kw` (within `bounds`) for one control step, and what it did."""

    def uncontrolled_kw(self, state: Any, inputs: Any) -> Float[Tensor, "devices"]:
        """What the device draws when nobody controls it."""

    def terminal_cost_eur(
        self, state: Any, inputs: Any, energy_price_eur_per_kwh: Float[Tensor, "devices"]
    ) -> Float[Tensor, "devices"]:
        """Value of the state that leaves the horizon; the same for every controller."""


LEVEL_NAMES = ("level_least", "level_most")
"""First two feature names of a `Storing` device."""
TERM_NAMES = ("charge_efficiency", "discharge_efficiency", "charge_wear", "discharge_wear")
"""First feature names of the surroundings of a store that gives back; wear in EUR per 10 kWh at the meter."""
TWO_WAY_NAMES = ("level_least", "level_idle", "level_most", *TERM_NAMES)
"""First feature names of a `Storing` device that gives back."""


@runtime_checkable
class Storing(Device, Protocol):
    """A device with one store, such as a building's heat: its policy says which level it shall reach.

    Its features are `LEVEL_NAMES`, from `levels`, and then those of `surroundings`. The level that is best to
    reach does not depend on where the store stands if costs are convex in it, so the policy's perceptron
    sees the surroundings only.
    """

    def levels(
        self,
        state: Any,
        bounds: tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]],
        inputs: Any,
    ) -> Float[Tensor, "devices levels"]:
        """Levels at the end of the step with the least and with the greatest power.

        Of order one, linear in the power and rising with it; 0 is what is wanted. Of a store that gives back
        the level without power stands between them, and its levels are linear on either side of it.
        """

    def surroundings(self, inputs: Any) -> Float[Tensor, "*steps devices features"]:
        """What else the policy sees, of order one; nothing of it follows from what the device has done.

        The inputs, a NamedTuple of numbers and tensors, may be those of one step, or of several as `stacked`
        gives them; there is a row for every device in either case.
        """


class Sky(NamedTuple):
    """Irradiance on the horizontal plane, and the unit vector to the sun, in the steps of a horizon."""

    direct_w_per_m2: Float[Tensor, "steps #devices"]
    diffuse_w_per_m2: Float[Tensor, "steps #devices"]
    sun_east: Float[Tensor, "steps #devices"]
    sun_north: Float[Tensor, "steps #devices"]
    sun_up: Float[Tensor, "steps #devices"]
    """Sine of its height above the horizon."""


@runtime_checkable
class Population(Protocol):
    """How devices of one kind, and what happens to them, are drawn at random."""

    @property
    def kind(self) -> str:
        """Name of the kind; a checkpoint is bound to it."""

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> Device:
        """Draw the parameters of that many devices."""

    def drive(
        self,
        device: Any,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        generator: torch.Generator,
    ) -> Drive:
        """Draw what happens to them from `start_hour` (of the day) on.

        `outdoor_c` reaches beyond the horizon by as much of the weather forecast as is known; what
        lies beyond its end is taken to stay as it is there.
        """


@runtime_checkable
class SunlitPopulation(Protocol):
    """A population whose `drive` takes the sky, too: as `Population`, with `sky` among the arguments."""

    @property
    def kind(self) -> str:
        """Name of the kind."""

    @property
    def needs_sky(self) -> bool:
        """True: that it has this attribute is what tells it from others."""

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> Device:
        """Draw the parameters of that many devices."""

    def drive(
        self,
        device: Any,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        sky: Sky,
        generator: torch.Generator,
    ) -> Drive:
        """Draw what happens to them."""


@runtime_checkable
class OwnPowerFactor(Protocol):
    """A population whose devices have a power factor of their own where nobody says another."""

    @property
    def power_factor(self) -> float:
        """At the meter."""


@runtime_checkable
class InsteadOfAnother(Protocol):
    """A population whose devices go to homes without one of another kind, as long as there are such."""

    @property
    def instead_of(self) -> str:
        """The other kind."""


def drive_of(
    population: Population | SunlitPopulation,
    device: Device,
    *,
    n_steps: int,
    start_hour: float,
    outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
    sky: Callable[[], Sky],
    generator: torch.Generator,
) -> Drive:
    """What happens to devices of any population; the sky is only asked for if it needs one."""
    if isinstance(population, SunlitPopulation):
        return population.drive(
            device,
            n_steps=n_steps,
            start_hour=start_hour,
            outdoor_c=outdoor_c,
            sky=sky(),
            generator=generator,
        )
    return population.drive(
        device, n_steps=n_steps, start_hour=start_hour, outdoor_c=outdoor_c, generator=generator
    )


def stacked(inputs: Sequence[T]) -> T:
    """The inputs of several steps as one: numbers become `(steps, 1)` tensors, tensors get an axis."""
    columns = [
        torch.stack(parts) if isinstance(parts[0], Tensor) and parts[0].ndim else torch.tensor(parts)[:, None]
        for parts in zip(*cast(Sequence[Any], inputs), strict=True)
    ]
    return type(inputs[0])(*columns)


def hour_of_day(start_hour: float, step: int, dt_h: float) -> float:
    """When a step begins, in a run that begins at `start_hour`."""
    return (start_hour + step * dt_h) % 24.0


def hour_features(
    hour: float | Float[Tensor, "steps 1"], like: Float[Tensor, "*steps devices"]
) -> list[Tensor]:
    """Hour of the day on the unit circle, one column each for sine and cosine."""
    angle = 2.0 * torch.pi / 24.0 * (torch.zeros_like(like) + hour)
    return [angle.sin(), angle.cos()]


def cost_of_owing_eur(
    owed_kwh: Float[Tensor, "devices"],
    missed_kwh: Float[Tensor, "devices"],
    *,
    p_max_kw: Float[Tensor, "devices"],
    energy_price_eur_per_kwh: Float[Tensor, "devices"],
    delay_cost_eur_per_kwh_h: float,
    missed_cost_eur_per_kwh: float,
) -> Float[Tensor, "devices"]:
    """What is owed at the end of a run: a part is missed, the rest bought, and waited for at full power."""
    still = owed_kwh - missed_kwh
    waiting = delay_cost_eur_per_kwh_h * still**2 / (2.0 * p_max_kw)
    return energy_price_eur_per_kwh * still + waiting + missed_cost_eur_per_kwh * missed_kwh


def lognormal(
    n: int,
    *,
    median: PerDevice,
    spread: PerDevice,
    generator: torch.Generator,
    low: float = 0.0,
    high: float = torch.inf,
) -> Float[Tensor, "n"]:
    """Log-normal draws with the given median and standard deviation of the logarithm, clipped."""
    draw = torch.randn(n, generator=generator, dtype=torch.float64)
    return (median * (spread * draw).exp()).clamp(low, high)


def normal(
    n: int, *, mean: PerDevice, spread: PerDevice, generator: torch.Generator, low: float, high: float
) -> Float[Tensor, "n"]:
    """Normal draws, clipped to `[low, high]`."""
    draw = torch.randn(n, generator=generator, dtype=torch.float64)
    return (mean + spread * draw).clamp(low, high)


def to_dtype(value: T, dtype: torch.dtype) -> T:
    """A copy of a device, state, drive or inputs with its floating-point tensors in `dtype`."""
    if isinstance(value, Tensor):
        return cast(T, value.to(dtype) if value.is_floating_point() else value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: to_dtype(getattr(value, f.name), dtype) for f in fields(value)}
        return cast(T, replace(value, **changed))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return cast(T, type(value)(*(to_dtype(item, dtype) for item in value)))
    return value


def rows_of(value: T, rows: Int[Tensor, "some"], n_devices: int) -> T:
    """A device, state or inputs with some of its `n_devices` rows; what all devices have in common stays."""
    if isinstance(value, Tensor):
        return cast(T, value[rows] if value.ndim and value.shape[0] == n_devices else value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: rows_of(getattr(value, f.name), rows, n_devices) for f in fields(value)}
        return cast(T, replace(value, **changed))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return cast(T, type(value)(*(rows_of(item, rows, n_devices) for item in value)))
    return value


@dataclass(frozen=True)
class DriveOfRows:
    """What happens to some of the `n_devices` devices of a drive."""

    drive: Drive
    rows: Int[Tensor, "some"]
    n_devices: int

    def at(self, step: int) -> Any:
        """The inputs of these devices."""
        return rows_of(self.drive.at(step), self.rows, self.n_devices)
