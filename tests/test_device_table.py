from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from grid_cosim.assembly import scenario_feeder, scenario_fleet
from grid_cosim.device_table import read_device_table
from grid_cosim.devices.columns import COLUMNS, Column
from grid_cosim.errors import ScenarioError
from grid_cosim.feeder import Feeder
from grid_cosim.fleet import Fleet
from grid_cosim.policies.recipe import POPULATIONS
from grid_cosim.scenario import Scenario, parse_scenario

HOMES = ("Home 1", "Home 2", "Müller", "Home 4")
KINDS = ("electric_vehicle", "heat_pump", "battery")


def written(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "devices.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_a_table_says_who_owns_what_and_what_is_known_of_it(tmp_path: Path) -> None:
    table = "load,device,p_max_kw\n# a comment\nHome 1,electric_vehicle,22\n\nMüller,electric_vehicle,\n"
    listed = read_device_table(written(tmp_path, table), HOMES, KINDS)
    assert listed["electric_vehicle"].owners.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(
        listed["electric_vehicle"].given["p_max_kw"], [22.0, np.nan, np.nan, np.nan]
    )
    assert not listed["battery"].owners.any()
    assert listed["battery"].given == {}


def test_semicolons_allow_for_decimal_commas_as_spreadsheets_write_them(tmp_path: Path) -> None:
    table = "load;device;p_max_kw;daily_kwh\r\nHome 2;electric_vehicle;3,7;8.5\r\n"
    given = read_device_table(written(tmp_path, table, encoding="utf-8-sig"), HOMES, KINDS)[
        "electric_vehicle"
    ].given
    assert (given["p_max_kw"][1], given["daily_kwh"][1]) == (3.7, 8.5)


def test_everything_that_is_wrong_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    table = (
        "load,device,p_max_kw,capacity_kwh\n"
        "Home 9,electric_vehicle,11,\n"
        "Home 1,electric_vehicel,11,\n"
        "Home 1,electric_vehicle,eleven,\n"
        "Home 2,electric_vehicle,1100,\n"
        "Home 2,electric_vehicle,11,\n"
        "Home 4,electric_vehicle,11,60\n"
        "Home 4,battery,3,7,5\n"
        "Müller,pv,,\n"
    )
    with pytest.raises(ScenarioError) as caught:
        read_device_table(written(tmp_path, table), HOMES, KINDS)
    assert len(caught.value.problems) == 8
    for problem, part in zip(
        caught.value.problems,
        (
            "line 2: load is 'Home 9', expected the name of a home. Did you mean 'Home 4'",
            "line 3: device is 'electric_vehicel', expected a kind whose section",
            "line 4: p_max_kw is 'eleven', expected a number from 0.5 to 50",
            "line 5: p_max_kw is 1100, expected a number from 0.5 to 50",
            "line 6: 'Home 2' has an electric_vehicle in line 5 already",
            "line 7: an electric_vehicle has no capacity_kwh. Known: p_max_kw, daily_kwh",
            "line 8: 1 more cells than the header has (a decimal comma?",
            "line 9: device is 'pv', expected a kind whose section of the scenario says share = \"table\"",
        ),
        strict=True,
    ):
        assert problem.startswith(part)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'load'"),
        ("home,device\nHome 1,battery\n", "no column 'load', expected the header load,device"),
        ("load,device,p_max\nHome 1,battery,1\n", "column 'p_max': no device has such a parameter. Did you"),
        ("load,device,cop,cop\n", "column 'cop': 2 times, expected once"),
    ],
)  # fmt: skip
def test_a_header_that_does_not_serve_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_device_table(written(tmp_path, text), HOMES, KINDS)
    assert message in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    for data in (b"PK\x03\x04\x00", b"load,device\nHo\x00me,battery\n", b"load,device\nHome\x81\xff\n"):
        path.write_bytes(data)
        with pytest.raises(ScenarioError, match="save it as CSV UTF-8"):
            read_device_table(path, HOMES, KINDS)
    with pytest.raises(ScenarioError, match="this is a folder"):
        read_device_table(tmp_path, HOMES, KINDS)
    with pytest.raises(ScenarioError, match=r"no such file. Did you mean 'devices.csv'"):
        read_device_table(tmp_path / "device.csv", HOMES, KINDS)


NAMES = ("Hauptstraße 5", "A, B", "#1", " Home 1", "two\nlines")


