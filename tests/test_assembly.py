"""What is known before a run: shares of limits, tariffs, and what controllers are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pytest

from grid_cosim.assembly import assemble, scenario_fleet, scenario_tariff
from grid_cosim.coordination import CurveStep, ExactStep
from grid_cosim.deciding import Independent, Priced, TimeOfUse
from grid_cosim.feeder import Feeder, load_feeder
from grid_cosim.runner import warnings
from grid_cosim.scenario import Scenario, load_scenario
from tests import builders


def street_with(bakery_kw: float) -> Feeder:
    """Three homes and a bakery at the transformer of 100 kVA; 90 kW is the first estimate of its limit."""
    net = builders.street()
    pp.create_load(net, bus=1, p_mw=bakery_kw / 1e3, name="bakery", type="commercial")
    return load_feeder(net, homes=list(net.load.index[:3]))


def evening(*changes: str) -> Scenario:
    return load_scenario("cold_evening.toml", ["devices.heat_pump.share=1.0", "time.hours=2", *changes])


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


def test_a_tariff_is_flat_unless_told_otherwise() -> None:
    np.testing.assert_array_equal(scenario_tariff(Scenario()), np.full(192 + 96, 0.30))


def test_periods_of_a_tariff_return_every_day_and_in_the_day_after_the_horizon() -> None:
    """From noon, by the hour: dear from 17 to 21, cheap over night, half of the hour from 6."""
    dear = {"from_hour": 17, "to_hour": 21, "price_eur_per_kwh": 0.42}
    cheap = {"from_hour": 22, "to_hour": 6.5, "price_eur_per_kwh": -0.10}
    raw = {"time": {"hours": 24, "step_minutes": 60}, "tariff": {"periods": [dear, cheap]}}
    day = [0.30] * 5 + [0.42] * 4 + [0.30] + [-0.10] * 8 + [0.10] + [0.30] * 5
    np.testing.assert_allclose(scenario_tariff(Scenario.model_validate(raw)), day + day, rtol=1e-12)


def test_a_tariff_from_a_file_reaches_into_the_day_after_the_horizon(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    rows = "".join(f"2016-01-0{4 + h // 24} {h % 24:02d}:00,{h / 100}\n" for h in range(30))
    path.write_text("time,price_eur_per_kwh\n" + rows, encoding="utf-8")
    raw = {"time": {"hours": 12, "step_minutes": 30}, "tariff": {"source": str(path)}}
    hours = np.repeat([*range(12, 30), *range(12 - 6, 12 + 12)], 2)  # the last 24 h of the file repeat
    np.testing.assert_allclose(scenario_tariff(Scenario.model_validate(raw)), hours / 100)


def test_the_surcharge_is_asked_for_in_its_hours_whatever_the_tariff() -> None:
    scenario = evening(
        "time.hours=12", "time_of_use.surcharge_eur_per_kwh=0.2", "tariff.energy_price_eur_per_kwh=0.5"
    )
    controller = assemble(scenario, street_with(0.0), "time_of_use").controller
    assert isinstance(controller, TimeOfUse)
    hour = 12 + np.arange(48) / 4  # from noon
    expected = np.where((hour >= 17) & (hour < 21), 0.2, 0.0)
    np.testing.assert_allclose(controller.surcharge_eur_per_kwh, expected)


def test_the_centre_and_the_neighbours_are_given_their_settings() -> None:
    scenario = evening("coordination.dual_iterations=3", "coordination.largest_price_eur_per_kwh=3")
    steps = [assemble(scenario, street_with(0.0), name).controller for name in ("centralised", "consensus")]
    exact, curve = (step.dual_step for step in steps if isinstance(step, Priced))
    assert isinstance(exact, ExactStep)
    assert isinstance(curve, CurveStep)
    assert (exact.largest_price, curve.prices[-1], curve.sweeps) == (3.0, 3.0, 3)
    unset = assemble(evening(), street_with(0.0), "consensus").controller
    assert isinstance(unset, Priced)
    assert isinstance(unset.dual_step, CurveStep)
    assert (unset.dual_step.sweeps, unset.dual_step.quiet) == (2, True)


def test_a_margin_is_for_those_who_negotiate() -> None:
    scenario = evening("coordination.margin=0.02")
    margins = {
        name: assemble(scenario, street_with(0.0), name).meters.margin
        for name in ("uncontrolled", "dimming", "consensus", "centralised")
    }
    assert margins == {"uncontrolled": 0.0, "dimming": 0.0, "consensus": 0.02, "centralised": 0.02}
