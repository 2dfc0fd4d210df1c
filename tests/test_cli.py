"""The command line: exit codes, messages, and what is left on the disk."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from grid_cosim.cli import app
from grid_cosim.cli.screen import Screen
from grid_cosim.cli.tables import show_columns
from grid_cosim.scenario import load_scenario

cli = CliRunner()


def test_help_shows_the_commands() -> None:
    shown = cli.invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert all(command in shown.output for command in ("run", "feeders", "train", "report"))


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert cli.invoke(app, ["--version"]).output.strip() == version("grid-cosim")


def test_feeders_lists_the_main_ones() -> None:
    shown = cli.invoke(app, ["feeders"], env={"COLUMNS": "160"})
    assert shown.exit_code == 0
    assert "schutterwald:2" in shown.output
    assert "177" in shown.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.toml"], "no such file"),
        (["run", "cold_evening.toml", "--set", "sed=1"], "sed: no such setting. Did you mean 'seed'?"),
        (
            ["run", "cold_evening.toml", "--controllers", "concensus"],
            "expected 'uncontrolled', 'independent'",
        ),
        (["run", "cold_evening.toml", "--set", "feeder.source=schutterwald:99"], "schutterwald:99"),
        (["run", "cold_evening.toml", "--set", "feeder.source=schuterwald"], "schutterwald"),
        (
            ["run", "cold_evening.toml", "--set", "devices.heat_pump.policy=electric_vehicle"],
            "trained for 'electric_vehicle', but wanted for 'heat_pump'",
        ),
        (["run", "cold_evening.toml", "--set", "weather.source=sahara"], "sahara"),
        (["report", "nowhere"], "nowhere"),
        (["train", "nowhere.toml"], "no such file"),
    ],
)
def test_bad_input_gets_one_message_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = cli.invoke(app, arguments)
    assert shown.exit_code == 2
    assert message in " ".join(shown.stderr.split())
    assert "Traceback" not in shown.output + shown.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_error_itself() -> None:
    shown = cli.invoke(app, ["run", "nowhere.toml", "--debug"])
    assert "no such file" in str(shown.exception)


def test_overrides_reach_the_scenario_in_the_order_given() -> None:
    scenario = load_scenario("cold_evening.toml", ["seed=2", "seed=3"])
    assert scenario.seed == 3


@pytest.mark.parametrize(("width", "in_all"), [(80, 4), (120, 2), (1000, 1)])
def test_tables_wider_than_the_screen_go_on_below_with_nothing_shortened(
    width: int, in_all: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(width=width, file=io.StringIO())
    for module in ("screen", "tables"):
        monkeypatch.setattr(f"grid_cosim.cli.{module}.out", console)
    columns = {f"controller[a{place}]": [f"{place},111.11", f"{place},222.22"] for place in range(7)}
    show_columns(Screen(), "Seven", ["energy_above_limit_percent", "total_cost_eur"], columns)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown
    assert shown.count("Seven") == 1
    assert shown.count("energy_above_limit_percent") == in_all
    assert all(shown.count(text) == 1 for name in columns for text in (name, *columns[name]))