@pytest.mark.parametrize(
    ("data", "home", "p_max_kw"),
    [
        ("load;device;p_max_kw\r\nHauptstraße 5;battery;3,5\r\n".encode("cp1252"), 0, 3.5),
        ("\ufeffload;device;p_max_kw\r\nHauptstraße 5;battery;3.5\r\n".encode(), 0, 3.5),
        ("load,device,p_max_kw\r\nHauptstraße 5,battery,3.5\r\n".encode("utf-16"), 0, 3.5),
        (b'"load";"device";"p_max_kw"\n"A, B";"battery";"3,5"\n;;\n;;\n\n', 1, 3.5),
        (b"load,device,p_max_kw,,\n# a note\n#1,battery,3.5,,\n,,,,\n", 2, 3.5),
        (b"load,device,p_max_kw\nHome 1 ,battery, 3.5 \n", 3, 3.5),
        (b'load,device,p_max_kw\n"two\nlines",battery,.35e1\n', 4, 3.5),
    ],
    ids=["cp1252", "mark", "utf-16", "quoted", "empty columns", "spaces", "line break"],
)
def test_what_spreadsheets_make_of_a_table_is_read(
    tmp_path: Path, data: bytes, home: int, p_max_kw: float
) -> None:
    path = tmp_path / "devices.csv"
    path.write_bytes(data)
    listed = read_device_table(path, NAMES, {"battery"})["battery"]
    assert listed.owners.nonzero()[0].tolist() == [home]
    assert listed.given["p_max_kw"][home] == p_max_kw


def test_names_that_differ_in_a_space_are_told_apart(tmp_path: Path) -> None:
    table = written(tmp_path, "load,device\nHome 1 ,battery\n")
    assert read_device_table(table, ["Home 1", "Home 1 "], {"battery"})["battery"].owners.tolist() == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("load\tdevice\nHome 1\tbattery\n", "separated by tabs, expected commas or semicolons"),
        (",load,device\n0,Home 1,battery\n", "column 1 has no name; name it as below, or remove it"),
        (
            "load,device,P_max_kW\nHome 1,battery,3\n",
            "no device has such a parameter. Did you mean 'p_max_kw'",
        ),
        ('load,device\nHome 1,battery\n"Home 2,battery\n', "line 3: not CSV (unexpected end of data); is a"),
        (
            'load,device,p_max_kw\nHome 1,battery,"3,5"\n',
            "p_max_kw is '3,5', expected a number from 0.1 to 100 (with",
        ),
        ("load,device,p_max_kw\nHome 1,battery,1_0\n", "line 2: p_max_kw is '1_0', expected a number"),
        ("load,device,p_max_kw\nHome 1,battery,NaN\n", "line 2: p_max_kw is 'NaN', expected a number"),
        ("load,device,p_max_kw\nHome 1,battery,-3\n", "line 2: p_max_kw is -3, expected a number"),
        (
            "load,device,arrival_hour\nHome 1,electric_vehicle,17:30\n",
            "arrival_hour is '17:30', expected a number from 13 to 23.75 (hours: 17.5)",
        ),
    ],
)
def test_a_table_that_does_not_serve_is_told_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_device_table(written(tmp_path, text), HOMES, {"battery", "electric_vehicle"})
    assert message in str(caught.value)


# what comes of it


def scenario_of(tmp_path: Path, table: str | None, share: object) -> Scenario:
    kinds = ("electric_vehicle", "v2g_vehicle", "heat_pump", "battery", "pv", "water_heater", "deferrable")
    raw = {
        "time": {"hours": 24},
        "feeder": {"source": "schutterwald:13"},
        "homes": {} if table is None else {"devices": str(written(tmp_path, table))},
        "devices": {kind: {"share": share} for kind in kinds},
    }
    return parse_scenario(raw, source="test", folder=tmp_path)


@pytest.fixture(scope="module")
def feeder() -> Feeder:
    raw = {"feeder": {"source": "schutterwald:13"}}
    return scenario_feeder(parse_scenario(raw, source="test", folder=Path()))


def same(one: Fleet, other: Fleet) -> bool:
    powers, others = one.uncontrolled_run()[0], other.uncontrolled_run()[0]
    return all(np.array_equal(a, b) for a, b in zip(powers, others, strict=True))


