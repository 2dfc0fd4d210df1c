"""Which loads of a net are households, and which of them have a heat pump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool
from pandapower.auxiliary import pandapowerNet

from grid_cosim.errors import FeederError

_HEAT_PUMP_SHAPES = ("Air_", "Soil_")  # SimBench: air- and ground-source heat pumps
_CAR_SHAPES = ("HLS_", "APLS_")  # SimBench: charging at home, at work
LOW_VOLTAGE_KV = 1.0
_STATION = r"(?i)station|mv[/ -]?lv"
"""Types of medium-voltage loads that stand for a low-voltage grid; pandapower's mv_oberrhein has such."""
_STATION_SHAPES = ("lv_",)  # SimBench: a low-voltage grid as one load
_MOST_HOMES = 1_000_000


@dataclass(frozen=True)
class Homes:
    """The households' loads, and what was found beside them."""

    load: pd.Index
    """pandapower load index of each household; several have one where a load stands for several."""
    names: tuple[str, ...]
    profile: tuple[str | None, ...]
    has_heat_pump: Bool[np.ndarray, " homes"] | None
    """None where the net knows no heat pumps."""
    replaced: pd.Index
    """Loads that device models replace: heat pumps and cars; to be switched off."""
    rule: str
    """By which they were recognised, as the end of a sentence: "the loads of type HH"."""
    marked: bool
    """Whether the net itself marks them."""
    recognising: tuple[str, ...]
    """Those of the notes that are about how they were recognised."""
    notes: tuple[str, ...]


def find_homes(
    net: pandapowerNet, chosen: Sequence[int] | None, *, source: str, kw_per_home: float | None = None
) -> Homes:
    """Recognise the households of a net.

    `chosen` load indices if given; else loads of type "HH"; else those with a SimBench household shape
    (H0-*); else every consuming load below 1 kV; else those whose type says that they are stations between
    medium and low voltage; else every consuming load. With `kw_per_home` a load stands for as many homes as
    its planned power holds of it, at least one. Heat pump loads (type "HP",
    SimBench Air_*, Soil_*) mark a home at the same bus; they and SimBench's charging cars are replaced.
    """
    load = net.load[net.load["in_service"].astype(bool)]
    profile = _text(load, "profile")
    heat_pump = (_text(load, "type") == "HP") | profile.str.startswith(_HEAT_PUMP_SHAPES)
    car = profile.str.startswith(_CAR_SHAPES)
    candidates = load[~heat_pump & ~car]
    index, rule, notes = _pick(net, candidates, chosen, source)
    if kw_per_home is not None:
        index, note = _several(load, index, kw_per_home, source)
        notes = [note]
    recognising = tuple(notes)
    homes = load.loc[index]

    has_heat_pump = None
    if heat_pump.any():
        pumps_at = load.loc[heat_pump, "bus"].value_counts()
        order = homes.groupby("bus").cumcount()
        has_heat_pump = (order < homes["bus"].map(pumps_at).fillna(0)).to_numpy(dtype=bool)
        notes.append(
            f"{int(heat_pump.sum())} heat pump loads replaced by models: "
            f"{int(has_heat_pump.sum())} homes have one"
        )
    if car.any():
        notes.append(f"{int(car.sum())} car loads, series already charged, replaced by models")
    household = profile[index].str.startswith("H0")
    shapes = profile[index].where(household, None)
    return Homes(
        load=index,
        names=_names(homes),
        profile=tuple(None if shape is None else str(shape) for shape in shapes),
        has_heat_pump=has_heat_pump,
        replaced=load.index[heat_pump | car],
        rule=rule.text,
        marked=rule.marked,
        recognising=recognising,
        notes=tuple(notes),
    )


class _Rule(NamedTuple):
    text: str
    marked: bool


