"""A fleet taken apart into households that share no limit: their optima are independent of each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from grid_cosim.devices.device import DriveOfRows, rows_of
from grid_cosim.fleet import Fleet


@dataclass(frozen=True)
class Part:
    """Some households, and the limits that they and nobody else are behind."""

    fleet: Fleet
    """Of these households only."""
    coupling: sparse.csr_array
    limits: Int[np.ndarray, "limits"]
    """Rows of the whole fleet's limits."""
    devices: tuple[Int[np.ndarray, "_devices"], ...]
    """Per group of the whole fleet, rows of the devices."""


def parts_of(fleet: Fleet, coupling: sparse.csr_array) -> Iterator[Part]:
    """Connected components of households and limits; those behind no limit are the last one, together."""
    n_limits = coupling.shape[0]
    graph = sparse.block_array([[None, coupling], [coupling.T, None]], format="csr")
    _, label = connected_components(graph, directed=False)
    for component in np.unique(label[:n_limits]):
        limits = np.flatnonzero(label[:n_limits] == component)
        yield _part(fleet, coupling, np.flatnonzero(label[n_limits:] == component), limits)
    free = np.flatnonzero(~np.isin(label[n_limits:], label[:n_limits]))
    if free.size:
        yield _part(fleet, coupling, free, np.zeros(0, dtype=np.int64))


def _part(
    fleet: Fleet,
    coupling: sparse.csr_array,
    households: Int[np.ndarray, "some"],
    limits: Int[np.ndarray, "limits"],
) -> Part:
    row_of = np.full(fleet.n_households, -1)
    row_of[households] = np.arange(households.size)
    devices = tuple(np.flatnonzero(row_of[group.household] >= 0) for group in fleet.groups)
    groups = tuple(
        replace(
            group,
            device=rows_of(group.device, torch.as_tensor(rows), group.device.n_devices),
            household=row_of[group.household[rows]],
            drive=DriveOfRows(group.drive, torch.as_tensor(rows), group.device.n_devices),
        )
        for group, rows in zip(fleet.groups, devices, strict=True)
    )
    part = replace(
        fleet, base_kw=fleet.base_kw[:, households], base_kvar=fleet.base_kvar[:, households], groups=groups
    )
    return Part(part, sparse.csr_array(coupling[limits][:, households]), limits, devices)
