"""What is kept of a run while it is under way, so that another one can go on from there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from grid_cosim.cosim.interrupts import uninterrupted
from grid_cosim.cosim.standing import GridAt, Pace, Standing, WorldAt
from grid_cosim.results import Manifest, Record, RunWriter

if TYPE_CHECKING:
    from grid_cosim.neighbourhood import Neighbourhood

CHECKPOINT_S = 30.0
"""Time between two checkpoints that nobody has set."""


@dataclass
class Keeping:
    """The rows of a run, where its world stands, and when both are brought to the disk."""

    writer: RunWriter
    pace: Pace
    begins: WorldAt | None
    """Where the run goes on; None where it begins."""
    before_s: float
    """Wall time of its earlier parts."""
    standing: Standing = field(default_factory=Standing)
    began_s: float = field(default_factory=perf_counter)

    def __post_init__(self) -> None:
        self.at = self.begins

    @classmethod
    def begin(
        cls,
        folder: Path,
        record: Record,
        neighbourhood: Neighbourhood,
        *,
        checkpoint_s: float,
        resume: bool,
    ) -> Self:
        """Go on from the last checkpoint in a folder, if there is one and that is wanted, or begin."""
        manifest = Manifest.of(folder) if resume else None
        if manifest is None or not manifest.goes_on:
            return cls(RunWriter(folder, record), Pace(checkpoint_s), None, 0.0)
        from grid_cosim import pytree
        from grid_cosim.feeder import FlowMemory

        own = (WorldAt, GridAt, FlowMemory)
        types = neighbourhood.state_types | {pytree.name(of): of for of in own}
        writer, begins = RunWriter.resumed(folder, record, types=types)
        return cls(writer, Pace(checkpoint_s), begins, manifest.wall_time_s)

    @property
    def done(self) -> int:
        """Steps of which everything is there."""
        return 0 if self.at is None else self.at.step

    @property
    def wall_time_s(self) -> float:
        """Of the whole run until now."""
        return self.before_s + perf_counter() - self.began_s

    def after(self, done: int) -> None:
        """So many steps are recorded; bring them to the disk if it is time."""
        self.writer.end_step()
        self.at = self.standing.after(done)
        if self.pace.due:
            with self.pace.taken():
                self._checkpoint()

    def leave(self, status: Any, message: str) -> None:
        """Say how the run has ended, and keep all that is needed to go on."""
        with uninterrupted():
            # rows of half a step cannot be gone on from: then the last checkpoint counts
            if self.at is not None and self.writer.n_steps == self.at.step:
                self._checkpoint()
            self.writer.leave(status, message, self.wall_time_s)

    def finish(self, status: Any, message: str) -> float:
        """The run has ended for good; gives its wall time."""
        with uninterrupted():
            wall_time_s = self.wall_time_s
            self.writer.finish(status, message, wall_time_s, self.at if status == "complete" else None)
        return wall_time_s

    def _checkpoint(self) -> None:
        self.writer.checkpoint(self.at, wall_time_s=self.wall_time_s)
