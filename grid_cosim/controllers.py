"""Controllers: who decides what the devices draw, behind one protocol.

`consensus`: the trained policies at a price on which neighbours agree (arXiv 2605.30461). The others are
what it is held against. Without a centre: `uncontrolled`, every device does what it likes; `independent`, the
policies with each household holding its own share of the limit; `time_of_use`, the policies at a price that
was fixed beforehand. With one: `dimming`, the grid operator cuts all devices alike; `centralised`, the
policies at the exact price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grid_cosim.coordination import Copies, DualState, DualStep, Negotiated, handed_over, own_share_price
from grid_cosim.coordination.meters import MeterState
from grid_cosim.devices.device import rows_of
from grid_cosim.fleet import Fleet, FleetState, seeded
from grid_cosim.policies.checkpoint import Policy
from grid_cosim.policies.network import Response
from grid_cosim.policies.two_way import TwoWayResponse
from grid_cosim.policies.view import PriceMemory, view

Policies = Mapping[str, Policy]

_UNLIMITED_KW = 1e9
"""A share that stands for none, large enough for any household and finite, as interpolation needs it."""


class _Answer(NamedTuple):
    """How the devices of a kind answer a price: their range, and the share of it that they use."""

    household: Int[np.ndarray, "devices"]
    p_min_kw: Float[Tensor, "devices"]
    p_max_kw: Float[Tensor, "devices"]
    response: Response | TwoWayResponse


class FleetDemand:
    """How the households of a fleet answer prices in one control step.

    The perceptrons run once, here; asking for the power at a price afterwards is a few operations.
    `last_kw` is what each household drew when the meters measured last, `memory` the prices on which it has
    acted (`policies.view`). Implements `coordination.Demand`.
    """

    def __init__(
        self,
        fleet: Fleet,
        policies: Policies,
        state: FleetState,
        step: int,
        last_kw: Float[np.ndarray, "households"],
        memory: PriceMemory,
    ) -> None:
        assert not policies or policies.keys() >= {group.kind for group in fleet.groups}, "one for every kind"
        self.fleet = fleet
        self.state = state
        self.base_kw: Float[np.ndarray, "households"] = fleet.base_kw[step]
        self.last_kw = last_kw
        self._step = step
        tariff = fleet.tariff_view
        self._premium = float(tariff.premium[step, 0])
        ahead = [torch.tensor(part[step], dtype=torch.float32) for part in tariff]
        seen = view(memory, ahead[0], ahead[2], ahead[3], dt_h=fleet.dt_h) if policies else None
        self._answers: list[_Answer] = []
        for group, devices in zip(fleet.groups, state.devices, strict=True):
            if seen is None:
                continue
            inputs = group.drive.at(step)
            p_min, p_max = group.device.bounds(devices, inputs)
            own = group.device.observe(devices, inputs).float()
            response = policies[group.kind].network(torch.cat([own, seen[group.household]], dim=-1))
            self._answers.append(_Answer(group.household, p_min, p_max, response))

    def _answered(self, local_price: np.ndarray) -> Tensor:
        """What a response is asked for: a tariff above the day's lowest acts like a congestion price."""
        return torch.as_tensor(local_price + self._premium, dtype=torch.float32)

    def powers_kw(self, local_price: Float[np.ndarray, "households"]) -> tuple[Tensor, ...]:
        """Power of every device, per group, at its household's price."""
        return tuple(
            response.power_kw(self._answered(local_price[household]), p_min, p_max)
            for household, p_min, p_max, response in self._answers
        )

    def uncontrolled_kw(self) -> tuple[Tensor, ...]:
        """Power of every device, per group, if nobody controls it."""
        return self.fleet.uncontrolled_kw(self.state, self._step)

    def power_kw(
        self, local_price: Float[np.ndarray, "asked"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked"]:
        """Net power per household at its local price."""
        return self.curve_kw(local_price[:, None], rows)[:, 0]

    def slope_kw(
        self, local_price: Float[np.ndarray, "asked"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked"]:
        """-dp/dμ per household, kW per EUR/kWh, never negative."""
        total = np.zeros(local_price.shape)
        for own, p_min, p_max, response in self._of(rows):
            slope = response.fraction_slope(self._answered(local_price[own])).double()
            total[own] -= ((p_max - p_min) * slope).numpy()
        return total

    def curve_kw(
        self, local_price: Float[np.ndarray, "asked prices"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked prices"]:
        """Net power per household at several local prices each."""
        base_kw = self.base_kw if rows is None else self.base_kw[rows]
        total = np.repeat(base_kw[:, None], local_price.shape[1], axis=1)
        all_the_same = local_price.strides[0] == 0 and len(local_price) > 1
        for own, p_min, p_max, response in self._of(rows):
            asked = local_price[:1] if all_the_same else local_price[own]
            total[own] += response.power_kw(self._answered(asked), p_min, p_max).numpy()
        return total

    def _of(self, rows: Int[np.ndarray, "asked"] | None) -> Iterator[_Answer]:
        """The devices of some households; `household` is then where their owner is among these."""
        for answer, number in zip(self._answers, self.fleet.device_of, strict=True):
            if rows is None:
                yield answer
                continue
            device = number[rows]
            own = np.flatnonzero(device >= 0)
            if not own.size:
                continue
            of_them = rows_of(answer, torch.as_tensor(device[own]), answer.household.size)
            yield of_them._replace(household=own)


@dataclass(frozen=True)
class Change:
    """How far each household would move from what it drew when the meters measured last.

    A household knows its own; so what is negotiated needs no sum that nobody has told.
    """

    demand: FleetDemand

    def power_kw(
        self, local_price: Float[np.ndarray, "asked"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked"]:
        """p(μ) - p_last."""
        return self.demand.power_kw(local_price, rows) - self._last_kw(rows)

    def slope_kw(
        self, local_price: Float[np.ndarray, "asked"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked"]:
        """-dp/dμ."""
        return self.demand.slope_kw(local_price, rows)

    def curve_kw(
        self, local_price: Float[np.ndarray, "asked prices"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked prices"]:
        """p(μ) - p_last at several prices."""
        return self.demand.curve_kw(local_price, rows) - self._last_kw(rows)[:, None]

    def _last_kw(self, rows: Int[np.ndarray, "asked"] | None) -> Float[np.ndarray, "asked"]:
        return self.demand.last_kw if rows is None else self.demand.last_kw[rows]


@dataclass(frozen=True)
class FeedIn:
    """The same households the other way round: what they feed in, at a price for feeding in."""

    demand: FleetDemand

    def power_kw(
        self, local_price: Float[np.ndarray, "asked"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked"]:
        """-p(-μ)."""
        return -self.demand.power_kw(-local_price, rows)

    def slope_kw(
        self, local_price: Float[np.ndarray, "asked"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked"]:
        """-dp/dμ at -μ."""
        return self.demand.slope_kw(-local_price, rows)

    def curve_kw(
        self, local_price: Float[np.ndarray, "asked prices"], rows: Int[np.ndarray, "asked"] | None = None
    ) -> Float[np.ndarray, "asked prices"]:
        """-p(-μ) at several prices."""
        return -self.demand.curve_kw(-local_price, rows)


@dataclass(frozen=True)
class Decision:
    """What a controller decided in one control step.

    `price` are the prices about each limit, one per member in the order of the copies without meters.
    `negotiated` is what the negotiation came to, None where nobody talked.
    """

    powers_kw: tuple[Tensor, ...]
    local_price: Float[np.ndarray, "households"]
    price: Float[np.ndarray, "members"]
    negotiated: Negotiated | None = None


@runtime_checkable
class Controller(Protocol):
    """Decides, step after step, what every device draws."""

    def init(self) -> Any:
        """What the controller remembers before the first step."""

    def step(self, state: Any, *, demand: FleetDemand, meters: MeterState, step: int) -> tuple[Any, Decision]:
        """Decide on one control step, from the households' answers and what the meters know."""


@runtime_checkable
class TakesOver(Protocol):
    """A controller that goes on from what another knew, when switches have moved homes to other limits."""

    def taken_over(self, state: Any, before: Controller) -> Any:
        """Its own state, of what `before` remembers."""


@final
@dataclass(frozen=True)
class Uncontrolled:
    """Cars charge on plugging in, heat pumps hold their set point, nothing is postponed."""

    copies: Copies

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """Everything that is wanted, at once."""
        free = np.zeros(self.copies.n_households)
        return None, Decision(demand.uncontrolled_kw(), free, _about_limits(self.copies, free))


@final
@dataclass(frozen=True)
class Independent:
    """Every household keeps to its own share of the limit and talks to nobody.

    It sets its own price so high that its own power fits `share_kw`: all that can be done without messages
    if the limit is to hold whatever the others do.
    """

    copies: Copies
    share_kw: Float[np.ndarray, "households"]
    """Of the tightest limit that a household is a member of; infinite outside of all limits."""
    prices: Float[np.ndarray, "prices"]
    """Grid of prices that bracket the search."""
    feed_in_share_kw: Float[np.ndarray, "households"] | None = None
    """The same of the limits against generation; None where there is none."""

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """The least price, up or down, at which each household fits into its shares."""
        price = own_share_price(demand, np.minimum(self.share_kw, _UNLIMITED_KW), self.prices)
        if self.feed_in_share_kw is not None:
            feed_in_kw = np.minimum(self.feed_in_share_kw, _UNLIMITED_KW)
            price -= own_share_price(FeedIn(demand), feed_in_kw, self.prices)
        return None, Decision(demand.powers_kw(price), price, _about_limits(self.copies, price))


@final
@dataclass(frozen=True)
class Priced:
    """Every limit has a price, found by the dual step; each household acts on its own copies.

    `consensus` with a step that neighbours take together, `centralised` with `ExactStep`, which knows all
    answers. The headroom and the answers that go in are the same.
    """

    copies: Copies
    dual_step: DualStep
    seed: int
    """Of link outages, where the mixing has them."""

    def init(self) -> DualState:
        """Prices are zero and nobody has said anything."""
        return self.dual_step.init()

    def taken_over(self, state: DualState, before: Controller) -> DualState:
        """Prices go on, and what was said about limits with the same members; about others all is new."""
        assert isinstance(before, Priced), "the same kind of controller"
        return handed_over(state, before.dual_step, self.dual_step)

    def step(
        self, state: DualState, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[DualState, Decision]:
        """Find the prices, then act on them."""
        state, outcome = self.dual_step.step(
            state,
            demand=Change(demand),
            limit_kw=meters.headroom_kw + meters.measured_kw,
            offset_kw=meters.measured_kw,
            rng=np.random.default_rng(seeded(self.seed, f"links in step {step}")),
        )
        return state, Decision(
            powers_kw=demand.powers_kw(outcome.local_price),
            local_price=outcome.local_price,
            price=outcome.price[~self.copies.is_meter],
            negotiated=outcome,
        )


@final
@dataclass(frozen=True)
class TimeOfUse:
    """Every household answers a surcharge that was fixed beforehand, wherever it is and whatever happens."""

    copies: Copies
    surcharge_eur_per_kwh: Float[np.ndarray, "steps"]

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """The policies' answer to the surcharge of this step."""
        price = np.full(self.copies.n_households, self.surcharge_eur_per_kwh[step])
        return None, Decision(demand.powers_kw(price), price, _about_limits(self.copies, price))


@final
@dataclass(frozen=True)
class Dimming:
    """Behind an overloaded limit every device is cut to the same power, for one step (§ 14a EnWG).

    Otherwise devices do what they like. The grid operator measures within the step, so it knows whether what
    is wanted now exceeds a limit; it acts on the innermost limits first, and on others if that was not
    enough. `power_kw` is granted to every device, so a limit may stay exceeded.
    """

    copies: Copies
    power_kw: float

    def init(self) -> None:
        """Nothing to remember."""

    def step(
        self, state: None, *, demand: FleetDemand, meters: MeterState, step: int
    ) -> tuple[None, Decision]:
        """Everything that is wanted, or up to `power_kw` of it where that is too much."""
        fleet, wanted = demand.fleet, demand.uncontrolled_kw()
        cut = tuple(
            torch.maximum(
                want.clamp(max=self.power_kw), group.device.bounds(devices, group.drive.at(step))[0]
            )
            for group, devices, want in zip(fleet.groups, demand.state.devices, wanted, strict=True)
        )
        whole_kw, cut_kw = fleet.flex_kw(wanted), fleet.flex_kw(cut)
        dimmed = np.zeros(self.copies.n_households, dtype=bool)
        # to draw less is no help against generation
        loaded_by = self.copies.coupling.maximum(0.0)
        for limits in reversed(self.copies.turns()):
            behind = loaded_by[limits]
            p_kw = demand.base_kw + np.where(dimmed, cut_kw, whole_kw)
            overloaded = behind @ (p_kw - demand.last_kw) > meters.headroom_kw[limits]
            dimmed |= behind.T @ overloaded.astype(float) > 0.0
        free = np.zeros(self.copies.n_households)
        powers_kw = tuple(
            torch.where(torch.as_tensor(dimmed[group.household]), less, want)
            for group, less, want in zip(fleet.groups, cut, wanted, strict=True)
        )
        return None, Decision(powers_kw, free, _about_limits(self.copies, free))


def own_shares(
    copies: Copies, first_limit_kw: Float[np.ndarray, "limits"]
) -> Float[np.ndarray, "households"]:
    """Equal shares of every limit among its members; of several limits the tightest counts."""
    return _tightest(copies, first_limit_kw, ~copies.is_meter & (copies.weight > 0.0))


def own_feed_in_shares(
    copies: Copies, first_limit_kw: Float[np.ndarray, "limits"]
) -> Float[np.ndarray, "households"] | None:
    """Likewise of the limits against generation; None where there is none."""
    feeding_in = ~copies.is_meter & (copies.weight < 0.0)
    return _tightest(copies, -first_limit_kw, feeding_in) if feeding_in.any() else None


def _tightest(
    copies: Copies, first_limit_kw: Float[np.ndarray, "limits"], member: Bool[np.ndarray, "copies"]
) -> Float[np.ndarray, "households"]:
    limit, weight = copies.limit[member], copies.weight[member]
    share = first_limit_kw[limit] / np.bincount(limit, weights=weight, minlength=copies.n_limits)[limit]
    tightest = np.full(copies.n_households, np.inf)
    np.minimum.at(tightest, copies.household[member], share)
    return tightest


def _about_limits(copies: Copies, local_price: Float[np.ndarray, "households"]) -> np.ndarray:
    return local_price[copies.household[~copies.is_meter]]
