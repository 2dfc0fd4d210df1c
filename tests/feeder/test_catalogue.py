"""The list of feeders, and the errors for names that are not in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from grid_cosim.errors import FeederError
from grid_cosim.feeder.catalogue import check_source, list_feeders, simbench_codes
from grid_cosim.feeder.network import load_feeder


def test_the_list_has_what_was_measured() -> None:
    feeders = {info.name: info for info in list_feeders()}
    area = feeders["schutterwald:2"]
    assert (area.buses, area.homes, area.heat_pumps, area.transformers) == (335, 177, 153, 1)
    assert area.loading_percent == pytest.approx(148, abs=1)
    assert {f"schutterwald:{i}" for i in range(14)} < set(feeders)
    assert feeders["schutterwald"].homes == sum(feeders[f"schutterwald:{i}"].homes for i in range(14)) == 1506


def test_every_name_in_the_list_is_a_feeder() -> None:
    for info in list_feeders():
        check_source(info.name)


def test_simbench_has_many_more() -> None:
    import simbench

    assert simbench_codes() == simbench.collect_all_simbench_codes()
    assert len(simbench_codes()) > 200


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("schutterwald:99", "Schutterwald has no area '99'. Its areas are schutterwald:0 to schutterwald:13"),
        ("schutterwald:", "Schutterwald has no area ''"),
        ("schutterwald:-1", "Schutterwald has no area '-1'"),
        ("schuterwald:2", "Did you mean 'schutterwald:2'"),
        ("simbench:1-LV-rurall3--2-no_sw", "Did you mean '1-LV-rural3--2-no_sw'"),
        ("simbench:", "SimBench has no grid ''"),
        ("nowhere/net.json", "no such file. Name"),
        ("net.xlsx", "no such file"),
        ("quite another thing", "unknown. Name"),
    ],
)
def test_an_unknown_feeder_gets_near_matches_and_the_forms(source: str, message: str) -> None:
    with pytest.raises(FeederError, match=re.escape(message)) as raised:
        load_feeder(source)
    assert str(raised.value).startswith(f"Feeder {source}: ")


def test_a_misspelt_file_is_matched_with_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "village.json").write_text("{}")
    with pytest.raises(FeederError, match=r"Did you mean '.*village\.json'\? Name"):
        check_source(tmp_path / "vilage.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.json", "{not json", "not valid JSON"),
        ("net.json", '{"a": 1}', "it holds no pandapower net|pandapower cannot read it"),
        ("net.xlsx", "no sheet", "pandapower cannot read it"),
        ("net.mat", "", r"not read from \.mat"),
        ("net", "", "not read from a file without an ending"),
    ],
)
def test_a_file_that_holds_no_net_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(FeederError, match=message):
        load_feeder(path)


def test_listing_needs_no_pandapower() -> None:
    script = (
        "import sys; from grid_cosim.feeder import list_feeders; list_feeders();"
        "print('pandapower' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
