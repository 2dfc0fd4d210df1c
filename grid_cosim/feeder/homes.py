"""Which loads of a net are households, and which of them have a heat pump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool
from pandapower.auxiliary import pandapowerNet

from grid_cosim.errors import FeederError

_HEAT_PUMP_SHAPES = ("Air_", "Soil_")  # SimBench: air- and ground-source heat pumps
_CAR_SHAPES = ("HLS_", "APLS_")  # SimBench: charging at home, at work
_LOW_VOLTAGE_KV = 1.0


@dataclass(frozen=True)
class Homes:
    """The households' loads, and what was found beside them."""

    load: pd.Index
    """pandapower load index of each household."""
    names: tuple[str, ...]
    profile: tuple[str | None, ...]
    has_heat_pump: Bool[np.ndarray, " homes"] | None
    """None where the net knows no heat pumps."""
    replaced: pd.Index
    """Loads that device models replace: heat pumps and cars; to be switched off."""
    notes: tuple[str, ...]


def find_homes(net: pandapowerNet, chosen: Sequence[int] | None, *, source: str) -> Homes:
    """Recognise the households of a net.

    `chosen` load indices if given; else loads of type "HH"; else those with a SimBench household shape
    (H0-*); else every consuming load below 1 kV; else every consuming load. Heat pump loads (type "HP",
    SimBench Air_*, Soil_*) mark a home at the same bus; they and SimBench's charging cars are replaced.
    """
    load = net.load[net.load["in_service"].astype(bool)]
    profile = _text(load, "profile")
    heat_pump = (_text(load, "type") == "HP") | profile.str.startswith(_HEAT_PUMP_SHAPES)
    car = profile.str.startswith(_CAR_SHAPES)
    candidates = load[~heat_pump & ~car]
    index, notes = _pick(net, candidates, chosen, source)
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
    shapes = profile[index].where(profile[index] != "", None)
    return Homes(
        load=index,
        names=_names(homes),
        profile=tuple(None if shape is None else str(shape) for shape in shapes),
        has_heat_pump=has_heat_pump,
        replaced=load.index[heat_pump | car],
        notes=tuple(notes),
    )


def _pick(
    net: pandapowerNet, load: pd.DataFrame, chosen: Sequence[int] | None, source: str
) -> tuple[pd.Index, list[str]]:
    if chosen is not None:
        unknown = [i for i in chosen if i not in load.index]
        if unknown:
            raise FeederError(
                source,
                f"homes names load {unknown[0]}, which is no ordinary load in service",
                remedy="Give indices of net.load that are neither heat pumps nor cars",
            )
        if len(chosen):
            return pd.Index(sorted(set(chosen)), dtype="int64"), []
    household = load.index[_text(load, "type") == "HH"]
    if len(household) == 0:
        household = load.index[_text(load, "profile").str.startswith("H0")]
    if len(household):
        return household, []
    consuming = load[load["p_mw"] > 0]
    low = consuming.index[net.bus.loc[consuming["bus"], "vn_kv"].to_numpy(dtype=float) < _LOW_VOLTAGE_KV]
    if len(low):
        return low, [f"no load is marked as a household: all {len(low)} low-voltage loads are taken as homes"]
    if len(consuming) == 0:
        raise FeederError(
            source,
            f"no homes: none of its {len(net.load)} loads consumes power",
            remedy='Add loads of type "HH" to net.load, one per home',
        )
    return consuming.index, [
        f"no low-voltage load: all {len(consuming)} loads are taken as homes, "
        "though each may stand for a whole low-voltage grid"
    ]


def _names(homes: pd.DataFrame) -> tuple[str, ...]:
    """Load names, made unique with the load index where they are missing or repeat."""
    names = _text(homes, "name")
    repeated = names.duplicated(keep=False)
    return tuple(
        f"Load-{i}" if name == "" else f"{name} ({i})" if again else name
        for i, name, again in zip(homes.index, names, repeated, strict=True)
    )


def _text(table: pd.DataFrame, column: str) -> pd.Series:
    """A column as text, "" where it is missing."""
    if column not in table.columns:
        return pd.Series("", index=table.index, dtype=object)
    return table[column].astype(object).where(table[column].notna(), "").astype(str)
