"""A fleet taken apart into households that share no limit: their optima are independent of each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from grid_cosim.devices.device import DriveOfRows, rows_of
from grid_cosim.fleet import Fleet


class Couplings(NamedTuple):
    """A of the design, (limits, households), from which step on; the first begins with the run."""

    start: tuple[int, ...]
    coupling: tuple[sparse.csr_array, ...]

    @classmethod
    def always(cls, coupling: sparse.csr_array) -> Couplings:
        """The same in all steps."""
        return cls((0,), (coupling,))

    @property
    def n_limits(self) -> int:
        """M."""
        return int(self.coupling[0].shape[0])

    def periods(self, n_steps: int) -> list[tuple[range, sparse.csr_array]]:
        """The steps in which each holds."""
        ends = pairwise((*self.start, n_steps))
        return [(range(*end), coupling) for end, coupling in zip(ends, self.coupling, strict=True)]

    def behind(self, p_kw: Float[np.ndarray, "steps households"]) -> Float[np.ndarray, "steps limits"]:
        """What the households behind each limit draw together."""
        periods = self.periods(len(p_kw))
        return np.vstack([p_kw[steps.start : steps.stop] @ coupling.T for steps, coupling in periods])

    def of(self, limits: Int[np.ndarray, "_limits"], households: Int[np.ndarray, "_homes"]) -> Couplings:
        """Those of some limits and households."""
        some = (sparse.csr_array(coupling[limits][:, households]) for coupling in self.coupling)
        return Couplings(self.start, tuple(some))


@dataclass(frozen=True)
class Part:
    """Some households, and the limits that they and nobody else are behind."""

    fleet: Fleet
    """Of these households only."""
    couplings: Couplings
    limits: Int[np.ndarray, "limits"]
    """Rows of the whole fleet's limits."""
    devices: tuple[Int[np.ndarray, "_devices"], ...]
    """Per group of the whole fleet, rows of the devices."""


def parts_of(fleet: Fleet, couplings: Couplings) -> Iterator[Part]:
    """Connected components of households and limits in any step; those behind no limit are the last one."""
    n_limits = couplings.n_limits
    coupling = sparse.csr_array(sum(abs(each) for each in couplings.coupling))
    graph = sparse.block_array([[None, coupling], [coupling.T, None]], format="csr")
    _, label = connected_components(graph, directed=False)
    for component in np.unique(label[:n_limits]):
        limits = np.flatnonzero(label[:n_limits] == component)
        yield _part(fleet, couplings, np.flatnonzero(label[n_limits:] == component), limits)
    free = np.flatnonzero(~np.isin(label[n_limits:], label[:n_limits]))
    if free.size:
        yield _part(fleet, couplings, free, np.zeros(0, dtype=np.int64))


def _part(
    fleet: Fleet,
    couplings: Couplings,
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
    return Part(part, couplings.of(limits, households), limits, devices)
