"""Where things are on a drawing: the feeder's own geography, or a tree where it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from grid_cosim.plots.layout import Place, estimated_places, forest, tree_places
from grid_cosim.results import Topology

# Length of one degree of latitude on the sphere of the IUGG mean radius, 6371.0088 km.
_METRES_PER_DEGREE = 6_371_008.8 * np.pi / 180.0
Course = Float[np.ndarray, "points 2"] | None
"""Corners of a line on the drawing; None: straight."""

_LEAST_LOCATED = 0.5
"""Share of the buses with coordinates from which on the others are estimated beside them."""
_BEND = 0.5
"""Where a line of the tree turns down, as a share of the way to the next layer."""
_BULGE = 0.12
"""Height of the arc of a line that closes a mesh, as a share of its length."""


@dataclass(frozen=True)
class Geometry:
    """Plane coordinates, x to the right and y up."""

    bus: Mapping[str, tuple[float, float]]
    line_xs: list[list[float]]
    line_ys: list[list[float]]
    link_xs: list[list[float]]
    """What joins buses and is no line: transformers, closed switches; a stroke each."""
    link_ys: list[list[float]]
    located: bool
    """Whether they are metres on the ground; otherwise a drawing of the tree without a scale."""
    estimated: int = 0
    """Buses without coordinates among others that have some: put beside their neighbours."""

    @property
    def note(self) -> str:
        """What a reader must know of the places; empty where all are on the ground."""
        if not self.located:
            return (
                "This network has no coordinates: it is drawn as a tree from the transformers downwards. "
                "Places and lengths are not geographic; arcs close meshes."
            )
        if self.estimated:
            missing = f"{self.estimated:,} of {len(self.bus):,} buses"
            return f"{missing} have no coordinates; their places are estimated."
        return ""


def geometry(topology: Topology) -> Geometry:
    """Longitudes and latitudes, projected about their centre with equal scales; without them, a tree.

    Where at least half of the buses have coordinates, the others are estimated from their neighbours.
    """
    degrees = topology.buses[["longitude", "latitude"]].to_numpy(dtype=float)
    known = np.isfinite(degrees).all(axis=1)
    if not len(degrees) or known.mean() < _LEAST_LOCATED:
        places = tree_places(topology)
        return _drawn(topology, places, *_tree_paths(topology, places), located=False)
    centre = (degrees[known].min(axis=0) + degrees[known].max(axis=0)) / 2.0
    scale = _METRES_PER_DEGREE * np.array([np.cos(np.radians(centre[1])), 1.0])
    metres = ((degrees - centre) * scale).tolist()
    places = {
        bus: (x, y) for bus, (x, y), given in zip(topology.buses["bus"], metres, known, strict=True) if given
    }
    if not known.all():
        places = estimated_places(topology, places)
    paths: list[Course] = [
        ((np.asarray(path, dtype=float)[:, :2] - centre) * scale).round(1) if _is_path(path) else None
        for path in topology.lines["path"]
    ]
    straight: list[Course] = [None] * len(topology.joined)
    return _drawn(topology, places, straight, paths, located=True, estimated=int((~known).sum()))


def _drawn(
    topology: Topology,
    places: Mapping[str, Place],
    of_links: list[Course],
    of_lines: list[Course],
    *,
    located: bool,
    estimated: int = 0,
) -> Geometry:
    """What has no course goes straight."""
    links, lines = (
        [
            path if path is not None else np.array([places[start], places[end]])
            for path, (start, end) in zip(paths, _ends(table), strict=True)
        ]
        for table, paths in ((topology.joined, of_links), (topology.lines, of_lines))
    )
    return Geometry(
        bus={bus: places[bus] for bus in topology.buses["bus"]},
        line_xs=[path[:, 0].tolist() for path in lines],
        line_ys=[path[:, 1].tolist() for path in lines],
        link_xs=[path[:, 0].tolist() for path in links],
        link_ys=[path[:, 1].tolist() for path in links],
        located=located,
        estimated=estimated,
    )


def _ends(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["from_bus"], table["to_bus"], strict=True))


def _is_path(path: object) -> bool:
    return isinstance(path, (list, tuple, np.ndarray)) and len(path) >= 2


def _tree_paths(topology: Topology, places: Mapping[str, Place]) -> tuple[list[Course], list[Course]]:
    """Links and lines of the tree run slantwise, then straight down; what closes a mesh is an arc."""
    parent = {child: bus for bus, children in forest(topology).children.items() for child in children}
    taken: set[str] = set()

    def course(start: str, end: str) -> Course:
        child = end if parent.get(end) == start else start if parent.get(start) == end else None
        if child is None or child in taken:
            return _arc(np.array(places[start]), np.array(places[end]))
        taken.add(child)
        (x0, y0), (x1, y1) = places[parent[child]], places[child]
        down = [(x0, y0), (x1, y0 + _BEND * (y1 - y0)), (x1, y1)] if x0 != x1 else [(x0, y0), (x1, y1)]
        return np.array(down if child == end else down[::-1])

    links, lines = (
        [course(start, end) for start, end in _ends(table)] for table in (topology.joined, topology.lines)
    )
    return links, lines


def _arc(start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "points 2"]:
    along = np.linspace(0.0, 1.0, 9)[:, None]
    aside = np.array([end[1] - start[1], start[0] - end[0]])
    return np.asarray(start + along * (end - start) + 4.0 * _BULGE * along * (1.0 - along) * aside)
