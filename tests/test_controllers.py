from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.sparse import csr_array

from grid_cosim.controllers import Controller
from grid_cosim.coordination import (
    Copies,
    CurveStep,
    Demand,
    ExactStep,
    FreshMixing,
    NewtonStep,
    communication,
    price_grid,
)
from grid_cosim.coordination.meters import Meters, MeterState
from grid_cosim.deciding import Dimming, Independent, Priced, TimeOfUse, Uncontrolled, own_shares
from grid_cosim.demand import FleetDemand
from grid_cosim.fleet import Fleet, FleetState
from grid_cosim.neighbourhood import Neighbourhood
from grid_cosim.policies.view import no_memory
from grid_cosim.scenario import CONTROLLERS
from tests.neighbours import DT_H, after, fleet_of, reordered, untrained

N, STEP = 10, 28
"""Step 28 is seven in the evening."""
PRICES = price_grid(4.0, n_prices=33, smallest=0.002)


def demand_of(scene: Scene, last_kw: np.ndarray) -> FleetDemand:
    policies, memory = untrained(scene.fleet), no_memory(N, DT_H)
    return FleetDemand(scene.fleet, policies, scene.state, STEP, last_kw, memory)


@dataclass(frozen=True)
class Scene:
    fleet: Fleet
    state: FleetState

    @property
    def demand(self) -> FleetDemand:
        return demand_of(self, np.zeros(N))


@pytest.fixture(scope="module")
def evening() -> Scene:
    fleet = fleet_of(N)
    return Scene(fleet, after(fleet, STEP))


def one_limit(n: int = N) -> Copies:
    return Copies.of(csr_array(np.ones((1, n))))


def meter(limit_kw: float, offset_kw: float = 0.0) -> MeterState:
    return MeterState(headroom_kw=np.array([limit_kw - offset_kw]), measured_kw=np.array([offset_kw]))


def exact(copies: Copies) -> Priced:
    """Everyone hears everyone in one round, and the price is refined until it is right."""
    step = NewtonStep(
        communication(copies, "complete"),
        largest_price=4.0,
        smallest_price=0.002,
        rounds=1,
        dual_iterations=60,
        mixing=FreshMixing(),
    )
    return Priced(copies, step, seed=0)


def by_curves(copies: Copies) -> Priced:
    return Priced(copies, CurveStep(communication(copies, "complete"), PRICES, rounds=1), seed=0)


def total_kw(scene: Scene, price: float) -> float:
    return float(scene.demand.power_kw(np.full(N, price)).sum())


def halfway_kw(scene: Scene) -> float:
    """A limit that needs a price."""
    return 0.5 * (total_kw(scene, 0.0) + total_kw(scene, 4.0))


# ------------------------------------------------------------------ what the households answer


def test_the_answers_to_prices_agree_with_each_other(evening: Scene) -> None:
    demand = evening.demand
    assert isinstance(demand, Demand)
    rng = np.random.default_rng(0)
    prices = rng.uniform(0.0, 0.5, (N, 6))
    curve = demand.curve_kw(prices)  # policies answer in single precision
    for k in range(6):
        np.testing.assert_allclose(curve[:, k], demand.power_kw(prices[:, k]), rtol=1e-6)
    for rows in (np.arange(N)[::-3], *np.arange(N)[:, None]):  # single homes lack some kind of device
        np.testing.assert_allclose(demand.curve_kw(prices[rows], rows), curve[rows], rtol=1e-6)
        np.testing.assert_allclose(demand.power_kw(prices[rows, 0], rows), curve[rows, 0], rtol=1e-6)
    asked = demand.curve_kw(np.tile(PRICES, (N, 1)))
    np.testing.assert_allclose(demand.curve_kw(np.broadcast_to(PRICES, asked.shape)), asked, rtol=1e-5)
    assert (asked.argmax(axis=1) == 0).all()
    powers = demand.powers_kw(prices[:, 0])
    np.testing.assert_allclose(
        demand.power_kw(prices[:, 0]), demand.base_kw + evening.fleet.flex_kw(powers), rtol=1e-12
    )
    for group, state, power in zip(evening.fleet.groups, evening.state.devices, powers, strict=True):
        low, high = group.device.bounds(state, group.drive.at(STEP))
        assert ((low <= power) & (power <= high)).all()


