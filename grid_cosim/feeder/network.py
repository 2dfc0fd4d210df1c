"""A feeder: the net, its households, its limits and everything else that hangs on it, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from pandapower.auxiliary import pandapowerNet
from scipy.sparse import csr_array, diags_array

from grid_cosim.errors import FeederError
from grid_cosim.feeder.background import Background, read_background
from grid_cosim.feeder.cables import cable_graph
from grid_cosim.feeder.checks import check_tables
from grid_cosim.feeder.geography import read_geography
from grid_cosim.feeder.homes import find_homes
from grid_cosim.feeder.limits import LimitChoice, Limits, branch_limits, nested
from grid_cosim.feeder.opening import Opened, drop_profiles, mend, open_net, read_wiring
from grid_cosim.feeder.phases import home_phases, limits_per_phase
from grid_cosim.feeder.wiring import Wiring


@dataclass(frozen=True)
class Feeder:
    """A network with households in it; rows of the home fields are households."""

    source: str
    """What the user named."""
    title: str
    net: pandapowerNet
    """A mended copy; for this room only."""
    home_load: Int[np.ndarray, " homes"]
    """pandapower load index; several homes have one where a load stands for several."""
    home_names: tuple[str, ...]
    home_bus: Int[np.ndarray, " homes"]
    """pandapower bus index."""
    has_heat_pump: Bool[np.ndarray, " homes"] | None
    """From the net's own heat pump loads; None where the net knows none."""
    profile: tuple[str | None, ...]
    """SimBench shape per home, "H0-A"; None elsewhere."""
    connection_buses: Int[np.ndarray, " connections"]
    """Buses with homes, sorted."""
    home_connection: Int[np.ndarray, " homes"]
    """Row of each home in `connection_buses`."""
    limits: Limits
    background: Background
    licence: str
    notes: tuple[str, ...]
    """What was mended or assumed."""
    buses: pd.DataFrame
    """By pandapower bus index: name, vn_kv, longitude, latitude (NaN where the net has none)."""
    lines: pd.DataFrame
    """By pandapower line index: name, from_bus, to_bus, length_km, max_i_ka, rated_kva, path.

    The path is [[lon, lat], …] or None."""
    trafos: pd.DataFrame
    """By pandapower transformer index: name, hv_bus, lv_bus, rated_kva."""
    wiring: Wiring
    line_branch: Int[np.ndarray, " lines"]
    """Row of each line in the wiring; -1 where it is not energised."""
    home_phase: Int[np.ndarray, " homes"] | None = None
    """Phase of each home where the feeder is solved per phase: 0, 1, 2, or -1 for all three."""
    limit_share: float = 1.0
    """Part of every transformer's rating that may be used."""
    choice: LimitChoice | None = None
    """What was asked for besides the transformers' limits; None: nothing."""
    later: tuple[Later, ...] = ()
    """The same feeder with its switches otherwise, in the order of time; none where nothing is switched."""

    @property
    def n_households(self) -> int:
        """N."""
        return self.home_load.size

    @property
    def without_power(self) -> Bool[np.ndarray, " homes"]:
        """Homes that are connected to no external grid."""
        return np.asarray(self.wiring.node_of_bus[self.home_bus] < 0)

    def at(self, step: int) -> Feeder:
        """The feeder as it is switched in a control step."""
        return next((later.feeder for later in reversed(self.later) if later.start <= step), self)

    def periods(self, n_steps: int) -> list[tuple[range, Feeder]]:
        """The control steps in which it is switched in one way, one after the other, and how."""
        starts = [0, *(later.start for later in self.later), n_steps]
        return [(range(*ends), self.at(ends[0])) for ends in pairwise(starts)]

    def fed_at(self, buses: Int[np.ndarray, " buses"]) -> Feeder:
        """The same with more connection points: at buses where something else than homes is connected."""
        connection_buses = np.union1d(self.connection_buses, buses)
        return replace(
            self,
            connection_buses=connection_buses,
            home_connection=np.searchsorted(connection_buses, self.home_bus),
            later=tuple(replace(later, feeder=later.feeder.fed_at(buses)) for later in self.later),
        )

    @cached_property
    def connected(self) -> csr_array:
        """(homes, connections): 1 where a home is connected."""
        homes = np.arange(self.n_households)
        shape = (homes.size, self.connection_buses.size)
        return csr_array((np.ones(homes.size), (homes, self.home_connection)), shape=shape)

    def first_limit_kw(self) -> Float[np.ndarray, " limits"]:
        """What each limit can carry in kW, before the first AC solution."""
        return self.limits.first_limit_kw()

    @cached_property
    def _background_coupling(self) -> csr_array:
        """(limits, background buses): what a kW there adds to each limit."""
        limits, node = self.limits, self.wiring.node_of_bus[self.background.bus]
        supplied = node >= 0
        carries = np.flatnonzero(limits.branch >= 0)
        shares = self.wiring.shares(limits.branch[carries])[:, np.where(supplied, node, 0)]
        onto_rows = csr_array(
            ((limits.direction * limits.sense)[carries].astype(float), (carries, np.arange(carries.size))),
            shape=(limits.n_limits, carries.size),
        )
        per_row = 1.0 if self.home_phase is None else 1.0 / 3.0
        flows = csr_array(onto_rows @ shares @ diags_array(per_row * supplied))
        return flows if limits.background is None else csr_array(flows + limits.background)

    def background_on_limits_kw(self, step: int | None) -> Float[np.ndarray, " limits"]:
        """What all but the homes draws behind each limit, losses aside; `step` as in `Background.at`."""
        return np.asarray(self._background_coupling @ self.background.at(step)[0])

    def background_on_limits_over_kw(
        self, steps: Int[np.ndarray, " steps"]
    ) -> Float[np.ndarray, "limits steps"]:
        """The same in many steps of the year, at the cost of the series behind each limit."""
        coupling, background = self._background_coupling, self.background
        constant_kw = np.broadcast_to((coupling @ background.p_kw)[:, None], (coupling.shape[0], len(steps)))
        if not background.series_names:
            return constant_kw.copy()
        weight_kw = (coupling @ background.p_weight_kw).toarray()
        return constant_kw + weight_kw @ background.series[steps % len(background.series)].T

    def cable_graph(self, limit: int) -> nx.Graph:
        """Household rows and "meter" of one limit, joined where they are neighbours along the cables."""
        node_of_bus = self.wiring.node_of_bus
        # of a branch the index is no bus, and not asked for
        bus_node = int(node_of_bus[self.limits.index[limit]]) if self.limits.is_voltage[limit] else -1
        return cable_graph(self.limits, limit, self.wiring, node_of_bus[self.home_bus], bus_node)


