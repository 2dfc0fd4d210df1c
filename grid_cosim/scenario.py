"""Scenario files: TOML, validated as a whole, every problem reported at once with its path.

All defaults stand here and nowhere else. Paths in a scenario are relative to its own folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from grid_cosim.coordination import GraphKind
from grid_cosim.errors import ScenarioError, near_matches
from grid_cosim.policies.recipe import RecipeError, population_class, population_problems
from grid_cosim.shipped import shipped

ControllerName = Literal["uncontrolled", "independent", "consensus"]
CONTROLLERS: tuple[ControllerName, ...] = ("uncontrolled", "independent", "consensus")

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

_FIRST_YEAR, _LAST_YEAR = 1900, 2199  # what all libraries can count in


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Time(_Section):
    """When, how long, and in which steps."""

    start: datetime = datetime(2016, 1, 4, 12)
    """Local standard time, without a zone. The year decides about weekdays; the season about loads."""
    hours: Positive = 48.0
    """Length of the horizon in h."""
    step_minutes: Positive = 15.0
    """Length of a control step in min; it must divide an hour and the horizon."""

    @field_validator("start")
    @classmethod
    def _naive(cls, start: datetime) -> datetime:
        if start.tzinfo is not None:
            raise ValueError("expected a local time without a zone")
        if not _FIRST_YEAR <= start.year <= _LAST_YEAR:
            raise ValueError(f"got the year {start.year}, expected {_FIRST_YEAR} to {_LAST_YEAR}")
        return start

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        if 60.0 % self.step_minutes or self.hours * 60.0 % self.step_minutes:
            raise ValueError(
                f"got step_minutes {self.step_minutes:g} with hours {self.hours:g}, expected a step that "
                "divides the hour and the horizon, such as 15"
            )
        return self

    @property
    def dt_h(self) -> float:
        """Length of a control step in h."""
        return self.step_minutes / 60.0

    @property
    def n_steps(self) -> int:
        """Control steps in the horizon."""
        return round(self.hours / self.dt_h)

    @property
    def start_hour(self) -> float:
        """Hour of the day at the start."""
        return self.start.hour + self.start.minute / 60.0

    @property
    def first_quarter(self) -> int:
        """Quarter of an hour of the year at the start: the index of yearly series."""
        return int((self.start - datetime(self.start.year, 1, 1)) / timedelta(minutes=15))

    def times(self) -> list[datetime]:
        """Begin of every control step."""
        return [self.start + timedelta(minutes=self.step_minutes * k) for k in range(self.n_steps)]


class FeederSection(_Section):
    """The network."""

    source: str = "schutterwald:2"
    """A name (`grid-cosim feeders` lists them), `simbench:<code>`, or a pandapower JSON or Excel file."""
    limit_share: Positive = 1.0
    """Share of every transformer's rating that may be used."""


class Homes(_Section):
    """The inflexible load of the households."""

    base_load: str = "simbench"
    """`simbench`: SimBench household shapes, diversified; or a CSV or Parquet file, kW, a column a home."""
    mean_annual_kwh: Positive | None = None
    """Mean yearly consumption of a home; without it that of German households. Only for `simbench`."""


class Weather(_Section):
    """Outdoor temperature."""

    source: str = "try2010_12_mannheim"
    """A shipped test reference year, or a CSV or Parquet file with a column `temperature_c`."""
    shift_k: Annotated[float, Field(ge=-30, le=30)] = 0.0
    """Added to the temperature: how a colder winter is asked for."""


