from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grid_cosim.devices.device import LEVEL_NAMES
from grid_cosim.policies.recipe import POPULATIONS, Recipe, RecipeError, load_recipe
from grid_cosim.shipped import shipped
from tests.devices.toy import PoolPumpPopulation

TOY = "tests.devices.toy:PoolPumpPopulation"


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    path = written(folder, text)
    with pytest.raises(RecipeError) as refusal:
        load_recipe(path)
    message = str(refusal.value)
    assert message.startswith(f"Recipe {path}: ")
    return message.removeprefix(f"Recipe {path}: ")


@pytest.mark.parametrize("kind", POPULATIONS)
def test_shipped_recipes_train_what_they_are_named_after(kind: str) -> None:
    recipe = load_recipe(shipped("policies") / f"{kind}.toml")
    assert recipe.device == kind
    assert recipe.make_population().kind == kind


def test_a_recipe_is_read_as_it_is_written(tmp_path: Path) -> None:
    text = f'device = "{TOY}"\nseed = 4\nhours = 24\nhidden = [8]\noutdoor_c = [-5, 5]\n'
    text += "[population]\nhours_per_day = 3\n"
    recipe = load_recipe(written(tmp_path, text))
    expected = Recipe(
        TOY, seed=4, hours=24.0, hidden=(8,), outdoor_c=(-5.0, 5.0), population={"hours_per_day": 3}
    )
    assert recipe == expected
    assert recipe.make_population() == PoolPumpPopulation(hours_per_day=3)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = 'device = "heat_pump"\nsead = 1\nupdates = "many"\nhours = -1.0\nhidden = 64\n'
    text += "population = 3\ndt_h = true\n"
    assert refused(tmp_path, text) == (
        "dt_h: got True, expected an hour or an equal part of one, such as 0.25; "
        "hidden: got 64, expected a list of whole numbers above 0; "
        "hours: got -1.0, expected a number above 0; "
        "population: got 3, expected a table; "
        "sead: no such setting. Did you mean 'seed'?; "
        "updates: got 'many', expected a whole number of at least 1"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "seed = 1",
            "device: missing, expected one of electric_vehicle, heat_pump, deferrable, water_heater, "
            "battery, pv, v2g_vehicle, or package.module:",
        ),
        ("device = 3", "device: got 3, expected text"),
        ('device = "heatpump"', "device: 'heatpump' is no device. Did you mean 'heat_pump'? Known: "),
        (
            'device = "no_such_package:Thing"',
            "device: 'no_such_package:Thing' cannot be imported: "
            "No module named 'no_such_package'. Install it",
        ),
        (
            'device = "pathlib:Path"',
            "device: 'pathlib:Path' is no dataclass; see the documentation of Population.",
        ),
        (
            'device = "pv"\nprice_min_eur_per_kwh = 1.0\nfull_price = 1\nn_negative_ramps = -1',
            "full_price: got 1, expected true or false; "
            "n_negative_ramps: got -1, expected a whole number of at least 0; "
            "price_min_eur_per_kwh: got 1.0, expected a number below 0",
        ),
        (
            'device = "electric_vehicle"\n[population]\ndaily = 3',
            "population.daily: no such setting. Did you mean 'daily_kwh'? Known: ",
        ),
        (
            'device = "electric_vehicle"\n[population]\ndaily_kwh = "much"',
            "population.daily_kwh: got 'much', expected a number",
        ),
        (
            'device = "electric_vehicle"\n[population]\ndaily_kwh = -1',
            "population.daily_kwh: got -1, expected no negative number",
        ),
        (
            'device = "electric_vehicle"\n[population]\nplug_in_probability = 1.5',
            "population.plug_in_probability: got 1.5, expected at most 1",
        ),
        ('device = "heat_pump"\noutdoor_c = [5, -5]', "outdoor_c: got [5, -5], expected [lowest, highest]"),
        *(
            (
                f'device = "heat_pump"\ndt_h = {dt_h}',
                f"dt_h: got {dt_h}, expected an hour or an equal part of one, such as 0.25",
            )
            for dt_h in (2, 0.4, 0.0, -0.25)
        ),
        (
            'device = "heat_pump"\ndt_h = 1\nhours = 0.25\n[private]\nhours = 0.5',
            "hours: got 0.25, expected at least a control step, dt_h = 1; "
            "private.hours: got 0.5, expected at least a control step, dt_h = 1",
        ),
        *(
            (
                f'device = "heat_pump"\nrecorded_share = {share}',
                f"recorded_share: got {share}, expected a number from 0 to 1",
            )
            for share in (5, -0.1)
        ),
        ('device = "heat_pump', "not valid TOML: "),
    ],
)
def test_a_recipe_that_cannot_be_followed_says_why(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, text).startswith(message)


@pytest.mark.parametrize("dt_h", [1, 0.5, 0.25, 0.05, 0.33333])
def test_steps_that_divide_an_hour_will_do(tmp_path: Path, dt_h: float) -> None:
    text = f'device = "heat_pump"\ndt_h = {dt_h}\nhours = {dt_h}\nrecorded_share = 0'
    recipe = load_recipe(written(tmp_path, text))
    assert (recipe.dt_h, recipe.hours, recipe.recorded_share) == (dt_h, dt_h, 0.0)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.toml: no such file\. Give a TOML file such as"):
        load_recipe(tmp_path / "nowhere.toml")


def test_a_level_is_learned_through_the_dynamics_only() -> None:
    features = (*LEVEL_NAMES, "hold")
    assert Recipe("heat_pump").network(features).levels
    assert not replace(Recipe("heat_pump"), method="ppo").network(features).levels
    assert not Recipe("heat_pump").network(("hold", *LEVEL_NAMES)).levels


def test_the_network_follows_the_recipe() -> None:
    recipe = replace(Recipe("deferrable"), hidden=(8,), n_ramps=5, price_max_eur_per_kwh=1.0)
    config = recipe.network([f"x{n}" for n in range(8)])
    assert (config.n_features, config.hidden, config.n_ramps, config.price_max_eur_per_kwh) == (
        8,
        (8,),
        5,
        1.0,
    )
