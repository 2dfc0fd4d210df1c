"""The communication graph of all limits: one sparse, block-diagonal, doubly stochastic mixing matrix.

Weights are Metropolis–Hastings, w_ij = 1 / (1 + max(d_i, d_j)) (Xiao & Boyd 2004, "Fast linear
iterations for distributed averaging"): a node needs its own degree and its neighbours', nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from threadpoolctl import threadpool_limits

from grid_cosim.coordination.border import Border
from grid_cosim.coordination.copies import METER, NO_HOUSEHOLD, Copies
from grid_cosim.coordination.topologies import Wanted, links_of, named_links
from grid_cosim.errors import GraphError
from grid_cosim.kinds import GraphKind

_DENSE_NODES = 400
"""Up to here the mixing rate comes from all eigenvalues of the dense block."""

_ROWS_AT_ONCE = 8192
"""Copies in a turn, about, unless a limit alone has more."""

_RESTARTS = 300
"""Restarts of Lanczos; random graphs need fewer than 20."""


@dataclass(frozen=True)
class Links:
    """Undirected links between nodes 0 … n-1 with the weight that either end gives the other.

    With a `border` some of the nodes only stand for others that are elsewhere.
    """

    n_nodes: int
    ends: Int[np.ndarray, "links 2"]
    weight: Float[np.ndarray, "links"]
    border: Border | None = None

    @classmethod
    def metropolis(cls, n_nodes: int, ends: Int[np.ndarray, "links 2"]) -> Links:
        """Metropolis–Hastings weights for these links."""
        degree = np.bincount(ends.ravel(), minlength=n_nodes)
        return cls(n_nodes, ends, 1.0 / (1.0 + degree[ends].max(axis=1, initial=0)))

    @cached_property
    def mixing(self) -> csr_array:
        """W: symmetric, rows and columns sum to 1."""
        a, b = self.ends.T
        shape = (self.n_nodes, self.n_nodes)
        to_others = csr_array(
            (np.tile(self.weight, 2), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=shape
        )
        kept = 1.0 - np.asarray(to_others.sum(axis=1)).ravel()
        return csr_array(to_others + csr_array((kept, (np.arange(self.n_nodes),) * 2), shape=shape))

    @cached_property
    def incidence(self) -> csr_array:
        """(links, nodes): +1 at one end, -1 at the other."""
        n_links = len(self.ends)
        entries = np.tile([1.0, -1.0], n_links)
        where = (np.repeat(np.arange(n_links), 2), self.ends.ravel())
        return csr_array((entries, where), shape=(n_links, self.n_nodes))

    @cached_property
    def interval(self) -> Float[np.ndarray, "nodes 2"]:
        """Where the eigenvalues of W lie besides 1, in each node's own connected group: [low, high]."""
        count, group = connected_components(self.mixing, directed=False)
        nodes = np.argsort(group, kind="stable")
        sorted_mixing = _square(self.mixing, nodes)
        end = np.cumsum(np.bincount(group, minlength=count))
        spectra = [
            spectrum(block(sorted_mixing, slice(first, last))) for first, last in pairwise([0, *end.tolist()])
        ]
        return np.array(spectra).reshape(-1, 2)[group]

    @cached_property
    def centred(self) -> csr_array:
        """(W - c) / e, with c and e the middle and half the width of each group's interval."""
        middle, half = middle_and_half(self.interval)
        centred = csr_array(self.mixing - diags_array(middle))
        return csr_array(diags_array(1.0 / half) @ centred)

    @cached_property
    def cuts(self) -> Int[np.ndarray, "cuts"]:
        """Numbers, 0 and `n_nodes` among them, such that no link joins nodes below one and not below it."""
        first, last = np.sort(self.ends, axis=1).T
        open_links = np.zeros(self.n_nodes + 1, dtype=np.int64)
        np.add.at(open_links, first + 1, 1)
        np.add.at(open_links, last + 1, -1)
        return np.flatnonzero(np.cumsum(open_links) == 0)

    def among(self, nodes: Int[np.ndarray, "kept"]) -> Links:
        """The links whose both ends are in `nodes`, renumbered in that order, with the same weights."""
        number = np.full(self.n_nodes, -1)
        number[nodes] = np.arange(len(nodes))
        ends = number[self.ends]
        inside = (ends >= 0).all(axis=1)
        border = None if self.border is None else self.border.among(nodes)
        return Links(len(nodes), ends[inside], self.weight[inside], border)

    def of_groups(self, nodes: Int[np.ndarray, "kept"]) -> Links:
        """As `among`, where `nodes` are whole connected groups: what is known of them is not found anew."""
        part = self.among(nodes)
        # a cached property is an entry of the instance's dictionary
        known, parts = self.__dict__, part.__dict__
        parts |= {name: _square(known[name], nodes) for name in ("mixing", "centred") if name in known}
        if "interval" in known:
            parts["interval"] = self.interval[nodes]
        return part


def _square(matrix: csr_array, nodes: Int[np.ndarray, "kept"]) -> csr_array:
    """Rows and columns of `nodes`, whole connected groups, renumbered in that order."""
    number = np.full(matrix.shape[0], -1)
    number[nodes] = np.arange(len(nodes))
    rows = matrix[nodes]
    return csr_array((rows.data, number[rows.indices], rows.indptr), shape=(len(nodes), len(nodes)))


