"""Open a net, whatever it is named by, and mend what would make its results wrong."""

from __future__ import annotations

import json
import warnings
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks
import pandas as pd
from jaxtyping import Int
from pandapower.auxiliary import pandapowerNet
from pandapower.networks import lv_schutterwald
from pandapower.pypower.idx_brch import BR_R, BR_STATUS, BR_X, F_BUS, T_BUS
from pandapower.pypower.idx_bus import BUS_TYPE, NONE, REF
from pandapower.toolbox import select_subnet
from pandapower.topology import connected_components, create_nxgraph

from grid_cosim.errors import FeederError
from grid_cosim.feeder.catalogue import IEEE_EUROPEAN_LV, check_source, schutterwald_area
from grid_cosim.feeder.phases import as_ordinary_loads
from grid_cosim.feeder.wiring import Wiring

TAPS_IGNORED = "pandapower ignores the tap"
"""How a note of `mend` ends that is about that."""

_SAVE_AGAIN = "Save the net again with pandapower.to_json or pandapower.to_excel"
_PANDAPOWER_LICENCE = (
    "Network Schutterwald: pandapower (BSD-3-Clause), from https://doi.org/10.3390/en13164052"
)
_SIMBENCH_LICENCE = (
    "Network and series: SimBench (https://simbench.de, https://doi.org/10.3390/en13123290), "
    "Open Database License 1.0, https://opendatacommons.org/licenses/odbl/1-0/"
)
_IEEE_LICENCE = (
    "Network: IEEE PES European Low Voltage Test Feeder (2015), as pandapower (BSD-3-Clause) ships it"
)
_SHIPPED_LICENCE = "Network: as pandapower (BSD-3-Clause) ships it"
_OWN_LICENCE = "Network: the user's own"


@dataclass(frozen=True)
class Opened:
    """A net that is ours to change, with its name and licence."""

    net: pandapowerNet
    source: str
    title: str
    licence: str


def open_net(source: str | Path | pandapowerNet) -> Opened:
    """Open a feeder by name or path; a net handed over is copied, never changed."""
    with warnings.catch_warnings():
        # about the age of a file, and about pandapower's own; `mend` completes what is missing
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        opened = _open(source)
    as_ordinary_loads(opened.net)
    return opened


def _open(source: str | Path | pandapowerNet) -> Opened:
    if isinstance(source, pandapowerNet):
        net = deepcopy(source)
        title = str(net.name or "pandapower net")
        return Opened(net, title, title, _SIMBENCH_LICENCE if _is_simbench(net) else _OWN_LICENCE)
    check_source(source)
    text = str(source)
    kind, _, rest = text.partition(":")
    if kind == "schutterwald":
        area = schutterwald_area(text)
        title = "Schutterwald" if area is None else f"Schutterwald, area {area}"
        return Opened(_schutterwald(area), text, title, _PANDAPOWER_LICENCE)
    if text == IEEE_EUROPEAN_LV:
        net = pandapower.networks.ieee_european_lv_asymmetric("on_peak_566")
        return Opened(net, text, "IEEE European LV test feeder", _IEEE_LICENCE)
    if kind == "pandapower":
        net = getattr(pandapower.networks, rest)()
        return Opened(net, text, f"pandapower's {rest}", _SHIPPED_LICENCE)
    if kind == "simbench":
        import simbench  # takes seconds, and only these feeders need it

        return Opened(simbench.get_simbench_net(rest), text, f"SimBench {rest}", _SIMBENCH_LICENCE)
    net = _read(Path(text))
    title = str(net.name or Path(text).stem)
    return Opened(net, text, title, _SIMBENCH_LICENCE if _is_simbench(net) else _OWN_LICENCE)


def _schutterwald(area: int | None) -> pandapowerNet:
    net = lv_schutterwald(include_heat_pumps=True)
    if area is None:
        return net
    # the areas in the order of lv_schutterwald(separation_by_sub=True), without its 14 power flows
    buses = list(connected_components(create_nxgraph(net)))[area]
    return select_subnet(net, buses=buses, include_switch_buses=False, keep_everything_else=True)


def _read(path: Path) -> pandapowerNet:
    try:
        net = _from_json(path) if path.suffix.lower() == ".json" else _from_excel(path)
    except FeederError:
        raise
    except Exception as error:  # whatever a broken file makes the readers raise
        raise FeederError(
            str(path), f"pandapower cannot read it ({type(error).__name__}: {error})", remedy=_SAVE_AGAIN
        ) from error
    if not isinstance(net, pandapowerNet):
        raise FeederError(
            str(path), "it holds no pandapower net", remedy="Save one with pandapower.to_json(net, path)"
        )
    return net


