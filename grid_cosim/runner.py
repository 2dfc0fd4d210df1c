"""Run a scenario: every controller that it names, on the same homes, weather and arrivals."""

from __future__ import annotations

import platform
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grid_cosim.analysis import Results
from grid_cosim.assembly import assemble, scenario_feeder, scenario_fleet, scenario_policies
from grid_cosim.cosim.keeping import CHECKPOINT_S
from grid_cosim.cosim.world import run_world
from grid_cosim.devices import HeatPump
from grid_cosim.errors import GridCosimError
from grid_cosim.events import moving_limits
from grid_cosim.feeder import Feeder, Solvers, fingerprint
from grid_cosim.feeder.geography import read_links
from grid_cosim.feeder.saving import save_network
from grid_cosim.fleet import Fleet
from grid_cosim.limiting import with_limits
from grid_cosim.metrics import write_kpis
from grid_cosim.neighbourhood import Neighbourhood
from grid_cosim.optimum import Schedule, Scheduled
from grid_cosim.policies.checkpoint import Policy
from grid_cosim.profiles import LICENCES
from grid_cosim.report import write_report
from grid_cosim.results import Basis, Record, Topology, staged_folder, write_description
from grid_cosim.resuming import Left, input_files, keep_schedule, tidy
from grid_cosim.scenario import Scenario
from grid_cosim.versions import versions

Progress = Callable[[str, int, int], None]
"""Called with the controller, the control steps done, and all of them."""

_HANDED_OVER = ("The network was handed over in Python: the scenario's section [feeder] did not apply.",)


def run(
    scenario: Scenario,
    *,
    out: Path | str,
    feeder: Feeder | None = None,
    progress: Progress = lambda controller, done, of: None,
    report: bool = True,
    resume: bool = False,
    checkpoint_s: float = CHECKPOINT_S,
) -> Results:
    """Run a scenario and write its results folder at `out`, with its page `report.html` unless unwanted.

    `feeder` takes the place of the scenario's network: `load_feeder(net)` makes one of a pandapower net.
    An earlier results folder there is replaced, once everything has been written. If a run fails or is
    interrupted, what there is until then stays in `<out>.partial`, marked as such. Every `checkpoint_s`
    seconds (0: after every step) it is brought to the disk, and with `resume` a run goes on from there, to
    the same numbers as if it had never been interrupted; `ResultsError` where there is nothing to go on from,
    or where scenario, files, policies or versions are not what they were.
    Raises `GridCosimError` for input that cannot be used and `RunError` for a run that did not end.
    """
    left = Left.by(out) if resume else None
    handed_over = feeder is not None
    feeder = scenario_feeder(scenario) if feeder is None else with_limits(scenario, feeder, scenario_fleet)
    fleet = scenario_fleet(scenario, feeder)
    described = tomllib.loads(scenario.as_toml())
    origin = provenance(scenario, feeder, scenario_policies(scenario, fleet, feeder.home_names))
    if handed_over:
        origin["inputs"] |= {"network": fingerprint(feeder)}
    if left is not None:
        left.refuse_others(described, origin)
    solver_notes = Solvers(feeder, scenario.power_flow.solver).notes
    neighbourhoods = _assembled(scenario, feeder, fleet, progress, left)
    told = [*(_HANDED_OVER if handed_over else ()), *solver_notes]
    with staged_folder(out, resume=resume) as folder:
        if left is None:
            for schedule in _schedules(neighbourhoods.values()):
                keep_schedule(folder, schedule)
            save_network(feeder, folder, scenario.time.quarters())
            # last: whoever is cut off before it has nothing to go on from
            _describe(folder, scenario, feeder, fleet, neighbourhoods, described, origin, told)
        for name, neighbourhood in neighbourhoods.items():
            progress(name, 0 if left is None else left.step(name), scenario.time.n_steps)
            with _leaving_a_note(folder):
                _simulate(
                    scenario,
                    feeder,
                    neighbourhood,
                    folder / name,
                    progress=partial(_advance, progress, name, scenario.time.n_steps),
                    resume=resume,
                    checkpoint_s=checkpoint_s,
                )
        tidy(folder, scenario.controllers)
        results = Results.load(folder)
        write_kpis(results, folder)
        if report:
            write_report(results, folder / "report.html")
    return Results.load(out)


def _describe(
    folder: Path,
    scenario: Scenario,
    feeder: Feeder,
    fleet: Fleet,
    neighbourhoods: Mapping[str, Neighbourhood],
    described: Mapping[str, Any],
    origin: Mapping[str, Any],
    told: Sequence[str],
) -> None:
    """Write what readers of the results need besides the tables, and what was assumed."""
    write_description(
        folder,
        scenario=described,
        provenance=origin,
        basis=Basis(title=scenario.title, dt_h=scenario.time.dt_h, comfort_low_c=comfort_low_c(fleet)),
        topology=topology(feeder),
        controllers=list(scenario.controllers),
        warnings=[*warnings(scenario, feeder, fleet), *shortcomings(neighbourhoods.values())],
        notes=[
            *told,
            *assumptions(fleet),
            *foresight(neighbourhoods.values()),
        ],
    )