@dataclass(frozen=True)
class Later:
    """How a feeder is switched from a control step on."""

    start: int
    feeder: Feeder
    """With the same limits in the same order; those behind which nobody is then have no members."""
    notes: tuple[str, ...] = ()
    """What is switched, and what is then otherwise."""


def load_feeder(
    source: str | Path | pandapowerNet,
    *,
    limit_share: float = 1.0,
    homes: Sequence[int] | None = None,
    slack_vm_pu: float | None = None,
    unbalanced: bool = False,
    kw_per_home: float | None = None,
) -> Feeder:
    """Load a feeder and find its homes and limits.

    Parameters
    ----------
    source
        "schutterwald", "schutterwald:2", "simbench:<code>", "pandapower:<function>", a pandapower JSON or
        Excel file, or a net, which is copied.
    limit_share
        Part of every transformer's rating that may be used, above 0.
    homes
        Load indices to take as homes, where the net's own marks are not what is wanted.
    slack_vm_pu
        Voltage that the external grids hold, where it is not the net's own.
    unbalanced
        Limits and power flow per phase; the column "phase" of net.load says where homes are connected.
    kw_per_home
        Where loads stand for several homes, as at medium voltage: planned kW per home. Without it a load is
        a home.

    Raises
    ------
    FeederError
        An unknown name (with near matches), an unreadable file, a net without homes, transformers or
        external grid.

    """
    return feeder_of(
        open_net(source),
        limit_share=limit_share,
        homes=homes,
        slack_vm_pu=slack_vm_pu,
        unbalanced=unbalanced,
        kw_per_home=kw_per_home,
    )