def test_a_table_of_what_was_drawn_draws_the_same_devices_and_days(tmp_path: Path, feeder: Feeder) -> None:
    drawn = scenario_fleet(scenario_of(tmp_path, None, 0.4), feeder)
    rows = [(feeder.home_names[home], g.kind) for g in drawn.groups for home in g.household]
    table = "load,device\n" + "".join(f"{home},{kind}\n" for home, kind in rows)
    assert same(scenario_fleet(scenario_of(tmp_path, table, "table"), feeder), drawn)


def test_every_parameter_of_every_kind_reaches_its_device_and_no_other(
    tmp_path: Path, feeder: Feeder
) -> None:
    first, second = feeder.home_names[:2]
    owned = [f"{home},{kind}" for kind in COLUMNS for home in (first, second)]
    plain = scenario_fleet(scenario_of(tmp_path, "load,device\n" + "\n".join(owned) + "\n", "table"), feeder)
    columns = {name: column for of in COLUMNS.values() for name, column in of.items()}
    header = ",".join(["load", "device", *columns])
    for kind, of in COLUMNS.items():
        cells = [f"{middle(of[name]):.6g}" if name in of else "" for name in columns]
        rows = [row + "," + ",".join(cells) if row == f"{first},{kind}" else row for row in owned]
        fleet = scenario_fleet(scenario_of(tmp_path, header + "\n" + "\n".join(rows) + "\n", "table"), feeder)
        for group, before in zip(fleet.groups, plain.groups, strict=True):
            parameters = [f for f, v in vars(before.device).items() if isinstance(v, torch.Tensor)]
            for name in parameters:
                now, then = getattr(group.device, name), getattr(before.device, name)
                assert now[1] == then[1], (kind, group.kind, name)
                if group.kind != kind:
                    assert now[0] == then[0], (kind, group.kind, name)
                elif name in of and of[name].drawn:
                    assert now[0] == pytest.approx(middle(of[name])), name


def middle(column: Column) -> float:
    return (column.low + column.high) / 2.0


def test_a_building_is_the_one_that_is_described(tmp_path: Path, feeder: Feeder) -> None:
    header = "load,device,heated_area_m2,loss_w_per_m2_k,set_point_c"
    table = f"{header}\n{feeder.home_names[3]},heat_pump,150,1.2,21\n"
    (group,) = scenario_fleet(scenario_of(tmp_path, table, "table"), feeder).groups
    assert group.household.tolist() == [3]
    assert group.device.heat_loss_kw_per_k.tolist() == pytest.approx([0.18])  # type: ignore[attr-defined]
    assert group.device.set_point_c.tolist() == [21.0]  # type: ignore[attr-defined]


def test_a_car_that_always_comes_at_the_same_time_does(tmp_path: Path, feeder: Feeder) -> None:
    hours = "arrival_hour,arrival_spread_h,departure_hour,departure_spread_h"
    header = f"load,device,p_max_kw,plug_in_probability,{hours}"
    table = f"{header}\n{feeder.home_names[0]},electric_vehicle,11,1,18,0,7,0\n"
    scenario = scenario_of(tmp_path, table, "table")
    (group,) = scenario_fleet(scenario, feeder).groups
    arrivals = torch.stack([group.drive.at(step).arrival_kwh for step in range(96)])[:, 0]
    assert torch.nonzero(arrivals).flatten().tolist() == [24]  # 18 h, six hours after the start
    assert float(group.drive.at(24).stay_h[0]) == 13.0


def test_the_table_and_the_shares_must_fit_each_other(tmp_path: Path, feeder: Feeder) -> None:
    without = scenario_of(tmp_path, None, "table")
    with pytest.raises(ScenarioError, match=r'share: got "table" without homes.devices'):
        scenario_fleet(without, feeder)
    homes = without.homes.model_copy(update={"devices": str(written(tmp_path, "load,device\nHome 1,pv\n"))})
    drawn = scenario_of(tmp_path, None, 0.5).model_copy(update={"homes": homes})
    with pytest.raises(ScenarioError, match=r'homes.devices: no kind has share = "table"'):
        scenario_fleet(drawn, feeder)


@pytest.mark.parametrize("kind", COLUMNS)
def test_ranges_and_names_are_those_of_the_population(kind: str) -> None:
    population = POPULATIONS[kind]()
    device = population.sample(1, dt_h=0.25, generator=torch.Generator())
    for name, column in COLUMNS[kind].items():
        assert hasattr(device if column.drawn else population, name), name
        assert not column.spread or hasattr(population, column.spread), name
    assert replace(population) == population
