"""Districts in mosaik: who ran when and what each received, and the same numbers as one simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from scipy.sparse import csr_array

from grid_cosim.assembly import scenario_feeder
from grid_cosim.coordination import Copies, CurveStep, LinkOutage
from grid_cosim.cosim import DistrictSim
from grid_cosim.cosim.feeder import FeederSim
from grid_cosim.cosim.rendezvous import Rendezvous
from grid_cosim.deciding import Priced
from grid_cosim.errors import CosimError
from grid_cosim.neighbourhood import Neighbourhood
from grid_cosim.parting import district_of_homes
from grid_cosim.scenario import Scenario, load_scenario
from tests.builders import street
from tests.cosim.builders import small_feeder, small_neighbourhood
from tests.scripts import quiet_world, script

DISTRICTS = script("two_districts")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with quiet_world():
        yield


def scenario(folder: Path, more: str = "", *, n_homes: int = 6, hours: float = 1.0) -> Scenario:
    pp.to_json(street(n_homes), str(folder / "street.json"))
    path = folder / "street.toml"
    path.write_text(
        f"[time]\nstart = 2016-01-19T17:00:00\nhours = {hours}\n"
        '[feeder]\nsource = "street.json"\nlimit_share = 0.15\n'
        "[devices.electric_vehicle]\nshare = 1.0\n" + more
    )
    return load_scenario(path)


def spied(log: list[str], simulator: type, name: Callable[[Any], str]) -> Callable:
    real = simulator.step
    last_number: dict[str, int] = {}

    def step(self: Any, time: int, inputs: dict, max_advance: int) -> int | None:
        me = name(self)
        for eid, attributes in sorted(inputs.items()):
            for attribute, sources in sorted(attributes.items()):
                for source, value in sorted(sources.items()):
                    if attribute != "heard":
                        log.append(f"{time} {me} <- {eid}.{attribute} from {source}")
                    # mosaik keeps the last value of an attribute, so each message comes twice
                    for message in (value or {}).get(me[-1], ()) if attribute == "heard" else ():
                        if message["number"] > last_number.get(me, 0):
                            assert message["number"] == last_number.get(me, 0) + 1
                            last_number[me] = message["number"]
                            nodes, numbers = len(message["nodes"]), len(message["values"][0])
                            log.append(f"{time} {me} <- heard {nodes} nodes, {numbers} numbers")
        return real(self, time, inputs, max_advance)

    return step


def counted(lines: Sequence[str]) -> list[str]:
    """Lines that follow each other and are the same, as one."""
    return [f"{len(list(same))} x {line}" for line, same in groupby(lines)]


def test_who_runs_when_and_what_each_receives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log: list[str] = []
    monkeypatch.setattr(DistrictSim, "step", spied(log, DistrictSim, lambda s: f"District-{s._post._here}"))
    monkeypatch.setattr(FeederSim, "step", spied(log, FeederSim, lambda s: "Feeder"))
    # a line of four homes and the meter, which stands with the first two: H0 ─ H1 ┆ H2 ─ H3 ┆ meter
    read = scenario(
        tmp_path,
        '[coordination]\ngraph = "line"\naccelerated = false\nstartup_rounds = 5\nrounds = 4\n',
        n_homes=4,
        hours=0.5,
    )
    DISTRICTS.in_districts(read, scenario_feeder(read), 2)

    # two of the links of each district are cut, so two of its nodes are heard
    is_it_slack, flags = "2 nodes, 1 numbers", "2 nodes, 2 numbers"
    first_step = [
        f"5 x {is_it_slack}",  # as many rounds as at a cold start
        f"8 x {flags}",  # it is not, and all must know: twice the four links from the meter to the farthest
        "5 x 2 nodes, 32 numbers",  # the curve at all prices
        "3 x 2 nodes, 1 numbers",  # votes near which price
        "6 x 2 nodes, 4 numbers",  # near which that is, and the curve there once more
        "5 x 2 nodes, 10 numbers",  # the refined curve
    ]
    second_step = [f"4 x {is_it_slack}", f"8 x {flags}"]  # it is
    for time, expected in ((0, first_step), (900, second_step)):
        for district in (0, 1):
            me = f"{time} District-{district} <- heard "
            heard = [line.removeprefix(me) for line in log if line.startswith(me)]
            assert counted(heard) == expected, (time, district)
    at_its_buses = [
        f"{time} Feeder <- Bus-{bus}.{attribute} from District-{district}.ConnectionPoint-{bus}"
        for time in (0, 900)
        for district, bus in ((0, 2), (0, 3), (1, 4), (1, 5))
        for attribute in ("P_load[MW]", "Q_load[MVar]")
    ]
    assert [line for line in log if "Feeder <-" in line] == at_its_buses
    # the grid is solved once per control step, when all have agreed
    first = log.index("900 Feeder <- Bus-2.P_load[MW] from District-0.ConnectionPoint-2")
    assert not any(line.startswith("0 ") for line in log[first:])
    assert not any("District" in line.partition(" <-")[0] for line in log[first:])
    # only the first has the meter, and nobody is told what the transformer carries but it
    assert {
        line.partition(" <- ")[2] for line in log if line.startswith("900 District-1") and "heard" not in line
    } == {"Neighbourhood-0.converged from Feeder-0.Grid"}
    assert {
        line.partition(" <- ")[2] for line in log if line.startswith("900 District-0") and "heard" not in line
    } == {
        "Neighbourhood-0.converged from Feeder-0.Grid",
        "Limit-0.P[MW] from Feeder-0.Trafo-0",
        "Limit-0.loading[%] from Feeder-0.Trafo-0",
    }


def test_they_find_the_prices_of_one_simulator(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scenario(tmp_path)
    apart, together = DISTRICTS.main(tmp_path / "street.toml", (), districts=3)
    assert "6 homes, 3 districts, 4 steps" in capsys.readouterr().out
    assert apart.keys() == together.keys()
    for name in together:
        # networks of 32 bits round otherwise in batches of other sizes
        np.testing.assert_allclose(apart[name], together[name], rtol=1e-5, atol=1e-8)
    assert max(prices.max() for name, prices in together.items() if name != "loading") > 0.01


def refused(whole: Neighbourhood, **given: Any) -> str:
    with pytest.raises(CosimError) as caught:
        DistrictSim().init("D", neighbourhood=whole, **given)
    return str(caught.value)


def test_what_needs_more_than_messages_between_neighbours_is_refused(tmp_path: Path):
    feeder = small_feeder()
    uncontrolled = small_neighbourhood(feeder, n_steps=2, controller="uncontrolled")
    assert "only the agents of `consensus` agree" in refused(uncontrolled)
    homes = small_neighbourhood(feeder, n_steps=2)
    controller = homes.controller
    assert isinstance(controller, Priced)
    step = controller.dual_step
    assert isinstance(step, CurveStep)

    def with_step(**changed: Any) -> Neighbourhood:
        return replace(homes, controller=replace(controller, dual_step=replace(step, **changed)))

    assert "links fail in this scenario" in refused(with_step(outage=LinkOutage(0.1)))
    assert "the scenario switches in the grid" in refused(replace(homes, later=homes.arrangements))
    for coupling in ([[0.5, 0.5, 0.5]], [[-1.0, -1.0, -1.0]]):
        copies = Copies.of(csr_array(np.array(coupling)))
        assert "Trafo-0 limits a voltage, generation or" in refused(replace(homes, copies=copies))
    assert "there is no district 2. Give `district` from 0 to 1" in refused(homes, district=2)


@pytest.mark.parametrize(
    ("districts", "problem"),
    [
        (4, "3 homes cannot be 4 districts"),
        (0, "3 homes cannot be 0 districts"),
        ([["A", "B"], ["X"]], "there is no home 'X'"),
        ([["A", "B"], ["B", "C"]], "home 'B' is in two districts"),
        ([["A"], ["B"]], "home 'C' is in no district"),
    ],
)
def test_districts_must_be_all_homes_once(districts: int | list[list[str]], problem: str):
    with pytest.raises(CosimError, match=problem):
        district_of_homes(["A", "B", "C"], districts)


def test_districts_by_number_or_by_name():
    assert district_of_homes(["A", "B", "C"], 2).tolist() == [0, 0, 1]
    assert district_of_homes(["A", "B", "C"], [["C", "A"], ["B"]]).tolist() == [0, 1, 0]


def ask(post: Rendezvous, found: list) -> None:
    for said in (1.0, 2.0):
        found.append(post(np.array([0]), np.array([[said]]), np.array([1])).tolist())


def message(number: int, *values: float, node: int = 1) -> dict:
    return {"0": [{"number": number, "nodes": [node], "values": [list(values)]}]}


def test_work_waits_for_answers_and_messages_are_read_once_and_in_order():
    post, found = Rendezvous(np.array([0, 1]), 0), []
    assert post.begin(lambda: ask(post, found)) == {"1": [{"number": 1, "nodes": [0], "values": [[1.0]]}]}
    assert post.go_on() == {}  # nothing has come, and nothing new is said
    post.hear(message(1, 7.0))
    post.hear(message(1, 7.0))
    assert [m["number"] for m in post.go_on()["1"]] == [1, 2]
    assert (post.busy, found) == (True, [[[7.0]]])
    post.hear(message(2, 8.0))
    assert post.go_on() == {}
    assert (post.busy, found) == (False, [[[7.0]], [[8.0]]])


def test_what_goes_wrong_in_a_negotiation_arrives_where_it_was_begun():
    post = Rendezvous(np.array([0, 1]), 0)
    with pytest.raises(ZeroDivisionError):
        post.begin(lambda: 1 // 0)
    assert not post.busy
    post.begin(lambda: ask(post, []))
    post.hear(message(1, 7.0, 8.0))
    with pytest.raises(CosimError, match="not of the same round"):
        post.go_on()
    with pytest.raises(CosimError, match="messages 2 to 3 of district 1 got lost"):
        post.hear(message(4, 7.0))


def test_a_negotiation_that_nobody_answers_ends_with_the_world():
    post = Rendezvous(np.array([0, 1]), 0)
    post.begin(lambda: ask(post, []))
    post.abandon()
    assert not post.busy
    districts = DistrictSim()
    districts.init("D", neighbourhood=small_neighbourhood(small_feeder(), n_steps=2))
    districts.create(1, "Neighbourhood")
    assert districts.step(0, {}, 900) == 900
    with pytest.raises(CosimError, match=r"at 900 it still waits .* about 0\. .* same scenario"):
        districts.step(900, {}, 900)
    districts.finalize()
