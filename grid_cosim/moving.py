"""Limits that move: how much of its rating each element may use in every step of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Lowered:
    """Some limits at a share of their rating for some steps, such as by a grid operator's signal."""

    rows: Int[np.ndarray, "some"]
    start: int
    stop: int
    """First step that is no longer concerned."""
    percent: float
    """Of the rating; a limit that is below stays there."""


@dataclass(frozen=True)
class Rated:
    """Some limits with another rating in every step, such as overhead lines in the wind."""

    rows: Int[np.ndarray, "some"]
    start: int
    factor: Float[np.ndarray, "some_steps"]
    """On the rating, from `start` on."""


@dataclass(frozen=True)
class MovingLimits:
    """What may be used of each rating, step by step."""

    base_percent: Float[np.ndarray, "limits"]
    lowered: Sequence[Lowered] = ()
    rated: Sequence[Rated] = ()

    def at(self, step: int) -> Float[np.ndarray, "limits"]:
        """AC loading that counts as the limit in a step, in percent of the element's own rating."""
        percent = self.base_percent.copy()
        for part in self.lowered:
            if part.start <= step < part.stop:
                percent[part.rows] = np.minimum(percent[part.rows], part.percent)
        for rating in self.rated:
            if rating.start <= step < rating.start + rating.factor.size:
                percent[rating.rows] *= rating.factor[step - rating.start]
        return percent
