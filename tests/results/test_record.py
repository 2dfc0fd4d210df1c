"""Levels of detail: less on disk, the same KPIs; what is reckoned as the run goes is what the rows give."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_cosim import Results, plots
from grid_cosim.metrics import KPIS, kpis
from grid_cosim.plots.feeder_map import UNKNOWN
from grid_cosim.plots.thinning import blocks, thinned
from grid_cosim.report import build_report
from grid_cosim.report.reading import reading, warnings
from grid_cosim.results import TABLES, Record, Run, RunWriter
from grid_cosim.results.tables import RECORDED, SUMMARY_OF
from tests.results.builders import synthetic_results

LESS = {
    "nothing but totals": Record("none", "none", "none", "none", "none", "none"),
    "summaries": Record("summary", "summary", "summary", "summary", "summary", "none"),
    "every fifth": Record(every=5),
}


@pytest.fixture(scope="module")
def results() -> Results:
    return synthetic_results(controllers=("uncontrolled", "consensus"), n_steps=97)


def recorded(results: Results, folder: Path, record: Record) -> Results:
    """The results as runs that were written step by step."""
    results.describe(folder)
    for controller, run in results.runs.items():
        writer = RunWriter(folder / controller, record)
        by_time = {
            name: dict(list(table.groupby("time"))) for name, table in run.tables.items() if name in RECORDED
        }
        for when in run.tables["limits"]["time"].unique():
            for name in RECORDED:
                if name in by_time:
                    rows = by_time[name][when].drop(columns="time")
                    writer.append(name, {"time": when} | {c: rows[c].to_numpy() for c in rows})
        writer.finish("complete", wall_time_s=run.wall_time_s)
    return Results.load(folder)


@pytest.fixture(scope="module")
def whole(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return recorded(results, tmp_path_factory.mktemp("whole"), Record())


def test_the_same_kpis_whether_reckoned_as_the_run_goes_or_from_the_rows(results: Results, whole: Results):
    # bit for bit: both ways sum the same numbers in the same order
    assert str(kpis(whole)) == str(kpis(results))
    for name, run in whole.runs.items():
        for table in ("totals", *SUMMARY_OF.values()):
            pd.testing.assert_frame_equal(
                run.table(table), results.runs[name].table(table), check_categorical=False, check_dtype=False
            )


def test_a_folder_without_totals_is_read_row_group_by_row_group(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As folders of earlier versions; steps lie across the borders of row groups."""
    for module in ("parquet", "writer"):
        monkeypatch.setattr(f"grid_cosim.results.{module}.ROW_GROUP_ROWS", 100)
    back = recorded(results, tmp_path, Record())
    for path in [*tmp_path.glob("*/totals.parquet"), *tmp_path.glob("*/*_summary.parquet")]:
        path.unlink()
    old = Results.load(tmp_path)
    assert old.runs["consensus"].started
    assert str(kpis(old)) == str(kpis(back)) == str(kpis(results))
    assert warnings(old) == warnings(results)


@pytest.mark.parametrize("record", LESS.values(), ids=LESS)
def test_kpis_do_not_depend_on_the_detail(whole: Results, tmp_path: Path, record: Record):
    less = recorded(whole, tmp_path, record)
    assert str(kpis(less)) == str(kpis(whole))
    for name in whole.runs:
        pd.testing.assert_frame_equal(less.runs[name].table("totals"), whole.runs[name].table("totals"))
        if record.limits != "none":
            assert reading(less, name, kpis(less)) == reading(whole, name, kpis(whole))


def test_what_is_written_is_what_was_asked_for(whole: Results, tmp_path: Path):
    record = Record(households="none", devices="summary", lines="summary", agreement="none", every=4)
    run = recorded(whole, tmp_path, record).runs["consensus"]
    absent = {"households", "household_summary", "devices", "lines", "agreement"}
    assert set(run.tables) == set(TABLES) - absent
    full = whole.runs["consensus"]
    times = full.table("totals")["time"]
    assert run.table("buses")["time"].unique().tolist() == times.iloc[::4].tolist()
    for table in ("limits", "grid", "totals"):
        assert run.n_rows(table) == full.n_rows(table)
    for table in ("device_summary", "line_summary", "bus_summary"):
        pd.testing.assert_frame_equal(run.table(table), full.table(table))


@pytest.mark.parametrize("record", LESS.values(), ids=LESS)
def test_a_page_of_less_says_what_is_missing(whole: Results, tmp_path: Path, record: Record):
    page = build_report(recorded(whole, tmp_path, record))
    assert ("Not recorded in this run" in page) == (record.every == 1)
    assert ("The limits' rows were not recorded" in page) == (record.limits != "all")
    assert ("Each moment shows the worst of 1.25 h" in page) == (record.every == 5)


def test_a_map_of_every_fifth_step_has_no_gaps(whole: Results, tmp_path: Path):
    frames = plots.map_frames(recorded(whole, tmp_path, Record(every=5)))
    assert frames.steps_each == 5
    for of_run in (frames.line_loading, frames.home_voltage, frames.limit_loading):
        assert all((values != UNKNOWN).all() for values in of_run.values())


