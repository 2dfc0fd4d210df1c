"""The scripts of `scenarios/`, shortened: our simulators beside other people's, and over TCP."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pandapower as pp
import pytest

from grid_cosim.cosim.others import needs
from grid_cosim.errors import MissingExtraError
from grid_cosim.shipped import shipped
from tests.builders import street
from tests.scripts import quiet_world, script


@pytest.fixture(scope="module")
def scenario_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenario")
    pp.to_json(street(5), str(folder / "street.json"))
    scenario = folder / "street.toml"
    scenario.write_text(
        'controllers = ["consensus"]\n'
        "[time]\nstart = 2016-01-19T16:00:00\nhours = 2.0\n"
        '[feeder]\nsource = "street.json"\nlimit_share = 0.1\n'
        "[devices.electric_vehicle]\nshare = 1.0\n"
    )
    return scenario


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with quiet_world():
        yield


def test_on_mosaik_pandapower_voltages_are_the_same(scenario_file: Path, capsys: pytest.CaptureFixture[str]):
    main = script("with_mosaik_pandapower").main
    theirs = main(scenario_file, ())
    # the bar is 1e-6 pu
    assert max(theirs["dv"]) < 1e-8
    assert max(theirs["dloading"]) < 1e-5
    assert "max |ΔV| between the two grids" in capsys.readouterr().out
    ours = main(scenario_file, (), closed_over="Ours")
    # the loop over their grid finds what the loop over ours finds, as far as their power flow is solved
    assert theirs["price"] == pytest.approx(ours["price"], rel=1e-5, abs=1e-7)
    assert theirs["loading"] == pytest.approx(ours["loading"], rel=1e-5)
    assert max(ours["price"]) > 0.01


def test_mosaik_csv_feeds_a_home_and_the_signal(scenario_file: Path, tmp_path: Path):
    main, signals = script("with_mosaik_csv").main, tmp_path / "new" / "signals.csv"
    found = main(scenario_file, (), signals, usable_percent=(20.0, 8.0))
    assert found["Household-0.P_base[MW]"] == pytest.approx([0.001] * 8)
    assert found["Household-1.P_base[MW]"] == pytest.approx([0.002] * 8)
    assert len(set(found["Household-2.P_base[MW]"])) > 2
    assert found["Signals_0.usable[%]"] == [20.0] * 4 + [8.0] * 4
    loading = found["Trafo-0.loading[%]"]
    # all homes charge at 16:15 and may no more from 17:00 on
    assert max(loading[:4]) > 15.0
    assert 7.5 < max(loading[4:]) < 8.1


def test_mosaik_hdf5_records_what_our_recorder_does(scenario_file: Path, tmp_path: Path):
    differences = script("with_mosaik_hdf5").main(scenario_file, (), tmp_path)
    assert differences == pytest.approx(
        # kW → MW → kW rounds the last digit; our tables hold voltages in 32 bits
        {
            "Household P[MW]": 0.0,
            "Limit price[EUR/kWh]": 0.0,
            "Bus Vm[pu]": 0.0,
            "Trafo loading[%]": 0.0,
        },
        abs=1e-7,
    )
    assert differences["Limit price[EUR/kWh]"] == differences["Trafo loading[%]"] == 0.0


def test_processes_that_run_already_give_the_same_bytes(scenario_file: Path, tmp_path: Path):
    same = script("over_tcp").main(scenario_file, ("time.hours=0.5",), tmp_path, ways=("python", "connect"))
    assert same == {"python": True, "connect": True}
    assert (tmp_path / "connect" / "households.parquet").stat().st_size > 0


def test_a_missing_package_names_the_extra():
    needs("mosaik_csv", "mosaik_hdf5", "mosaik_components.pandapower")
    with pytest.raises(MissingExtraError, match=r"no_such_simulator.*pip install 'grid-cosim\[mosaik\]'"):
        needs("no_such_simulator")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("with_mosaik_csv", "mosaik_csv"),
        ("with_mosaik_hdf5", "mosaik_hdf5"),
        ("with_mosaik_pandapower", "mosaik_components.pandapower"),
    ],
)
def test_a_script_without_its_package_ends_with_one_message(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(SystemExit, match=rf"^error: .*{module}.* 'grid-cosim\[mosaik\]'$"):
        runpy.run_path(str(shipped("scenarios") / f"{name}.py"), run_name="__main__")
