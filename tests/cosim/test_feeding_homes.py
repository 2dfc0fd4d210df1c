"""What others feed to a household takes the place of its base load, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from grid_cosim.cosim import HouseholdSim
from grid_cosim.errors import CosimError
from tests.cosim.builders import small_feeder, small_neighbourhood

HOMES = ("Household-0", "Household-1", "Household-2")
ASKED = ["P[MW]", "Q[MVar]", "P_base[MW]", "Q_base[MVar]", "P_flex[MW]", "price[EUR/kWh]"]


def started(controller: str = "uncontrolled") -> HouseholdSim:
    simulator = HouseholdSim()
    simulator.init("H", neighbourhood=small_neighbourhood(small_feeder(), n_steps=4, controller=controller))
    simulator.create(1, "Neighbourhood")
    return simulator


def after(simulator: HouseholdSim, time: int, inputs: dict) -> dict[str, dict[str, float]]:
    simulator.step(time, inputs, 900)
    return simulator.get_data(dict.fromkeys(HOMES, ASKED))


def test_what_is_fed_is_the_base_load_while_it_is_fed():
    fed, planned = started(), started()
    given = {
        "Household-0": {"P_base[MW]": {"A.x": 0.002, "B.y": 0.003, "C.z": None}},
        "Household-1": {"P_base[MW]": {"A.x": None}, "Q_base[MVar]": {"A.x": -0.001}},
    }
    now, otherwise = after(fed, 0, given), after(planned, 0, {})
    assert now["Household-2"] == otherwise["Household-2"]
    bakery, usual = now["Household-0"], otherwise["Household-0"]
    assert bakery["P_base[MW]"] == pytest.approx(0.005)
    assert bakery["P[MW]"] == pytest.approx(0.005 + usual["P_flex[MW]"])
    assert [bakery[name] for name in ("Q_base[MVar]", "Q[MVar]")] == [
        usual[name] for name in ("Q_base[MVar]", "Q[MVar]")
    ]
    other, usual = now["Household-1"], otherwise["Household-1"]
    assert other["P[MW]"] == usual["P[MW]"]
    assert other["Q_base[MVar]"] == pytest.approx(-0.001)
    assert other["Q[MVar]"] == pytest.approx(usual["Q[MVar]"] - usual["Q_base[MVar]"] - 0.001)
    assert after(fed, 900, {}) == after(planned, 900, {})


def test_agents_make_room_for_what_is_fed():
    quiet, loud = started("consensus"), started("consensus")
    measured = {"Limit-0": {"P[MW]": {"F.T": 0.020}, "loading[%]": {"F.T": 20.0}}}
    for simulator in (quiet, loud):
        after(simulator, 0, {})
    at_rest = after(quiet, 900, measured)
    pressed = after(loud, 900, measured | {"Household-0": {"P_base[MW]": {"A.x": 0.06}}})
    price = "price[EUR/kWh]"
    assert np.mean([pressed[home][price] for home in HOMES]) > np.mean(
        [at_rest[home][price] for home in HOMES]
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float):
    with pytest.raises(CosimError, match=r"A.x send (nan|inf) as P_base\[MW\] of Household-1"):
        after(started(), 0, {"Household-1": {"P_base[MW]": {"A.x": value}}})
