"""Names as numbers: a table of ten thousand homes says each name once, not in every row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int


@dataclass(frozen=True)
class Coded:
    """A column of names as numbers into a list of them."""

    codes: Int[np.ndarray, " rows"]
    names: list[str]


class Coder:
    """Numbers the names of one column, in order of appearance."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = list(names)
        self._code: dict[Any, int] = {name: code for code, name in enumerate(self.names)}
        self._last: Any = None
        self._last_codes: Int[np.ndarray, " rows"] = np.zeros(0, dtype=np.int32)

    def codes(self, values: Any) -> Int[np.ndarray, " rows"]:
        """The number of each name; an array that nobody can write to is looked at once."""
        if values is self._last and values is not None:
            return self._last_codes
        listed = values.tolist() if hasattr(values, "tolist") else values
        rows = listed if isinstance(listed, list | tuple) else [listed]
        for name in rows:
            if name not in self._code:
                self._code[name] = len(self.names)
                self.names.append(name)
        codes = np.fromiter((self._code[name] for name in rows), dtype=np.int32, count=len(rows))
        if isinstance(values, np.ndarray) and not values.flags.writeable:
            self._last, self._last_codes = values, codes
        return codes


def dictionary_array(values: Any) -> Any:
    """An Arrow dictionary of the names that occur, in order of appearance whatever numbers they had."""
    if isinstance(values, Coded):
        rows, used = pd.factorize(values.codes)
        names = [values.names[code] for code in used]
    else:
        rows, names = pd.factorize(np.asarray(values, dtype=object))
    return pa.DictionaryArray.from_arrays(
        pa.array(rows, type=pa.int32()), pa.array(list(names), type=pa.string())
    )
