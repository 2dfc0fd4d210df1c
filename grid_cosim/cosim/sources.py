"""What the simulators' parameters mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grid_cosim.errors import CosimError, near_matches
from grid_cosim.scenario import CONTROLLERS, ControllerName, Scenario, load_scenario


def read_scenario(scenario: Scenario | Path | str, overrides: Sequence[str] = ()) -> Scenario:
    """The scenario itself, or that of a file with `path.to.field=value` overrides."""
    if not isinstance(scenario, Scenario):
        return load_scenario(scenario, tuple(overrides))
    if overrides:
        raise CosimError(
            "overrides", "they cannot change a scenario that is an object", remedy="Give the scenario's file"
        )
    return scenario


def controller_name(name: str) -> ControllerName:
    """The controller of that name."""
    for known in CONTROLLERS:
        if name == known:
            return known
    raise CosimError(
        "HouseholdSim",
        f"there is no controller {name!r}.{near_matches(name, CONTROLLERS)}",
        remedy=f"Use one of {', '.join(CONTROLLERS)}",
    )
