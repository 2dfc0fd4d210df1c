"""Where things are on the page: the feeder's own geography, or a tree where it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx
import numpy as np

from grid_cosim.results import Topology

# Length of one degree of latitude on the sphere of the IUGG mean radius, 6371.0088 km.
_METRES_PER_DEGREE = 6_371_008.8 * np.pi / 180.0
_TREE_ASPECT = 1.7


@dataclass(frozen=True)
class Geometry:
    """Plane coordinates, x to the right and y up."""

    bus: Mapping[str, tuple[float, float]]
    line_xs: list[list[float]]
    line_ys: list[list[float]]
    located: bool
    """Whether they are metres on the ground; otherwise a drawing of the tree without a scale."""


def geometry(topology: Topology) -> Geometry:
    """Longitudes and latitudes, projected about their centre with equal scales; without them, a tree."""
    degrees = topology.buses[["longitude", "latitude"]].to_numpy(dtype=float)
    located = bool(len(degrees)) and bool(np.isfinite(degrees).all())
    if not located:
        places = _tree(topology)
        paths = [None] * len(topology.lines)
    else:
        centre = (degrees.min(axis=0) + degrees.max(axis=0)) / 2.0
        scale = _METRES_PER_DEGREE * np.array([np.cos(np.radians(centre[1])), 1.0])
        places = dict(zip(topology.buses["bus"], ((degrees - centre) * scale).tolist(), strict=True))
        paths = [
            ((np.asarray(path, dtype=float)[:, :2] - centre) * scale).round(1) if _is_path(path) else None
            for path in topology.lines["path"]
        ]
    ends = zip(topology.lines["from_bus"], topology.lines["to_bus"], strict=True)
    drawn = [
        path if path is not None else np.array([places[start], places[end]])
        for path, (start, end) in zip(paths, ends, strict=True)
    ]
    return Geometry(
        bus={bus: (x, y) for bus, (x, y) in places.items()},
        line_xs=[path[:, 0].tolist() for path in drawn],
        line_ys=[path[:, 1].tolist() for path in drawn],
        located=located,
    )


def _is_path(path: object) -> bool:
    return isinstance(path, (list, tuple, np.ndarray)) and len(path) >= 2


def _tree(topology: Topology) -> dict[str, tuple[float, float]]:
    """Leaves side by side, every other bus above the middle of what it feeds, high voltage on top."""
    graph = nx.Graph()
    graph.add_nodes_from(topology.buses["bus"])
    for frame in (topology.lines, topology.limits):
        graph.add_edges_from(zip(frame["from_bus"], frame["to_bus"], strict=True))
    roots = [bus for bus in topology.limits.sort_values("level", kind="stable")["from_bus"] if bus in graph]
    x: dict[str, float] = {}
    depth: dict[str, int] = {}
    leaves = 0
    for root in [*roots, *graph.nodes]:
        if root in depth:
            continue
        children: dict[str, list[str]] = {}
        depth[root] = 0
        for parent, child in nx.bfs_edges(graph, root):
            children.setdefault(parent, []).append(child)
            depth[child] = depth[parent] + 1
        for bus in nx.dfs_postorder_nodes(nx.DiGraph(children) if children else nx.empty_graph([root]), root):
            below = [x[child] for child in children.get(bus, [])]
            x[bus] = float(np.mean(below)) if below else float(leaves)
            leaves += 0 if below else 1
    deepest = max(depth.values(), default=0) or 1
    return {bus: (_TREE_ASPECT * x[bus] / max(leaves - 1, 1), -depth[bus] / deepest) for bus in x}
