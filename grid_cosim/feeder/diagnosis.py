"""What somebody's net is, before anything is simulated: homes, limits, what is missing or doubtful."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandapower as pp
from jaxtyping import Float
from pandapower.auxiliary import pandapowerNet
from pandapower.powerflow import LoadflowNotConverged

from grid_cosim.errors import FeederError
from grid_cosim.feeder import findings
from grid_cosim.feeder.findings import PLAUSIBLE_HOME_KW, SEVERITIES, Finding
from grid_cosim.feeder.homes import LOW_VOLTAGE_KV, Homes, find_homes
from grid_cosim.feeder.network import Feeder, feeder_of
from grid_cosim.feeder.opening import TAPS_IGNORED, drop_profiles, mend, open_net
from grid_cosim.feeder.solvers import choose_power_flow

KW_PER_HOME = 2.0
"""What a home is planned with where many are behind one load: 2.0 kW in Kerber's suburb, 2.1 kW in
Schutterwald, both as pandapower ships them."""


@dataclass(frozen=True)
class Diagnosis:
    """A net as it was looked at."""

    source: str
    findings: tuple[Finding, ...]
    """The gravest first."""
    feeder: Feeder | None
    """None where it is refused."""
    rule: str
    """Which loads are homes, in words."""
    kw_per_home: float | None
    """Planned power per home where loads stand for several."""
    shipped_percent: Float[np.ndarray, " limits"]
    """AC loading of each limit with all loads as the net ships; NaN without a solution."""

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Why it cannot be simulated; nothing where it can."""
        return tuple(finding for finding in self.findings if finding.severity == "refuses")


def diagnose(source: str | Path | pandapowerNet, *, kw_per_home: float | None = None) -> Diagnosis:
    """Look at a net from all sides.

    Without `kw_per_home` loads that are too large for a home stand for one per `KW_PER_HOME`. Raises
    `FeederError` only for what cannot be opened at all; what is wrong with a net is a finding.
    """
    with _quiet_pandapower():
        opened = open_net(source)
        net = opened.net
        found = list(findings.unusable_values(net))
        if found:
            return Diagnosis(opened.source, tuple(found), None, "", kw_per_home, np.zeros(0))
        shipped = deepcopy(net)
        mend(shipped)
        try:
            homes = find_homes(shipped, None, source=opened.source)
            found = list(findings.regions(shipped, homes.load))
            if found:
                return Diagnosis(opened.source, tuple(found), None, homes.rule, kw_per_home, np.zeros(0))
            kw_per_home = _several(shipped, homes) if kw_per_home is None else kw_per_home
            feeder = feeder_of(
                opened,
                limit_share=1.0,
                homes=None,
                slack_vm_pu=None,
                unbalanced=False,
                kw_per_home=kw_per_home,
            )
        except FeederError as error:
            refused = Finding("refuses", error.problem, (), error.remedy)
            found = [refused, *findings.supply(shipped), *findings.electrical(shipped)]
            return Diagnosis(opened.source, _sorted(found), None, "", kw_per_home, np.zeros(0))
        found += _of_tables(shipped, homes, kw_per_home)
        drop_profiles(shipped)
        found += [*_of_feeder(feeder, homes.recognising), *_as_shipped(shipped)]
        percent = _limit_percent(shipped, feeder)
    refuses = any(finding.severity == "refuses" for finding in found)
    return Diagnosis(
        opened.source, _sorted(found), None if refuses else feeder, homes.rule, kw_per_home, percent
    )


def _sorted(found: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def _several(net: pandapowerNet, homes: Homes) -> float | None:
    """`KW_PER_HOME` where most loads are too large for one home or at medium voltage; unless marked."""
    loads = net.load.loc[homes.load]
    large = 1e3 * loads["p_mw"] * loads["scaling"] > PLAUSIBLE_HOME_KW
    at_low = net.bus["vn_kv"].reindex(loads["bus"]).to_numpy(dtype=float) < LOW_VOLTAGE_KV
    several = large.to_numpy(dtype=bool) | ~at_low
    return KW_PER_HOME if several.mean() > 0.5 and not homes.marked else None


def _of_tables(net: pandapowerNet, homes: Homes, kw_per_home: float | None) -> list[Finding]:
    return [
        *findings.ratings(net),
        *findings.placeholders(net),
        *findings.coordinates(net),
        *findings.supply(net),
        *findings.electrical(net),
        *findings.names(net, homes.load),
        *findings.besides_homes(net, homes.load, homes.replaced),
        *findings.aggregates(net, homes.load, kw_per_home, marked=homes.marked),
    ]


def _of_feeder(feeder: Feeder, said: Sequence[str]) -> Iterator[Finding]:
    """What loading it has found out, besides what is `said` anyway, and what its wiring is."""
    for note in feeder.notes:
        if note in said or " stand for " in note:
            continue
        taps = note.endswith(TAPS_IGNORED)
        remedy = 'Set net.trafo.tap_changer_type to "Ratio" ("Ideal" for a phase shifter)' if taps else ""
        yield Finding("doubtful" if taps else "information", note, (), remedy)
    if feeder.wiring.forest is None:
        wiring = feeder.wiring
        free = int((~wiring.is_slack).sum())
        loops = wiring.from_node.size - free
        yield Finding(
            "information",
            f"meshed: {loops} loops or parallel branches, whose power is shared by impedance",
            (),
            "If it is run open, open the switches at the normally open points",
        )
    note = choose_power_flow(feeder).note
    if "cannot" in note:
        yield Finding("information", note.rstrip("."), (), "")


def _as_shipped(net: pandapowerNet) -> Iterator[Finding]:
    """Solve it with all its loads, and tell what is out of bounds already."""
    try:
        pp.runpp(net, lightsim2grid=False)
    except (LoadflowNotConverged, ValueError, FloatingPointError, np.linalg.LinAlgError):
        yield Finding(
            "doubtful",
            "no AC solution with the loads as they are in the file",
            (),
            "Look for powers in kW where MW are meant, and for impedances that are far too large; "
            "pandapower.diagnostic(net) helps",
        )
        return
    vm_pu = net.res_bus["vm_pu"]
    outside = vm_pu[(vm_pu < 0.9) | (vm_pu > 1.1)]
    if len(outside):
        yield Finding(
            "information",
            f"{len(outside)} buses are outside 0.9 to 1.1 pu as planned ({vm_pu.min():.3f} to "
            f"{vm_pu.max():.3f})",
            findings.element_names(net, "bus", outside.index),
            'Make the voltage a limit (limits.voltage = "near"), or set feeder.slack_vm_pu',
        )
    lines = net.res_line["loading_percent"]
    over = lines[lines > 100.0]
    if len(over):
        yield Finding(
            "information",
            f"{len(over)} lines are above their rating as planned (up to {over.max():.0f} %)",
            findings.element_names(net, "line", over.index),
            'Make lines limits: limits.lines = "near"',
        )


def _limit_percent(net: pandapowerNet, feeder: Feeder) -> Float[np.ndarray, " limits"]:
    """Loading of the limited transformers in a net that has been solved."""
    solved = "res_trafo" in net and len(net.res_trafo) == len(net.trafo)
    if not solved:
        return np.full(feeder.limits.n_limits, np.nan)
    return net.res_trafo["loading_percent"].reindex(feeder.limits.index).to_numpy(dtype=float)


@contextmanager
def _quiet_pandapower() -> Iterator[None]:
    """What pandapower logs about a net is said in the findings, in words that tell what to do."""
    logger = logging.getLogger("pandapower")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
