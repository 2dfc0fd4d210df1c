"""One neighbourhood in parts: districts whose agents agree with each other over the links that are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int

from grid_cosim.coordination import CurveStep, DualStep, GradientStep, NewtonStep
from grid_cosim.coordination.border import Post
from grid_cosim.coordination.districts import District, DistrictStep
from grid_cosim.deciding import Priced
from grid_cosim.devices.device import DriveOfRows, rows_of
from grid_cosim.errors import CosimError, near_matches
from grid_cosim.fleet import DeviceGroup, Fleet
from grid_cosim.neighbourhood import Neighbourhood
from grid_cosim.policies.private import PrivateNetworks


def district_of_homes(
    names: Sequence[str], districts: int | Sequence[Sequence[str]]
) -> Int[np.ndarray, " households"]:
    """Which district each home belongs to: equal parts in the order of the homes, or lists of their names.

    Raises `CosimError` for names that are unknown, missing or in two districts.
    """
    if isinstance(districts, int):
        if not 1 <= districts <= len(names):
            raise _refused(f"{len(names)} homes cannot be {districts} districts", "Ask for fewer, 1 or more")
        return np.arange(len(names)) * districts // len(names)
    row, found = {name: i for i, name in enumerate(names)}, np.full(len(names), -1)
    for district, homes in enumerate(districts):
        for name in homes:
            if name not in row:
                raise _refused(
                    f"there is no home {name!r}.{near_matches(name, names)}", "Correct `districts`"
                )
            if found[row[name]] >= 0:
                raise _refused(f"home {name!r} is in two districts", "Name every home once in `districts`")
            found[row[name]] = district
    if (found < 0).any():
        raise _refused(f"home {names[int(np.argmin(found))]!r} is in no district", "Add it to `districts`")
    return found


def district_of_copies(
    whole: Neighbourhood, of_homes: Int[np.ndarray, " households"]
) -> Int[np.ndarray, " copies"]:
    """Which district each node of the whole graph belongs to; a meter stands with its first member."""
    copies = whole.copies
    found = np.where(copies.is_meter, -1, of_homes[copies.household])
    meters = np.flatnonzero(copies.is_meter)
    found[meters] = np.where(np.diff(copies.start) > 1, found[copies.start[:-1]], 0)
    return found


def part(
    whole: Neighbourhood,
    of_homes: Int[np.ndarray, " households"],
    district: int,
    post: Post,
) -> Neighbourhood:
    """One district of a neighbourhood; `post` carries what its nodes tell those of the others.

    Raises `CosimError` where what the neighbourhood does needs more than messages between neighbours.
    """
    households = np.flatnonzero(of_homes == district)
    controller, step = _that_talks(whole)
    of_copies = district_of_copies(whole, of_homes)
    cut = District.of(step.graph, households, of_copies[whole.copies.is_meter] == district, post)
    inner: DualStep = replace(step, graph=cut.graph)
    buses, connection = np.unique(whole.connection_buses[whole.connection[households]], return_inverse=True)
    return Neighbourhood(
        household_names=tuple(whole.household_names[row] for row in households),
        connection=connection,
        connection_buses=buses,
        limit_names=whole.limit_names,
        fleet=_fleet(whole.fleet, households),
        policies=whole.policies,
        copies=cut.copies,
        meters=whole.meters,
        controller=replace(controller, copies=cut.copies, dual_step=DistrictStep(cut, inner)),
        gauges=whole.gauges,
        moving=whole.moving,
    )


def _that_talks(whole: Neighbourhood) -> tuple[Priced, CurveStep | NewtonStep | GradientStep]:
    """The controller and its dual step, if neighbours' messages are all that it needs."""
    controller = whole.controller
    if not isinstance(controller, Priced) or not isinstance(
        controller.dual_step, CurveStep | NewtonStep | GradientStep
    ):
        raise _refused("only the agents of `consensus` agree with each other", "Choose it, or HouseholdSim")
    step = controller.dual_step
    if step.outage is not None:
        raise _refused("links fail in this scenario", "Set coordination.link_outage to 0")
    if whole.later:
        raise _refused("the scenario switches in the grid", "Leave such events away, or use HouseholdSim")
    if not whole.copies.caps.all() or (whole.copies.weight < 0.0).any():
        name = whole.limit_names[int(np.argmin(whole.copies.caps & (whole.copies.senses > 0.0)))]
        raise _refused(
            f"{name} limits a voltage, generation or one of several parallel branches",
            "Keep to limits that carry all consumption of the homes behind them, or use HouseholdSim",
        )
    if any(isinstance(policy.network, PrivateNetworks) for policy in whole.policies.values()):
        raise _refused("the policies are private ones", "Use policies that serve any home")
    return controller, step


def _fleet(fleet: Fleet, households: Int[np.ndarray, " homes"]) -> Fleet:
    """What happens to some of the households."""
    groups = []
    for group, device_of in zip(fleet.groups, fleet.device_of, strict=True):
        devices = device_of[households]
        rows = torch.as_tensor(devices[devices >= 0])
        if rows.numel():
            n_devices = group.household.size
            groups.append(
                DeviceGroup(
                    kind=group.kind,
                    device=rows_of(group.device, rows, n_devices),
                    household=np.flatnonzero(devices >= 0),
                    drive=DriveOfRows(group.drive, rows, n_devices),
                    power_factor=group.power_factor,
                )
            )
    return Fleet(
        fleet.dt_h,
        fleet.base_kw[:, households],
        fleet.base_kvar[:, households],
        fleet.tariff_eur_per_kwh,
        tuple(groups),
    )


def _refused(problem: str, remedy: str) -> CosimError:
    return CosimError("DistrictSim", problem, remedy=remedy)
