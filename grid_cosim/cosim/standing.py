"""Where a world stands between two steps: all that another one needs in order to go on from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from grid_cosim.cosim.checks import Checks
    from grid_cosim.cosim.feeder_outputs import FeederOutputs
    from grid_cosim.feeder import FlowMemory, Solvers
    from grid_cosim.neighbourhood import NeighbourhoodState

_SHIFTED = ("measured", "remeasured")
"""Tables of the grid that reach the homes one step later: between two steps they are on their way."""
_LEAST_SHARE = 50.0
"""A checkpoint waits for so many times as long as the last one took, so that it costs 2 % at most."""


@dataclass(frozen=True)
class GridAt:
    """Where the grid stands."""

    on_the_way: Mapping[str, Mapping[str, np.ndarray]]
    """What the homes will be told of the last step: table → columns without the names of the limits."""
    flows: tuple[FlowMemory | None, ...]
    """What the power flows keep from step to step, in the order of the planned switching."""
    checked: tuple[bool, ...]
    """Of which of them a solution has been compared with the reference."""

    @classmethod
    def of(cls, outputs: FeederOutputs, solvers: Solvers, checks: Checks) -> Self:
        """After a step with these outputs."""
        on_the_way = {}
        for table in _SHIFTED:
            columns = outputs.table(table)
            on_the_way[table] = {name: columns[name] for name in columns if name != "limit"}
        checked = tuple(flow is not None and checks.confirmed(flow) for flow in solvers.made)
        return cls(on_the_way, solvers.memory, checked)

    def told(self, limits: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """The tables that are on their way, with the names of the limits."""
        return {
            table: {"limit": limits[: len(columns["P[MW]"])], **columns}
            for table, columns in self.on_the_way.items()
        }


@dataclass(frozen=True)
class WorldAt:
    """Where everything stands after `step` control steps."""

    step: int
    households: NeighbourhoodState
    grid: GridAt


class Standing:
    """Hears from each simulator where it stands; one may be a step ahead of the other."""

    def __init__(self) -> None:
        self._households: dict[int, NeighbourhoodState] = {}
        self._grid: dict[int, GridAt] = {}

    def households(self, step: int, at: NeighbourhoodState) -> None:
        """The homes have done so many steps."""
        self._households[step] = at

    def grid(self, step: int, at: GridAt) -> None:
        """The grid has done so many steps."""
        self._grid[step] = at

    def after(self, step: int) -> WorldAt:
        """Both after so many steps; what was before is forgotten."""
        at = WorldAt(step, self._households[step], self._grid[step])
        for heard in (self._households, self._grid):
            for earlier in [known for known in heard if known <= step]:
                del heard[earlier]
        return at


class Pace:
    """When the next checkpoint is due: after `every_s` seconds, later where they take long; 0: always."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = perf_counter()
        self._took_s = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time."""
        if self._every_s <= 0.0:
            return True
        return perf_counter() - self._last_s >= max(self._every_s, _LEAST_SHARE * self._took_s)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Around a checkpoint."""
        began_s = perf_counter()
        yield
        self._last_s = perf_counter()
        self._took_s = self._last_s - began_s
