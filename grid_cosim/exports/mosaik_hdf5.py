"""HDF5 in the layout of mosaik-hdf5: `/Series/<entity>/<attribute>` and `/Relations/<entity>`.

Entities and attributes go by their names on the wire, powers in MW.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import networkx as nx
import numpy as np
import pandas as pd

from grid_cosim.errors import ExportError
from grid_cosim.exports.attribution import attribution_lines, licences
from grid_cosim.exports.chosen import Chosen

_FEEDER, _HOUSEHOLDS = "FeederSim-0", "HouseholdSim-0"
_SECONDS = np.timedelta64(1, "s")


class _Series(NamedTuple):
    table: str
    key: str
    simulator: str
    column: str
    attribute: str
    factor: float


_SERIES = (
    _Series("buses", "bus", _FEEDER, "vm_pu", "Vm[pu]", 1.0),
    _Series("buses", "bus", _FEEDER, "p_kw", "P[MW]", 1e-3),
    _Series("lines", "line", _FEEDER, "loading_percent", "loading[%]", 1.0),
    _Series("lines", "line", _FEEDER, "p_kw", "P[MW]", 1e-3),
    _Series("limits", "limit", _HOUSEHOLDS, "loading_percent", "loading[%]", 1.0),
    _Series("limits", "limit", _HOUSEHOLDS, "limit_percent", "limit[%]", 1.0),
    _Series("limits", "limit", _HOUSEHOLDS, "price_mean_eur_per_kwh", "price[EUR/kWh]", 1.0),
    _Series("households", "household", _HOUSEHOLDS, "p_kw", "P[MW]", 1e-3),
    _Series("households", "household", _HOUSEHOLDS, "q_kvar", "Q[MVar]", 1e-3),
    _Series("households", "household", _HOUSEHOLDS, "price_eur_per_kwh", "price[EUR/kWh]", 1.0),
    _Series("devices", "device", _HOUSEHOLDS, "p_kw", "P[MW]", 1e-3),
)


def write(chosen: Chosen, folder: Path) -> list[str]:
    """`results.hdf5` of one run."""
    run, paths, known = chosen.run, _paths(chosen), set[str]()
    # "v110": the older layout takes a kilobyte for each of the many small groups
    with h5py.File(folder / "results.hdf5", "w", libver=("v110", "v110")) as file:
        relations, series = file.create_group("Relations"), file.create_group("Series")
        for of in _SERIES:
            if run.n_rows(of.table):
                known |= _add(series, of, run.table(of.table, ["time", of.key, of.column]), paths)
        if not known:
            raise ExportError(
                chosen.to,
                "no table has rows of single steps",
                remedy='Run it again with record.limits = "all"',
            )
        _relate(relations, [edge for edge in _edges(chosen, paths) if known.issuperset(edge)], known)
        file.attrs.update(_about(chosen))
    absent = dict.fromkeys(of.table for of in _SERIES if not run.n_rows(of.table))
    return [f"The {table} were not recorded step by step: record.{table} was not all" for table in absent]


def _add(series: Any, of: _Series, rows: pd.DataFrame, paths: _Paths) -> set[str]:
    wide = rows.assign(**{of.key: rows[of.key].astype(str)}).pivot(
        index="time", columns=of.key, values=of.column
    )
    values = of.factor * wide.to_numpy(dtype=float)
    times = wide.index.to_numpy()
    step_s = float((times[1] - times[0]) / _SECONDS) if len(times) > 1 else 0.0
    names = {paths[of.simulator, str(name)]: str(name) for name in wide.columns}
    for (path, name), column in zip(names.items(), values.T, strict=True):
        group = series.require_group(path)
        group.attrs["name"] = name
        group.attrs["step_size"] = step_s
        group.create_dataset(of.attribute, data=column)
    return set(names)


def _relate(relations: Any, edges: list[tuple[str, str]], known: set[str]) -> None:
    """Who is related to whom: paths of the neighbours' relations and series, as mosaik-hdf5 has them."""
    graph = nx.Graph()
    graph.add_nodes_from(sorted(known))
    graph.add_edges_from(edges)
    for entity in sorted(graph):
        pairs = [(f"/Relations/{other}", f"/Series/{other}") for other in sorted(graph[entity])]
        encoded = [[text.encode() for text in pair] for pair in pairs]
        relations.create_dataset(
            entity,
            data=np.array(encoded, dtype="S").reshape(len(pairs), 2)
            if pairs
            else np.zeros((0, 2), dtype="S1"),
        )


def _edges(chosen: Chosen, paths: _Paths) -> Iterator[tuple[str, str]]:
    topology = chosen.results.topology
    for line in topology.lines.itertuples():
        for bus in (line.from_bus, line.to_bus):
            yield paths[_FEEDER, line.line], paths[_FEEDER, bus]
    for home in topology.homes.itertuples():
        yield paths[_HOUSEHOLDS, home.household], paths[_FEEDER, home.bus]
    for limit in topology.limits.itertuples():
        yield paths[_HOUSEHOLDS, limit.limit], paths[_FEEDER, limit.to_bus]
    for device, household in _owners(chosen):
        yield paths[_HOUSEHOLDS, device], paths[_HOUSEHOLDS, household]


def _owners(chosen: Chosen) -> list[tuple[str, str]]:
    """Each device that was recorded, with its home."""
    if not chosen.run.n_rows("devices"):
        return []
    owners = chosen.run.table("devices", ["device", "household"]).drop_duplicates()
    return [(str(device), str(home)) for device, home in owners.itertuples(index=False)]


_Paths = Mapping[tuple[str, str], str]
"""(simulator, entity) → its full id as the name of a group."""


def _paths(chosen: Chosen) -> _Paths:
    """A slash would begin a group within; what that makes alike gets a number."""
    topology = chosen.results.topology
    entities = [(_FEEDER, entity) for entity in (*topology.buses["bus"], *topology.lines["line"])]
    names = (*topology.limits["limit"], *topology.homes["household"], *(d for d, _ in _owners(chosen)))
    entities += [(_HOUSEHOLDS, entity) for entity in names]
    taken: dict[str, tuple[str, str]] = {}
    for simulator, entity in dict.fromkeys(entities):
        plain = f"{simulator}.{entity.replace('/', '_')}"
        numbered = (f"{plain}_{number}" for number in count(2))
        taken[next(path for path in chain([plain], numbered) if path not in taken)] = (simulator, entity)
    return {entity: path for path, entity in taken.items()}


def _about(chosen: Chosen) -> dict[str, Any]:
    results = chosen.results
    return {
        "title": f"{results.basis.title}: {results.topology.title}",
        "controller": chosen.controller,
        "start": f"{chosen.times[0]:%Y-%m-%dT%H:%M:%S}",
        "dt_h": results.basis.dt_h,
        "seed": json.dumps(results.provenance.get("seed")),
        "licences": json.dumps(licences(results), ensure_ascii=False),
        "attribution": "\n".join(attribution_lines(results)),
    }
