"""The tables of a run: one registry of columns, units and meanings, and the one way to read and write them.

Bytes are a function of the rows alone: no timestamps, no pandas metadata, fixed compression and row groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grid_cosim.errors import ResultsError

ROW_GROUP_ROWS = 200_000
"""Rows per Parquet row group: what a streaming writer holds in memory at most, per table."""

_TIME = pa.timestamp("ms")
_NAME = pa.dictionary(pa.int32(), pa.string())
_FLOAT = pa.float64()
_SINGLE = pa.float32()  # one value per element of the network and step: seven digits, half the folder
_COUNT = pa.int64()
_FLAG = pa.bool_()


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    dtype: Any
    """Its Arrow type, as stored."""
    unit: str
    """Its unit; empty where it has none."""
    meaning: str
    """What it says, for the documentation and the schema's metadata."""

    @property
    def unknown(self) -> Any:
        """What stands where nobody knows: nothing was counted or seen, and no number is a number."""
        return {_COUNT: 0, _FLAG: False}.get(self.dtype, np.nan)


def _table(**columns: Column) -> Mapping[str, Column]:
    """Put the time that every table has in front."""
    time = Column(_TIME, "", "start of the control step, local time without a zone")
    return MappingProxyType({"time": time, **columns})


TABLES: Mapping[str, Mapping[str, Column]] = MappingProxyType(
    {
        "households": _table(
            household=Column(_NAME, "", "the household"),
            p_kw=Column(_FLOAT, "kW", "net power, consumption positive"),
            base_kw=Column(_FLOAT, "kW", "its inflexible part"),
            flex_kw=Column(_FLOAT, "kW", "its flexible part, the devices"),
            tariff_eur_per_kwh=Column(_FLOAT, "EUR/kWh", "what energy cost"),
            price_eur_per_kwh=Column(_FLOAT, "EUR/kWh", "local congestion price that its devices acted on"),
        ),
        "devices": _table(
            device=Column(_NAME, "", "the device"),
            kind=Column(_NAME, "", "kind of device, such as electric_vehicle"),
            household=Column(_NAME, "", "the household that owns it"),
            p_kw=Column(_FLOAT, "kW", "power, consumption positive"),
            requested_kwh=Column(
                _FLOAT,
                "kWh",
                "electricity newly asked for in this step; negative for photovoltaics, which ask to feed in",
            ),
            due_kwh=Column(_FLOAT, "kWh", "energy whose deadline is settled in this step"),
            served_kwh=Column(_FLOAT, "kWh", "energy delivered in this step, what was fed in negative"),
            unserved_kwh=Column(_FLOAT, "kWh", "of the energy due, what was not delivered"),
            owed_kwh=Column(_FLOAT, "kWh", "energy still owed after the step"),
            age_h=Column(_FLOAT, "h", "age of the oldest energy still owed"),
            temperature_c=Column(_FLOAT, "°C", "indoor temperature after the step, where the device has one"),
            too_cold_kelvin_hours=Column(_FLOAT, "K·h", "time below the comfort band, weighted by how far"),
            cost_eur=Column(
                _FLOAT, "EUR", "delay, discomfort and undelivered energy, without energy and price"
            ),
            terminal_cost_eur=Column(
                _FLOAT, "EUR", "what the state left at the end costs; 0 before the last step"
            ),
            terminal_cost_without_energy_eur=Column(
                _FLOAT, "EUR", "its part that is delay, discomfort and undelivered energy; never negative"
            ),
        ),
        "limits": _table(
            limit=Column(_NAME, "", "the limited element"),
            p_kw=Column(_FLOAT, "kW", "what the element carries in the AC solution, consumption positive"),
            loading_percent=Column(_FLOAT, "%", "AC loading of the element, of its rating"),
            limit_percent=Column(_FLOAT, "%", "AC loading that counts as the limit"),
            limit_kw=Column(_FLOAT, "kW", "what the element can carry, as its meter estimated it"),
            offset_kw=Column(
                _FLOAT, "kW", "what it carried beyond its members when it was measured; no node knows it"
            ),
            base_kw=Column(_FLOAT, "kW", "inflexible power of its members"),
            price_mean_eur_per_kwh=Column(
                _FLOAT, "EUR/kWh", "congestion price, mean over the members' copies"
            ),
            price_min_eur_per_kwh=Column(
                _FLOAT, "EUR/kWh", "congestion price, smallest of the members' copies"
            ),
            price_max_eur_per_kwh=Column(
                _FLOAT, "EUR/kWh", "congestion price, largest of the members' copies"
            ),
            messages=Column(
                _COUNT, "", "messages between members in this step, one per directed edge and round"
            ),
            message_bytes=Column(_COUNT, "B", "their size, at 8 bytes per number"),
            rounds=Column(_COUNT, "", "rounds of messages in this step, one after the other"),
            saturated=Column(
                _FLAG,
                "",
                "whether a member's copy stood at the largest price and still saw the limit exceeded",
            ),
            consensus_error_eur_per_kwh=Column(
                _FLOAT,
                "EUR/kWh",
                "root mean square of all copies of the congestion price, the meter's included, about their "
                "mean; NaN where nothing was negotiated",
            ),
        ),
        "agreement": _table(
            limit=Column(_NAME, "", "the limited element"),
            mixing_rate=Column(_FLOAT, "", "σ of the limit's graph: what a plain round leaves at most"),
            contraction=Column(
                _FLOAT,
                "",
                "what the rounds of one exchange, here the last, leave of a disagreement at most; 1 where "
                "links may fail: nothing is promised",
            ),
            drift_eur_per_kwh=Column(
                _FLOAT,
                "EUR/kWh",
                "root mean square about their mean of the moves that nodes make before they talk, largest "
                "iteration; `gradient` only",
            ),
            asked_excess_kw=Column(
                _FLOAT,
                "kW",
                "by how much the demand at each iteration's prices exceeds the limit, mean over the "
                "iterations; `gradient` only",
            ),
            excess_bound_kw=Column(
                _FLOAT, "kW", "its bound, which holds for their means over time; `gradient` only"
            ),
            estimate_error_kw=Column(
                _FLOAT,
                "kW",
                "root mean square error of the nodes' estimates of the excess over the limit, at the price "
                "where it is largest; `curve` and `newton` only",
            ),
            estimate_bound_kw=Column(
                _FLOAT, "kW", "what the rounds may leave of it at most; `curve` and `newton` only"
            ),
        ),
        "lines": _table(
            line=Column(_NAME, "", "the line"),
            loading_percent=Column(_SINGLE, "%", "AC loading of the line, of its rating"),
            p_kw=Column(_SINGLE, "kW", "active power into its from side"),
        ),
        "buses": _table(
            bus=Column(_NAME, "", "the bus"),
            vm_pu=Column(_SINGLE, "pu", "voltage magnitude"),
            p_kw=Column(_SINGLE, "kW", "net power taken at the bus, consumption positive"),
        ),
        "grid": _table(
            converged=Column(_FLAG, "", "whether the AC power flow converged"),
            iterations=Column(_COUNT, "", "iterations of the AC power flow"),
            losses_kw=Column(_FLOAT, "kW", "active losses of the network"),
            slack_p_kw=Column(_FLOAT, "kW", "active power that the external grid supplies"),
            ac_check_dv_pu=Column(
                _FLOAT, "pu", "largest voltage difference to a plain power flow; NaN: not checked"
            ),
        ),
    }
)
"""Table name → column name → what it is. Every table begins with `time`."""


