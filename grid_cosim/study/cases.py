"""Cases: what a study computes, one after the other or side by side, and the rows that come of it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any, Protocol, final

import tomlkit

from grid_cosim.assembly import policy_path
from grid_cosim.errors import GridCosimError, near_matches
from grid_cosim.metrics import kpis
from grid_cosim.policies.recipe import population_class
from grid_cosim.results import Run, StoredResults
from grid_cosim.runner import run
from grid_cosim.scenario import Scenario, load_scenario

Row = dict[str, Any]
Measure = Callable[[StoredResults, Run], Row]
"""Further columns of a controller's row, beside the KPIs; a function of a module, so that it can travel."""


class StudyError(GridCosimError):
    """A study that does not exist, or whose file of sizes and seeds cannot be used."""

    def __init__(self, source: object, problem: str, remedy: str) -> None:
        stop = "" if problem.endswith(("?", ".")) else "."
        super().__init__(f"Study {source}: {problem}{stop} {remedy}")


class Work(Protocol):
    """Something to compute that another process can do; it gives rows of the study's table."""

    def identity(self) -> str:
        """All that decides what comes of it, besides the code."""
        ...

    def __call__(self) -> list[Row]:
        """Do it."""
        ...


@dataclass(frozen=True)
class Case:
    """One piece of a study."""

    name: str
    """For people who watch."""
    work: Work
    alone: bool = False
    """Whether nothing else may run beside it, as where time is measured."""


@final
@dataclass(frozen=True)
class ScenarioWork:
    """A scenario under its controllers: a row for each, with all settings and KPIs."""

    scenario: Scenario
    measure: Measure | None = None

    def identity(self) -> str:
        """The scenario with all its defaults, and byte by byte the files that it names and the policies."""
        named = [Path(value) for value in settings(self.scenario).values() if isinstance(value, str)]
        policies = [policy_path(kind, device.policy) for kind, device in self.scenario.devices.items()]
        own = [_source_of(kind) for kind in self.scenario.devices]
        measure = "" if self.measure is None else self.measure.__qualname__
        return "\n".join([self.scenario.as_toml(), *digests([*named, *policies, *own]), measure])

    def __call__(self) -> list[Row]:
        """Run it; its results folder is gone afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            results = run(self.scenario, out=Path(folder) / "run", report=False)
            about = settings(self.scenario) | {
                "n_homes": len(results.topology.homes),
                "n_limits": len(results.topology.limits),
            }
            further = self.measure or (lambda results, run: {})
            return [
                about | {"controller": controller} | values | further(results, results.runs[controller])
                for controller, values in kpis(results).items()
            ]


def digests(paths: Iterable[Path]) -> list[str]:
    """Of what is in these files; nothing where there is none."""
    return [sha256(path.read_bytes()).hexdigest() if _is_file(path) else "" for path in paths]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a title, say, that is too long for a name
        return False


def _source_of(kind: str) -> Path:
    """The file in which a device of one's own is defined."""
    module = sys.modules[population_class(kind).__module__]
    return Path(module.__file__ or "")


def settings(scenario: Scenario) -> Row:
    """Every setting by its path, as after `--set`; those without a value are left out, and what is recorded.

    That changes none of a study's numbers, so tables from before there was a choice remain comparable.
    """
    found = _flat(scenario.model_dump(mode="json", exclude={"controllers", "record"}))
    return {
        name: value if isinstance(value, str | bool | int | float) else str(value)
        for name, value in found.items()
    }


def _flat(section: Mapping[str, Any], above: str = "") -> Row:
    flat: Row = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        elif value is not None:
            flat[above + name] = value
    return flat


_GRID_KEYS = ("scenario", "set", "over")


def grid_cases(grid: Mapping[str, Any], *, source: Path, measure: Measure | None = None) -> list[Case]:
    """Every combination of the values in `over`, each as a scenario with overrides.

    `scenario`: a file, beside `source` or shipped. `set`: overrides of all cases, as after `--set`. `over`:
    path → values; a value that is a table sets several settings below that path at once.
    """
    odd = [name for name in grid if name not in _GRID_KEYS]
    if odd or "scenario" not in grid:
        what = f"{odd[0]}: no such setting.{near_matches(odd[0], _GRID_KEYS)}" if odd else "scenario: missing"
        raise StudyError(source, what.rstrip("."), f"A grid has {', '.join(_GRID_KEYS)}.")
    _require_kinds(grid, source)
    beside = source.parent / grid["scenario"]
    path = beside if beside.is_file() else Path(grid["scenario"])
    axes = [[(name, value) for value in values] for name, values in grid.get("over", {}).items()]
    cases = []
    for point in product(*axes):
        varied = _flat(dict(point))
        written = (f"{name}={tomlkit.item(value).as_string()}" for name, value in varied.items())
        overrides = [*grid.get("set", ()), *written]
        scenario = load_scenario(path, overrides)
        named = [f"{name.rpartition('.')[2]} {value}" for name, value in varied.items()]
        cases.append(Case(", ".join(named) or scenario.title, ScenarioWork(scenario, measure)))
    return cases


def _require_kinds(grid: Mapping[str, Any], source: Path) -> None:
    """Raise where a setting of a grid is of another kind than it should be."""
    overrides, over = grid.get("set", []), grid.get("over", {})
    expected = {
        "scenario": (isinstance(grid["scenario"], str), "the name of a file"),
        "set": (
            isinstance(overrides, list) and all(isinstance(one, str) for one in overrides),
            'a list of overrides, such as ["time.hours=24"]',
        ),
        "over": (
            isinstance(over, Mapping) and all(isinstance(values, list) for values in over.values()),
            "a table of lists, such as { seed = [1, 2] }",
        ),
    }
    for name, (right, what) in expected.items():
        if not right:
            raise StudyError(source, f"{name}: got {grid[name]!r}, expected {what}", "Correct it.")


def scenario_cases(
    settings: Mapping[str, Any], *, source: Path, controllers: Sequence[str], measure: Measure | None = None
) -> list[Case]:
    """The cases of all grids in `scenarios`; every one of `controllers` must run in some of them."""
    cases = [
        case for grid in settings["scenarios"] for case in grid_cases(grid, source=source, measure=measure)
    ]
    works = [case.work for case in cases if isinstance(case.work, ScenarioWork)]
    found = {controller for work in works for controller in work.scenario.controllers}
    missing = [controller for controller in controllers if controller not in found]
    if missing:
        raise StudyError(
            source,
            f"no scenario runs {' or '.join(missing)}",
            "Its claim is about them: add them to `controllers`.",
        )
    return cases
