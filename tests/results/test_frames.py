"""Tables by time and element: index, units, rows and columns that were asked for, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from grid_cosim import GridCosimError, Results
from grid_cosim.errors import ResultsError, UnknownNameError
from grid_cosim.results import TABLES, Run, parquet
from grid_cosim.results.frames import element_of
from tests.results.builders import street_topology, synthetic_results

QUARTER = pd.Timedelta(minutes=15)
NOON = pd.Timestamp("2016-01-19 12:00")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two transformers with four homes each, eight steps; tables of several row groups."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP_ROWS", 5)
        return synthetic_results(street_topology(2, 4), n_steps=8).save(
            tmp_path_factory.mktemp("frames") / "out"
        )


@pytest.fixture(scope="module")
def results(folder) -> Results:
    return Results.load(folder)


def raw(results: Results, name: str, controller: str = "consensus") -> pd.DataFrame:
    return results.runs[controller].table(name)


@pytest.mark.parametrize("name", ["households", "devices", "agreement", "totals", "bus_summary"])
def test_a_second_load_gives_equal_tables(folder, results, name):
    pd.testing.assert_frame_equal(Results.load(folder).table(name), results.table(name))


def test_a_table_of_a_row_per_step_has_times_with_their_frequency(results):
    totals = results.table("totals", "consensus")
    assert isinstance(totals.index, pd.DatetimeIndex)
    assert (totals.index.name, totals.index.freq, totals.index[0]) == ("time", QUARTER, NOON)
    assert list(totals.columns) == [name for name in TABLES["totals"] if name != "time"]
    np.testing.assert_array_equal(totals["p_kw"], raw(results, "totals")["p_kw"])


def test_a_long_table_is_by_time_and_element_and_can_be_sliced_by_words(results):
    limits = results.table("limits", "consensus")
    assert limits.index.names == ["time", "limit"]
    assert limits.index.levels[0].freq == QUARTER
    stored = raw(results, "limits").query("limit == 'Trafo-1'").set_index("time")["p_kw"]
    of_one = limits.xs("Trafo-1", level="limit")["p_kw"]
    assert of_one.index.freq == QUARTER
    np.testing.assert_array_equal(of_one, stored)
    assert len(limits.loc["2016-01-19 12:30":"2016-01-19 13:00"]) == 3 * 2
    assert limits.loc[("2016-01-19 12:30", "Trafo-1"), "p_kw"] == stored.iloc[2]


def test_all_controllers_stand_one_after_the_other(results):
    limits = results.table("limits")
    assert limits.index.names == ["controller", "time", "limit"]
    assert list(limits.index.levels[0]) == list(results.controllers)
    for controller in results.controllers:
        pd.testing.assert_frame_equal(limits.loc[controller], results.table("limits", controller))


def test_a_summary_is_by_element(results):
    devices = results.table("device_summary", "consensus")
    assert devices.index.name == "device"
    assert devices.loc["Ev-Household-3", "household"] == "Household-3"


def test_a_table_that_was_written_by_kind_comes_back_by_time(results):
    devices = results.table("devices", "consensus", columns=["kind", "owed_kwh"])
    assert devices.index.get_level_values("time").is_monotonic_increasing
    stored = raw(results, "devices").astype({"device": object}).set_index(["time", "device"])["owed_kwh"]
    assert not stored.index.get_level_values("time").is_monotonic_increasing
    pd.testing.assert_series_equal(devices["owed_kwh"].sort_index(), stored.sort_index())
    assert devices["kind"].dtype == "category"


def test_units_go_with_the_table(results):
    assert results.table("buses", "consensus", columns=["vm_pu"]).attrs["units"] == {"vm_pu": "pu"}
    assert results.series("limits", "loading_percent").attrs["units"] == {"loading_percent": "%"}
    assert results.columns("limits").loc["loading_percent", "unit"] == "%"


def test_rows_from_the_start_on_and_before_the_end(results):
    part = results.table("limits", "consensus", start="2016-01-19 12:30", end="2016-01-19 13:00")
    assert list(part.index.levels[0]) == [NOON + 2 * QUARTER, NOON + 3 * QUARTER]
    assert len(part) == 2 * 2


def test_rows_of_some_elements_or_with_a_value(results):
    one = results.table("limits", "consensus", columns=["p_kw"], where={"limit": "Trafo-0"})
    assert set(one.index.get_level_values("limit")) == {"Trafo-0"}
    assert list(one.columns) == ["p_kw"]
    cars = results.table("devices", columns=["p_kw"], where={"kind": "electric_vehicle"})
    assert len(cars) == 3 * 8 * 8
    assert list(cars.columns) == ["p_kw"]
    two = results.table("households", where={"household": ["Household-1", "Household-6"]})
    assert len(two) == 3 * 8 * 2


def test_of_what_is_not_asked_for_nothing_is_read(results, monkeypatch):
    asked = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda file, group, columns: asked.append(columns) or read(file, group, columns=columns),
    )
    results.table("limits", "consensus", columns=["p_kw"], where={"saturated": False})
    assert len(asked) == 4  # 16 rows, 5 at a time
    assert {tuple(columns) for columns in asked} == {("time", "limit", "p_kw", "saturated")}


def test_a_series_has_a_column_per_controller_and_element(results):
    wide = results.series("limits", "loading_percent")
    assert wide.shape == (8, 3 * 2)
    assert wide.columns.names == ["controller", "limit"]
    assert wide.index.freq == QUARTER
    stored = raw(results, "limits", "independent").set_index(["time", "limit"])["loading_percent"]
    for when, limit in stored.index:
        assert wide.loc[when, ("independent", limit)] == stored[when, limit]


def test_levels_that_were_picked_are_left_out_of_a_series(results):
    of_one = results.series("limits", "loading_percent", "consensus")
    assert (of_one.columns.name, list(of_one.columns)) == ("limit", ["Trafo-0", "Trafo-1"])
    by_controller = results.series("limits", "loading_percent", where={"limit": "Trafo-0"})
    assert list(by_controller.columns) == list(results.controllers)
    assert by_controller["consensus"].equals(of_one["Trafo-0"])
    single = results.series("limits", "loading_percent", "consensus", where={"limit": "Trafo-0"})
    assert list(single.columns) == ["consensus"]
    assert list(results.series("totals", "p_kw").columns) == list(results.controllers)


def test_a_series_has_gaps_where_a_run_has_no_rows(results):
    cut = results.runs["consensus"]
    tables = {"totals": cut.table("totals").iloc[:3], "grid": cut.table("grid").iloc[:3]}
    early = dataclasses.replace(results, runs={**results.runs, "consensus": Run(tables, "interrupted")})
    wide = early.series("totals", "messages")
    assert wide["consensus"].notna().tolist() == [True] * 3 + [False] * 5
    assert early.series("grid", "converged", "consensus").dtypes.tolist() == [np.dtype(bool)]


def test_times_that_are_not_regular_have_no_frequency(results):
    rows = raw(results, "totals").iloc[[0, 1, 3]]
    odd = dataclasses.replace(results, runs={"consensus": Run({"totals": rows})})
    assert odd.table("totals", "consensus").index.freq is None


def test_a_run_that_never_started_has_empty_tables(results):
    none = dataclasses.replace(results, runs={"consensus": Run({}, "interrupted")})
    assert none.table("limits", "consensus").index.names == ["time", "limit"]
    assert len(none.table("limits", where={"limit": "Trafo-0"})) == 0
    assert none.series("limits", "p_kw").shape == (0, 0)
    assert "no step was reached" in repr(none)


def test_whoever_reads_tables_does_not_wait_for_what_simulates_or_draws(folder):
    heavy = ["bokeh", "matplotlib", "mosaik", "pandapower", "scipy", "torch"]
    code = (
        "import sys; from grid_cosim import Results; "
        f"Results.load({str(folder)!r}).kpis(); print([name for name in {heavy} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.table("limit"), "No table named 'limit'. Did you mean 'limits'"),
        (lambda r: r.columns("bus"), "No table named 'bus'. Did you mean 'buses'?"),
        (lambda r: r.runs["consensus"].table("limit"), "No table named 'limit'. Did you mean 'limits'"),
        (
            lambda r: r.table("limits", "concensus"),
            "No controller named 'concensus' in these results. Did you mean 'consensus'?",
        ),
        (
            lambda r: r.series("limits", "loading"),
            "No column named 'loading' in the table 'limits'. Did you mean",
        ),
        (lambda r: r.table("limits", where={"bus": 1}), "No column named 'bus' in the table 'limits'"),
        (
            lambda r: r.table("limits", where={"limit": "Trafo-9"}),
            "No limit named 'Trafo-9' in 'limits'. Did you mean 'Trafo-1' or 'Trafo-0'?",
        ),
        (lambda r: r.series("devices", "kind"), "holds no numbers"),
        (lambda r: r.series("limit_summary", "steps_above"), "one row per limit"),
        (lambda r: r.table("limit_summary", start="2016"), "no start, no end"),
        (lambda r: r.table("limits", start="soon"), "start: 'soon' is not a time"),
        (lambda r: r.table("limits", end="NaT"), "end: 'NaT' is not a time"),
        (lambda r: r.table("limits", end="2016-01-19T12:00Z"), "has a time zone"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(results, ask, message):
    with pytest.raises(GridCosimError) as refused:
        ask(results)
    assert message in str(refused.value)


def test_names_that_do_not_fit_a_message_are_counted():
    assert str(UnknownNameError("limit", "x", map(str, range(100)))).endswith("15 and 84 more.")


def test_a_column_that_an_earlier_version_did_not_write_is_said_to_be_missing(results):
    old = Run({"limits": raw(results, "limits").drop(columns="saturated")})
    older = dataclasses.replace(results, runs={"consensus": old})
    assert "saturated" not in older.table("limits")
    with pytest.raises(ResultsError, match="without the column 'saturated'"):
        older.table("limits", where={"saturated": True})


def test_every_table_but_those_of_whole_steps_is_about_elements():
    assert {name for name in TABLES if element_of(name) is None} == {"grid", "totals"}


def test_the_overview_counts_rows(results):
    rows = results.tables()
    assert rows.loc["households"].tolist() == [64] * 3
    assert rows.loc["agreement"].tolist() == [0, 0, 16]


def test_results_say_what_they_are(results):
    told = repr(results)
    assert told.splitlines()[0] == "Results: A cold evening"
    for fact in (
        "Tue 19 Jan 2016 12:00 to Tue 19 Jan 2016 14:00, 8 steps of 15 min",
        "8 homes, 2 limits",
        "uncontrolled, independent, consensus",
        "complete",
        "seed 0",
    ):
        assert fact in told
        assert fact in results._repr_html_()


def test_what_stands_in_a_notebook_is_escaped(results):
    odd = dataclasses.replace(results, warnings=("a < b", "c"))
    assert "a &lt; b (and 1 more)" in odd._repr_html_()
    failed = Run({}, "failed", "it <broke>")
    assert "consensus failed (it <broke>)" in repr(dataclasses.replace(odd, runs={"consensus": failed}))