def _from_json(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8-sig")
        is_object = isinstance(json.loads(text), dict)
    except UnicodeDecodeError as error:
        raise FeederError(str(path), f"not UTF-8 text ({error})", remedy=_SAVE_AGAIN) from error
    except ValueError as error:
        broken = f"not valid JSON ({error})" if text.strip() else "the file is empty"
        raise FeederError(str(path), broken, remedy=_SAVE_AGAIN) from error
    return pp.from_json_string(text) if is_object else None


def _from_excel(path: Path) -> object:
    with pd.ExcelFile(path) as book:
        sheets = [str(name) for name in book.sheet_names]
    if "bus" not in sheets:
        raise FeederError(
            str(path),
            f"it has no sheet 'bus' among its {len(sheets)} ({', '.join(map(repr, sheets[:4]))})",
            remedy="Save a net with pandapower.to_excel",
        )
    return pp.from_excel(str(path))


def _is_simbench(net: pandapowerNet) -> bool:
    return {"subnet", "voltLvl"} <= set(net.trafo.columns)


def mend(net: pandapowerNet) -> list[str]:
    """Sort the tables, make SimBench's taps count, and say what else the power flow leaves out."""
    for table in ("bus", "line", "trafo"):
        net[table] = net[table].sort_index()
    if "tap_dependency_table" not in net.trafo.columns:  # nets from before pandapower 3
        net.trafo["tap_dependency_table"] = False
    for table in ("line", "trafo"):
        for column in ("parallel", "df"):
            if column not in net[table].columns:  # a net that was put together by hand
                net[table][column] = 1
    notes = _mend_taps(net)
    if "autoTap" in net.trafo.columns and (net.trafo["autoTap"] == 1).any():
        count = int((net.trafo["autoTap"] == 1).sum())
        notes.append(f"on-load tap changers of {count} transformer(s) keep the position they ship with")
    if len(net.controller):
        notes.append(f"{len(net.controller)} pandapower controller(s) not run")
        net.controller = net.controller.iloc[:0]
    varying = [c for c in net.load.columns if c.startswith(("const_z", "const_i"))]
    if len(net.load) and (net.load[varying].fillna(0) != 0).any(axis=None):
        notes.append("voltage-dependent loads are taken as constant power")
    if len(net.trafo3w):
        notes.append(f"{len(net.trafo3w)} three-winding transformer(s) simulated, but no limits yet")
    if len(net.storage) and bool(net.storage["in_service"].any()):
        how = "follow their own series" if _has_series(net, "storage") else "stay at their power"
        notes.append(f"{int(net.storage['in_service'].sum())} storage(s) not controlled: they {how}")
    return notes


def _has_series(net: pandapowerNet, table: str) -> bool:
    profiles = net.get("profiles")
    return isinstance(profiles, dict) and table in profiles and "profile" in net[table].columns


def _mend_taps(net: pandapowerNet) -> list[str]:
    """Pandapower ignores a tap without `tap_changer_type`, which SimBench leaves out (e2nIEE/simbench#69)."""
    trafo = net.trafo
    if "tap_changer_type" not in trafo.columns:
        trafo["tap_changer_type"] = None
    off_neutral = trafo["tap_pos"].notna() & (trafo["tap_pos"] != trafo["tap_neutral"])
    without_type = trafo["tap_changer_type"].isna() & trafo["tap_step_percent"].notna()
    if not (without_type & off_neutral).any():
        return []
    count = int((without_type & off_neutral).sum())
    if not _is_simbench(net):
        return [f"{count} transformer(s) have a tap position but no tap_changer_type: {TAPS_IGNORED}"]
    trafo.loc[without_type, "tap_changer_type"] = "Ratio"
    return [f'taps of {count} transformer(s) set to tap_changer_type "Ratio", which SimBench leaves out']


def read_wiring(
    net: pandapowerNet, *, source: str
) -> tuple[Wiring, Int[np.ndarray, " trafos"], Int[np.ndarray, " lines"]]:
    """The energised network as impedances; the branch of each transformer and line (-1: not energised).

    pandapower's own conversion decides what is connected: open switches, elements out of service.
    """
    slack = net.ext_grid["in_service"].any() or (net.gen["slack"] & net.gen["in_service"]).any()
    if not slack:
        raise FeederError(
            source,
            "no external grid in service: nothing feeds it",
            remedy="Add one with pandapower.create_ext_grid, at the upper side of the transformer",
        )
    try:
        pp.rundcpp(net)
    except Exception as error:  # pandapower raises many kinds, all about the net's data
        raise FeederError(
            source,
            f"pandapower cannot build its equations ({type(error).__name__}: {error})",
            remedy="pandapower.diagnostic(net) tells what is wrong with it",
        ) from error
    bus, branch = net._ppc["bus"], net._ppc["branch"]
    kind = bus[:, BUS_TYPE].real
    from_node, to_node = (branch[:, column].real.astype(np.int64) for column in (F_BUS, T_BUS))
    alive = (branch[:, BR_STATUS].real == 1) & (kind[from_node] != NONE) & (kind[to_node] != NONE)
    row = np.where(alive, np.cumsum(alive) - 1, -1)
    rows = net._pd2ppc_lookups["branch"]
    trafos, lines = (slice(*rows.get(table, (0, 0))) for table in ("trafo", "line"))
    lookup = net._pd2ppc_lookups["bus"]
    node_of_bus = np.full(lookup.size, -1, dtype=np.int64)
    known = net.bus.index.to_numpy()
    node_of_bus[known] = np.where(kind[lookup[known]] != NONE, lookup[known], -1)
    wiring = Wiring(
        node_of_bus=node_of_bus,
        n_nodes=len(bus),
        from_node=from_node[alive],
        to_node=to_node[alive],
        impedance_pu=(branch[alive, BR_R] + 1j * branch[alive, BR_X]).astype(complex),
        is_slack=(kind == REF) | (kind == NONE),  # a dead node has no unknown
    )
    return wiring, row[trafos].astype(np.int64), row[lines].astype(np.int64)


def drop_profiles(net: pandapowerNet) -> None:
    """Series and old results are 99 % of a SimBench net's size; we keep what we use of them elsewhere."""
    for key in ("profiles", "loadcases"):
        if key in net:
            del net[key]
    for key in [k for k in net if str(k).startswith("res_") and isinstance(net[k], pd.DataFrame)]:
        net[key] = net[key].iloc[:0]
