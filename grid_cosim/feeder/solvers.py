"""Which AC power flow solves a feeder: the fast one where it can represent the network."""

from __future__ import annotations

from typing import Literal, NamedTuple

from grid_cosim.errors import FeederError
from grid_cosim.feeder.equations import NotRepresentableError
from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.power_flow import PandapowerFlow, PowerFlow
from grid_cosim.feeder.power_grid import PowerGridFlow
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
        planned = (self._feeder, *(later.feeder for later in self._feeder.later))
        return tuple(dict.fromkeys(self._choose(feeder).note for feeder in planned))

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
