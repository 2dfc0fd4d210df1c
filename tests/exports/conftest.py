"""One run, exported once in each format, for all tests that read it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from grid_cosim import Results
from tests.exports.networks import crooked, simulated


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    limited = ("controllers=['uncontrolled', 'consensus']", "feeder.limit_share=0.5")
    return simulated(crooked(), tmp_path_factory.mktemp("runs") / "crooked", *limited)


@pytest.fixture(scope="session")
def exported(results: Results) -> Callable[[str], Path]:
    """Folder of a format; of the run without control where there is one run in it."""
    tables = ("parquet", "parquet-wide", "csv", "csv-wide")

    @cache
    def folder(to: str) -> Path:
        return results.export(to, controller=None if to in tables else "uncontrolled")

    return folder