def test_blocks_of_steps_keep_their_extremes(whole: Results):
    on = blocks(whole, most=20)
    run, homes = whole.runs["consensus"], whole.topology.homes["bus"].tolist()
    asked = {"vm_pu": "min", "p_kw": "max"}
    worst = thinned(run, "buses", asked, [*homes, homes[0]], on)  # two homes at one bus
    rows = run.table("buses").assign(block=on.of(run.table("buses")["time"].to_numpy()))
    assert (on.steps_each, rows["block"].nunique()) == (5, 20)
    for column, how in asked.items():
        by_block = rows.pivot_table(index="block", columns="bus", values=column, aggfunc=how, observed=True)
        np.testing.assert_array_equal(worst[column], by_block[[*homes, homes[0]]].to_numpy())


def test_summaries_are_those_of_a_groupby(whole: Results):
    run = whole.runs["uncontrolled"]
    devices, lines, buses = (run.table(name) for name in ("devices", "lines", "buses"))
    by_device = devices.groupby("device", observed=True)
    summary = run.table("device_summary").set_index("device")
    for column in ("served_kwh", "unserved_kwh", "cost_eur"):
        np.testing.assert_allclose(summary[column], by_device[column].sum()[summary.index])
    np.testing.assert_array_equal(
        summary["temperature_min_c"], by_device["temperature_c"].min()[summary.index]
    )
    np.testing.assert_array_equal(summary["owed_kwh"], by_device["owed_kwh"].last()[summary.index])
    assert summary["household"].tolist() == by_device["household"].first()[summary.index].tolist()

    worst = lines.loc[lines.groupby("line", observed=True)["loading_percent"].idxmax()].set_index("line")
    of_line = run.table("line_summary").set_index("line")
    np.testing.assert_array_equal(of_line["loading_max_percent"], worst["loading_percent"][of_line.index])
    assert of_line["loading_max_time"].tolist() == worst["time"][of_line.index].tolist()
    lowest = buses.loc[buses.groupby("bus", observed=True)["vm_pu"].idxmin()].set_index("bus")
    of_bus = run.table("bus_summary").set_index("bus")
    np.testing.assert_array_equal(of_bus["vm_min_pu"], lowest["vm_pu"][of_bus.index])
    assert of_bus["vm_min_time"].tolist() == lowest["time"][of_bus.index].tolist()


# at, just below and just above the limit, and anything
LOADING = st.sampled_from([79.99, 80.0, 80.01, float("nan")]) | st.floats(0, 300)


@settings(max_examples=30, deadline=None)
@given(loading=st.lists(st.lists(LOADING, min_size=3, max_size=3), min_size=1, max_size=8))
def test_the_peak_of_the_totals_is_that_of_the_rows(loading: list[list[float]], tmp_path_factory):
    writer = RunWriter(tmp_path_factory.mktemp("run"), LESS["nothing but totals"])
    unknown = {name: column.unknown for name, column in TABLES["limits"].items()}
    for step, values in enumerate(loading):
        told = {"time": np.datetime64("2016-01-01") + np.timedelta64(step, "h"), "limit": ["A", "B", "C"]}
        told |= {"loading_percent": values, "limit_percent": 80.0, "p_kw": 1.0, "counts": True}
        writer.append("limits", unknown | told)
    writer.finish("complete")
    totals = pd.read_parquet(writer.folder / "totals.parquet")
    rows = np.array(loading)
    above = np.nan_to_num(rows) > 80.0
    assert totals["limits_above"].tolist() == above.sum(axis=1).tolist()
    assert totals["excess_kw"].sum() == pytest.approx((1.0 - 80.0 / rows[above]).sum())
    known = rows[~np.isnan(rows)]
    peak = 100.0 * known.max() / 80.0 if known.size else np.nan
    assert totals["peak_of_limit_percent"].max() == pytest.approx(peak, nan_ok=True)


def test_home_names_may_come_in_any_order_and_appear_later(tmp_path: Path):
    """As from several simulators: a summary is by name, not by row."""
    writer = RunWriter(tmp_path)
    for step, (buses, vm_pu) in enumerate(
        [(["B", "A"], [0.9, 1.0]), (["A", "B"], [0.95, 1.1]), (["C", "A"], [1.2, 1.3])]
    ):
        when = np.datetime64("2016-01-01") + np.timedelta64(step, "h")
        writer.append("buses", {"time": when, "bus": buses, "vm_pu": vm_pu, "p_kw": 0.0})
    writer.finish("complete")
    summary = pd.read_parquet(tmp_path / "bus_summary.parquet").set_index("bus")
    assert summary["vm_min_pu"].round(6).to_dict() == {"B": 0.9, "A": 0.95, "C": 1.2}
    assert summary["vm_max_time"].dt.hour.to_dict() == {"B": 1, "A": 2, "C": 2}


def test_every_kpi_of_a_run_has_its_source_in_the_totals(whole: Results):
    """Nothing else is read, so that none of it needs to be recorded."""
    run = whole.runs["consensus"]
    alone = Run({name: run.table(name) for name in ("totals", "grid")}, wall_time_s=run.wall_time_s)
    values = kpis(dataclasses.replace(whole, runs={"consensus": alone}))["consensus"]
    assert str(values) == str(kpis(whole)["consensus"])
    assert set(values) == set(KPIS)
