"""The file that says which name of another tool's case is which element of ours."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

NAMES_FILE = "names.csv"


def write_names(folder: Path, theirs: str, rows: Iterable[tuple[str, str, str]]) -> None:
    """Write their name, our id and the network's own name of each element."""
    with (folder / NAMES_FILE).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([theirs, "id", "name"])
        writer.writerows(rows)
