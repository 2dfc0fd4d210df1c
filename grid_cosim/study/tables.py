"""A study's results: one tidy Parquet table that says how it came about."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from grid_cosim.errors import ResultsError
from grid_cosim.study.cases import Row
from grid_cosim.versions import versions

_KEY = b"grid_cosim_study"


@dataclass(frozen=True)
class StudyResults:
    """The table of a study and where it comes from."""

    name: str
    quick: bool
    """Whether it is the small variant, which shows a direction and no more."""
    table: pd.DataFrame
    """A row per case and controller, or per timing."""
    provenance: Mapping[str, Any]
    """Versions, machine, sizes and seeds."""

    def save(self, path: Path) -> None:
        """Write the Parquet file in one go."""
        about = {"name": self.name, "quick": self.quick, "provenance": self.provenance}
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        partial = path.with_name(path.name + ".partial")
        pq.write_table(
            table.replace_schema_metadata({_KEY: json.dumps(about, default=str).encode()}), partial
        )
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> StudyResults:
        """Read what `save` wrote; `ResultsError` for anything else."""
        try:
            table = pq.read_table(path)
            about = json.loads(table.schema.metadata[_KEY])
        except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
            raise ResultsError(
                path, "not the results of a study", remedy="Run `grid-cosim benchmark` for it"
            ) from error
        return cls(about["name"], about["quick"], table.to_pandas(), about["provenance"])


def tidy(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a frame; a column whose values are of several kinds becomes text."""
    table = pd.DataFrame(list(rows))
    for name in table.columns:
        kinds = {
            bool if isinstance(v, bool) else str if isinstance(v, str) else float
            for v in table[name].dropna()
        }
        if len(kinds) > 1:
            table[name] = table[name].map(str, na_action="ignore")
    return table


def as_stored(settings: Mapping[str, Any]) -> Any:
    """Settings as they come back from a table's metadata: dates are text there."""
    return json.loads(json.dumps(settings, default=str))


def provenance(settings: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Where a study is run: its name or file, versions, processor, cores, and its sizes and seeds."""
    return {
        "source": source,
        "versions": versions(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "settings": settings,
    }


def _processor() -> str:
    """The processor's own name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    found = [line.partition(":")[2].strip() for line in names if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()
