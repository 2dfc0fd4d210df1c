"""Write the weather `try2010_*.csv`, temperature and irradiance, from DWD's test reference years.

    pip download demandlib==0.2.2 --no-deps
    python feeders/weather/build.py demandlib-0.2.2-py3-none-any.whl

A value of hour HH (1 to 24, CET) is taken as the mean of the hour that ends at HH:00, so it is stamped
in the middle of that hour. The reference year has 365 days; it is stamped on 2016, and 29 February
repeats the 28th.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

WHEEL_SHA256 = "52c63aeb23a639d9558d6fe7bd63a70a6b193e59beea6787e80f9acd9464e297"
MEMBER = "demandlib/vdi/resources_weather/TRY2010_{region:02d}_Jahr.dat"
REGIONS = {4: "potsdam", 12: "mannheim"}
FOLDER = Path(__file__).parent


def hours_of(text: str) -> list[tuple[datetime, float, int, int]]:
    """Time (middle of the hour, CET, stamped on 2016), °C, and W/m² direct and diffuse, of 8,784 hours."""
    rows = [line.split() for line in text.split("***", 1)[1].splitlines() if line.strip()]
    half = timedelta(minutes=30)
    hours = [
        (
            datetime(2016, int(r[2]), int(r[3])) + timedelta(hours=int(r[4])) - half,
            float(r[8]),
            int(r[13]),
            int(r[14]),
        )
        for r in rows
    ]
    leap = [(t + timedelta(days=1), *rest) for t, *rest in hours if (t.month, t.day) == (2, 28)]
    year = sorted(hours + leap)
    expected = [datetime(2016, 1, 1) + half + timedelta(hours=k) for k in range(8784)]
    if [t for t, *_ in year] != expected:
        raise SystemExit("the file does not hold every hour of a year once")
    return year


def main(wheel: Path) -> None:
    """Write one CSV per region."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise SystemExit(f"{wheel} is not the wheel that the shipped files were made from (demandlib 0.2.2)")
    with zipfile.ZipFile(wheel) as archive:
        for region, station in REGIONS.items():
            text = archive.read(MEMBER.format(region=region)).decode("utf-8", errors="replace")
            target = FOLDER / f"try2010_{region:02d}_{station}.csv"
            lines = [f"{t:%Y-%m-%d %H:%M},{c:.1f},{b},{d}\n" for t, c, b, d in hours_of(text)]
            head = "time,temperature_c,direct_w_per_m2,diffuse_w_per_m2\n"
            target.write_text(head + "".join(lines), encoding="utf-8")
            sys.stdout.write(f"{target}: {len(lines)} hours\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
