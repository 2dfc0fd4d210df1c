"""`Results` as a user has them: what is stored, with what one does with it as methods.

Each method calls the function of that name in the room that it belongs to; nothing is computed here.
"""

from __future__ import annotations

from pathlib import Path
from typing import final

from grid_cosim.metrics import kpis
from grid_cosim.report import write_report
from grid_cosim.results import StoredResults


@final
class Results(StoredResults):
    """A scenario's runs; `Results.load(folder)` opens those of an earlier day."""

    def kpis(self) -> dict[str, dict[str, float]]:
        """Controller → KPI → value; units and meaning in `grid_cosim.metrics.KPIS`."""
        return kpis(self)

    def report(self, path: Path | str) -> Path:
        """Write the page that needs no network; gives its path."""
        return write_report(self, path)