def _several(load: pd.DataFrame, index: pd.Index, kw_per_home: float, source: str) -> tuple[pd.Index, str]:
    """Every load as often as it holds homes, and a note of it."""
    planned_kw = 1e3 * (load.loc[index, "p_mw"] * load.loc[index, "scaling"]).to_numpy(dtype=float)
    count = np.maximum(np.round(planned_kw / kw_per_home), 1.0)
    if count.sum() > _MOST_HOMES:
        raise FeederError(
            source,
            f"kw_per_home = {kw_per_home:g} makes {count.sum():,.0f} homes of {planned_kw.sum():,.0f} kW",
            remedy=f"At most {_MOST_HOMES:,} can be: give more kW per home, or a smaller part of the network",
        )
    note = (
        f"{len(index)} loads of {planned_kw.sum():,.0f} kW as planned stand for {count.sum():,.0f} homes, "
        f"one for every {kw_per_home:g} kW"
    )
    return index.repeat(count.astype(np.int64)), note


def _pick(
    net: pandapowerNet, load: pd.DataFrame, chosen: Sequence[int] | None, source: str
) -> tuple[pd.Index, _Rule, list[str]]:
    if chosen is not None:
        unknown = [i for i in chosen if i not in load.index]
        if unknown:
            raise FeederError(
                source,
                f"homes names load {unknown[0]}, which is no ordinary load in service",
                remedy="Give indices of net.load that are neither heat pumps nor cars",
            )
        if len(chosen):
            return pd.Index(sorted(set(chosen)), dtype="int64"), _Rule("the loads that were named", True), []
    household = load.index[_text(load, "type") == "HH"]
    if len(household):
        return household, _Rule('the loads of type "HH"', True), []
    household = load.index[_text(load, "profile").str.startswith("H0")]
    if len(household):
        return household, _Rule("the loads with a SimBench household profile (H0-…)", True), []
    consuming = load[load["p_mw"] > 0]
    low = consuming.index[net.bus.loc[consuming["bus"], "vn_kv"].to_numpy(dtype=float) < LOW_VOLTAGE_KV]
    if len(low):
        return (
            low,
            _Rule("all low-voltage loads, since none is marked as a household", False),
            [f"no load is marked as a household: all {len(low)} low-voltage loads are taken as homes"],
        )
    if len(consuming) == 0:
        raise FeederError(
            source,
            f"no homes: none of its {len(net.load)} loads consumes power",
            remedy='Add loads of type "HH" to net.load, one per home',
        )
    by_type = _text(consuming, "type").str.contains(_STATION)
    by_profile = _text(consuming, "profile").str.startswith(_STATION_SHAPES)
    stations = consuming.index[by_type | by_profile]
    if len(stations):
        return (
            stations,
            _Rule("the loads of which the network says that a low-voltage grid is behind them", False),
            [
                f"no low-voltage load: the {len(stations)} loads that stand for low-voltage grids are taken "
                "as homes"
            ],
        )
    return (
        consuming.index,
        _Rule("all loads, since none is at low voltage", False),
        [
            f"no low-voltage load: all {len(consuming)} loads are taken as homes, "
            "though each may stand for a whole low-voltage grid"
        ],
    )


def _names(homes: pd.DataFrame) -> tuple[str, ...]:
    """Load names, unique with the load index where missing or repeated; several of a load numbered."""
    loads = homes[~homes.index.duplicated()]
    names = _text(loads, "name")
    repeated = names.duplicated(keep=False)
    of_load = {
        i: f"Load-{i}" if name == "" else f"{name} ({i})" if again else name
        for i, name, again in zip(loads.index, names, repeated, strict=True)
    }
    several = homes.index.duplicated(keep=False)
    number = homes.groupby(homes.index).cumcount() + 1
    return tuple(
        f"{of_load[i]} #{k}" if many else of_load[i]
        for i, k, many in zip(homes.index, number, several, strict=True)
    )


def _text(table: pd.DataFrame, column: str) -> pd.Series:
    """A column as text, "" where it is missing."""
    if column not in table.columns:
        return pd.Series("", index=table.index, dtype=object)
    return table[column].astype(object).where(table[column].notna(), "").astype(str)
