"""KPIs and warnings on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from grid_cosim.cli.screen import Screen


def show_results(results: Any, screen: Screen) -> None:
    """What the report says at its top, then the KPIs."""
    from grid_cosim.report.reading import warnings

    for warning in warnings(results):
        screen.warn(warning)
    if screen.for_people:
        screen.table(_kpis(results))


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


def _kpis(results: Any) -> Table:
    """One column per controller, good values green, bad ones red."""
    from grid_cosim.metrics import is_good, kpis, told, voltage_band

    values, band = kpis(results), voltage_band(results)
    table = Table(title=results.basis.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("")
    for controller in values:
        table.add_column(controller, justify="right")
    for name in told(values):
        cells = []
        for controller, run_values in values.items():
            good = is_good(name, controller, values, band)
            colour = {True: "green", False: "red", None: "default"}[good]
            cells.append(f"[{colour}]{number(run_values[name])}[/]")
        table.add_row(name, *cells)
    return table


def number(value: float) -> str:
    """A value with the digits that its size deserves; a dash where there is none."""
    if value != value:
        return "–"
    if abs(value) < 1e-12:
        return "0.000"
    if 0.01 <= abs(value) < 1e6:
        return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.3f}"
    return f"{value:.1e}"
