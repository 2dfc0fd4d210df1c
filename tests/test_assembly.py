"""What is known before a run: other loads behind a limit leave less for the homes, and may leave nothing."""

from __future__ import annotations

import numpy as np
import pandapower as pp
import pytest

from grid_cosim.assembly import assemble, scenario_fleet
from grid_cosim.controllers import Independent
from grid_cosim.feeder import Feeder, load_feeder
from grid_cosim.runner import warnings
from grid_cosim.scenario import Scenario, load_scenario
from tests import builders


def street_with(bakery_kw: float) -> Feeder:
    """Three homes and a bakery at the transformer of 100 kVA; 90 kW is the first estimate of its limit."""
    net = builders.street()
    pp.create_load(net, bus=1, p_mw=bakery_kw / 1e3, name="bakery", type="commercial")
    return load_feeder(net, homes=list(net.load.index[:3]))


def evening() -> Scenario:
    return load_scenario("cold_evening.toml", ["devices.heat_pump.share=1.0", "time.hours=2"])


@pytest.mark.parametrize(("bakery_kw", "share_kw"), [(0.0, 30.0), (60.0, 10.0), (150.0, 0.0)])
def test_shares_are_of_what_other_loads_leave(bakery_kw: float, share_kw: float) -> None:
    independent = assemble(evening(), street_with(bakery_kw), "independent").controller
    assert isinstance(independent, Independent)
    np.testing.assert_allclose(independent.share_kw, share_kw)


def test_a_limit_that_other_loads_exceed_is_said_before_the_numbers() -> None:
    scenario = evening()
    calm, busy = street_with(60.0), street_with(150.0)
    assert warnings(scenario, calm, scenario_fleet(scenario, calm)) == []
    (warning,) = warnings(scenario, busy, scenario_fleet(scenario, busy))
    assert warning.startswith("Trafo-0: the inflexible load alone exceeds the limit of about 90 kW in 8 of 8")
