from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from grid_cosim import Results
from grid_cosim.metrics import KPIS, is_good, kpis, write_kpis
from grid_cosim.results import TABLES, Basis, Run
from tests.results.builders import street_topology, synthetic_results

TIMES = pd.to_datetime(["2016-01-19 18:00", "2016-01-19 18:15"])


def _table(name: str, **columns) -> pd.DataFrame:
    """A table with the given columns, zeros elsewhere."""
    n_rows = len(columns["time"])
    return pd.DataFrame({column: columns.get(column, np.zeros(n_rows)) for column in TABLES[name]})


@pytest.fixture
def results() -> Results:
    """Two steps of 15 min, two limits, two homes of which one has a heat pump."""
    tables = {
        "limits": _table(
            "limits",
            time=TIMES.repeat(2),
            limit=["Trafo-0", "Trafo-1"] * 2,
            p_kw=[100.0, -40.0, 120.0, 40.0],
            loading_percent=[50.0, 20.0, 100.0, 20.0],
            counts=[True] * 4,
            limit_percent=[80.0, 100.0, 80.0, 100.0],
            price_min_eur_per_kwh=[0.0, 0.0, 0.10, 0.0],
            price_max_eur_per_kwh=[0.0, 0.0, 0.30, 0.04],
            messages=[30, 10, 30, 10],
            message_bytes=[4800, 80, 4800, 80],
        ),
        "households": _table(
            "households",
            time=TIMES.repeat(2),
            p_kw=[4.0, 2.0, 6.0, 0.0],
            flex_kw=[3.0, 1.0, 5.0, 0.0],
            tariff_eur_per_kwh=[0.4, 0.4, 0.8, 0.8],
        ),
        "devices": _table(
            "devices",
            time=TIMES.repeat(2),
            kind=["electric_vehicle", "heat_pump"] * 2,
            household=["Household-0", "Household-1"] * 2,
            requested_kwh=[2.0, 0.25, 0.0, 0.5],
            due_kwh=[0.0, 0.0, 8.0, 0.0],
            unserved_kwh=[0.0, 0.0, 2.0, 0.0],
            owed_kwh=[5.0, 0.0, 1.5, 0.0],
            temperature_c=[np.nan, 19.0, np.nan, 18.5],
            too_cold_kelvin_hours=[0.0, 0.25, 0.0, 0.5],
            cost_eur=[0.5, 0.25, 0.25, 0.0],
            terminal_cost_eur=[0.0, 0.0, 1.0, 0.0],
            terminal_cost_without_energy_eur=[0.0, 0.0, 0.25, 0.0],
        ),
        "grid": _table(
            "grid", time=TIMES, ac_check_dv_pu=[np.nan, 2e-9], vm_min_pu=[0.95, 0.91], vm_max_pu=[1.02, 1.03]
        ),
    }
    topology = street_topology(2, 1)
    return Results({}, {}, Basis("x", 0.25), topology, {"consensus": Run(tables, wall_time_s=3.5)})


def test_every_kpi_on_a_table_small_enough_to_do_by_hand(results):
    assert kpis(results)["consensus"] == pytest.approx(
        {
            "peak_loading_percent": 125.0,  # 100 of 80
            "energy_above_limit_percent": 8.0,  # 120 · (1 − 80/100) of 100 + 40 + 120 + 40
            "lowest_voltage_pu": 0.91,
            "highest_voltage_pu": 1.03,
            "unserved_energy_percent": 25.0,  # 2 of 8
            "deferred_energy_kwh": 1.5,  # the last step's
            "cold_kelvin_hours_per_home": 0.75,  # one home has a heat pump
            "price_spread_eur_per_kwh": 0.12,  # 0.20 and 0.04
            "messages_per_home_per_step": 20.0,  # 80 over 2 homes and 2 steps
            "message_bytes_per_home_per_step": 2440.0,
            "flexibility_cost_eur": 2.1,  # 1 + 1 + 0.4 · (4 · 0.25 − 2.25) + 0.8 · (5 · 0.25 − 0.5)
            "total_cost_eur": 3.8,  # 1 + 1 + 0.4 · 6 · 0.25 + 0.8 · 6 · 0.25
            "total_cost_gap_percent": math.nan,  # there is no optimum to compare with
            "flexibility_cost_gap_percent": math.nan,
            "ac_check_max_dv_pu": 2e-9,
            "wall_time_s": 3.5,
        },
        rel=1e-12,
        nan_ok=True,
    )


