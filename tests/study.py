"""A study of one street as a user has it in a folder, the commands of a user, and what they may give."""

from __future__ import annotations

from pathlib import Path

import pandapower as pp
import pandas as pd
from click.testing import Result
from typer.testing import CliRunner

from grid_cosim.cli import app
from tests.builders import street

cli = CliRunner()
TIMES = pd.date_range("2016-01-04", "2016-01-05", freq="15min", name="time")
STUDY = """
[time]
start = 2016-01-04T17:00:00
hours = 1
[feeder]
source = "street.json"
[devices.electric_vehicle]
share = 1.0
[devices.heat_pump]
share = 0.5
"""


def lay_out(folder: Path) -> None:
    """A study of a street of three homes, H0 to H2."""
    pp.to_json(street(), str(folder / "street.json"))
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")


def grid_cosim(*arguments: str) -> Result:
    return cli.invoke(app, list(arguments), env={"COLUMNS": "200"})


def study(*overrides: str, controllers: str = "consensus", out: str = "out") -> Result:
    changes = [part for override in overrides for part in ("--set", override)]
    return grid_cosim("run", "study.toml", *changes, "--controllers", controllers, "--out", out)


def refused(shown: Result, message: str, folder: Path) -> None:
    """Exit code 2, the message, no traceback, and nothing that looks like results."""
    said = " ".join(shown.stderr.split())
    assert shown.exit_code == 2, said
    assert message in said
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    assert "mistake of ours" not in said
    assert not list(folder.glob("out*/**/*.parquet"))
    assert not (folder / "out").is_dir()


def runs(shown: Result) -> str:
    """It worked; what was said on the way."""
    assert shown.exit_code == 0, shown.stderr
    return " ".join(shown.stderr.split())


def base_load() -> pd.DataFrame:
    return pd.DataFrame({f"H{k}": 0.5 for k in range(3)}, index=TIMES)


def weather() -> pd.DataFrame:
    return pd.DataFrame({"temperature_c": -3.0}, index=TIMES)
