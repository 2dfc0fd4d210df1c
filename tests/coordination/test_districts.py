"""Districts that exchange messages find, bit for bit, what one simulator with all households finds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from grid_cosim.coordination import (
    CommunicationGraph,
    Copies,
    CurveStep,
    FreshMixing,
    GradientStep,
    Negotiated,
    NewtonStep,
    TrackedMixing,
    communication,
    price_grid,
)
from grid_cosim.coordination.districts import District, DistrictStep
from tests.coordination.demand import Logistic, some_homes

N = 24
STEPS = 6
Ours = CurveStep | NewtonStep | GradientStep


def one_limit() -> Copies:
    return Copies.of(csr_array(np.ones((1, N))))


def nested_limits() -> Copies:
    """A transformer for all, a street in one district alone, and a street that is cut."""
    behind = np.zeros((3, N))
    behind[0], behind[1, :6], behind[2, 8:20] = 1.0, 1.0, 1.0
    return Copies.of(csr_array(behind), np.array([0, 1, 1]))


def laid_out(copies: Copies) -> CommunicationGraph:
    return communication(copies, "random_regular", seed=3, degree=4)


STEPS_OF: dict[str, Callable[[CommunicationGraph], Ours]] = {
    "curve": lambda g: CurveStep(g, price_grid(4.0), sweeps=2, rounds=6, mixing=TrackedMixing(20)),
    "curve, accelerated": lambda g: CurveStep(
        g, price_grid(4.0), sweeps=2, mixing=TrackedMixing(20), accelerated=True
    ),
    "curve, at once, fresh": lambda g: CurveStep(g, price_grid(4.0), mixing=FreshMixing()),
    "newton": lambda g: NewtonStep(g, largest_price=4.0, smallest_price=0.002),
    "gradient": lambda g: GradientStep(g, dual_step=0.02, dual_iterations=2),
}


class ByHand:
    """Carries the messages of districts that run in threads; everybody waits for everybody in every round."""

    def __init__(self, n: int) -> None:
        self.barrier = threading.Barrier(n)
        self.said: list[dict[int, np.ndarray]] = [{} for _ in range(n)]
        self.rounds = 0
        self.links: set[tuple[int, int]] = set()

    def post_of(self, here: int) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
        def post(told: np.ndarray, values: np.ndarray, heard: np.ndarray) -> np.ndarray:
            self.said[here] = dict(zip(told.tolist(), values, strict=True))
            self.barrier.wait(timeout=20)
            others = {
                node: row
                for there in self.said
                if there is not self.said[here]
                for node, row in there.items()
            }
            found = np.array([others[node] for node in heard.tolist()])
            self.rounds += here == 0
            self.barrier.wait(timeout=20)
            return found

        return post


def headrooms(copies: Copies) -> np.ndarray:
    """kW per step: slack, tight, tighter, suddenly much more, slack again."""
    share = np.array([3.0, 1.0, 0.6, 0.9, 0.9, 3.0])
    return share[:, None] * 2.5 * np.diff(copies.start)[None] - 1.0


def run_whole(step: Ours, homes: Logistic, limit_kw: np.ndarray) -> list[Negotiated]:
    state, outcomes = step.init(), []
    for now in limit_kw:
        state, outcome = step.step(state, demand=homes, limit_kw=now, offset_kw=np.zeros(now.size))
        outcomes.append(outcome)
    return outcomes


def run_districts(
    step: Ours, homes: Logistic, limit_kw: np.ndarray, parts: Sequence[np.ndarray], has_meter: np.ndarray
) -> tuple[list[list[Negotiated]], list[District], ByHand]:
    wires = ByHand(len(parts))
    outcomes: list[list[Negotiated]] = [[] for _ in parts]
    cut = [District.of(step.graph, part, has_meter == k, wires.post_of(k)) for k, part in enumerate(parts)]
    failed: list[BaseException] = []

    def one(k: int) -> None:
        try:
            district = DistrictStep(cut[k], replace(step, graph=cut[k].graph))
            state = district.init()
            for now in limit_kw:
                # what the others' meters know is nobody's business here
                known = np.where(has_meter == k, now, np.nan)
                state, outcome = district.step(
                    state, demand=homes.of(parts[k]), limit_kw=known, offset_kw=0.0 * known
                )
                outcomes[k].append(outcome)
        except BaseException as error:
            failed.append(error)
            wires.barrier.abort()

    threads = [threading.Thread(target=one, args=(k,)) for k in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return outcomes, cut, wires


def test_they_do_so_where_copies_are_far_apart_and_speak_of_other_prices():
    graph = laid_out(one_limit())
    step = CurveStep(graph, price_grid(4.0), sweeps=2, rounds=1, mixing=TrackedMixing(1))
    homes, limit_kw = some_homes(N), headrooms(one_limit())
    whole = run_whole(step, homes, limit_kw)
    parts = [np.arange(0, N, 2), np.arange(1, N, 2)]
    found, _, _ = run_districts(step, homes, limit_kw, parts, np.array([0]))
    assert max(np.ptp(outcome.local_price) for outcome in whole) > 0.5
    for k in range(STEPS):
        together = np.stack([part[k].local_price for part in found], axis=1).ravel()
        np.testing.assert_array_equal(together, whole[k].local_price)


@pytest.mark.parametrize("name", STEPS_OF)
@pytest.mark.parametrize("copies", [one_limit(), nested_limits()], ids=["one limit", "nested"])
def test_districts_find_what_one_simulator_finds(name: str, copies: Copies):
    step, homes, limit_kw = STEPS_OF[name](laid_out(copies)), some_homes(N), headrooms(copies)
    parts = [np.arange(0, 10), np.arange(10, N)]
    has_meter = np.array([1, 0, 1])[: copies.n_limits]
    whole = run_whole(step, homes, limit_kw)
    found, _, _ = run_districts(step, homes, limit_kw, parts, has_meter)
    assert max(outcome.local_price.max() for outcome in whole) > 0.05
    for k in range(STEPS):
        together = np.concatenate([part[k].local_price for part in found])
        np.testing.assert_array_equal(together, whole[k].local_price)
        np.testing.assert_array_equal(sum(part[k].messages for part in found), whole[k].messages)
        for part in found:
            with_members = part[k].rounds > 0
            np.testing.assert_array_equal(part[k].rounds[with_members], whole[k].rounds[with_members])
