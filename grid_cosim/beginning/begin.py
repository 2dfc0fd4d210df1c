"""From a network to a folder with a scenario that runs."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grid_cosim.assembly import scenario_fleet
from grid_cosim.beginning.sizing import FreeEvening, Sizing, corrected, free_evening, sized
from grid_cosim.beginning.writing import Study, scenario_toml
from grid_cosim.errors import RefusedNetworkError, ScenarioError
from grid_cosim.feeder import Feeder
from grid_cosim.feeder.diagnosis import Diagnosis, diagnose
from grid_cosim.feeder.findings import Finding
from grid_cosim.scenario import Scenario, load_scenario, parse_scenario

SCENARIO_FILE = "scenario.toml"
DEVICES_FILE = "devices.csv"
_MANY_HOMES = 3_000
"""Beyond it a study begins with one day, and keeps totals rather than every home's rows."""
_START = "2016-01-04T12:00:00"
_FEW_MEMBERS = 6
"""Behind a limit with fewer homes everybody can talk to everybody."""


@dataclass(frozen=True)
class Beginning:
    """A study that has been written."""

    folder: Path
    scenario: Path
    diagnosis: Diagnosis
    sizing: Sizing
    evening: FreeEvening


def begin(
    folder: str | Path,
    source: str | Path,
    *,
    kw_per_home: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Beginning:
    """Write a study of a network into a new folder: scenario, network file, and who owns which device.

    Parameters
    ----------
    folder
        Must not exist yet.
    source
        As in a scenario's `feeder.source`; a file is copied into the folder.
    kw_per_home
        Planned power per home where loads stand for several; found out if left out.
    tell
        Is told what is being done.

    Raises
    ------
    RefusedNetworkError
        With every reason and remedy, for a network that cannot be simulated.
    FeederError
        For one that cannot be opened.
    ScenarioError
        If the folder is there already.

    """
    folder = Path(folder)
    if folder.exists():
        raise ScenarioError(str(folder), ["this is there already; give the name of a folder that is not"])
    tell("looking at the network")
    diagnosis = diagnose(source, kw_per_home=kw_per_home)
    feeder = diagnosis.feeder
    if feeder is None:
        raise RefusedNetworkError(str(source), [told(finding) for finding in diagnosis.refused])
    tell("drawing homes, cars and heat pumps")
    raw = _first_scenario(feeder, source=str(source), kw_per_home=diagnosis.kw_per_home)
    sizing = sized(feeder, _parsed(raw))
    _apply(raw, sizing)
    tell("solving an evening without control")
    scenario = _parsed(raw)
    evening = free_evening(feeder, scenario)
    if evening.unsolved_steps == scenario.time.n_steps:
        raise RefusedNetworkError(str(source), _unsolvable(diagnosis))
    sizing = corrected(sizing, evening)
    _apply(raw, sizing)
    if evening.unsolved_steps:
        raw["power_flow"] = {"on_divergence": "continue"}
    file = Path(source) if Path(source).is_file() else None
    raw["feeder"]["source"] = str(source) if file is None else file.name
    study = Study(folder.name, raw, diagnosis, feeder, sizing, evening)
    _write(folder, scenario_toml(study), _owners(scenario, feeder), file)
    load_scenario(folder / SCENARIO_FILE)  # what was written is what was meant, or we are to blame
    return Beginning(folder, folder / SCENARIO_FILE, diagnosis, sizing, evening)


def told(finding: Finding) -> str:
    """A finding in one line."""
    where = f" ({', '.join(finding.where)})" if finding.where else ""
    return f"{finding.what}{where}" + (f". {finding.remedy}" if finding.remedy else "")


def _unsolvable(diagnosis: Diagnosis) -> list[str]:
    """Why there may be no solution: all that is doubtful is under suspicion."""
    suspects = [told(finding) for finding in diagnosis.findings if finding.severity == "doubtful"]
    nothing = ["No suspect was found; pandapower.diagnostic(net) looks further"]
    return [
        "the AC power flow has no solution for these homes. What may be the reason:",
        *(suspects or nothing),
    ]


def _first_scenario(feeder: Feeder, *, source: str, kw_per_home: float | None) -> dict[str, Any]:
    """Every home with everything, on two cold January days; the settings in the order of the file."""
    many = feeder.n_households > _MANY_HOMES
    members = np.diff(feeder.limits.coupling.indptr)
    return {
        "title": f"An electrified evening in {feeder.title}",
        "seed": 1,
        "controllers": ["uncontrolled", "consensus"]
        if many
        else ["uncontrolled", "independent", "consensus"],
        "time": {"start": _START, "hours": 24 if many else 48, "step_minutes": 15},
        "feeder": {"source": source, "limit_share": 1.0}
        | ({} if kw_per_home is None else {"kw_per_home": kw_per_home}),
        "limits": {"transformers": True, "lines": "none", "voltage": "none"},
        "homes": {"base_load": "simbench"},
        "weather": {"source": "try2010_12_mannheim", "shift_k": 0.0},
        "devices": {
            "electric_vehicle": {"share": 1.0},
            "heat_pump": {"share": 1.0 if feeder.has_heat_pump is None else "network"},
            "deferrable": {"share": 0.3},
        },
        "tariff": {"energy_price_eur_per_kwh": 0.30},
        "coordination": {"graph": "complete" if members.min() < _FEW_MEMBERS else "random_regular"},
        "record": dict.fromkeys(("households", "devices", "lines", "buses"), "summary" if many else "all"),
    }


def _apply(raw: dict[str, Any], sizing: Sizing) -> None:
    raw["feeder"]["limit_share"] = sizing.limit_share
    raw["devices"]["electric_vehicle"]["share"] = sizing.car_share
    if sizing.heat_pump_share is not None:
        raw["devices"]["heat_pump"]["share"] = sizing.heat_pump_share


def _parsed(raw: dict[str, Any]) -> Scenario:
    return parse_scenario(raw, source="the new scenario", folder=Path())


def _owners(scenario: Scenario, feeder: Feeder) -> list[tuple[str, str]]:
    """Home and kind of every device of the scenario, as they are drawn."""
    return [
        (feeder.home_names[home], group.kind)
        for group in scenario_fleet(scenario, feeder).groups
        for home in group.household
    ]


def _write(folder: Path, scenario: str, owners: list[tuple[str, str]], network: Path | None) -> None:
    """All files, under a temporary name that becomes the folder's in one go."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (partial / SCENARIO_FILE).write_text(scenario, encoding="utf-8", newline="\n")
        with (partial / DEVICES_FILE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("load", "device"))
            writer.writerows(owners)
        if network is not None:
            shutil.copyfile(network, partial / network.name)
        partial.chmod(0o755)  # a temporary folder is private; this one is not
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
