"""KPIs and warnings on the screen."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from grid_cosim.cli.boundary import err, out


def show_warnings(results: Any) -> None:
    """What the report says at its top."""
    from grid_cosim.report.reading import warnings

    for warning in warnings(results):
        err.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def show_kpis(results: Any) -> None:
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
    out.print(table)


def number(value: float) -> str:
    """A value with the digits that its size deserves; a dash where there is none."""
    if value != value:
        return "–"
    if abs(value) < 1e-12:
        return "0.000"
    if 0.01 <= abs(value) < 1e6:
        return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.3f}"
    return f"{value:.1e}"
