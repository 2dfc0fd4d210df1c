"""What theory promises: how far apart copies can be after their rounds, how far a limit is missed on average.

Everything is measured in one norm, the root mean square about the mean, ‖x - x̄‖/√n. In it K rounds on a
fixed graph shrink any disagreement by a factor γ at least (`contraction`), and leave the mean as it is. What
is told anew before each exchange adds to what was left before, e ← γ (e + told). That recursion is
`leftover`; it bounds all that mixing does in this package.

- Fresh mixing: one exchange of today's values; γ · disagreement(values) is left.
- Tracked mixing: what is told is the change of the own values (Zhu & Martínez 2010, "Discrete-time dynamic
  average consensus"); in the long run at most γ/(1-γ) · its largest disagreement is left.
- The `gradient` step: the prices themselves are what is mixed, `price_disagreement` and `average_excess_kw`
  (after Nedić & Ozdaglar 2009, "Distributed subgradient methods for multi-agent optimization").

A link that may fail promises nothing for a single run: it may be down all the time. γ is 1 then.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from grid_cosim.coordination.graph import CommunicationGraph, middle_and_half


def disagreement(
    values: Float[np.ndarray, "copies features"], start: Int[np.ndarray, "limits_and_end"]
) -> Float[np.ndarray, "limits features"]:
    """Root mean square about the mean of each limit's copies, the rows from `start[j]` to `start[j + 1]`."""
    size = np.diff(start)[:, None]
    mean = np.add.reduceat(values, start[:-1], axis=0) / size
    apart = values - np.repeat(mean, size[:, 0], axis=0)
    return np.sqrt(np.add.reduceat(apart**2, start[:-1], axis=0) / size)


def plain_contraction(mixing_rate: Float[np.ndarray, "limits"], rounds: int) -> Float[np.ndarray, "limits"]:
    """γ = σ^K (Xiao & Boyd 2004, per-step factor): reached where W's second eigenvector is what differs."""
    return mixing_rate**rounds


def chebyshev_contraction(
    interval: Float[np.ndarray, "limits 2"], rounds: int
) -> Float[np.ndarray, "limits"]:
    """γ = 1/T_K((1 - c)/e) for eigenvalues in [c - e, c + e]: the least that K rounds can promise.

    T_K is Chebyshev's polynomial (Auzinger & Melenk 2011), cosh(K arcosh x) for x ≥ 1; written with x - 1
    and with what decays, so that intervals which end beside 1 keep their digits and many rounds do no harm.
    """
    decay = np.exp(-rounds * _chebyshev_rate(interval))
    return 2.0 * decay / (1.0 + decay**2)


def _chebyshev_rate(interval: Float[np.ndarray, "limits 2"]) -> Float[np.ndarray, "limits"]:
    """arcosh((1 - c)/e)."""
    middle, half = middle_and_half(interval)
    beyond = (1.0 - middle - half) / half
    return np.log1p(beyond + np.sqrt(beyond * (2.0 + beyond)))


def contraction(
    graph: CommunicationGraph, rounds: int, *, accelerated: bool = False, outage: bool = False
) -> Float[np.ndarray, "limits"]:
    """γ of every limit: what `rounds` rounds leave of any disagreement at most. 1 if links may fail."""
    if outage:
        return np.ones(graph.copies.n_limits)
    if accelerated:
        return chebyshev_contraction(graph.interval, rounds)
    return plain_contraction(graph.mixing_rate, rounds)


_COLD_START = 0.01
"""Share of a mean that is left of what one node alone knows, after a cold start."""
_MOST_ROUNDS = 1000
"""Of a cold start: a long line without accelerated rounds would take millions."""


def cold_start_rounds(graph: CommunicationGraph, *, accelerated: bool = False) -> int:
    """Rounds after which all nodes know, to a hundredth, the mean of what a meter alone begins with.

    Of n copies one holds c and the others nothing: what is left is γ c at most, and the mean is c/n. So the
    rounds grow with log n, and with how badly a graph mixes. The most of any limit, 1,000 in any case; links
    never fail.
    """
    size = np.maximum(np.diff(graph.copies.start), 2)
    if accelerated:
        rate = _chebyshev_rate(graph.interval)
        rounds = np.log(2.0 * size / _COLD_START) / rate
    else:
        rounds = np.log(size / _COLD_START) / -np.log(np.clip(graph.mixing_rate, 1e-12, 1.0 - 1e-12))
    return int(np.ceil(min(rounds.max(initial=0.0), _MOST_ROUNDS)))


