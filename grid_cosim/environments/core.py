"""The fleet behind its limits as a game over arrays: every household is a row, nothing loops over them.

A household acts by the share of its power range that each of its devices uses. It pays for its energy at the
tariff, its devices' own cost and, after the last step, the cost of the state that they are left in. A limit
costs nothing here: by how much it is exceeded is told, and what to make of that is the learner's matter.

Many small neighbourhoods side by side are one fleet with a block-diagonal coupling (`side_by_side`): a
learner plays a hundred episodes at once for little more than the price of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import block_diag, csr_array
from torch import Tensor

from grid_cosim.errors import GridCosimError
from grid_cosim.fleet import Fleet, FleetState

FEATURE_BOUND = 1e3
"""Observations are of order one; their spaces want bounds."""

_OF_THE_HOME = ("base_kw", "premium", "premium_6h", "premium_24h")


_OF_ONE_FEEDER = (
    "Take fleet and limits from one feeder, and as action one share per household and kind of device."
)


class GameError(GridCosimError):
    """A fleet, limits or actions that do not fit together."""

    def __init__(self, what: str, got: object, expected: object, remedy: str = _OF_ONE_FEEDER) -> None:
        super().__init__(f"{what}: got {got}, expected {expected}. {remedy}")


class Move(NamedTuple):
    """What one control step did."""

    p_kw: Float[np.ndarray, "households"]
    cost_eur: Float[np.ndarray, "households"]
    """Energy at the tariff, the devices' own cost and, after the last step, the cost of their final state."""
    excess_kw: Float[np.ndarray, "limits"]
    """Power above each limit."""
    due_kwh: Float[np.ndarray, "households"]
    """Energy whose deadline was settled in this step, delivered or not."""
    unserved_kwh: Float[np.ndarray, "households"]
    """Of `due_kwh`, what was not delivered."""
    too_cold_kelvin_hours: Float[np.ndarray, "households"]


@dataclass(frozen=True)
class FleetGame:
    """One drawn fleet, the limits that it shares, and the rules."""

    fleet: Fleet
    coupling: csr_array
    """1 where the household is downstream of the limit, (limits, households)."""
    limit_kw: Float[np.ndarray, "steps limits"]
    """What households may draw together; other loads and losses are already taken off."""

    def __post_init__(self) -> None:
        if self.coupling.shape[1] != self.fleet.n_households:
            raise GameError("columns of coupling", self.coupling.shape[1], self.fleet.n_households)
        wanted = (self.fleet.n_steps, self.coupling.shape[0])
        if self.limit_kw.shape != wanted:
            raise GameError("shape of limit_kw", self.limit_kw.shape, wanted)

    @property
    def n_steps(self) -> int:
        """T."""
        return self.fleet.n_steps

    @property
    def n_households(self) -> int:
        """N."""
        return self.fleet.n_households

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of devices: the columns of an action."""
        return tuple(group.kind for group in self.fleet.groups)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `observe`; what a device shows is zero for households that own none of its kind."""
        of_devices = [
            name
            for group in self.fleet.groups
            for name in (group.kind, *(f"{group.kind}.{name}" for name in group.device.feature_names))
        ]
        return (*_OF_THE_HOME, *of_devices)

    def init(self) -> FleetState:
        """The first step has begun: its news has arrived, nobody has acted."""
        return self.fleet.receive(self.fleet.init(), 0)

    def observe(self, state: FleetState, step: int) -> Float[Tensor, "households features"]:
        """What each household knows: its base load, the tariff ahead, and its own devices.

        Neither a congestion price nor anything of the limit. The tariff is told as in `tariff.TariffView`, in
        EUR/kWh. All are numbers of order one.
        """
        view, fleet = self.fleet.tariff_view, self.fleet
        seen = np.zeros((fleet.n_households, len(self.feature_names)), dtype=np.float32)
        seen[:, 0] = fleet.base_kw[step]
        for column, premium in enumerate((view.premium, view.premium_6h, view.premium_24h), start=1):
            seen[:, column] = premium[step, 0]
        first = len(_OF_THE_HOME)
        for group, devices in zip(fleet.groups, state.devices, strict=True):
            features = group.device.observe(devices, group.drive.at(step)).numpy()
            end = first + 1 + features.shape[1]
            seen[group.household, first] = 1.0
            seen[group.household, first + 1 : end] = features
            first = end
        return torch.from_numpy(seen)

    def powers_kw(
        self, state: FleetState, fraction: Float[Tensor, "agents kinds"], step: int
    ) -> tuple[Tensor, ...]:
        """Power of every device, per group; where a household owns none of a kind its action does nothing."""
        wanted = (self.n_households, len(self.kinds))
        if fraction.shape != wanted:
            raise GameError("shape of the actions", tuple(fraction.shape), wanted)
        powers = []
        for column, (group, devices) in enumerate(zip(self.fleet.groups, state.devices, strict=True)):
            p_min, p_max = group.device.bounds(devices, group.drive.at(step))
            used = fraction[torch.from_numpy(group.household), column].to(p_min.dtype).clamp(0.0, 1.0)
            powers.append(p_min + used * (p_max - p_min))
        return tuple(powers)

    def step(self, state: FleetState, powers_kw: Sequence[Tensor], step: int) -> tuple[FleetState, Move]:
        """Everybody draws; then the news of the next step arrives, unless this was the last."""
        fleet = self.fleet
        after, outputs = fleet.step(state, powers_kw, step)
        p_kw = fleet.base_kw[step] + fleet.flex_kw(powers_kw)
        own_eur = self._by_household([out.cost_eur for out in outputs])
        if step == fleet.n_steps - 1:
            own_eur += self.final_cost_eur(after, step)
        else:
            after = fleet.receive(after, step + 1)
        move = Move(
            p_kw=p_kw,
            cost_eur=own_eur + fleet.tariff_eur_per_kwh[step] * p_kw * fleet.dt_h,
            excess_kw=np.maximum(self.coupling @ p_kw - self.limit_kw[step], 0.0),
            due_kwh=self._by_household([out.due_kwh for out in outputs]),
            unserved_kwh=self._by_household([out.unserved_kwh for out in outputs]),
            too_cold_kelvin_hours=self._by_household([out.too_cold_kelvin_hours for out in outputs]),
        )
        return after, move

    def final_cost_eur(self, state: FleetState, step: int) -> Float[np.ndarray, "households"]:
        """What the state would cost each household if the horizon ended with `step`."""
        return self._by_household(self.fleet.terminal_cost_eur(state, step))

    def _by_household(self, per_group: Sequence[Tensor]) -> Float[np.ndarray, "households"]:
        """The sum of a quantity over each household's devices."""
        total = np.zeros(self.fleet.n_households)
        for group, value in zip(self.fleet.groups, per_group, strict=True):
            total[group.household] += value.numpy()
        return total


