"""The fleet: households are rows; who owns which device, the base load, and the net power.

A fleet is what happens to the households, drawn once and the same for every controller; a
`FleetState` is where their devices are. Devices of one kind form one batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grid_cosim.devices import Device, Drive, Outputs, Population, Sky, SunlitPopulation
from grid_cosim.devices.columns import device_with, population_with
from grid_cosim.devices.device import InsteadOfAnother, OwnPowerFactor, drive_of
from grid_cosim.errors import ProfileError
from grid_cosim.tariff import TariffView, outlook_steps, tariff_view


class FleetState(NamedTuple):
    """The states of the groups, in the order of `Fleet.groups`."""

    devices: tuple[Any, ...]


@dataclass(frozen=True)
class DeviceGroup:
    """All devices of one kind, and what happens to them."""

    kind: str
    device: Device
    household: Int[np.ndarray, "devices"]
    """Row of the household that owns each device; a household owns at most one of a kind."""
    drive: Drive
    power_factor: float

    def __post_init__(self) -> None:
        assert self.device.n_devices == self.household.size
        assert np.unique(self.household).size == self.household.size

    @property
    def kvar_per_kw(self) -> float:
        """Reactive power that comes with the active one, drawn or fed in; consumption positive."""
        return float(np.tan(np.arccos(self.power_factor)))


@dataclass(frozen=True)
class Ownership:
    """How a kind of device is spread over the households."""

    population: Population | SunlitPopulation
    owners: Bool[np.ndarray, "households"] | float
    """Who has one, or the share of households, drawn at random."""
    power_factor: float | None = None
    """Inductive, at the meter; None for what is usual for the kind."""
    given: Mapping[str, Float[np.ndarray, "households"]] = field(default_factory=dict)
    """Parameters that are known of single devices, by name (see `devices.columns`); NaN where not."""

    def given_of(self, household: Int[np.ndarray, "devices"]) -> dict[str, Tensor]:
        """Those of the devices of these households."""
        return {name: torch.as_tensor(values[household]) for name, values in self.given.items()}

    def population_of(self, household: Int[np.ndarray, "devices"]) -> Population | SunlitPopulation:
        """The population of the devices of these households, with what is known of each."""
        return population_with(self.population, self.population.kind, self.given_of(household))

    @property
    def usual_power_factor(self) -> float:
        """That given, or the population's own, or 0.95 as VDE-AR-N 4100 asks for at least."""
        if self.power_factor is not None:
            return self.power_factor
        return self.population.power_factor if isinstance(self.population, OwnPowerFactor) else 0.95


@dataclass(frozen=True)
class Fleet:
    """N households over T control steps."""

    dt_h: float
    base_kw: Float[np.ndarray, "steps households"]
    base_kvar: Float[np.ndarray, "steps households"]
    tariff_eur_per_kwh: Float[np.ndarray, "steps_and_day"]
    """What energy costs in every step and in the day after the last."""
    groups: tuple[DeviceGroup, ...]

    def __post_init__(self) -> None:
        assert self.tariff_eur_per_kwh.size == self.n_steps + outlook_steps(self.dt_h)

    @cached_property
    def tariff_view(self) -> TariffView:
        """What the homes see of the tariff in every step; one column, the same for all."""
        return tariff_view(self.tariff_eur_per_kwh[:, None], n_steps=self.n_steps, dt_h=self.dt_h)

    @property
    def final_energy_price_eur_per_kwh(self) -> float:
        """Mean tariff of the day after the horizon: what energy is worth that is owed at the end."""
        return float(self.tariff_eur_per_kwh[self.n_steps :].mean())

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self.base_kw.shape[0])

    @property
    def n_households(self) -> int:
        """N."""
        return int(self.base_kw.shape[1])

    @cached_property
    def device_of(self) -> tuple[Int[np.ndarray, "households"], ...]:
        """Per group, the device of each household, -1 where it owns none."""
        numbers = []
        for group in self.groups:
            number = np.full(self.n_households, -1)
            number[group.household] = np.arange(group.household.size)
            numbers.append(number)
        return tuple(numbers)

    def init(self) -> FleetState:
        """Before the first step."""
        return FleetState(tuple(g.device.init(g.drive.at(0)) for g in self.groups))

    def receive(self, state: FleetState, step: int) -> FleetState:
        """Once the step's news has arrived: cars have plugged in, demand has joined the queues."""
        return FleetState(
            tuple(
                g.device.receive(s, g.drive.at(step)) for g, s in zip(self.groups, state.devices, strict=True)
            )
        )

    def step(
        self, state: FleetState, powers_kw: Sequence[Tensor], step: int
    ) -> tuple[FleetState, tuple[Outputs, ...]]:
        """Let every group draw its powers for one step."""
        results = [
            g.device.step(s, p, g.drive.at(step))
            for g, s, p in zip(self.groups, state.devices, powers_kw, strict=True)
        ]
        return FleetState(tuple(after for after, _ in results)), tuple(out for _, out in results)

    def uncontrolled_kw(self, state: FleetState, step: int) -> tuple[Tensor, ...]:
        """What every group draws when nobody controls it."""
        return tuple(
            g.device.uncontrolled_kw(s, g.drive.at(step))
            for g, s in zip(self.groups, state.devices, strict=True)
        )

    def uncontrolled_run(
        self,
    ) -> tuple[tuple[Float[np.ndarray, "steps _devices"], ...], Float[np.ndarray, "steps households"]]:
        """What the devices draw, per group, when nobody controls them; and the least that homes may draw.

        The second is net power, kW: below zero where a home could feed in.
        """
        drawn_kw = tuple(np.empty((self.n_steps, group.household.size)) for group in self.groups)
        lowest_kw = self.base_kw.copy()
        state = self.init()
        for step in range(self.n_steps):
            state = self.receive(state, step)
            powers = self.uncontrolled_kw(state, step)
            for group, devices, all_kw, now_kw in zip(
                self.groups, state.devices, drawn_kw, powers, strict=True
            ):
                all_kw[step] = now_kw.numpy()
                lowest_kw[step, group.household] += group.device.bounds(devices, group.drive.at(step))[
                    0
                ].numpy()
            state, _ = self.step(state, powers, step)
        return drawn_kw, lowest_kw

    def terminal_cost_eur(self, state: FleetState, step: int) -> tuple[Tensor, ...]:
        """Cost of the state that leaves the horizon after `step`, per group and device."""
        return self._terminal_cost_eur(state, step, self.final_energy_price_eur_per_kwh)

    def terminal_cost_without_energy_eur(self, state: FleetState, step: int) -> tuple[Tensor, ...]:
        """The same if energy cost nothing: delay, discomfort and undelivered energy, never negative."""
        return self._terminal_cost_eur(state, step, 0.0)

    def _terminal_cost_eur(self, state: FleetState, step: int, price: float) -> tuple[Tensor, ...]:
        return tuple(
            g.device.terminal_cost_eur(
                s, g.drive.at(step), torch.full((g.device.n_devices,), price, dtype=torch.float64)
            )
            for g, s in zip(self.groups, state.devices, strict=True)
        )

    def flex_kw(self, powers_kw: Sequence[Tensor]) -> Float[np.ndarray, "households"]:
        """Flexible power per household."""
        total = np.zeros(self.n_households)
        for group, power in zip(self.groups, powers_kw, strict=True):
            total[group.household] += power.numpy()
        return total

    def flex_kvar(self, powers_kw: Sequence[Tensor]) -> Float[np.ndarray, "households"]:
        """Reactive power of the flexible devices per household: inductive, whichever way energy flows."""
        total = np.zeros(self.n_households)
        for group, power in zip(self.groups, powers_kw, strict=True):
            total[group.household] += group.kvar_per_kw * np.abs(power.numpy())
        return total


