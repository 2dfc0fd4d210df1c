"""Every network that a newcomer might bring: each either runs, or is refused with a reason.

    python benchmarks/own_networks.py [--only TEXT]

For each: `grid-cosim new`, then two hours of that study under `uncontrolled` and `consensus`. Takes
seven minutes beside other work. pandapower's own networks are handed over as files, as a user's would be.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks as nw
from pandapower.auxiliary import pandapowerNet

from grid_cosim.beginning import begin
from grid_cosim.errors import GridCosimError
from grid_cosim.feeder.catalogue import PANDAPOWER_NETWORKS
from grid_cosim.metrics import kpis
from grid_cosim.runner import run
from grid_cosim.scenario import load_scenario

SIMBENCH = (
    "1-LV-rural1--0-sw",
    "1-LV-rural2--2-no_sw",
    "1-LV-rural3--1-sw",
    "1-LV-semiurb4--1-sw",
    "1-LV-semiurb5--2-no_sw",
    "1-LV-urban6--2-sw",
    "1-MV-rural--0-sw",
    "1-MV-semiurb--1-no_sw",
    "1-MV-urban--1-sw",
    "1-MV-comm--2-no_sw",
    "1-MVLV-semiurb-5.220-0-sw",
    "1-MVLV-urban-6.305-2-no_sw",
    "1-HV-mixed--0-no_sw",
    "1-HVMV-urban-2.203-0-no_sw",
    "1-EHVHV-mixed-1-0-no_sw",
    "1-EHV-mixed--0-sw",
)
OTHERS = ("case14", "case33bw", "case118", "create_cigre_network_hv", "example_simple", "GBreducednetwork")
SHORT = ["time.hours=2", "time.start=2016-01-04T18:00:00", 'controllers=["uncontrolled","consensus"]']


def village() -> pandapowerNet:
    """Kerber's village, which the faults are planted in."""
    return nw.create_kerber_dorfnetz()


def _island() -> pandapowerNet:
    net = village()
    net.line.loc[net.line.index[3], "in_service"] = False
    return net


def _no_rating() -> pandapowerNet:
    net = village()
    net.trafo["sn_mva"] = np.nan
    return net


def _no_line_ratings() -> pandapowerNet:
    net = village()
    net.line["max_i_ka"] = np.nan
    return net


def _mesh() -> pandapowerNet:
    net = village()
    ends = net.load["bus"].tolist()
    std = net.line["std_type"].iloc[0]
    pp.create_line(net, ends[0], ends[-1], 0.2, std)
    pp.create_line(net, ends[10], ends[30], 0.2, std)
    return net


def _two_slacks() -> pandapowerNet:
    net = village()
    pp.create_ext_grid(net, int(net.load["bus"].iloc[-1]))
    return net


def _load_without_power() -> pandapowerNet:
    net = village()
    net.load.loc[[2, 7], "p_mw"] = np.nan
    return net


def _no_loads() -> pandapowerNet:
    net = village()
    net.load = net.load.iloc[:0]
    return net


def _same_names() -> pandapowerNet:
    net = village()
    net.load["name"] = "home"
    net.line["name"] = "cable"
    return net


def _missing_bus() -> pandapowerNet:
    net = village()
    net.load.loc[4, "bus"] = 9999
    return net


def _no_length() -> pandapowerNet:
    net = village()
    net.line.loc[[1, 2], "length_km"] = 0.0
    return net


def _no_external_grid() -> pandapowerNet:
    net = village()
    net.ext_grid = net.ext_grid.iloc[:0]
    return net


def _no_transformer() -> pandapowerNet:
    net = village()
    net.trafo["in_service"] = False
    return net


def _kilowatts() -> pandapowerNet:
    net = village()
    net.load["p_mw"] *= 1000.0
    return net


def _upside_down() -> pandapowerNet:
    net = village()
    net.trafo[["hv_bus", "lv_bus"]] = net.trafo[["lv_bus", "hv_bus"]].to_numpy()
    return net


