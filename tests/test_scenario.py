"""Scenario files: defaults, overrides, and every problem said at once in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid_cosim.errors import ScenarioError
from grid_cosim.scenario import Scenario, load_scenario
from grid_cosim.shipped import shipped

SHIPPED = sorted(shipped("scenarios").glob("*.toml"))


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder: Path, text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(written(folder, text), overrides)
    return caught.value.problems


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_scenario_loads_and_survives_being_written(path: Path, tmp_path: Path) -> None:
    scenario = load_scenario(path)
    again = load_scenario(written(tmp_path, scenario.as_toml()))
    assert again == scenario


def test_an_empty_file_is_the_scenario_of_all_defaults(tmp_path: Path) -> None:
    assert load_scenario(written(tmp_path, "")) == Scenario()


def test_all_problems_are_reported_at_once_each_with_its_path(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        """
        seed = -3
        controllers = ["uncontroled"]
        [time]
        hours = "two days"
        [feeder]
        sorce = "schutterwald:2"
        [devices.heat_pumps]
        share = 0.5
        [devices.electric_vehicle]
        share = 1.5
        population = { daily_kwhs = 3.0, energy_spread = "wide" }
        """,
    )
    text = "\n".join(problems)
    assert len(problems) >= 8
    assert "seed: got -3, expected greater than or equal to 0" in text
    assert "controllers.0: got 'uncontroled', expected 'uncontrolled', 'independent', 'consensus'" in text
    assert "time.hours: got 'two days', expected a valid number" in text
    assert "feeder.sorce: no such setting. Did you mean 'source'?" in text
    assert "devices.heat_pumps: 'heat_pumps' is no device. Did you mean 'heat_pump'?" in text
    assert "devices.electric_vehicle.share: got 1.5, expected" in text
    assert "devices.electric_vehicle.population.daily_kwhs: no such setting. Did you mean 'daily_kwh'" in text
    assert "devices.electric_vehicle.population.energy_spread: got 'wide', expected a number" in text


def test_the_message_names_file_count_and_paths(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"study\.toml: 1 problem\n  - sed: no such setting"):
        load_scenario(written(tmp_path, "sed = 1"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[time]\nhours = 1e9", "time: got 1e+09 hours from 2016-01-04, expected an end in 2199 or before"),
        ("[time]\nstep_minutes = 7", "time: got step_minutes 7 with hours 48, expected a step that divides"),
        ("[time]\nstart = 2016-01-04T12:00:00Z", "time.start: expected a local time without a zone"),
        ('controllers = ["consensus", "consensus"]', "controllers: expected every controller once"),
        ("controllers = []", "controllers: got [], expected at least 1 item"),
        ('[coordination]\ngraph = "edges"', "coordination: got graph 'edges' without `edges`"),
        ("[coordination]\nrounds = 0", "coordination.rounds: got 0, expected greater than or equal to 1"),
        ("[feeder]\nlimit_share = 0", "feeder.limit_share: got 0, expected greater than 0"),
        (
            "[tariff]\nperiods = [{from_hour = 17, to_hour = 17, price_eur_per_kwh = 0.4}]",
            "tariff.periods.0: got from_hour and to_hour 17, expected a window that lasts",
        ),
        (
            "[tariff]\nperiods = [{from_hours = 17, to_hour = 21, from_hour = 17, price_eur_per_kwh = 0.4}]",
            "tariff.periods.0.from_hours: no such setting. Did you mean 'from_hour'",
        ),
        (
            "[tariff]\nperiods = [{from_hour = 17, to_hour = 25, price_eur_per_kwh = 0.4}]",
            "tariff.periods.0.to_hour: got 25, expected less than or equal to 24",
        ),
        (
            "[tariff]\nsource = 'prices.csv'\n"
            "periods = [{from_hour = 17, to_hour = 21, price_eur_per_kwh = 0.4}]",
            "tariff: got `periods` and `source`, expected one of them at most",
        ),
        ("[time_of_use]\nfrom_hour = 21", "time_of_use: got from_hour and to_hour 21, expected a window"),
        ("seed = 1\nseed = 2", "not valid TOML"),
    ],
)
def test_one_problem_one_message(tmp_path: Path, text: str, expected: str) -> None:
    problems = problems_of(tmp_path, text)
    assert len(problems) == 1
    assert expected in problems[0]


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ((17, 21), (20, 22), True),
        ((17, 21), (16, 18), True),
        ((17, 21), (18, 19), True),
        ((22, 6), (5, 7), True),
        ((22, 6), (23, 24), True),
        ((0, 24), (3, 4), True),
        ((22, 6), (6, 22), False),
        ((17, 21), (21, 17), False),
        ((0, 6), (18, 24), False),
    ],
)
def test_periods_of_a_tariff_must_not_overlap(
    first: tuple[int, int], second: tuple[int, int], together: bool, tmp_path: Path
) -> None:
    for one, other in ((first, second), (second, first)):
        rows = [f"{{from_hour={a}, to_hour={b}, price_eur_per_kwh=0.4}}" for a, b in (one, other)]
        text = f"[tariff]\nperiods = [{', '.join(rows)}]"
        if together:
            said = problems_of(tmp_path, text)
            assert len(said) == 1
            assert (
                f"tariff: periods: {one[0]} to {one[1]} h and {other[0]} to {other[1]} h overlap" in said[0]
            )
        else:
            scenario = load_scenario(written(tmp_path, text))
            assert load_scenario(written(tmp_path, scenario.as_toml())) == scenario


def test_overrides_are_toml_or_else_text(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    scenario = load_scenario(
        path,
        [
            "feeder.source=schutterwald:12",
            "seed=7",
            "devices.electric_vehicle.share=0.25",
            'controllers=["consensus"]',
        ],
    )
    assert scenario.feeder.source == "schutterwald:12"
    assert scenario.seed == 7
    assert scenario.devices["electric_vehicle"].share == 0.25
    assert scenario.controllers == ("consensus",)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", "--set seed: expected path.to.field=value"),
        ("seed.deeper=1", "'seed' is a value, not a section"),
        ("fedder.source=x", "fedder: no such setting. Did you mean 'feeder'?"),
        ("controllers.x=consensus", "'controllers' has no entry 'x'; its entries are counted 0 to 2"),
        ("controllers.3=consensus", "'controllers' has no entry '3'; its entries are counted 0 to 2"),
        ("tariff.periods.0.from_hour=3", "'periods' has no entries; write one in the file"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path: Path, override: str, expected: str) -> None:
    text = 'seed = 1\ncontrollers = ["uncontrolled", "independent", "consensus"]'
    assert expected in problems_of(tmp_path, text, override)[0]


def test_overrides_reach_into_lists(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    event = '[[events]]\nkind = "signal"\nelement = "Trafo-0"\nshare = 0.5\n'
    path.write_text(f'controllers = ["uncontrolled", "dimming"]\n{event}{event}', encoding="utf-8")
    scenario = load_scenario(path, ["events.1.share=0.25", "controllers.0=consensus", "events.0.end=3"])
    assert [(event.share, event.end) for event in scenario.events] == [(0.5, 3.0), (0.25, None)]
    assert scenario.controllers == ("consensus", "dimming")


def test_a_scenario_knows_where_it_was_read_but_is_its_settings(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text("seed = 7", encoding="utf-8")
    here, there = load_scenario(tmp_path / "a.toml"), load_scenario(tmp_path / "b.toml")
    assert (here.source, there.source) == (str(tmp_path / "a.toml"), str(tmp_path / "b.toml"))
    assert here == there != load_scenario(tmp_path / "a.toml", ["seed=8"])
    assert here.model_copy(update={"seed": 8}).source == here.source
    assert Scenario(title="Mine").source == "scenario 'Mine'"


def test_a_missing_file_names_those_that_resemble_it() -> None:
    with pytest.raises(ScenarioError, match=r"no such file. Did you mean 'cold_evening.toml'"):
        load_scenario("cold_evenin.toml")


def test_paths_are_relative_to_the_scenario(tmp_path: Path) -> None:
    for name in ("weather.csv", "prices.csv"):
        (tmp_path / name).write_text("time,temperature_c\n", encoding="utf-8")
    text = '[weather]\nsource = "weather.csv"\n[tariff]\nsource = "prices.csv"'
    scenario = load_scenario(written(tmp_path, text))
    assert Path(scenario.weather.source) == (tmp_path / "weather.csv").resolve()
    assert scenario.tariff.source == str((tmp_path / "prices.csv").resolve())
