"""Figures for papers: what they show is what is stored, in the size and with the words that a paper needs."""

from __future__ import annotations

import dataclasses
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.dates import date2num
from typer.testing import CliRunner

from grid_cosim import GridCosimError, Results
from grid_cosim.cli import app
from grid_cosim.errors import MissingExtraError
from grid_cosim.plots import paper
from grid_cosim.plots.paper import bars, curves
from grid_cosim.plots.style import controller_colours
from grid_cosim.results import Run
from tests.results.builders import DT_H, street_topology, synthetic_results

cli = CliRunner()


@pytest.fixture(scope="module")
def results() -> Results:
    """A day of two streets."""
    return synthetic_results(street_topology(2, 6), n_steps=96)


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory) -> str:
    return str(results.save(tmp_path_factory.mktemp("paper") / "out"))


def lines(figure, panel: int = 0) -> dict[str, object]:
    """Label → line, of those that have one."""
    return {
        line.get_label(): line for line in figure.axes[panel].lines if not line.get_label().startswith("_")
    }


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# what they show


def test_the_loading_is_that_of_the_table_by_controller_and_with_the_limit(results):
    figure = results.plot_loading(limit="Trafo-1")
    drawn = lines(figure)
    assert legend(figure) == list(drawn) == ["uncontrolled", "independent", "consensus", "limit"]
    stored = results.series("limits", "loading_percent", where={"limit": "Trafo-1"})
    for controller, colour in controller_colours(results.runs).items():
        x, y = drawn[controller].get_data()
        np.testing.assert_array_equal(y, np.append(stored[controller], stored[controller].iloc[-1]))
        assert drawn[controller].get_color() == colour
    assert x[0] == stored.index[0].to_datetime64()
    assert x[-1] - x[-2] == np.timedelta64(15, "m")  # the last step has its length, too
    assert set(drawn["limit"].get_ydata()) == {100.0}
    (axis,) = figure.axes
    assert (axis.get_ylabel(), axis.get_xlabel()) == ("loading of Trafo-1, %", "local time")
    assert axis.get_ylim()[0] < 0.0 < axis.get_ylim()[1]


def test_without_a_name_the_most_loaded_limit_is_drawn(results):
    peaks = results.table("limit_summary", columns=["peak_of_limit_percent"])["peak_of_limit_percent"]
    worst = peaks.idxmax()[1]
    assert results.plot_loading().axes[0].get_ylabel() == f"loading of {worst}, %"


def test_the_duration_curve_falls_and_ends_at_the_horizon(results):
    figure = results.plot_duration(limit="Trafo-0", controllers=["consensus"])
    x, y = lines(figure)["consensus"].get_data()
    stored = results.series("limits", "loading_percent", "consensus")["Trafo-0"]
    np.testing.assert_array_equal(y[:-1], np.sort(stored)[::-1])
    np.testing.assert_allclose(x, DT_H * np.arange(97))
    assert figure.axes[0].get_xlabel() == "duration, h"


def test_the_price_is_drawn_where_there_is_one_that_homes_have_together(results):
    assert legend(results.plot_price()) == ["consensus"]
    figure = results.plot_price(controllers=["independent", "consensus"], limit="Trafo-0")
    assert legend(figure) == ["independent", "consensus"]
    stored = results.series("limits", "price_mean_eur_per_kwh", where={"limit": "Trafo-0"})
    np.testing.assert_array_equal(lines(figure)["independent"].get_ydata()[:-1], stored["independent"])
    assert figure.axes[0].get_ylabel().endswith("EUR/kWh")
    assert len(figure.axes[0].collections) == 2  # the bands


def test_the_energy_has_three_panels_that_add_up(results):
    figure = results.plot_energy()
    totals = results.table("totals", "independent")
    assert [axis.get_ylabel() for axis in figure.axes] == [
        "owed, kWh",
        "delivered so far, kWh",
        "missed so far, kWh",
    ]
    colour = controller_colours(results.runs)["independent"]
    owed, served, missed = (
        [line for line in axis.lines if line.get_color() == colour] for axis in figure.axes
    )
    np.testing.assert_array_equal(owed[0].get_ydata(), totals["owed_kwh"])
    np.testing.assert_allclose(served[0].get_ydata()[-1], totals["asked_kwh"].sum())
    np.testing.assert_allclose(served[1].get_ydata()[-1], totals["served_kwh"].sum())
    np.testing.assert_allclose(missed[0].get_ydata()[-1], totals["unserved_kwh"].sum())
    ends = totals.index + pd.Timedelta(hours=DT_H)  # what is owed after a step
    np.testing.assert_array_equal(np.asarray(owed[0].get_xdata(), dtype="datetime64[ms]"), ends)


