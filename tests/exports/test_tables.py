"""Tables, maps and series in the formats of other tools, read by these; and what cannot be exported."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import frictionless
import geopandas
import h5py
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from grid_cosim import Results
from grid_cosim.cli import app
from grid_cosim.errors import ExportError, MissingExtraError, ResultsError
from grid_cosim.exports import FORMATS
from grid_cosim.results import TABLES
from tests import builders
from tests.exports.networks import recorded_vm_pu, simulated

Exported = Callable[[str], Path]


def package(folder: Path) -> dict:
    return json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("to", FORMATS)
def test_whose_data_it_is_and_the_seed_travel_with_every_export(exported: Exported, to: str) -> None:
    folder = exported(to)
    assert "Open Database License (ODbL) 1.0" in (folder / "ATTRIBUTION.txt").read_text(encoding="utf-8")
    about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    assert about["seed"] == 1
    assert {licence["name"] for licence in about["licences"]} == {"other", "ODbL-1.0", "GeoNutzV"}
    assert set(about["files"]) <= {p.relative_to(folder).as_posix() for p in folder.rglob("*")}
    assert not list(folder.parent.glob("*.partial"))


@pytest.mark.parametrize("to", ["csv", "csv-wide"])
def test_frictionless_finds_nothing_wrong(exported: Exported, to: str) -> None:
    folder = exported(to)
    report = frictionless.validate(str(folder / "datapackage.json"))
    assert report.valid, report.flatten(["name", "message"])
    described = package(folder)
    assert "ODbL-1.0" in {licence["name"] for licence in described["licenses"]}
    assert described["seed"] == 1
    paths = {resource["path"] for resource in described["resources"]}
    assert paths == {p.relative_to(folder).as_posix() for p in folder.rglob("*.csv")}


def test_long_tables_come_back_as_they_are_stored(results: Results, exported: Exported) -> None:
    parquet, csv = exported("parquet"), exported("csv")
    assert not list(frictionless.Package.metadata_validate(package(parquet)))
    for table in TABLES:
        stored = results.runs["consensus"].table(table)
        assert len(stored), table
        pd.testing.assert_frame_equal(pd.read_parquet(parquet / "consensus" / f"{table}.parquet"), stored)
        times = [name for name, column in TABLES[table].items() if column.is_time]
        read = pd.read_csv(csv / "consensus" / f"{table}.csv", parse_dates=times)
        for name, column in TABLES[table].items():
            there = read[name]
            if column.is_name or column.is_time:
                assert (there.astype(str) == stored[name].astype(str)).all(), (table, name)
            else:
                np.testing.assert_allclose(there.to_numpy(float), stored[name].to_numpy(float), rtol=1e-6)


def test_wide_tables_have_a_column_per_element_with_its_unit(results: Results, exported: Exported) -> None:
    parquet, csv = exported("parquet-wide"), exported("csv-wide")
    assert not list(frictionless.Package.metadata_validate(package(parquet)))
    ours = recorded_vm_pu(results)
    for read in (
        pd.read_parquet(parquet / "uncontrolled" / "buses.vm_pu.parquet").set_index("time"),
        pd.read_csv(csv / "uncontrolled" / "buses.vm_pu.csv", parse_dates=["time"]).set_index("time"),
    ):
        assert list(read.columns) == [f"Bus-{k}" for k in range(12)]
        np.testing.assert_allclose(read[ours.columns], ours, rtol=1e-6)
        assert read.index.tolist() == ours.index.tolist()
    (resource,) = [
        resource
        for resource in package(csv)["resources"]
        if resource["path"] == "uncontrolled/households.p_kw.csv"
    ]
    fields = {field["name"]: field for field in resource["schema"]["fields"]}
    assert fields["Haus 0 / ü"]["unit"] == "kW"


def test_geopandas_opens_the_map_and_finds_the_peaks(results: Results, exported: Exported) -> None:
    folder = exported("geojson")
    layers = {
        name: geopandas.read_file(folder / f"{name}.geojson") for name in ("buses", "lines", "transformers")
    }
    for layer, kind in zip(layers.values(), ("Point", "LineString", "Point"), strict=True):
        assert layer.crs.to_epsg() == 4326
        assert set(layer.geometry.geom_type) == {kind}
    ours = recorded_vm_pu(results)
    buses = layers["buses"].set_index("id")
    assert buses.loc["Bus-5", "vm_min_pu"] == pytest.approx(ours["Bus-5"].min(), rel=1e-6)
    assert buses.loc["Bus-5", "vm_min_time"] == ours["Bus-5"].idxmin()
    assert (buses.loc["Bus-5", "homes"], buses.loc["Bus-7", "homes"]) == (2, 1)
    assert buses.geometry["Bus-5"].coords[0] == pytest.approx((7.95, 48.4))
    assert np.isnan(buses.loc["Bus-7", "vm_min_pu"])  # without supply
    limits = results.runs["uncontrolled"].table("limits").query("limit == 'Trafo-1'")
    peak = (100.0 * limits["loading_percent"] / limits["limit_percent"]).max()
    trafos = layers["transformers"].set_index("id")
    assert trafos.loc["Trafo-1", "peak_of_limit_percent"] == pytest.approx(peak)
    raw = json.loads((folder / "lines.geojson").read_text(encoding="utf-8"))
    assert raw["units"]["loading_max_percent"] == "%"
    assert "ODbL-1.0" in {licence["name"] for licence in raw["licences"]}


def test_h5py_finds_series_and_relations_where_mosaik_hdf5_puts_them(
    results: Results, exported: Exported
) -> None:
    folder = exported("hdf5")
    ours = recorded_vm_pu(results)
    with h5py.File(folder / "results.hdf5") as file:
        assert set(file) == {"Relations", "Series"}
        bus = file["Series/FeederSim-0.Bus-5"]
        np.testing.assert_allclose(bus["Vm[pu]"], ours["Bus-5"])
        homes = results.runs["uncontrolled"].table("households").query("household == 'Haus 1 / ü'")
        home = file["Series/HouseholdSim-0.Haus 1 _ ü"]
        assert home.attrs["name"] == "Haus 1 / ü"
        np.testing.assert_allclose(home["P[MW]"], homes["p_kw"] / 1e3)
        pairs = file["Relations/FeederSim-0.Bus-5"][:]
        assert [b"/Relations/FeederSim-0.Line-3", b"/Series/FeederSim-0.Line-3"] in pairs.tolist()
        for path in pairs.ravel():
            assert path.decode() in file
        assert "ODbL" in file.attrs["licences"]


def test_the_command_writes_and_says_where(results: Results, tmp_path: Path) -> None:
    asked = ["export", str(results.folder), "--to", "pandapower", "--time", "2016-01-04T17:20"]
    asked += ["--out", str(tmp_path / "net")]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    assert "The network in step 1 (2016-01-04 17:15) of consensus" in answer.stderr
    assert answer.stdout == f"Wrote {tmp_path / 'net'}\n"
    listed = " ".join(CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"}).output.split())
    for to in FORMATS:
        assert to in listed


@pytest.mark.parametrize(
    ("to", "asked", "message"),
    [
        ("open-dss", {}, r"no such format. Choose one of parquet, .*, hdf5\. Did you mean 'opendss'\?$"),
        (
            "csv",
            {"controller": "optimum"},
            "no run of the controller 'optimum'. Choose one of uncontrolled, con",
        ),
        (
            "geojson",
            {"step": 2},
            "about all steps. Leave the step away; it is for pandapower, opendss, power-gr",
        ),
        ("pandapower", {"step": 4}, "no step 4. Give one from 0 to 3"),
        (
            "pandapower",
            {"time": "2016-01-04 18:00"},
            "is not in the run. Give a time from 2016-01-04 17:00 to",
        ),
        ("pandapower", {"time": "tea time"}, "'tea time' is no time"),
        ("pandapower", {"time": "2016-01-04T17:00+01:00"}, "has a time zone"),
        ("pandapower", {"step": 1, "time": "2016-01-04"}, "both a step and a time"),
    ],
)
def test_what_is_asked_for_wrongly_is_told(results: Results, to: str, asked: dict, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        results.export(to, **asked)


def test_folders_of_others_are_left_alone(results: Results, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it", encoding="utf-8")
    with pytest.raises(ExportError, match="exists and is not an export"):
        results.to_geojson(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").is_file()
    for _ in range(2):  # an export of ours is replaced
        assert results.to_geojson(tmp_path / "map").is_dir()


@pytest.mark.parametrize(("to", "missing", "extra"), [("hdf5", "h5py", "hdf5"), ("pypsa", "pypsa", "pypsa")])
def test_a_missing_library_is_told_with_the_extra_that_has_it(
    results: Results, monkeypatch: pytest.MonkeyPatch, to: str, missing: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, f"grid_cosim.exports.{FORMATS[to].module}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"needs the package {missing}.*grid-cosim\[{extra}\]"):
        results.export(to)


def test_what_was_not_recorded_is_told_with_the_setting(tmp_path: Path) -> None:
    none = [f'record.{table}="none"' for table in ("households", "devices", "limits", "lines", "buses")]
    results = simulated(builders.street(), tmp_path / "run", *none)
    for to in ("opendss", "pandapower", "pypsa", "power-grid-model"):
        with pytest.raises(ExportError, match=r'record.households = "all"'):
            results.export(to)
    with pytest.raises(ExportError, match=r'record.limits = "all"'):
        results.to_hdf5()
    with pytest.raises(ExportError, match=r'record.buses = "all"'):
        results.to_pandapower_series()
    with pytest.raises(ExportError, match=r"no coordinates.*net\.bus\.geo"):
        results.to_geojson()
    assert (results.to_csv() / "uncontrolled" / "totals.csv").is_file()
    (tmp_path / "run" / "network.json").unlink()
    with pytest.raises(ResultsError, match=r"holds no network\.json.*Run it again with grid-cosim run"):
        results.to_opendss()


def test_each_format_has_its_method(results: Results, tmp_path: Path) -> None:
    csv = results.to_csv(tmp_path / "csv", controller="consensus")
    assert (csv / "consensus").is_dir()
    assert not (csv / "uncontrolled").exists()
    for to in FORMATS:
        method = getattr(results, f"to_{to.removesuffix('-wide').replace('-', '_')}")
        assert (
            str(method.__func__(_Asked(), tmp_path, **({"wide": True} if to.endswith("-wide") else {}))) == to
        )


class _Asked:
    """Stands for results and tells which format it is asked for."""

    def export(self, to: str, out: Path, **_: object) -> str:
        return to
