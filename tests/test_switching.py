"""Switches that open and close: who is behind which limit, and what the agents make of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import mosaik
import mosaik_api_v3
import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from grid_cosim import load_scenario, run
from grid_cosim.assembly import assemble, scenario_feeder, scenario_fleet
from grid_cosim.coordination import (
    Copies,
    CurveStep,
    GradientStep,
    NewtonStep,
    communication,
    handed_over,
    price_grid,
)
from grid_cosim.coordination.consensus import TrackedMixing
from grid_cosim.cosim import FeederSim, HouseholdSim, run_world
from grid_cosim.cosim.world import SIM_CONFIG, connect_feeder, connect_recorder
from grid_cosim.deciding import Independent
from grid_cosim.errors import CosimError, FeederError, ScenarioError
from grid_cosim.events import switched_feeders
from grid_cosim.feeder import Feeder, Solvers, load_feeder
from grid_cosim.feeder.switching import reswitched, switch_positions, switched
from grid_cosim.limiting import with_limits
from grid_cosim.results import RunWriter
from grid_cosim.scenario import Scenario
from tests import builders
from tests.coordination.demand import Logistic, some_homes

OUT = {"kind": "switch", "begin": 1.0, "end": 3.0, "open": "Trafo-0", "close": "the tie"}


def areas(homes: int = 2) -> Feeder:
    """Two areas whose ends can be joined; the switch has a name."""
    net = builders.coupled_areas(closed=False)
    net.switch["name"] = "the tie"
    for bus in net.load["bus"].tolist() * (homes // 2 - 1):
        pp.create_load(net, bus, p_mw=0.002, q_mvar=0.0004, type="HH", name=f"H{len(net.load)}")
    return load_feeder(net)


def asked(*events: dict[str, Any], hours: float = 4.0, **sections: Any) -> Scenario:
    raw = {"time": {"start": datetime(2016, 1, 4, 17), "hours": hours}, "events": list(events), **sections}
    return Scenario.model_validate(raw)


def limited(scenario: Scenario, feeder: Feeder) -> Feeder:
    return with_limits(scenario, feeder, scenario_fleet)


def members(feeder: Feeder) -> dict[str, list[int]]:
    coupling = feeder.limits.coupling.toarray()
    return {
        name: np.flatnonzero(row).tolist() for name, row in zip(feeder.limits.names, coupling, strict=True)
    }


def test_homes_come_behind_other_limits_while_a_switch_event_lasts() -> None:
    feeder = limited(asked(OUT), areas())
    assert [later.start for later in feeder.later] == [4, 12]
    assert members(feeder) == {"Trafo-0": [0, 1], "Trafo-1": [2, 3]}
    assert members(feeder.at(3)) == members(feeder)
    assert members(feeder.at(4)) == {"Trafo-0": [], "Trafo-1": [0, 1, 2, 3]}
    assert members(feeder.at(15)) == members(feeder)
    # what carries no home has no place in the wiring of then
    assert (feeder.at(4).limits.branch < 0).tolist() == [True, False]
    assert feeder.net.trafo["in_service"].all()  # the first one is as it was
    others = "2 homes are behind other limits than before"
    assert [later.notes for later in feeder.later] == [
        (f"from 2016-01-04 18:00 on Switch-0 closed and Trafo-0 open: {others}",),
        (f"from 2016-01-04 20:00 on Switch-0 open and Trafo-0 closed: {others}",),
    ]
    # a scenario that switches nothing does not, whatever another one did
    assert limited(asked(), feeder).later == ()


def test_what_is_switched_from_the_start_on_is_told_too() -> None:
    feeder = limited(asked({**OUT, "begin": 0.0, "end": None}), areas())
    assert feeder.later == ()
    assert feeder.notes[-1] == "from the start on Switch-0 closed and Trafo-0 open"


def test_all_kinds_of_limits_follow() -> None:
    scenario = asked(OUT, limits={"lines": "all", "voltage": "all", "reverse": True})
    feeder = limited(scenario, areas())
    there = feeder.at(4)
    assert there.limits.names == feeder.limits.names
    assert "Bus-3 low" in feeder.limits.names  # an end of a cable before, none afterwards
    assert members(feeder)["Bus-3 low"] == [0, 1]
    assert members(there)["Bus-3 low"] == []
    # line 1 is fed from its other end
    row = feeder.limits.names.index("Line-1")
    assert (members(feeder)["Line-1"], members(there)["Line-1"]) == ([1], [0])
    assert (feeder.limits.direction[row], there.limits.direction[row]) == (1, -1)
    assert members(there)["Line-3 reverse"] == [0, 1, 3]
    # and lies behind the tie now, not before it
    level = dict(zip(there.limits.names, there.limits.level.tolist(), strict=True))
    assert level["Trafo-1"] < level["Line-2"] < level["Line-3"] < level["Line-4"] < level["Line-1"]


def test_limits_that_somebody_is_behind_later_only_are_there_from_the_start() -> None:
    net = areas().net
    feeder = load_feeder(net)
    tie = asked(
        {"kind": "switch", "begin": 1.0, "open": "Line-0", "close": "Switch-0"}, limits={"lines": "all"}
    )
    found = limited(tie, feeder)
    assert members(found)["Line-4"] == []
    assert members(found.at(4))["Line-4"] == [0, 1]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            {"kind": "switch", "open": "Switch-9"},
            "events.0.open: got 'Switch-9', expected a switch, line or transformer of coupled, as Switch-3, "
            "Line-7, Trafo-0 or the own name of a switch. Did you mean 'Switch-0'?",
        ),
        ({"kind": "switch", "open": "the tie"}, "events.0.open: got 'the tie', which is open already"),
        ({"kind": "switch", "close": ("Line-0",)}, "events.0.close: got 'Line-0', which is closed already"),
        ({"kind": "switch", "begin": 5.0, "close": "Switch-0"}, "events.0.begin: got 2016-01-04 22:00"),
        (
            {"kind": "switch", "open": "the tie", "close": "Switch-0"},
            "events.0.close: got 'Switch-0', in `open` too as Switch-0, expected it once",
        ),
    ],
)
def test_what_cannot_be_switched_is_told(event: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        switched_feeders(asked(event), areas())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"kind": "switch"}, "got neither `open` nor `close`"),
        ({"kind": "switch", "open": "Line-1", "share": 0.5}, "a switch event has `open` or `close`, and no"),
        ({"kind": "switch", "open": "Line-1", "close": "Line-1"}, "got Line-1 in both `open` and `close`"),
        ({"kind": "signal", "share": 0.5}, "got no `element`, expected what the signal is about"),
        ({"kind": "rating", "element": "Line-1", "share": 2.0, "open": "Line-1"}, "a rating has no `open`"),
    ],
)
def test_an_event_says_what_its_kind_needs(event: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        asked(event)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (
            [{"kind": "switch", "begin": 1.0, "open": "Trafo-0"}],
            "events.0: from 2016-01-04 18:00 to 2016-01-04 21:00, with Trafo-0 open, 2 homes are without "
            "supply (H0, H1); close another switch in the same event, through which they are fed then",
        ),
        (
            [
                {"kind": "switch", "begin": 1.0, "end": 2.1, "open": "Trafo-0", "close": "Switch-0"},
                {"kind": "switch", "begin": 2.1, "open": "Line-2"},
            ],
            "events.0 and events.1: from 2016-01-04 19:00 to 2016-01-04 19:15, with Line-2 open, Switch-0 "
            "closed and Trafo-0 open, 4 homes are without supply",
        ),
    ],
)
def test_homes_that_would_be_cut_off_are_named(events: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        limited(asked(*events), areas())
    assert message in str(caught.value)


def test_what_stands_so_already_is_refused_unless_another_event_moves_it_meanwhile() -> None:
    closing = {"kind": "switch", "begin": 1.0, "end": 2.0, "close": "Switch-0"}
    opening = {"kind": "switch", "begin": 2.0, "end": 3.0, "open": "Switch-0"}
    with pytest.raises(ScenarioError, match=r"events.1.open: got 'Switch-0', which is open already"):
        switched_feeders(asked(closing, opening), areas())
    switched_feeders(asked(closing, {**opening, "begin": 1.5}), areas())


def test_a_switch_that_is_named_like_a_line_does_not_take_its_place() -> None:
    net = builders.coupled_areas(closed=False)
    net.switch["name"] = "Line-4"
    feeder = load_feeder(net)
    assert switch_positions(feeder)["Line-4"]
    (_, there), *_ = switched_feeders(asked({"kind": "switch", "open": "Line-4"}), feeder)
    assert not there.net.line.loc[4, "in_service"]
    assert not there.net.switch.loc[0, "closed"]


def test_a_later_event_takes_the_place_of_an_earlier_one() -> None:
    closing = {"kind": "switch", "begin": 0.5, "close": "Switch-0"}
    opening = {"kind": "switch", "begin": 1.0, "end": 2.0, "open": "Switch-0"}
    periods = switched_feeders(asked(closing, opening), areas())
    assert [steps for steps, _ in periods] == [range(2), range(2, 4), range(4, 8), range(8, 16)]
    assert [switch_positions(at)["Switch-0"] for _, at in periods] == [False, True, False, True]


def street(controllers: list[str], *events: dict[str, Any], **coordination: Any) -> Scenario:
    return asked(
        *events,
        hours=6.0,
        seed=3,
        controllers=controllers,
        devices={"electric_vehicle": {"share": 1.0}, "heat_pump": {"share": 0.5}},
        coordination=coordination,
    )


TIGHT = {**OUT, "begin": 2.25, "end": 4.5}
WHILE = slice(9, 18)


def busy(homes: int = 16) -> Feeder:
    """So many homes that one transformer is too small for both areas."""
    return areas(homes)


@pytest.mark.parametrize(
    ("step", "at_once"),
    [
        ("curve", 102.0),  # from 58 % to the limit is a long way to foresee from one measurement
        ("newton", 112.0),  # a few iterations from price 0
        ("gradient", np.inf),  # holds on average over time
    ],
)
def test_the_limit_holds_from_the_very_step_of_the_switching(
    step: str, at_once: float, tmp_path: Path
) -> None:
    scenario = street(["uncontrolled", "consensus"], TIGHT, dual_step=step)
    results = run(scenario, out=tmp_path / "out", feeder=busy(), report=False)
    loading = {name: by_limit(done, "loading_percent") for name, done in results.runs.items()}
    assert loading["uncontrolled"]["Trafo-1"].iloc[9] > 120.0
    kept = loading["consensus"]
    assert kept["Trafo-0"].iloc[WHILE].max() < 1e-6
    assert kept["Trafo-1"].iloc[9] < at_once
    if step != "gradient":
        assert by_limit(results.runs["consensus"], "price_mean_eur_per_kwh")["Trafo-1"].iloc[9] > 0.0
        assert kept["Trafo-1"].iloc[10:].max() < 101.0


@pytest.mark.parametrize("name", ["centralised", "optimum"])
def test_who_knows_everything_goes_on_when_switches_move(name: str, tmp_path: Path) -> None:
    results = run(street([name], TIGHT), out=tmp_path / "out", feeder=busy(), report=False)
    loading = by_limit(results.runs[name], "loading_percent")["Trafo-1"]
    assert loading.max() < 102.0
    assert loading.iloc[WHILE].max() > 98.0


def test_shares_are_those_of_the_members_at_the_time() -> None:
    scenario = street(["independent"], TIGHT)
    homes = assemble(scenario, limited(scenario, busy()), "independent")
    before, during = (homes.arranged(step).controller for step in (8, 9))
    assert isinstance(before, Independent)
    assert isinstance(during, Independent)
    np.testing.assert_allclose(during.share_kw, before.share_kw / 2)


def test_who_has_come_behind_a_limit_is_dimmed_with_the_others(tmp_path: Path) -> None:
    scenario = street(["uncontrolled", "dimming"], TIGHT)
    feeder = busy()
    results = run(scenario, out=tmp_path / "out", feeder=feeder, report=False)
    newcomers = [feeder.home_names[row] for row in members(feeder)["Trafo-0"]]

    def largest_kw(name: str, step: int) -> float:
        devices = results.runs[name].table("devices")
        at = devices["time"] == devices["time"].unique()[step]
        return float(devices.loc[at & devices["household"].isin(newcomers), "p_kw"].max())

    assert largest_kw("dimming", 8) == largest_kw("uncontrolled", 8) > scenario.dimming.power_kw
    assert largest_kw("dimming", 9) == scenario.dimming.power_kw


def by_limit(run_of: Any, column: str) -> pd.DataFrame:
    return run_of.table("limits").pivot_table(
        index="time", columns="limit", values=column, dropna=False, observed=False
    )


def test_both_ways_of_wiring_give_the_same_numbers(tmp_path: Path) -> None:
    scenario = street(["consensus"], TIGHT)
    feeder = limited(scenario, busy())
    for bulk in (True, False):
        homes = assemble(scenario, feeder, "consensus")
        run_world(homes, feeder, tmp_path / str(bulk), start=scenario.time.start, bulk=bulk)
    for table in ("limits", "households", "devices", "agreement", "grid"):
        one, other = (pd.read_parquet(tmp_path / str(bulk) / f"{table}.parquet") for bulk in (True, False))
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-9)


class Protection(mosaik_api_v3.Simulator):
    """Opens and closes at given times."""

    def __init__(self) -> None:
        model = {"public": True, "params": [], "attrs": ["closed", "opened"]}
        super().__init__({"api_version": "3.0", "type": "time-based", "models": {"Relay": model}})

    def init(self, sid: str, time_resolution: float, at: int, until: int) -> dict[str, Any]:
        self._at, self._until = at, until
        return dict(self.meta)

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        return [{"eid": "Relay", "type": model}]

    def step(self, time: int, inputs: Any, max_advance: int) -> int:
        self._on = self._at <= time < self._until
        return time + 900

    def get_data(self, outputs: Any) -> dict[str, Any]:
        return {"Relay": {"closed": self._on, "opened": not self._on}}


def test_any_simulator_may_switch_and_homes_follow_a_step_later(tmp_path: Path) -> None:
    """What another simulator switches is as if the scenario had switched it, but for that step."""
    scenario = street(["consensus"])
    feeder = limited(scenario, busy())
    homes = assemble(scenario, feeder, "consensus")
    world = mosaik.World(
        {**SIM_CONFIG, "Protection": {"python": "tests.test_switching:Protection"}},
        skip_greetings=True,
        configure_logging=False,
    )
    writer = RunWriter(tmp_path / "run")
    neighbourhood = world.start("HouseholdSim", neighbourhood=homes).Neighbourhood()
    grid = world.start("FeederSim", feeder=feeder, start=scenario.time.start, step_size=900).Grid()
    recorder = world.start(
        "RecorderSim", writer=writer, start=scenario.time.start, step_size=900, n_steps=24
    ).Recorder()
    relay = world.start("Protection", at=9 * 900, until=18 * 900).Relay()
    entities = {child.eid: child for child in grid.children}
    world.connect(relay, entities["Switch-0"], ("closed", "closed"))
    world.connect(relay, entities["Trafo-0"], ("opened", "in_service"))
    connect_feeder(world, neighbourhood, grid, bulk=True, switches=True)
    connect_recorder(world, neighbourhood, grid, recorder)
    world.run(until=24 * 900, print_progress=False)
    writer.finish("complete", "", 0.0)
    limits = pd.read_parquet(tmp_path / "run" / "limits.parquet")
    loading = limits.pivot_table(
        index="time", columns="limit", values="loading_percent", dropna=False, observed=False
    )
    assert loading["Trafo-1"].iloc[9] > 110.0  # nobody knew
    assert 98.0 < loading["Trafo-1"].iloc[10:18].max() < 102.0
    assert loading["Trafo-0"].iloc[18:].min() > 10.0


def simulators(scenario: Scenario, feeder: Feeder, in_grid: Feeder) -> tuple[Any, Any, Any]:
    world = mosaik.World(SIM_CONFIG, skip_greetings=True, configure_logging=False)
    homes = assemble(scenario, feeder, "uncontrolled")
    neighbourhood = world.start("HouseholdSim", neighbourhood=homes).Neighbourhood()
    grid = world.start("FeederSim", feeder=in_grid, start=scenario.time.start, step_size=900).Grid()
    return world, neighbourhood, grid


def test_a_grid_that_does_not_switch_as_the_homes_do_is_refused() -> None:
    scenario = street(["uncontrolled"], TIGHT)
    world, *ends = simulators(scenario, limited(scenario, areas()), areas())
    with pytest.raises(CosimError, match=r"scenario switches in steps \[9, 18\], the grid in \[\]"):
        connect_feeder(world, *ends)
    world.shutdown()


def test_wiring_that_tells_nobody_of_the_switching_is_refused() -> None:
    scenario = street(["uncontrolled"], TIGHT)
    simulator = HouseholdSim()
    simulator.init("H", neighbourhood=assemble(scenario, limited(scenario, areas()), "uncontrolled"))
    simulator.create(1, "Neighbourhood")
    for step in range(9):
        simulator.step(900 * step, {}, 900)
    with pytest.raises(CosimError, match=r"switches in step 9, and nobody tells.*Connect `remeasured`"):
        simulator.step(900 * 9, {}, 900)


def test_others_cannot_cut_homes_off_either() -> None:
    simulator = FeederSim()
    simulator.init("F", feeder=limited(asked(OUT), areas()), start=datetime(2016, 1, 4, 17))
    simulator.create(1, "Grid")
    never = {"Switch-0": {"closed": {"Relay": False}}}
    for step in range(3):
        simulator.step(900 * step, never, 900)
    with pytest.raises(
        CosimError,
        match=r"at 2016-01-04 18:00 2 homes are without supply \(H0, H1\), with Trafo-0 open; "
        r"others have sent: Switch-0 open",
    ):
        simulator.step(900 * 3, never, 900)


def test_a_relay_that_toggles_costs_one_solver_one_check_and_one_arrangement_per_position() -> None:
    feeder, checked = areas(), []
    grid = FeederSim()
    grid.init("F", feeder=feeder, check_every=100)
    grid.create(1, "Grid")
    homes = assemble(street(["consensus"]), limited(street(["consensus"]), feeder), "consensus")
    kept = homes
    controllers = set()
    for step in range(1, 9):
        grid.step(900 * step, {"Switch-0": {"closed": {"Relay": step % 2 == 0}}}, 900)
        checked.append(not np.isnan(grid.get_data({"Grid": ["ac_check_dv[pu]"]})["Grid"]["ac_check_dv[pu]"]))
        kept = kept.rearranged(step, {"Switch-0": step % 2 == 0})
        controllers.add(id(kept.arranged(step).controller))
        assert len(kept.later) <= 2
    assert checked == [True, True] + 6 * [False]
    assert len(controllers) == 2


def test_without_a_solution_just_after_the_switching_all_begins_anew() -> None:
    """As before the first step: with a guess of what the limit carries, and everybody's whole power."""
    scenario = street(["consensus"], TIGHT)
    homes = assemble(scenario, limited(scenario, busy()), "consensus")
    state, unknown = homes.init(), np.full(2, np.nan)
    for step in range(9):
        measured = homes.arranged(step).copies.coupling @ state.drawn_kw if step else unknown
        state, _ = homes.step(state, step, measured_kw=measured, loading_percent=measured)
    _, done = homes.step(state, 9, measured_kw=unknown, loading_percent=unknown)
    row = homes.limit_names.index("Trafo-1")
    assert done.meters.headroom_kw[row] == pytest.approx(90.0)  # of 100 kVA
    assert done.p_kw.sum() <= 90.0 * 1.001
    assert done.decision.local_price.min() > 0.0