def test_the_temperature_has_its_comfort_bound(results):
    figure = results.plot_temperature()
    stored = results.table("totals", "consensus")["temperature_median_c"]
    np.testing.assert_array_equal(lines(figure)["consensus"].get_ydata(), stored)
    assert set(lines(figure)["comfort"].get_ydata()) == {results.basis.comfort_low_c}
    assert figure.axes[0].get_ylabel() == "indoor temperature, °C"


def test_the_voltage_is_of_all_buses_with_the_ends_of_the_band_that_matter(results):
    figure = results.plot_voltage(controllers=["consensus"])
    low, high, *ends = (line.get_ydata() for line in figure.axes[0].lines)
    assert (set(low), set(high)) == ({0.96}, {1.01})
    assert [set(end) for end in ends] == [{0.9}, {1.1}]
    grid = results.runs["consensus"].table("grid").assign(vm_max_pu=0.99)
    run = Run({**results.runs["consensus"].tables, "grid": grid})
    low_only = dataclasses.replace(results, runs={"consensus": run}).plot_voltage()
    assert [set(line.get_ydata()) for line in low_only.axes[0].lines[2:]] == [{0.9}]


def test_the_map_has_every_line_with_its_largest_loading(results):
    figure = results.plot_map(controllers=["uncontrolled", "consensus"], width_mm=180.0)
    assert [axis.get_title(loc="left") for axis in figure.axes[:2]] == ["uncontrolled", "consensus"]
    bar = figure.axes[2]
    assert bar.get_xlabel() == "largest loading, %: lines of their rating, transformers of their limit"
    first, second = (
        next(drawn for drawn in axis.collections if isinstance(drawn, LineCollection))
        for axis in figure.axes[:2]
    )
    assert len(first.get_segments()) == len(results.topology.lines)
    peaks = results.table("line_summary", "uncontrolled")["loading_max_percent"]
    widths = np.asarray(first.get_linewidths())[np.argsort(peaks.loc[results.topology.lines["line"]])]
    assert (np.diff(widths) >= 0.0).all()
    assert widths[0] < widths[-1]
    assert not np.array_equal(first.get_colors(), second.get_colors())
    assert any("m" in text.get_text() for text in figure.axes[0].texts)  # the scale


def test_a_network_without_coordinates_is_drawn_as_a_tree_without_a_scale():
    tree = synthetic_results(street_topology(1, 4, located=False), ("consensus",), n_steps=4)
    (axis, _) = tree.plot_map().axes
    assert len(axis.collections[0].get_segments()) == 4
    assert len(axis.collections[1].get_segments()) == 1  # the transformer
    assert not axis.texts
    said = " ".join(tree.plot_map().get_supxlabel().split())
    assert said.startswith("This network has no coordinates: it is drawn as a tree")
    located = synthetic_results(street_topology(1, 4), ("consensus",), n_steps=4)
    assert not located.plot_map().get_supxlabel()


def test_lines_that_were_not_recorded_are_grey(results):
    tables = {name: rows for name, rows in results.runs["consensus"].tables.items() if name != "lines"}
    figure = dataclasses.replace(results, runs={"consensus": Run(tables)}).plot_map()
    (colour,) = np.unique(figure.axes[0].collections[0].get_colors(), axis=0)
    assert mpl.colors.to_hex(colour) == "#b5b5b5"


def test_bars_are_the_kpis_with_their_units_and_values(results):
    figure = results.plot_kpis(kpis=["peak_loading_percent", "total_cost_eur"])
    values = results.kpis()
    assert [axis.get_title(loc="left") for axis in figure.axes] == [
        "Peak loading, % of limit",
        "Total cost, EUR",
    ]
    for axis, name in zip(figure.axes, ["peak_loading_percent", "total_cost_eur"], strict=True):
        np.testing.assert_array_equal([bar.get_width() for bar in axis.patches], values.loc[name])
        assert [text.get_text() for text in axis.texts] == [bars.number(value) for value in values.loc[name]]
    shown = len(results.plot_kpis().axes)
    assert shown == sum(values.loc[list(bars.READ_FIRST)].notna().any(axis=1))


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0"), (1e-15, "0"), (100.58, "100.6"), (6684.6, "6,685"), (0.0261, "0.026"), (3.2e-5, "3.2e-05")],
)
def test_numbers_have_the_digits_that_can_be_read(value, told):
    assert bars.number(value) == told


