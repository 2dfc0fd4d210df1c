"""Training recipes: a TOML file beside each checkpoint says how it was made."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from grid_cosim.devices import DeferrablePopulation, HeatPumpPopulation, Population, VehiclePopulation
from grid_cosim.errors import GridCosimError, near_matches
from grid_cosim.policies.network import NetworkConfig

POPULATIONS: dict[str, type] = {
    "electric_vehicle": VehiclePopulation,
    "heat_pump": HeatPumpPopulation,
    "deferrable": DeferrablePopulation,
}


class RecipeError(GridCosimError):
    """A recipe, or a device in it, that cannot be followed."""

    def __init__(self, path: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"Recipe {path}: {problem}")


@dataclass(frozen=True)
class Recipe:
    """All that decides what a training gives, besides the versions of the code and of torch."""

    device: str
    """A shipped kind, or `package.module:Population` for a device of one's own."""
    seed: int = 0
    updates: int = 1400
    """Gradient updates."""
    devices_per_update: int = 384
    """Fresh devices, each with its own price process, per update."""
    hours: float = 48.0
    """Length of an episode."""
    dt_h: float = 0.25
    learning_rate: float = 3e-3
    """Peak of the one-cycle schedule."""
    energy_price_eur_per_kwh: float = 0.30
    price_weight_offset: float = 0.03
    """A sample weighs 1 / (this + its mean price in EUR/kWh), so that dear prices do not drown cheap ones."""
    hidden: tuple[int, ...] = (64, 64)
    n_ramps: int = 16
    price_scale_eur_per_kwh: float = 0.01
    price_max_eur_per_kwh: float = 2.0
    outdoor_c: tuple[float, float] = (-14.0, 15.0)
    """Range of an episode's mean outdoor temperature."""
    population: dict[str, Any] = field(default_factory=dict)
    """Overrides of the population's defaults, wider than any one scenario."""

    def make_population(self) -> Population:
        """The population that the recipe names, with its overrides."""
        return population_class(self.device)(**self.population)  # type: ignore[no-any-return]

    def network(self, n_features: int) -> NetworkConfig:
        """The network's size for a device with that many features."""
        return NetworkConfig(
            n_features=n_features,
            hidden=self.hidden,
            n_ramps=self.n_ramps,
            price_scale_eur_per_kwh=self.price_scale_eur_per_kwh,
            price_max_eur_per_kwh=self.price_max_eur_per_kwh,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in the TOML file and in the checkpoint."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def population_class(device: str) -> type:
    """The population of a shipped kind, or the class that `package.module:Population` names."""
    if device in POPULATIONS:
        return POPULATIONS[device]
    module, colon, name = device.partition(":")
    if not colon:
        raise RecipeError(
            "device",
            f"{device!r} is no device.{near_matches(device, POPULATIONS)} Known: {', '.join(POPULATIONS)}; "
            "or package.module:Population for your own.",
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RecipeError("device", f"{device!r} cannot be imported: {error}.") from error
    if not (isinstance(found, type) and is_dataclass(found)):
        raise RecipeError("device", f"{device!r} is no dataclass; see the documentation of Population.")
    return found


def population_problems(device: str, given: Mapping[str, Any]) -> list[str]:
    """What is wrong with overrides of a population's fields, each as `field: problem`."""
    cls = population_class(device)
    known = {f.name: f.default for f in fields(cls)}
    problems = []
    for name, value in given.items():
        if name not in known:
            problems.append(f"{name}: no such setting.{near_matches(name, known)} Known: {', '.join(known)}")
        elif isinstance(known[name], float) and (
            not isinstance(value, int | float) or isinstance(value, bool)
        ):
            problems.append(f"{name}: got {value!r}, expected a number")
        elif isinstance(value, int | float) and value < 0 and not name.endswith("_c"):
            problems.append(f"{name}: got {value!r}, expected no negative number")
    return problems


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; every problem is reported at once."""
    if not path.is_file():
        raise RecipeError(str(path), "no such file")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(str(path), f"not valid TOML: {error}") from error
    known = {f.name: f for f in fields(Recipe)}
    problems = [f"{key}: no such setting.{near_matches(key, known)}" for key in raw if key not in known]
    if "device" not in raw:
        problems.append("device: missing, expected a kind of device")
    for key, value in raw.items():
        default = getattr(Recipe, key, None)
        if isinstance(default, float) and isinstance(value, int):
            raw[key] = float(value)
        elif default is not None and key in known and not isinstance(default, tuple):
            if type(value) is not type(default):
                problems.append(f"{key}: got {value!r}, expected {type(default).__name__}")
        elif isinstance(value, list):
            raw[key] = tuple(value)
    if not problems:
        given = raw.get("population", {})
        problems += [f"population.{p}" for p in population_problems(raw["device"], given)]
    if problems:
        raise RecipeError(str(path), "; ".join(problems))
    return Recipe(**raw)
