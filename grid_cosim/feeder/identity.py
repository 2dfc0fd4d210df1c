"""Whether two networks in memory are the same."""

from __future__ import annotations

import hashlib

import pandas as pd

from grid_cosim.feeder.network import Feeder


def fingerprint(feeder: Feeder) -> str:
    """SHA-256 of all that the tables of the network say, results left out."""
    told = hashlib.sha256()
    for name in sorted(feeder.net):
        table = feeder.net[name]
        if isinstance(table, pd.DataFrame) and len(table) and not name.startswith(("_", "res_")):
            told.update(name.encode("utf-8"))
            told.update(table.to_csv().encode("utf-8"))
    return told.hexdigest()
