"""Limits of every kind at once: what is held, and how near the prices of nested limits come to the optimum's.

    python benchmarks/nested.py areas [AREA ...] [PATH=VALUE ...]    areas of Schutterwald, run through mosaik
    python benchmarks/nested.py duals                    three levels, against the multipliers of the optimum

`areas`: the cold evening in each of the 14 areas, or in those named (`2 11`), with transformers, lines and
voltages as limits; settings may be overridden, for example `feeder.slack_vm_pu=1.0` or
`controllers=['consensus','optimum']`. `duals`: 120 homes behind a substation, four
transformers and twelve lines, of which some bind on every level; how far copies of the prices, their means,
and what homes pay in all are from the multipliers that Clarabel finds, after one control step and after ten.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cvxpy as cp
import numpy as np
from scipy.sparse import csr_array

from grid_cosim import load_scenario, run
from grid_cosim.coordination import (
    Copies,
    CurveStep,
    LinkOutage,
    TrackedMixing,
    bounds,
    communication,
    price_grid,
)
from grid_cosim.metrics import kpis

AREAS = range(14)
KPIS = {
    "peak %": "peak_loading_percent",
    "lowest pu": "lowest_voltage_pu",
    "highest pu": "highest_voltage_pu",
    "unserved %": "unserved_energy_percent",
    "cold K·h": "cold_kelvin_hours_per_home",
    "EUR": "total_cost_eur",
    "s": "wall_time_s",
}
PER_LINE, LINES, AREAS_BEHIND = 10, 12, 4


def areas(arguments: list[str]) -> None:
    """One line per area and controller."""
    named = [int(argument) for argument in arguments if argument.isdecimal()]
    overrides = [argument for argument in arguments if not argument.isdecimal()]
    print(f"{'area':>5} {'homes':>5} {'limits':>6} {'':>12} " + " ".join(f"{name:>10}" for name in KPIS))
    for area in named or AREAS:
        scenario = load_scenario(
            "cold_evening.toml",
            [
                f"feeder.source=schutterwald:{area}",
                "controllers=['uncontrolled', 'consensus']",
                "limits.lines=near",
                "limits.voltage=near",
                *overrides,
            ],
        )
        with tempfile.TemporaryDirectory() as folder:
            results = run(scenario, out=Path(folder) / "out", report=False)
            n_homes, n_limits = len(results.topology.homes), len(results.topology.limits)
            for controller, values in kpis(results).items():
                told = " ".join(f"{values[name]:10.4g}" for name in KPIS.values())
                print(f"{area:5} {n_homes:5} {n_limits:6} {controller:>12} {told}", flush=True)


@dataclass(frozen=True)
class Homes:
    """p = max(top - fall μ, 0): the demand of a quadratic worth, whose optimum is a small convex problem."""

    top: np.ndarray
    fall: np.ndarray

    def power_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """At one price each."""
        return self.curve_kw(local_price[:, None], rows)[:, 0]

    def slope_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """-dp/dμ."""
        some = slice(None) if rows is None else rows
        return np.where(self.fall[some] * local_price < self.top[some], self.fall[some], 0.0)

    def curve_kw(self, local_price: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """At several prices each."""
        some = slice(None) if rows is None else rows
        return np.maximum(self.top[some, None] - self.fall[some, None] * local_price, 0.0)


def three_levels(seed: int) -> tuple[Copies, Homes, np.ndarray]:
    """Copies, homes, and limits that bind on each level here and there.

    Never all limits behind another that binds: how a price is split between these would be anybody's choice.
    """
    rng, n = np.random.default_rng(seed), PER_LINE * LINES
    rows = [np.ones((1, n)), np.kron(np.eye(AREAS_BEHIND), np.ones(n // AREAS_BEHIND))]
    coupling = np.vstack([*rows, np.kron(np.eye(LINES), np.ones(PER_LINE))])
    copies = Copies.of(csr_array(coupling), np.repeat([0, 1, 2], [1, AREAS_BEHIND, LINES]))
    top = rng.uniform(2.0, 8.0, n) * np.repeat(rng.lognormal(0.0, 0.5, LINES), PER_LINE)
    homes = Homes(top, top * rng.uniform(1.0, 6.0, n))
    binds = rng.random(copies.n_limits) < 0.5
    binds[0], binds[AREAS_BEHIND], binds[AREAS_BEHIND + LINES // AREAS_BEHIND :: LINES // AREAS_BEHIND] = (
        1,
        0,
        0,
    )
    wanted = np.where(binds, rng.uniform(0.02, 0.15, copies.n_limits), 0.0)
    drawn_kw = coupling @ homes.power_kw(coupling.T @ wanted)
    return copies, homes, drawn_kw * np.where(binds, 1.0, 1.1)


def optimum(copies: Copies, homes: Homes, limit_kw: np.ndarray) -> np.ndarray:
    """Multipliers of the most worth within the limits."""
    p_kw = cp.Variable(copies.n_households, nonneg=True)
    worth = (homes.top / homes.fall) @ p_kw - 0.5 * cp.sum(cp.multiply(1.0 / homes.fall, cp.square(p_kw)))
    limits = copies.coupling @ p_kw <= limit_kw
    cp.Problem(cp.Maximize(worth), [limits]).solve(solver=cp.CLARABEL)
    return np.maximum(limits.dual_value, 0.0)


def duals() -> None:
    """Largest errors over ten draws."""
    print("largest error in % of the price (and of what homes pay in all), ten draws; limits above in %")
    print(f"{'graph':>32} {'steps':>5} {'price':>8} {'copies':>8} {'paid':>8} {'above':>8} {'s':>6}")
    for kind, down in (
        ("complete", 0.0),
        ("random_regular", 0.0),
        ("cables, a line", 0.0),
        ("random_regular", 0.3),
    ):
        for n_steps in (1, 10):
            began, errors = time.perf_counter(), []
            for seed in range(10):
                errors.append(_errors("line" if "line" in kind else kind, down, n_steps, seed))
            price, copies, paid, above = np.max(errors, axis=0)
            label = kind + (f", {down:.0%} of links down" if down else "")
            took = time.perf_counter() - began
            print(f"{label:>32} {n_steps:5} {price:8.2f} {copies:8.2f} {paid:8.2f} {above:8.3f} {took:6.1f}")


def _errors(kind: str, down: float, n_steps: int, seed: int) -> tuple[float, float, float, float]:
    copies, homes, limit_kw = three_levels(seed)
    expected = optimum(copies, homes, limit_kw)
    graph = communication(copies, kind, seed=seed)  # type: ignore[arg-type]
    startup = bounds.cold_start_rounds(graph, accelerated=not down)
    outage = LinkOutage(down) if down else None
    step = CurveStep(
        graph,
        price_grid(4.0, smallest=0.002),
        sweeps=2,
        mixing=TrackedMixing(startup),
        outage=outage,
        accelerated=not down,
    )
    state, rng = step.init(), np.random.default_rng(seed)
    for _ in range(n_steps):
        state, agreed = step.step(
            state, demand=homes, limit_kw=limit_kw, offset_kw=np.zeros(copies.n_limits), rng=rng
        )
    held = ~copies.is_meter
    mean = np.bincount(copies.limit[held], weights=agreed.price[held]) / np.bincount(copies.limit[held])
    priced = expected > 1e-3
    of_copies = (held & priced[copies.limit]).nonzero()[0]
    apart = np.abs(agreed.price[of_copies] / expected[copies.limit[of_copies]] - 1.0)
    paid = np.abs(agreed.local_price / (copies.coupling.T @ expected) - 1.0)
    return (
        100.0 * float(np.abs(mean[priced] / expected[priced] - 1.0).max()),
        100.0 * float(apart.max()),
        100.0 * float(paid.max()),
        100.0 * float((agreed.residual_kw / limit_kw).max()),
    )


if __name__ == "__main__":
    what = sys.argv[1:2]
    if what == ["areas"]:
        areas(sys.argv[2:])
    elif what == ["duals"]:
        duals()
    else:
        sys.exit(__doc__)