def schema(table: str) -> Any:
    """The Arrow schema of a table; every field carries its `unit` and `meaning` as metadata."""
    fields = [
        pa.field(name, column.dtype, metadata={"unit": column.unit, "meaning": column.meaning})
        for name, column in columns_of(table).items()
    ]
    return pa.schema(fields, metadata={"table": table, "producer": "grid_cosim"})


def columns_of(table: str) -> Mapping[str, Column]:
    """The columns of a table; a table that is not in `TABLES` is our mistake."""
    assert table in TABLES, f"no table named {table!r}; there are {', '.join(TABLES)}"
    return TABLES[table]


def to_arrow(table: str, columns: Mapping[str, Any]) -> Any:
    """Turn whole columns into an Arrow table of the registered schema.

    Names are dictionary-encoded in order of appearance, so the same rows always give the same bytes.
    """
    wanted = columns_of(table)
    assert set(columns) == set(wanted), (
        f"{table}: columns {sorted(set(columns) ^ set(wanted))} are missing or unknown"
    )
    return pa.table(
        [_to_array(columns[name], column.dtype) for name, column in wanted.items()], schema=schema(table)
    )


def _to_array(values: Any, dtype: Any) -> Any:
    if dtype == _NAME:
        plain = pa.array(np.asarray(values, dtype=object), type=pa.string())
        return plain.dictionary_encode().cast(_NAME)
    if dtype == _TIME:
        return pa.array(as_times(values))
    return pa.array(np.asarray(values, dtype=dtype.to_pandas_dtype()), from_pandas=False)


def as_times(values: Any) -> np.ndarray:
    """Times as `datetime64[ms]`; times with a zone are refused, since a run has local time only."""
    index = pd.DatetimeIndex(np.atleast_1d(np.asarray(values)) if np.ndim(values) == 0 else values)
    assert index.tz is None, "times are local times without a zone"
    return np.asarray(index.values, dtype="datetime64[ms]")


def open_parquet(path: Path, table: str) -> Any:
    """A Parquet writer with the settings that make bytes reproducible."""
    return pq.ParquetWriter(path, schema(table), compression="zstd", compression_level=3, version="2.6")


def write_table(path: Path, table: str, frame: pd.DataFrame) -> None:
    """Write a whole table to `path`, under a temporary name that is replaced in one go."""
    partial = path.with_name(path.name + ".partial")
    with open_parquet(partial, table) as writer:
        for rows in _row_groups(len(frame)):
            part = frame.iloc[rows]
            writer.write_table(to_arrow(table, {name: part[name] for name in frame.columns}))
    partial.replace(path)


def _row_groups(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, ROW_GROUP_ROWS):
        yield slice(start, min(start + ROW_GROUP_ROWS, n_rows))


def read_table(path: Path, table: str, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table, or some of its columns; names come back as categoricals, times as `datetime64[ms]`."""
    try:
        return pq.read_table(path, columns=columns).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(path, f"the table {table!r} cannot be read ({error})") from error


def empty_table(table: str) -> pd.DataFrame:
    """A table without rows, with the dtypes of a full one."""
    return schema(table).empty_table().to_pandas()
