"""What a dual step needs of the households, and what a negotiation hands back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from grid_cosim.coordination.bounds import disagreement
from grid_cosim.coordination.consensus import Memory
from grid_cosim.coordination.copies import Copies
from grid_cosim.coordination.duals.agreement import Account, Agreement
from grid_cosim.coordination.graph import CommunicationGraph, Turn

BYTES_PER_NUMBER = 8
"""A message carries float64 numbers."""


@runtime_checkable
class Demand(Protocol):
    """How the households answer prices now: all that a negotiation knows of them.

    Prices are local prices μ in EUR/kWh; power is the net power of a household with its base load,
    in kW, consumption positive, and never rises with the price. With `rows` only those households are
    asked, and prices and answers are theirs, in that order.
    """

    def power_kw(
        self,
        local_price: Float[np.ndarray, "asked"],
        rows: Int[np.ndarray, "asked"] | None = None,
    ) -> Float[np.ndarray, "asked"]:
        """p_i(μ_i)."""
        ...

    def slope_kw(
        self,
        local_price: Float[np.ndarray, "asked"],
        rows: Int[np.ndarray, "asked"] | None = None,
    ) -> Float[np.ndarray, "asked"]:
        """-dp_i/dμ ≥ 0, in kW per EUR/kWh."""
        ...

    def curve_kw(
        self,
        local_price: Float[np.ndarray, "asked prices"],
        rows: Int[np.ndarray, "asked"] | None = None,
    ) -> Float[np.ndarray, "asked prices"]:
        """p_i at several local prices each; rows of prices that are all the same may be a broadcast array."""
        ...


class Status(StrEnum):
    """How a negotiation ended."""

    SETTLED = "settled"
    """Every copy found a price at which its own estimate of the limit holds."""
    SATURATED = "saturated"
    """Some household's copy stands at the largest price and still sees the limit exceeded."""
    STOPPED = "stopped"
    """The iterations that were allowed are done; how far from the limit: `residual_kw`."""


@dataclass(frozen=True)
class Negotiated:
    """The outcome of one control step.

    `price` is every copy's λ in EUR/kWh, `local_price` what each household acts on. `residual_kw` is
    Σ A p(local_price) + o - c, a diagnostic that no node knows. `saturated` marks limits of which a
    household's copy stands at the largest price, still exceeded. `rounds`, `messages` and `message_bytes`
    count what neighbours sent about each limit. `consensus_error_eur_per_kwh` is the root mean square of
    all copies of a limit's price, the meter's included, about their mean; `agreement` sets what the rounds
    did beside what theory promises, None where nobody talks to neighbours.
    """

    price: Float[np.ndarray, "copies"]
    local_price: Float[np.ndarray, "households"]
    residual_kw: Float[np.ndarray, "limits"]
    saturated: Bool[np.ndarray, "limits"]
    status: Status
    rounds: Int[np.ndarray, "limits"]
    messages: Int[np.ndarray, "limits"]
    message_bytes: Int[np.ndarray, "limits"]
    consensus_error_eur_per_kwh: Float[np.ndarray, "limits"]
    agreement: Agreement | None = None


@dataclass(frozen=True)
class DualState:
    """What the nodes keep between control steps: their prices, and the memory of the mixing per turn.

    `level` is what a step keeps of nested limits, if it goes by their price levels (`duals.levels`), and
    `awake` which limits it has talked about beyond the question whether they are slack.
    """

    price: Float[np.ndarray, "copies"]
    memory: tuple[Memory, ...]
    level: Float[np.ndarray, "copies"] | None = None
    awake: Bool[np.ndarray, "limits"] | None = None


@runtime_checkable
class DualStep(Protocol):
    """Agrees on the prices of all limits in one control step."""

    @property
    def copies(self) -> Copies:
        """Who holds a copy of which price."""
        ...

    def remembering(self) -> tuple[tuple[Turn, ...], ...]:
        """Whose each `memory` of a state is: by what is exchanged, and in each the turns in their order."""
        ...

    def init(self) -> DualState:
        """All prices 0, nothing said yet."""
        ...

    def step(
        self,
        state: DualState,
        *,
        demand: Demand,
        limit_kw: Float[np.ndarray, "limits"],
        offset_kw: Float[np.ndarray, "limits"],
        rng: np.random.Generator | None = None,
    ) -> tuple[DualState, Negotiated]:
        """Negotiate; `rng` draws link outages and is needed with those only."""
        ...


@dataclass
class Tally:
    """Counts rounds and messages while a step runs, and keeps account of what they achieve."""

    graph: CommunicationGraph
    rounds: Int[np.ndarray, "limits"]
    messages: Int[np.ndarray, "limits"]
    message_bytes: Int[np.ndarray, "limits"]
    account: Account

    @classmethod
    def zero(cls, graph: CommunicationGraph) -> Tally:
        """Nothing sent yet."""
        zeros = np.zeros(graph.copies.n_limits, dtype=np.int64)
        return cls(graph, zeros, zeros.copy(), zeros.copy(), Account(graph))

    def add(self, turn: Turn, rounds: int, numbers: int) -> None:
        """`rounds` rounds of messages with `numbers` numbers each among the copies of a turn."""
        self.rounds[turn.limits] += rounds
        messages = self.graph.messages_per_round[turn.limits] * rounds
        self.sent(turn.limits, messages, numbers * BYTES_PER_NUMBER)

    def beside(self, turn: Turn, rounds: int, numbers: int) -> None:
        """So many more numbers in messages that are counted already."""
        n_messages = self.graph.messages_per_round[turn.limits] * rounds
        self.message_bytes[turn.limits] += n_messages * numbers * BYTES_PER_NUMBER

    def sent(self, limits: Int[np.ndarray, "some"], messages: Int[np.ndarray, "some"], n_bytes: int) -> None:
        """So many messages of `n_bytes` each about each of these limits."""
        self.messages[limits] += messages
        self.message_bytes[limits] += messages * n_bytes


def own_values(
    turn: Turn, power_kw: Float[np.ndarray, "held features"], excess_kw: Float[np.ndarray, "limits"]
) -> Float[np.ndarray, "rows features"]:
    """Own value v of every copy of a turn: the weighted power of a household, o - c of a meter."""
    values = np.empty((len(turn.rows), power_kw.shape[1]))
    values[turn.held] = turn.weight[:, None] * power_kw
    values[turn.meter] = excess_kw[turn.limits][:, None]
    return values


def negotiated(
    graph: CommunicationGraph,
    price: Float[np.ndarray, "copies"],
    *,
    demand: Demand,
    excess_kw: Float[np.ndarray, "limits"],
    saturated: Bool[np.ndarray, "copies"],
    settled: bool,
    tally: Tally,
) -> Negotiated:
    """Put the outcome together; `saturated` per copy, meters' are ignored."""
    copies = graph.copies
    local_price = copies.local_price(price)
    stuck = np.zeros(copies.n_limits, dtype=bool)
    stuck[copies.limit[saturated & ~copies.is_meter]] = True
    status = Status.SATURATED if stuck.any() else Status.SETTLED if settled else Status.STOPPED
    return Negotiated(
        price=price,
        local_price=local_price,
        residual_kw=copies.coupling @ demand.power_kw(local_price) + excess_kw,
        saturated=stuck,
        status=status,
        rounds=tally.rounds,
        messages=tally.messages,
        message_bytes=tally.message_bytes,
        consensus_error_eur_per_kwh=disagreement(price[:, None], copies.start)[:, 0],
        agreement=tally.account.agreement,
    )
