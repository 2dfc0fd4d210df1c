"""Write what `grid-cosim feeders` lists: catalogue.csv, measured on the nets, and simbench_codes.txt.

    python feeders/build_catalogue.py

Run it again when pandapower or simbench change their networks; it takes about two minutes.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, fields
from pathlib import Path

import pandapower as pp
import simbench

from grid_cosim.feeder.catalogue import IEEE_EUROPEAN_LV, N_SCHUTTERWALD_AREAS, FeederInfo
from grid_cosim.feeder.homes import find_homes
from grid_cosim.feeder.opening import mend, open_net

_SCENARIOS = {0: "today", 2: "future: more heat pumps, cars, storages"}
_LV = ("rural1", "rural2", "rural3", "semiurb4", "semiurb5", "urban6")
_MVLV = ("rural", "semiurb", "urban", "comm")


def sources() -> dict[str, str]:
    """Every feeder of the catalogue with a line about it."""
    return {
        "schutterwald": "real village, all 14 low-voltage areas in one network, heat pumps, geography",
        **{
            f"schutterwald:{area}": "one low-voltage area of Schutterwald"
            for area in range(N_SCHUTTERWALD_AREAS)
        },
        IEEE_EUROPEAN_LV: "one phase per home, and zero-sequence data: for runs per phase",
        **{
            f"simbench:1-LV-{grid}--{scenario}-no_sw": f"low-voltage grid with a year of series, {when}"
            for scenario, when in _SCENARIOS.items()
            for grid in _LV
        },
        **{
            f"simbench:1-MVLV-{grid}-all-0-sw": "medium-voltage grid with all its low-voltage grids"
            for grid in _MVLV
        },
    }


def measure(source: str, what: str) -> FeederInfo:
    """Load one feeder and solve it with all its loads as they ship."""
    opened = open_net(source)
    mend(opened.net)
    homes = find_homes(opened.net, None, source=source)
    pp.runpp(opened.net, lightsim2grid=False)
    return FeederInfo(
        name=source,
        title=opened.title,
        buses=len(opened.net.bus),
        homes=len(homes.load),
        heat_pumps=0 if homes.has_heat_pump is None else int(homes.has_heat_pump.sum()),
        transformers=len(opened.net.trafo),
        loading_percent=round(float(opened.net.res_trafo["loading_percent"].max()), 1),
        what=what,
    )


def main() -> None:
    """Measure all feeders, then write the files."""
    rows = []
    for source, what in sources().items():
        rows.append(measure(source, what))
        print(rows[-1])
    with (Path(__file__).parent / "catalogue.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(FeederInfo)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    codes = "".join(f"{code}\n" for code in simbench.collect_all_simbench_codes())
    (Path(__file__).parent / "simbench_codes.txt").write_text(codes, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
