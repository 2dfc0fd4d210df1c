"""The examples of docs/exports.md run on real exports."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import pytest

from grid_cosim import Results
from grid_cosim.exports import FORMATS, Format

PAGE = Path(__file__).resolve().parents[2] / "docs" / "exports.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def cold_evening(results: Results, exported: Callable[[str], Path], tmp_path: Path) -> Path:
    for to in FORMATS:
        exported(to)
    return Path(shutil.copytree(results.folder or "", tmp_path / "runs" / "cold_evening"))


def test_the_examples_run(cold_evening: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cold_evening.parents[1])
    printed = io.StringIO()
    with redirect_stdout(printed):
        for block in BLOCKS[:-1]:
            exec(compile(block, "exports.md", "exec"), {})
    shown = printed.getvalue()
    assert "['ATTRIBUTION.txt', 'buses.geojson', 'export.json', 'lines.geojson'" in shown
    assert shown.count("True 0.9") == 2  # OpenDSS has converged, twice
    assert "\n%\n" in shown


def test_the_format_of_ones_own_takes_a_module_and_a_row(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("grid_cosim.exports.plain")
    exec(compile(BLOCKS[-1], "exports.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    row = Format("plain", "the lowest voltage", "anybody")
    monkeypatch.setattr("grid_cosim.exports.writing.FORMATS", {**FORMATS, "plain": row})
    folder = results.export("plain", tmp_path / "plain")
    lowest = results.runs["consensus"].table("grid")["vm_min_pu"].min()
    assert (folder / "lowest.txt").read_text(encoding="utf-8") == f"{lowest:.4f} pu\n"
    assert (folder / "ATTRIBUTION.txt").is_file()


def test_the_table_of_formats_is_that_of_the_code() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| `--to` |")[2].partition("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    listed = {name: row[4].strip(" `[]") for row in rows for name in re.findall(r"`([\w-]+)`", row[1])}
    assert listed == {to: row.extra or "" for to, row in FORMATS.items()}
