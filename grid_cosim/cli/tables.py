"""KPIs and warnings on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from grid_cosim.cli.screen import Screen, out


def show_results(results: Any, screen: Screen) -> None:
    """What the report says at its top, then the KPIs."""
    from grid_cosim.report.reading import warnings

    for warning in warnings(results):
        screen.warn(warning)
    if screen.for_people:
        show_columns(screen, results.basis.title, *_kpis(results))


def results_document(results: Any, folder: Path) -> dict[str, Any]:
    """Results for machines: where they lie, whether every run reached its end, and their KPIs."""
    from grid_cosim.metrics import kpis

    return {
        "title": results.basis.title,
        "folder": folder,
        "report": folder / "report.html",
        "complete": results.complete,
        "runs": {name: {"status": run.status, "message": run.message} for name, run in results.runs.items()},
        "kpis": kpis(results),
    }


def show_columns(
    screen: Screen, title: str, labels: Sequence[str], columns: Mapping[str, Sequence[str]]
) -> None:
    """A table with a label before each row; where it is too wide, further ones below with the same labels."""
    left = dict(columns)
    while left:
        part = dict(left)
        while len(part) > 1 and _width(_table(title, labels, part)) > out.width:
            part.popitem()
        screen.table(_table(title, labels, part))
        left = {name: cells for name, cells in left.items() if name not in part}
        title = ""


def _table(title: str, labels: Sequence[str], columns: Mapping[str, Sequence[str]]) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("")
    for name in columns:
        table.add_column(escape(name), justify="right")
    for label, *cells in zip(labels, *columns.values(), strict=True):
        table.add_row(label, *cells)
    return table


def _width(table: Table) -> int:
    """How wide it would be if nothing were shortened."""
    return Measurement.get(out, out.options.update(max_width=10_000), table).maximum


def _kpis(results: Any) -> tuple[list[str], dict[str, list[str]]]:
    """Names, and by controller the values: good ones green, bad ones red."""
    from grid_cosim.metrics import is_good, kpis, told, voltage_band

    values, band = kpis(results), voltage_band(results)
    colours = {True: "green", False: "red", None: "default"}
    names = list(told(values))
    return names, {
        controller: [
            f"[{colours[is_good(name, controller, values, band)]}]{number(of_run[name])}[/]" for name in names
        ]
        for controller, of_run in values.items()
    }


def number(value: float) -> str:
    """A value with the digits that its size deserves; a dash where there is none."""
    if value != value:
        return "–"
    if abs(value) < 1e-12:
        return "0.000"
    if 0.01 <= abs(value) < 1e6:
        return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.3f}"
    return f"{value:.1e}"
