"""One network, three phases: who is connected to which, and the limits that each phase has of its own.

Homes of a feeder that is solved per phase say in `net.load["phase"]` which one they are connected to: "a",
"b" or "c"; without a letter they are connected to all three, and a third of their power flows through each.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandapower as pp
import pandas as pd
from jaxtyping import Float, Int
from pandapower.auxiliary import pandapowerNet
from scipy import sparse

from grid_cosim.errors import FeederError
from grid_cosim.feeder.limits import Limits

PHASES = ("a", "b", "c")
ALL_THREE = -1
"""Phase of a home that is connected to all of them."""


def as_ordinary_loads(net: pandapowerNet) -> None:
    """Make ordinary loads of loads per phase: with a phase if they draw on one, else on all three alike.

    They are homes where the net has no other load.
    """
    loads = net.asymmetric_load
    if not len(loads):
        return
    kind = "asymmetric" if len(net.load) else "HH"
    p_mw = loads[[f"p_{phase}_mw" for phase in PHASES]].to_numpy(dtype=float)
    q_mvar = loads[[f"q_{phase}_mvar" for phase in PHASES]].to_numpy(dtype=float)
    created = pp.create_loads(
        net,
        loads["bus"].to_numpy(),
        p_mw=p_mw.sum(axis=1),
        q_mvar=q_mvar.sum(axis=1),
        name=loads["name"].tolist(),
        scaling=loads["scaling"].to_numpy(dtype=float),
        in_service=loads["in_service"].to_numpy(dtype=bool),
        type=kind,
    )
    single = (p_mw != 0).sum(axis=1) == 1
    phase = np.where(single, np.array(PHASES)[np.abs(p_mw).argmax(axis=1)], "")
    known = net.load["phase"] if "phase" in net.load.columns else pd.Series("", index=net.load.index)
    net.load["phase"] = known
    net.load.loc[created, "phase"] = phase
    net.asymmetric_load = loads.iloc[:0]


def home_phases(net: pandapowerNet, homes: pd.Index, *, source: str) -> Int[np.ndarray, " homes"]:
    """0, 1 or 2, or `ALL_THREE`. Raises `FeederError` where a home's phase is no phase."""
    if "phase" not in net.load.columns:
        raise FeederError(
            source,
            "the network does not say which phase its homes are connected to",
            remedy='Add a column "phase" to net.load ("a", "b", "c", or empty for all three), or set '
            "feeder.unbalanced = false",
        )
    text = net.load.loc[homes, "phase"].fillna("").astype(str).str.strip().str.lower()
    wrong = text[~text.isin(["", *PHASES])]
    if len(wrong):
        raise FeederError(
            source,
            f"load {wrong.index[0]} is connected to phase {wrong.iloc[0]!r}",
            remedy='Use "a", "b" or "c", or nothing for all three',
        )
    return np.array([PHASES.index(letter) if letter else ALL_THREE for letter in text], dtype=np.int64)


def connection_weights(
    home_phase: Int[np.ndarray, " homes"],
    home_connection: Int[np.ndarray, " homes"],
    n_connections: int,
    *,
    source: str,
) -> Float[np.ndarray, "connections phases"]:
    """Share of each phase in the power of a connection bus; a third each where no home is connected.

    The power of a bus is one sum, so that its homes must be connected alike, or `FeederError` is raised.
    """
    weights = np.full((n_connections, 3), 1.0 / 3.0)
    weights[home_connection] = _home_weights(home_phase)
    unlike = (weights[home_connection] != _home_weights(home_phase)).any(axis=1)
    if unlike.any():
        raise FeederError(
            source,
            "homes at the same bus are connected to different phases",
            remedy="Give each of them a bus of its own",
        )
    return weights


def limits_per_phase(limits: Limits, home_phase: Int[np.ndarray, " homes"]) -> Limits:
    """Three rows for every row: a third of the rating each, for the homes that are connected to the phase.

    A home's share in a phase's limit is 1, or a third if it is connected to all three.
    """
    rows = limits.some(np.repeat(np.arange(limits.n_limits), 3))
    phase = np.tile(np.arange(3), limits.n_limits)
    coupling = rows.coupling.tocoo()
    limit, home = coupling.coords
    share = _home_weights(home_phase)[home, phase[limit]]
    of_phase = sparse.csr_array((coupling.data * share, (limit, home)), shape=coupling.shape)
    of_phase.eliminate_zeros()
    return replace(
        rows,
        names=tuple(f"{name}-{letter}" for name in limits.names for letter in PHASES),
        rated_kva=rows.rated_kva / 3.0,
        phase=phase,
        coupling=of_phase,
    )


def _home_weights(home_phase: Int[np.ndarray, " homes"]) -> Float[np.ndarray, "homes phases"]:
    return np.where(home_phase[:, None] == ALL_THREE, 1.0 / 3.0, home_phase[:, None] == np.arange(3))