def _assembled(
    scenario: Scenario, feeder: Feeder, fleet: Fleet, progress: Progress, left: Left | None
) -> dict[str, Neighbourhood]:
    """The neighbourhood of every controller that is still to run."""
    neighbourhoods: dict[str, Neighbourhood] = {}
    for name in scenario.controllers:
        if left is not None and left.is_complete(name):
            continue
        schedule = left.schedule if left is not None and name == "optimum" else None
        if name == "optimum" and schedule is None:  # to find it for all steps takes a while
            progress(name, 0, scenario.time.n_steps)
        neighbourhoods[name] = assemble(scenario, feeder, name, fleet=fleet, schedule=schedule)
    return neighbourhoods


def _simulate(
    scenario: Scenario,
    feeder: Feeder,
    neighbourhood: Neighbourhood,
    folder: Path,
    *,
    progress: Callable[[int], None],
    resume: bool,
    checkpoint_s: float,
) -> None:
    """Run one controller with a power flow of its own: one may start from its last solution."""
    run_world(
        neighbourhood,
        feeder,
        folder,
        start=scenario.time.start,
        power_flow=Solvers(feeder, scenario.power_flow.solver),
        check_every=scenario.power_flow.check_every,
        on_divergence=scenario.power_flow.on_divergence,
        progress=progress,
        record=Record(**scenario.record.model_dump()),
        resume=resume,
        checkpoint_s=checkpoint_s,
    )


