"""The page as people use it, in the browser of the machine: skipped, with the remedy, where there is none."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grid_cosim import Results
from grid_cosim.plots.style import loading_palette
from grid_cosim.report import write_report
from tests.results.builders import street_topology, synthetic_results

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
BROWSER = next((path for path in map(shutil.which, BROWSERS) if path), None)
pytestmark = [
    pytest.mark.skipif(
        BROWSER is None, reason="no browser: install Chromium, such as by `apt-get install chromium`"
    ),
]
N_STEPS = 96
MOMENT = "document.getElementById('moment')"
MAP = "document.getElementById('feeder').feederMap"


@pytest.fixture(scope="module")
def results() -> Results:
    return synthetic_results(street_topology(2, 6), n_steps=N_STEPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, results) -> Path:
    """Pages of a run, of one with lower limits, of a network without coordinates, and of two runs."""
    folder = tmp_path_factory.mktemp("reports")
    write_report(results, folder / "one.html")
    limits = results.topology.limits.assign(limit_percent=60.0)
    lower = dataclasses.replace(results, topology=dataclasses.replace(results.topology, limits=limits))
    write_report(lower, folder / "lower.html")
    other = synthetic_results(street_topology(1, 5, located=False), ("uncontrolled", "consensus"), n_steps=48)
    write_report(other, folder / "tree.html")
    write_report({"now": results, "later": _later(other, days=30)}, folder / "two.html")
    return folder


def _later(results: Results, days: int) -> Results:
    """The same a number of days later, at another number of rounds."""
    runs = {
        name: dataclasses.replace(
            run,
            tables={
                table: rows.assign(time=rows["time"] + pd.Timedelta(days=days))
                for table, rows in run.tables.items()
            },
        )
        for name, run in results.runs.items()
    }
    scenario = {**results.scenario, "coordination": {"rounds": 20}}
    return dataclasses.replace(results, runs=runs, scenario=scenario)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One launch for all tests here; it ends with them: its event loop would be in the way of others."""
    from playwright import sync_api as playwright  # part of [dev]; its absence must fail, not skip

    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser, folder) -> Iterator[Any]:
    """Opens a page; afterwards nothing may have gone wrong on it, and nothing have left the machine."""
    wrong, asked, contexts = [], [], []

    def heard(said: Any) -> None:
        slow = said.text.startswith("Canvas2D: Multiple readback")  # which only these tests do
        if said.type in ("error", "warning") and not slow:
            wrong.append(said.text)

    def visited(name: str, width: int = 1024, colour_scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colour_scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((folder / name).as_uri())
        page.wait_for_function("'ready' in document.documentElement.dataset")
        return page

    yield visited
    for context in contexts:
        context.close()
    assert wrong == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in asked), asked


def move_to(page: Any, moment: int) -> None:
    """As a finger on the slider does."""
    page.evaluate(
        f"(to) => {{ {MOMENT}.value = to; {MOMENT}.dispatchEvent(new Event('input', {{bubbles: true}})); }}",
        moment,
    )
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def column_at(results: Results, controller: str, table: str, column: str, moment: int) -> np.ndarray:
    """A column of one step, in the order of the topology."""
    rows = results.runs[controller].table(table)
    times = rows["time"].unique()
    return rows.loc[rows["time"] == times[moment], column].to_numpy(dtype=float)


def test_the_slider_moves_the_time_the_map_and_the_cursors(visit, results):
    page = visit("one.html")
    controller = page.locator("input[name=controller]:checked").get_attribute("value")
    for moment, label in ((0, "Tue 19 Jan 12:00"), (30, "Tue 19 Jan 19:30"), (95, "Wed 20 Jan 11:45")):
        move_to(page, moment)
        assert page.locator("#now").inner_text() == label
        assert page.locator("#moment").get_attribute("aria-valuetext") == label
        shown = page.evaluate(
            f"Object.fromEntries(Object.entries({MAP}.values).map(([k, v]) => [k, [...v]]))"
        )
        loading = column_at(results, controller, "lines", "loading_percent", moment)
        np.testing.assert_allclose(shown["lines"], loading, atol=0.0501)  # shown to 0.1 %
        of_limits = column_at(results, controller, "limits", "loading_percent", moment)
        np.testing.assert_allclose(shown["limits"], of_limits, atol=0.0501)
        vm_pu = pd.Series(
            column_at(results, controller, "buses", "vm_pu", moment), index=results.topology.buses["bus"]
        )
        homes = vm_pu[results.topology.homes["bus"]].to_numpy()
        np.testing.assert_allclose(shown["homes"], homes, atol=5.01e-5)  # shown to 0.0001 pu
        for name in results.runs:
            worst = column_at(results, name, "limits", "loading_percent", moment).max()
            chip = page.locator(f"[data-now='{name}']").inner_text()
            assert float(chip.removesuffix(" %")) == pytest.approx(worst, abs=0.0501)
    page.locator("#loading").scroll_into_view_if_needed()
    move_to(page, 30)
    cursors = (
        "Bokeh.documents[0]._all_models.values().filter((m) => m.name === 'cursor').map((m) => m.location)"
    )
    last = results.runs[controller].table("limits")["time"].unique()[30]
    assert pd.Timestamp(last).timestamp() * 1000 in page.evaluate(f"[...{cursors}]")


