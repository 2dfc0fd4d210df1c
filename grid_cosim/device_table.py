"""A table of devices: which home has which, and what is known of it; in place of drawing owners at random.

CSV with the columns `load` (name of a home), `device` (its kind), and any of the parameters of `COLUMNS`, a
row for every device; an empty cell is drawn as ever. Separated by commas with decimal points, or by
semicolons with decimal commas or points.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from grid_cosim.devices.columns import COLUMNS
from grid_cosim.errors import ScenarioError, folder_instead, near_matches
from grid_cosim.spreadsheets import text_of

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
    lines, header, separator = _opened(path, home_names)
    problems = _header_problems(header)
    if problems:
        raise ScenarioError(str(path), problems)
    reader = _Reader(home_names, kinds, separator)
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

    def __init__(self, home_names: Sequence[str], kinds: Collection[str], separator: str) -> None:
        # spaces around a name are nothing that a spreadsheet shows; they count where names differ in them
        self._home_of = {name.strip(): row for row, name in enumerate(home_names)}
        self._home_of |= {name: row for row, name in enumerate(home_names)}
        self._kinds, self._separator = kinds, separator
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
        load, kind = cells.get(LOAD, ""), cells.get(DEVICE, "").strip()
        home = self._home_of.get(load, self._home_of.get(load.strip()))
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
                f"{where}: {load!r} has {_a(kind)} in line {before} already; one of a kind each"
            )
            return
        for name, text in cells.items():
            if name not in (LOAD, DEVICE) and text.strip():
                self._parameter(where, kind, home, name, text.strip())

    def _parameter(self, where: str, kind: str, home: int, name: str, text: str) -> None:
        columns = COLUMNS.get(kind, {})
        if name not in columns:
            known = ", ".join(columns) or "nothing but load and device"
            self.problems.append(f"{where}: {_a(kind)} has no {name}. Known: {known}")
            return
        plain = text.replace(",", ".") if self._separator == ";" else text
        value = float(plain) if _NUMBER.fullmatch(plain) else math.nan
        column = columns[name]
        if not column.low <= value <= column.high:
            got = text if math.isfinite(value) else repr(text)
            self.problems.append(
                f"{where}: {name} is {got}, expected a number from {column.low:g} to {column.high:g}"
                f"{_hint(text, self._separator)}"
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


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)")


def _a(kind: str) -> str:
    return f"{'an' if kind[:1] in 'aeiou' else 'a'} {kind}"


def _hint(text: str, separator: str) -> str:
    """What was perhaps meant by a cell that holds no number."""
    clock = _CLOCK.fullmatch(text)
    if clock:
        return f" (hours: {int(clock[1]) + int(clock[2]) / 60:g})"
    if separator == "," and re.fullmatch(r"\d+,\d+", text):
        return f" (with a decimal point: {text.replace(',', '.')})"
    return ""


def _opened(path: Path, home_names: Collection[str]) -> tuple[list[tuple[int, list[str]]], list[str], str]:
    """Rows with their line numbers, the header, and what separates cells.

    Left out are blank lines, those with #, unless a home is called so, and cells behind the last column.
    """
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        raise ScenarioError(str(path), [f"{folder_instead(path)}.{near_matches(path.name, beside)}"])
    try:
        text = text_of(path)
    except ValueError as error:
        raise ScenarioError(str(path), [str(error)]) from error
    except OSError as error:
        raise ScenarioError(str(path), [f"cannot be read: {error.strerror}"]) from error
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    separator = ";" if ";" in first else ","
    if "\t" in first and separator not in first:
        raise ScenarioError(str(path), ["columns are separated by tabs, expected commas or semicolons"])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    homes = {name.strip() for name in home_names}
    rows: list[tuple[int, list[str]]] = []
    begun = 1
    try:
        for cells in reader:
            comment = cells and cells[0].startswith("#") and cells[0].strip() not in homes
            if any(cell.strip() for cell in cells) and not comment:
                rows.append((begun, cells))
            begun = reader.line_num + 1
    except csv.Error as error:
        hint = "; is a quotation mark left open?" if "unexpected end" in str(error) else ""
        raise ScenarioError(str(path), [f"line {begun}: not CSV ({error}){hint}"]) from error
    width = max((k + 1 for _, cells in rows for k, cell in enumerate(cells) if cell.strip()), default=0)
    header = [cell.strip() for cell in rows[0][1][:width]] if rows else []
    return [(number, cells[:width]) for number, cells in rows[1:]], header, separator


def _header_problems(header: Sequence[str]) -> list[str]:
    known = {name for columns in COLUMNS.values() for name in columns} | {LOAD, DEVICE}
    problems = [
        f"no column {name!r}, expected the header load,device,…"
        for name in (LOAD, DEVICE)
        if name not in header
    ]
    unknown = False
    for name in dict.fromkeys(header):
        if not name:
            place = list(header).index(name) + 1
            problems.append(f"column {place} has no name; name it as below, or remove it")
        elif name not in known:
            near = near_matches(name, known) or near_matches(name.lower(), known)
            problems.append(f"column {name!r}: no device has such a parameter.{near}")
        elif header.count(name) > 1:
            problems.append(f"column {name!r}: {header.count(name)} times, expected once")
        unknown |= name not in known
    return problems + ([f"known columns: {', '.join(sorted(known))}"] if unknown else [])
