"""Deferrable demand: the demand-response queue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from grid_cosim.devices.device import Outputs, PerDevice, cost_of_owing_eur, hour_features, hour_of_day


class QueueState(NamedTuple):
    """Energy that waits, by how long it has waited; column 0 arrived in this step."""

    waiting_kwh: Float[Tensor, "devices ages"]


class QueueInputs(NamedTuple):
    """Energy that is newly asked for."""

    hour: float
    arrival_kwh: Float[Tensor, "devices"]


@final
@dataclass(frozen=True)
class DeferrableLoad:
    """A batch of queues: random demand arrives and is served, oldest first, or postponed.

    The demand-response model of the seed paper (arXiv 2605.30461) with a deadline: what has waited for
    `max_age_steps` control steps is lost and counts as unserved. Ages are exact, since energy is kept
    by age.
    """

    p_max_kw: Float[Tensor, "devices"]
    dt_h: float
    max_age_steps: int = 24
    delay_cost_eur_per_kwh_h: float = 0.01
    unserved_cost_eur_per_kwh: float = 2.0

    @property
    def n_devices(self) -> int:
        """How many queues."""
        return self.p_max_kw.shape[0]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of `observe`."""
        return ("backlog", "mean_age", "old", "due_soon", "p_max", "patience", "hour_sin", "hour_cos")

    def init(self, inputs: QueueInputs) -> QueueState:
        """Nothing waits."""
        return QueueState(self.p_max_kw.new_zeros(self.n_devices, self.max_age_steps))

    def receive(self, state: QueueState, inputs: QueueInputs) -> QueueState:
        """New demand joins the queue."""
        return QueueState(torch.cat([inputs.arrival_kwh[:, None], state.waiting_kwh[:, 1:]], dim=1))

    def _ages_h(self) -> Float[Tensor, "ages"]:
        return self.dt_h * torch.arange(self.max_age_steps, dtype=self.p_max_kw.dtype)

    def observe(self, state: QueueState, inputs: QueueInputs) -> Float[Tensor, "devices features"]:
        """How much waits, how long it has waited, and how much of it is nearly lost."""
        waiting, ages = state.waiting_kwh, self._ages_h()
        backlog = waiting.sum(1)
        patience_h = self.dt_h * self.max_age_steps
        half, eighth = self.max_age_steps // 2, max(1, self.max_age_steps // 8)
        per_step = self.p_max_kw * self.dt_h
        columns = [
            backlog / per_step / 4.0,
            (waiting @ ages) / (backlog + 0.05) / patience_h,
            waiting[:, half:].sum(1) / per_step / 4.0,
            waiting[:, -eighth:].sum(1) / per_step,
            self.p_max_kw / 3.0,
            torch.full_like(backlog, patience_h / 6.0),
            *hour_features(inputs.hour, backlog),
        ]
        return torch.stack(columns, dim=-1)

    def bounds(
        self, state: QueueState, inputs: QueueInputs
    ) -> tuple[Float[Tensor, "devices"], Float[Tensor, "devices"]]:
        """From nothing to full power, or to all that waits."""
        backlog = state.waiting_kwh.sum(1)
        return torch.zeros_like(backlog), torch.minimum(self.p_max_kw, backlog / self.dt_h)

    def step(
        self, state: QueueState, p_kw: Float[Tensor, "devices"], inputs: QueueInputs
    ) -> tuple[QueueState, Outputs]:
        """Serve the oldest first, then let all that is left grow older by one step."""
        waiting = state.waiting_kwh
        served = p_kw * self.dt_h
        at_least_so_old = (waiting.flip(1).cumsum(1).flip(1) - served[:, None]).clamp(min=0.0)
        lost = at_least_so_old[:, -1]
        kept = functional.pad(at_least_so_old[:, :-1] - at_least_so_old[:, 1:], (1, 0))
        owed = kept.sum(1)
        cost = self.dt_h * self.delay_cost_eur_per_kwh_h * owed + self.unserved_cost_eur_per_kwh * lost
        oldest = ((kept > 1e-9) * self._ages_h()).amax(1)
        nan = torch.full_like(p_kw, math.nan)
        return QueueState(kept), Outputs(
            requested_kwh=inputs.arrival_kwh,
            due_kwh=served + lost,
            served_kwh=served,
            unserved_kwh=lost,
            owed_kwh=owed,
            age_h=torch.where(owed > 1e-9, oldest, nan),
            temperature_c=nan,
            too_cold_kelvin_hours=torch.zeros_like(p_kw),
            cost_eur=cost,
        )

    def uncontrolled_kw(self, state: QueueState, inputs: QueueInputs) -> Float[Tensor, "devices"]:
        """Serve everything at once."""
        return self.bounds(state, inputs)[1]

    def terminal_cost_eur(
        self,
        state: QueueState,
        inputs: QueueInputs,
        energy_price_eur_per_kwh: Float[Tensor, "devices"],
    ) -> Float[Tensor, "devices"]:
        """What still waits must be bought and waited for, and may no longer fit before its deadline."""
        waiting = state.waiting_kwh
        older = waiting.flip(1).cumsum(1).flip(1)  # due no later than this age is
        steps_left = self.max_age_steps - torch.arange(self.max_age_steps, dtype=waiting.dtype)
        missed = (older - self.p_max_kw[:, None] * self.dt_h * steps_left).clamp(min=0.0).amax(1)
        return cost_of_owing_eur(
            older[:, 0],
            missed,
            p_max_kw=self.p_max_kw,
            energy_price_eur_per_kwh=energy_price_eur_per_kwh,
            delay_cost_eur_per_kwh_h=self.delay_cost_eur_per_kwh_h,
            missed_cost_eur_per_kwh=self.unserved_cost_eur_per_kwh,
        )


