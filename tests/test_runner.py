"""Whole runs, shortened: same seed same bytes, same numbers as the mosaik script, no half looks whole."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from grid_cosim import Results
from grid_cosim.errors import PowerFlowError
from grid_cosim.results import TABLES
from grid_cosim.runner import run
from grid_cosim.scenario import load_scenario
from grid_cosim.shipped import shipped

SMALL = [
    "feeder.source=schutterwald:13",  # 15 homes
    "time.start=2016-01-04T17:00:00",
    "time.hours=3",
    "feeder.limit_share=0.06",  # so that there is something to negotiate
    "power_flow.check_every=4",
]


def small(*overrides: str):
    return load_scenario("cold_evening.toml", [*SMALL, *overrides])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "small"
    seen: list[tuple[str, int, int]] = []
    run(small(), out=path, progress=lambda *news: seen.append(news))
    assert seen[0] == ("uncontrolled", 0, 12)
    assert seen[-1] == ("consensus", 12, 12)
    return path


def test_the_folder_holds_what_the_documentation_promises(folder: Path) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    for controller in ("uncontrolled", "independent", "consensus"):
        tables = set(TABLES) if controller == "consensus" else set(TABLES) - {"agreement"}
        written = {Path(file).stem for file in files if Path(file).match(f"{controller}/*.parquet")}
        assert written == tables, controller
    assert {"scenario.toml", "provenance.json", "kpis.json", "report.html", "feeder.json"} <= files
    assert not [name for name in files if name.endswith(".partial")]


def test_kpis_have_a_key_per_controller(folder: Path) -> None:
    stored = json.loads((folder / "kpis.json").read_text(encoding="utf-8"))
    assert list(stored) == ["uncontrolled", "independent", "consensus"]
    assert stored["uncontrolled"]["peak_loading_percent"] > 101.0
    assert stored["consensus"]["peak_loading_percent"] < stored["uncontrolled"]["peak_loading_percent"]
    assert stored["uncontrolled"]["messages_per_home_per_step"] == 0.0
    assert stored["consensus"]["messages_per_home_per_step"] > 0.0
    # a message of `curve` carries 1, 32 or 16 numbers; a quiet limit's nodes send the first kind only
    number = 8 * stored["consensus"]["messages_per_home_per_step"]
    assert number < stored["consensus"]["message_bytes_per_home_per_step"] < 17 * number
    assert stored["consensus"]["ac_check_max_dv_pu"] < 1e-6


def test_the_results_say_which_solver_ran_and_why(folder: Path, tmp_path: Path) -> None:
    assert "The AC power flow is power-grid-model's" in " ".join(Results.load(folder).notes)
    asked = small("power_flow.solver=pandapower", "controllers=['uncontrolled']", "time.hours=1")
    results = run(asked, out=tmp_path / "asked", report=False)
    assert "The AC power flow is pandapower's, as asked for." in results.notes


def test_all_controllers_meet_the_same_homes(folder: Path) -> None:
    runs = Results.load(folder).runs
    base = [run.table("households")["base_kw"].to_numpy() for run in runs.values()]
    arrivals = [
        run.table("devices").query("kind != 'heat_pump'")["requested_kwh"].to_numpy() for run in runs.values()
    ]
    for other in (1, 2):
        np.testing.assert_array_equal(base[0], base[other])
        np.testing.assert_array_equal(arrivals[0], arrivals[other])


def test_the_power_of_the_limit_is_that_of_its_members_and_what_the_meter_saw(folder: Path) -> None:
    consensus = Results.load(folder).runs["consensus"]
    members = consensus.table("households").groupby("time", observed=True)["p_kw"].sum().to_numpy()
    limits = consensus.table("limits")
    losses = limits["p_kw"].to_numpy() - members
    assert (losses > 0.0).all()  # the transformer carries its homes' power and the losses behind it
    assert (losses < 0.1 * members).all()
    # the meter's offset is what the last step's AC solution showed
    np.testing.assert_allclose(limits["offset_kw"].to_numpy()[1:], losses[:-1], rtol=1e-9)


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    run(small("controllers=['consensus']"), out=tmp_path / "again")
    for table in TABLES:
        again = (tmp_path / "again" / "consensus" / f"{table}.parquet").read_bytes()
        assert again == (folder / "consensus" / f"{table}.parquet").read_bytes(), table


@pytest.mark.parametrize("solver", ["auto", "pandapower"])
def test_a_controller_does_not_see_who_ran_before_it(tmp_path: Path, solver: str) -> None:
    written = []
    for before in ([], ["uncontrolled"]):
        out = tmp_path / f"after {before}"
        asked = (f"controllers={[*before, 'consensus']}", f"power_flow.solver={solver}", "time.hours=1")
        run(small(*asked), out=out, report=False)
        written.append({path.name: path.read_bytes() for path in (out / "consensus").glob("*.parquet")})
    assert written[0] == written[1]
    assert set(TABLES) <= {Path(name).stem for name in written[0]}


def test_another_seed_gives_another_evening(folder: Path, tmp_path: Path) -> None:
    run(small("controllers=['uncontrolled']", "seed=2"), out=tmp_path / "other")
    other = (tmp_path / "other" / "uncontrolled" / "households.parquet").read_bytes()
    assert other != (folder / "uncontrolled" / "households.parquet").read_bytes()


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, shipped("scenarios") / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_mosaik_script_gives_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    script("cold_evening").main(folder=tmp_path / "script", overrides=SMALL)
    for table in set(TABLES) - {"grid"}:  # the script compares no steps with a plain power flow
        by_script = (tmp_path / "script" / f"{table}.parquet").read_bytes()
        assert by_script == (folder / "consensus" / f"{table}.parquet").read_bytes(), table


def test_a_limit_below_the_inflexible_load_is_run_and_said_first(tmp_path: Path) -> None:
    results = run(
        small("feeder.limit_share=0.01", "controllers=['consensus']", "time.hours=1"), out=tmp_path / "tight"
    )
    assert "the inflexible load alone exceeds the limit" in results.warnings[0]
    page = (tmp_path / "tight" / "report.html").read_text(encoding="utf-8")
    assert "the inflexible load alone exceeds the limit" in page
    assert page.index("the inflexible load alone exceeds") < page.index("Peak loading")


def test_a_power_flow_without_solution_keeps_what_there_is_and_is_marked(tmp_path: Path) -> None:
    scenario = small("homes.mean_annual_kwh=3e6", "controllers=['uncontrolled']")
    with pytest.raises(PowerFlowError, match=r"Feeder schutterwald:13, step \d+ \(.*\)"):
        run(scenario, out=tmp_path / "broken")
    assert not (tmp_path / "broken").exists()
    left = Results.load(tmp_path / "broken.partial")
    assert left.runs["uncontrolled"].status == "failed"
    assert not left.complete


def test_a_foreign_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work", encoding="utf-8")
    from grid_cosim.errors import ResultsError

    with pytest.raises(ResultsError, match="is not a results folder"):
        run(small("controllers=['uncontrolled']"), out=tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text(encoding="utf-8") == "years of work"


def test_the_simbench_village_runs(tmp_path: Path) -> None:
    """Its other loads and photovoltaics follow their series; the background is no part of any member."""
    scenario = load_scenario("simbench_rural.toml", ["time.hours=1", "controllers=['consensus']"])
    results = run(scenario, out=tmp_path / "village")
    consensus = results.runs["consensus"]
    assert len(consensus.table("limits")) == 4
    assert set(consensus.table("devices")["kind"].unique()) == {"electric_vehicle", "heat_pump", "deferrable"}
    assert "SimBench" in results.provenance["licences"]["network"]
