"""What stands out in a net that somebody brings: each finding says what, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pandapower.auxiliary import pandapowerNet
from pandapower.topology import connected_components, create_nxgraph, unsupplied_buses

from grid_cosim.feeder.checks import faults
from grid_cosim.feeder.homes import LOW_VOLTAGE_KV

Severity = Literal["refuses", "doubtful", "information"]
SEVERITIES: tuple[Severity, ...] = ("refuses", "doubtful", "information")
"""Gravest first: it cannot run; it runs, but the numbers may not be what is wanted; good to know."""

PLAUSIBLE_HOME_KW = 14.5
"""Planning value of one dwelling without electric hot water (DIN 18015-1, 14.5 kVA): a load beyond it is
hardly one home."""

_PLACEHOLDER_KA = 10.0
"""Nobody's cable carries more: 99999 stands for "not known" in many files."""
_HIGH_VOLTAGE_KV = 60.0
_HUGE_MVA = 500.0
_NAMED = 4


@dataclass(frozen=True)
class Finding:
    """Something about a net that its owner should know."""

    severity: Severity
    what: str
    where: tuple[str, ...]
    """Elements that it is about, a few of them at most."""
    remedy: str
    """Empty where there is nothing to do."""


def element_names(net: pandapowerNet, table: str, rows: Sequence[object] | pd.Index) -> tuple[str, ...]:
    """A few elements by table, index and own name, and how many there are besides."""
    names = net[table]["name"] if "name" in net[table].columns else pd.Series(None, index=net[table].index)
    told = []
    for row in list(rows)[:_NAMED]:
        own = names.get(row)
        told.append(f"{table} {row}" + (f" ({own})" if isinstance(own, str) and own else ""))
    more = len(rows) - len(told)
    return (*told, f"{more} more") if more > 0 else tuple(told)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


_REMEDIES = {
    ("line", "length_km"): "Give the length in km; what has none is a closed switch between two buses "
    '(pandapower.create_switch with et="b")',
    ("trafo", "sn_mva"): "Give the rated power in MVA: it is the limit that the homes keep",
    ("load", "p_mw"): "Give the planned power in MW, or take the load out of service",
    ("load", "bus"): "Connect the load to a bus of net.bus, or remove it",
}


def unusable_values(net: pandapowerNet) -> Iterator[Finding]:
    """Values that the power flow cannot do without, a finding for every column."""
    found: dict[tuple[str, str], list[object]] = {}
    texts: dict[tuple[str, str], str] = {}
    for fault in faults(net):
        key = fault.table, fault.column
        texts.setdefault(key, fault.text)
        found.setdefault(key, []).extend([] if fault.row is None else [fault.row])
    for key, rows in found.items():
        default = "Correct the value, or take the element out of service"
        where = element_names(net, key[0], rows) if len(rows) > 1 else ()
        yield Finding("refuses", texts[key], where, _REMEDIES.get(key, default))


def ratings(net: pandapowerNet) -> Iterator[Finding]:
    """Lines of which nobody knows what they carry."""
    line = net.line
    if not len(line):
        return
    given = pd.to_numeric(line["max_i_ka"], errors="coerce") if "max_i_ka" in line.columns else np.nan
    rating = pd.Series(given, index=line.index, dtype=float)
    bad = line.index[(rating.isna() | (rating <= 0) | (rating >= _PLACEHOLDER_KA)).to_numpy()]
    if len(bad):
        yield Finding(
            "doubtful",
            f"{len(bad)} of {len(line)} lines have no rating: they cannot be limits, and their loading means "
            "nothing",
            element_names(net, "line", bad),
            "Give net.line.max_i_ka in kA, as pandapower's standard types have it",
        )


def placeholders(net: pandapowerNet) -> Iterator[Finding]:
    """Transformers of a rating that none in a distribution network has."""
    used = net.trafo[net.trafo["in_service"].astype(bool)]
    huge = used.index[used["sn_mva"] >= _HUGE_MVA]
    if len(huge):
        yield Finding(
            "doubtful" if len(huge) < len(used) else "refuses",
            f"{len(huge)} of {len(used)} transformers are rated {_HUGE_MVA:,.0f} MVA or more: limits "
            "that nothing comes near",
            element_names(net, "trafo", huge),
            "Give net.trafo.sn_mva as on the rating plate",
        )


