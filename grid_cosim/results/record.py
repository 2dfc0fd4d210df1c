"""How much of a run is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Detail = Literal["all", "summary", "none"]
"""Rows of every element and step with a summary per element, that summary alone, or nothing."""

_THINNED = ("households", "devices", "lines", "buses")


@dataclass(frozen=True)
class Record:
    """The detail of each table; `totals` and `grid` have a row of every step in any case."""

    households: Detail = "all"
    devices: Detail = "all"
    limits: Detail = "all"
    lines: Detail = "all"
    buses: Detail = "all"
    agreement: Literal["all", "none"] = "all"
    every: int = 1
    """Rows of households, devices, lines and buses are kept in every so-manieth step, from the first on."""

    def keeps_rows(self, table: str, step: int) -> bool:
        """Whether the rows of a table are kept in a step, counted from 0."""
        return getattr(self, table, "all") == "all" and (table not in _THINNED or step % self.every == 0)

    def keeps_summary(self, table: str) -> bool:
        """Whether a summary of a table is kept."""
        return bool(getattr(self, table, "none") != "none")