def test_what_is_sent_to_a_switch_must_be_true_or_false() -> None:
    simulator = FeederSim()
    simulator.init("F", feeder=areas())
    simulator.create(1, "Grid")
    with pytest.raises(CosimError, match=r"Relay sends 0.5 as closed of Switch-0.*true or false"):
        simulator.step(0, {"Switch-0": {"closed": {"Relay": 0.5}}}, 900)
    with pytest.raises(CosimError, match=r"Line-0 takes no inputs. Connect to in_service"):
        simulator.step(0, {"Line-0": {"P[MW]": {"Relay": 0.5}}}, 900)


def test_the_optimum_cannot_follow_what_others_switch() -> None:
    scenario = street(["optimum"])
    homes = assemble(scenario, limited(scenario, areas()), "optimum")
    with pytest.raises(CosimError, match=r"scheduled before the run.*kind switch"):
        homes.rearranged(3, {"Switch-0": True})


def test_a_feeder_switched_at_run_time_has_the_limits_that_it_had() -> None:
    feeder = limited(asked(limits={"lines": "all", "voltage": "near", "near_percent": 0}), areas())
    there = reswitched(feeder, {"Switch-0": True, "Trafo-0": False})
    assert there.limits.names == feeder.limits.names
    assert members(there)["Trafo-1"] == [0, 1, 2, 3]
    assert there.limits.level.tolist() != feeder.limits.level.tolist()


