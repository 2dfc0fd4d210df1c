"""Which solutions are compared with a plain power flow, and what happens where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grid_cosim.errors import SolverError

if TYPE_CHECKING:
    from grid_cosim.feeder import PowerFlow, Snapshot


class Checks:
    """Looks at the first solution of every power flow, and at those of every `every`th step; 0: at none."""

    def __init__(self, every: int) -> None:
        self.every = every
        self._confirmed: list[PowerFlow] = []

    def confirmed(self, power_flow: PowerFlow) -> bool:
        """Whether a solution of it has been looked at."""
        return any(power_flow is known for known in self._confirmed)

    def recall(self, power_flows: Sequence[PowerFlow]) -> None:
        """These have been looked at in an earlier part of the run."""
        self._confirmed += power_flows

    def dv_pu(self, power_flow: PowerFlow, snapshot: Snapshot, *, step: int, when: str, source: str) -> float:
        """Largest voltage difference (pu) from the reference, NaN in steps that are not checked.

        Raises `SolverError` where it is too large; `when` and `source` are for its message.
        """
        from grid_cosim.feeder import AGREEMENT_PU

        new = not self.confirmed(power_flow)
        due = self.every > 0 and (new or step % self.every == 0)
        if not due or not snapshot.converged:
            return float("nan")
        check = power_flow.check(snapshot)
        self._confirmed += [power_flow] if new else []
        if check.dv_pu > AGREEMENT_PU:
            raise SolverError(
                source,
                step=step,
                when=when,
                bus=check.bus,
                vm_pu=check.vm_pu,
                reference_vm_pu=check.reference_vm_pu,
            )
        return check.dv_pu
