"""What a run leaves behind: named tables with units and provenance, which save and load themselves.

A results folder holds `status.json`, `scenario.toml`, `provenance.json`, `feeder.json` and one folder per
controller with its Parquet tables; `kpis.json` and `report.html` are computed from those at any time.
"""

from __future__ import annotations

from grid_cosim.results.parquet import empty_table, read_table, write_table
from grid_cosim.results.pieces import Manifest, remove_pieces
from grid_cosim.results.record import Detail, Record
from grid_cosim.results.staging import staged_folder, staged_name
from grid_cosim.results.store import Basis, Run, StoredResults, Topology, load_run, write_description
from grid_cosim.results.tables import RECORDED, TABLES, Column
from grid_cosim.results.writer import RunWriter

__all__ = [
    "RECORDED",
    "TABLES",
    "Basis",
    "Column",
    "Detail",
    "Manifest",
    "Record",
    "Run",
    "RunWriter",
    "StoredResults",
    "Topology",
    "empty_table",
    "load_run",
    "read_table",
    "remove_pieces",
    "staged_folder",
    "staged_name",
    "write_description",
    "write_table",
]