def test_long_runs_keep_their_peaks(results, monkeypatch):
    monkeypatch.setattr(curves, "_MOST_POINTS", 10)
    stored = results.series("limits", "loading_percent", "uncontrolled")["Trafo-0"]
    for figure in (results.plot_loading(limit="Trafo-0"), results.plot_duration(limit="Trafo-0")):
        drawn = lines(figure)["uncontrolled"].get_ydata()
        assert len(drawn) <= 11
        assert drawn.max() == stored.max()
    assert lines(results.plot_duration(limit="Trafo-0"))["uncontrolled"].get_ydata().min() == stored.min()
    assert len(lines(results.plot_energy())["consensus"].get_ydata()) <= 10
    assert len(lines(results.plot_voltage())["consensus"].get_ydata()) <= 11


# how they look


@pytest.mark.parametrize("name", paper.FIGURES)
@pytest.mark.parametrize("width_mm", [paper.SINGLE_MM, paper.DOUBLE_MM])
def test_nothing_sticks_out_of_a_page_of_the_size_asked_for(results, name, width_mm):
    figure = paper.FIGURES[name](results, width_mm=width_mm)
    assert figure.get_figwidth() == pytest.approx(width_mm / 25.4)
    figure.draw_without_rendering()
    page, used = figure.bbox_inches, figure.get_tightbbox()
    assert (page.x0 <= used.x0, used.x1 <= page.x1, page.y0 <= used.y0, used.y1 <= page.y1) == (True,) * 4
    sizes = {text.get_fontsize() for text in figure.findobj(mpl.text.Text) if text.get_text()}
    assert min(sizes) >= 6.0


def test_the_time_axis_says_days_and_hours(results):
    figure = results.plot_loading()
    figure.draw_without_rendering()
    (axis,) = figure.axes
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert "12:00" in labels
    assert "20 Jan" in labels
    assert axis.xaxis.get_offset_text().get_text() == "2016"
    assert date2num(results.table("totals", "consensus").index[0]) == axis.get_xlim()[0]


def test_controllers_differ_in_more_than_colour(results):
    drawn = lines(results.plot_loading())
    assert drawn["uncontrolled"].get_linestyle() == "-"
    assert drawn["independent"].get_linestyle() == "--"


def test_neither_pyplot_nor_its_settings_are_touched(results):
    with warnings.catch_warnings(), mpl.rc_context({"font.size": 31.0, "lines.linewidth": 9.0}):
        before = dict(mpl.rcParams)
        figure = results.plot_loading()
        assert dict(mpl.rcParams) == before
    assert figure.axes[0].yaxis.label.get_fontsize() == 7.0
    assert not sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else True


@pytest.mark.parametrize("kind", paper.FORMATS)
def test_the_same_numbers_give_the_same_bytes(results, folder, tmp_path, kind):
    draw = paper.network if kind == "svg" else paper.voltage
    first = paper.save_figure(draw(results), tmp_path / f"first.{kind}", of=results)
    with mpl.rc_context({"svg.hashsalt": None, "pdf.fonttype": 3}):
        loaded = Results.load(folder)
        second = paper.save_figure(draw(loaded), tmp_path / "new" / f"second.{kind}", of=loaded)
    assert first.read_bytes() == second.read_bytes()
    assert not list(tmp_path.rglob("*.partial"))


def test_files_name_the_study_and_the_licences_of_its_data(results, tmp_path):
    licences = {"network": "of the network", "base load": "SimBench, ODbL 1.0"}
    licensed = dataclasses.replace(results, provenance={**results.provenance, "licences": licences})
    figure = licensed.plot_voltage()
    for kind in paper.FORMATS:
        path = paper.save_figure(figure, tmp_path / f"a.{kind}", of=licensed)
        assert b"of the network SimBench, ODbL 1.0" in path.read_bytes(), kind
        assert b"A cold evening" in path.read_bytes(), kind
        assert b"CreationDate" not in path.read_bytes(), kind
    assert b"No licence needed" in paper.save_figure(figure, tmp_path / "b.svg", of=results).read_bytes()


def test_text_of_a_pdf_is_text(results, tmp_path):
    written = paper.save_figure(results.plot_voltage(), tmp_path / "a.pdf").read_bytes()
    assert b"/Type3" not in written
    assert b"/FontFile2" in written


