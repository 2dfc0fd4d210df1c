"""What the page's map is drawn from: places once per feeder, values of every moment, packed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from grid_cosim import plots
from grid_cosim.plots.geometry import geometry
from grid_cosim.results import StoredResults, Topology

_GRID = 65_535
"""Places are whole numbers of the network's width or height over this: 8 cm in a town of 5 km."""


def feeder_data(topology: Topology) -> tuple[dict[str, Any], str]:
    """Places, names and limits of what the map draws, and what a reader must know of the places."""
    places = geometry(topology)
    buses = np.array(list(places.bus.values()), dtype=float).reshape(-1, 2)
    line_points, link_points = _paths(places.line_xs, places.line_ys), _paths(places.link_xs, places.link_ys)
    corners = np.vstack([buses, *line_points, *link_points])
    low, high = corners.min(axis=0), corners.max(axis=0)
    span = np.where(high > low, high - low, 1.0)

    def packed_places(points: np.ndarray) -> dict[str, Any]:
        whole = np.round((points.reshape(-1, 2) - low) / span * _GRID).astype(np.uint16)
        return packed(whole)

    def at(ids: Sequence[str]) -> dict[str, Any]:
        return packed_places(np.array([places.bus[bus] for bus in ids], dtype=float))

    limits = topology.limits.iloc[plots.squares(topology)]
    line_limit = dict(zip(topology.limits["limit"], topology.limits["limit_percent"], strict=True))

    def paths(points: list[np.ndarray]) -> dict[str, Any]:
        corners_of_all = np.vstack(points) if points else np.zeros((0, 2))
        lengths = np.array([[len(path)] for path in points], dtype=np.uint16).reshape(-1, 1)
        return {"points": packed_places(corners_of_all), "counts": packed(lengths)}

    data = {
        "located": places.located,
        "low": low.tolist(),
        "span": (span / _GRID).tolist(),
        "lines": {
            "names": topology.lines["line"].tolist(),
            **paths(line_points),
            "limit_percent": [float(line_limit.get(line, 100.0)) for line in topology.lines["line"]],
        },
        "links": paths(link_points),
        "homes": {
            "names": topology.homes["household"].tolist(),
            "buses": topology.homes["bus"].tolist(),
            "points": at(topology.homes["bus"]),
        },
        "squares": {
            "rows": plots.squares(topology).tolist(),
            "labels": [
                f"{row.limit} · {row.name_}, {row.rated_kva:,.0f} kVA"
                for row in limits.rename(columns={"name": "name_"}).itertuples()
            ],
            "points": at(limits["to_bus"]),
        },
        "limits": {
            "names": topology.limits["limit"].tolist(),
            "limit_percent": topology.limits["limit_percent"].tolist(),
            "flow": (topology.limits["element"] != "bus").tolist(),
        },
    }
    return data, places.note


def _paths(xs: Sequence[Sequence[float]], ys: Sequence[Sequence[float]]) -> list[np.ndarray]:
    return [np.column_stack(xy) for xy in zip(xs, ys, strict=True)]


def frame_data(results: StoredResults, frames: plots.MapFrames) -> dict[str, dict[str, Any]]:
    """Controller → the values of its lines, limits and homes at every moment."""
    return {
        name: {
            "lines": packed(frames.line_loading[name]),
            "limits": packed(frames.limit_loading[name]),
            "homes": packed(frames.home_voltage[name]),
        }
        for name in results.runs
    }


def packed(frames: np.ndarray) -> dict[str, Any]:
    """Base64 of deflate: per element the changes from moment to moment, low bytes before high bytes."""
    changes = np.diff(frames.T, axis=1, prepend=np.uint16(0)).astype("<u2")
    planes = changes.reshape(-1, 1).view(np.uint8).T
    data = base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode("ascii")
    return {"elements": frames.shape[1], "moments": frames.shape[0], "data": data}
