"""Who talks to whom behind one limit: generators over nodes 0 … n-1, of which the last is the meter."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
from jaxtyping import Int

from grid_cosim.coordination.copies import METER, Copies
from grid_cosim.errors import GraphError, near_matches
from grid_cosim.kinds import GraphKind

Links = Int[np.ndarray, "links 2"]

_LARGEST_COMPLETE = 4_000
"""Nodes: a complete graph of more has over 16 million directed links."""

_TRIES = 100
"""Draws of a random graph until a connected one is found."""


@dataclass(frozen=True)
class Wanted:
    """The nodes of one limit that are to be linked, and what a rule may need to know for it."""

    n: int
    """How many; the last is the meter."""
    limit: str
    """What messages call it."""
    rng: np.random.Generator
    degree: int
    rewiring: float
    members: Int[np.ndarray, "members"]
    """The households behind nodes 0 … n-2."""
    cables: Callable[[], nx.Graph] | None
    """Makes the graph of the cables between them, where a feeder is known."""
    listed: Links | None
    """What a user's list says."""


def links_of(kind: GraphKind, wanted: Wanted) -> Links:
    """The links between the nodes of one limit, by the rule of that name."""
    n, limit = wanted.n, wanted.limit
    match kind:
        case "complete":
            return complete_links(n, limit=limit)
        case "line":
            return line_links(n)
        case "ring":
            return ring_links(n)
        case "random_regular":
            return random_regular_links(n, wanted.degree, wanted.rng, limit=limit)
        case "small_world":
            return small_world_links(n, wanted.degree, wanted.rewiring, wanted.rng, limit=limit)
        case "cables":
            if wanted.cables is None:
                raise GraphError(limit, "kind 'cables' was given no cable graph", "a feeder that has one")
            return cable_links(wanted.cables(), wanted.members, limit=limit)
        case "edges":
            assert wanted.listed is not None, "the list was read before"
            return wanted.listed


def complete_links(n: int, *, limit: str) -> Links:
    """Everyone talks to everyone: one round gives the exact mean. The reference, for small groups."""
    if n > _LARGEST_COMPLETE:
        raise GraphError(
            limit,
            f"a complete graph of {n} nodes has {n * (n - 1):,} directed links",
            "random_regular or cables",
        )
    return np.stack(np.triu_indices(n, k=1), axis=1).astype(np.int64)


def line_links(n: int) -> Links:
    """A chain with the meter at one end: the farthest that news can have to go."""
    return _as_links(nx.path_graph(n))


def ring_links(n: int) -> Links:
    """Each talks to the two beside it."""
    if n <= 2:
        return line_links(n)
    return _as_links(nx.cycle_graph(n))


