"""Everything at the feeder's buses that is not a household: constant, or following a yearly series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pandapower.auxiliary import pandapowerNet
from scipy import sparse

_SERIES = {
    "load": ("load", "_pload", "_qload"),
    "sgen": ("renewables", "", None),
    "storage": ("storage", "", None),
}
"""SimBench: loads have a P and a Q series; generators and storages one of P, their Q stays as it is."""


def series_followed(table: str, profile: object) -> tuple[str, str | None]:
    """Names of the series that P and Q of an element follow, if there are such: `renewables/PV5`, None.

    With the table of the series, since SimBench calls a load, a generator and a storage `lv_rural3` alike.
    """
    frame, p_end, q_end = _SERIES[table]
    return f"{frame}/{profile}{p_end}", None if q_end is None else f"{frame}/{profile}{q_end}"


@dataclass(frozen=True)
class Background:
    """Power of the other loads, generators and storages, summed per bus; consumption is positive.

    A bus draws a constant plus a weighted sum of the series: p = p_kw + p_weight_kw @ series[step].
    """

    bus: Int[np.ndarray, " background_buses"]
    """pandapower bus index, sorted."""
    p_kw: Float[np.ndarray, " background_buses"]
    q_kvar: Float[np.ndarray, " background_buses"]
    series: Float[np.ndarray, "year_steps series"]
    """Per unit of the weights, for every quarter of an hour of a year; SimBench's begin on 1 January 2016."""
    series_names: tuple[str, ...]
    """As `series_followed` gives them."""
    p_weight_kw: sparse.csr_array
    q_weight_kvar: sparse.csr_array
    """(buses, series)."""

    def at(
        self, step: int | None
    ) -> tuple[Float[np.ndarray, " background_buses"], Float[np.ndarray, " background_buses"]]:
        """P (kW) and Q (kvar) per bus in a step of the year, which wraps round; None: as planned."""
        if not self.series_names:
            return self.p_kw, self.q_kvar
        factor = np.ones(len(self.series_names)) if step is None else self.series[step % len(self.series)]
        return self.p_kw + self.p_weight_kw @ factor, self.q_kvar + self.q_weight_kvar @ factor


@dataclass(frozen=True)
class _Part:
    """Elements of one table: where, how much, and the series that P and Q follow (None: constant)."""

    bus: np.ndarray
    p_kw: np.ndarray
    q_kvar: np.ndarray
    p_series: list[str | None]
    q_series: list[str | None]


def read_background(net: pandapowerNet, household_loads: pd.Index) -> Background:
    """The background of a net: its loads in service except `household_loads`, its sgens and its storages."""
    profiles: Mapping[str, pd.DataFrame] = net["profiles"] if isinstance(net.get("profiles"), dict) else {}
    parts = [
        _part(net.load.drop(household_loads), "load", 1.0, profiles),
        _part(net.sgen, "sgen", -1.0, profiles),  # a generator's output is consumption below zero
        _part(net.storage, "storage", 1.0, profiles),
    ]
    bus = np.concatenate([part.bus for part in parts])
    unique, row = np.unique(bus, return_inverse=True)
    p_series = [key for part in parts for key in part.p_series]
    q_series = [key for part in parts for key in part.q_series]
    keys = sorted({key for key in (*p_series, *q_series) if key is not None})
    column = {key: i for i, key in enumerate(keys)}
    shape = (unique.size, len(keys))
    p_kw, p_weight = _split(np.concatenate([part.p_kw for part in parts]), row, p_series, column, shape)
    q_kvar, q_weight = _split(np.concatenate([part.q_kvar for part in parts]), row, q_series, column, shape)
    table = [
        profiles[frame][name].to_numpy(dtype=float) for frame, _, name in (k.partition("/") for k in keys)
    ]
    return Background(
        bus=unique.astype(np.int64),
        p_kw=p_kw,
        q_kvar=q_kvar,
        series=np.column_stack(table) if table else np.zeros((0, 0)),
        series_names=tuple(keys),
        p_weight_kw=p_weight,
        q_weight_kvar=q_weight,
    )


def _part(table: pd.DataFrame, kind: str, sign: float, profiles: Mapping[str, pd.DataFrame]) -> _Part:
    table = table[table["in_service"].astype(bool)]
    factor = sign * 1e3 * table["scaling"].to_numpy(dtype=float)
    names = table["profile"].tolist() if "profile" in table.columns else [None] * len(table)
    known = {f"{frame}/{name}" for frame, series in profiles.items() for name in series.columns}
    followed = [series_followed(kind, name) for name in names]
    return _Part(
        bus=table["bus"].to_numpy(dtype=np.int64),
        p_kw=factor * table["p_mw"].to_numpy(dtype=float),
        q_kvar=factor * table["q_mvar"].to_numpy(dtype=float),
        p_series=[p if p in known else None for p, _ in followed],
        q_series=[q if q in known else None for _, q in followed],
    )


def _split(
    value: np.ndarray,
    row: np.ndarray,
    series: list[str | None],
    column: dict[str, int],
    shape: tuple[int, int],
) -> tuple[np.ndarray, sparse.csr_array]:
    """Constants summed per bus, and the weights of the series per bus."""
    varies = np.array([key is not None for key in series], dtype=bool)
    constant = np.bincount(row[~varies], weights=value[~varies], minlength=shape[0]).astype(float)
    columns = np.array([column[key] for key in series if key is not None], dtype=np.int64)
    weight = sparse.coo_array((value[varies], (row[varies], columns)), shape=shape)
    return constant, sparse.csr_array(weight)
