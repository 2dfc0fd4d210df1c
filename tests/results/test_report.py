from __future__ import annotations

import base64
import dataclasses
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from grid_cosim import Results, plots
from grid_cosim.metrics import KPIS
from grid_cosim.plots.geometry import geometry
from grid_cosim.report import build_report, write_report
from grid_cosim.report.agreement import Pair, agreement_rows
from grid_cosim.report.map_data import packed as pack
from grid_cosim.report.reading import warnings
from grid_cosim.results import Run
from tests.results.builders import street_topology, synthetic_results


@pytest.fixture(scope="module")
def results() -> Results:
    return synthetic_results(street_topology(2, 6), n_steps=96)


@pytest.fixture(scope="module")
def page(results) -> str:
    return build_report(results)


class _Elements(HTMLParser):
    """Collects start tags with their attributes; scripts' and styles' text is no markup."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def _tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Elements()
    parser.feed(page)
    return parser.tags


def test_the_page_loads_nothing_from_anywhere(page):
    for tag, attributes in _tags(page):
        assert "src" not in attributes, (tag, attributes)
        if "href" in attributes:
            assert tag == "a", (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_has_every_section_and_controller(page, results):
    ids = {attributes.get("id") for _, attributes in _tags(page)}
    sections = {
        "answers",
        "reading",
        "kpis",
        "map",
        "loading",
        "price",
        "agreement",
        "elements",
        "energy",
        "temperature",
        "assumptions",
        "cite",
    }
    assert sections <= ids
    assert "warnings" not in ids
    for controller in results.runs:
        assert f'name="controller" value="{controller}"' in page
    against_the_optimum = {name for name in KPIS if name.endswith("_gap_percent")}
    assert len(against_the_optimum) == 2  # which was not asked for: no row of dashes
    for name, kpi in KPIS.items():
        assert (escape(kpi.label) in page) == (name not in against_the_optimum)


def test_what_was_assumed_is_told(page):
    for text in (
        "sha256:12ab",
        "taps of 1 transformer set to Ratio",
        "No licence needed",
        "arXiv:2605.30461",
    ):
        assert text in page


def test_the_licences_of_all_data_and_the_whole_period_stand_on_the_page(results):
    licences = {"network": "of the network", "base load": "SimBench, ODbL 1.0"}
    page = build_report(dataclasses.replace(results, provenance={"licences": licences}))
    shown = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)  # which do not print
    assert "Licence of the network: of the network" in shown
    assert "Licence of the base load: SimBench, ODbL 1.0" in shown
    assert "Tue 19 Jan 2016 12:00 – Wed 20 Jan 12:00" in shown


def test_a_failed_run_is_told_at_the_top_and_its_rows_are_shown(results):
    run = results.runs["consensus"]
    until = run.tables["limits"]["time"].unique()[40]
    cut = {name: table[table["time"] <= until] for name, table in run.tables.items()}
    failed = dataclasses.replace(run, tables=cut, status="failed", message="no convergence, worst: Trafo-1")
    partly = dataclasses.replace(
        results, runs={**results.runs, "consensus": failed, "mine": Run({}, "interrupted", "x")}
    )
    page = build_report(partly)
    assert "consensus failed: no convergence, worst: Trafo-1; its results end on Tue 19 Jan 22:00." in page
    assert page.index("no convergence") < page.index('id="kpis"')
    assert "mine was interrupted: x; it has no results." in page


def test_limits_that_nobody_can_hold_and_steps_without_solution_are_told(results):
    run = results.runs["consensus"]
    limits, grid = run.tables["limits"].copy(), run.tables["grid"].copy()
    limits.loc[limits.index[:2], "base_kw"] = limits["limit_kw"].max() + 1.0
    limits.loc[limits.index[:2], "loading_percent"] = 120.0
    grid.loc[3, "converged"] = False
    changed = dataclasses.replace(run, tables={**run.tables, "limits": limits, "grid": grid})
    told = warnings(dataclasses.replace(results, runs={"consensus": changed}, warnings=("Given.",)))
    assert told == [
        "Given.",
        "consensus: the power flow did not converge in 1 step, first on Tue 19 Jan 12:45. "
        "Nothing is shown there.",
        "Trafo-0: the inflexible load alone exceeds the limit in 1 step, first on Tue 19 Jan 12:00. "
        "No controller can hold it there.",
        "Trafo-1: the inflexible load alone exceeds the limit in 1 step, first on Tue 19 Jan 12:00. "
        "No controller can hold it there.",
    ]


def test_a_limit_that_no_price_held_is_told_unless_the_inflexible_load_is_why(results):
    run = results.runs["consensus"]
    limits = run.tables["limits"].copy()
    rows = limits.index[limits["limit"] == "Trafo-1"][10:13]
    limits.loc[rows, "saturated"] = True
    limits.loc[rows[0], "base_kw"] = limits["limit_kw"].max() + 1.0
    limits.loc[rows[0], "loading_percent"] = 120.0
    changed = dataclasses.replace(run, tables={**run.tables, "limits": limits})
    told = warnings(dataclasses.replace(results, runs={"consensus": changed}))
    assert told == [
        "consensus: the largest price was not enough for Trafo-1 in 2 steps, first on Tue 19 Jan 14:45. "
        "Either nothing more could be postponed behind it, or the homes had too few rounds to agree.",
        "Trafo-1: the inflexible load alone exceeds the limit in 1 step, first on Tue 19 Jan 14:30. "
        "No controller can hold it there.",
    ]


def test_what_rounds_left_stands_beside_what_they_promised(page, results):
    section = page[page.index('id="agreement"') : page.index('id="energy"')]
    assert ">0.9000</td><td>10</td><td>0.05</td>" in section
    assert re.search(r'"within the bound">✓</i>0.4</td><td>0.7</td>', section)
    assert "Demand above the limit" not in section  # which is for `gradient`
    alone = dataclasses.replace(results, runs={"independent": results.runs["independent"]})
    assert 'id="agreement"' not in build_report(alone)


def _gradient(run: Run, **changed: object) -> Run:
    """The run as if the gradient step had negotiated it."""
    shares = {"estimate_error_kw": np.nan, "estimate_bound_kw": np.nan, "contraction": 0.5}
    drifts = {"drift_eur_per_kwh": 0.01, "asked_excess_kw": -3.0, "excess_bound_kw": 2.0}
    agreement = run.tables["agreement"].assign(**{**shares, **drifts, **changed})
    limits = run.tables["limits"].assign(consensus_error_eur_per_kwh=0.004)
    return dataclasses.replace(run, tables={**run.tables, "agreement": agreement, "limits": limits})


def test_prices_of_the_gradient_have_a_bound_and_links_that_fail_have_none(results):
    run = results.runs["consensus"]
    row, _ = agreement_rows(dataclasses.replace(results, runs={"consensus": _gradient(run)}))
    # 0.01 · 0.5/(1 − 0.5): a drift that is the same in all steps
    assert row.price_eur_per_kwh == Pair(pytest.approx(0.004), pytest.approx(0.01))
    assert row.excess_kw == Pair(-3.0, 2.0)
    assert (row.price_eur_per_kwh.kept, row.excess_kw.kept, row.estimate_kw.kept) == (True, True, None)
    failing = dataclasses.replace(results, runs={"consensus": _gradient(run, contraction=1.0)})
    assert agreement_rows(failing)[0].price_eur_per_kwh.bound == np.inf
    assert "no bound" in build_report(failing)


def test_only_steps_with_a_price_count(results):
    run = results.runs["consensus"]
    agreement = run.tables["agreement"].copy()
    limits = run.tables["limits"]
    free = limits["price_mean_eur_per_kwh"].to_numpy() == 0.0
    assert 0 < free.sum() < len(free)
    agreement.loc[free, "estimate_error_kw"] = 1e9
    changed = dataclasses.replace(run, tables={**run.tables, "agreement": agreement})
    for row in agreement_rows(dataclasses.replace(results, runs={"consensus": changed})):
        assert row.estimate_kw.measured == pytest.approx(0.4)


def test_the_dearest_limits_come_first_and_those_without_a_price_not_at_all(results):
    run = results.runs["consensus"]

    def shown(factor: float) -> list[str]:
        limits = run.tables["limits"].copy()
        limits.loc[limits["limit"] == "Trafo-0", "price_mean_eur_per_kwh"] *= factor
        changed = dataclasses.replace(run, tables={**run.tables, "limits": limits})
        rows = agreement_rows(dataclasses.replace(results, runs={**results.runs, "consensus": changed}))
        return [row.limit for row in rows]

    assert shown(2.0) == ["Trafo-0", "Trafo-1"]
    assert shown(0.5) == ["Trafo-1", "Trafo-0"]
    assert shown(0.0) == ["Trafo-1"]


def test_a_bound_that_was_not_kept_is_marked(results):
    run = results.runs["consensus"]
    page = build_report(dataclasses.replace(results, runs={"consensus": _gradient(run, asked_excess_kw=2.1)}))
    assert '"beyond the bound">✗</i>2.1</td>' in page
    assert Pair(2.0 + 1e-12, 2.0).kept  # rounding


def test_names_from_files_cannot_become_markup_or_end_a_script(results, tmp_path):
    nasty = "</script><script>alert(1)</script>"
    limits = results.topology.limits.assign(name=nasty)
    lines = results.topology.lines.assign(line=nasty)
    topology = dataclasses.replace(results.topology, limits=limits, lines=lines.iloc[:1], notes=(nasty,))
    path = write_report(
        dataclasses.replace(results, topology=topology, scenario={"title": nasty}), tmp_path / "r.html"
    )
    page = path.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_single_step_and_a_network_without_coordinates_make_a_report():
    page = build_report(synthetic_results(street_topology(1, 3, located=False), ("consensus",), n_steps=1))
    assert "1 steps" not in page
    assert 'id="map"' in page


def test_runs_that_all_stopped_in_their_first_step_still_make_a_report(results):
    runs = {name: Run({}, "failed", "no convergence") for name in results.runs}
    page = build_report(dataclasses.replace(results, runs=runs))
    assert "consensus failed: no convergence; it has no results." in page
    assert "No controller got through its first step." in page


def test_packed_frames_are_what_the_page_unpacks():
    frames = np.array([[0, 65_535, 7], [1, 3, 700], [65_535, 2, 7]], dtype=np.uint16)
    packed = pack(frames)
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), dtype=np.uint8).reshape(2, 3, 3)
    changes = planes[0].astype(np.uint16) | (planes[1].astype(np.uint16) << 8)
    np.testing.assert_array_equal(np.cumsum(changes, axis=1, dtype=np.uint16).T, frames)
    assert packed["elements"] == 3


def test_map_frames_are_the_tables_in_the_topologys_order(results):
    frames = plots.map_frames(results)
    lines = results.runs["consensus"].tables["lines"]
    moment, line = 20, results.topology.lines["line"].iloc[3]
    expected = lines[(lines["time"] == frames.times[moment]) & (lines["line"] == line)][
        "loading_percent"
    ].item()
    assert frames.line_loading["consensus"][moment, 3] * 0.1 == pytest.approx(
        expected, abs=0.0501
    )  # rounding
    assert frames.worst()[0] == "uncontrolled"


def test_a_long_run_shows_the_worst_of_each_block(results):
    frames = plots.map_frames(results, max_frames=10)
    limits = results.runs["uncontrolled"].tables["limits"]
    assert len(frames.times) == 10
    assert frames.limit_loading["uncontrolled"].max() * 0.1 == pytest.approx(
        limits["loading_percent"].max(), abs=0.0501
    )  # rounding


def test_the_map_keeps_distances_equal_in_both_directions():
    topology = street_topology(1, 4)
    buses = topology.buses.assign(
        longitude=[0.0, 0.01, 0.0, 0.0, 0.0, 0.01], latitude=[60.0, 60.0, 60.01, 60.0, 60.0, 60.01]
    )
    places = geometry(dataclasses.replace(topology, buses=buses, lines=topology.lines.assign(path=None)))
    east = places.bus["Bus-1"][0] - places.bus["Bus-0"][0]
    north = places.bus["Bus-2"][1] - places.bus["Bus-0"][1]
    assert places.located
    # A degree of longitude at 60.005° is cos(60.005°) of one of latitude, 111.195 km on the mean sphere.
    assert (east, north) == pytest.approx((555.89, 1111.95), rel=1e-5)


def test_a_feeder_without_coordinates_is_drawn_as_a_tree_without_crossings():
    topology = street_topology(2, 6, located=False)
    places = geometry(topology)
    assert not places.located
    assert len(set(places.bus.values())) == len(topology.buses)
    for start, end in zip(topology.lines["from_bus"], topology.lines["to_bus"], strict=True):
        assert places.bus[start][1] > places.bus[end][1]


def test_a_figure_of_one_limit_shows_its_loading(results):
    plot = plots.transformer_loading(results, limit="Trafo-1")
    source = plot.renderers[0].data_source
    limits = results.runs["consensus"].tables["limits"]
    expected = limits.loc[limits["limit"] == "Trafo-1", "loading_percent"].to_numpy()
    np.testing.assert_allclose(source.data["loading_percent consensus"], expected, rtol=1e-6)
    np.testing.assert_array_equal(
        source.data["Trafo-1/loading_percent consensus"], source.data["loading_percent consensus"]
    )


@pytest.mark.parametrize(
    "draw",
    [plots.transformer_loading, plots.price, plots.energy_served, plots.energy_unserved, plots.energy_owed,
     plots.indoor_temperature],
)  # fmt: skip
def test_axes_carry_units_and_controllers_their_colour(results, draw):
    plot = draw(results)
    colours = plots.controller_colours(results.runs)
    if plot.legend:
        assert re.search(r"(%|kWh|°C)", plot.yaxis[0].axis_label)
        shown = {item.label.value: item.renderers[-1].glyph.line_color for item in plot.legend[0].items}
        assert {name: shown[name] for name in shown if name in colours} == {
            name: colours[name] for name in shown if name in colours
        }


def priced(results, tariff):
    """The same runs at another tariff: a price, or one per step."""
    runs = {}
    for name, run in results.runs.items():
        homes = run.tables["households"]
        given = np.repeat(np.broadcast_to(tariff, homes["time"].nunique()), homes["household"].nunique())
        tables = run.tables | {"households": homes.assign(tariff_eur_per_kwh=given)}
        runs[name] = dataclasses.replace(run, tables=tables)
    return dataclasses.replace(results, runs=runs)


def test_the_tariff_is_drawn_where_it_changes(results):
    price = np.linspace(-0.1, 0.5, 96)
    plot = plots.tariff(priced(results, price))
    np.testing.assert_allclose(plot.renderers[0].data_source.data["price tariff"], price)
    assert plot.yaxis[0].axis_label == "tariff, EUR/kWh"
    assert not plots.tariff(results).renderers
    assert "<h3>Tariff</h3>" not in build_report(results)
    assert "<h3>Tariff</h3>" in build_report(priced(results, price))


def test_a_price_that_is_the_same_for_all_homes_gives_the_axis_its_height(results):
    """As one that homes agree on by messages does; private prices may be anything."""
    runs = {}
    for name, spread, height in (("independent", 1.0, 9.0), ("centralised", 0.0, 0.5)):
        limits = results.runs["independent"].tables["limits"].copy()
        limits["price_mean_eur_per_kwh"] = height
        limits["price_min_eur_per_kwh"], limits["price_max_eur_per_kwh"] = height - spread, height + spread
        runs[name] = Run({"limits": limits})
    assert plots.price(dataclasses.replace(results, runs=runs)).y_range.end == pytest.approx(0.9)


def test_colours_of_unknown_controllers_differ_from_each_other_and_the_known():
    colours = plots.controller_colours(["consensus", "mine", "yours", "uncontrolled"])
    assert len(set(colours.values())) == 4
    assert colours["consensus"] == plots.controller_colours(["consensus"])["consensus"]


def test_a_backlog_is_the_sum_over_devices(results):
    plot = plots.energy_owed(results)
    devices = results.runs["independent"].tables["devices"]
    expected = devices.groupby("time")["owed_kwh"].sum()
    assert isinstance(expected, pd.Series)
    np.testing.assert_allclose(
        plot.renderers[0].data_source.data["owed_kwh independent"], expected.to_numpy()
    )