STEPS = {
    "curve": lambda graph: CurveStep(graph, price_grid(4.0), sweeps=2, mixing=TrackedMixing(40)),
    "newton": lambda graph: NewtonStep(
        graph, largest_price=4.0, smallest_price=0.01, mixing=TrackedMixing(40)
    ),
    "gradient": lambda graph: GradientStep(graph, dual_step=1e-3),
}


@pytest.mark.parametrize("name", list(STEPS))
def test_who_is_not_concerned_goes_on_as_if_nothing_had_happened(name: str) -> None:
    """Three areas; at half time some homes of the second come behind the limit of the third."""
    before, after = np.kron(np.eye(3), np.ones(20)), np.kron(np.eye(3), np.ones(20))
    after[1, 30:40], after[2, 30:40] = 0.0, 1.0
    steps = [
        STEPS[name](communication(Copies.of(to_csr(coupling)), "random_regular", seed=1))
        for coupling in (before, after)
    ]
    homes: Logistic = some_homes(60)
    limit_kw = np.array([0.6 * homes.power_kw(np.zeros(60))[:20].sum()] * 3)
    told = {"demand": homes, "limit_kw": limit_kw, "offset_kw": np.zeros(3)}
    state = steps[0].init()
    for _ in range(6):
        state, _ = steps[0].step(state, **told)
    undisturbed, _ = steps[0].step(state, **told)
    moved, agreed = steps[1].step(handed_over(state, steps[0], steps[1]), **told)
    first = slice(0, 21)
    np.testing.assert_allclose(moved.price[first], undisturbed.price[first], rtol=1e-3)
    if name == "curve":  # at once, the others over the steps
        assert (agreed.residual_kw < 0.01 * limit_kw).all()
        assert agreed.price[42:].min() > undisturbed.price[42:].max()
    for _ in range(2000 if name == "gradient" else 12):
        moved, agreed = steps[1].step(moved, **told)
    assert (agreed.residual_kw < 0.02 * limit_kw).all()


