"""Training recipes: a TOML file beside each checkpoint says how it was made."""

from __future__ import annotations

import importlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from grid_cosim.devices import (
    BatteryPopulation,
    DeferrablePopulation,
    HeatPumpPopulation,
    Population,
    PvPopulation,
    SunlitPopulation,
    V2GPopulation,
    VehiclePopulation,
    WaterHeaterPopulation,
)
from grid_cosim.devices.device import LEVEL_NAMES, TWO_WAY_NAMES
from grid_cosim.errors import GridCosimError, folder_instead, near_matches, not_toml
from grid_cosim.kinds import DEVICE_KINDS, no_such_device
from grid_cosim.policies.network import NetworkConfig

POPULATIONS: dict[str, type] = dict(
    zip(
        DEVICE_KINDS,
        (
            VehiclePopulation,
            HeatPumpPopulation,
            DeferrablePopulation,
            WaterHeaterPopulation,
            BatteryPopulation,
            PvPopulation,
            V2GPopulation,
        ),
        strict=True,
    )
)


Method = Literal["dynamics", "ppo"]
METHODS: tuple[Method, ...] = get_args(Method)


class RecipeError(GridCosimError):
    """A recipe, or a device in it, that cannot be followed."""

    def __init__(self, path: str, problem: str) -> None:
        self.problem = problem
        super().__init__(f"Recipe {path}: {problem}")


@dataclass(frozen=True)
class PpoSettings:
    """How the method "ppo" learns from a batch of episodes."""

    clip: float = 0.2
    """The probability of an action may change by this factor, up or down, before an update loses interest."""
    epochs: int = 2
    """How often each decision is learned from."""
    minibatch: int = 2048
    """Decisions per gradient step."""
    gae_lambda: float = 0.8
    """Nearer to 1, advantages trust the critic less and what happened in the episode more."""
    exploration: float = 3.0
    """First spread of the activation; the power range is open from about -5 to 5."""
    critic_hidden: tuple[int, ...] = (128, 128)
    """Widths of the critic's hidden layers."""


@dataclass(frozen=True)
class PrivateSettings:
    """What is done differently where every home trains a policy of its own: it is small and soon trained."""

    updates: int = 400
    episodes_per_update: int = 8
    """Of each home, with the same device and another price process."""
    hours: float = 18.0
    """Length of an episode: short, so that there can be many, but a night fits in."""
    learning_rate: float = 4e-3
    hidden: tuple[int, ...] = (32, 32)
    begin: Literal["random", "shared"] = "random"
    """With random weights, or with those of the shared policy beside the recipe, and its size."""


