"""The plan of each element against the background, which sums them per bus."""

from __future__ import annotations

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from grid_cosim.feeder.elements import read_elements, read_plan
from grid_cosim.feeder.network import Feeder, load_feeder
from tests import builders


@pytest.fixture
def feeder() -> Feeder:
    """A shop that follows a series and a roof that does; a pump and a roof that are constant."""
    net = builders.street()
    pp.create_load(net, 3, p_mw=0.010, q_mvar=0.004, scaling=0.5, name="shop")
    pp.create_load(net, 1, p_mw=0.002, q_mvar=0.001)
    pp.create_load(net, 2, p_mw=np.nan, in_service=False)
    pp.create_sgen(net, 3, p_mw=0.006, q_mvar=0.001)
    pp.create_sgen(net, 1, p_mw=0.001)
    pp.create_storage(net, 2, p_mw=0.002, max_e_mwh=0.01)
    net.load["profile"] = [None, None, None, "G1", None, None]
    net.sgen["profile"] = ["PV1", "unknown"]
    net.storage["profile"] = ["PV1"]
    net["profiles"] = {
        "load": pd.DataFrame({"G1_pload": [0.1, 0.2, 0.3], "G1_qload": [0.5, 0.6, 0.7]}),
        "renewables": pd.DataFrame({"PV1": [0.0, 1.0, 0.5]}),
        "storage": pd.DataFrame({"PV1": [-1.0, 0.25, 0.75]}),  # SimBench names them alike, too
    }
    return load_feeder(net)


def test_a_series_is_followed_and_a_constant_kept(feeder: Feeder) -> None:
    load, sgen = read_plan(feeder, "load"), read_plan(feeder, "sgen")
    assert load.planned.tolist() == [False, False, False, True, True, False]
    assert load.at(1)[:, 3:].tolist() == [pytest.approx([1.0, 2.0, 0.0]), pytest.approx([1.2, 1.0, 0.0])]
    assert sgen.at(5).tolist() == [pytest.approx([3.0, 1.0]), pytest.approx([1.0, 0.0])]  # Q stays
    assert load.at(None)[0, 3:].tolist() == pytest.approx([5.0, 2.0, 0.0])


@pytest.mark.parametrize("step", [None, 0, 1, 2, 3])
def test_the_plans_add_up_to_the_background(feeder: Feeder, step: int | None) -> None:
    total = np.zeros((2, len(feeder.buses)))
    for table, sign in (("load", 1.0), ("sgen", -1.0)):
        np.add.at(total.T, read_elements(feeder, table).bus, sign * read_plan(feeder, table).at(step).T)
    total[0, 2] += 2.0 * (1.0 if step is None else [-1.0, 0.25, 0.75][step % 3])  # the storage
    background = feeder.background
    assert total[:, background.bus] == pytest.approx(np.array(background.at(step)))
    assert np.delete(total, background.bus, axis=1) == pytest.approx(0.0)


def test_what_is_known_of_elements(feeder: Feeder) -> None:
    load, grid = read_elements(feeder, "load"), read_elements(feeder, "ext_grid")
    assert load.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert load.bus.tolist() == [2, 3, 4, 3, 1, 2]
    assert load.names[2:5] == ("H2", "shop", None)
    assert load.profile == (None, None, None, "G1", None, None)
    assert (grid.bus.tolist(), grid.profile) == ([0], None)