def random_regular_links(n: int, degree: int, rng: np.random.Generator, *, limit: str) -> Links:
    """`degree` random partners each (networkx, Steger & Wormald 1999); complete where n ≤ degree + 1.

    Where n · degree is odd no such graph exists: the meter is spliced into links of a regular graph
    of the others and has one partner less.
    """
    if degree >= n - 1:
        return complete_links(n, limit=limit)
    if degree < 3:
        raise GraphError(limit, f"a random graph of degree {degree} falls apart", "degree >= 3, or ring")
    odd = n * degree % 2 == 1
    if odd and degree >= n - 2:
        return complete_links(n, limit=limit)
    for _ in range(_TRIES):
        graph = nx.random_regular_graph(degree, n - odd, seed=int(rng.integers(2**31)))
        if odd:
            _splice(graph, n - 1, degree // 2, rng)
        if nx.is_connected(graph):
            return _as_links(graph)
    raise GraphError(limit, f"no connected random graph of degree {degree} was found", "a larger degree")


def _splice(graph: nx.Graph, node: int, times: int, rng: np.random.Generator) -> None:
    """Put `node` into the middle of `times` links that share no end."""
    taken: set[int] = {node}
    edges = sorted(tuple(sorted(edge)) for edge in graph.edges)
    for k in rng.permutation(len(edges)):
        a, b = edges[k]
        if times == 0:
            return
        if a in taken or b in taken:
            continue
        graph.remove_edge(a, b)
        graph.add_edges_from([(a, node), (node, b)])
        taken |= {a, b}
        times -= 1


def small_world_links(n: int, degree: int, rewiring: float, rng: np.random.Generator, *, limit: str) -> Links:
    """A ring lattice of `degree` neighbours (an even number), some rewired (Watts & Strogatz 1998)."""
    if degree >= n - 1:
        return complete_links(n, limit=limit)
    if degree < 2:
        raise GraphError(limit, f"a ring lattice of degree {degree} has no links", "degree >= 2")
    seed = int(rng.integers(2**31))
    try:
        return _as_links(nx.connected_watts_strogatz_graph(n, degree, rewiring, tries=_TRIES, seed=seed))
    except nx.NetworkXError:
        raise GraphError(
            limit,
            f"no connected small world of degree {degree}, rewiring {rewiring}, was found",
            "a larger degree",
        ) from None


def cable_links(graph: nx.Graph, members: Int[np.ndarray, "members"], *, limit: str) -> Links:
    """Links along the cables: `graph` joins household rows and "meter"."""
    node_of: dict[object, int] = {int(h): k for k, h in enumerate(members)} | {METER: len(members)}
    strangers = [node for node in graph.nodes if node not in node_of]
    if strangers:
        raise GraphError(
            limit, f"the cable graph names {strangers[:5]}, no members of this limit", "its members only"
        )
    links = {tuple(sorted((node_of[a], node_of[b]))) for a, b in graph.edges if a != b}
    return np.array(sorted(links), dtype=np.int64).reshape(-1, 2)


def named_links(
    pairs: Sequence[tuple[str, str]], copies: Copies, names: Sequence[str]
) -> tuple[list[Links], tuple[str, ...]]:
    """Links of every limit from pairs of household names; "meter" is the meter of each limit of the other.

    Returns the links and notes. Raises GraphError where a name is unknown.
    """
    row_of = {name: k for k, name in enumerate(names)} | {METER: -1}
    unknown = sorted({name for pair in pairs for name in pair if name not in row_of})
    if unknown:
        shown = " ".join(f"{name!r} is not a household.{near_matches(name, row_of)}" for name in unknown[:5])
        more = f" And {len(unknown) - 5} more." if len(unknown) > 5 else ""
        raise GraphError(
            None, f"the edge list has {len(unknown)} unknown name(s): {shown}{more}", "household names"
        )
    node_in: list[dict[int, int]] = [{} for _ in names]
    for limit in range(copies.n_limits):
        for node, household in enumerate(copies.members(limit).tolist()):
            node_in[household][limit] = node
    links: list[set[tuple[int, int]]] = [set() for _ in range(copies.n_limits)]
    idle = 0
    for a, b in {(min(row_of[x], row_of[y]), max(row_of[x], row_of[y])) for x, y in pairs}:
        shared = [] if a == b else [limit for limit in node_in[b] if a == -1 or limit in node_in[a]]
        idle += not shared
        for limit in shared:
            node_a = len(copies.members(limit)) if a == -1 else node_in[a][limit]
            node_b = node_in[b][limit]
            links[limit].add((min(node_a, node_b), max(node_a, node_b)))
    notes = (
        (f"{idle} links of the edge list join nodes that share no limit and carry nothing",) if idle else ()
    )
    return [np.array(sorted(found), dtype=np.int64).reshape(-1, 2) for found in links], notes


def read_edge_list(path: Path) -> list[tuple[str, str]]:
    """Pairs of household names (or "meter") from a CSV of two columns, with or without a header "from,to".

    Raises GraphError for a missing file, no line at all, and a line that has not two names or twice the same.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [
                (number, [cell.strip() for cell in row])
                for number, row in enumerate(csv.reader(file), 1)
                if row
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise GraphError(None, f"edge list {path}: {reason}", "a UTF-8 CSV file, lines 'name,name'") from None
    if lines and [cell.lower() for cell in lines[0][1]] == ["from", "to"]:
        lines = lines[1:]
    wrong = [number for number, row in lines if len(row) != 2 or not all(row)]
    if wrong:
        raise GraphError(
            None,
            f"edge list {path}: line {wrong[0]} has not two names ({len(wrong)} such)",
            "lines 'name,name', comma-separated",
        )
    loops = [(number, row[0]) for number, row in lines if row[0] == row[1]]
    if loops:
        raise GraphError(
            None,
            f"edge list {path}: line {loops[0][0]} links {loops[0][1]!r} to itself",
            "links of two nodes",
        )
    if not lines:
        raise GraphError(None, f"edge list {path}: it has no links", "lines 'name,name', comma-separated")
    return [(row[0], row[1]) for _, row in lines]


def _as_links(graph: nx.Graph) -> Links:
    return np.array(sorted(tuple(sorted(edge)) for edge in graph.edges), dtype=np.int64).reshape(-1, 2)