def block(matrix: csr_array, rows: slice) -> csr_array:
    """The part of a block-diagonal matrix that belongs to these rows, without a search for its columns."""
    if rows == slice(None):
        return matrix
    first, end = matrix.indptr[rows.start], matrix.indptr[rows.stop]
    n = rows.stop - rows.start
    indices = matrix.indices[first:end] - rows.start
    indptr = matrix.indptr[rows.start : rows.stop + 1] - first
    return csr_array((matrix.data[first:end], indices, indptr), shape=(n, n))


_NARROWEST = 1e-3
"""Half the width of an interval of eigenvalues at least: a complete graph has but one besides 1."""


def middle_and_half(
    interval: Float[np.ndarray, "groups 2"],
) -> tuple[Float[np.ndarray, "groups"], Float[np.ndarray, "groups"]]:
    """Middle and half the width of each interval of eigenvalues, as accelerated rounds take it."""
    low, high = interval.T
    return 0.5 * (low + high), np.maximum(0.5 * (high - low), _NARROWEST)


@dataclass(frozen=True)
class Turn:
    """Copies of limits that step together, with the links among them; indices are rows of this turn.

    `rows` are its rows in all copies; `held` are the rows here that a household holds, `household` and
    `weight` theirs; `meter` are the rows here that a meter holds, in the order of `limits`.
    """

    limits: Int[np.ndarray, "limits_here"]
    rows: Int[np.ndarray, "rows"]
    links: Links
    held: Int[np.ndarray, "held"]
    household: Int[np.ndarray, "held"]
    weight: Float[np.ndarray, "held"]
    meter: Int[np.ndarray, "limits_here"]

    @classmethod
    def of(cls, copies: Copies, limits: Int[np.ndarray, "limits_here"], links: Links) -> Turn:
        """Those limits; `links` are those among all copies of `copies`."""
        rows = copies.rows_of(limits)
        household = copies.household[rows]
        held = np.flatnonzero(household != NO_HOUSEHOLD)
        return cls(
            limits=limits,
            rows=rows,
            links=links.of_groups(rows),
            held=held,
            household=household[held],
            weight=copies.weight[rows[held]],
            meter=np.flatnonzero(household == NO_HOUSEHOLD),
        )

    @property
    def start(self) -> Int[np.ndarray, "limits_and_end"]:
        """First row of each limit here, and the end."""
        return np.append(0, self.meter + 1)

    def among(self, awake: Bool[np.ndarray, "limits_here"]) -> tuple[Turn, Int[np.ndarray, "rows"]]:
        """Some of its limits, and where their rows are among those of this turn."""
        kept = np.repeat(awake, np.diff(self.start))
        rows = np.flatnonzero(kept)
        number = np.cumsum(kept) - 1
        held, meter = kept[self.held], awake
        return Turn(
            limits=self.limits[awake],
            rows=self.rows[rows],
            links=self.links.of_groups(rows),
            held=number[self.held[held]],
            household=self.household[held],
            weight=self.weight[held],
            meter=number[self.meter[meter]],
        ), rows


@dataclass(frozen=True)
class CommunicationGraph:
    """Who talks to whom about which limit, over all copies. `notes`: what a user should know of it."""

    copies: Copies
    links: Links
    notes: tuple[str, ...] = ()

    @property
    def mixing(self) -> csr_array:
        """W over all copies, block-diagonal by limit."""
        return self.links.mixing

    @cached_property
    def degree(self) -> Int[np.ndarray, "copies"]:
        """Neighbours of every copy."""
        return np.bincount(self.links.ends.ravel(), minlength=self.copies.n_copies)

    @cached_property
    def messages_per_round(self) -> Int[np.ndarray, "limits"]:
        """Directed messages of each limit in one round: one per neighbour and copy."""
        return np.add.reduceat(self.degree, self.copies.start[:-1])

    @cached_property
    def mixing_rate(self) -> Float[np.ndarray, "limits"]:
        """σ of each limit: second largest singular value of its block of W, computed on first use."""
        low, high = self.interval.T
        # of a large block the interval's upper end is σ already, and the lower one Gershgorin's
        large = np.diff(self.copies.start) > _DENSE_NODES
        return np.where(large, high, np.maximum(np.abs(low), np.abs(high)))

    @cached_property
    def interval(self) -> Float[np.ndarray, "limits 2"]:
        """Where the eigenvalues of each limit's block of W lie besides 1, as `Links.interval`."""
        return self.links.interval[self.copies.start[1:] - 1]

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """The order in which limits step: outermost level first.

        Many limits that may step together do so in several turns, each with few enough copies for a cache.
        """
        size = np.diff(self.copies.start)
        turns = []
        for limits in self.copies.turns():
            turn_of = (np.cumsum(size[limits]) - 1) // _ROWS_AT_ONCE
            parts = np.split(limits, np.flatnonzero(np.diff(turn_of)) + 1)
            turns += [Turn.of(self.copies, part, self.links) for part in parts]
        return tuple(turns)

    @cached_property
    def whole(self) -> Turn:
        """All limits at once; a household is in it once for every limit."""
        return Turn.of(self.copies, np.arange(self.copies.n_limits), self.links)

    @cached_property
    def hops(self) -> Int[np.ndarray, "limits"]:
        """Links between any two copies of a limit at the most: twice those from its meter to the farthest."""
        far = dijkstra(
            self.mixing, directed=False, indices=self.copies.start[1:] - 1, unweighted=True, min_only=True
        )
        return 2 * np.maximum.reduceat(far, self.copies.start[:-1]).astype(np.int64)


