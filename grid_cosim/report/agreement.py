"""How well the homes agreed, beside what theory promises: the rows of one table of the report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from grid_cosim.coordination.bounds import leftover_by_step
from grid_cosim.results import Results, Run

_ROUNDING = 1e-9
"""Relative: measured and bound are sums of thousands of numbers in different order."""

_PRICED = 0.01
"""Of its largest: from there on a price counts. With `gradient` some copies are hardly ever exactly 0."""


@dataclass(frozen=True)
class Pair:
    """What was measured, and the most that theory allows; NaN where there is nothing of the kind."""

    measured: float
    bound: float

    @property
    def kept(self) -> bool | None:
        """Whether the bound was kept; None without one."""
        if not np.isfinite(self.measured) or np.isnan(self.bound):
            return None
        return bool(self.measured <= self.bound + _ROUNDING * max(abs(self.bound), 1.0))


@dataclass(frozen=True)
class AgreementRow:
    """One limit under one controller; pairs are means over the steps in which the limit has a price."""

    controller: str
    limit: str
    mixing_rate: float
    """σ."""
    rounds: float
    """Rounds of messages per step, median."""
    contraction: float
    """γ of an exchange, the largest."""
    price_eur_per_kwh: Pair
    """How far the copies of the price were apart."""
    excess_kw: Pair
    """By how much the demand that was asked for exceeded the limit."""
    estimate_kw: Pair
    """How far estimates of the excess were off."""


def agreement_rows(results: Results) -> list[AgreementRow]:
    """Every limit that had a price under a controller that negotiated; the dearest first."""
    rows = []
    for controller, run in results.runs.items():
        prices = run.table("limits").groupby("limit", observed=True)["price_mean_eur_per_kwh"].max()
        dearest = prices[prices > 0.0].sort_values(ascending=False, kind="stable")
        negotiated = len(run.table("agreement")) > 0
        rows += [_row(controller, str(limit), run) for limit in dearest.index if negotiated]
    return rows


def _row(controller: str, limit: str, run: Run) -> AgreementRow:
    promised = _of(run.table("agreement"), limit)
    limits = _of(run.table("limits"), limit).loc[promised.index]
    price = limits["price_mean_eur_per_kwh"]
    contraction = promised["contraction"].max()
    drift = promised["drift_eur_per_kwh"].to_numpy()[:, None]
    apart = limits.assign(bound=leftover_by_step(np.array([contraction]), drift)[:, 0])

    def pair(table: pd.DataFrame, measured: str, bound: str) -> Pair:
        priced = table[(price > 0.0) & (price >= _PRICED * price.max())]
        return Pair(float(priced[measured].mean()), float(priced[bound].mean()))

    return AgreementRow(
        controller=controller,
        limit=limit,
        mixing_rate=promised["mixing_rate"].iloc[-1],
        rounds=limits["rounds"].median(),
        contraction=contraction,
        price_eur_per_kwh=pair(apart, "consensus_error_eur_per_kwh", "bound"),
        excess_kw=pair(promised, "asked_excess_kw", "excess_bound_kw"),
        estimate_kw=pair(promised, "estimate_error_kw", "estimate_bound_kw"),
    )


def _of(table: pd.DataFrame, limit: str) -> pd.DataFrame:
    """The rows of one limit by their time."""
    return table[table["limit"] == limit].set_index("time")
