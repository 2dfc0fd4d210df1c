"""The scenario of a new study as a commented TOML file: what was found in the network stands beside it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import tomlkit
from tomlkit.items import Table

from grid_cosim.beginning.sizing import FreeEvening, Sizing
from grid_cosim.feeder import Feeder
from grid_cosim.feeder.diagnosis import Diagnosis

_LISTED = 12
_WIDTH = 108


@dataclass(frozen=True)
class Study:
    """All that is written about."""

    name: str
    raw: dict[str, Any]
    """The scenario, section by section."""
    diagnosis: Diagnosis
    feeder: Feeder
    sizing: Sizing
    evening: FreeEvening


def scenario_toml(study: Study) -> str:
    """The file."""
    document = tomlkit.document()
    for line in _wrapped(_headline(study)):
        document.add(tomlkit.comment(line))
    document.add(tomlkit.comment(""))
    document.add(tomlkit.comment(f"    grid-cosim run {study.name}/scenario.toml --out {study.name}/results"))
    document.add(tomlkit.comment(""))
    for line in _wrapped(
        "Any value can be changed here, or with --set; all settings are in docs/scenario.md."
    ):
        document.add(tomlkit.comment(line))
    document.add(tomlkit.nl())
    for name, value in study.raw.items():
        if not isinstance(value, dict):
            document.add(name, value)
    for name, section in study.raw.items():
        if isinstance(section, dict) and name != "devices":
            document.add(tomlkit.nl())
            for line in _above(name, study):
                document.add(tomlkit.comment(line))
            document.add(name, _section(name, section, study))
        elif name == "devices":
            document.add(tomlkit.nl())
            for line in _above(name, study):
                document.add(tomlkit.comment(line))
            devices = tomlkit.table(is_super_table=True)
            for kind, settings in section.items():
                devices.add(kind, _section(kind, settings, study))
            document.add(name, devices)
    return tomlkit.dumps(document)


def _section(name: str, settings: dict[str, Any], study: Study) -> Table:
    table = tomlkit.table()
    for key, value in settings.items():
        if key == "start":
            table.add(key, datetime.fromisoformat(value))
        else:
            table.add(key, value)
        said = _beside(name, key, study)
        if said:
            table[key].comment(said)
    return table


def _headline(study: Study) -> str:
    feeder = study.feeder
    return (
        f"{feeder.title}: {feeder.n_households:,} homes behind {feeder.limits.n_limits} limit"
        f"{'s' if feeder.limits.n_limits != 1 else ''}, on a cold evening when "
        f"{study.sizing.car_share:.0%} of the homes have a car. Written by grid-cosim new; run it with"
    )


def _above(name: str, study: Study) -> list[str]:
    """Comments that stand above a section."""
    match name:
        case "feeder":
            return _homes(study)
        case "limits":
            return _limits(study)
        case "devices":
            return _wrapped(
                "Who owns what is drawn at random by share. devices.csv lists what was drawn: edit it, set "
                'share = "table" for the kinds in it, and name it in the section homes: devices = '
                '"devices.csv". '
                "Further kinds: battery, pv, water_heater, v2g_vehicle."
            )
        case "power_flow":
            return _wrapped(
                f"{study.evening.unsolved_steps} steps without control have no AC solution: the demand is "
                "far beyond what the network carries. They are left out, and counted."
            )
        case "record":
            return _wrapped("How much is written down; totals and KPIs are exact at every level of detail.")
    return []


def _homes(study: Study) -> list[str]:
    feeder, diagnosis = study.feeder, study.diagnosis
    text = f"Homes: {feeder.n_households:,}, {diagnosis.rule}."
    if diagnosis.kw_per_home is not None:
        n_loads = len(np.unique(feeder.home_load))
        text += (
            f" These {n_loads:,} loads stand for several homes each: one for every {diagnosis.kw_per_home:g} "
            "kW of what a load is planned with."
        )
    if feeder.has_heat_pump is None:
        text += ' The network says nothing about heat pumps (loads of type "HP" would).'
    else:
        text += (
            f" Heat pumps: {int(feeder.has_heat_pump.sum()):,} homes, those at whose bus the network has a "
            "heat pump load, which a model replaces."
        )
    return _wrapped(text)


def _limits(study: Study) -> list[str]:
    feeder, evening = study.feeder, study.evening
    limits, members = feeder.limits, np.diff(feeder.limits.coupling.indptr)
    order = np.argsort(-np.nan_to_num(evening.limit_percent, nan=np.inf), kind="stable")
    lines = _wrapped(
        f"Limits: every transformer through which homes are supplied, {limits.n_limits} of "
        f"{len(feeder.trafos)}. Loading in percent of the rating, with the loads as the network has them, "
        "and at most in this scenario without control:"
    )
    lines.append("")
    own = feeder.trafos["name"]
    for row in order[:_LISTED]:
        lines.append(
            f"  {limits.names[row]:<12} {limits.rated_kva[row]:>8,.0f} kVA  {members[row]:>6,} homes  "
            f"{_percent(study.diagnosis.shipped_percent[row])} planned  "
            f"{_percent(evening.limit_percent[row])} without control  {own[limits.index[row]]}".rstrip()
        )
    if limits.n_limits > _LISTED:
        lines.append(f"  and {limits.n_limits - _LISTED} more that are loaded less")
    lines.append("")
    line = evening.line_percent
    over = int((line > 100.0).sum())
    lines += _wrapped(
        (
            f"Lines: {over} of {len(line)} come above their rating without control, up to "
            f"{np.nanmax(line):.0f} %"
            if over
            else f"Lines: none of {len(line)} comes above its rating without control"
        )
        + f'; the lowest voltage is then {evening.lowest_vm_pu:.3f} pu. "near" makes limits of those lines '
        'and voltages that come near theirs, "all" of all.'
    )
    return lines


def _beside(section: str, key: str, study: Study) -> str:
    """Comment behind a value."""
    limit = study.sizing.limit_share
    network = study.sizing.heat_pump_share is None
    shared = "share of the homes"
    limit_text = "of every transformer's rating"
    if limit < 1.0:
        hard = float(np.nanmax(study.evening.limit_percent)) >= 100.0 * limit
        limit_text += "; what is left of it makes the evening hard, which the whole would not" * hard
    elif limit > 1.0:
        limit_text += "; the whole rating would not carry what these homes need within half a day"
    return {
        ("time", "start"): "local standard time; the year decides about weekdays, the date about the weather",
        ("feeder", "limit_share"): limit_text,
        ("feeder", "kw_per_home"): "planned kW of a load per home behind it",
        (
            "homes",
            "base_load",
        ): "household shapes of SimBench; or a CSV or Parquet file in kW, a column per home",
        ("weather", "source"): "or try2010_04_potsdam, or a file with a column temperature_c",
        ("weather", "shift_k"): "added to the temperature",
        ("electric_vehicle", "share"): shared,
        ("heat_pump", "share"): "the homes to which the network gives one" if network else shared,
        ("deferrable", "share"): "washing machines and the like",
        ("coordination", "graph"): "who talks to whom behind each limit",
    }.get((section, key), "")


def _percent(value: float) -> str:
    return "     –" if np.isnan(value) else f"{value:>4.0f} %"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