class DeviceSection(_Section):
    """One kind of flexible device."""

    share: Fraction | Literal["network"] = 0.5
    """Share of homes that own one, drawn at random; `network`: the homes that the network gives one."""
    policy: str | None = None
    """A shipped policy's name or a checkpoint file; without it the shipped policy of that kind."""
    population: dict[str, Any] = Field(default_factory=dict)
    """Overrides of how devices and their use are drawn; see the population's fields in the reference."""
    power_factor: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Inductive, at the meter (VDE-AR-N 4100 asks for at least 0.95)."""


class Tariff(_Section):
    """What energy costs."""

    energy_price_eur_per_kwh: Annotated[float, Field(ge=0)] = 0.30
    """The same at all times."""


class Coordination(_Section):
    """How the agents of `consensus` agree on a price."""

    graph: GraphKind = "random_regular"
    """Who talks to whom, behind each limit."""
    degree: Annotated[int, Field(ge=2)] = 4
    """Neighbours of a home in `random_regular` and `small_world`."""
    rewiring: Fraction = 0.2
    """Share of links that `small_world` rewires."""
    edges: str | None = None
    """CSV file with two columns of home names, or `meter`, for the graph `edges`."""
    dual_step: Literal["curve", "newton", "gradient"] = "curve"
    """What neighbours tell each other and what they make of it."""
    mixing: Literal["tracked", "fresh"] = "tracked"
    """Whether what was agreed in earlier steps is kept. The `gradient` step has its own."""
    accelerated: bool = True
    """Chebyshev's weights over the rounds instead of plain ones; not for `gradient` or with outages."""
    startup_rounds: Annotated[int, Field(ge=0)] = 0
    """Rounds of the first exchange of `tracked` mixing, if more than `rounds`; for `gradient` before it."""
    rounds: Annotated[int, Field(ge=1)] = 10
    """Exchanges with the neighbours per dual iteration (K)."""
    dual_iterations: Annotated[int, Field(ge=1)] | None = None
    """Dual iterations, or sweeps of nested limits for `curve`, per control step (D); 1, for `newton` 4."""
    n_prices: Annotated[int, Field(ge=4)] = 64
    """Prices at which `curve` asks, zero included (G)."""
    smallest_price_eur_per_kwh: Positive = 0.002
    """Smallest price above zero at which `curve` asks."""
    largest_price_eur_per_kwh: Positive = 4.0
    """Largest price; the shipped policies postpone all that they can well below it."""
    gradient_step: Positive = 0.02
    """Step of `gradient`, in EUR/kWh per kW (η)."""
    link_outage: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a link is down, both ways, in a round."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.graph == "random_regular" and self.degree < 3:
            raise ValueError(f"got degree {self.degree} for graph 'random_regular', expected at least 3")
        if self.graph == "edges" and self.edges is None:
            raise ValueError("got graph 'edges' without `edges`, expected a CSV file of links")
        if self.smallest_price_eur_per_kwh >= self.largest_price_eur_per_kwh:
            raise ValueError("expected smallest_price_eur_per_kwh below largest_price_eur_per_kwh")
        return self


class PowerFlowSection(_Section):
    """The AC power flow."""

    check_every: Annotated[int, Field(ge=0)] = 32
    """Every so many steps the solution is compared with a plain pandapower run; 0 for never."""
    on_divergence: Literal["stop", "continue"] = "stop"
    """What a step without a solution does; results until then are kept either way."""


class Scenario(_Section):
    """All that decides what a run gives, in the order of a run."""

    title: str = "Unnamed scenario"
    """Heads the report."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of everything random."""
    controllers: Annotated[tuple[ControllerName, ...], Field(min_length=1)] = CONTROLLERS
    """Which controllers run, one after the other, on identical homes, weather and arrivals."""
    time: Time = Time()
    """When, how long, and in which steps."""
    feeder: FeederSection = FeederSection()
    """The network and its limits."""
    homes: Homes = Homes()
    """Inflexible load."""
    weather: Weather = Weather()
    """Outdoor temperature."""
    devices: dict[str, DeviceSection] = Field(default_factory=dict)
    """By kind: `electric_vehicle`, `heat_pump`, `deferrable`, or `package.module:Population`."""
    tariff: Tariff = Tariff()
    """What energy costs."""
    coordination: Coordination = Coordination()
    """How `consensus` agrees."""
    power_flow: PowerFlowSection = PowerFlowSection()
    """How the grid is solved."""

    @field_validator("controllers")
    @classmethod
    def _once(cls, controllers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(controllers)) < len(controllers):
            raise ValueError("expected every controller once")
        return controllers

    def as_toml(self) -> str:
        """The scenario with all its defaults spelled out; loading it gives the same scenario."""
        return tomlkit.dumps(_without_none(self.model_dump(mode="python")))