@contextmanager
def _leaving_a_note(folder: Path) -> Iterator[None]:
    """Say where the results lie that a run has left which did not end."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"What was computed until then is in {folder}; `grid-cosim report` draws it.")
        if not isinstance(error, GridCosimError):  # the same input would fail in the same step
            error.add_note("The same command with --resume goes on from there.")
        raise


def _advance(progress: Progress, controller: str, n_steps: int, done: int) -> None:
    progress(controller, done, n_steps)


def topology(feeder: Feeder) -> Topology:
    """The feeder as the results keep it, with the ids of the wire."""
    buses, lines = feeder.buses, feeder.lines

    def bus(indices: Any) -> list[str]:
        return [f"Bus-{index}" for index in indices]

    has_heat_pump = feeder.has_heat_pump
    return Topology(
        buses=pd.DataFrame(
            {"bus": bus(buses.index), **_columns(buses, "name", "vn_kv", "longitude", "latitude")}
        ),
        lines=pd.DataFrame(
            {
                "line": [f"Line-{index}" for index in lines.index],
                "from_bus": bus(lines["from_bus"]),
                "to_bus": bus(lines["to_bus"]),
                **_columns(lines, "name", "length_km", "max_i_ka", "path"),
            }
        ),
        limits=_limits(feeder),
        homes=pd.DataFrame(
            {
                "household": list(feeder.home_names),
                "bus": bus(feeder.home_bus),
                "has_heat_pump": False if has_heat_pump is None else has_heat_pump,
            }
        ),
        title=feeder.title,
        source=feeder.source,
        licence=feeder.licence,
        notes=(*feeder.notes, *(note for later in feeder.later for note in later.notes)),
        links=read_links(feeder.net),
    )


def _limits(feeder: Feeder) -> pd.DataFrame:
    """Every limit with the buses between which it lies; a voltage lies at one."""
    limits = feeder.limits
    ends = {
        "trafo": feeder.trafos[["name", "hv_bus", "lv_bus"]],
        "line": feeder.lines[["name", "from_bus", "to_bus"]],
        "bus": feeder.buses[["name"]].assign(from_bus=feeder.buses.index, to_bus=feeder.buses.index),
    }
    found = pd.DataFrame(
        [
            ends[element].loc[index].tolist()
            for element, index in zip(limits.element, limits.index, strict=True)
        ],
        columns=["name", "from_bus", "to_bus"],
    )
    return pd.DataFrame(
        {
            "limit": list(limits.names),
            "element": list(limits.element),
            "name": found["name"],
            "from_bus": [f"Bus-{bus}" for bus in found["from_bus"]],
            "to_bus": [f"Bus-{bus}" for bus in found["to_bus"]],
            "rated_kva": limits.rated_kva,
            "limit_percent": limits.limit_percent,
            "level": limits.level,
            "sense": limits.sense,
        }
    )


def _columns(frame: pd.DataFrame, *names: str) -> dict[str, list[Any]]:
    return {name: list(frame[name]) for name in names}


def warnings(scenario: Scenario, feeder: Feeder, fleet: Fleet) -> list[str]:
    """What a reader must know before the numbers: limits that nobody can hold, homes without power."""
    times = scenario.time.times()
    quarters, columns = np.array(scenario.time.quarters()), []
    for steps, at in feeder.periods(fleet.n_steps):
        of = slice(steps.start, steps.stop)
        background_kw = at.background_on_limits_over_kw(quarters[of])
        columns.append((at.limits.coupling @ fleet.base_kw[of].T + background_kw, at.first_limit_kw()))
    base_kw = np.hstack([part for part, _ in columns])
    first_limit_kw = np.hstack([np.tile(kw[:, None], part.shape[1]) for part, kw in columns])
    moving = moving_limits(scenario, feeder)
    if moving is not None:
        percent = np.stack([moving.at(step) for step in range(fleet.n_steps)], axis=1)
        first_limit_kw *= percent / feeder.limits.limit_percent[:, None]
    found = _without_power(feeder, fleet.n_steps)
    for row, name in enumerate(feeder.limits.names):
        over = np.flatnonzero(base_kw[row] > first_limit_kw[row])
        if over.size:
            worst = int((base_kw[row] / first_limit_kw[row]).argmax())
            found.append(
                f"{name}: the inflexible load alone exceeds the limit of about "
                f"{_power(first_limit_kw[row, worst])} "
                f"in {over.size} of {fleet.n_steps} steps ({_power(base_kw[row, worst])} at "
                f"{times[worst]:%d %b %H:%M}). No controller can hold it then."
            )
    return found


def _without_power(feeder: Feeder, n_steps: int) -> list[str]:
    """A warning of the homes that are connected to no external grid, in any step."""
    dead = np.array([at.without_power for _, at in feeder.periods(n_steps)])
    rows = np.flatnonzero(dead.any(axis=0))
    if not rows.size:
        return []
    shown = ", ".join(feeder.home_names[row] for row in rows[:4]) + (", …" if rows.size > 4 else "")
    when = "" if dead[:, rows].all() else " at times, as switches move"
    return [
        f"{rows.size} of {feeder.n_households} homes ({shown}) are connected to no external grid{when}: "
        "their devices run, but the power flow leaves them out."
    ]


def _power(kw: float) -> str:
    return f"{kw:,.0f} kW" if kw >= 10.0 else f"{kw:.2g} kW"


def comfort_low_c(fleet: Fleet) -> float | None:
    """Mean over the buildings of where their comfort band ends below; None without buildings."""
    for group in fleet.groups:
        if isinstance(group.device, HeatPump):
            return float((group.device.set_point_c - group.device.band_below_k).mean())
    return None


def assumptions(fleet: Fleet) -> list[str]:
    """What was assumed about the homes, in words."""
    counts = ", ".join(f"{group.household.size} × {group.kind.replace('_', ' ')}" for group in fleet.groups)
    return [
        f"{fleet.n_households} homes with {counts or 'no flexible device'}; parameters, sessions and base "
        "load are drawn from the distributions in the documentation of the devices, the same for every "
        "controller.",
        "Homes know the tariff of the next 24 hours, heat pumps the outdoor temperature as well; nobody "
        "knows future congestion prices or arrivals.",
        "Energy still owed at the end, and heat missing in the buildings, is charged to every controller "
        "alike.",
        "Congestion prices are internal: they steer the devices and are no part of the total cost.",
    ]


def foresight(neighbourhoods: Iterable[Neighbourhood]) -> list[str]:
    """How the optimum came about, where one was computed."""
    return [
        "The controller optimum can be computed, not built: it knows the weather, arrivals and loads of all "
        "steps. Its schedule has the least total cost that keeps the limits, its prices are their dual "
        f"variables; solved {schedule.solves} × in {schedule.solve_time_s:.1f} s between AC power flows."
        for schedule in _schedules(neighbourhoods)
    ]


def shortcomings(neighbourhoods: Iterable[Neighbourhood]) -> list[str]:
    """Where the optimum is not quite one."""
    return [
        f"optimum: after {schedule.solves} solves an element is still {schedule.missed_percent:.2g} points "
        "of loading off its limit. So its cost is not quite the least that keeps the limits."
        for schedule in _schedules(neighbourhoods)
        if schedule.missed_percent > 0.0
    ]


def _schedules(neighbourhoods: Iterable[Neighbourhood]) -> list[Schedule]:
    controllers = (neighbourhood.controller for neighbourhood in neighbourhoods)
    return [controller.schedule for controller in controllers if isinstance(controller, Scheduled)]


def provenance(scenario: Scenario, feeder: Feeder, policies: Any) -> dict[str, Any]:
    """Where the numbers come from: versions, seed, hashes of the policies, licences of the data."""
    licences = {"network": feeder.licence}
    if scenario.homes.base_load == "simbench":
        licences["base load"] = LICENCES["simbench"]
    if not Path(scenario.weather.source).is_file():
        licences["weather"] = LICENCES["dwd_try"]
    return {
        "created": time.strftime("%Y-%m-%d %H:%M:%S"),
        "seed": scenario.seed,
        "versions": versions(),
        "platform": platform.platform(),
        "policies": {kind: _policy_origin(policy) for kind, policy in policies.items()},
        "inputs": input_files(tomllib.loads(scenario.as_toml())),
        "licences": licences,
    }


def _policy_origin(policy: Policy) -> dict[str, Any]:
    return {"sha256": policy.sha256, "recipe": policy.recipe, "trained_with": policy.versions}