def test_the_gap_is_what_a_run_costs_beyond_the_optimum(results):
    """The same tables but 0.8 kWh less in the first step, at 0.4 EUR/kWh; delay for 1.25 EUR."""
    tables = results.runs["consensus"].tables
    cheaper = tables["households"].copy()
    cheaper.loc[0, ["p_kw", "flex_kw"]] -= 3.2
    runs = {"consensus": Run(tables), "optimum": Run({**tables, "households": cheaper})}
    values = kpis(dataclasses.replace(results, runs=runs))
    assert values["consensus"]["total_cost_gap_percent"] == pytest.approx(100.0 * 0.32 / 3.48)
    assert values["consensus"]["flexibility_cost_gap_percent"] == pytest.approx(100.0 * 0.32 / 1.25)
    assert values["optimum"]["total_cost_gap_percent"] == 0.0


@pytest.mark.parametrize("stopped", ["consensus", "optimum"])
def test_a_run_that_stopped_early_has_no_gap(results, stopped):
    tables = results.runs["consensus"].tables
    runs = {
        name: Run(tables, "failed" if name == stopped else "complete") for name in ("consensus", "optimum")
    }
    values = kpis(dataclasses.replace(results, runs=runs))
    assert math.isnan(values["consensus"]["total_cost_gap_percent"])


def test_neither_energy_owed_nor_heat_in_store_enters_what_the_extra_cost_is_a_share_of(results):
    """Heat left above the set point is credited: that may be more than what waiting has cost."""
    tables = results.runs["consensus"].tables
    gaps = []
    for left_eur in (-2.0, -0.4, 5.0):
        other = tables["devices"].assign(terminal_cost_eur=left_eur)
        dearer = tables["households"].assign(p_kw=tables["households"]["p_kw"] + 1.0)
        runs = {
            "consensus": Run({**tables, "devices": other, "households": dearer}),
            "optimum": Run({**tables, "devices": other}),
        }
        gaps.append(
            kpis(dataclasses.replace(results, runs=runs))["consensus"]["flexibility_cost_gap_percent"]
        )
    assert gaps == pytest.approx([100.0 * 0.6 / 1.25] * 3)  # 1 kW in four rows of 15 min, at 0.4 and 0.8


def test_there_is_no_share_of_an_optimum_without_discomfort_or_delay(results):
    tables = results.runs["consensus"].tables
    free = tables["devices"].assign(cost_eur=0.0, terminal_cost_without_energy_eur=0.0)
    runs = {"consensus": Run(tables), "optimum": Run({**tables, "devices": free})}
    values = kpis(dataclasses.replace(results, runs=runs))
    assert values["consensus"]["total_cost_gap_percent"] > 0.0
    assert math.isnan(values["consensus"]["flexibility_cost_gap_percent"])


def test_what_does_not_apply_is_nan_and_null_in_the_file(results, tmp_path):
    tables = dict(results.runs["consensus"].tables) | {
        "devices": _table("devices", time=TIMES, temperature_c=[np.nan, np.nan]),
        "grid": _table("grid", time=TIMES, ac_check_dv_pu=[np.nan, np.nan]),
    }
    results = dataclasses.replace(results, runs={"consensus": Run(tables, wall_time_s=1.0), "mine": Run({})})
    values = kpis(results)
    absent = {name for name, value in values["consensus"].items() if math.isnan(value)}
    assert absent == {
        "unserved_energy_percent",
        "cold_kelvin_hours_per_home",
        "total_cost_gap_percent",
        "flexibility_cost_gap_percent",
        "ac_check_max_dv_pu",
    }
    assert all(math.isnan(value) for value in values["mine"].values())
    stored = json.loads(write_kpis(results, tmp_path).read_text())
    assert stored["consensus"]["cold_kelvin_hours_per_home"] is None
    assert stored["consensus"]["peak_loading_percent"] == 125.0
    assert list(stored["mine"]) == list(KPIS)


def test_a_step_without_a_solution_counts_nothing(results):
    limits = results.runs["consensus"].tables["limits"].copy()
    limits.loc[2:, ["p_kw", "loading_percent"]] = np.nan
    tables = dict(results.runs["consensus"].tables) | {"limits": limits}
    values = kpis(dataclasses.replace(results, runs={"consensus": Run(tables)}))["consensus"]
    assert (values["peak_loading_percent"], values["energy_above_limit_percent"]) == (62.5, 0.0)


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("peak_loading_percent", 101.0, True),
        ("peak_loading_percent", 101.1, False),
        ("cold_kelvin_hours_per_home", 3.05, True),
        ("cold_kelvin_hours_per_home", 3.15, False),
        ("total_cost_eur", 1.0, None),
        ("peak_loading_percent", math.nan, None),
    ],
)
def test_good_and_bad_are_told_apart_at_the_line(name, value, verdict):
    values = {"uncontrolled": {"cold_kelvin_hours_per_home": 3.0, name: 3.0}, "consensus": {name: value}}
    assert is_good(name, "consensus", values) is verdict


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("lowest_voltage_pu", 0.92, True),
        ("lowest_voltage_pu", 0.91, False),
        ("highest_voltage_pu", 1.07, True),
        ("highest_voltage_pu", 1.09, False),
        ("highest_voltage_pu", math.nan, None),
    ],
)
def test_a_voltage_is_good_inside_the_band_of_the_scenario(name, value, verdict):
    assert is_good(name, "consensus", {"consensus": {name: value}}, band=(0.915, 1.08)) is verdict