def load_scenario(path: Path | str, overrides: Sequence[str] = ()) -> Scenario:
    """Read a scenario file; `overrides` are `path.to.field=value`, as after `--set`.

    Raises `ScenarioError` with all problems of the file, each as `path.to.field: got X, expected Y`.
    """
    path = Path(path)
    if not path.suffix and not path.exists():
        path = path.with_suffix(".toml")
    if not path.is_file() and (shipped("scenarios") / path.name).is_file() and len(path.parts) <= 2:
        path = shipped("scenarios") / path.name
    if path.is_dir():
        raise ScenarioError(str(path), ["this is a folder; name the scenario file (.toml) in it"])
    if not path.is_file():
        known = [p.name for p in sorted(shipped("scenarios").glob("*.toml"))]
        raise ScenarioError(str(path), [f"no such file.{near_matches(path.name, known)}"])
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ScenarioError(str(path), [f"not UTF-8 text ({error}); save it as UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(str(path), [f"not valid TOML: {error}"]) from error
    except OSError as error:
        raise ScenarioError(str(path), [f"cannot be read: {error.strerror}"]) from error
    for override in overrides:
        _override(raw, override, str(path))
    return parse_scenario(raw, source=str(path), folder=path.parent)


def parse_scenario(raw: Mapping[str, Any], *, source: str, folder: Path) -> Scenario:
    """Validate a scenario that has been read; relative paths in it are made absolute from `folder`."""
    problems: list[str] = []
    scenario = None
    try:
        scenario = Scenario.model_validate(raw)
    except ValidationError as error:
        problems += _joined(_problem(dict(item), raw) for item in error.errors(include_url=False))
    devices = raw.get("devices", {})
    for kind, section in devices.items() if isinstance(devices, Mapping) else ():
        given = section.get("population", {}) if isinstance(section, Mapping) else {}
        problems += _device_problems(str(kind), given if isinstance(given, Mapping) else {})
    if problems or scenario is None:
        raise ScenarioError(source, problems)
    return _with_absolute_paths(scenario, folder)


def _device_problems(kind: str, population: Mapping[str, Any]) -> list[str]:
    try:
        population_class(kind)
    except RecipeError as error:
        return [f"devices.{kind}: {error.problem}"]
    return [f"devices.{kind}.population.{p}" for p in population_problems(kind, population)]


def _problem(item: dict[str, Any], raw: Mapping[str, Any]) -> str:
    """One validation error in our words."""
    location = tuple(
        part for part in item["loc"] if part not in ("constrained-float", "float", "literal['network']")
    )
    where = ".".join(str(part) for part in location) or "scenario"
    if item["type"] == "extra_forbidden":
        known = _fields_at(location[:-1])
        return f"{where}: no such setting.{near_matches(str(location[-1]), known)} Known: {', '.join(known)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{where}: {message}"
    return f"{where}: got {item['input']!r}, expected {_expectation(message)}"


def _joined(problems: Iterable[str]) -> list[str]:
    """What a setting may be instead, said once: pydantic reports each of several kinds by itself."""
    expected: dict[str, list[str]] = {}
    for problem in problems:
        got, comma, instead = problem.partition(", expected ")
        expected.setdefault(got, []).extend([instead] if comma else [])
    return [got + (", expected " + ", or ".join(kinds) if kinds else "") for got, kinds in expected.items()]


def _expectation(message: str) -> str:
    message = message.partition(", unable to parse")[0].partition(" after validation")[0]
    if message.startswith("Input should be a valid dictionary"):
        return "a section of settings"
    for prefix in ("Input should be ", "Tuple should have ", "Field required"):
        if message.startswith(prefix):
            return message.removeprefix(prefix) or "a value"
    return message


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    model: Any = Scenario
    for part in location:
        if model is Scenario and part == "devices":
            model = {"*": DeviceSection}
        elif isinstance(model, dict):
            model = model["*"]
        else:
            model = model.model_fields[part].annotation
    return list(model.model_fields) if hasattr(model, "model_fields") else []


def _override(raw: dict[str, Any], override: str, source: str) -> None:
    """Write `path.to.field=value` into what was read; the value is TOML, or else a string."""
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise ScenarioError(source, [f"--set {override}: expected path.to.field=value"])
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, field = [part.strip() for part in name.split(".")]
    for part in sections:
        deeper = raw.setdefault(part, {})
        if not isinstance(deeper, dict):
            raise ScenarioError(source, [f"--set {override}: {part!r} is a value, not a section"])
        raw = deeper
    raw[field] = value


def _with_absolute_paths(scenario: Scenario, folder: Path) -> Scenario:
    def resolve(value: str | None) -> str | None:
        if value is None or Path(value).is_absolute() or not (folder / value).is_file():
            return value
        return str((folder / value).resolve())

    def section(model: Any, **values: str | None) -> Any:
        return model.model_copy(update=values)

    devices = {k: section(d, policy=resolve(d.policy)) for k, d in scenario.devices.items()}
    return scenario.model_copy(
        update={
            "feeder": section(scenario.feeder, source=resolve(scenario.feeder.source)),
            "homes": section(scenario.homes, base_load=resolve(scenario.homes.base_load)),
            "weather": section(scenario.weather, source=resolve(scenario.weather.source)),
            "coordination": section(scenario.coordination, edges=resolve(scenario.coordination.edges)),
            "devices": devices,
        }
    )


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return list(value) if isinstance(value, tuple) else value
