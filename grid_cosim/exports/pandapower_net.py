"""pandapower: `network.json`, the network with the powers of one step and its power flow (`res_*`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
from pandapower.auxiliary import LoadflowNotConverged, pandapowerNet

from grid_cosim.errors import ExportError
from grid_cosim.exports.attribution import attribution_lines, licences
from grid_cosim.exports.chosen import Chosen
from grid_cosim.exports.powers import Powers, read_powers
from grid_cosim.feeder.plain_run import TOLERANCE_MVA
from grid_cosim.feeder.switching import with_positions

_AGREEMENT_PU = 1e-6
"""Voltages are recorded in single precision, which leaves 6e-8."""


def write(chosen: Chosen, folder: Path) -> list[str]:
    """Solve the step again, see that it agrees with what was recorded, and write the net."""
    saved, step = chosen.network, chosen.step
    if saved.unbalanced:
        raise ExportError(
            chosen.to,
            "the run was solved per phase, and this export is of symmetrical networks",
            remedy="Run it again with feeder.unbalanced = false, or export tables",
        )
    net = with_positions(saved.net, saved.closed(step))
    _draw(net, read_powers(chosen, range(step, step + 1)))
    try:
        # lightsim2grid=False: else installing that package changes the solver silently
        pp.runpp(net, lightsim2grid=False, tolerance_mva=TOLERANCE_MVA)
    except LoadflowNotConverged as error:
        raise ExportError(
            chosen.to, f"{chosen.when} has no AC solution", remedy="Choose another one with --step or --time"
        ) from error
    apart_pu = _difference(chosen, net)
    if apart_pu > _AGREEMENT_PU:
        raise ExportError(
            chosen.to,
            f"solved again, {chosen.when} is {apart_pu:.1e} pu from what was recorded",
            remedy="Report this network to the authors of grid_cosim",
        )
    results = chosen.results
    net["grid_cosim"] = {
        "controller": chosen.controller,
        "step": step,
        "time": f"{chosen.times[step]:%Y-%m-%dT%H:%M:%S}",
        "seed": results.provenance.get("seed"),
        "licences": licences(results),
        "attribution": attribution_lines(results),
    }
    (folder / "network.json").write_text(pp.to_json(net), encoding="utf-8", newline="\n")
    return [
        f"The network in {chosen.when} of {chosen.controller}",
        "No voltages were recorded to compare with"
        if np.isnan(apart_pu)
        else f"Its voltages are at most {apart_pu:.0e} pu from those that were recorded",
    ]


def _draw(net: pandapowerNet, powers: Powers) -> None:
    """Give the loads, generators and storages the powers of the first step; all are constant powers."""
    for table, rows in powers.elements.groupby("table", sort=False):
        sign = -1.0 if table == "sgen" else 1.0
        net[table].loc[rows["index"], "p_mw"] = sign * powers.p_kw[0, rows.index] / 1e3
        net[table].loc[rows["index"], "q_mvar"] = sign * powers.q_kvar[0, rows.index] / 1e3
        net[table].loc[rows["index"], "scaling"] = 1.0
    varying = [column for column in net.load.columns if column.startswith(("const_z", "const_i"))]
    net.load[varying] = 0.0


def _difference(chosen: Chosen, net: pandapowerNet) -> float:
    """Largest difference of a voltage from the recorded one; NaN where none was recorded."""
    rows = chosen.run.table("buses", ["time", "bus", "vm_pu"])
    rows = rows[rows["time"] == chosen.times[chosen.step]]
    recorded = rows.set_index(rows["bus"].astype(str))["vm_pu"].astype(float)
    solved = net.res_bus["vm_pu"].rename(lambda index: f"Bus-{index}")
    difference = (solved - recorded.reindex(solved.index)).abs().to_numpy()
    return float(np.nanmax(difference)) if np.isfinite(difference).any() else float("nan")
