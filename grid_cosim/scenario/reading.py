"""Read a scenario file: every problem of it is reported at once, with its path."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from grid_cosim.errors import ScenarioError, near_matches, not_toml
from grid_cosim.kinds import DEVICE_KINDS, no_such_device
from grid_cosim.scenario.sections import DeviceSection, Scenario
from grid_cosim.shipped import shipped


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
        beside = path.parent.glob("*.toml") if path.parent.is_dir() else ()
        known = sorted({p.name for p in (*beside, *shipped("scenarios").glob("*.toml"))})
        raise ScenarioError(str(path), [f"no such file.{near_matches(path.name, known)}"])
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        kind = "" if path.suffix == ".toml" else "; a scenario is a file that ends in .toml"
        raise ScenarioError(str(path), [not_toml(error) + kind]) from error
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
    return _with_absolute_paths(scenario.read_from(source), folder)


def _device_problems(kind: str, population: Mapping[str, Any]) -> list[str]:
    unknown = no_such_device(kind)
    if unknown:
        return [f"devices.{kind}: {unknown}"]
    if kind in DEVICE_KINDS and not population:
        return []
    from grid_cosim.policies.recipe import RecipeError, population_problems  # torch: seconds

    try:
        return [f"devices.{kind}.population.{problem}" for problem in population_problems(kind, population)]
    except RecipeError as error:
        return [f"devices.{kind}: {error.problem}"]


def _problem(item: dict[str, Any], raw: Mapping[str, Any]) -> str:
    """One validation error in our words."""
    location = tuple(
        part
        for part in item["loc"]
        if part not in ("constrained-float", "float", "literal['network','table']")
    )
    where = ".".join(str(part) for part in location) or "scenario"
    if item["type"] == "extra_forbidden":
        known = _fields_at(location[:-1])
        return f"{where}: no such setting.{near_matches(str(location[-1]), known)} Known: {', '.join(known)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{where}: {message}"
    if item["type"] == "tuple_type":
        headed = isinstance(item["input"], Mapping)
        instead = f"a list; each of its sections is headed [[{where}]]" if headed else "a list, in brackets"
        return f"{where}: got {item['input']!r}, expected {instead}"
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
    if message.startswith("Input should be a valid datetime"):
        return "a date and a time such as 2016-01-04T12:00:00"
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
        elif isinstance(part, int):
            model = get_args(model)[0]
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
    parts = [part.strip() for part in name.split(".")]
    at: Any = raw
    for k, part in enumerate(parts):
        key: Any = part
        if isinstance(at, list):
            key = _position(at, part, source, f"--set {override}: {'.'.join(parts[:k])!r}")
        elif not isinstance(at, dict):
            raise ScenarioError(source, [f"--set {override}: {parts[k - 1]!r} is a value, not a section"])
        elif part not in at and k + 1 < len(parts):
            if parts[k + 1].isdigit():
                raise ScenarioError(
                    source, [f"--set {override}: {part!r} has no entries; write one in the file"]
                )
            at[part] = {}
        if k + 1 == len(parts):
            at[key] = value
        at = at[key]


def _position(entries: list[Any], part: str, source: str, where: str) -> int:
    """Which entry of a list is meant."""
    if part.isdigit() and int(part) < len(entries):
        return int(part)
    counted = f"its entries are counted 0 to {len(entries) - 1}" if entries else "it has no entries"
    counted = "it has only entry 0" if len(entries) == 1 else counted
    raise ScenarioError(source, [f"{where} has no entry {part!r}; {counted}"])


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
            "homes": section(
                scenario.homes,
                base_load=resolve(scenario.homes.base_load),
                devices=resolve(scenario.homes.devices),
            ),
            "weather": section(scenario.weather, source=resolve(scenario.weather.source)),
            "tariff": section(scenario.tariff, source=resolve(scenario.tariff.source)),
            "coordination": section(scenario.coordination, edges=resolve(scenario.coordination.edges)),
            "devices": devices,
            "events": tuple(section(e, source=resolve(e.source)) for e in scenario.events),
        }
    )
