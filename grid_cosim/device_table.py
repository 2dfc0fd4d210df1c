"""A table of devices: which home has which, and what is known of it; in place of drawing owners at random.

CSV with the columns `load` (name of a home), `device` (its kind), and any of the parameters of `COLUMNS`, a
row for every device; an empty cell is drawn as ever. Separated by commas with decimal points, or by
semicolons with decimal commas or points.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from grid_cosim.devices.columns import COLUMNS
from grid_cosim.errors import ScenarioError, near_matches

LOAD, DEVICE = "load", "device"
_LISTED = 25


@dataclass(frozen=True)
class Listed:
    """All devices of one kind in the table."""

    owners: Bool[np.ndarray, " homes"]
    given: Mapping[str, Float[np.ndarray, " homes"]]
    """By parameter; NaN where the table says nothing. Only of parameters that it gives at all."""


def read_device_table(
    path: str | Path, home_names: Sequence[str], kinds: Collection[str]
) -> dict[str, Listed]:
    """What the table says of each of the `kinds` that the scenario leaves to it.

    Raises `ScenarioError` with all problems, each with its line.
    """
    path = Path(path)
    lines, header, separator = _opened(path)
    problems = _header_problems(header)
    if problems:
        raise ScenarioError(str(path), problems)
    reader = _Reader({name: row for row, name in enumerate(home_names)}, kinds, separator)
    for number, cells in lines:
        reader.take(number, dict(zip(header, cells, strict=False)), extra=len(cells) - len(header))
    if reader.problems:
        more = len(reader.problems) - _LISTED
        raise ScenarioError(
            str(path), reader.problems[:_LISTED] + ([f"and {more} more problems"] if more > 0 else [])
        )
    return reader.listed(len(home_names))


class _Reader:
    """Goes through the rows, and keeps what they say and what is wrong with them."""

    def __init__(self, home_of: Mapping[str, int], kinds: Collection[str], separator: str) -> None:
        self._home_of, self._kinds, self._separator = home_of, kinds, separator
        self._line_of: dict[tuple[str, int], int] = {}
        self._values: dict[str, dict[str, dict[int, float]]] = {}
        self.problems: list[str] = []

    def take(self, number: int, cells: Mapping[str, str], *, extra: int) -> None:
        """One row."""
        where = f"line {number}"
        if extra > 0:
            hint = (
                " (a decimal comma? separate columns with semicolons then)" if self._separator == "," else ""
            )
            self.problems.append(f"{where}: {extra} more cells than the header has{hint}")
            return
        load, kind = cells.get(LOAD, "").strip(), cells.get(DEVICE, "").strip()
        home = self._home_of.get(load)
        if home is None:
            near = near_matches(load, self._home_of)
            self.problems.append(f"{where}: load is {load!r}, expected the name of a home.{near}")
        if kind not in self._kinds:
            known = ", ".join(sorted(self._kinds)) or "none"
            self.problems.append(
                f"{where}: device is {kind!r}, expected a kind whose section of the scenario says share = "
                f'"table".{near_matches(kind, self._kinds)} Those are: {known}'
            )
        if home is None or kind not in self._kinds:
            return
        before = self._line_of.setdefault((kind, home), number)
        if before != number:
            self.problems.append(
                f"{where}: {load!r} has a {kind} in line {before} already; one of a kind each"
            )
            return
        for name, text in cells.items():
            if name not in (LOAD, DEVICE) and text.strip():
                self._parameter(where, kind, home, name, text.strip())

    def _parameter(self, where: str, kind: str, home: int, name: str, text: str) -> None:
        columns = COLUMNS.get(kind, {})
        if name not in columns:
            known = ", ".join(columns) or "nothing but load and device"
            self.problems.append(f"{where}: a {kind} has no {name}. Known: {known}")
            return
        try:
            value = float(text.replace(",", ".") if self._separator == ";" else text)
        except ValueError:
            value = math.nan
        column = columns[name]
        if not column.low <= value <= column.high:
            got = text if math.isfinite(value) else repr(text)
            self.problems.append(
                f"{where}: {name} is {got}, expected a number from {column.low:g} to {column.high:g}"
            )
            return
        self._values.setdefault(kind, {}).setdefault(name, {})[home] = value

    def listed(self, n_homes: int) -> dict[str, Listed]:
        """As arrays, one entry for every home."""
        result = {}
        for kind in self._kinds:
            owners = np.zeros(n_homes, dtype=bool)
            owners[[home for of, home in self._line_of if of == kind]] = True
            given = {}
            for name, values in self._values.get(kind, {}).items():
                given[name] = np.full(n_homes, np.nan)
                given[name][list(values)] = list(values.values())
            result[kind] = Listed(owners, given)
        return result


def _opened(path: Path) -> tuple[list[tuple[int, list[str]]], list[str], str]:
    """Rows with their line numbers, the header, and what separates cells; blank lines and # are left out."""
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        raise ScenarioError(str(path), [f"no such file.{near_matches(path.name, beside)}"])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError(str(path), [f"not UTF-8 text ({error}); save it as CSV UTF-8"]) from error
    except OSError as error:
        raise ScenarioError(str(path), [f"cannot be read: {error.strerror}"]) from error
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    separator = ";" if ";" in first else ","
    reader = csv.reader(text.splitlines(), delimiter=separator)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not cells[0].startswith("#"):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise ScenarioError(str(path), [f"line {reader.line_num}: not CSV ({error})"]) from error
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    return rows[1:], header, separator


def _header_problems(header: Sequence[str]) -> list[str]:
    known = {name for columns in COLUMNS.values() for name in columns} | {LOAD, DEVICE}
    problems = [
        f"no column {name!r}, expected the header load,device,…"
        for name in (LOAD, DEVICE)
        if name not in header
    ]
    for name in dict.fromkeys(header):
        if name not in known:
            near = near_matches(name, known)
            problems.append(
                f"column {name!r}: no device has such a parameter.{near} Known: {', '.join(sorted(known))}"
            )
        if header.count(name) > 1:
            problems.append(f"column {name!r}: {header.count(name)} times, expected once")
    return problems
