"""Write the generated parts of the documentation anew, from the code that they describe.

    python docs/build_reference.py

A part lies between `<!-- generated:NAME:begin -->` and `<!-- generated:NAME:end -->` in README.md,
CONTRIBUTING.md or a page of this folder; whatever else stands there is written by hand.
tests/test_docs.py says when a part is out of date.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from typer.main import get_command

from grid_cosim.cli import app
from grid_cosim.cli.boundary import EXIT_CODES
from grid_cosim.coordination import CurveStep, NewtonStep
from grid_cosim.coordination.duals.curve import NEWS, VOTES
from grid_cosim.coordination.duals.points import CLOSE, CLOSE_RATIO, NEAR
from grid_cosim.coordination.meters import Meters
from grid_cosim.cosim.meta import SimulatorName, markdown_table
from grid_cosim.devices import (
    BatteryPopulation,
    DeferrableLoad,
    DeferrablePopulation,
    ElectricVehicle,
    HeatPump,
    HeatPumpPopulation,
    Population,
    PvPopulation,
    SunlitPopulation,
    V2GPopulation,
    V2GVehicle,
    VehiclePopulation,
    WaterHeater,
    WaterHeaterPopulation,
)
from grid_cosim.devices.columns import COLUMNS
from grid_cosim.feeder import list_feeders
from grid_cosim.feeder.limits import KVA_TO_FIRST_KW
from grid_cosim.metrics import KPIS
from grid_cosim.policies.recipe import PpoSettings, PrivateSettings, Recipe, load_recipe
from grid_cosim.results import TABLES
from grid_cosim.scenario import Scenario

ROOT = Path(__file__).resolve().parent.parent

UNITS = {
    "_eur_per_kwh_heat": "EUR/kWh of heat",
    "_eur_per_kwh_h": "EUR/(kWh·h)",
    "_eur_per_k2_h": "EUR/(K²·h)",
    "_eur_per_k_h": "EUR/(K·h)",
    "_eur_per_kwh": "EUR/kWh",
    "_w_per_m2_k": "W/(m²·K)",
    "_kj_per_m2_k": "kJ/(m²·K)",
    "_w_per_m2": "W/m²",
    "_deg": "°",
    "_litres": "l",
    "_litres_per_person": "l/person",
    "litres_per_person": "l/(person·day)",
    "showers_per_person": "1/(person·day)",
    "_per_capacity": "kW/kWh",
    "_price_offset": "EUR/kWh",
    "_weight_offset": "EUR/kWh",
    "_per_day": "1/day",
    "_m2": "m²",
    "_kwh": "kWh",
    "_kw": "kW",
    "_hour": "h of the day",
    "_h": "h",
    "hours": "h",
    "_c": "°C",
    "_k": "K",
}
"""What the end of a name says about its unit; the first that fits."""

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "VehiclePopulation": {
        "daily_kwh": "Mean energy per car and day, at the meter.",
        "arrival_hour": "Mean time of coming home.",
        "arrival_spread_h": "Its standard deviation.",
        "departure_hour": "Mean time of leaving, on the next day.",
        "departure_spread_h": "Its standard deviation.",
    },
    "HeatPumpPopulation": {
        "heated_area_m2": "Median heated area.",
        "area_spread": "Standard deviation of its logarithm.",
        "loss_w_per_m2_k": "Median transmission and ventilation loss per heated area.",
        "loss_spread": "Standard deviation of its logarithm.",
        "mass_kj_per_m2_k": "Median thermal mass per heated area.",
        "mass_spread": "Standard deviation of its logarithm.",
        "gains_w_per_m2": "Internal and passive solar gains per heated area.",
        "design_outdoor_c": "Outdoor temperature at which the machine still holds the set point.",
        "oversizing": "Factor on the power that this takes.",
        "floor_heating_share": "Share of buildings with floor heating; the others have radiators.",
        "set_point_c": "Mean set point of the room.",
        "set_point_spread_k": "Its standard deviation.",
    },
    "DeferrablePopulation": {
        "jobs_per_day": "Mean number of jobs per home and day.",
        "job_kwh": "Median energy of a job.",
        "job_spread": "Standard deviation of its logarithm.",
        "p_max_kw": "Connected power in the middle; drawn within 30 % of it.",
        "patience_h": "What has waited for so long is lost.",
        "peak_hour": "When most jobs arrive.",
    },
    "HeatPump": {
        "band_above_k": "No power lifts the room above this by the end of a step.",
    },
    "DeferrableLoad": {
        "max_age_steps": "Control steps until what waits is lost; set from the population's `patience_h`.",
        "delay_cost_eur_per_kwh_h": "Of a kWh that waits, per hour.",
        "unserved_cost_eur_per_kwh": "Of a kWh that is lost.",
    },
    "Recipe": {
        "seed": "Of everything random in the training.",
        "dt_h": "Length of a control step in the training.",
        "energy_price_eur_per_kwh": "Tariff in the training.",
        "hidden": "Widths of the perceptron's hidden layers.",
        "n_ramps": "Ramps of the response to the price.",
        "price_scale_eur_per_kwh": "Below it the response is linear in the price, far above logarithmic.",
        "price_max_eur_per_kwh": "Largest price that the training shows.",
    },
    "PrivateSettings": {
        "updates": "Gradient updates.",
        "learning_rate": "Peak of the one-cycle schedule.",
        "hidden": "Widths of the hidden layers of each home's perceptron.",
    },
}
"""What fields without a docstring of their own mean."""


def _table(*rows: tuple[str, ...]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def field_docstrings(cls: type) -> dict[str, str]:
    """The docstrings that stand below the fields of a class."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if is_text and isinstance(text.value.value, str):
                found[field.target.id] = inspect.cleandoc(text.value.value)
    return found


