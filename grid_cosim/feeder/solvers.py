"""Which AC power flow solves a feeder: the fast one where it can represent the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from grid_cosim.errors import FeederError
from grid_cosim.feeder.equations import NotRepresentableError
from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.power_flow import PandapowerFlow, PowerFlow, Remembers
from grid_cosim.feeder.power_grid import PowerGridFlow
from grid_cosim.feeder.snapshot import FlowMemory
from grid_cosim.feeder.unbalanced import UnbalancedFlow

Solver = Literal["auto", "power-grid-model", "pandapower"]


class Chosen(NamedTuple):
    """A solver, and which one it is and why, in words for the results."""

    power_flow: PowerFlow
    note: str


def choose_power_flow(feeder: Feeder, solver: Solver = "auto") -> Chosen:
    """Make the solver that is asked for; "auto" takes the fast one where it can represent the network.

    `FeederError` where the fast one is asked for by name and cannot.
    """
    if feeder.home_phase is not None:
        return _per_phase(feeder, solver)
    if solver == "pandapower":
        return Chosen(PandapowerFlow(feeder), "The AC power flow is pandapower's, as asked for.")
    try:
        fast = PowerGridFlow(feeder)
    except NotRepresentableError as error:
        if solver == "power-grid-model":
            raise FeederError(
                feeder.source,
                f"power-grid-model cannot solve it: {error}",
                remedy="Set power_flow.solver to 'auto' or 'pandapower'",
            ) from error
        return Chosen(
            PandapowerFlow(feeder),
            f"The AC power flow is pandapower's, since power-grid-model cannot solve this network: {error}.",
        )
    return Chosen(
        fast,
        "The AC power flow is power-grid-model's, in the equations that pandapower builds; the KPI AC check "
        "compares it with pandapower's own.",
    )


class Solvers:
    """The power flows of a feeder as its switches stand, each made when it is first needed.

    `prepared` takes the place of the one that would be chosen for the first steps.
    """

    def __init__(self, feeder: Feeder, solver: Solver = "auto", *, prepared: PowerFlow | None = None) -> None:
        self._feeder, self._solver = feeder, solver
        self._chosen: list[tuple[Feeder, Chosen]] = []
        if prepared is not None:
            self._chosen.append((feeder, Chosen(prepared, "The AC power flow was prepared by the caller.")))

    def of(self, feeder: Feeder) -> PowerFlow:
        """That of the feeder as it is switched otherwise, or as it was."""
        return self._choose(feeder).power_flow

    @property
    def notes(self) -> tuple[str, ...]:
        """Which ones the feeder has as its switching is planned, and why; `FeederError` where none can."""
        return tuple(dict.fromkeys(self._choose(feeder).note for feeder in self._planned))

    @property
    def made(self) -> tuple[PowerFlow | None, ...]:
        """Those of the feeder as its switching is planned, in that order; None of one not needed yet."""
        made = {id(feeder): chosen.power_flow for feeder, chosen in self._chosen}
        return tuple(made.get(id(feeder)) for feeder in self._planned)

    def used(self, which: Sequence[bool]) -> list[PowerFlow]:
        """Some of them, made where they were not yet needed."""
        return [self.of(feeder) for feeder, wanted in zip(self._planned, which, strict=True) if wanted]

    @property
    def memory(self) -> tuple[FlowMemory | None, ...]:
        """What they keep from step to step, in the order of the plan; None of one that keeps nothing."""
        return tuple(flow.memory if isinstance(flow, Remembers) else None for flow in self.made)

    def recall(self, memory: Sequence[FlowMemory | None]) -> None:
        """Go on from what those of another run of the same feeder have kept."""
        for feeder, kept in zip(self._planned, memory, strict=True):
            flow = None if kept is None else self.of(feeder)
            if kept is not None and isinstance(flow, Remembers):
                flow.recall(kept)

    @property
    def _planned(self) -> tuple[Feeder, ...]:
        return (self._feeder, *(later.feeder for later in self._feeder.later))

    def _choose(self, feeder: Feeder) -> Chosen:
        for known, chosen in self._chosen:
            if known is feeder:
                return chosen
        self._chosen.append((feeder, choose_power_flow(feeder, self._solver)))
        return self._chosen[-1][1]


def _per_phase(feeder: Feeder, solver: Solver) -> Chosen:
    if solver == "pandapower":
        raise FeederError(
            feeder.source,
            "pandapower solves no run per phase, it only checks them",
            remedy="Set power_flow.solver to 'auto', or feeder.unbalanced = false",
        )
    try:
        flow = UnbalancedFlow(feeder)
    except NotRepresentableError as error:
        raise FeederError(
            feeder.source, f"cannot be solved per phase: {error}", remedy="Set feeder.unbalanced = false"
        ) from error
    return Chosen(
        flow,
        "The AC power flow is power-grid-model's, per phase; the KPI AC check compares it with pandapower's.",
    )
