"""What of a grid is open and closed: as its feeder plans it, unless others have sent something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grid_cosim.errors import CosimError

if TYPE_CHECKING:
    from grid_cosim.feeder import Feeder

SWITCHED_BY = {"Switch": "closed", "Line": "in_service", "Trafo": "in_service"}
"""Models that others may open and close, and by which attribute."""


class Switches:
    """Hears what others send, which takes the place of the plan until they send something else."""

    def __init__(self) -> None:
        self.sent: dict[str, bool] = {}
        """Last position that was sent, by entity."""
        self._found: list[tuple[Feeder, dict[str, bool], Feeder]] = []

    def hear(self, inputs: Mapping[str, Any]) -> None:
        """Take what has been sent to the entities; None says nothing new.

        Raises `CosimError` for what is neither true nor false.
        """
        for eid, attributes in inputs.items():
            attribute = SWITCHED_BY.get(eid.partition("-")[0], "")
            for source, value in attributes.get(attribute, {}).items():
                if value is not None and value not in (True, False):
                    raise CosimError(
                        "FeederSim",
                        f"{source} sends {value!r} as {attribute} of {eid}",
                        remedy="Send true or false, or None for nothing new",
                    )
                if value is not None:
                    self.sent = self.sent | {eid: bool(value)}

    def at(self, feeder: Feeder, step: int, *, when: str) -> Feeder:
        """The feeder as its switches stand in a step; the same object as long as they stand still.

        Raises `CosimError` where homes are left without supply.
        """
        planned = feeder.at(step)
        if not self.sent:
            return planned
        for of, sent, found in self._found:
            if of is planned and sent == self.sent:
                return found
        from grid_cosim.feeder.switching import changes, cut_off, described, reswitched

        found = reswitched(planned, self.sent)
        lost = cut_off(feeder, found)
        if lost is not None:
            raise CosimError(
                "FeederSim",
                f"at {when} {lost}, with {described(changes(feeder, found))}; "
                f"others have sent: {described(self.sent)}",
                remedy="Close another switch at the same time, through which they are fed then",
            )
        self._found.append((planned, self.sent, found))
        return found