def coordinates(net: pandapowerNet) -> Iterator[Finding]:
    """Buses that cannot be put on a map."""
    there = "geo" in net.bus.columns
    known = np.array([isinstance(geo, str) and geo != "" for geo in (net.bus["geo"] if there else ())])
    n_known = int(known.sum())
    if n_known == 0:
        yield Finding(
            "information",
            "no coordinates: the network is drawn without a map",
            (),
            "Give net.bus.geo as GeoJSON points, longitude before latitude",
        )
    elif n_known < len(net.bus):
        without = net.bus.index[~known]
        yield Finding(
            "doubtful",
            f"{len(without)} of {len(net.bus)} buses have no coordinates: they are missing from the map",
            element_names(net, "bus", without),
            "Give net.bus.geo for all of them, or for none",
        )


def supply(net: pandapowerNet) -> Iterator[Finding]:
    """Islands, external grids, open switches."""
    dead = pd.Index(sorted(unsupplied_buses(net)))
    dead = dead[net.bus.loc[dead, "in_service"].to_numpy(dtype=bool)]
    if len(dead):
        loads = net.load[net.load["bus"].isin(dead) & net.load["in_service"].astype(bool)]
        kw = 1e3 * float((loads["p_mw"] * loads["scaling"]).sum())
        yield Finding(
            "doubtful" if len(loads) else "information",
            f"{len(dead)} of {len(net.bus)} buses are connected to no external grid; {len(loads)} loads "
            f"({kw:,.0f} kW) there are without power",
            element_names(net, "bus", dead),
            "Close the switch or the line that should feed them, or take them out of service",
        )
    slack = net.ext_grid[net.ext_grid["in_service"].astype(bool)]
    if len(slack) > 1:
        areas = [len(area & set(slack["bus"])) for area in connected_components(create_nxgraph(net))]
        together = [n for n in areas if n > 1]
        yield Finding(
            "doubtful" if together else "information",
            f"{len(slack)} external grids"
            + (
                f", {max(together)} of them feed the same area and share its power by impedance"
                if together
                else ", each feeding an area of its own"
            ),
            element_names(net, "ext_grid", slack.index),
            "Keep one of them, or open the switch between their areas" if together else "",
        )
    low = net.bus["vn_kv"].reindex(slack["bus"])
    odd = slack.index[(slack["vm_pu"] < 0.9) | (slack["vm_pu"] > 1.1)]
    if len(odd) and len(low):
        yield Finding(
            "doubtful",
            f"{len(odd)} external grids hold a voltage beyond 0.9 to 1.1 pu",
            element_names(net, "ext_grid", odd),
            "Correct net.ext_grid.vm_pu, or set feeder.slack_vm_pu in the scenario",
        )
    opened = net.switch.index[~net.switch["closed"].astype(bool)]
    if len(opened):
        yield Finding(
            "information",
            f"{len(opened)} of {len(net.switch)} switches are open and stay so",
            element_names(net, "switch", opened),
            'An event of the scenario closes one: kind = "switch"',
        )


def electrical(net: pandapowerNet) -> Iterator[Finding]:
    """Values with which a power flow runs, though they can hardly be meant."""
    vn = net.bus["vn_kv"]
    for table, column, bus in (("trafo", "vn_hv_kv", "hv_bus"), ("trafo", "vn_lv_kv", "lv_bus")):
        ratio = net[table][column].to_numpy(dtype=float) / vn.reindex(net[table][bus]).to_numpy(dtype=float)
        odd = net[table].index[(ratio < 0.8) | (ratio > 1.25)]
        if len(odd):
            yield Finding(
                "doubtful",
                f"{len(odd)} transformers have a rated voltage far from that of their bus ({column})",
                element_names(net, table, odd),
                f"Correct net.trafo.{column} or net.bus.vn_kv; are both sides connected the right way round?",
            )
    ends = vn.reindex(net.line["from_bus"]).to_numpy() / vn.reindex(net.line["to_bus"]).to_numpy()
    across = net.line.index[(ends < 0.8) | (ends > 1.25)]
    if len(across):
        yield Finding(
            "doubtful",
            f"{len(across)} lines join buses of different rated voltage",
            element_names(net, "line", across),
            "Correct net.bus.vn_kv, or put a transformer in their place",
        )
    nothing = net.line.index[(net.line["r_ohm_per_km"] == 0) & (net.line["x_ohm_per_km"] == 0)]
    if len(nothing):
        yield Finding(
            "doubtful",
            f"{len(nothing)} lines have no impedance",
            element_names(net, "line", nothing),
            "Make a closed switch between two buses of each, or give their impedance",
        )
    generators = net.gen[net.gen["in_service"].astype(bool)]
    if len(generators):
        yield Finding(
            "information",
            f"{len(generators)} generators hold their voltage and power",
            element_names(net, "gen", generators.index),
            "",
        )
    uneven = net.asymmetric_sgen if "asymmetric_sgen" in net else net.sgen.iloc[:0]
    if len(uneven):
        yield Finding(
            "doubtful",
            f"{len(uneven)} generators per phase are left out of the power flow",
            element_names(net, "asymmetric_sgen", uneven.index),
            "Make static generators of them (net.sgen), a third on each phase",
        )