def test_another_controller_shows_its_own_values_and_says_so(visit, results):
    page = visit("one.html")
    move_to(page, 30)
    for controller in results.runs:
        page.locator(f"label:has(input[value='{controller}'])").click()
        page.wait_for_function(
            "(name) => document.getElementById('state').textContent.startsWith(name)", arg=controller
        )
        loading = column_at(results, controller, "lines", "loading_percent", 30)
        np.testing.assert_allclose(page.evaluate(f"[...{MAP}.values.lines]"), loading, atol=0.0501)
        limits = column_at(results, controller, "limits", "loading_percent", 30).round(1)
        worst = results.topology.limits["limit"][int(limits.argmax())]  # the first of equals
        told = f"most loaded: {worst} at {limits.max():.1f} % of its limit"
        assert told in page.locator("#state").inner_text()


PIXEL = f"""() => {{
  const map = {MAP}, canvas = map.canvas, dense = canvas.width / canvas.clientWidth;
  const {{ points }} = map.feeder.squares;
  const at = (place) => Math.round(place * dense);
  const context = canvas.getContext("2d");
  const colour = (x, y) => [...context.getImageData(at(map.toX(x)), at(map.toY(y)), 1, 1).data];
  return [...Array(points.length / 2).keys()].map((i) => colour(points[2 * i], points[2 * i + 1]));
}}"""


@pytest.mark.parametrize(
    ("name", "scheme", "limit_percent"), [("one.html", "light", 100.0), ("lower.html", "dark", 60.0)]
)
def test_a_transformer_has_the_colour_of_its_share_of_the_limit(visit, results, name, scheme, limit_percent):
    page = visit(name, colour_scheme=scheme)
    controller = page.locator("input[name=controller]:checked").get_attribute("value")
    palette = loading_palette(dark=scheme == "dark")
    for moment in (0, 30):
        move_to(page, moment)
        loading = np.round(column_at(results, controller, "limits", "loading_percent", moment), 1)
        shares = 100.0 * loading / limit_percent
        wanted = [palette[min(len(palette) - 1, int(share / 120.0 * len(palette)))] for share in shares]
        drawn = ["#{:02x}{:02x}{:02x}".format(*colour[:3]) for colour in page.evaluate(PIXEL)]
        assert drawn == wanted


def test_the_slider_and_the_map_obey_the_keyboard(visit):
    page = visit("one.html")
    move_to(page, 10)
    page.locator("#moment").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.getElementById('now').textContent === 'Tue 19 Jan 15:00'")
    page.locator("#feeder").focus()
    page.keyboard.press("+")
    assert page.evaluate(f"{MAP}.view.zoom") == 1.5
    page.keyboard.press("0")
    assert page.evaluate(f"{MAP}.view.zoom") == 1


def test_another_limit_changes_the_curves_and_a_name_hides_one(visit, results):
    page = visit("one.html")
    page.locator("#limit").select_option("Trafo-1")
    source = "[...Bokeh.documents[0]._all_models.values()].find((m) => m.tags?.[0] === 'switch_limit')"
    limits = results.runs["consensus"].table("limits")
    wanted = limits.loc[limits["limit"] == "Trafo-1", "loading_percent"].to_numpy()
    shown = page.evaluate(f"[...{source}.data['loading_percent consensus']]")
    np.testing.assert_allclose(shown, wanted, rtol=1e-6)
    name = page.locator("#loading .names button", has_text="consensus")
    curve = name.get_attribute("data-curves")
    name.click()
    assert name.get_attribute("aria-pressed") == "false"
    assert page.evaluate("(id) => Bokeh.documents[0].get_model_by_id(id).visible", curve) is False


