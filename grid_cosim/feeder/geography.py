"""Buses, lines and transformers as plain tables, with longitude and latitude for whoever draws them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandapower.auxiliary import pandapowerNet

_METRES_PER_DEGREE = 111_320.0  # along a meridian or the equator

Path = list[list[float]]


@dataclass(frozen=True)
class Geography:
    """Tables in the order of the net's, indexed by the pandapower index."""

    buses: pd.DataFrame
    lines: pd.DataFrame
    trafos: pd.DataFrame
    notes: tuple[str, ...]


def read_geography(net: pandapowerNet) -> Geography:
    """Read names, ratings and coordinates; a line without a course runs straight between its buses.

    Coordinates that cannot be degrees are taken as metres and drawn around 0° N, 0° E.
    """
    points = [_coordinates(geo) for geo in _column(net.bus, "geo")]
    position = np.array([point[0] if point else [np.nan, np.nan] for point in points]).reshape(-1, 2)
    paths = [_coordinates(geo) for geo in _column(net.line, "geo")]
    notes: tuple[str, ...] = ()
    if (np.abs(position) > [180, 90]).any():
        centre = np.nanmean(position, axis=0)
        position = (position - centre) / _METRES_PER_DEGREE
        paths = [
            ((np.asarray(path) - centre) / _METRES_PER_DEGREE).tolist() if path else None for path in paths
        ]
        notes = ("coordinates are not longitude and latitude: drawn as metres around 0° N, 0° E",)
    where = {bus: xy for bus, xy in zip(net.bus.index, position.tolist(), strict=True) if xy[0] == xy[0]}
    ends = zip(net.line["from_bus"], net.line["to_bus"], strict=True)
    buses = pd.DataFrame(
        {
            "name": _names(net.bus, "Bus"),
            "vn_kv": net.bus["vn_kv"].to_numpy(dtype=float),
            "longitude": position[:, 0],
            "latitude": position[:, 1],
        },
        index=net.bus.index,
    )
    line = net.line
    line_ka = line["max_i_ka"] * line["parallel"] * line["df"]
    lines = pd.DataFrame(
        {
            "name": _names(line, "Line"),
            "from_bus": net.line["from_bus"].to_numpy(dtype=np.int64),
            "to_bus": net.line["to_bus"].to_numpy(dtype=np.int64),
            "length_km": net.line["length_km"].to_numpy(dtype=float),
            "max_i_ka": net.line["max_i_ka"].to_numpy(dtype=float),
            "rated_kva": 1e3 * np.sqrt(3.0) * buses["vn_kv"].reindex(line["from_bus"]).to_numpy() * line_ka,
            "path": pd.Series(
                [path or _straight(where, a, b) for path, (a, b) in zip(paths, ends, strict=True)],
                index=net.line.index,
                dtype=object,
            ),
        },
        index=net.line.index,
    )
    trafo = net.trafo
    rated_mva = trafo["sn_mva"] * trafo["parallel"] * trafo["df"]
    trafos = pd.DataFrame(
        {
            "name": _names(trafo, "Trafo"),
            "hv_bus": trafo["hv_bus"].to_numpy(dtype=np.int64),
            "lv_bus": trafo["lv_bus"].to_numpy(dtype=np.int64),
            "rated_kva": 1e3 * rated_mva.to_numpy(dtype=float),
        },
        index=trafo.index,
    )
    return Geography(buses=buses, lines=lines, trafos=trafos, notes=notes)


def read_links(net: pandapowerNet) -> pd.DataFrame:
    """What joins two buses and is no line: transformers, impedances, and closed switches between buses.

    One row each: link, element, name, from_bus, to_bus (wire ids; a transformer's from is its upper side). A
    three-winding transformer has two rows, from the upper side to each other one.
    """
    switch = net.switch[(net.switch["et"] == "b") & net.switch["closed"].astype(bool)]
    found = (
        ("trafo", "Trafo", net.trafo, "hv_bus", "lv_bus"),
        ("trafo3w", "Trafo3w", net.trafo3w, "hv_bus", "mv_bus"),
        ("trafo3w", "Trafo3w", net.trafo3w, "hv_bus", "lv_bus"),
        ("impedance", "Impedance", net.impedance, "from_bus", "to_bus"),
        ("switch", "Switch", switch, "bus", "element"),
    )
    rows = [
        (f"{kind}-{index}", element, name, f"Bus-{start}", f"Bus-{end}")
        for element, kind, table, a, b in found
        for index, name, start, end in zip(
            table.index, _names(table, kind), table[a], table[b], strict=True
        )
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["link", "element", "name", "from_bus", "to_bus"], dtype=object)


def _coordinates(geo: object) -> Path | None:
    """Coordinate pairs of a GeoJSON point or line string, None where there is none."""
    if not isinstance(geo, str) or not geo:
        return None
    shape = json.loads(geo)
    pairs = [shape["coordinates"]] if shape["type"] == "Point" else shape["coordinates"]
    return [[float(x), float(y)] for x, y, *_ in pairs] or None


def _straight(where: dict[int, list[float]], a: int, b: int) -> Path | None:
    return [where[a], where[b]] if a in where and b in where else None


def _column(table: pd.DataFrame, name: str) -> list[object]:
    return table[name].tolist() if name in table.columns else [None] * len(table)


def _names(table: pd.DataFrame, kind: str) -> list[str]:
    names = zip(table.index, _column(table, "name"), strict=True)
    return [f"{kind}-{i}" if name is None or name != name or name == "" else str(name) for i, name in names]
