"""The guides in docs/extend are true: two files change, and what they add runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grid_cosim import Results

ROOT = Path(__file__).resolve().parent.parent
GUIDES = sorted((ROOT / "docs" / "extend").glob("*.md"))

RUN = """
import json
import numpy as np
from grid_cosim import Results, kpis, load_scenario, run
from grid_cosim.coordination import Copies, communication

given = ["feeder.source=schutterwald:13", "feeder.limit_share=0.06", "coordination.graph=star"]
given += ["time.start=2016-01-04T16:00:00", "time.hours=4", 'controllers=["consensus", "broadcast"]']
scenario = load_scenario("scenarios/cold_evening.toml", given)
results = run(scenario, out="runs/extended", report=False)
Results.load("runs/extended").export(to="influx")
limits = {name: run.table("limits") for name, run in results.runs.items()}
least, most = (limits["broadcast"][f"price_{end}_eur_per_kwh"] for end in ("min", "max"))
print(json.dumps({
    "degree": communication(Copies.of(np.ones((1, 5))), "star").degree.tolist(),
    "peak": {name: values["peak_loading_percent"] for name, values in kpis(results).items()},
    "highest": most.max(),
    "apart": (most - least).max(),
    "messages": {name: int(table["messages"].sum()) for name, table in limits.items()},
}))
"""


def changes(guide: Path) -> dict[str, str]:
    """File → its diff, of a guide."""
    found = re.findall(r"^```diff\n(.*?)^```", guide.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return {re.findall(r"^\+\+\+ b/(\S+)", diff, re.MULTILINE)[0]: diff for diff in found}


def additions(guide: Path) -> dict[str, str]:
    """File → its text, of the files that a guide has one write."""
    pattern = r"^Save as `([^`]+)`.*?^```python\n(.*?)^```"
    return dict(re.findall(pattern, guide.read_text("utf-8"), re.DOTALL | re.MULTILINE))


def changed(text: str, diff: str) -> str:
    """A file with a diff applied; what a hunk takes out must be there once."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE)[1:]:
        lines = [line or " " for line in hunk.splitlines()]
        before = "\n".join(line[1:] for line in lines if line[0] != "+")
        assert text.count(before) == 1, f"the guide is out of date:\n{hunk}"
        text = text.replace(before, "\n".join(line[1:] for line in lines if line[0] != "-"))
    return text


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_two_files_change(guide: Path) -> None:
    assert len(changes(guide)) + len(additions(guide)) == 2


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what runs, with the changes of all guides."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("grid_cosim", "feeders", "policies", "scenarios"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for guide in GUIDES:
        for name, diff in changes(guide).items():
            path = folder / name
            path.write_text(changed(path.read_text("utf-8"), diff), encoding="utf-8")
        for name, text in additions(guide).items():
            assert not (folder / name).exists()
            (folder / name).write_text(text, encoding="utf-8")
    return folder


def in_folder(folder: Path, *arguments: str) -> str:
    """What Python prints when it runs there, with the package that lies there."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_what_the_guides_add_runs(extended: Path) -> None:
    told = json.loads(in_folder(extended, "-c", RUN).splitlines()[-1])
    assert told["degree"] == [1, 1, 1, 1, 1, 5]
    assert told["messages"]["consensus"] > 0
    assert told["messages"]["broadcast"] == 0
    assert told["peak"]["consensus"] < told["peak"]["broadcast"]  # who hears of the past only swings
    assert told["highest"] > 0.0
    assert told["apart"] == 0.0
    folder = extended / "runs" / "extended"
    text = (folder / "exports" / "influx" / "limits.influx").read_text(encoding="utf-8")
    rows = re.findall(r"^limits,controller=(\w+),limit=\S+ loading_percent=(\S+) (\d+)$", text, re.MULTILINE)
    assert len(rows) == text.count("\n")
    for name, run in Results.load(folder).runs.items():
        limits = run.table("limits")
        written = np.array([(percent, at) for controller, percent, at in rows if controller == name], float)
        np.testing.assert_array_equal(written[:, 0], limits["loading_percent"])
        np.testing.assert_array_equal(written[:, 1], limits["time"].astype("datetime64[ns]").astype("int64"))
