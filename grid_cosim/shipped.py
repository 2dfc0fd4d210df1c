"""Where the files that travel with the package lie: benchmarks, feeders, policies, scenarios.

In a checkout they are the folders beside `grid_cosim/`; in a wheel they lie inside the package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: Literal["benchmarks", "feeders", "policies", "scenarios"]) -> Path:
    """The folder of that name, in a checkout or in an installed wheel."""
    beside = _PACKAGE.parent / folder
    return beside if (_PACKAGE.parent / "pyproject.toml").is_file() else _PACKAGE / "_shipped" / folder