def to_csr(dense: np.ndarray) -> Any:
    from scipy.sparse import csr_array

    return csr_array(dense)


def test_averages_go_on_only_where_they_are_those_of_the_members() -> None:
    """The sum of what nodes hold is the sum of what they have told, or they have told nothing."""
    before, after = np.kron(np.eye(3), np.ones(20)), np.kron(np.eye(3), np.ones(20))
    after[1, 30:40], after[2, 30:40] = 0.0, 1.0
    old, new = (
        STEPS["curve"](communication(Copies.of(to_csr(coupling)), "random_regular", seed=1))
        for coupling in (before, after)
    )
    homes, state = some_homes(60), old.init()
    limit_kw = np.full(3, 0.6 * homes.power_kw(np.zeros(60))[:20].sum())
    for _ in range(3):
        state, _ = old.step(state, demand=homes, limit_kw=limit_kw, offset_kw=np.zeros(3))
    found = handed_over(state, old, new)
    assert found.awake.tolist() == [True, False, False]
    start = new.copies.start
    for memory in found.memory:
        for limit, goes_on in enumerate((True, False, False)):
            nodes = slice(start[limit], start[limit + 1])
            assert (memory.told[nodes] == goes_on).all()
            sums = memory.running[nodes].sum(axis=0), memory.value[nodes].sum(axis=0)
            np.testing.assert_allclose(*sums, rtol=1e-9, atol=1e-9)


