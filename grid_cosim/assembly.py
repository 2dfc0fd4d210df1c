"""From a scenario to the objects that run: feeder, homes, agents, graph, meters.

The same scenario and seed give the same homes, weather and arrivals to every controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from grid_cosim.arranging import Rearranging, arrangements
from grid_cosim.demand import Policies
from grid_cosim.device_table import Listed, read_device_table
from grid_cosim.devices import Device, Sky, SunlitPopulation
from grid_cosim.errors import ProfileError, ScenarioError, near_matches
from grid_cosim.events import moving_limits
from grid_cosim.feeder import Feeder, load_feeder
from grid_cosim.fleet import Fleet, Ownership, draw_devices, draw_fleet, seeded
from grid_cosim.limiting import with_limits
from grid_cosim.neighbourhood import Neighbourhood
from grid_cosim.optimum import Schedule
from grid_cosim.policies.checkpoint import load_policy, of_homes, policy_features
from grid_cosim.policies.recipe import population_class
from grid_cosim.profiles import (
    ANNUAL_KWH_MEAN,
    Clock,
    base_load_from_file,
    energy_price,
    household_base_load,
    outdoor_temperature,
    sky,
)
from grid_cosim.scenario import WITHOUT_POLICIES, ControllerName, Scenario
from grid_cosim.shipped import shipped
from grid_cosim.tariff import outlook_steps, share_of_steps

_OUTLOOK_H = 24.0
"""How far the weather forecast of the heat pumps reaches."""


def scenario_feeder(scenario: Scenario) -> Feeder:
    """The network of a scenario, with its limits."""
    section = scenario.feeder
    feeder = load_feeder(
        section.source,
        limit_share=section.limit_share,
        slack_vm_pu=section.slack_vm_pu,
        unbalanced=section.unbalanced,
        kw_per_home=section.kw_per_home,
    )
    return with_limits(scenario, feeder, scenario_fleet)


def scenario_fleet(scenario: Scenario, feeder: Feeder) -> Fleet:
    """The homes of a scenario, and what happens to them."""
    time = scenario.time
    base_kw, base_kvar = _base_load(scenario, feeder)
    outdoor_c = outdoor_temperature(
        scenario.weather.source,
        start=time.start,
        n_steps=time.n_steps,
        dt_h=time.dt_h,
        lookahead_steps=round(_OUTLOOK_H / time.dt_h),
        clock=Clock.of(time.timezone),
    )
    ownership = _ownerships(scenario, feeder)
    return draw_fleet(
        base_kw=base_kw,
        base_kvar=base_kvar,
        tariff_eur_per_kwh=scenario_tariff(scenario),
        ownership=ownership,
        outdoor_c=outdoor_c + scenario.weather.shift_k,
        dt_h=time.dt_h,
        start_hour=time.start_hour,
        seed=scenario.seed,
        sky=_sky(scenario) if any(_is_sunlit(owned) for owned in ownership.values()) else None,
    )


def _is_sunlit(owned: Ownership) -> bool:
    return isinstance(owned.population, SunlitPopulation)


def _sky(scenario: Scenario) -> Sky:
    """Irradiance and sun over the horizon, one column for all homes."""
    time, weather = scenario.time, scenario.weather
    at_steps = sky(
        weather.source,
        start=time.start,
        n_steps=time.n_steps,
        dt_h=time.dt_h,
        latitude_deg=weather.latitude_deg,
        longitude_deg=weather.longitude_deg,
        clock=Clock.of(time.timezone),
    )
    columns = (at_steps.direct_w_per_m2, at_steps.diffuse_w_per_m2, *at_steps.sun)
    return Sky(*(torch.as_tensor(column)[:, None] for column in columns))


def scenario_tariff(scenario: Scenario) -> Float[np.ndarray, "steps_and_day"]:
    """What energy costs in every step of a scenario and in the day after the last, in EUR/kWh."""
    time, tariff = scenario.time, scenario.tariff
    n_steps, dt_h = time.n_steps + outlook_steps(time.dt_h), time.dt_h
    if tariff.source is not None:
        return energy_price(
            tariff.source,
            start=time.start,
            n_steps=time.n_steps,
            dt_h=dt_h,
            lookahead_steps=n_steps - time.n_steps,
            clock=Clock.of(time.timezone),
        )
    price, otherwise = np.zeros(n_steps), np.ones(n_steps)
    for period in tariff.periods:
        share = share_of_steps(
            period.from_hour, period.to_hour, start_hour=time.start_hour, n_steps=n_steps, dt_h=dt_h
        )
        price += share * period.price_eur_per_kwh
        otherwise -= share
    return price + otherwise * tariff.energy_price_eur_per_kwh


def assemble(
    scenario: Scenario,
    feeder: Feeder,
    controller: ControllerName,
    *,
    fleet: Fleet | None = None,
    schedule: Schedule | None = None,
) -> Neighbourhood:
    """The neighbourhood of a scenario under one controller.

    `fleet` where it has been drawn before, `schedule` where the optimum's has been found before.
    """
    fleet = scenario_fleet(scenario, feeder) if fleet is None else fleet
    moving = moving_limits(scenario, feeder)
    first, *later = arrangements(scenario, feeder, controller, fleet, moving, schedule=schedule)
    return Neighbourhood(
        household_names=feeder.home_names,
        connection=feeder.home_connection,
        connection_buses=feeder.connection_buses,
        limit_names=feeder.limits.names,
        gauges=first.gauges,
        moving=moving,
        fleet=fleet,
        policies={}
        if controller in WITHOUT_POLICIES
        else scenario_policies(scenario, fleet, feeder.home_names),
        copies=first.copies,
        meters=first.meters,
        controller=first.controller,
        later=tuple(later),
        rearranged_by=Rearranging(scenario, feeder, controller),
    )


def scenario_policies(scenario: Scenario, fleet: Fleet, home_names: Sequence[str]) -> Policies:
    """The policies of a scenario by kind of device, private ones in the order of the fleet's devices."""
    policies = {}
    for group in fleet.groups:
        path = policy_path(group.kind, scenario.devices[group.kind].policy)
        features = policy_features(group.device)
        policy = load_policy(path, kind=_policy_kind(group.kind), feature_names=features)
        homes = [home_names[row] for row in group.household]
        policies[group.kind] = of_homes(policy, homes, group.device, path)
    return policies


