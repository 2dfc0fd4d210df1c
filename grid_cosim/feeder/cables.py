"""Who of a limit's members is next to whom along the cables."""

from __future__ import annotations

import networkx as nx
import numpy as np
from jaxtyping import Int

from grid_cosim.feeder.limits import Limits
from grid_cosim.feeder.wiring import Wiring


def cable_graph(
    limits: Limits,
    limit: int,
    wiring: Wiring,
    home_node: Int[np.ndarray, " homes"],
    bus_node: int,
) -> nx.Graph:
    """Members of a limit (household rows) and its "meter", joined where they are neighbours along the cables.

    Each stretch of cable belongs to the electrically nearest home or to the meter; whose stretches touch
    are neighbours. Homes at one bus form a chain. In a radial feeder the graph is a tree. The meter of a
    voltage is at its bus, `bus_node`, and all cables count.
    """
    members = np.sort(limits.coupling[[limit], :].tocoo().coords[1])
    branch = int(limits.branch[limit])
    if not members.size:
        return nx.empty_graph(["meter"])
    if branch < 0:
        meter_node, region = bus_node, np.ones(wiring.n_nodes, dtype=bool)
    else:
        ends = (wiring.from_node[branch], wiring.to_node[branch])
        meter_node = ends[1] if limits.direction[limit] > 0 else ends[0]
        region = limits.direction[limit] * wiring.shares(np.array([branch])).toarray()[0] > 0

    nodes, first = np.unique(home_node[members], return_index=True)
    away = nodes != meter_node
    seeds = np.concatenate([[meter_node], nodes[away]]).astype(np.int64)
    who: list[int | str] = ["meter", *(int(members[i]) for i in first[away])]

    graph = nx.Graph()
    graph.add_node("meter")
    graph.add_nodes_from(int(i) for i in members)
    for a, b in wiring.neighbours(seeds, region, branch):
        graph.add_edge(who[a], who[b])
    last_at = dict(zip(seeds.tolist(), who, strict=True))
    for i, node in zip(members.tolist(), home_node[members].tolist(), strict=True):
        if last_at[node] != i:
            graph.add_edge(last_at[node], i)
            last_at[node] = i
    for component in list(nx.connected_components(graph)):
        if "meter" not in component:  # its only cable to the meter leads through another limit
            graph.add_edge("meter", min(component))
    return graph
