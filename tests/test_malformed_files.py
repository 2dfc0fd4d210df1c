"""Networks, tables, graphs, policies and results that are wrong: one message, with place and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import malformed as wrong
from tests.malformed import Case, cases

RUN = "run study.toml --out out --controllers uncontrolled"
BASE = f"{RUN} --set homes.base_load=base.csv"
WEATHER = f"{RUN} --set weather.source=weather.csv"
TARIFF = f"{RUN} --set tariff.source=prices.csv"
AGREE = "run study.toml --out out --controllers consensus"
GRAPH = f"{AGREE} --set coordination.graph=edges --set coordination.edges=links.csv"
POLICY = f"{AGREE} --set devices.electric_vehicle.policy=mine.safetensors"

NETWORKS = {
    "truncated": Case(
        wrong.text("street.json", wrong.street_json()[:2000]),
        RUN,
        "street.json … not valid JSON … pandapower.to_json",
    ),
    "empty": Case(wrong.text("street.json", ""), RUN, "street.json … empty … pandapower.to_json"),
    "a list": Case(
        wrong.text("street.json", "[1, 2]"), RUN, "street.json … holds no pandapower net … to_json"
    ),
    "bytes": Case(wrong.raw("street.json", bytes(range(256))), RUN, "street.json … not UTF-8 … to_json"),
    "zipped": Case(wrong.archive, RUN, "street.json … not UTF-8 … to_json"),
    "another workbook": Case(
        wrong.workbook,
        f"{RUN} --set feeder.source=street.xlsx",
        "street.xlsx … no sheet 'bus' among its 1 ('Sheet') … pandapower.to_excel",
    ),
    "no workbook": Case(
        wrong.text("street.xlsx", "hello"),
        f"{RUN} --set feeder.source=street.xlsx",
        "street.xlsx … cannot read … to_excel",
    ),
    "pickled": Case(
        wrong.text("street.p", ""),
        f"{RUN} --set feeder.source=street.p",
        "street.p … not read from .p … to_json",
    ),
    "a folder": Case(
        wrong.a_folder("nets"),
        f"{RUN} --set feeder.source=nets",
        "nets … a folder … Name the pandapower file",
    ),
    "no impedance": Case(
        wrong.cell("line", 1, "r_ohm_per_km", float("nan")),
        RUN,
        "street.json … net.line, row 1: r_ohm_per_km is nan … Correct",
    ),
    "no voltage": Case(
        wrong.cell("bus", 1, "vn_kv", 0.0), RUN, "street.json … net.bus, row 1: vn_kv is 0 … Correct"
    ),
    "negative length": Case(
        wrong.cell("line", 0, "length_km", -1.0),
        RUN,
        "street.json … net.line, row 0: length_km is -1 … above 0",
    ),
    "no such bus": Case(
        wrong.cell("load", 2, "bus", 77),
        RUN,
        "street.json … net.load, row 2: bus is 77, which is no bus … Correct",
    ),
    "cut off": Case(wrong.network(wrong.cut_off), RUN, "street.json … no transformer in service … Add one"),
    "homes above": Case(
        wrong.network(wrong.homes_on_top), RUN, "street.json … none of its 3 homes … on the other side"
    ),
}

TABLES = {
    "no such file": Case(wrong.nothing, BASE, "base.csv … no such file … Check the path"),
    "empty": Case(wrong.text("base.csv", ""), BASE, "base.csv … cannot be read … header line"),
    "head alone": Case(wrong.text("base.csv", "time,H0,H1,H2\n"), BASE, "base.csv … 0 rows … commas"),
    "no header": Case(
        wrong.no_header, BASE, "base.csv … line 1: there is no header … Put a header line above it"
    ),
    "tabs": Case(
        wrong.table("base.csv", {"H0": 0.5, "H1": 0.5, "H2": 0.5}, sep="\t"),
        BASE,
        "base.csv … line 1: columns are separated by tabs … with commas",
    ),
    "no times": Case(
        wrong.text("base.csv", "H0,H1,H2\n0.5,0.5,0.5\n0.5,0.5,0.5\n"),
        BASE,
        "base.csv … column 'H0' … ISO 8601",
    ),
    "column twice": Case(
        wrong.text("base.csv", "time,H0,H0,H1,H2\n2016-01-04 17:00,1,1,1,1\n2016-01-04 18:00,1,1,1,1\n"),
        BASE,
        "base.csv … column 'H0', line 1: stands there twice … Name every column once",
    ),
    "Shift JIS": Case(
        wrong.text("base.csv", "time,電力（kW）\n2016,1\n", "cp932"),
        BASE,
        "base.csv … cannot be read … UTF-8",
    ),
    "no Parquet": Case(
        wrong.text("base.parquet", "hello"),
        f"{RUN} --set homes.base_load=base.parquet",
        "base.parquet … cannot be read … Parquet",
    ),
    "a workbook": Case(
        wrong.workbook, f"{RUN} --set homes.base_load=street.xlsx", "street.xlsx … cannot be read … CSV"
    ),
    "disorder": Case(wrong.unordered, WEATHER, "weather.csv … comes after … in order"),
    "irregular": Case(
        wrong.irregular, WEATHER, "weather.csv … line 12: nothing between … one row per interval"
    ),
    "no temperature": Case(
        wrong.table("weather.csv", {"temp": 1.0, "wind": 2.0}),
        WEATHER,
        "weather.csv … 'temp', 'wind' … 'temperature_c'",
    ),
    "a folder": Case(
        wrong.a_folder("weather.csv"), WEATHER, "weather.csv … this is a folder … name the file in it"
    ),
    "prices": Case(
        wrong.table("prices.csv", {"price_eur_per_kwh": "low"}),
        TARIFF,
        "prices.csv … 'low' is not a number … point",
    ),
}

GRAPHS = {
    "to itself": Case(
        wrong.text("links.csv", "meter,H0\nH0,H0\nH0,H1\nH1,H2\n"),
        GRAPH,
        "links.csv … line 2 links 'H0' to itself … links of two nodes",
    ),
    "empty": Case(wrong.text("links.csv", ""), GRAPH, "links.csv … no links … 'name,name'"),
    "no meter": Case(wrong.text("links.csv", "H0,H1\nH1,H2\n"), GRAPH, "links.csv … 2 parts … meter"),
    "bytes": Case(wrong.raw("links.csv", bytes(range(256))), GRAPH, "links.csv … cannot be read … UTF-8"),
    "stranger": Case(
        wrong.text("links.csv", "meter,Smith\n"), GRAPH, "links.csv … 'Smith' is not a household … names"
    ),
    "kind": Case(
        wrong.nothing,
        f"{RUN} --set coordination.graph=rnig",
        "study.toml … coordination.graph: got 'rnig' … 'ring'",
    ),
    "no edges": Case(
        wrong.nothing, f"{RUN} --set coordination.graph=edges", "study.toml … without `edges` … CSV"
    ),
}

POLICIES = {
    "truncated": Case(wrong.truncated_policy, POLICY, "mine.safetensors … not a safetensors file … train"),
    "other features": Case(
        wrong.other_policy(lambda about: about.update(feature_names=["a", "b"])),
        POLICY,
        "mine.safetensors … sees the features ['a', 'b'] … retrain",
    ),
    "other version": Case(
        wrong.other_policy(lambda about: about.update(format="grid_cosim policy 9")),
        POLICY,
        "mine.safetensors … format is 'grid_cosim policy 9' … train",
    ),
    "other network": Case(
        wrong.other_policy(lambda about: about["network"].update(hidden=[7])),
        POLICY,
        "mine.safetensors … weights do not fit … retrain",
    ),
    "a folder": Case(
        wrong.a_folder("mine.safetensors"), POLICY, "mine.safetensors … this is a folder … grid-cosim train"
    ),
}

RESULTS = {
    "missing": Case(wrong.nothing, "report old", "old … no such folder … `grid-cosim run` writes one"),
    "a file": Case(
        wrong.text("old", "hello"), "report old", "old … this is a file … Name the results folder"
    ),
    "empty": Case(wrong.a_folder("old"), "report old", "old … no status.json … Name the results folder"),
    "other version": Case(
        wrong.results(wrong.rewritten("status.json", grid_cosim_results="0")),
        "report old",
        "old … version … Run the scenario again",
    ),
    "no JSON": Case(
        wrong.results(wrong.text("status.json", "{")),
        "report old",
        "status.json … cannot be read … Run the scenario again",
    ),
    "a value short": Case(
        wrong.results(wrong.rewritten("status.json", basis=None)),
        "report old",
        "old … 'basis' is missing … Run the scenario again",
    ),
    "no network": Case(
        wrong.results(wrong.without("feeder.json")),
        "report old",
        "old … feeder.json … Run the scenario again",
    ),
    "other scenario": Case(
        wrong.results(wrong.text("scenario.toml", "[")),
        "report old",
        "old … scenario.toml … Run the scenario again",
    ),
    "no Parquet": Case(
        wrong.results(wrong.text("uncontrolled/limits.parquet", "x")),
        "report old",
        "limits.parquet … cannot be read … Run the scenario again",
    ),
}


@pytest.mark.parametrize(
    "case", cases(network=NETWORKS, table=TABLES, graph=GRAPHS, policy=POLICIES, results=RESULTS)
)
def test_what_is_wrong_is_said_once_with_its_place_and_the_remedy(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong.is_refused(case, tmp_path)
