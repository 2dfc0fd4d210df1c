from __future__ import annotations

import pytest
import torch

from grid_cosim.devices import Photovoltaics, PvPopulation, Sky
from grid_cosim.devices.pv import SunInputs
from tests.devices.episode import drawn, live, stacked


def roof(*, tilt_deg: float = 0.0, azimuth_deg: float = 180.0, p_max_kw: float = 100.0) -> Photovoltaics:
    """10 kW of modules."""
    numbers = (torch.tensor([x], dtype=torch.float64) for x in (10.0, p_max_kw, tilt_deg, azimuth_deg))
    return Photovoltaics(*numbers, dt_h=0.25)


def sky(direct: float, diffuse: float, *, east: float = 0.0, north: float = -0.6, up: float = 0.8) -> Sky:
    parts = (direct, diffuse, east, north, up)
    return Sky(*(torch.tensor([[part]], dtype=torch.float64) for part in parts))


def at_25_c_in_the_cell(sent_w_per_m2: float) -> torch.Tensor:
    return torch.tensor([[25.0 - 0.03 * sent_w_per_m2]], dtype=torch.float64)


def test_a_flat_roof_sees_what_is_sent_on_the_horizontal_plane() -> None:
    power = roof().available_kw(sky(600.0, 200.0), at_25_c_in_the_cell(800.0))
    assert power.item() == pytest.approx(10.0 * 0.8 * 0.86 * 0.96)


def test_a_roof_that_faces_the_sun_sees_it_undiminished() -> None:
    # the sun stands 53.1° high in the south: 480 W/m² on the plane are 600 W/m² towards it
    tilt = 36.8698976
    power = roof(tilt_deg=tilt).available_kw(sky(480.0, 0.0), at_25_c_in_the_cell(600.0 + 480.0 * 0.2 * 0.1))
    assert power.item() == pytest.approx(10.0 * (0.6 + 0.48 * 0.2 * 0.1) * 0.86 * 0.96)


def test_a_wall_towards_the_north_sees_half_of_the_diffuse_light() -> None:
    wall = roof(tilt_deg=90.0, azimuth_deg=0.0)
    power = wall.available_kw(sky(500.0, 100.0), at_25_c_in_the_cell(50.0 + 60.0))
    assert power.item() == pytest.approx(10.0 * (0.05 + 0.06) * 0.86 * 0.96)


def test_a_warm_cell_gives_less_and_an_inverter_ends_it() -> None:
    warm = roof().available_kw(sky(600.0, 200.0), at_25_c_in_the_cell(800.0) + 20.0)
    assert warm.item() == pytest.approx(10.0 * 0.8 * 0.86 * 0.96 * (1.0 - 0.0035 * 20.0))
    small = roof(p_max_kw=3.0).available_kw(sky(600.0, 200.0), at_25_c_in_the_cell(800.0))
    assert small.item() == 3.0


def test_roofs_to_the_east_earn_in_the_morning() -> None:
    _, east = drawn(PvPopulation(azimuth_deg=90.0, azimuth_spread_deg=0.0), n=3, n_steps=96, start_hour=0.0)
    _, west = drawn(PvPopulation(azimuth_deg=270.0, azimuth_spread_deg=0.0), n=3, n_steps=96, start_hour=0.0)
    noon = 48
    assert (east.available_kw[:noon].sum(0) > 1.5 * east.available_kw[noon:].sum(0)).all()
    assert (west.available_kw[:noon].sum(0) < 0.67 * west.available_kw[noon:].sum(0)).all()
    assert (east.available_kw[:16] == 0.0).all()


def test_what_is_turned_down_is_asked_for_and_not_fed_in() -> None:
    device = roof()
    inputs = SunInputs(12.0, torch.tensor([4.0], dtype=torch.float64))
    _, out = device.step(device.init(inputs), torch.tensor([-1.0], dtype=torch.float64), inputs)
    assert (out.requested_kwh.item(), out.served_kwh.item()) == (-1.0, -0.25)
    assert out.unserved_kwh.item() == out.due_kwh.item() == out.cost_eur.item() == 0.0


def test_a_good_spring_day_yields_what_a_roof_in_germany_does() -> None:
    """4 to 7 kWh per kW of modules; the sky of the tests is cloudless."""
    device, drive = drawn(PvPopulation(), n=50, n_steps=96, start_hour=0.0)
    fed_in = -stacked(live(device, drive, None, n_steps=96), "served_kwh").sum(0)
    yields = fed_in / device.peak_kw
    assert 4.0 < yields.mean() < 7.0
