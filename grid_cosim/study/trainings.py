"""How long training takes: of shared policies, of private ones, and centrally.

Some updates are timed, after one in which everything is made ready, and scaled to a whole training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import process_time
from typing import TYPE_CHECKING, final

import torch

from grid_cosim.environments.core import Carefree, Player, play
from grid_cosim.environments.villages import Village
from grid_cosim.policies.prices import RecordedPrices, load_recorded_prices
from grid_cosim.policies.private_training import train_private
from grid_cosim.policies.recipe import Recipe, load_recipe
from grid_cosim.policies.training import train
from grid_cosim.shipped import shipped
from grid_cosim.study.cases import Row
from grid_cosim.study.timing import consensus, one_thread, shipped_policies

if TYPE_CHECKING:
    from grid_cosim.environments.mappo import MappoResult

SHARED, PRIVATE, CENTRAL = "Shared training", "Private training", "Central training (MAPPO)"
TRIAL = "Trial of a team that was trained centrally"
"""Kinds of work, as they stand in the table's column `what`."""

_VILLAGES = 8
"""In which a team that was trained centrally is tried."""
_UNSEEN = 10_000
"""Added to the seed of the training: none of these villages was seen in it."""


def _recipe(kind: str) -> tuple[Recipe, RecordedPrices | None]:
    path = shipped("policies") / f"{kind}.toml"
    recipe = load_recipe(path)
    named = recipe.recorded_prices
    return recipe, load_recorded_prices(path.parent / named) if named else None


@final
@dataclass(frozen=True)
class SharedTrainingWork:
    """The shipped policy of one kind."""

    kind: str
    n_updates: int

    def identity(self) -> str:
        """Its numbers, and the shipped recipes and policies byte by byte."""
        return "\n".join([repr(self), *shipped_policies()])

    def __call__(self) -> list[Row]:
        """One row; no number of homes enters such a training."""
        recipe, recorded = _recipe(self.kind)
        clock = _Clock()
        with one_thread():
            train(replace(recipe, updates=self.n_updates + 1), recorded=recorded, progress=clock)
        seconds = clock.per_update_s * recipe.updates
        return [{"what": SHARED, "kind": self.kind, "seed": recipe.seed, "threads": 1, "seconds": seconds}]


@final
@dataclass(frozen=True)
class PrivateTrainingWork:
    """A policy for each home, of one kind of device."""

    kind: str
    n_homes: int
    n_updates: int

    def identity(self) -> str:
        """Its numbers, and the shipped recipes and policies byte by byte."""
        return "\n".join([repr(self), *shipped_policies()])

    def __call__(self) -> list[Row]:
        """One row."""
        recipe, recorded = _recipe(self.kind)
        own = recipe.for_homes({})
        generator = torch.Generator().manual_seed(recipe.seed)
        device = recipe.make_population().sample(self.n_homes, dt_h=recipe.dt_h, generator=generator)
        homes = [f"H{k}" for k in range(self.n_homes)]
        clock = _Clock()
        with one_thread():
            short = replace(own, updates=self.n_updates + 1)
            train_private(short, device, homes, recorded=recorded, progress=clock)
        batches = len(clock.times_s) // short.updates
        seconds = clock.per_update_s * batches * own.updates
        return [
            {
                "what": PRIVATE,
                "kind": self.kind,
                "n_homes": self.n_homes,
                "seed": recipe.seed,
                "threads": 1,
                "seconds": seconds,
            }
        ]


@final
@dataclass(frozen=True)
class CentralTrainingWork:
    """A team trained with one critic that sees all homes, timed; needs the extra `[rl]`."""

    n_homes: int
    n_updates: int
    of_updates: int
    """A whole training."""
    seed: int

    def identity(self) -> str:
        """Its numbers, and the shipped recipes and policies byte by byte."""
        return "\n".join([repr(self), *shipped_policies()])

    def __call__(self) -> list[Row]:
        """One row."""
        clock = _Clock()
        with one_thread():
            trained = _trained(Village(self.n_homes), self.n_updates + 1, self.seed, progress=clock)
        seconds = clock.per_update_s * self.of_updates
        return [
            {
                "what": CENTRAL,
                "n_homes": self.n_homes,
                "seed": self.seed,
                "threads": 1,
                "seconds": seconds,
                "parameters": trained.n_parameters,
                "experience_bytes": trained.rollout_bytes,
            }
        ]


@final
@dataclass(frozen=True)
class CentralTrialWork:
    """A team trained centrally to the end, and what it then does beside others; needs the extra `[rl]`."""

    n_homes: int
    limit_kw_per_home: float
    n_updates: int
    seed: int

    def identity(self) -> str:
        """Its numbers, and the shipped recipes and policies byte by byte."""
        return "\n".join([repr(self), *shipped_policies()])

    def __call__(self) -> list[Row]:
        """One row."""
        village = Village(self.n_homes, limit_kw_per_home=self.limit_kw_per_home)
        unseen = village.draw(_VILLAGES, self.seed + _UNSEEN)
        players: dict[str, Player] = {
            "central": _trained(village, self.n_updates, self.seed).player,
            "consensus": consensus(unseen, seed=self.seed),
            "uncontrolled": Carefree(),
        }
        row: Row = {
            "what": TRIAL,
            "n_homes": self.n_homes,
            "limit_kw_per_home": self.limit_kw_per_home,
            "seed": self.seed,
        }
        for who, player in players.items():
            played = play(unseen, player)
            row |= {
                f"{who}.cost_eur_per_home_and_day": played.cost_eur,
                f"{who}.excess_percent": played.excess_percent,
                f"{who}.unserved_percent": played.unserved_percent,
            }
        return [row]


class _Clock:
    """Told after every update that it is done."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def __call__(self, *_: object) -> None:
        self.times_s.append(process_time())

    @property
    def per_update_s(self) -> float:
        """Mean of all but the first."""
        return (self.times_s[-1] - self.times_s[0]) / (len(self.times_s) - 1)


def _trained(
    village: Village, n_updates: int, seed: int, progress: Callable[..., None] = lambda update: None
) -> MappoResult:
    from grid_cosim.environments.mappo import MappoSettings, train_mappo

    settings = MappoSettings(seed=seed)
    decisions = village.n_homes * settings.episodes_per_update * village.draw(1, seed).n_steps
    return train_mappo(
        village.draw,
        settings,
        n_agents=village.n_homes,
        agent_steps=n_updates * decisions,
        progress=progress,
    )
