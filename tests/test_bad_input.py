"""What users get wrong: one message that says what, where and what to do, exit code 2, nothing half done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandapower as pp
import pandas as pd
import pytest
from pandapower.auxiliary import pandapowerNet
from safetensors.numpy import save_file

from grid_cosim.shipped import shipped
from tests.builders import street
from tests.study import TIMES, base_load, grid_cosim, lay_out, refused, runs, study, weather


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the study in it."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    return tmp_path


def _no_homes(net: pandapowerNet) -> None:
    net.load = net.load.iloc[:0]


def _no_transformers(net: pandapowerNet) -> None:
    net.trafo = net.trafo.iloc[:0]


def _no_external_grid(net: pandapowerNet) -> None:
    net.ext_grid = net.ext_grid.iloc[:0]


def _no_rating(net: pandapowerNet) -> None:
    net.trafo["sn_mva"] = np.nan


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_homes, 'no homes: none of its 0 loads consumes power. Add loads of type "HH"'),
        (_no_transformers, "no transformer in service, so no limit to keep. Add one with"),
        (_no_external_grid, "no external grid in service: nothing feeds it. Add one with"),
        (_no_rating, "net.trafo, row 0: sn_mva is nan, expected a number above 0. Correct the value"),
    ],
)
def test_a_network_that_cannot_be_simulated(
    folder: Path, spoil: Callable[[pandapowerNet], None], message: str
) -> None:
    net = street()
    spoil(net)
    pp.to_json(net, str(folder / "street.json"))
    refused(study(), f"street.json: {message}", folder)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("steet.json", "steet.json: no such file. Did you mean 'street.json'"),
        ("broken.json", "broken.json: it holds no pandapower net"),
        ("schutterwald:14", "Its areas are schutterwald:0 to schutterwald:13"),
        ("simbench:1-LV-rural3--2-no_swx", "Did you mean '1-LV-rural3--2-no_sw'"),
        ("", "Feeder '': no name. Name \"schutterwald\""),
    ],
)
def test_a_network_that_is_not_there(folder: Path, source: str, message: str) -> None:
    (folder / "broken.json").write_text('{"a": 1}', encoding="utf-8")
    refused(study(f"feeder.source={source}"), message, folder)


def test_homes_without_power_are_named_before_the_numbers(folder: Path) -> None:
    net = street()
    net.line.loc[1, "in_service"] = False  # cuts H1 and H2 off
    pp.to_json(net, str(folder / "street.json"))
    warning = "2 of 3 homes (H1, H2) are connected to no external grid"
    assert f"warning: {warning}" in runs(study())
    assert warning in (folder / "out" / "report.html").read_text(encoding="utf-8")


def _cell(value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype(object)
        table.iloc[70, 0] = value
        return table

    return spoil


def _gap(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(TIMES[70])


def _twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table.iloc[:71], table.iloc[70:]])


def _short(table: pd.DataFrame) -> pd.DataFrame:
    return table.iloc[:70]


def _berlin(table: pd.DataFrame) -> pd.DataFrame:
    """Local time over the night in which summer time begins."""
    local = pd.date_range("2016-03-26 12:00", periods=len(table), freq="15min", tz="Europe/Berlin")
    return table.set_axis(local.tz_localize(None).rename("time"))


SERIES = [
    (_cell(np.nan), "line 72 (2016-01-04 17:30:00): the value is missing. Fill it in"),
    (_cell("a lot"), "line 72 (2016-01-04 17:30:00): 'a lot' is not a number. Write decimals with a point"),
    (_gap, "line 72: nothing between 2016-01-04 17:15:00 and 2016-01-04 17:45:00"),
    (_twice, "line 73: 2016-01-04 17:30:00 occurs twice"),
    (_short, "but the run needs 2016-01-04 17:00:00 to 2016-01-04 18:00:00. Move time.start"),
    (_berlin, "If the clock change is to blame, use standard time all year, write the offset (+01:00), or"),
]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        *SERIES,
        (
            _cell(-0.1),
            "column 'H0', line 72 (2016-01-04 17:30:00): the value is negative. Consumption counts",
        ),
        (lambda table: table.rename(columns={"H1": "h1"}), "has no column 'H1'; it has 'H0', 'h1', 'H2'"),
    ],
)
def test_a_base_load_that_cannot_be_used(
    folder: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    spoil(base_load()).to_csv(folder / "base.csv")
    refused(study("homes.base_load=base.csv"), message, folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [*SERIES[:3], (_cell(270.0), "270 is no outdoor temperature in °C. Give °C, between -60 and 60; kelvin")],
)
def test_weather_that_cannot_be_used(
    folder: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    spoil(weather()).to_csv(folder / "weather.csv")
    refused(study("weather.source=weather.csv"), message, folder)


def checkpoints(folder: Path) -> None:
    (folder / "notes.safetensors").write_text("hello", encoding="utf-8")
    nothing = {"weights": np.zeros(2, dtype=np.float32)}
    save_file(nothing, folder / "foreign.safetensors")
    save_file(nothing, folder / "odd.safetensors", metadata={"grid_cosim": "{not json"})
    save_file(
        nothing, folder / "bare.safetensors", metadata={"grid_cosim": '{"format": "grid_cosim policy 1"}'}
    )


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("heat_pump", "trained for 'heat_pump', but wanted for 'electric_vehicle'"),
        ("notes.safetensors", "not a safetensors file"),
        ("foreign.safetensors", "format is None, expected 'grid_cosim policy 1'"),
        ("odd.safetensors", "format is None, expected 'grid_cosim policy 1'"),
        ("bare.safetensors", "its description lacks feature_names, kind, network, recipe, versions"),
        ("mine.safetensors", "no such file. Train one with `grid-cosim train`"),
        ("electric_vehicl", "Did you mean 'electric_vehicle.safetensors'"),
    ],
)
def test_a_policy_that_cannot_be_used(folder: Path, policy: str, message: str) -> None:
    checkpoints(folder)
    refused(study(f"devices.electric_vehicle.policy={policy}"), message, folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("meter,H0\nH0,H1\nH1,H22\n", "'H22' is not a household. Did you mean 'H2'? Use household names."),
        (
            "meter,H0\nH1,H2\n",
            "links.csv: it falls into 2 parts: 2 node(s) H0, meter; 2 node(s) H1, H2",
        ),
        ("meter,H0\nH0\n", "line 2 has not two names (1 such). Use lines 'name,name', comma-separated."),
        ("meter;H0\n", "line 1 has not two names"),
        (None, "edge list links.csv: no such file"),
    ],
)
def test_an_edge_list_that_cannot_be_used(folder: Path, text: str | None, message: str) -> None:
    if text is not None:
        (folder / "links.csv").write_text(text, encoding="utf-8")
    refused(study("coordination.graph=edges", "coordination.edges=links.csv"), message, folder)


def test_an_edge_list_is_read_for_its_own_graph_only(folder: Path) -> None:
    runs(study("coordination.graph=ring", "coordination.edges=nowhere.csv"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("devices.heat_pump.share=network", "street.json has no heat pumps of its own"),
        ("devices.electric_vehicle.share=network", "street.json knows heat pumps only"),
        ("devices.electric_vehicle.share=1.5", "got 1.5, expected less than or equal to 1, or 'network'"),
        ("devices.electric_vehicle.population.daily_kwh=nan", "daily_kwh: got nan, expected a finite number"),
        ("feeder.limit_share=inf", "feeder.limit_share: got inf, expected a finite number"),
        ("weather.shift_k=-273", "weather.shift_k: got -273, expected greater than or equal to -30"),
        (
            "homes.base_load=simbensh",
            "is neither a file nor 'simbench'. Correct homes.base_load. Did you mean",
        ),
        ("tariff.source=pricess.csv", "pricess.csv: no such file"),
        ("tariff.source=mwh.csv", "mwh.csv, column 'spot', 2016-01-04 17:00:00: 48 is no price in EUR/kWh"),
        ("time=3", "time: got 3, expected a section of settings"),
        ("time.start=9999-12-31T23:00:00", "time.start: got the year 9999, expected 1900 to 2199"),
    ],
)
def test_a_value_that_no_run_can_have(folder: Path, override: str, message: str) -> None:
    (folder / "mwh.csv").write_text("time,spot\n2016-01-04 17:00,48.0\n2016-01-04 18:00,51.0\n", "utf-8")
    refused(study(override), message, folder)


def test_a_scenario_that_is_not_utf_8_says_so(folder: Path) -> None:
    (folder / "study.toml").write_text('title = "Schön"', encoding="latin-1")
    refused(study(), "study.toml: 1 problem - not UTF-8 text", folder)
    refused(grid_cosim("train", "study.toml"), "study.toml: not UTF-8 text", folder)


def test_a_folder_is_no_scenario(folder: Path) -> None:
    refused(grid_cosim("run", "."), "this is a folder; name the scenario file", folder)


@pytest.mark.parametrize(
    ("out", "message"),
    [("recipe.toml", "Give one that ends in .safetensors"), ("nowhere/mine.safetensors", "no such folder")],
)
def test_a_training_knows_before_it_starts_where_its_policy_goes(
    folder: Path, out: str, message: str
) -> None:
    recipe = (shipped("policies") / "deferrable.toml").read_text(encoding="utf-8")
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    refused(grid_cosim("train", "recipe.toml", "--out", out), message, folder)
    assert (folder / "recipe.toml").read_text(encoding="utf-8") == recipe