def unit_of(name: str) -> str:
    """The unit that a name ends with."""
    if name.startswith("share_"):
        return ""
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def fields_table(cls: Any) -> str:
    """The fields of a dataclass that have a default: name, default, unit, meaning."""
    own, ours = field_docstrings(cls), MEANINGS.get(cls.__name__, {})
    known = {f.name for f in fields(cls)}
    assert set(ours) <= known, f"{cls.__name__} has no {sorted(set(ours) - known)}"
    assert not set(ours) & set(own), f"{cls.__name__}: {sorted(set(ours) & set(own))} have docstrings by now"
    rows = [("field", "default", "unit", "meaning")]
    for field in fields(cls):
        if field.default is MISSING and field.default_factory is MISSING:
            continue
        value = field.default if field.default_factory is MISSING else field.default_factory()
        default = "[...]" if is_dataclass(value) else json.dumps(value)  # a table of its own
        meaning = own.get(field.name) or ours[field.name]
        rows.append((f"`{field.name}`", f"`{default}`", unit_of(field.name), meaning))
    return _table(*rows)


def device_table() -> str:
    """The parameters that a table of devices may give, by kind."""
    rows = [("device", "column", "range", "meaning")]
    for kind, columns in COLUMNS.items():
        for name, column in columns.items():
            rows.append((f"`{kind}`", f"`{name}`", f"{column.low:g} … {column.high:g}", column.meaning))
    return _table(*rows)


def _default(cls: Any, name: str) -> Any:
    return next(f.default for f in fields(cls) if f.name == name)


def features(population: Population | SunlitPopulation) -> str:
    """What the policy of a device sees, by the names that its checkpoint is bound to."""
    device = population.sample(1, dt_h=0.25, generator=torch.Generator())
    return "Its policy sees: " + ", ".join(f"`{name}`" for name in device.feature_names) + "."


