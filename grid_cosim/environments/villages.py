"""Equal neighbourhoods of any size on a cold day, many at once: where a learner's growth is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from jaxtyping import Bool
from scipy.sparse import csr_array

from grid_cosim.environments.core import FleetGame, side_by_side
from grid_cosim.fleet import Ownership, draw_fleet, seeded
from grid_cosim.policies.recipe import population_class
from grid_cosim.profiles import household_base_load
from grid_cosim.tariff import flat_tariff, outlook_steps

_SHARES = {"electric_vehicle": 0.6, "heat_pump": 0.85}


@dataclass(frozen=True)
class Village:
    """Homes behind one limit, from noon to noon of a winter day."""

    n_homes: int
    limit_kw_per_home: float = 2.0
    shares: Mapping[str, float] = field(default_factory=lambda: dict(_SHARES))
    """Of homes that own a device, by kind; rounded to whole homes, at least one."""
    hours: float = 24.0
    dt_h: float = 0.25
    outdoor_c: float = -5.0
    """Mean of the day; it is 3 K warmer at 15 h and 3 K colder at 3 h."""
    energy_price_eur_per_kwh: float = 0.30

    def draw(self, n_villages: int, seed: int) -> FleetGame:
        """That many such villages side by side, each with homes, cars and habits of its own."""
        n, n_steps, start = self.n_homes * n_villages, round(self.hours / self.dt_h), datetime(2016, 1, 5, 12)
        base_kw, base_kvar = household_base_load(
            n_households=n,
            start=start,
            n_steps=n_steps,
            dt_h=self.dt_h,
            generator=np.random.default_rng(seeded(seed, "base load")),
        )
        hours = start.hour + self.dt_h * np.arange(n_steps + outlook_steps(self.dt_h))
        fleet = draw_fleet(
            base_kw=base_kw,
            base_kvar=base_kvar,
            tariff_eur_per_kwh=flat_tariff(self.energy_price_eur_per_kwh, n_steps=n_steps, dt_h=self.dt_h),
            ownership={
                kind: Ownership(population_class(kind)(), self._owners(kind, share, n_villages, seed))
                for kind, share in self.shares.items()
            },
            outdoor_c=self.outdoor_c + 3.0 * np.cos(2.0 * np.pi * (hours - 15.0) / 24.0),
            dt_h=self.dt_h,
            start_hour=float(start.hour),
            seed=seed,
        )
        limit_kw = np.full((n_steps, n_villages), self.limit_kw_per_home * self.n_homes)
        return FleetGame(fleet, side_by_side(csr_array(np.ones((1, self.n_homes))), n_villages), limit_kw)

    def _owners(self, kind: str, share: float, n_villages: int, seed: int) -> Bool[np.ndarray, "households"]:
        """The same number of owners in every village."""
        owners = np.arange(self.n_homes) < max(1, round(share * self.n_homes))
        rng = np.random.default_rng(seeded(seed, f"owners of {kind} in villages"))
        return rng.permuted(np.tile(owners, (n_villages, 1)), axis=1).ravel()