def test_the_slope_is_how_the_power_falls(evening: Scene) -> None:
    demand = evening.demand
    price = np.random.default_rng(1).uniform(0.02, 0.2, N)
    width = 1e-3 * price
    difference = (demand.power_kw(price - width) - demand.power_kw(price + width)) / (2.0 * width)
    slope = demand.slope_kw(price)
    assert (slope >= 0.0).all()
    assert slope.max() > 1.0
    # policies answer in single precision: 1e-7 of some kW over a width of 4e-5 EUR/kWh; kinks between ramps
    np.testing.assert_allclose(slope, difference, rtol=0.02, atol=0.2)


def test_a_household_without_devices_does_not_answer(evening: Scene) -> None:
    fleet = fleet_of(4, ownership={})
    demand = FleetDemand(fleet, {}, fleet.init(), 0, np.zeros(4), no_memory(4, DT_H))
    np.testing.assert_array_equal(demand.power_kw(np.full(4, 0.3)), fleet.base_kw[0])
    np.testing.assert_array_equal(demand.slope_kw(np.full(4, 0.3)), np.zeros(4))


# ------------------------------------------------------------------ every controller


def controllers() -> dict[str, Controller]:
    copies = one_limit()
    return {
        "uncontrolled": Uncontrolled(copies),
        "independent": Independent(copies, own_shares(copies, np.array([25.0])), PRICES),
        "consensus": exact(copies),
        "consensus by curves": by_curves(copies),
        "centralised": Priced(copies, ExactStep(copies, 4.0), seed=0),
        "dimming": Dimming(copies, 4.2),
        "time_of_use": TimeOfUse(copies, np.linspace(0.1, 0.4, 48)),
    }


def test_every_controller_is_among_them() -> None:
    """All but the optimum, which knows the future and is planned as a whole."""
    assert set(CONTROLLERS) - {"optimum"} <= set(controllers())


every_controller = pytest.mark.parametrize("name", controllers())


@every_controller
def test_decisions_stay_within_what_devices_can_do(name: str, evening: Scene) -> None:
    controller = controllers()[name]
    _, decision = controller.step(
        controller.init(), demand=evening.demand, meters=meter(halfway_kw(evening)), step=STEP
    )
    for group, state, power in zip(
        evening.fleet.groups, evening.state.devices, decision.powers_kw, strict=True
    ):
        low, high = group.device.bounds(state, group.drive.at(STEP))
        assert ((low <= power) & (power <= high)).all()
    assert (decision.local_price >= 0.0).all()
    np.testing.assert_array_equal(decision.price, decision.local_price)  # one limit, of which all are members
    talked = decision.negotiated is not None and decision.negotiated.messages.any()
    assert talked == name.startswith("consensus")


@pytest.mark.parametrize("name", ["consensus", "consensus by curves", "centralised"])
def test_what_is_negotiated_is_the_change_since_the_measurement(name: str, evening: Scene) -> None:
    """The same room, whether counted from nothing or from what the homes drew when they were measured."""
    controller, room = controllers()[name], halfway_kw(evening)
    last_kw = np.linspace(-0.5, 3.0, N)
    demand = demand_of(evening, last_kw)
    _, from_nothing = controller.step(controller.init(), demand=evening.demand, meters=meter(room), step=STEP)
    headroom = meter(room - last_kw.sum())
    _, from_last = controller.step(controller.init(), demand=demand, meters=headroom, step=STEP)
    assert from_nothing.local_price.min() > 0.0
    np.testing.assert_allclose(from_last.local_price, from_nothing.local_price, rtol=1e-6)