@dataclass(frozen=True)
class Played:
    """What an episode came to, per household and day."""

    cost_eur: float
    energy_kwh: float
    excess_kwh: float
    """Energy above the limits."""
    due_kwh: float
    unserved_kwh: float
    too_cold_kelvin_hours: float
    peak_percent: float
    """Largest power of any limit's members, in percent of that limit at that time (where it is above 0)."""

    @property
    def excess_percent(self) -> float:
        """Energy above the limits, of all energy."""
        return 100.0 * self.excess_kwh / self.energy_kwh

    @property
    def unserved_percent(self) -> float:
        """Energy that was not delivered in time, of all whose time came."""
        return 100.0 * self.unserved_kwh / self.due_kwh if self.due_kwh else 0.0


@runtime_checkable
class Player(Protocol):
    """Decides for everybody, step after step."""

    def init(self, game: FleetGame) -> Any:
        """What it remembers before the first step."""

    def act(self, game: FleetGame, memory: Any, state: FleetState, step: int) -> tuple[Any, Sequence[Tensor]]:
        """The power of every device, per group, within its bounds."""


@final
class Carefree:
    """Every device does what it likes."""

    def init(self, game: FleetGame) -> None:
        """Nothing to remember."""

    def act(
        self, game: FleetGame, memory: None, state: FleetState, step: int
    ) -> tuple[None, Sequence[Tensor]]:
        """What the devices draw when nobody controls them."""
        return None, game.fleet.uncontrolled_kw(state, step)


def play(game: FleetGame, player: Player) -> Played:
    """Play an episode to its end."""
    state, memory, moves = game.init(), player.init(game), []
    with torch.no_grad():
        for step in range(game.n_steps):
            memory, powers_kw = player.act(game, memory, state, step)
            state, move = game.step(state, powers_kw, step)
            moves.append(move)
    return summary(game, moves)


def summary(game: FleetGame, moves: Sequence[Move]) -> Played:
    """What the moves of an episode came to."""
    dt_h = game.fleet.dt_h
    per_home_and_day = 24.0 / (game.n_steps * dt_h * game.n_households)
    load_kw = np.stack([game.coupling @ move.p_kw for move in moves])
    loaded = np.divide(load_kw, game.limit_kw, out=np.zeros_like(load_kw), where=game.limit_kw > 0)

    def total(values: list[np.ndarray]) -> float:
        return float(np.sum(values)) * per_home_and_day

    return Played(
        cost_eur=total([move.cost_eur for move in moves]),
        energy_kwh=total([move.p_kw for move in moves]) * dt_h,
        excess_kwh=total([move.excess_kw for move in moves]) * dt_h,
        due_kwh=total([move.due_kwh for move in moves]),
        unserved_kwh=total([move.unserved_kwh for move in moves]),
        too_cold_kelvin_hours=total([move.too_cold_kelvin_hours for move in moves]),
        peak_percent=100.0 * float(loaded.max()),
    )


def side_by_side(coupling: csr_array, n_episodes: int) -> csr_array:
    """The coupling of that many equal neighbourhoods, whose households follow each other as rows."""
    return csr_array(block_diag([coupling] * n_episodes, format="csr"))