def house() -> str:
    """The layers of the import contract, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    lines = [re.sub(r"grid_cosim\.", "", layer) for layer in layers]
    return _code("\n  ↓ ".join(lines), "text")


def _type_of(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(_type_of(s) for s in schema["anyOf"] if s.get("type") != "null")
    if "const" in schema:
        return f'`"{schema["const"]}"`'
    if "enum" in schema:
        return ", ".join(f'`"{value}"`' for value in schema["enum"])
    if schema["type"] == "array":
        return "list of " + ("tables" if "$ref" in schema["items"] else _type_of(schema["items"]))
    if schema["type"] == "object":
        return "table"
    if schema.get("format") == "date-time":
        return "local date and time"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " ".join([schema["type"], ", ".join(bounds)]).strip()


def _toml(schema: Mapping[str, Any]) -> str:
    """A default as it would stand in a TOML file."""
    default = schema.get("default")
    if default is None:
        return "" if schema.get("type") == "object" or "anyOf" in schema else "required"
    if schema.get("format") == "date-time":
        return f"`{default}`"
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _section_of(schema: Mapping[str, Any]) -> str | None:
    """The model that a field holds, or holds many of; None for a plain value."""
    items = schema.get("additionalProperties")
    holder = items if isinstance(items, dict) else schema
    return str(holder["$ref"]).rpartition("/")[2] if "$ref" in holder else None


def _settings(model: Mapping[str, Any]) -> str:
    rows = [("field", "type", "default", "meaning")]
    for name, schema in model["properties"].items():
        if _section_of(schema) is None:
            rows.append((f"`{name}`", _type_of(schema), _toml(schema), schema["description"]))
    return _table(*rows)


def scenario() -> str:
    """Every section of a scenario file, from the models that validate it."""
    schema = Scenario.model_json_schema()
    parts = ["### At the top of the file", schema["description"], _settings(schema)]
    for name, section in schema["properties"].items():
        item = _section_of(section.get("items", {}))
        if item is not None:
            parts += [f"### `[[{name}]]`", schema["$defs"][item]["description"]]
            parts.append(_settings(schema["$defs"][item]))
        model = _section_of(section)
        if model is None:
            continue
        many = "$ref" not in section
        described = schema["$defs"][model]
        parts += [f"### `[{name}{'.<kind>' if many else ''}]`", described["description"]]
        parts += [section["description"]] if many else []
        parts.append(_settings(described))
        for field, listed in described["properties"].items():
            item = _section_of(listed.get("items", {}))
            if item is not None:
                parts += [f"### `[[{name}.{field}]]`", schema["$defs"][item]["description"]]
                parts.append(_settings(schema["$defs"][item]))
    return "\n\n".join(parts)


def feeders() -> str:
    """The catalogue of feeders."""
    head = ("name", "buses", "homes", "heat pumps", "transformers", "loading as shipped", "what")
    rows = [
        (
            f"`{f.name}`",
            f"{f.buses:,}",
            f"{f.homes:,}",
            f"{f.heat_pumps:,}",
            f"{f.transformers:,}",
            f"{f.loading_percent:.0f} %",
            f.what,
        )
        for f in list_feeders()
    ]
    return _table(head, *rows)


def tables() -> str:
    """The tables of a run."""
    parts = []
    for table, columns in TABLES.items():
        rows = [(f"`{name}`", str(c.dtype), c.unit, c.meaning) for name, c in columns.items()]
        parts += [f"### `{table}.parquet`", _table(("column", "type", "unit", "meaning"), *rows)]
    return "\n\n".join(parts).replace("dictionary<values=string, indices=int32, ordered=0>", "string")


def kpis() -> str:
    """The KPIs."""
    rows = [("name", "unit", "good", "definition")]
    for name, kpi in KPIS.items():
        good = "" if kpi.good_up_to is None else f"≤ {kpi.good_up_to:g}"
        rows.append((f"`{name}`", kpi.unit, good, kpi.definition))
    return _table(*rows)


def recipes() -> str:
    """The shipped recipes."""
    rows = [("recipe", "checkpoint", "updates", "seed", "wider than a scenario in")]
    for path in sorted((ROOT / "policies").glob("*.toml")):
        recipe = load_recipe(path)
        wider = ", ".join(f"`{name} = {value:g}`" for name, value in recipe.population.items())
        checkpoint = f"`{path.with_suffix('.safetensors').name}`"
        link = f"[`{path.name}`](../policies/{path.name})"
        rows.append((link, checkpoint, f"{recipe.updates:,}", str(recipe.seed), wider))
    return _table(*rows)


def constants() -> str:
    """Numbers of the coordination that no scenario sets."""
    refinement = ", ".join(f"{x:.3g}" for x in _default(CurveStep, "refinement"))
    rows = {
        "CurveStep.refinement": (refinement, "times the price just found: where a copy refines its curve"),
        "CLOSE, CLOSE_RATIO": (
            f"{CLOSE}, {CLOSE_RATIO:g}",
            "prices about the last one, and their ratio, against jumps",
        ),
        "NEAR": (NEAR, "fixed prices about the price just found whose mean is mixed once more"),
        "VOTES": (VOTES, "rounds in which neighbours agree on which these are"),
        "NEWS": (NEWS, "share of a limit by which headroom changes before its meter asks for a cold start"),
        "CurveStep.widest": (
            _default(CurveStep, "widest"),
            "ratio of two prices in a row above which the higher one is taken",
        ),
        "NewtonStep.reach": (
            _default(NewtonStep, "reach"),
            "factor by which one iteration may change a price",
        ),
        "Meters.curvature": (
            _default(Meters, "curvature"),
            "κ: how much more loading a kW gives at the limit",
        ),
        "Meters.loss_share": (_default(Meters, "loss_share"), "losses at the limit, as a share of the power"),
        "KVA_TO_FIRST_KW": (KVA_TO_FIRST_KW, "kW per kVA before the first AC solution"),
    }
    body = [(f"`{name}`", str(value), meaning) for name, (value, meaning) in rows.items()]
    return _table(("name", "value", "meaning"), *body)


def commands() -> str:
    """Every command with its arguments, options and examples, from the application itself."""
    parts = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        rows = [("argument or option", "meaning")]
        for parameter in command.params:
            value = parameter.metavar or str(parameter.name).upper()
            value += "..." if parameter.nargs == -1 else ""
            of_option = "" if getattr(parameter, "is_flag", False) else f" {value}"
            names = ", ".join(parameter.opts) + of_option
            rows.append(
                (
                    f"`{value if parameter.param_type_name == 'argument' else names}`",
                    parameter.help.replace("<", "&lt;"),
                )
            )
        examples = command.epilog.replace("\\[", "[").split("\n\n")[1:]
        parts += [f"### {name}", command.help, _table(*rows), _code("\n".join(examples), "sh")]
    return "\n\n".join(parts)


def exit_codes() -> str:
    """What the exit codes of all commands mean."""
    return _table(("code", "meaning"), *((str(code), meaning) for code, meaning in EXIT_CODES.items()))


def _simulator(name: SimulatorName) -> Callable[[], str]:
    return lambda: markdown_table(name)


def _file(path: str, language: str) -> Callable[[], str]:
    return lambda: _code((ROOT / path).read_text(encoding="utf-8"), language)


def _fields(cls: Any) -> Callable[[], str]:
    return lambda: fields_table(cls)


def _features(population: Population | SunlitPopulation) -> Callable[[], str]:
    return lambda: features(population)


PARTS: Mapping[str, Callable[[], str]] = {
    "house": house,
    "scenario": scenario,
    "feeders": feeders,
    "tables": tables,
    "kpis": kpis,
    "recipes": recipes,
    "commands": commands,
    "exit-codes": exit_codes,
    "recipe-fields": _fields(Recipe),
    "private-fields": _fields(PrivateSettings),
    "ppo-fields": _fields(PpoSettings),
    "constants": constants,
    "electric-vehicle": _fields(ElectricVehicle),
    "electric-vehicle-features": _features(VehiclePopulation()),
    "electric-vehicle-population": _fields(VehiclePopulation),
    "heat-pump": _fields(HeatPump),
    "heat-pump-features": _features(HeatPumpPopulation()),
    "heat-pump-population": _fields(HeatPumpPopulation),
    "deferrable": _fields(DeferrableLoad),
    "deferrable-features": _features(DeferrablePopulation()),
    "deferrable-population": _fields(DeferrablePopulation),
    "v2g": _fields(V2GVehicle),
    "v2g-features": _features(V2GPopulation()),
    "device-table": lambda: device_table(),
    "v2g-population": _fields(V2GPopulation),
    "water-heater": _fields(WaterHeater),
    "water-heater-features": _features(WaterHeaterPopulation()),
    "water-heater-population": _fields(WaterHeaterPopulation),
    "battery-features": _features(BatteryPopulation()),
    "battery-population": _fields(BatteryPopulation),
    "pv-features": _features(PvPopulation()),
    "pv-population": _fields(PvPopulation),
    "district-sim": _simulator("DistrictSim"),
    "gauge-sim": _simulator("GaugeSim"),
    "household-sim": _simulator("HouseholdSim"),
    "feeder-sim": _simulator("FeederSim"),
    "recorder-sim": _simulator("RecorderSim"),
    "script": _file("scenarios/cold_evening.py", "python"),
    "version-command": _file("grid_cosim/cli/version.py", "python"),
    "pool-pump": _file("tests/devices/toy.py", "python"),
}
"""Name of a part → what makes it."""

_PART = re.compile(r"(<!-- generated:([\w-]+):begin -->\n).*?(<!-- generated:\2:end -->)", re.DOTALL)


def documents() -> list[Path]:
    """The pages that people read."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def up_to_date(text: str) -> str:
    """A page with all its generated parts made anew."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", text)


def main() -> None:
    """Write every page anew."""
    for path in documents():
        path.write_text(up_to_date(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
