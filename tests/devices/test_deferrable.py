from __future__ import annotations

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_cosim.devices import DeferrableLoad, DeferrablePopulation
from grid_cosim.devices.deferrable import QueueInputs, QueueState
from tests.devices.episode import drawn

PATIENCE = 4


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def queue(p_max_kw: float = 4.0, patience: int = PATIENCE) -> DeferrableLoad:
    return DeferrableLoad(p_max_kw=vector(p_max_kw), dt_h=0.5, max_age_steps=patience)


@given(
    story=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.3, 0.5, 1.0])), min_size=1, max_size=20
    )
)
@settings(deadline=None, max_examples=40)
def test_it_is_a_first_in_first_out_queue_with_a_deadline(story: list[tuple[int, float]]) -> None:
    device = queue()
    state = device.init(QueueInputs(0.0, vector(0.0)))
    waiting: deque[list[float]] = deque()  # [steps waited, kWh], oldest first
    for arrival, share in story:
        inputs = QueueInputs(0.0, vector(float(arrival)))
        state = device.receive(state, inputs)
        waiting.append([0, float(arrival)])
        p_kw = share * device.bounds(state, inputs)[1]
        state, out = device.step(state, p_kw, inputs)

        to_serve = p_kw.item() * 0.5
        for job in waiting:
            served = min(job[1], to_serve)
            job[1] -= served
            to_serve -= served
        assert to_serve < 1e-9
        for job in waiting:
            job[0] += 1
        lost = waiting.popleft()[1] if waiting[0][0] == PATIENCE else 0.0

        assert out.unserved_kwh.item() == pytest.approx(lost, abs=1e-9)
        assert out.owed_kwh.item() == pytest.approx(sum(kwh for _, kwh in waiting), abs=1e-9)
        by_age = dict(waiting)
        for age in range(PATIENCE):
            assert state.waiting_kwh[0, age].item() == pytest.approx(by_age.get(age, 0.0), abs=1e-9)
        oldest = max((age for age, kwh in waiting if kwh > 1e-9), default=None)
        assert out.age_h.isnan().item() if oldest is None else out.age_h.item() == 0.5 * oldest


@given(kwh=st.lists(st.floats(0.0, 5.0), min_size=PATIENCE, max_size=PATIENCE))
@settings(deadline=None, max_examples=40)
def test_what_no_longer_fits_is_what_full_power_would_lose(kwh: list[float]) -> None:
    device = queue()
    state = QueueState(vector(0.0, *kwh[1:])[None, :])
    nothing = QueueInputs(0.0, vector(0.0))
    value = device.terminal_cost_eur(state, nothing, vector(0.3)).item()
    total, lost = state.waiting_kwh.sum().item(), 0.0
    for _ in range(PATIENCE):
        state = device.receive(state, nothing)
        state, out = device.step(state, device.uncontrolled_kw(state, nothing), nothing)
        lost += out.unserved_kwh.item()
    still = total - lost
    assert value == pytest.approx(0.3 * still + 0.01 * still**2 / (2.0 * 4.0) + 2.0 * lost, abs=1e-9)


def test_costs_by_hand() -> None:
    device = queue()
    state = QueueState(vector(1.0, 0.0, 0.0, 3.0)[None, :])
    _, out = device.step(state, vector(4.0), QueueInputs(0.0, vector(1.0)))
    assert out.served_kwh.item() == 2.0
    assert out.due_kwh.item() == 3.0  # 2 of the oldest were served, 1 was lost
    assert out.unserved_kwh.item() == 1.0
    assert out.age_h.item() == 0.5
    assert out.cost_eur.item() == pytest.approx(0.5 * 0.01 * 1.0 + 2.0 * 1.0)


def test_demand_comes_when_and_as_much_as_the_population_says() -> None:
    population = DeferrablePopulation(job_spread=0.0)
    _, drive = drawn(population, n=4000, n_steps=96, start_hour=0.0)
    by_step = drive.arrival_kwh.mean(1)
    # 4,800 jobs of 1 kWh are expected: standard error 1.4 %
    assert by_step.sum().item() == pytest.approx(1.2, rel=0.05)
    by_hour = by_step.reshape(24, 4).sum(1)
    assert by_hour[18] > 5.0 * by_hour[6]  # 1.9 : 0.1 at the extremes of the rate
