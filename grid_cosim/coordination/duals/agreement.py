"""What theory promises about one negotiation, beside what was measured in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from grid_cosim.coordination.bounds import average_excess_kw, contraction, disagreement
from grid_cosim.coordination.consensus import Exchange
from grid_cosim.coordination.graph import CommunicationGraph, Turn


@dataclass(frozen=True)
class Agreement:
    """Promised and measured, per limit; a diagnostic that no node knows.

    NaN where a dual step has no such quantity: drift and excess are of `gradient`, estimates of `curve`
    and `newton`. How far the copies of the prices ended up apart is `Negotiated.consensus_error_eur_per_kwh`.
    """

    mixing_rate: Float[np.ndarray, "limits"]
    """σ of the limit's graph."""
    contraction: Float[np.ndarray, "limits"]
    """γ: what the rounds of one exchange, here the last, leave of any disagreement at most."""
    drift_eur_per_kwh: Float[np.ndarray, "limits"]
    """η u: disagreement of the moves that nodes make before they talk, largest iteration."""
    asked_excess_kw: Float[np.ndarray, "limits"]
    """By how much the demand at the prices of each iteration exceeded the limit, mean over the iterations."""
    excess_bound_kw: Float[np.ndarray, "limits"]
    """What bounds it on average over time: n · rise of the mean price / (η · iterations), in this step."""
    estimate_error_kw: Float[np.ndarray, "limits"]
    """RMS error of the nodes' estimates of Σ v, the excess at a given price; largest price and exchange."""
    estimate_bound_kw: Float[np.ndarray, "limits"]
    """What the rounds may leave of the disagreement that entered them: γ times that."""


class Account:
    """Writes an `Agreement` while a dual step runs."""

    def __init__(self, graph: CommunicationGraph) -> None:
        self._graph = graph
        self._size = np.diff(graph.copies.start)
        self.agreement = Agreement(graph.mixing_rate, *(np.full(len(self._size), np.nan) for _ in range(6)))

    def estimated(
        self,
        turn: Turn,
        exchange: Exchange,
        *,
        entered: Float[np.ndarray, "rows features"],
        left: Float[np.ndarray, "rows features"],
    ) -> None:
        """An exchange of estimates in kW: every feature is one quantity of which the nodes want the mean."""
        here = turn.limits
        size, start = self._size[here], self._start(turn)
        promised = self._promised(turn, exchange) * disagreement(entered, start).max(axis=1)
        error = disagreement(left, start).max(axis=1)
        told = self.agreement
        told.estimate_bound_kw[here] = np.fmax(told.estimate_bound_kw[here], size * promised)
        told.estimate_error_kw[here] = np.fmax(told.estimate_error_kw[here], size * error)

    def moved(
        self,
        turn: Turn,
        exchange: Exchange,
        *,
        own_kw: Float[np.ndarray, "rows"],
        rise: Float[np.ndarray, "rows"],
        dual_step: float,
        iterations: int,
    ) -> None:
        """One of the `iterations` of the gradient: every node's v, and by how much its price then rose."""
        here = turn.limits
        size, start = self._size[here], self._start(turn)
        self._promised(turn, exchange)
        told = self.agreement
        drift = dual_step * disagreement(own_kw[:, None], start)[:, 0]
        told.drift_eur_per_kwh[here] = np.fmax(told.drift_eur_per_kwh[here], drift)
        asked = np.add.reduceat(own_kw, start[:-1]) / iterations
        told.asked_excess_kw[here] = np.nan_to_num(told.asked_excess_kw[here]) + asked
        bound = average_excess_kw(np.add.reduceat(rise, start[:-1]) / size, size, dual_step, iterations)
        told.excess_bound_kw[here] = np.nan_to_num(told.excess_bound_kw[here]) + bound

    def _promised(self, turn: Turn, exchange: Exchange) -> Float[np.ndarray, "limits_here"]:
        promised = contraction(
            self._graph, exchange.rounds, accelerated=exchange.accelerated, outage=exchange.up is not None
        )[turn.limits]
        self.agreement.contraction[turn.limits] = promised
        return promised

    def _start(self, turn: Turn) -> np.ndarray:
        return np.append(0, turn.meter + 1)
