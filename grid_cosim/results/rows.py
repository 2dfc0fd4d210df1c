"""What one step adds to a table, as it is stored: arrays of the registered types, names as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from grid_cosim.results.naming import Coder
from grid_cosim.results.parquet import as_times
from grid_cosim.results.tables import columns_of


@dataclass(frozen=True)
class OneStep:
    """Rows of one time; a column has a value per row, or one for all."""

    time: np.datetime64
    n_rows: int
    columns: Mapping[str, np.ndarray]

    def whole(self) -> dict[str, np.ndarray]:
        """Every column but the time with a value per row."""
        return {
            name: np.broadcast_to(values, self.n_rows) if values.size != self.n_rows else values
            for name, values in self.columns.items()
            if name != "time"
        }


class StepRows:
    """Checks and converts the steps of one table; knows the names that it has seen."""

    def __init__(self, table: str, names: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
        self._table = table
        self._wanted = columns_of(table)
        self._dtypes = {name: column.stored for name, column in self._wanted.items()}
        self._coders = {
            name: Coder(names.get(name, ())) for name, column in self._wanted.items() if column.is_name
        }

    @property
    def names(self) -> dict[str, list[str]]:
        """Column of names → the names by their numbers."""
        return {name: coder.names for name, coder in self._coders.items()}

    def stored(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """Rows of any number of steps that have been read back, as they were before they were written."""
        return {
            name: self._coders[name].codes(frame[name].cat.categories)[frame[name].cat.codes.to_numpy()]
            if name in self._coders
            else frame[name].to_numpy().astype(dtype)
            for name, dtype in self._dtypes.items()
        }

    def of(self, columns: Mapping[str, Any]) -> OneStep:
        """One step's columns; odd columns and lengths are our mistake."""
        odd = sorted(set(columns) ^ set(self._wanted))
        assert not odd, f"{self._table}: columns {odd} are missing or unknown"
        arrays = {name: self._stored(name, values) for name, values in columns.items()}
        n_rows = max((len(array) for array in arrays.values() if len(array) != 1), default=1)
        sizes = {name: len(array) for name, array in arrays.items() if len(array) not in (1, n_rows)}
        assert not sizes, f"{self._table}: {sizes} rows where the other columns have {n_rows}"
        return OneStep(arrays["time"][0], n_rows, arrays)

    def _stored(self, name: str, values: Any) -> np.ndarray:
        if name in self._coders:
            return self._coders[name].codes(values)
        if name == "time":
            times = as_times(values)
            assert times.size == 1, f"{self._table}: one step has one time"
            return times
        return np.atleast_1d(np.asarray(values, dtype=self._dtypes[name]))
