"""How the households of a fleet answer prices: power, its change since the last measurement, feed-in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grid_cosim.devices.device import rows_of
from grid_cosim.fleet import Fleet, FleetState
from grid_cosim.policies.checkpoint import Policy
from grid_cosim.policies.network import Response
from grid_cosim.policies.two_way import TwoWayResponse
from grid_cosim.policies.view import PriceMemory, view

Policies = Mapping[str, Policy]


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
    acted (`policies.view`); `base_kw` takes the place of the fleet's base load. Implements
    `coordination.Demand`.
    """

    def __init__(
        self,
        fleet: Fleet,
        policies: Policies,
        state: FleetState,
        step: int,
        last_kw: Float[np.ndarray, "households"],
        memory: PriceMemory,
        base_kw: Float[np.ndarray, "households"] | None = None,
    ) -> None:
        assert not policies or policies.keys() >= {group.kind for group in fleet.groups}, "one for every kind"
        self.fleet = fleet
        self.state = state
        self.base_kw: Float[np.ndarray, "households"] = fleet.base_kw[step] if base_kw is None else base_kw
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
