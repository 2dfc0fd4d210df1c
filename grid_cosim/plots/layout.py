"""Places for buses without coordinates: a tree from the transformers down, or beside neighbours with some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np

from grid_cosim.results import Topology

Place = tuple[float, float]

_ASPECT = 1.7
"""Width of the drawing of a tree over its height."""
_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
"""Neighbours of one place, each turned by it from the one before, do not fall on each other (Vogel 1979)."""


@dataclass(frozen=True)
class Forest:
    """Which bus feeds which; what closes a mesh is not part of it."""

    children: Mapping[str, Sequence[str]]
    """Bus → the buses that it feeds, the one with most behind it first; every bus is a key."""
    roots: Sequence[str]
    """Buses that nothing feeds."""
    depth: Mapping[str, int]
    """Branches from the root."""


def network_graph(topology: Topology) -> nx.Graph:
    """Buses, joined by lines, transformers and closed switches."""
    graph = nx.Graph()
    graph.add_nodes_from(topology.buses["bus"])
    for frame in (topology.lines, topology.joined):
        graph.add_edges_from(zip(frame["from_bus"], frame["to_bus"], strict=True))
    return graph


def forest(topology: Topology, buses: Iterable[str] | None = None) -> Forest:
    """A spanning forest of the network, or of some of its buses, with the high voltage at the roots."""
    graph = network_graph(topology)
    if buses is not None:
        wanted = set(buses)
        graph = _among(graph, [bus for bus in graph if bus in wanted])
    kv = dict(zip(topology.buses["bus"], topology.buses["vn_kv"].astype(float), strict=True))
    trafos = topology.joined[topology.joined["element"].isin(("trafo", "trafo3w"))]
    high = [bus for bus in dict.fromkeys(trafos["from_bus"]) if bus in graph]
    roots: list[str] = []
    children: dict[str, list[str]] = {bus: [] for bus in graph}
    depth: dict[str, int] = {}
    for part in _parts(graph):
        found = _roots(graph, part, kv, [bus for bus in high if bus in part])
        roots += found
        _grow(graph, found, children, depth)
    _heaviest_first(children, depth)
    return Forest(children, roots, depth)


def _among(graph: nx.Graph, buses: Sequence[str]) -> nx.Graph:
    """Some buses in their order, with what joins them: a view has another order in each process."""
    wanted = set(buses)
    made = nx.Graph()
    made.add_nodes_from(buses)
    made.add_edges_from((bus, other) for bus in buses for other in graph[bus] if other in wanted)
    return made


def _parts(graph: nx.Graph) -> list[dict[str, None]]:
    """Connected parts in the order of their first bus, each in the order of the graph."""
    part_of: dict[str, int] = {}
    for number, part in enumerate(nx.connected_components(graph)):
        part_of |= dict.fromkeys(part, number)
    parts: dict[int, dict[str, None]] = {}
    for bus in graph:
        parts.setdefault(part_of[bus], {})[bus] = None
    return list(parts.values())


def _roots(graph: nx.Graph, part: Iterable[str], kv: Mapping[str, float], high: Sequence[str]) -> list[str]:
    """One bus per piece of the highest voltage: the upper side of a transformer, or the best connected."""
    buses = list(part)
    top = max(kv[bus] for bus in buses)
    pieces = _parts(_among(graph, [bus for bus in buses if kv[bus] == top]))
    fed = [next((bus for bus in high if bus in piece), None) for piece in pieces]
    named = [bus for bus in fed if bus is not None]
    return named or [max(pieces[0], key=lambda bus: graph.degree[bus])]


def _grow(
    graph: nx.Graph, roots: Sequence[str], children: dict[str, list[str]], depth: dict[str, int]
) -> None:
    """Breadth first from all roots together, so that what two of them feed hangs at the nearer one."""
    depth |= dict.fromkeys(roots, 0)
    layer = list(roots)
    while layer:
        further = []
        for bus in layer:
            for other in graph[bus]:
                if other not in depth:
                    depth[other] = depth[bus] + 1
                    children[bus].append(other)
                    further.append(other)
        layer = further


def _heaviest_first(children: dict[str, list[str]], depth: Mapping[str, int]) -> None:
    behind = dict.fromkeys(children, 1)
    for bus in sorted(children, key=lambda bus: -depth[bus]):
        behind[bus] += sum(behind[child] for child in children[bus])
        children[bus].sort(key=lambda child: -behind[child])


def tree_places(topology: Topology, buses: Iterable[str] | None = None) -> dict[str, Place]:
    """A place for every bus: layer by layer downwards, each straight above the child with most behind it.

    Branches stand as close beside each other as they can (after Reingold & Tilford 1981). The drawing is as
    wide as 1.7 and as high as 1. Lines between a bus and its child do not cross.
    """
    grown = forest(topology, buses)
    aside: dict[str, int] = {}
    outlines: dict[str, _Outline] = {}
    for root in grown.roots:
        for bus in _leaves_first(grown, root):
            outlines[bus] = _beside_each_other(grown.children[bus], outlines, aside)
            outlines[bus].left.append(0)
            outlines[bus].right.append(0)
    _beside_each_other(grown.roots, outlines, aside)
    column = {root: aside[root] for root in grown.roots}
    for bus in sorted(grown.children, key=lambda bus: grown.depth[bus]):
        column |= {child: column[bus] + aside[child] for child in grown.children[bus]}
    deepest = max(grown.depth.values(), default=0) or 1
    wide = max(column.values(), default=0) or 1
    return {bus: (_ASPECT * column[bus] / wide, -grown.depth[bus] / deepest) for bus in column}


@dataclass(frozen=True)
class _Outline:
    """First and last column of what is behind a bus, counted from its own, the deepest layer first."""

    left: list[int]
    right: list[int]


def _beside_each_other(
    branches: Sequence[str], outlines: dict[str, _Outline], aside: dict[str, int]
) -> _Outline:
    """Put each branch beside those before it and note by how much; their outline, without what joins them."""
    whole = _Outline([], [])
    for branch in branches:
        own = outlines.pop(branch)
        if not whole.right:
            aside[branch] = 0
            whole = own
            continue
        shared = min(len(own.left), len(whole.right))
        by = 1 + max(whole.right[-1 - layer] - own.left[-1 - layer] for layer in range(shared))
        aside[branch] = by
        left, right = [by + at for at in own.left], [by + at for at in own.right]
        whole.right[len(whole.right) - shared :] = right[len(right) - shared :]
        whole.left[:0] = left[: len(left) - shared]
        whole.right[:0] = right[: len(right) - shared]
    return whole


def _leaves_first(grown: Forest, root: str) -> list[str]:
    """All buses behind one, each after its children; without recursion, which a long street would exhaust."""
    order, waiting = [], [root]
    while waiting:
        bus = waiting.pop()
        order.append(bus)
        waiting += grown.children[bus]
    return order[::-1]


def estimated_places(topology: Topology, known: Mapping[str, Place]) -> dict[str, Place]:
    """A place for every bus of which some have one: between known neighbours, or a line's length beside.

    Parts of the network in which no bus has a place are drawn as a tree below the others.
    """
    graph = network_graph(topology)
    places = dict(known)
    metres = _line_lengths(topology, known)
    lost: list[str] = []
    for part in _parts(graph):
        missing = [bus for bus in part if bus not in places]
        if len(missing) == len(part):
            lost += missing
        elif missing:
            _between(graph, missing, places)
            _beside(graph, missing, places, metres)
    if lost:
        places |= _below(tree_places(topology, lost), places)
    return places


def _line_lengths(topology: Topology, known: Mapping[str, Place]) -> dict[frozenset[str], float]:
    """Metres between neighbours; where no length is given, the median of those that are."""
    lines = topology.lines
    metres = 1e3 * lines["length_km"].to_numpy(dtype=float)
    given = metres[np.isfinite(metres) & (metres > 0.0)]
    usual = float(np.median(given)) if given.size else 30.0
    return {
        frozenset((start, end)): float(length) if np.isfinite(length) and length > 0.0 else usual
        for start, end, length in zip(lines["from_bus"], lines["to_bus"], metres, strict=True)
    }


def _between(graph: nx.Graph, missing: Sequence[str], places: dict[str, Place]) -> None:
    """Put each bus that lies on a way between two known ones in proportion between them."""
    wanted = set(missing) - _hanging(graph, missing)
    while True:
        way = _way(graph, wanted, places)
        if way is None:
            return
        start, end = np.array(places[way[0]]), np.array(places[way[-1]])
        for number, bus in enumerate(way[1:-1], start=1):
            x, y = start + (end - start) * number / (len(way) - 1)
            places[bus] = (float(x), float(y))
            wanted.discard(bus)


def _hanging(graph: nx.Graph, missing: Sequence[str]) -> set[str]:
    """Of the missing, those that lie on no way between known ones or around a mesh."""
    wanted = set(missing)
    joined = {bus: len(graph[bus]) for bus in missing}
    ends = [bus for bus in missing if joined[bus] <= 1]
    hanging: set[str] = set()
    while ends:
        bus = ends.pop()
        hanging.add(bus)
        for other in graph[bus]:
            if other in wanted and other not in hanging:
                joined[other] -= 1
                if joined[other] == 1:
                    ends.append(other)
    return hanging


def _way(graph: nx.Graph, wanted: set[str], places: Mapping[str, Place]) -> list[str] | None:
    """A shortest way from a known bus to another one through wanted ones only; None where there is none."""
    for first in [bus for bus in graph if bus in places and any(other in wanted for other in graph[bus])]:
        before: dict[str, str] = {}
        layer = [other for other in graph[first] if other in wanted]
        before |= dict.fromkeys(layer, first)
        while layer:
            further = []
            for bus in layer:
                for other in graph[bus]:
                    if other in places and other != first:
                        way = [other, bus]
                        while way[-1] != first:
                            way.append(before[way[-1]])
                        return way
                    if other in wanted and other not in before:
                        before[other] = bus
                        further.append(other)
            layer = further
    return None


def _beside(
    graph: nx.Graph,
    missing: Sequence[str],
    places: dict[str, Place],
    metres: Mapping[frozenset[str], float],
) -> None:
    """Fan what hangs at known places out around them, outwards."""
    centre = np.mean([places[bus] for bus in graph if bus in places], axis=0)
    usual = float(np.median(list(metres.values()))) if metres else 30.0
    layer = [bus for bus in graph if bus in places]
    for_sure = set(layer)
    while layer:
        further = []
        for bus in layer:
            new = [other for other in graph[bus] if other not in for_sure]
            away = np.array(places[bus]) - centre
            heading = float(np.arctan2(away[1], away[0]))
            for number, other in enumerate(new):
                turn = heading + (-1) ** number * ((number + 1) // 2) * _GOLDEN_ANGLE / 4.0
                step = metres.get(frozenset((bus, other)), usual)
                x, y = places[bus]
                places[other] = (x + step * float(np.cos(turn)), y + step * float(np.sin(turn)))
                for_sure.add(other)
                further.append(other)
        layer = further


def _below(tree: Mapping[str, Place], places: Mapping[str, Place]) -> dict[str, Place]:
    """The drawing of a tree, half as wide as the map and under it."""
    taken = np.array(list(places.values()))
    left, bottom = taken.min(axis=0)
    width = float(np.ptp(taken[:, 0])) or 100.0
    scale = 0.5 * width / _ASPECT
    return {
        bus: (float(left + scale * x), float(bottom - 0.1 * width + scale * y))
        for bus, (x, y) in tree.items()
    }