@dataclass(frozen=True)
class Recipe:
    """All that decides what a training gives, besides the versions of the code and of torch."""

    device: str
    """A shipped kind, or `package.module:Population` for a device of one's own."""
    method: Method = "dynamics"
    """Through the device's dynamics, or without its derivatives (needs the extra `[rl]`)."""
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
    state_gradient_limit: float = 30.0
    """What flows back through a device's state is cut to this much per unit of the state, in EUR per day."""
    hidden: tuple[int, ...] = (64, 64)
    n_ramps: int = 16
    price_scale_eur_per_kwh: float = 0.01
    price_max_eur_per_kwh: float = 2.0
    outdoor_c: tuple[float, float] = (-14.0, 15.0)
    """Range of an episode's mean outdoor temperature."""
    recorded_prices: str = ""
    """File of recorded congestion prices, beside the recipe; without it all are invented."""
    recorded_share: float = 0.6
    """Share of the devices that meet recorded prices."""
    negative_share: float = 0.0
    """Share of the devices that meet negative prices, about noon."""
    n_negative_ramps: int = 0
    """Ramps of the response below price zero; without any it is there as at zero."""
    price_min_eur_per_kwh: float = -1.0
    """Lowest price that the training shows, if it shows negative ones."""
    full_price: bool = False
    """The ramps stand over the whole price of energy, not over what it is above the day's lowest."""
    ppo: PpoSettings = field(default_factory=PpoSettings)
    """How `method = "ppo"` learns."""
    private: PrivateSettings = field(default_factory=PrivateSettings)
    """What `grid-cosim train --homes` does differently."""
    population: dict[str, Any] = field(default_factory=dict)
    """Overrides of the population's defaults, wider than any one scenario."""

    def make_population(self) -> Population | SunlitPopulation:
        """The population that the recipe names, with its overrides."""
        return population_class(self.device)(**self.population)

    def network(self, feature_names: Sequence[str]) -> NetworkConfig:
        """The network's size, and what it stands for, for a device with these features."""
        names = tuple(feature_names)
        # PPO explores by disturbing the activation, which the next step would bring back to the level
        stores = self.method == "dynamics"
        two_way = stores and names[: len(TWO_WAY_NAMES)] == TWO_WAY_NAMES
        return NetworkConfig(
            n_features=len(names),
            levels=two_way or (stores and names[:2] == LEVEL_NAMES),
            two_way=two_way,
            hidden=self.hidden,
            n_ramps=self.n_ramps,
            price_scale_eur_per_kwh=self.price_scale_eur_per_kwh,
            price_max_eur_per_kwh=self.price_max_eur_per_kwh,
            n_negative_ramps=self.n_negative_ramps,
            price_min_eur_per_kwh=self.price_min_eur_per_kwh,
            full_price=self.full_price and not two_way,  # a store's terms of trade know the floor
        )

    def for_homes(self, population: Mapping[str, Any]) -> Recipe:
        """The recipe by which a home trains alone, if `population` says how its device is used.

        `devices_per_update` are then episodes of the one device.
        """
        return replace(
            self,
            updates=self.private.updates,
            devices_per_update=self.private.episodes_per_update,
            hours=self.private.hours,
            learning_rate=self.private.learning_rate,
            hidden=self.private.hidden,
            population=dict(population),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in the TOML file and in the checkpoint; without what is not used."""
        plain = asdict(self, dict_factory=_plain)
        unused = set() if self.method == "ppo" else {"method", "ppo"}
        unused |= {"private"} if self.private == PrivateSettings() else set()
        if not (self.negative_share or self.n_negative_ramps):
            unused |= {"negative_share", "n_negative_ramps", "price_min_eur_per_kwh"}
        unused |= set() if self.full_price else {"full_price"}
        return {key: value for key, value in plain.items() if key not in unused}


_TABLES: dict[str, type] = {"ppo": PpoSettings, "private": PrivateSettings}
_CHOICES: dict[str, tuple[str, ...]] = {"method": METHODS, "begin": ("random", "shared")}


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in items}


def population_class(device: str) -> type:
    """The population of a shipped kind, or the class that `package.module:Population` names."""
    if device in POPULATIONS:
        return POPULATIONS[device]
    unknown = no_such_device(device)
    if unknown:
        raise RecipeError("device", unknown)
    module, _, name = device.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RecipeError(
            "device", f"{device!r} cannot be imported: {error}. Install it, or name its folder in PYTHONPATH."
        ) from error
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
        elif isinstance(value, float) and not math.isfinite(value):
            problems.append(f"{name}: got {value!r}, expected a finite number")
        elif isinstance(value, int | float) and value < 0 and not name.endswith("_c"):
            problems.append(f"{name}: got {value!r}, expected no negative number")
        elif isinstance(value, int | float) and value > 1 and ("share" in name or "probability" in name):
            problems.append(f"{name}: got {value!r}, expected at most 1")
    return problems


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; every problem is reported at once."""
    if not path.is_file():
        raise RecipeError(
            str(path), f"{folder_instead(path)}. Give a TOML file such as policies/heat_pump.toml."
        )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(str(path), f"{not_toml(error)}.") from error
    problems = _problems(Recipe, raw)
    tables = {name: table for name, table in _TABLES.items() if isinstance(raw.get(name), dict)}
    for name, table in tables.items():
        problems += [f"{name}.{problem}" for problem in _problems(table, raw[name])]
    if "device" not in raw:
        problems.append(
            f"device: missing, expected one of {', '.join(POPULATIONS)}, or package.module:Population"
        )
    if not problems:
        problems += _short_episodes(raw)
        try:
            found = population_problems(raw["device"], raw.get("population", {}))
            problems += [f"population.{problem}" for problem in found]
        except RecipeError as error:
            problems.append(f"device: {error.problem}")
    if problems:
        raise RecipeError(str(path), "; ".join(sorted(problems)))
    settings = {key: _converted(Recipe, key, value) for key, value in raw.items()}
    for name, table in tables.items():
        settings[name] = table(**{key: _converted(table, key, value) for key, value in raw[name].items()})
    return Recipe(**settings)


def _problems(section: type, raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with the settings of a recipe or of a table in it, each as `setting: problem`."""
    known = [f.name for f in fields(section)]
    problems = [f"{key}: no such setting.{near_matches(key, known)}" for key in raw if key not in known]
    for key in raw.keys() & set(known):
        expected = _expected(section, key, raw[key])
        if expected:
            problems.append(f"{key}: got {raw[key]!r}, expected {expected}")
    return problems


def _short_episodes(raw: Mapping[str, Any]) -> list[str]:
    """Episodes without a single control step."""
    dt_h = raw.get("dt_h", Recipe.dt_h)
    lengths = {
        "hours": raw.get("hours", Recipe.hours),
        "private.hours": raw.get("private", {}).get("hours", PrivateSettings.hours),
    }
    return [
        f"{key}: got {hours!r}, expected at least a control step, dt_h = {dt_h!r}"
        for key, hours in lengths.items()
        if hours < dt_h
    ]


def _converted(section: type, key: str, value: Any) -> Any:
    """TOML's lists are our tuples, and its whole numbers will do where a setting is none."""
    if isinstance(value, list):
        return tuple(float(item) if key == "outdoor_c" else item for item in value)
    return float(value) if isinstance(getattr(section, key, None), float) else value


def _expected(section: type, key: str, value: Any) -> str:
    """What a setting should be instead; nothing where the value will do."""
    if key == "population" or key in _TABLES:
        fits, expected = isinstance(value, dict), "a table"
    elif key in ("device", "recorded_prices"):
        fits, expected = isinstance(value, str), "text"
    elif key in _CHOICES:
        fits, expected = value in _CHOICES[key], " or ".join(f"'{choice}'" for choice in _CHOICES[key])
    elif key in ("hidden", "critic_hidden"):
        fits = isinstance(value, list) and bool(value) and all(_is_count(width, 1) for width in value)
        expected = "a list of whole numbers above 0"
    elif key == "outdoor_c":
        pair = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
        fits, expected = pair and value[0] <= value[1], "[lowest, highest]"
    elif key == "dt_h":
        fits = (
            _is_number(value) and 0 < value <= 1 and math.isclose(1 / value, round(1 / value), rel_tol=1e-5)
        )
        expected = "an hour or an equal part of one, such as 0.25"
    elif key == "full_price":
        fits, expected = isinstance(value, bool), "true or false"
    elif key == "price_min_eur_per_kwh":
        fits, expected = _is_number(value) and value < 0, "a number below 0"
    elif key in ("recorded_share", "negative_share"):
        fits, expected = _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"
    elif key in ("clip", "gae_lambda"):
        fits, expected = _is_number(value) and 0 < value <= 1, "a number above 0, at most 1"
    elif isinstance(getattr(section, key), int):
        least = 0 if key in ("seed", "n_negative_ramps") else 1
        fits, expected = _is_count(value, least), f"a whole number of at least {least}"
    else:
        fits, expected = _is_number(value) and value > 0, "a number above 0"
    return "" if fits else expected


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