# what is refused


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda r: r.plot_loading(limit="Trafo-9"),
            "No limit named 'Trafo-9' in these results. Did you mean",
        ),
        (lambda r: r.plot_energy(controllers=["concensus"]), "Did you mean 'consensus'?"),
        (lambda r: r.plot_map(controllers=[]), "No controller is left to draw"),
        (lambda r: r.plot_price(controllers=["uncontrolled"]), "there was a congestion price"),
        (lambda r: r.plot_kpis(kpis=["peak"]), "No KPI named 'peak'"),
        (lambda r: r.plot_kpis(kpis=["total_cost_gap_percent"]), "None of these KPIs has a value"),
        (lambda r: r.plot_loading(width_mm=8.8), "8.8 mm wide fits no paper"),
        (lambda r: paper.save_figure(r.plot_voltage(), "a.gif"), "written as svg, pdf, png"),
        (lambda r: paper.save_figure(r.plot_voltage(), __file__ + "/a.svg"), "cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_said(results, draw, message):
    with pytest.raises(GridCosimError) as refused:
        draw(results)
    assert message in str(refused.value)


@pytest.mark.parametrize("name", paper.FIGURES)
def test_a_run_without_a_step_has_nothing_to_draw_and_says_so(results, name):
    none = dataclasses.replace(results, runs={"consensus": Run({}, "interrupted")})
    if name == "map":  # the network is there
        assert len(none.plot_map().axes) == 2
        return
    with pytest.raises(GridCosimError, match="nothing to draw"):
        paper.FIGURES[name](none)


def cut_short(results: Results) -> Results:
    """`consensus` ends after five steps, `independent` never had a power flow."""
    tables = {
        name: rows[rows["time"] < np.datetime64("2016-01-19T13:15")]
        for name, rows in results.runs["consensus"].tables.items()
    }
    blind = dict(results.runs["independent"].tables)
    for name in ("limits", "lines", "grid"):
        numbers = [column for column in blind[name] if "percent" in column or "_pu" in column]
        blind[name] = blind[name].assign(**dict.fromkeys(numbers, np.nan))
    runs = {"independent": Run(blind), "consensus": Run(tables, "interrupted")}
    return dataclasses.replace(results, runs={**results.runs, **runs})


@pytest.mark.parametrize("name", paper.FIGURES)
def test_odd_runs_are_drawn_as_far_as_they_go(results, name):
    figure = paper.FIGURES[name](cut_short(results))
    figure.draw_without_rendering()
    if name == "loading":
        drawn = np.isfinite(np.asarray(lines(figure)["consensus"].get_ydata(), dtype=float))
        assert np.flatnonzero(drawn).tolist() == [0, 1, 2, 3, 4]
    one_step = synthetic_results(street_topology(1, 3), ("consensus",), n_steps=1)
    if name != "price" or one_step.runs["consensus"].table("totals")["priced_limits"].any():
        paper.FIGURES[name](one_step).draw_without_rendering()


def test_without_matplotlib_the_extra_is_named(results, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("grid_cosim.plots.paper")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'grid-cosim\[plot\]'"):
        results.plot_loading()


# the command


def test_the_command_draws_one_figure_to_a_file(folder, tmp_path):
    file = tmp_path / "a.png"
    chosen = ["--figure", "loading", "--limit", "Trafo-1", "--controllers", "consensus", "--width", "120"]
    assert cli.invoke(app, ["plot", folder, *chosen, "--out", str(file)]).exit_code == 0
    paper.save_figure(
        Results.load(folder).plot_loading(limit="Trafo-1", controllers=["consensus"], width_mm=120.0),
        tmp_path / "b.png",
        of=Results.load(folder),
    )
    assert file.read_bytes() == (tmp_path / "b.png").read_bytes()


def test_figures_without_anything_to_draw_are_left_out_unless_they_are_named(tmp_path):
    plain = synthetic_results(street_topology(1, 4), ("uncontrolled",), n_steps=4)
    stored = str(plain.save(tmp_path / "out"))
    shown = cli.invoke(app, ["plot", stored, "--format", "svg"])
    assert shown.exit_code == 0
    assert "price: Under none of these controllers there was a congestion price" in shown.stderr
    drawn = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert drawn == {f"{name}.svg" for name in paper.FIGURES if name != "price"}
    assert cli.invoke(app, ["plot", stored, "--figure", "price"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--figure", "laoding"], "No figure named 'laoding'. Did you mean 'loading'?"),
        (["--format", "gif"], "No format named 'gif'"),
        (["--out", "all.svg"], "is one file: choose one figure"),
        (["--figure", "map", "--out", "a.svg", "--format", "pdf"], "ends in .svg, but --format says pdf"),
        (["--figure", "map", "--controllers", "optimum"], "No controller named 'optimum'"),
        (["--limit", "Trafo-7"], "No limit named 'Trafo-7'"),
        (["--width", "1000"], "fits no paper"),
    ],
)
def test_what_the_command_cannot_use_is_refused(folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    shown = cli.invoke(app, ["plot", folder, *arguments])
    assert shown.exit_code == 2
    assert message in " ".join(shown.stderr.split())
    assert not list(tmp_path.iterdir())
