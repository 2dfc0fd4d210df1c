"""What every device keeps to, whoever wrote it: one contract, over the shipped ones and a user's own."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grid_cosim.devices import (
    Battery,
    BatteryPopulation,
    DeferrablePopulation,
    Device,
    Drive,
    HeatPump,
    HeatPumpPopulation,
    Outputs,
    Photovoltaics,
    Population,
    PvPopulation,
    Storing,
    SunlitPopulation,
    V2GPopulation,
    V2GVehicle,
    VehiclePopulation,
    WaterHeater,
    WaterHeaterPopulation,
)
from grid_cosim.devices.device import LEVEL_NAMES, TWO_WAY_NAMES, DriveOfRows, rows_of, to_dtype
from grid_cosim.devices.device import stacked as inputs_of_steps
from tests.devices.episode import Moment, at_random, drawn, live, stacked
from tests.devices.toy import PoolPumpPopulation

N, N_STEPS = 5, 90


class Case(NamedTuple):
    population: Population | SunlitPopulation
    worse: str
    """Field of the state by which more is owed, with the sign of the change."""
    queue: bool = True
    """Whether energy is asked for, and then delivered or not; a heat pump keeps a temperature instead."""
    gives: bool = False
    """Whether it may feed in."""


CASES = [
    Case(VehiclePopulation(), "+owed_kwh"),
    Case(HeatPumpPopulation(), "-temperature_c", queue=False),
    Case(DeferrablePopulation(jobs_per_day=6.0), "+waiting_kwh"),
    Case(PoolPumpPopulation(), "+owed_kwh"),
    Case(WaterHeaterPopulation(litres_per_person=90.0), "-stored_kwh", queue=False),
    Case(BatteryPopulation(), "-stored_kwh", queue=False, gives=True),
    Case(V2GPopulation(), "+owed_kwh", gives=True),
    Case(PvPopulation(), "", queue=False, gives=True),
]

every_device = pytest.mark.parametrize("case", CASES, ids=lambda case: case.population.kind)
queues = pytest.mark.parametrize(
    "case", [case for case in CASES if case.queue], ids=lambda case: case.population.kind
)
situations = given(seed=st.integers(0, 2**31), start_hour=st.sampled_from([0.0, 5.5, 12.0, 18.0]))
a_few = settings(max_examples=3, deadline=None)


def random_episode(case: Case, seed: int, start_hour: float = 12.0) -> tuple[Any, list[Moment]]:
    device, drive = drawn(case.population, n=N, n_steps=N_STEPS, start_hour=start_hour, seed=seed)
    return device, live(device, drive, at_random(N_STEPS, N, seed), n_steps=N_STEPS)


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, equal_nan=True)


@every_device
@a_few
@situations
def test_every_number_has_its_shape_and_is_finite(case: Case, seed: int, start_hour: float) -> None:
    device, moments = random_episode(case, seed, start_hour)
    assert device.n_devices == N
    for moment in moments:
        features = device.observe(moment.state, moment.inputs)
        assert features.shape == (N, len(device.feature_names))
        assert features.abs().max() < 12.0  # of order one, as a perceptron likes it: NaN and ∞ fail too
        for name, value in moment.outputs._asdict().items():
            assert value.shape == (N,), name
            assert name in ("age_h", "temperature_c") or value.isfinite().all(), name
        assert device.terminal_cost_eur(moment.after, moment.inputs, torch.ones(N).double()).isfinite().all()


@every_device
@a_few
@situations
def test_bounds_are_ordered_and_hold_what_is_drawn_uncontrolled(
    case: Case, seed: int, start_hour: float
) -> None:
    device, moments = random_episode(case, seed, start_hour)
    for moment in moments:
        low, high = device.bounds(moment.state, moment.inputs)
        assert (low >= (-device.p_max_kw if case.gives else 0.0)).all()
        assert (low <= high).all()
        assert (high <= device.p_max_kw).all()
        free = device.uncontrolled_kw(moment.state, moment.inputs)
        assert (low <= free).all()
        assert (free <= high).all()


@every_device
@a_few
@situations
def test_what_is_served_is_what_the_meter_counts(case: Case, seed: int, start_hour: float) -> None:
    device, moments = random_episode(case, seed, start_hour)
    for moment in moments:
        out = moment.outputs
        close(out.served_kwh, moment.p_kw * device.dt_h)
        for value in (out.unserved_kwh, out.owed_kwh, out.cost_eur):
            assert (value >= 0.0).all()
        feeds_in_only = isinstance(device, Photovoltaics)
        assert (out.requested_kwh <= 0.0 if feeds_in_only else out.requested_kwh >= 0.0).all()
        assert (out.due_kwh >= out.unserved_kwh).all()
        assert (out.too_cold_kelvin_hours >= 0.0).all()


@queues
@a_few
@situations
def test_energy_is_served_or_unserved_or_owed(case: Case, seed: int, start_hour: float) -> None:
    device, moments = random_episode(case, seed, start_hour)
    owed = torch.zeros(N, dtype=torch.float64)
    for moment in moments:
        out = moment.outputs
        lost = lost_on_the_way_kwh(device, moment)
        close(owed + out.requested_kwh + lost, out.served_kwh + out.unserved_kwh + out.owed_kwh)
        owed = out.owed_kwh
        waits = out.owed_kwh > 1e-9
        assert (out.age_h.isnan() == ~waits).all()
        assert (out.age_h[waits] > 0.0).all()
    total = {name: stacked(moments, name).sum(0) for name in ("requested_kwh", "due_kwh", "unserved_kwh")}
    assert (total["requested_kwh"] > 0.0).any(), "nothing was asked for"
    to_be_made_up = sum(
        lost_on_the_way_kwh(device, m) + (-m.outputs.served_kwh).clamp(min=0) for m in moments
    )
    assert (total["due_kwh"] <= total["requested_kwh"] + to_be_made_up + 1e-9).all()


def lost_on_the_way_kwh(device: Device, moment: Moment) -> Tensor:
    """What a discharge owes at the meter beyond what it gave: the losses out and in again."""
    if not isinstance(device, V2GVehicle):
        return torch.zeros(N, dtype=torch.float64)
    both_ways = device.charge_efficiency * device.discharge_efficiency
    return (-moment.outputs.served_kwh).clamp(min=0.0) * (1.0 / both_ways - 1.0)


@queues
def test_who_does_nothing_fails_everything_that_is_due(case: Case) -> None:
    device, drive = drawn(case.population, n=N, n_steps=N_STEPS)
    moments = live(device, drive, lambda step, low, high: low, n_steps=N_STEPS)
    close(stacked(moments, "unserved_kwh"), stacked(moments, "due_kwh"))
    assert stacked(moments, "unserved_kwh").sum() > 0.0


@queues
def test_uncontrolled_leaves_nothing_unserved(case: Case) -> None:
    device, drive = drawn(case.population, n=40, n_steps=N_STEPS, seed=3)
    assert stacked(live(device, drive, None, n_steps=N_STEPS), "unserved_kwh").max() < 1e-9


@every_device
def test_a_batch_is_a_loop_over_its_devices(case: Case) -> None:
    device, drive = drawn(case.population, n=N, n_steps=N_STEPS)
    together = live(device, drive, at_random(N_STEPS, N), n_steps=N_STEPS)
    for row in range(N):
        rows = torch.tensor([row])
        powers = [moment.p_kw[rows] for moment in together]
        alone = live(
            rows_of(device, rows, N),
            DriveOfRows(drive, rows, N),
            lambda step, low, high, powers=powers: powers[step],
            n_steps=N_STEPS,
        )
        for name in Outputs._fields:
            close(stacked(alone, name)[:, 0], stacked(together, name)[:, row])


@every_device
def test_the_order_of_devices_is_irrelevant(case: Case) -> None:
    device, drive = drawn(case.population, n=N, n_steps=N_STEPS)
    order = torch.tensor([3, 0, 4, 2, 1])
    straight = live(device, drive, None, n_steps=N_STEPS)
    shuffled = live(rows_of(device, order, N), DriveOfRows(drive, order, N), None, n_steps=N_STEPS)
    for name in Outputs._fields:
        close(stacked(shuffled, name), stacked(straight, name)[:, order])


def cost_of(device: Device, drive: Drive, share: Tensor) -> Tensor:
    moments = live(
        device, drive, lambda step, low, high: low + (high - low) * share[step], n_steps=len(share)
    )
    price = torch.full((device.n_devices,), 0.3, dtype=share.dtype)
    energy = 0.3 * sum(moment.outputs.served_kwh for moment in moments)
    own = sum(moment.outputs.cost_eur for moment in moments)
    left = device.terminal_cost_eur(moments[-1].after, moments[-1].inputs, price)
    return (own + energy + left).sum()


@every_device
def test_the_gradient_of_an_episode_is_its_finite_difference(case: Case) -> None:
    device, drive = drawn(case.population, n=N, n_steps=N_STEPS)
    generator = torch.Generator().manual_seed(5)
    share = 0.05 + 0.3 * torch.rand(N_STEPS, N, generator=generator, dtype=torch.float64)
    share.requires_grad_(True)
    direction = torch.randn(N_STEPS, N, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(cost_of(device, drive, share), share)
    with torch.no_grad():
        ahead = cost_of(device, drive, share + 1e-6 * direction)
        behind = cost_of(device, drive, share - 1e-6 * direction)
    slope = (gradient * direction).sum()
    assert slope.abs() > 1e-3
    # the cost is piecewise smooth: central differences are off by O(1e-12) and rounding / 1e-6
    torch.testing.assert_close(slope, (ahead - behind) / 2e-6, rtol=1e-5, atol=0.0)


@every_device
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_gradients_stay_finite_where_powers_meet_their_bounds(case: Case, share: float) -> None:
    device, drive = drawn(case.population, n=N, n_steps=N_STEPS)
    device, drive = to_dtype(device, torch.float32), to_dtype(drive, torch.float32)
    shares = torch.full((N_STEPS, N), share, requires_grad=True)
    (gradient,) = torch.autograd.grad(cost_of(device, drive, shares), shares)
    assert gradient.isfinite().all()


@every_device
def test_a_store_is_reached_into_by_the_power_and_seen_by_nothing_else(case: Case) -> None:
    device, moments = random_episode(case, seed=4)
    names = TWO_WAY_NAMES if case.gives else LEVEL_NAMES
    assert isinstance(device, Storing) == (device.feature_names[: len(names)] == names)
    if not isinstance(device, Storing):
        return
    assert any(not torch.equal(moment.state[0], follows.state[0]) for moment, follows in pairwise(moments))
    for moment in moments:
        low, high = bounds = device.bounds(moment.state, moment.inputs)
        powers = [low, torch.zeros_like(low), high] if case.gives else [low, high]
        levels = device.levels(moment.state, bounds, moment.inputs)
        surroundings = device.surroundings(moment.inputs)
        close(device.observe(moment.state, moment.inputs), torch.cat([levels, surroundings], dim=1))
        close(levels, torch.stack([level_after(device, moment, p_kw) for p_kw in powers], dim=1))
        assert (levels.diff(dim=1) >= 0.0).all()
        for k, (less, more) in enumerate(pairwise(powers)):
            half = level_after(device, moment, 0.5 * (less + more))
            close(half, levels[:, k : k + 2].mean(1))
    together = device.surroundings(inputs_of_steps([moment.inputs for moment in moments]))
    close(together, torch.stack([device.surroundings(moment.inputs) for moment in moments]))


def level_after(device: Storing, moment: Moment, p_kw: Tensor) -> Tensor:
    """Where the store stands when that was drawn."""
    after, out = device.step(moment.state, p_kw, moment.inputs)
    match device:
        case HeatPump():
            return after.temperature_c - device.set_point_c
        case WaterHeater():
            heat = after.stored_kwh - device.cop * out.unserved_kwh
            return 4.0 * (heat / device.capacity_kwh - 1.0)
        case Battery():
            return 4.0 * (after.stored_kwh / device.capacity_kwh - 0.5)
        case V2GVehicle():
            return -device.charge_efficiency * (out.owed_kwh + out.unserved_kwh) / 10.0
        case _:
            raise AssertionError("say here what the level of this device is")


@every_device
def test_what_a_policy_sees_can_be_differentiated(case: Case) -> None:
    device, moments = random_episode(case, seed=1)
    middle = moments[len(moments) // 2]
    for field, value in middle.state._asdict().items():
        leaf = value.clone().requires_grad_(True)
        features = device.observe(middle.state._replace(**{field: leaf}), middle.inputs)
        if features.requires_grad:
            (gradient,) = torch.autograd.grad(features.sum(), leaf)
            assert gradient.isfinite().all(), field


@every_device
def test_the_generator_decides_everything(case: Case) -> None:
    runs = [
        stacked(
            live(*drawn(case.population, seed=seed), at_random(N_STEPS, 5), n_steps=N_STEPS), "served_kwh"
        )
        for seed in (7, 7, 8)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@every_device
@a_few
@situations
def test_the_more_is_owed_at_the_end_the_dearer(case: Case, seed: int, start_hour: float) -> None:
    if not case.worse:
        return
    device, moments = random_episode(case, seed, start_hour)
    sign, field = (1.0 if case.worse[0] == "+" else -1.0), case.worse[1:]
    price = torch.full((N,), 0.3, dtype=torch.float64)
    for moment in moments[::20]:
        before = device.terminal_cost_eur(moment.after, moment.inputs, price)
        state = moment.after
        for _ in range(3):
            state = state._replace(**{field: getattr(state, field) + 0.4 * sign})
            after = device.terminal_cost_eur(state, moment.inputs, price)
            assert (after > before).all()
            before = after


@every_device
def test_a_step_changes_nothing_that_it_was_given(case: Case) -> None:
    device, moments = random_episode(case, seed=2)
    moment = moments[30]
    before = [math.nan if value is None else value.clone() for value in moment.state]
    device.step(moment.state, moment.p_kw, moment.inputs)
    device.receive(moment.state, moment.inputs)
    close(list(moment.state), before)
