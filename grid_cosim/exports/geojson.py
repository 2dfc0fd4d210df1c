"""GeoJSON (RFC 7946, WGS 84): what each bus, line and transformer came to at worst, and when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grid_cosim.errors import ExportError
from grid_cosim.exports.attribution import attribution_lines, licences
from grid_cosim.exports.chosen import Chosen

_UNITS = {"_kv": "kV", "_pu": "pu", "_km": "km", "_ka": "kA", "_kva": "kVA", "_percent": "%"}


def write(chosen: Chosen, folder: Path) -> list[str]:
    """A file per kind of element, as one kind of geometry is what a layer has."""
    topology = chosen.results.topology
    if not topology.buses["longitude"].notna().any():
        raise ExportError(
            chosen.to,
            "the network has no coordinates",
            remedy="Give its buses some in net.bus.geo (pandapower.plotting.create_generic_coordinates makes "
            "them up) and run it again, or export tables",
        )
    layers = {"buses": _buses(chosen), "lines": _lines(chosen), "transformers": _transformers(chosen)}
    for name, (table, shapes) in layers.items():
        layer = _layer(chosen, name, table, shapes)
        text = json.dumps(layer, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / f"{name}.geojson").write_text(text, encoding="utf-8", newline="\n")
    drawn = [note for note in topology.notes if "coordinates" in note]
    missing = [
        f"Of the {name} no extremes were recorded: record.{name} was none"
        for name in ("buses", "lines")
        if layers[name][0].iloc[:, -1].isna().all()
    ]
    return [*drawn, *missing]


def _buses(chosen: Chosen) -> tuple[pd.DataFrame, list[Any]]:
    topology = chosen.results.topology
    buses = topology.buses[["bus", "name", "vn_kv"]].rename(columns={"bus": "id"})
    homes = topology.homes["bus"].value_counts()
    buses = buses.assign(homes=homes.reindex(buses["id"]).fillna(0).astype(int).to_numpy())
    summary = _by_name(chosen.run.table("bus_summary"), "bus")
    table = buses.join(summary, on="id")
    return table, _points(chosen, topology.buses["bus"])


def _lines(chosen: Chosen) -> tuple[pd.DataFrame, list[Any]]:
    lines = chosen.results.topology.lines
    columns = ["line", "name", "from_bus", "to_bus", "length_km", "max_i_ka"]
    table = lines[columns].rename(columns={"line": "id"})
    table = table.join(_by_name(chosen.run.table("line_summary"), "line"), on="id")
    return table, [_shape("LineString", path) for path in lines["path"]]


def _transformers(chosen: Chosen) -> tuple[pd.DataFrame, list[Any]]:
    """Those with a limit, at their lower side; per phase each phase."""
    limits = chosen.results.topology.limits
    limits = limits[limits["element"] == "trafo"]
    columns = ["limit", "name", "from_bus", "to_bus", "rated_kva", "limit_percent"]
    table = limits[columns].rename(columns={"limit": "id"})
    summary = _by_name(chosen.run.table("limit_summary"), "limit")
    table = table.join(summary[["peak_of_limit_percent", "peak_time", "steps_above"]], on="id")
    return table, _points(chosen, limits["to_bus"])


def _by_name(summary: pd.DataFrame, key: str) -> pd.DataFrame:
    return summary.assign(**{key: summary[key].astype(str)}).set_index(key)


def _points(chosen: Chosen, buses: pd.Series) -> list[Any]:
    where = chosen.results.topology.buses.set_index("bus")[["longitude", "latitude"]]
    return [_shape("Point", point) for point in where.loc[buses].to_numpy().tolist()]


def _shape(kind: str, coordinates: Any) -> dict[str, Any] | None:
    known = coordinates is not None and len(coordinates) > 0 and not np.isnan(np.asarray(coordinates)).any()
    return {"type": kind, "coordinates": coordinates} if known else None


def _layer(chosen: Chosen, name: str, table: pd.DataFrame, shapes: list[Any]) -> dict[str, Any]:
    """A feature collection; what the standard does not know, its readers leave aside."""
    results = chosen.results
    features = [
        {"type": "Feature", "id": row["id"], "properties": _plain(row), "geometry": shape}
        for row, shape in zip(table.to_dict(orient="records"), shapes, strict=True)
    ]
    units = {
        str(column): unit
        for column in table.columns
        for end, unit in _UNITS.items()
        if str(column).endswith(end)
    }
    return {
        "type": "FeatureCollection",
        "name": name,
        "title": f"{results.basis.title}: {results.topology.title}, {chosen.controller}",
        "seed": results.provenance.get("seed"),
        "units": units,
        "licences": licences(results),
        "attribution": attribution_lines(results),
        "features": features,
    }


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """In JSON's own types; times as ISO 8601, what is unknown as null."""
    plain: dict[str, Any] = {}
    for name, value in row.items():
        if pd.isna(value):
            value = None
        elif isinstance(value, pd.Timestamp):
            value = f"{value:%Y-%m-%dT%H:%M:%S}"
        elif isinstance(value, float):
            value = float(f"{value:.9g}")  # recorded in single precision, of which the rest is noise
        plain[str(name)] = value
    return plain