def seeded(seed: int, purpose: str) -> np.random.SeedSequence:
    """A stream of its own for every purpose, so that adding one leaves the others as they were."""
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])


def torch_generator(seed: int, purpose: str) -> torch.Generator:
    """The torch generator of a purpose."""
    return torch.Generator().manual_seed(int(seeded(seed, purpose).generate_state(1, np.uint64)[0] >> 1))


def draw_fleet(
    *,
    base_kw: Float[np.ndarray, "steps households"],
    base_kvar: Float[np.ndarray, "steps households"],
    tariff_eur_per_kwh: Float[np.ndarray, "steps_and_day"],
    ownership: Mapping[str, Ownership],
    outdoor_c: Float[np.ndarray, "steps_and_outlook"],
    dt_h: float,
    start_hour: float,
    seed: int,
    sky: Sky | None = None,
) -> Fleet:
    """Draw who owns what, the devices' parameters, and what happens to them.

    `ownership` is by kind. The draws of one kind do not depend on the other kinds, except who owns one that
    stands instead of another (`InsteadOfAnother`). Raises `ProfileError` where a
    kind is driven by the sun and no `sky` is given.
    """
    n_steps, n_households = base_kw.shape

    def known_sky() -> Sky:
        if sky is None:
            raise ProfileError(
                "weather", "holds no irradiance, which photovoltaics need", remedy="Give draw_fleet a `sky`"
            )
        return sky

    weather = torch.as_tensor(outdoor_c, dtype=torch.float64)[:, None]
    groups = []
    for kind, owned in ownership.items():
        drawn = draw_devices(kind, owned, n_households, dt_h=dt_h, seed=seed, beside=ownership)
        if drawn is None:
            continue
        household, device = drawn
        drive = drive_of(
            owned.population_of(household),
            device,
            n_steps=n_steps,
            start_hour=start_hour,
            outdoor_c=weather,
            sky=known_sky,
            generator=torch_generator(seed, f"what happens to {kind}"),
        )
        groups.append(DeviceGroup(kind, device, household, drive, owned.usual_power_factor))
    return Fleet(dt_h, base_kw, base_kvar, tariff_eur_per_kwh, tuple(groups))


def draw_devices(
    kind: str,
    owned: Ownership,
    n_households: int,
    *,
    dt_h: float,
    seed: int,
    beside: Mapping[str, Ownership] = MappingProxyType({}),
) -> tuple[Int[np.ndarray, "devices"], Device] | None:
    """The households that own a device of the kind, and their devices; None where nobody does.

    `beside` is what households own besides, by kind.
    """
    household = np.flatnonzero(_owners(kind, owned, n_households, seed, beside))
    if household.size == 0:
        return None
    generator = torch_generator(seed, f"devices of {kind}")
    population = owned.population_of(household)
    device = population.sample(household.size, dt_h=dt_h, generator=generator)
    return household, device_with(device, population.kind, owned.given_of(household))


def _owners(
    kind: str, owned: Ownership, n_households: int, seed: int, beside: Mapping[str, Ownership]
) -> Bool[np.ndarray, "households"]:
    if isinstance(owned.owners, np.ndarray):
        return owned.owners
    order = np.random.default_rng(seeded(seed, f"owners of {kind}")).permutation(n_households)
    if isinstance(owned.population, InsteadOfAnother) and owned.population.instead_of in beside:
        other = owned.population.instead_of
        has_other = _owners(other, beside[other], n_households, seed, beside)
        order = np.argsort(np.argsort(order + n_households * has_other))
    return np.asarray(order < round(owned.owners * n_households))