@dataclass(frozen=True)
class QueueArrivals:
    """Arriving energy by step."""

    start_hour: float
    dt_h: float
    arrival_kwh: Float[Tensor, "steps devices"]

    def at(self, step: int) -> QueueInputs:
        """What arrives at that step."""
        return QueueInputs(hour_of_day(self.start_hour, step, self.dt_h), self.arrival_kwh[step])


@final
@dataclass(frozen=True)
class DeferrablePopulation:
    """Washing, drying, dishes: a Poisson stream of jobs, most of them in the evening.

    Defaults: about one job of 1 kWh a day in the middle (EU energy labels of washing machines, dryers
    and dishwashers: 0.5 to 1.8 kWh a cycle), with a timer that may hold it back for six hours.
    """

    jobs_per_day: PerDevice = 1.2
    job_kwh: PerDevice = 1.0
    job_spread: float = 0.4
    p_max_kw: float = 2.2
    patience_h: float = 6.0
    peak_hour: float = 18.5

    @property
    def kind(self) -> str:
        """The name in scenarios and checkpoints."""
        return "deferrable"

    def sample(self, n_devices: int, *, dt_h: float, generator: torch.Generator) -> DeferrableLoad:
        """Draw connected powers within 30 % of the typical one."""
        factor = 0.7 + 0.6 * torch.rand(n_devices, generator=generator, dtype=torch.float64)
        return DeferrableLoad(
            p_max_kw=self.p_max_kw * factor, dt_h=dt_h, max_age_steps=max(2, round(self.patience_h / dt_h))
        )

    def drive(
        self,
        device: DeferrableLoad,
        *,
        n_steps: int,
        start_hour: float,
        outdoor_c: Float[Tensor, "steps_and_outlook #devices"],
        generator: torch.Generator,
    ) -> QueueArrivals:
        """Draw the jobs; their rate follows the hour of the day, highest at `peak_hour`."""
        dt_h, n = device.dt_h, device.n_devices
        hours = (start_hour + dt_h * torch.arange(n_steps, dtype=torch.float64)) % 24.0
        shape = 1.0 + 0.9 * torch.cos(2.0 * torch.pi * (hours - self.peak_hour) / 24.0)
        per_step = self.jobs_per_day * dt_h / 24.0
        energy = []
        for step in range(n_steps):  # step by step: a longer horizon begins like a shorter one
            jobs = torch.poisson((per_step * shape[step]).expand(n), generator=generator)
            size = torch.randn(n, generator=generator, dtype=torch.float64) * self.job_spread
            energy.append(jobs * self.job_kwh * size.exp())
        return QueueArrivals(start_hour, dt_h, torch.stack(energy).to(device.p_max_kw.dtype))
