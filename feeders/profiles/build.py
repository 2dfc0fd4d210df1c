"""Write `simbench_households.parquet` from the series that the simbench package carries.

    python feeders/profiles/build.py

Needs the simbench package (written with 1.6.3). The series of the three SimBench scenarios are the
same for households; scenario 0 is read. Row k is the k-th quarter of an hour of 2016: SimBench's own
time stamps jump with the clock in March and October, its rows do not, so they are counted, not read.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import simbench

N_STEPS = 35_136
TARGET = Path(__file__).with_name("simbench_households.parquet")


def main() -> None:
    """Read the package's load series, keep the household ones, write them in single precision."""
    series = simbench.get_all_simbench_profiles(0)["load"]
    columns = sorted(c for c in series.columns if c.startswith("H0-") and c.endswith(("_pload", "_qload")))
    frame = series[columns].astype("float32")
    if len(frame) != N_STEPS or frame.isna().any().any():
        raise SystemExit(f"expected {N_STEPS} complete rows, got {frame.shape}")
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(
        {
            "source": f"simbench {version('simbench')}, load profiles H0-*",
            "licence": "Open Database License (ODbL) 1.0, SimBench, https://simbench.net",
            "unit": "per unit of the load's p_mw and q_mvar",
            "time": "row k: mean of the quarter hour from 2016-01-01 00:00 CET + k * 15 min",
        }
    )
    pq.write_table(table, TARGET, compression="zstd", compression_level=19, use_dictionary=True)
    sys.stdout.write(f"{TARGET}: {len(columns)} columns, {TARGET.stat().st_size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main()