def leftover(
    contraction: Float[np.ndarray, "limits"],
    told: Float[np.ndarray, "limits"],
    *,
    exchanges: int | None = None,
    before: Float[np.ndarray, "limits"] | float = 0.0,
) -> Float[np.ndarray, "limits"]:
    """The most that `exchanges` of e ← γ (e + told) leave, from e = `before`; without a number: for ever.

    γ^t · before + told · γ (1 - γ^t)/(1 - γ). `told` is the largest disagreement of what is told anew before
    any of the exchanges. One exchange is what fresh mixing does; γ/(1 - γ) · told is what tracked mixing
    leaves in the long run, infinite where γ is 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if exchanges is None:
            forever = told * contraction / (1.0 - contraction)
            return np.where(contraction < 1.0, forever, np.where(told > 0.0, np.inf, before))
        kept = contraction**exchanges
        summed = np.where(contraction < 1.0, contraction * (1.0 - kept) / (1.0 - contraction), exchanges)
    return kept * before + told * summed


def leftover_by_step(
    contraction: Float[np.ndarray, "limits"], told: Float[np.ndarray, "steps limits"]
) -> Float[np.ndarray, "steps limits"]:
    """The most that is left after each control step, from nothing, if `told` is the largest in each step.

    However many exchanges, at least one, a step has. With s = γ/(1 - γ) · told, t exchanges lead from e to
    s + γ^t (e - s) at most: the largest is that of one exchange where e > s, and s where e < s.
    """
    forever = leftover(contraction, np.ones(len(contraction)))
    left, steps = np.zeros(len(contraction)), []
    for now in told:
        allowed = np.where(now > 0.0, forever, 0.0) * now
        left = np.maximum(allowed, contraction * (left + now))
        steps.append(left)
    return np.reshape(steps, told.shape)


def price_disagreement(
    contraction: Float[np.ndarray, "limits"],
    told_kw: Float[np.ndarray, "limits"],
    dual_step: float,
    *,
    iterations: int | None = None,
    before: Float[np.ndarray, "limits"] | float = 0.0,
) -> Float[np.ndarray, "limits"]:
    """The most that copies of a price can be apart with the `gradient` step, in EUR/kWh: η u γ/(1-γ).

    After `iterations` from prices that were `before` apart, or in the long run. `told_kw` is u, the largest
    disagreement of v = p + s over the iterations. Proof: λ⁺ = W^K [λ + η v]₊. For any two numbers
    |[x]₊ - [y]₊| ≤ |x - y|, and n Σ (x_i - x̄)² = ½ Σ_ij (x_i - x_j)²: the projection brings copies nearer
    to each other, if anything. So e⁺ ≤ γ (e + η u), whatever the households answer and whenever the
    projection is active; the rest is `leftover`. Where agents know their share of the limit beforehand, u
    is the disagreement of p alone; the shares that our nodes still have to spread add theirs, at most
    `share_disagreement`.
    """
    return leftover(contraction, dual_step * told_kw, exchanges=iterations, before=before)


def share_disagreement(
    contraction: Float[np.ndarray, "limits"],
    change_kw: Float[np.ndarray, "limits"],
    size: Int[np.ndarray, "limits"],
    *,
    exchanges: int | None = None,
) -> Float[np.ndarray, "limits"]:
    """The most that the shares s of the `gradient` step can be apart when they are used, in kW.

    The meter alone tells something: `change_kw`, the largest change of its term between two exchanges, of
    which √(n-1)/n is disagreement among `size` = n copies. It enters the prices before it is mixed, hence
    told + leftover(…) after `exchanges` before this one, told/(1-γ) in the long run. With a meter at rest
    nothing is left, and the bound on prices becomes that of agents who know their shares.
    """
    told = np.abs(change_kw) * np.sqrt(size - 1.0) / size
    return told + leftover(contraction, told, exchanges=exchanges)


def average_excess_kw(
    price_rise: Float[np.ndarray, "limits"],
    size: Int[np.ndarray, "limits"],
    dual_step: float,
    iterations: int,
) -> Float[np.ndarray, "limits"]:
    """The most by which a limit was exceeded on average over `iterations` of the `gradient` step, in kW.

    `price_rise` is by how much the mean of all `size` = n copies, the meter's included, rose over them, in
    EUR/kWh: the bound is n · rise/(η · iterations). Proof: mixing keeps the mean and the projection only
    adds, so mean(λ⁺) ≥ mean(λ) + η mean(v), and Σ v is the excess at the prices that were asked. While
    prices stay bounded the average excess falls as 1/iterations. No clamp from above may be put on the
    prices: it would swallow v. Equality where the projection is never active.
    """
    return size * price_rise / (dual_step * iterations)