def _ignored_taps() -> pandapowerNet:
    net = village()
    net.trafo["tap_changer_type"], net.trafo["tap_pos"] = None, -1
    net.trafo["tap_neutral"], net.trafo["tap_step_percent"] = 0, 2.5
    return net


def _only_generation() -> pandapowerNet:
    net = village()
    net.load["p_mw"] *= -1.0
    return net


FAULTS: dict[str, Callable[[], pandapowerNet]] = {
    "an island": _island,
    "transformer without rating": _no_rating,
    "lines without rating": _no_line_ratings,
    "a mesh": _mesh,
    "two external grids in one area": _two_slacks,
    "loads without power": _load_without_power,
    "no loads": _no_loads,
    "one name for all": _same_names,
    "a load at no bus": _missing_bus,
    "lines of no length": _no_length,
    "no external grid": _no_external_grid,
    "no transformer in service": _no_transformer,
    "kW written as MW": _kilowatts,
    "transformer upside down": _upside_down,
    "taps without a type": _ignored_taps,
    "loads that all generate": _only_generation,
}


@dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    network: str
    homes: int
    limits: int
    runs: str
    why: str
    """Of a refusal the reasons, of a run what was doubtful."""
    seconds: float


def networks(folder: Path) -> Iterator[tuple[str, str]]:
    """What to call each network, and its source."""
    for name in (*PANDAPOWER_NETWORKS, *OTHERS):
        yield f"pandapower {name}", str(_saved(getattr(nw, name), folder / f"{name}.json"))
    yield "pandapower lv_schutterwald, area 12", "schutterwald:12"
    for code in SIMBENCH:
        yield f"SimBench {code}", f"simbench:{code}"
    for name, make in FAULTS.items():
        yield f"Kerber's village with {name}", str(_saved(make, folder / f"{name}.json"))


def _saved(make: Callable[[], pandapowerNet], path: Path) -> Path:
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pp.to_json(make(), str(path))
    return path


def tried(name: str, source: str, folder: Path) -> Outcome:
    """New, then a short run."""
    began = time.perf_counter()
    homes = limits = 0
    try:
        study = begin(folder / "study", source)
        found = study.diagnosis
        assert found.feeder is not None
        homes, limits = found.feeder.n_households, found.feeder.limits.n_limits
        results = run(load_scenario(study.scenario, SHORT), out=folder / "results")
        peak = {c: values["peak_loading_percent"] for c, values in kpis(results).items()}
        doubtful = [f.what for f in found.findings if f.severity == "doubtful"]
        share = study.sizing.limit_share
        doubtful += study.evening.doubts(share)
        why = f"{peak['uncontrolled']:.0f} → {peak['consensus']:.0f} % at {share:.0%}" + "".join(
            f"; {what}" for what in doubtful
        )
        runs = "runs"
    except GridCosimError as error:
        runs, why = "refused", " ".join(str(error).split("\n", 1)[-1].replace("  - ", "").split())
    except Exception as error:
        runs, why = "CRASH", f"{type(error).__name__}: {error} {traceback.format_exc(limit=-2)}"
    return Outcome(name, homes, limits, runs, why, time.perf_counter() - began)


def main() -> None:
    """Try all of them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", help="only networks whose name contains this, or one of several between |"
    )
    only = parser.parse_args().only
    print(
        "| network | homes | limits | | peak without control → with consensus, at the share of the rating; "
        "what is doubtful; or why it is refused | s |"
    )
    print("|---|---:|---:|---|---|---:|")
    with tempfile.TemporaryDirectory() as saved:
        for name, source in networks(Path(saved)):
            if not any(part in name for part in only.split("|")):
                continue
            with tempfile.TemporaryDirectory() as folder:
                o = tried(name, source, Path(folder))
            why = o.why.replace("|", "/").replace("\n", " ").replace(saved, "")
            print(
                f"| {o.network} | {o.homes:,} | {o.limits} | {o.runs} | {why} | {o.seconds:.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