def communication(
    copies: Copies,
    kind: GraphKind,
    *,
    seed: int = 0,
    degree: int = 4,
    rewiring: float = 0.2,
    cables: Callable[[int], nx.Graph] | None = None,
    edges: Sequence[tuple[str, str]] | None = None,
    names: Sequence[str] | None = None,
    limit_names: Sequence[str] | None = None,
) -> CommunicationGraph:
    """Build the graph of every limit: its members and its meter are the nodes.

    `degree` is for random_regular and small_world, `rewiring` for small_world; `cables` gives the
    cable graph of a limit (household rows and "meter"), for kind "cables"; `edges` are pairs of
    `names` or "meter", for kind "edges". A limit's random graph depends on `seed` and its row only.
    Raises GraphError where a limit's members are not connected, naming the components.
    """
    limit_label = [f"limit {j}" for j in range(copies.n_limits)] if limit_names is None else list(limit_names)
    home_label = [f"home {i}" for i in range(copies.n_households)] if names is None else list(names)
    listed: list[Int[np.ndarray, "links 2"]] = []
    notes: tuple[str, ...] = ()
    if kind == "edges":
        if edges is None:
            raise GraphError(
                None, "kind 'edges' was given no edge list", "a list of pairs of household names"
            )
        listed, notes = named_links(edges, copies, home_label)
    blocks = []
    for limit, label in enumerate(limit_label):
        members = copies.members(limit)
        n = len(members) + 1
        rng = np.random.default_rng([seed, limit])
        wanted = Wanted(
            n,
            limit=label,
            rng=rng,
            degree=degree,
            rewiring=rewiring,
            members=members,
            cables=None if cables is None else partial(cables, limit),
            listed=listed[limit] if listed else None,
        )
        ends = links_of(kind, wanted)
        _require_connected(n, ends, label, [home_label[i] for i in members] + [METER])
        blocks.append(ends + copies.start[limit])
    ends = np.concatenate(blocks) if blocks else np.zeros((0, 2), dtype=np.int64)
    return CommunicationGraph(copies, Links.metropolis(copies.n_copies, ends), notes)


def _require_connected(n: int, ends: Int[np.ndarray, "links 2"], limit: str, node_names: list[str]) -> None:
    adjacency = csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    count, component = connected_components(adjacency, directed=False)
    if count == 1:
        return
    parts = sorted((np.flatnonzero(component == k) for k in range(count)), key=len)
    shown = "; ".join(
        f"{len(part)} node(s) {', '.join(node_names[k] for k in part[:4])}{', …' if len(part) > 4 else ''}"
        for part in parts[:4]
    )
    more = f"; and {count - 4} more" if count > 4 else ""
    raise GraphError(limit, f"it falls into {count} parts: {shown}{more}", "a graph that joins them")


def spectrum(mixing: csr_array) -> tuple[float, float]:
    """An interval that holds all eigenvalues of W but the 1 of its mean; tight for small W.

    Large matrices get Gershgorin's bound from below and σ from above.
    """
    n = mixing.shape[0]
    if n == 1:
        return 0.0, 0.0
    if n <= _DENSE_NODES:
        values = np.linalg.eigvalsh(mixing.toarray())
        return float(values[0]), float(values[-2])
    return float(2.0 * mixing.diagonal().min() - 1.0), mixing_rate(mixing)


def mixing_rate(mixing: csr_array) -> float:
    """σ: second largest singular value of a symmetric doubly stochastic matrix; 0 for a single node."""
    n = mixing.shape[0]
    if n <= _DENSE_NODES:
        return max(abs(bound) for bound in spectrum(mixing))
    with threadpool_limits(1):  # of vectors only: threads would wait for each other longer than they work
        return _by_lanczos(mixing, np.random.default_rng(0).standard_normal(n))


def _by_lanczos(mixing: csr_array, start: Float[np.ndarray, "nodes"]) -> float:
    n = mixing.shape[0]
    centred = LinearOperator((n, n), matvec=lambda x: mixing @ x - x.mean(), dtype=float)
    try:
        return float(abs(eigsh(centred, k=1, v0=start, maxiter=_RESTARTS, return_eigenvectors=False)[0]))
    except ArpackNoConvergence:
        # eigenvalues crowd at 1 (rings, long feeders): find them from beside 1; such graphs factorise cheaply
        near_one = eigsh(mixing, k=2, sigma=1.0 + 1e-9, which="LM", v0=start, return_eigenvectors=False)
        return float(np.sort(near_one)[0])