def feeder_of(
    opened: Opened,
    *,
    limit_share: float,
    homes: Sequence[int] | None,
    slack_vm_pu: float | None,
    unbalanced: bool,
    kw_per_home: float | None,
) -> Feeder:
    """The feeder of a net that has been opened, which it changes; otherwise as `load_feeder`."""
    net, name = opened.net, opened.source
    _require_transformers(net, limit_share, source=name)
    check_tables(net, source=name)
    notes = mend(net)
    if slack_vm_pu is not None:
        net.ext_grid["vm_pu"] = slack_vm_pu
    found = find_homes(net, homes, source=name, kw_per_home=kw_per_home)
    wiring, trafo_branch, line_branch = read_wiring(net, source=name)
    home_bus = net.load.loc[found.load, "bus"].to_numpy(dtype=np.int64)
    home_node = wiring.node_of_bus[home_bus]
    geography = read_geography(net)
    home_phase = home_phases(net, found.load, source=name) if unbalanced else None
    limits = transformer_limits(
        geography.trafos, trafo_branch, wiring, home_node, limit_share=limit_share, home_phase=home_phase
    )
    notes += [*found.notes, *geography.notes, *_supply(name, limits, home_node, n_trafos=len(net.trafo))]
    net.load.loc[found.replaced, "in_service"] = False
    background = read_background(net, found.load)
    drop_profiles(net)
    connection_buses, home_connection = np.unique(home_bus, return_inverse=True)
    return Feeder(
        source=name,
        title=opened.title,
        net=net,
        home_load=found.load.to_numpy(dtype=np.int64),
        home_names=found.names,
        home_bus=home_bus,
        has_heat_pump=found.has_heat_pump,
        profile=found.profile,
        connection_buses=connection_buses,
        home_connection=home_connection.astype(np.int64),
        limits=limits,
        background=background,
        licence=opened.licence,
        notes=tuple(notes),
        buses=geography.buses,
        lines=geography.lines,
        trafos=geography.trafos,
        wiring=wiring,
        line_branch=line_branch,
        home_phase=home_phase,
        limit_share=limit_share,
    )


def transformer_limits(
    trafos: pd.DataFrame,
    trafo_branch: Int[np.ndarray, " trafos"],
    wiring: Wiring,
    home_node: Int[np.ndarray, " homes"],
    *,
    limit_share: float,
    home_phase: Int[np.ndarray, " homes"] | None,
) -> Limits:
    """One limit for every transformer that supplies homes, or one per phase."""
    limits = nested(
        branch_limits("trafo", trafos, trafo_branch, wiring, home_node, limit_share=limit_share), wiring
    )
    return limits if home_phase is None else limits_per_phase(limits, home_phase)


def _require_transformers(net: pandapowerNet, limit_share: float, *, source: str) -> None:
    """Raise `FeederError` where there is no limit to keep, or no sense in its share."""
    if not limit_share > 0:
        raise FeederError(
            source, f"limit_share is {limit_share}", remedy="Give a number above 0, 1 for the rating"
        )
    if not net.trafo["in_service"].any():
        raise FeederError(
            source,
            "no transformer in service, so no limit to keep",
            remedy="Add one with pandapower.create_transformer between the external grid and the homes",
        )


def _supply(source: str, limits: Limits, home_node: Int[np.ndarray, " homes"], *, n_trafos: int) -> list[str]:
    """Refuse a feeder that no home can live in, and note the homes and transformers that stand apart."""
    dead = int((home_node < 0).sum())
    if dead == home_node.size:
        raise FeederError(
            source,
            f"none of its {home_node.size} homes is connected to an external grid",
            remedy="Close the switches between them, or add a pandapower ext_grid",
        )
    if limits.n_limits == 0:
        raise FeederError(
            source,
            f"none of its {home_node.size} homes is supplied through one of its {n_trafos} transformers",
            remedy="Put the external grid on the other side of a transformer",
        )
    notes = []
    alone = int((limits.coupling.sum(axis=0) == 0).sum()) - dead
    if dead:
        notes.append(f"{dead} homes are connected to no external grid: they are without power")
    if alone:
        notes.append(f"{alone} homes are supplied through no transformer: no limit binds them")
    n_limited = len(set(limits.branch.tolist()))
    if n_limited < n_trafos:
        notes.append(f"{n_trafos - n_limited} of {n_trafos} transformers supply no home and are no limits")
    return notes
