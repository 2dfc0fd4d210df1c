"""How well the homes agreed, beside what theory promises: the rows of one table of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from grid_cosim.coordination.bounds import leftover_by_step
from grid_cosim.results import Run, StoredResults

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


def agreement_rows(results: StoredResults, *, most: int | None = None) -> list[AgreementRow]:
    """The limits, or the dearest of them, that had a price under a controller that negotiated."""
    rows = []
    for controller, run in results.runs.items():
        dearest = priced_limits(run)[:most]
        if dearest:
            promised = _of(run, "agreement", None, dearest)
            limits = _of(run, "limits", _MEASURED, dearest)
            rows += [_row(controller, limit, promised[limit], limits[limit]) for limit in dearest]
    return rows


def priced_limits(run: Run) -> list[str]:
    """Limits that had a price on which homes negotiated, the dearest first; none without records."""
    if not run.n_rows("agreement") or not run.n_rows("limits"):
        return []
    prices = run.table("limit_summary").set_index("limit")["price_max_eur_per_kwh"]
    dearest = prices[prices > 0.0].sort_values(ascending=False, kind="stable")
    return [str(limit) for limit in dearest.index]


_MEASURED = ("time", "limit", "price_mean_eur_per_kwh", "rounds", "consensus_error_eur_per_kwh")


def _row(controller: str, limit: str, promised: pd.DataFrame, limits: pd.DataFrame) -> AgreementRow:
    limits = limits.loc[promised.index]
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


def _of(run: Run, table: str, columns: Sequence[str] | None, limits: list[str]) -> dict[str, pd.DataFrame]:
    """The rows of some limits by their time; the others are read, but not kept."""
    kept = [part[part["limit"].isin(limits)] for part in run.parts(table, columns)]
    rows = pd.concat([part.astype({"limit": object}) for part in kept])
    return {str(limit): part.set_index("time") for limit, part in rows.groupby("limit")}