def scenario_devices(
    scenario: Scenario, feeder: Feeder, kind: str, *, dt_h: float
) -> tuple[tuple[str, ...], Device]:
    """Names of the homes that own a device of the kind, and their devices for steps of `dt_h`."""
    drawn = None
    if kind in scenario.devices:
        beside = _ownerships(scenario, feeder)
        drawn = draw_devices(
            kind, beside[kind], feeder.n_households, dt_h=dt_h, seed=scenario.seed, beside=beside
        )
    if drawn is None:
        raise ScenarioError(
            scenario.source, [f"devices.{kind}: no home has one; say so, with a share large enough"]
        )
    household, device = drawn
    return tuple(feeder.home_names[row] for row in household), device


def policy_path(kind: str, policy: str | None) -> Path:
    """The checkpoint that a scenario's `policy` means: a shipped name, or a file."""
    name = _policy_kind(kind) if policy is None else policy
    return Path(name) if Path(name).suffix else shipped("policies") / f"{name}.safetensors"


def _policy_kind(kind: str) -> str:
    """What the policies of a device section are bound to; a class of one's own names it itself."""
    return str(population_class(kind)().kind)


def _base_load(scenario: Scenario, feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    time, homes = scenario.time, scenario.homes
    if homes.base_load != "simbench":
        if not Path(homes.base_load).suffix and not Path(homes.base_load).exists():
            raise ProfileError(
                homes.base_load,
                "is neither a file nor 'simbench'",
                remedy=f"Correct homes.base_load.{near_matches(homes.base_load, ['simbench'])}",
            )
        return base_load_from_file(
            homes.base_load,
            feeder.home_names,
            start=time.start,
            n_steps=time.n_steps,
            dt_h=time.dt_h,
            clock=Clock.of(time.timezone),
        )
    base_kw, base_kvar = household_base_load(
        n_households=feeder.n_households,
        # H0-A looks electrically heated, which is the heat pumps' part here
        shapes=[None if shape == "H0-A" else shape for shape in feeder.profile],
        start=time.start,
        n_steps=time.n_steps,
        dt_h=time.dt_h,
        generator=np.random.default_rng(seeded(scenario.seed, "base load")),
    )
    scale = 1.0 if homes.mean_annual_kwh is None else homes.mean_annual_kwh / ANNUAL_KWH_MEAN
    return scale * base_kw, scale * base_kvar


def _ownerships(scenario: Scenario, feeder: Feeder) -> dict[str, Ownership]:
    """What the homes of a scenario own, by kind."""
    table = _device_table(scenario, feeder)
    return {kind: _ownership(kind, scenario, feeder, table.get(kind)) for kind in scenario.devices}


def _device_table(scenario: Scenario, feeder: Feeder) -> dict[str, Listed]:
    """What the table of devices says of the kinds that the scenario leaves to it."""
    kinds = [kind for kind, section in scenario.devices.items() if section.share == "table"]
    path = scenario.homes.devices
    if path is None and not kinds:
        return {}
    if not kinds:
        raise ScenarioError(
            feeder.source,
            ['homes.devices: no kind has share = "table", expected a section [devices.<kind>] that says so'],
        )
    if path is None:
        raise ScenarioError(
            feeder.source, [f'devices.{kinds[0]}.share: got "table" without homes.devices, expected its file']
        )
    return read_device_table(path, feeder.home_names, kinds)


def _ownership(kind: str, scenario: Scenario, feeder: Feeder, listed: Listed | None) -> Ownership:
    section = scenario.devices[kind]
    population = population_class(kind)(**section.population)
    if listed is not None:
        return Ownership(population, listed.owners, section.power_factor, listed.given)
    assert section.share != "table", "what is left to the table is listed"
    if section.share != "network":
        return Ownership(population, section.share, section.power_factor)
    if feeder.has_heat_pump is None or kind != "heat_pump":
        knows = "has no heat pumps of its own" if kind == "heat_pump" else "knows heat pumps only"
        raise ScenarioError(
            scenario.source,
            [f"devices.{kind}.share: got 'network', expected a number, since {feeder.source} {knows}"],
        )
    return Ownership(population, feeder.has_heat_pump, section.power_factor)