def test_only_flows_through_elements_are_loadings(results):
    """Not a voltage's share of the band."""
    rows = results.runs["consensus"].table("limits")
    rows.loc[rows["limit"] == "Trafo-1", ["loading_percent", "counts"]] = 300.0, False
    assert kpis(results)["consensus"]["peak_loading_percent"] == 125.0
    # of Trafo-0 alone: 120 · (1 - 80/100) of 100 + 120
    assert kpis(results)["consensus"]["energy_above_limit_percent"] == pytest.approx(100 * 24 / 220)


def test_without_an_uncontrolled_run_the_cold_counts_from_zero():
    assert (
        is_good("cold_kelvin_hours_per_home", "consensus", {"consensus": {"cold_kelvin_hours_per_home": 0.2}})
        is False
    )


@pytest.mark.parametrize("recorded", [True, False])
def test_a_folder_without_extremes_of_voltage_has_those_of_its_buses(recorded, tmp_path):
    """As folders were written before `grid` had these columns, with the table `buses` or without."""
    results = synthetic_results(controllers=("uncontrolled",), n_steps=8)
    vm_pu = results.runs["uncontrolled"].table("buses")["vm_pu"]
    folder = results.save(tmp_path / "old") / "uncontrolled"
    grid = pq.read_table(folder / "grid.parquet")
    pq.write_table(grid.drop_columns(["vm_min_pu", "vm_max_pu"]), folder / "grid.parquet")
    if not recorded:
        (folder / "buses.parquet").unlink()
    values = kpis(Results.load(tmp_path / "old"))["uncontrolled"]
    found = [values["lowest_voltage_pu"], values["highest_voltage_pu"]]
    expected = [vm_pu.min(), vm_pu.max()] if recorded else [math.nan, math.nan]
    assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)  # buses are stored with seven digits


def test_an_element_with_limits_both_ways_counts_once_against_the_limit_of_its_flow(results):
    """Trafo-1 is Trafo-0 the other way, its own limit at 100 %; a signal leaves 10 % of the forward one."""
    rows = results.runs["consensus"].table("limits")
    rows["p_kw"] = [-100.0, 100.0, 120.0, -120.0]
    rows["loading_percent"] = [-50.0, 50.0, 60.0, -60.0]
    rows["limit_percent"] = [10.0, 100.0, 80.0, 100.0]
    values = kpis(results)["consensus"]
    assert values["peak_loading_percent"] == 75.0  # 60 of 80, and 50 of 100 the other way
    assert values["energy_above_limit_percent"] == 0.0
    totals = results.runs["consensus"].table("totals")
    assert totals["carried_kw"].tolist() == [100.0, 120.0]
    assert totals["limits_above"].tolist() == [0, 0]


def test_only_a_flow_above_its_limit_is_beyond_every_controller(results):
    """The inflexible load is more than the meter estimates for all four rows."""
    rows = results.runs["consensus"].table("limits")
    rows["base_kw"], rows["limit_kw"] = 90.0, 80.0
    rows.loc[rows["limit"] == "Trafo-1", ["loading_percent", "counts"]] = 300.0, False  # a voltage
    summary = results.runs["consensus"].table("limit_summary").set_index("limit")
    assert summary["hopeless_steps"].to_dict() == {"Trafo-0": 1, "Trafo-1": 0}
    assert summary["hopeless_first"]["Trafo-0"] == TIMES[1]


def test_what_was_asked_for_is_of_the_kinds_that_ask_and_the_cost_of_flexibility_of_all(results):
    """A roof asks to feed in 3 kWh, and feeds in 2."""
    tables = dict(results.runs["consensus"].tables)
    devices = _table(
        "devices",
        time=TIMES.repeat(2),
        kind=["electric_vehicle", "pv"] * 2,
        household=["Household-0", "Household-1"] * 2,
        requested_kwh=[2.0, -1.0, 0.0, -2.0],
        served_kwh=[1.0, -1.0, 1.0, -1.0],
    )
    of_run = Run(tables | {"devices": devices})
    totals = of_run.table("totals")
    assert totals["asked_kwh"].tolist() == [2.0, 0.0]
    assert totals["served_kwh"].tolist() == [1.0, 1.0]
    assert totals["requested_kwh"].tolist() == [1.0, -2.0]
    values = kpis(dataclasses.replace(results, runs={"consensus": of_run}))["consensus"]
    # 0.4 · (4 · 0.25 - 1) + 0.8 · (5 · 0.25 + 2)
    assert values["flexibility_cost_eur"] == pytest.approx(2.6)