@every_controller
def test_the_order_of_households_is_irrelevant(name: str, evening: Scene) -> None:
    order = np.random.default_rng(3).permutation(N)
    outcome = []
    for scene in (evening, Scene(*reordered(evening.fleet, evening.state, order))):
        controller = controllers()[name]
        _, decision = controller.step(
            controller.init(), demand=scene.demand, meters=meter(halfway_kw(evening)), step=STEP
        )
        outcome.append((decision.local_price, scene.fleet.flex_kw(decision.powers_kw)))
    (price, flex), (shuffled_price, shuffled_flex) = outcome
    np.testing.assert_allclose(
        shuffled_price, price[order], rtol=1e-5, atol=1e-7
    )  # policies are single precision
    np.testing.assert_allclose(shuffled_flex, flex[order], rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------ each controller


def test_uncontrolled_draws_what_devices_want(evening: Scene) -> None:
    _, decision = Uncontrolled(one_limit()).step(None, demand=evening.demand, meters=meter(1.0), step=STEP)
    wanted = evening.fleet.uncontrolled_kw(evening.state, STEP)
    for power, want in zip(decision.powers_kw, wanted, strict=True):
        assert (power == want).all()
    assert not decision.local_price.any()


def test_independent_holds_every_home_at_its_share(evening: Scene) -> None:
    share_kw = 2.0
    controller = Independent(one_limit(), np.full(N, share_kw), PRICES)
    _, decision = controller.step(None, demand=evening.demand, meters=meter(1.0), step=STEP)
    p_kw = evening.demand.base_kw + evening.fleet.flex_kw(decision.powers_kw)
    price = decision.local_price
    assert (p_kw <= share_kw).all()
    wanting = evening.demand.power_kw(np.zeros(N)) > share_kw
    assert 0 < wanting.sum() < N
    assert (price[~wanting] == 0.0).all()
    assert (price[wanting] > 0.0).all()
    # the least such price: single precision resolves a steep answer to about 1e-4 kW
    np.testing.assert_allclose(p_kw[wanting], share_kw, atol=1e-3)


def test_independent_cannot_help_a_home_whose_base_load_exceeds_its_share(evening: Scene) -> None:
    share_kw = float(np.median(evening.demand.base_kw))
    controller = Independent(one_limit(), np.full(N, share_kw), PRICES)
    _, decision = controller.step(None, demand=evening.demand, meters=meter(1.0), step=STEP)
    stuck = evening.demand.base_kw > share_kw
    assert stuck.any()
    assert (decision.local_price[stuck] == 4.0).all()
    np.testing.assert_array_equal(evening.fleet.flex_kw(decision.powers_kw)[stuck], 0.0)
    assert (evening.demand.power_kw(decision.local_price)[~stuck] <= share_kw).all()


def test_homes_outside_of_all_limits_are_free(evening: Scene) -> None:
    inside = np.ones((1, N))
    inside[0, 3:6] = 0.0
    copies = Copies.of(csr_array(inside))
    shares = own_shares(copies, np.array([14.0]))
    np.testing.assert_allclose(shares, np.where(inside[0] > 0.0, 2.0, np.inf))
    _, decision = Independent(copies, shares, PRICES).step(
        None, demand=evening.demand, meters=meter(1.0), step=STEP
    )
    assert (decision.local_price[3:6] == 0.0).all()
    assert decision.price.size == N - 3


def test_shares_of_nested_limits_are_the_tightest() -> None:
    """
    meter 0: homes 0 1 2 3, 8 kW        meter 1: homes 0 1, 3 kW       home 3 feeds half into meter 0
    """
    copies = Copies.of(csr_array([[1.0, 1.0, 1.0, 0.5], [1.0, 1.0, 0.0, 0.0]]), np.array([0, 1]))
    np.testing.assert_allclose(own_shares(copies, np.array([7.0, 3.0])), [1.5, 1.5, 2.0, 2.0])


def test_the_centre_clears_the_limit_exactly(evening: Scene) -> None:
    controller, room = controllers()["centralised"], halfway_kw(evening)
    state, decision = controller.step(controller.init(), demand=evening.demand, meters=meter(room), step=STEP)
    drawn_kw = total_kw(evening, decision.local_price[0])
    # single precision resolves the sum to 1e-6 of itself
    assert room * (1.0 - 1e-5) < drawn_kw <= room
    _, slack = controller.step(
        state, demand=evening.demand, meters=meter(1.01 * total_kw(evening, 0.0)), step=STEP
    )
    assert not slack.local_price.any()
    _, hopeless = controller.step(state, demand=evening.demand, meters=meter(0.0), step=STEP)
    assert (hopeless.local_price == 4.0).all()
    assert hopeless.negotiated is not None
    assert hopeless.negotiated.saturated.all()


def test_a_surcharge_is_answered_like_a_price_on_which_nobody_agreed(evening: Scene) -> None:
    surcharge = np.zeros(48)
    surcharge[STEP] = 0.3
    _, decision = TimeOfUse(one_limit(), surcharge).step(
        None, demand=evening.demand, meters=meter(1.0), step=STEP
    )
    answered = evening.demand.powers_kw(np.full(N, 0.3))
    for power, answer in zip(decision.powers_kw, answered, strict=True):
        assert torch.equal(power, answer)
    assert (decision.local_price == 0.3).all()
    _, free = TimeOfUse(one_limit(), surcharge).step(
        None, demand=evening.demand, meters=meter(1.0), step=STEP + 1
    )
    assert not free.local_price.any()


# two levels for those who cut: behind meter 1 homes 0 to 3, behind meter 0 homes 0 to 8, home 9 is free
TWO_LEVELS = Copies.of(csr_array([[1.0] * 9 + [0.0], [1.0] * 4 + [0.0] * 6]), np.array([0, 1]))


@pytest.mark.parametrize(
    ("inner", "outer", "dimmed"),
    [
        ("wanted", "wanted", []),
        ("below", "wanted", range(4)),
        ("wanted", "below", range(9)),
        ("below", "below", range(4)),  # what the inner limit takes off is enough for the outer one
        ("below", "nothing", range(9)),
    ],
)
def test_dimming_cuts_every_device_behind_an_overloaded_limit(
    inner: str, outer: str, dimmed: list[int], evening: Scene
) -> None:
    last_kw = np.linspace(0.5, 3.0, N)
    cap_kw, demand = 1.0, demand_of(evening, last_kw)
    wanted = demand.base_kw + evening.fleet.flex_kw(demand.uncontrolled_kw())
    room = {"wanted": 1e-9, "below": -1e-3, "nothing": -np.inf}
    headroom = TWO_LEVELS.coupling @ (wanted - last_kw) + np.array([room[outer], room[inner]])
    meters = MeterState(headroom_kw=headroom, measured_kw=np.zeros(2))
    _, decision = Dimming(TWO_LEVELS, cap_kw).step(None, demand=demand, meters=meters, step=STEP)
    for group, power, want in zip(
        evening.fleet.groups, decision.powers_kw, demand.uncontrolled_kw(), strict=True
    ):
        inside = np.isin(group.household, dimmed)
        assert (power.numpy() == np.where(inside, np.minimum(want.numpy(), cap_kw), want.numpy())).all()
    assert np.any(evening.fleet.flex_kw(demand.uncontrolled_kw())[:4] > cap_kw)
    assert not decision.local_price.any()


def test_dimming_grants_what_a_device_cannot_do_without(
    evening: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of nothing and a cap of nothing: only the least that devices must draw is left."""
    demand, least = evening.demand, torch.full((evening.fleet.groups[0].household.size,), 0.5).double()
    monkeypatch.setattr(type(evening.fleet.groups[0].device), "bounds", lambda *_: (least, 2.0 * least))
    _, decision = Dimming(one_limit(), 0.0).step(None, demand=demand, meters=meter(0.0), step=STEP)
    assert (decision.powers_kw[0] == 0.5).all()
    assert not any(power.any() for power in decision.powers_kw[1:])


@pytest.mark.parametrize("offset_kw", [0.0, 4.0, -3.0])
def test_consensus_on_a_complete_graph_is_the_central_bisection(evening: Scene, offset_kw: float) -> None:
    room = halfway_kw(evening)
    central = brentq(lambda price: total_kw(evening, price) - room, 0.0, 4.0, xtol=1e-9)
    meters = meter(room + offset_kw, offset_kw)
    controller = exact(one_limit())
    _, decision = controller.step(controller.init(), demand=evening.demand, meters=meters, step=STEP)
    # single precision resolves the sum to 1e-6 of itself
    np.testing.assert_allclose(decision.local_price, central, rtol=1e-4)

    coarse = by_curves(one_limit())
    _, decision = coarse.step(coarse.init(), demand=evening.demand, meters=meters, step=STEP)
    assert np.ptp(decision.local_price) < 1e-9
    right = np.searchsorted(PRICES, central)
    assert PRICES[right - 1] <= decision.local_price[0] <= PRICES[right]


def test_consensus_asks_no_price_where_the_limit_is_slack(evening: Scene) -> None:
    controller = exact(one_limit())
    _, decision = controller.step(
        controller.init(), demand=evening.demand, meters=meter(1.01 * total_kw(evening, 0.0)), step=STEP
    )
    assert not decision.local_price.any()


# ------------------------------------------------------------------ the neighbourhood


def neighbourhood(controller: Controller, copies: Copies, fleet: Fleet) -> Neighbourhood:
    """Ten homes at three connection points, one limit of 25 kW."""
    return Neighbourhood(
        household_names=tuple(f"home {k}" for k in range(N)),
        connection=np.arange(N) % 3,
        connection_buses=np.array([4, 8, 9]),
        limit_names=("Trafo-0",),
        fleet=fleet,
        policies=untrained(fleet),
        copies=copies,
        meters=Meters(np.array([25.0]), np.array([100.0]), np.zeros(1)),
        controller=controller,
    )


@every_controller
def test_a_neighbourhood_lives_through_its_horizon(name: str) -> None:
    fleet = fleet_of(N, n_steps=32)
    homes = neighbourhood(controllers()[name], one_limit(), fleet)
    state, measured = homes.init(), np.full(1, np.nan)
    assert len(homes.device_names) == sum(group.household.size for group in fleet.groups)
    for step in range(32):
        before = state
        state, done = homes.step(state, step, measured_kw=measured, loading_percent=4.0 * measured)
        assert done.terminal_cost_eur[0].any().item() == (step == 31)
        assert done.terminal_cost_without_energy_eur[0].any().item() == (step == 31)
        np.testing.assert_allclose(done.p_kw, fleet.base_kw[step] + done.flex_kw)
        np.testing.assert_allclose(homes.at_connection_points(done.p_kw)[1], done.p_kw[1::3].sum())
        np.testing.assert_array_equal(state.drawn_kw, done.p_kw)
        if step:  # the meter knows what it measured, every household what it drew then
            np.testing.assert_allclose(done.meters.measured_kw, measured)
            np.testing.assert_array_equal(state.last_kw, before.drawn_kw)
            np.testing.assert_allclose(done.offset_kw, measured - before.drawn_kw.sum())
        measured = np.array([1.03 * done.p_kw.sum()])
        if name == "consensus":
            assert done.p_kw.sum() <= (done.limit_kw - done.offset_kw).item() * (1.0 + 1e-5)
    assert before.drawn_kw is not state.drawn_kw


def test_a_meter_knows_its_measurement_and_nothing_of_what_its_members_drew() -> None:
    fleet = fleet_of(N, n_steps=4)
    homes = neighbourhood(controllers()["consensus"], one_limit(), fleet)
    measured, loading = np.array([20.0]), np.array([80.0])
    state, _ = homes.step(homes.init(), 0, measured_kw=np.full(1, np.nan), loading_percent=np.full(1, np.nan))
    other = replace(state, drawn_kw=state.drawn_kw + np.linspace(-1.0, 2.0, N))
    _, done = homes.step(state, 1, measured_kw=measured, loading_percent=loading)
    _, changed = homes.step(other, 1, measured_kw=measured, loading_percent=loading)
    np.testing.assert_array_equal(changed.meters.headroom_kw, done.meters.headroom_kw)
    # each household knows its own, and what all may draw follows from that
    more = (other.drawn_kw - state.drawn_kw).sum()
    np.testing.assert_allclose(changed.limit_kw - changed.offset_kw, done.limit_kw - done.offset_kw + more)


def test_without_a_solution_households_and_meters_keep_to_the_time_before() -> None:
    fleet = fleet_of(N, n_steps=4)
    homes = neighbourhood(controllers()["consensus"], one_limit(), fleet)
    nothing = np.full(1, np.nan)
    state, first = homes.step(homes.init(), 0, measured_kw=nothing, loading_percent=nothing)
    state, then = homes.step(state, 1, measured_kw=np.array([20.0]), loading_percent=np.array([80.0]))
    after, lost = homes.step(state, 2, measured_kw=nothing, loading_percent=nothing)
    np.testing.assert_array_equal(after.last_kw, first.p_kw)
    np.testing.assert_array_equal(lost.meters.headroom_kw, then.meters.headroom_kw)