def test_a_limit_behind_which_nobody_was_has_no_price_to_tell() -> None:
    old, new = (
        CurveStep(communication(Copies.of(to_csr(np.array(coupling))), "complete"), price_grid(4.0))
        for coupling in ([[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    )
    found = handed_over(replace(old.init(), price=np.array([1.0, 1.1, 1.2, 4.0])), old, new)
    assert found.price.tolist() == [1.0, 1.2, 0.0, 0.0]


def test_newcomers_are_told_the_price() -> None:
    before, after = np.kron(np.eye(2), np.ones(3)), np.kron(np.eye(2), np.ones(3))
    after[0, 2], after[1, 2] = 0.0, 1.0
    old, new = (
        CurveStep(communication(Copies.of(to_csr(coupling)), "complete"), price_grid(4.0))
        for coupling in (before, after)
    )
    state = replace(old.init(), price=np.array([1.0, 1.1, 1.2, 1.3, 2.0, 2.1, 2.2, 2.3]))
    found = handed_over(state, old, new)
    assert found.price.tolist() == [1.0, 1.1, 1.3, 2.3, 2.0, 2.1, 2.2, 2.3]


def test_the_shipped_scenario_holds_every_limit_while_a_transformer_is_out(tmp_path: Path) -> None:
    path = Path(__file__).parents[1] / "scenarios" / "transformer_out.toml"
    scenario = load_scenario(path, ["time.hours=10", "controllers=['consensus']", "limits.voltage='none'"])
    results = run(scenario, out=tmp_path / "out", report=False)
    loading = by_limit(results.runs["consensus"], "loading_percent")
    assert loading.max(axis=None) < 101.0
    out = slice(22, None)
    assert np.nan_to_num(loading["Trafo-1"].to_numpy())[out].max() < 1e-6
    assert loading["Trafo-3"].iloc[out].max() > 98.0


def test_homes_cut_off_from_the_start_stay_so() -> None:
    net = builders.coupled_areas(closed=False)
    net.line.loc[1, "in_service"] = False
    feeder = load_feeder(net)
    assert feeder.without_power.sum() == 1
    assert switched(feeder, {"Switch-0": True}).without_power.sum() == 0
    assert switched(feeder, {"Line-4": False}).without_power.sum() == 1


def test_scenario_feeders_are_switched() -> None:
    path = Path(__file__).parents[1] / "scenarios" / "transformer_out.toml"
    feeder = scenario_feeder(load_scenario(path, ["limits.lines='none'", "limits.voltage='none'"]))
    assert len(feeder.later) == 2


def test_what_cannot_be_switched_per_phase_is_told_before_the_run() -> None:
    net = builders.street_per_phase()
    line = net.line.iloc[[0]].copy()
    line.index = [int(net.line.index.max()) + 1]
    net.line = pd.concat([net.line, line])
    pp.create_switch(net, int(line["from_bus"].iloc[0]), int(line.index[0]), et="l", closed=True)
    feeder = load_feeder(net, unbalanced=True)
    opened = limited(asked({"kind": "switch", "begin": 1.0, "open": "Switch-0"}), feeder)
    with pytest.raises(FeederError, match=r"open switches are not modelled per phase"):
        _ = Solvers(opened).notes
    beside = f"Line-{line.index[0]}"
    opened = limited(asked({"kind": "switch", "begin": 1.0, "open": beside}, limits={"lines": "all"}), feeder)
    assert members(opened)[f"{beside}-a"] == [0]
    assert members(opened.at(4))[f"{beside}-a"] == []
    assert members(opened.at(4))["Line-0-a"] == [0]