def names(net: pandapowerNet, homes: pd.Index) -> Iterator[Finding]:
    """Names that several elements share, or that are missing."""
    for table, rows in (("load", homes.unique()), ("line", net.line.index), ("bus", net.bus.index)):
        if "name" not in net[table].columns or not len(rows):
            continue
        own = net[table].loc[rows, "name"]
        twice = own.index[own.duplicated(keep=False) & own.notna() & (own != "")]
        if len(twice):
            effect = "homes are then told apart by the load's index" if table == "load" else "their ids count"
            yield Finding(
                "information",
                f"{len(twice)} {table} names occur more than once: {effect}",
                element_names(net, table, twice),
                "",
            )


def besides_homes(net: pandapowerNet, homes: pd.Index, replaced: pd.Index) -> Iterator[Finding]:
    """Loads and generators that are no homes."""
    load = net.load[net.load["in_service"].astype(bool)]
    others = load.drop(homes.unique()).drop(replaced, errors="ignore")
    follows = "follow their series" if isinstance(net.get("profiles"), dict) else "keep their planned power"
    if len(others):
        kw = 1e3 * float((others["p_mw"] * others["scaling"]).sum())
        yield Finding(
            "information",
            f"{len(others)} loads of {kw:,.0f} kW as planned are no homes and {follows}",
            element_names(net, "load", others.index),
            'Set their type to "HH" in net.load to make homes of them',
        )
    sgen = net.sgen[net.sgen["in_service"].astype(bool)]
    if len(sgen):
        kw = 1e3 * float((sgen["p_mw"] * sgen["scaling"]).sum())
        varies = isinstance(net.get("profiles"), dict)
        keep = "following their series" if varies else "at the same power day and night"
        harmless = varies or kw == 0
        yield Finding(
            "information" if harmless else "doubtful",
            f"{_counted(len(sgen), 'static generator')} of {kw:,.0f} kW, {keep}",
            element_names(net, "sgen", sgen.index),
            ""
            if harmless
            else "Photovoltaics that know night and clouds are devices of homes ([devices.pv]): take these "
            "out of service then",
        )


def regions(net: pandapowerNet, homes: pd.Index) -> Iterator[Finding]:
    """Loads behind which no home can be reached."""
    loads = homes.unique()
    vn_kv = net.bus["vn_kv"].reindex(net.load.loc[loads, "bus"]).to_numpy(dtype=float)
    if len(loads) and (vn_kv >= _HIGH_VOLTAGE_KV).all():
        yield Finding(
            "refuses",
            f"all {len(loads)} loads that could be homes are at {vn_kv.min():g} kV and more: each stands for "
            "a town or a region, and nothing between it and its homes is in this network",
            element_names(net, "load", loads),
            "Take the medium- or low-voltage network below one of them",
        )


def aggregates(
    net: pandapowerNet, homes: pd.Index, kw_per_home: float | None, *, marked: bool
) -> Iterator[Finding]:
    """Loads too large for a home, or at medium voltage, where there are none; `marked` as `Homes.marked`."""
    loads = homes.unique()
    planned_kw = 1e3 * (net.load.loc[loads, "p_mw"] * net.load.loc[loads, "scaling"])
    vn_kv = net.bus["vn_kv"].reindex(net.load.loc[loads, "bus"]).to_numpy(dtype=float)
    large = loads[(planned_kw > PLAUSIBLE_HOME_KW).to_numpy() | (vn_kv >= LOW_VOLTAGE_KV)]
    if not len(large):
        return
    are = "is" if len(large) == 1 else "are"
    stands = (
        f"{are} taken as several homes, one for every {kw_per_home:g} kW"
        if kw_per_home is not None
        else f"{are} taken as one home{' each' * (len(large) > 1)}"
    )
    least, most = planned_kw[large].min(), planned_kw[large].max()
    size = f"{least:,.0f} kW" if least == most else f"{least:,.0f} to {most:,.0f} kW"
    yield Finding(
        "doubtful",
        f"{_counted(len(large), 'load')} of {size} {are} too large for one home and {stands}",
        element_names(net, "load", large),
        "feeder.kw_per_home says how many homes a load stands for; if some are no homes, "
        + (
            "give those another type in net.load"
            if marked
            else 'set the type of those that are to "HH" in net.load'
        ),
    )
