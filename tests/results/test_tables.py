from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from grid_cosim.errors import ResultsError
from grid_cosim.results import TABLES, RunWriter, empty_table, read_table, write_table

TIMES = np.array(["2016-01-19T12:00", "2016-01-19T12:15", "2016-01-19T12:30"], dtype="datetime64[ms]")
HOMES = np.array(["Household-0", "Household-1"], dtype=object)


def _step(step: int) -> dict:
    return {
        "time": TIMES[step],
        "household": HOMES,
        "p_kw": np.array([1.0, 2.0]) + step,
        "base_kw": 0.5,
        "flex_kw": np.array([0.5, 1.5]) + step,
        "q_kvar": 0.2,
        "tariff_eur_per_kwh": 0.3,
        "price_eur_per_kwh": float("nan"),
    }


def _frame() -> pd.DataFrame:
    parts = [pd.DataFrame(_step(step) | {"time": np.repeat(TIMES[step], 2)}) for step in range(len(TIMES))]
    return pd.concat(parts, ignore_index=True)


def test_every_column_has_its_unit_and_meaning_in_the_file(tmp_path):
    for table, columns in TABLES.items():
        write_table(tmp_path / f"{table}.parquet", table, empty_table(table))
        stored = pq.read_schema(tmp_path / f"{table}.parquet")
        assert stored.names == list(columns)
        for field in stored:
            assert field.metadata[b"unit"].decode() == columns[field.name].unit
            assert field.metadata[b"meaning"]


def test_a_table_comes_back_as_it_went(tmp_path):
    write_table(tmp_path / "households.parquet", "households", _frame())
    back = read_table(tmp_path / "households.parquet", "households")
    assert back["time"].dtype == np.dtype("datetime64[ms]")
    assert back["household"].dtype == "category"
    pd.testing.assert_frame_equal(back.astype({"household": object}), _frame(), check_dtype=False)


def test_some_columns_can_be_read_alone(tmp_path):
    write_table(tmp_path / "households.parquet", "households", _frame())
    back = read_table(tmp_path / "households.parquet", "households", columns=["p_kw"])
    assert back.to_dict(orient="list") == {"p_kw": [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]}


@pytest.mark.parametrize("group_rows", [2, 3, 1000])
def test_streamed_rows_and_a_whole_table_give_the_same_bytes(tmp_path, monkeypatch, group_rows):
    for module in ("parquet", "writer"):
        monkeypatch.setattr(f"grid_cosim.results.{module}.ROW_GROUP_ROWS", group_rows)
    writer = RunWriter(tmp_path / "run")
    for step in range(len(TIMES)):
        writer.append("households", _step(step))
    writer.finish("complete", wall_time_s=1.0)
    write_table(tmp_path / "whole.parquet", "households", _frame())
    assert (tmp_path / "run" / "households.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_categories_left_over_from_elsewhere_do_not_change_the_bytes(tmp_path):
    frame = _frame()
    odd = frame.assign(household=pd.Categorical(frame["household"], categories=["Z", *HOMES[::-1]]))
    write_table(tmp_path / "plain.parquet", "households", frame)
    write_table(tmp_path / "odd.parquet", "households", odd)
    assert (tmp_path / "plain.parquet").read_bytes() == (tmp_path / "odd.parquet").read_bytes()


def test_an_unfinished_run_has_no_table_that_looks_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("grid_cosim.results.writer.ROW_GROUP_ROWS", 2)
    writer = RunWriter(tmp_path)
    writer.append("households", _step(0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["households.parquet.partial", "status.json"]
    writer.finish("failed", "power flow did not converge", 2.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "household_summary.parquet",
        "households.parquet",
        "status.json",
        "totals.parquet",
    ]
    assert len(read_table(tmp_path / "households.parquet", "households")) == 2


def test_arrays_may_be_reused_by_the_caller_after_append(tmp_path):
    step, power_kw = _step(0), np.array([1.0, 2.0])
    writer = RunWriter(tmp_path)
    writer.append("households", step | {"p_kw": power_kw})
    power_kw[:] = 99.0
    writer.finish("complete")
    assert read_table(tmp_path / "households.parquet", "households")["p_kw"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"extra": 1.0}, "extra"),
        ({"p_kw": np.ones(3), "flex_kw": np.ones(4)}, "rows where the other columns have"),
    ],
)
def test_columns_that_do_not_fit_are_refused_at_once(tmp_path, change, complaint):
    with pytest.raises(AssertionError, match=complaint):
        RunWriter(tmp_path).append("households", _step(0) | change)


def test_a_step_without_rows_is_no_rows(tmp_path):
    nothing = {name: np.empty(0) for name in TABLES["devices"]} | {"time": TIMES[0]}
    writer = RunWriter(tmp_path)
    writer.append("devices", nothing)
    writer.finish("complete")
    assert not (tmp_path / "devices.parquet").exists()


def test_times_with_a_zone_are_refused(tmp_path):
    with pytest.raises(AssertionError, match="without a zone"):
        RunWriter(tmp_path).append("households", _step(0) | {"time": pd.Timestamp("2016-01-19", tz="UTC")})


def test_a_damaged_table_is_named(tmp_path):
    path = tmp_path / "households.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(ResultsError, match=r"households\.parquet: the table 'households' cannot be read"):
        read_table(path, "households")
