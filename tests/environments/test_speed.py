"""The command that measures the environments plays all that it names."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path

import pytest
import torch

from grid_cosim.environments.villages import Village


def test_the_benchmark_of_the_environments_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "environment.py"))
    names["main"].__globals__.update(REPETITIONS=1, Village=partial(Village, hours=1.0))
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    names["main"]([20])
    _, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert [row[1].rstrip(",") for row in rows] == ["FleetGame", "FleetGame", "FleetEnv"]
    for row in rows:
        middle, best = (float(number.replace(",", "")) for number in row[-2:])
        assert row[0] == "20"
        assert middle == best > 0
