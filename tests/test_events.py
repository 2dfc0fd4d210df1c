"""Limits that move: what events say, what the meters make of it, and what reaches the limits from outside."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grid_cosim import load_scenario, run
from grid_cosim.coordination.meters import Meters, MeterState
from grid_cosim.cosim.households import HouseholdSim
from grid_cosim.errors import CosimError, ScenarioError
from grid_cosim.events import moving_limits
from grid_cosim.feeder import load_feeder
from grid_cosim.moving import Lowered, MovingLimits, Rated
from grid_cosim.optimum import ac_schedule
from grid_cosim.optimum.ac import Measured
from grid_cosim.scenario import Scenario
from tests import builders
from tests.cosim.builders import small_feeder, small_neighbourhood
from tests.study import lay_out

AREAS = load_feeder(builders.two_levels())


def asked(*events: dict[str, Any], hours: float = 4.0) -> Scenario:
    raw = {"time": {"start": datetime(2016, 1, 4, 17), "hours": hours}, "events": list(events)}
    return Scenario.model_validate(raw)


def signal(element: Any, begin: Any = 1.0, end: Any = 3.0, share: float = 0.6) -> dict[str, Any]:
    return {"kind": "signal", "element": element, "begin": begin, "end": end, "share": share}


def test_a_signal_lowers_what_it_names_while_it_lasts() -> None:
    moving = moving_limits(asked(signal("Trafo-1")), AREAS)
    assert moving is not None
    table = np.stack([moving.at(step) for step in range(16)])
    np.testing.assert_array_equal(table[:, [0, 2]], 100.0)
    np.testing.assert_array_equal(table[:, 1], [100.0] * 4 + [60.0] * 8 + [100.0] * 4)


def test_times_are_hours_or_local_times_and_every_step_they_touch_counts() -> None:
    at_a_time = signal("all transformers", datetime(2016, 1, 4, 18, 10), datetime(2016, 1, 4, 19, 20))
    moving = moving_limits(asked(at_a_time), AREAS)
    assert moving is not None
    lowered = [step for step in range(16) if (moving.at(step) == 60.0).all()]
    assert lowered == [4, 5, 6, 7, 8, 9]  # 18:00 to 19:30


def test_a_signal_never_raises_a_limit_and_a_rating_may() -> None:
    moving = MovingLimits(
        np.array([50.0, 100.0]),
        (Lowered(np.array([0, 1]), 0, 2, 60.0),),
        (Rated(np.array([1]), 1, np.array([1.2, 0.8])),),
    )
    assert moving.at(0).tolist() == [50.0, 60.0]
    assert moving.at(1).tolist() == pytest.approx([50.0, 72.0])
    assert moving.at(2).tolist() == pytest.approx([50.0, 80.0])
    assert moving.at(3).tolist() == [50.0, 100.0]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (signal("Trafo-9"), "events.0.element: got 'Trafo-9', which is no transformer or line with a limit"),
        (signal("all transformer"), "Did you mean 'all transformers'"),
        (
            signal("all lines"),
            "got 'all lines', of which none is a limit; set limits.lines = \"all\". Limits that an event may "
            "name: all transformers, Trafo-0, Trafo-1, Trafo-2.",
        ),
        (signal("Line-1"), "got 'Line-1', which is no limit; set limits.lines = \"all\""),
        (
            signal("Trafo-1", 4.0, 5.0),
            "events.0.begin: got 2016-01-04 21:00, expected a time within the run, from 2016-01-04 17:00 to "
            "2016-01-04 21:00; lengthen time.hours",
        ),
        (signal("Trafo-1", datetime(2016, 1, 4, 12)), "events.0.begin: got 2016-01-04 12:00"),
        (signal("Trafo-1", 3.0, 1.0), "events.0.end: got 1 h after the start, expected more than 3 h"),
    ],
)
def test_what_cannot_be_is_refused_with_words(event: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        moving_limits(asked(event), AREAS)
    assert message in str(refused.value)
    assert "mean 'all lines'" not in str(refused.value)  # of which there are none


def test_an_event_that_outlasts_the_run_ends_with_it() -> None:
    moving = moving_limits(asked(signal("Trafo-1", 3.0, 30.0)), AREAS)
    assert moving is not None
    assert [float(moving.at(step)[1]) for step in range(16)] == [100.0] * 12 + [60.0] * 4


def test_two_signals_to_one_element_at_one_time_are_refused() -> None:
    later = signal(["Trafo-2", "Trafo-1"], 2.5, 3.5, 0.4)
    with pytest.raises(ScenarioError, match=r"events\.1: a second signal to Trafo-1 at the same time"):
        moving_limits(asked(signal("Trafo-1"), later), AREAS)
    assert moving_limits(asked(signal("Trafo-1"), signal("Trafo-1", 3.0, 3.5)), AREAS) is not None
    assert moving_limits(asked(signal("Trafo-1"), signal("Trafo-2")), AREAS) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": None}, "a signal has a `share` and no `source`"),
        ({"kind": "rating", "share": None}, "got both or neither of `share` and `source`"),
        ({"share": 0.0}, "greater than 0"),
        ({"share": 1.2}, "got a signal's share of 1.2, expected at most 1"),
    ],
)
def test_an_event_says_how_much(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        asked(signal("Trafo-1") | change)


def test_a_rating_follows_a_file(tmp_path: Path) -> None:
    times = pd.date_range("2016-01-04 16:00", periods=8, freq="h", name="time")
    pd.DataFrame({"factor": np.arange(8) / 4 + 0.5}, index=times).to_csv(tmp_path / "wind.csv")
    event = {"kind": "rating", "element": "Trafo-0", "begin": 1.0, "source": str(tmp_path / "wind.csv")}
    moving = moving_limits(asked(event), AREAS)
    assert moving is not None
    # 1.0 from 18:00, a quarter more every hour
    expected = [100.0] * 4 + [100.0] * 4 + [125.0] * 4 + [150.0] * 4
    assert [moving.at(step)[0] for step in range(16)] == pytest.approx(expected)


def test_headroom_moves_with_the_limit_before_anything_is_measured() -> None:
    meters = Meters(np.array([90.0]), np.array([100.0]), np.array([10.0]))
    moved = meters.moved(meters.init(), np.array([100.0]), np.array([60.0]))
    assert moved.headroom_kw == pytest.approx([0.6 * 90.0 - 10.0])
    back = meters.moved(moved, np.array([60.0]), np.array([100.0]))
    assert back.headroom_kw == pytest.approx(meters.init().headroom_kw)


def test_a_meter_finds_the_power_at_the_limit_that_counts_now() -> None:
    """Loading follows one law of the power, wherever the limit is."""
    meters = Meters(np.array([380.0]), np.array([100.0]), np.zeros(1), loss_share=0.0)

    def loading(kw: np.ndarray) -> np.ndarray:
        return 103.0 * kw / 380.0 * (1.0 + meters.curvature * kw / 380.0)

    drawn_kw, now = np.array([200.0]), np.array([60.0])
    state = meters.update(
        MeterState(np.zeros(1), np.zeros(1)),
        measured_kw=drawn_kw,
        loading_percent=loading(drawn_kw),
        limit_percent=now,
    )
    np.testing.assert_allclose(loading(drawn_kw + state.headroom_kw), now, rtol=1e-12)


def test_what_is_sent_holds_until_the_next_and_takes_the_place_of_the_plan() -> None:
    neighbourhood = small_neighbourhood(small_feeder(), controller="uncontrolled")
    simulator = HouseholdSim()
    simulator.init("HouseholdSim-0", neighbourhood=neighbourhood)
    simulator.create(1, "Neighbourhood")

    def limit_percent(step: int, sent: float | None) -> float:
        inputs = {} if sent is None else {"Limit-0": {"limit[%]": {"Grid operator": sent}}}
        simulator.step(900 * step, inputs, 10**6)
        table = simulator.get_data({"Neighbourhood-0": ["limits"]})["Neighbourhood-0"]["limits"]
        return float(table["limit_percent"][0])

    planned = float(neighbourhood.meters.limit_percent[0])
    assert [limit_percent(k, sent) for k, sent in enumerate([None, 60.0, None, 45.0])] == [
        planned,
        60,
        60,
        45,
    ]
    for wrong in (0.0, -5.0, float("inf"), float("nan")):
        with pytest.raises(CosimError, match=rf"Grid operator sends {wrong:g} as limit\[%\] of Trafo-0"):
            limit_percent(4, wrong)


def test_the_optimum_keeps_limits_that_move() -> None:
    """A grid without losses, whose loading is the power: what moves is the capacity of each step."""
    neighbourhood = small_neighbourhood(small_feeder(), controller="uncontrolled")
    fleet, copies = neighbourhood.fleet, neighbourhood.copies
    base_kw, most_kw = fleet.base_kw.sum(axis=1), 100.0
    meters = Meters(np.array([most_kw]), np.array([100.0]), np.zeros(1), curvature=1e-9, loss_share=0.0)
    percent = np.full((fleet.n_steps, 1), 100.0)
    percent[3:6, 0] = base_kw[3:6] + 1.0  # a kilowatt is left for cars and heat pumps

    def measure(p_kw: np.ndarray, q_kvar: np.ndarray) -> Measured:
        total_kw = p_kw @ copies.coupling.T
        return Measured(total_kw, 100.0 * total_kw / most_kw)

    schedule = ac_schedule(fleet, copies.coupling, meters, measure, limit_percent=percent)
    drawn_kw = base_kw + sum(p.sum(axis=1) for p in schedule.powers_kw)
    assert (schedule.solves, schedule.missed_percent) == (1, 0.0)  # every step is at its own limit
    # the solver's rounding
    assert (drawn_kw[3:6] <= base_kw[3:6] + 1.01).all()
    assert (drawn_kw[:3] > base_kw[:3] + 1.1).any()
    assert (schedule.price_eur_per_kwh[3:6] > 1e-4).any()
    np.testing.assert_allclose(schedule.price_eur_per_kwh[[0, 1, 2, 6, 7]], 0.0, atol=1e-4)


def test_a_signal_is_kept_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    with Path("study.toml").open("a", encoding="utf-8") as file:
        file.write('[[events]]\nkind = "signal"\nelement = "Trafo-0"\nbegin = 0.5\nshare = 0.02\n')
    results = run(load_scenario("study.toml", ["controllers=['uncontrolled', 'consensus']"]), out="out")
    table = results.runs["consensus"].table("limits")
    assert table["limit_percent"].tolist() == [100.0, 100.0, 2.0, 2.0]
    free = results.runs["uncontrolled"].table("limits")["loading_percent"].to_numpy()
    kept = table["loading_percent"].to_numpy()
    assert (free[2:] > kept[2:]).all()
    assert table["price_mean_eur_per_kwh"].to_numpy()[2:].max() > 0.0
    assert table["price_mean_eur_per_kwh"].to_numpy()[0] == 0.0
