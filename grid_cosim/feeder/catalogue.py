"""Which feeders there are, by name. Needs neither pandapower nor simbench: all is in files in `feeders/`.

`feeders/build_catalogue.py` writes them, `catalogue.csv` and `simbench_codes.txt`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from grid_cosim.errors import FeederError, near_matches
from grid_cosim.shipped import shipped

IEEE_EUROPEAN_LV = "ieee_european_lv"
N_SCHUTTERWALD_AREAS = 14
FILE_KINDS = (".json", ".xlsx")
PANDAPOWER_NETWORKS = (
    "create_cigre_network_lv",
    "create_cigre_network_mv",
    "create_kerber_dorfnetz",
    "create_kerber_landnetz_freileitung_1",
    "create_kerber_landnetz_freileitung_2",
    "create_kerber_landnetz_kabel_1",
    "create_kerber_landnetz_kabel_2",
    "create_kerber_vorstadtnetz_kabel_1",
    "create_kerber_vorstadtnetz_kabel_2",
    "create_synthetic_voltage_control_lv_network",
    "example_multivoltage",
    "four_loads_with_branches_out",
    "ieee_european_lv_asymmetric",
    "kb_extrem_dorfnetz",
    "kb_extrem_dorfnetz_trafo",
    "kb_extrem_landnetz_freileitung",
    "kb_extrem_landnetz_freileitung_trafo",
    "kb_extrem_landnetz_kabel",
    "kb_extrem_landnetz_kabel_trafo",
    "kb_extrem_vorstadtnetz_1",
    "kb_extrem_vorstadtnetz_2",
    "kb_extrem_vorstadtnetz_trafo_1",
    "kb_extrem_vorstadtnetz_trafo_2",
    "mv_oberrhein",
    "simple_mv_open_ring_net",
)
"""Functions of `pandapower.networks` that make a distribution network without being told anything."""
_FORMS = (
    'Name "schutterwald", "schutterwald:2", "ieee_european_lv", "simbench:<code>", "pandapower:<function>", '
    "or a pandapower file (.json, .xlsx); "
    "`grid-cosim feeders` lists what is at hand"
)


@dataclass(frozen=True)
class FeederInfo:
    """One line of the catalogue."""

    name: str
    title: str
    buses: int
    homes: int
    heat_pumps: int
    """Homes for which the net itself has a heat pump."""
    transformers: int
    loading_percent: float
    """AC loading of the most loaded transformer, all loads as the net ships."""
    what: str


def list_feeders() -> list[FeederInfo]:
    """The feeders that were looked at and measured; further SimBench grids load by their code."""
    with (shipped("feeders") / "catalogue.csv").open(encoding="utf-8", newline="") as file:
        return [
            FeederInfo(
                name=row["name"],
                title=row["title"],
                buses=int(row["buses"]),
                homes=int(row["homes"]),
                heat_pumps=int(row["heat_pumps"]),
                transformers=int(row["transformers"]),
                loading_percent=float(row["loading_percent"]),
                what=row["what"],
            )
            for row in csv.DictReader(file)
        ]


def simbench_codes() -> list[str]:
    """Codes of all SimBench grids, each a feeder `simbench:<code>`; the package simbench has the grids."""
    return (shipped("feeders") / "simbench_codes.txt").read_text(encoding="utf-8").split()


def check_source(source: str | Path) -> None:
    """Raise `FeederError`, with near matches, if no feeder has this name; loads nothing."""
    text = str(source)
    if not text.strip():
        raise FeederError(repr(text), "no name", remedy=_FORMS)
    kind, colon, rest = text.partition(":")
    if kind == "schutterwald":
        if colon:
            schutterwald_area(text)
    elif kind == "simbench" and colon:
        codes = simbench_codes()
        if rest not in codes:
            raise FeederError(
                text,
                f"SimBench has no grid {rest!r}.{near_matches(rest, codes)}",
                remedy=f"{len(codes)} codes are known, such as simbench:1-LV-rural3--2-no_sw",
            )
    elif kind == "pandapower" and colon:
        if rest not in PANDAPOWER_NETWORKS:
            near = near_matches(rest, PANDAPOWER_NETWORKS)
            raise FeederError(
                text,
                f"{rest!r} is none of pandapower's distribution networks.{near}",
                remedy="Of any other network save a file with pandapower.to_json(net, path), and name that; "
                f"known are {', '.join(PANDAPOWER_NETWORKS)}",
            )
    elif text != IEEE_EUROPEAN_LV:
        _check_path(text)


def schutterwald_area(source: str) -> int | None:
    """The area of `schutterwald:<area>`, None for all of `schutterwald`."""
    _, colon, area = source.partition(":")
    if not colon:
        return None
    if re.fullmatch(r"\d+", area) is None or int(area) >= N_SCHUTTERWALD_AREAS:
        last = N_SCHUTTERWALD_AREAS - 1
        raise FeederError(
            source,
            f"Schutterwald has no area {area!r}",
            remedy=f"Its areas are schutterwald:0 to schutterwald:{last}; schutterwald alone is all of them",
        )
    return int(area)


def _check_path(text: str) -> None:
    path = Path(text)
    if path.is_file():
        if path.suffix.lower() not in FILE_KINDS:
            raise FeederError(
                text,
                f"a feeder is not read from {path.suffix or 'a file without an ending'}",
                remedy="Save the net with pandapower.to_json or pandapower.to_excel",
            )
        return
    if path.is_dir():
        raise FeederError(text, "this is a folder", remedy="Name the pandapower file in it")
    if path.suffix.lower() in FILE_KINDS or len(path.parts) > 1:
        beside = (
            [str(p) for kind in FILE_KINDS for p in path.parent.glob(f"*{kind}")]
            if path.parent.is_dir()
            else []
        )
        raise FeederError(text, f"no such file.{near_matches(text, beside)}", remedy=_FORMS)
    names = [info.name for info in list_feeders()]
    raise FeederError(text, f"unknown.{near_matches(text, names)}", remedy=_FORMS)