def test_a_peak_in_the_table_is_shown_on_the_map_at_its_time(visit, results):
    page = visit("one.html")
    summary = results.runs["consensus"].table("limit_summary").set_index("limit")
    page.locator("button[data-peak=consensus][data-limit=Trafo-0]").click()
    time = pd.Timestamp(summary.loc["Trafo-0", "peak_time"])
    page.wait_for_function(
        "(text) => document.getElementById('now').textContent === text", arg=f"{time:%a %d %b %H:%M}"
    )
    assert page.locator("input[name=controller]:checked").get_attribute("value") == "consensus"
    assert page.locator("#limit").input_value() == "Trafo-0"


def test_a_click_changes_to_the_dark_page_which_is_remembered(visit):
    page = visit("one.html")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.locator("#theme").click()
    dark = page.evaluate(background)
    assert dark != light
    axis = "[...Bokeh.documents[0]._all_models.values()].find((m) => m.major_label_text_color)"
    quiet = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--quiet').trim()")
    assert page.evaluate(f"{axis}.major_label_text_color") == quiet
    page.reload()
    page.wait_for_function("'ready' in document.documentElement.dataset")
    assert page.evaluate(background) == dark
    page.locator("#theme").click()
    assert page.evaluate(background) == light


def test_on_paper_there_are_figures_and_no_controls(visit):
    page = visit("one.html", colour_scheme="dark")
    move_to(page, 30)
    page.evaluate("""() => window.addEventListener('beforeprint', () => {
      const copies = [...document.querySelectorAll('canvas.copy')];
      window.inked = copies.map((copy) => {
        const { data } = copy.getContext('2d').getImageData(0, 0, copy.width, copy.height);
        return data.some((value) => value > 0);
      });
      window.shades = copies.slice(0, -1).map((copy) => { // of what is a quiet grey, the map aside
        const { data } = copy.getContext('2d').getImageData(0, 0, copy.width, copy.height);
        const found = new Set();
        for (let i = 0; i < data.length; i += 4)
          if (data[i + 3] === 255) found.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
        return ['91,103,113', '154,167,177'].map((shade) => found.has(shade));
      });
    })""")
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.evaluate("inked") == [True] * 7  # the map and six figures of curves
    # the ink of the light page, #5b6771, and nowhere that of the dark one, #9aa7b1
    assert page.evaluate("shades") == [[True, False]] * 6
    assert page.locator("canvas.copy").count() == 0
    assert page.locator(".clock").is_visible()
    page.emulate_media(media="print")
    for control in (".clock", ".controls", ".zoom", "#theme", "#print"):
        assert not page.locator(control).first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [390, 1024, 1600])
@pytest.mark.parametrize("name", ["one.html", "two.html"])
def test_no_page_is_wider_than_its_window(visit, name, width):
    page = visit(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").bounding_box()["y"] < page.locator("#answers").bounding_box()["y"]
    assert page.locator("#answers").bounding_box()["y"] < page.locator("#map").bounding_box()["y"]


def test_what_can_be_used_has_a_name(visit):
    page = visit("two.html")
    nameless = """[...document.querySelectorAll('main :is(button, input, select, canvas, [role])')]
      .filter((one) => !one.getAttribute('aria-label') && !one.textContent.trim())
      .filter((one) => !one.labels?.[0]?.textContent.trim())
      .map((one) => one.outerHTML.slice(0, 120))"""
    assert page.evaluate(nameless) == []
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title() == "A cold evening · grid_cosim"


def test_a_network_without_coordinates_is_a_tree_and_says_so(visit):
    page = visit("tree.html")
    assert page.evaluate(f"{MAP}.feeder.located") is False
    assert "drawn as a tree" in page.locator("[data-note]").inner_text()


def test_several_results_are_told_apart_and_each_has_its_map(visit, results):
    page = visit("two.html")
    assert page.locator("#settings tbody tr", has_text="coordination.rounds").inner_text().split() == [
        "coordination.rounds",
        "5",
        "20",
    ]
    assert "Other days" in page.locator("#warnings").inner_text()
    assert page.locator("#kpis thead th").count() == 1 + 3 + 2
    move_to(page, 30)
    assert page.locator("#now").inner_text() == "day 1, 19:30"
    page.locator("label:has(input[value='now · consensus'])").click()
    loading = column_at(results, "consensus", "lines", "loading_percent", 30)
    page.wait_for_function(f"{MAP}.values.lines.length === {len(loading)}")
    np.testing.assert_allclose(page.evaluate(f"[...{MAP}.values.lines]"), loading, atol=0.0501)
    page.locator("label:has(input[value='later · consensus'])").click()
    page.wait_for_function(f"{MAP}.values.lines.length === 5")
    assert page.evaluate(f"{MAP}.feeder.located") is False
    assert page.locator("[data-note=later]").is_visible()
    move_to(page, 60)  # after its end
    assert page.evaluate(f"[...{MAP}.values.lines].every(Number.isNaN)")
