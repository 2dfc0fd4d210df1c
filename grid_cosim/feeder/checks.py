"""What must hold in a net's tables before pandapower can make anything of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandapower.auxiliary import pandapowerNet

from grid_cosim.errors import FeederError

_BUSES = {
    "line": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "ext_grid": ("bus",),
    "gen": ("bus",),
    "load": ("bus",),
    "sgen": ("bus",),
    "storage": ("bus",),
}
_ABOVE_ZERO = {
    "bus": ("vn_kv",),
    "line": ("length_km",),
    "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent"),
}
_NUMBERS = {
    "line": ("r_ohm_per_km", "x_ohm_per_km"),
    "trafo": ("vkr_percent",),
    "ext_grid": ("vm_pu",),
    "load": ("p_mw", "q_mvar", "scaling"),
    "sgen": ("p_mw", "q_mvar", "scaling"),
    "storage": ("p_mw", "q_mvar", "scaling"),
}


class Fault(NamedTuple):
    """What is wrong with a value, or with a whole column."""

    table: str
    column: str
    row: object
    """pandapower index; None where the column is missing."""
    text: str


def check_tables(net: pandapowerNet, *, source: str) -> None:
    """Raise `FeederError` for elements in service at no bus, or without a value that the power flow needs."""
    problems = faults(net)
    if problems:
        more = f" (and {len(problems) - 1} more such)" if len(problems) > 1 else ""
        raise FeederError(
            source,
            problems[0].text + more,
            remedy="Correct the value, or take the element out of service",
        )


def faults(net: pandapowerNet) -> list[Fault]:
    """All such elements; where a column is missing, only that."""
    return [*_no_column(net)] or [*_nowhere(net), *_no_value(net)]


def _no_column(net: pandapowerNet) -> Iterator[Fault]:
    for wanted in (_BUSES, _ABOVE_ZERO, _NUMBERS):
        for table, columns in wanted.items():
            for column in columns:
                if len(net[table]) and column not in net[table].columns:
                    yield Fault(table, column, None, f"net.{table} has no column {column}")


def _nowhere(net: pandapowerNet) -> Iterator[Fault]:
    for table, columns in _BUSES.items():
        for column in columns:
            buses = _column(net, table, column)
            for index, bus in buses[~buses.isin(net.bus.index)].items():
                text = f"net.{table}, row {index}: {column} is {bus}, which is no bus"
                yield Fault(table, column, index, text)


def _no_value(net: pandapowerNet) -> Iterator[Fault]:
    for wanted, positive in ((_ABOVE_ZERO, True), (_NUMBERS, False)):
        for table, columns in wanted.items():
            for column in columns:
                given = _column(net, table, column)
                values = pd.to_numeric(given, errors="coerce").astype(float)
                bad = ~np.isfinite(values) | (positive & (values <= 0.0))
                for index, value in given[bad].items():
                    expected = "a number above 0" if positive else "a number"
                    got = f"{value:g}" if isinstance(value, int | float) else repr(value)
                    text = f"net.{table}, row {index}: {column} is {got}, expected {expected}"
                    yield Fault(table, column, index, text)


def _column(net: pandapowerNet, table: str, column: str) -> pd.Series:
    """A column's values of what is in service; none of an empty table."""
    rows = net[table]
    if not len(rows):
        return pd.Series(dtype=float)
    return rows.loc[rows["in_service"].astype(bool), column] if "in_service" in rows.columns else rows[column]
