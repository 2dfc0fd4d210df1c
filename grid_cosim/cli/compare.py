"""`grid-cosim compare`: results folders of different days or scenarios beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from grid_cosim.cli import completion
from grid_cosim.cli.boundary import Debug, Json, Quiet, Screen, bounded
from grid_cosim.cli.tables import number, show_columns
from grid_cosim.errors import GridCosimError, UnknownNameError

if TYPE_CHECKING:
    from grid_cosim.comparison import Comparison


@bounded
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Results folders, two or more.", autocompletion=completion.runs),
    ],
    names: Annotated[
        str | None, typer.Option(help="What to call them, comma-separated; their folders if left out.")
    ] = None,
    controllers: Annotated[
        str | None, typer.Option(help="Controllers to compare, comma-separated; all if left out.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--out", help="Write the KPIs to this CSV file, too: a row per number.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare the KPIs of several runs, with what differs between their scenarios and what that forbids.

    For example:
        grid-cosim compare runs/cold_evening runs/seed_2
        grid-cosim compare runs/a runs/b --controllers consensus --out kpis.csv
    """
    from grid_cosim.comparison import compare as beside_each_other
    from grid_cosim.results import StoredResults

    called = named(folders, names)
    loaded = {name: StoredResults.load(folder) for name, folder in zip(called, folders, strict=True)}
    found = beside_each_other(loaded)
    known = list(found.kpis.columns.unique("controller"))
    common = [name for name in known if sum(name in one.runs for one in loaded.values()) > 1]
    wanted = common if controllers is None else _listed(controllers)
    for name in wanted:
        if name not in known:
            raise UnknownNameError("controller", name, known, place="in these results")
    screen = Screen(as_json=as_json, quiet=quiet)
    for warning in found.warnings:
        screen.warn(warning)
    _show_settings(screen, found)
    for controller in wanted:
        _show(screen, found, controller)
    alone = [f"{name} ({run})" for run, one in loaded.items() for name in one.runs if name not in common]
    if alone and controllers is None:
        screen.say(f"Only in one of them: {', '.join(alone)}.")
    if file is not None:
        _write(found, wanted, file)
        screen.say(f"Wrote {file}")
        screen.bare(file)
    screen.document(_document(found, wanted))


def _document(found: Comparison, controllers: list[str]) -> dict[str, Any]:
    """The same for machines: settings that differ, and KPIs by controller and results."""
    kpis = {
        name: {str(run): values.to_dict() for run, values in found.of(name).items()} for name in controllers
    }
    settings = {str(path): dict(values) for path, values in found.settings.iterrows()}
    return {"settings": settings, "kpis": kpis}


def named(folders: list[Path], names: str | None) -> list[str]:
    """What several folders are called: as `--names` says, or after themselves."""
    from grid_cosim.comparison import names_of

    called = _listed(names) if names is not None else names_of(folders)
    if len(called) != len(folders) or len(set(called)) != len(called):
        raise GridCosimError(
            f"--names gives {len(called)} names for {len(folders)} folders: give each one of its own."
        )
    return called


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _show_settings(screen: Screen, found: Comparison) -> None:
    """What differs in the scenario."""
    if not len(found.settings):
        screen.say("The scenarios are the same.")
        return
    table = _table("What differs in the scenario")
    for name in found.results:
        table.add_column(_escaped(name), overflow="fold")
    for path, values in found.settings.iterrows():
        table.add_row(str(path), *(_escaped(value) for value in values))
    screen.table(table)


def _show(screen: Screen, found: Comparison, controller: str) -> None:
    """KPIs of a controller, and for two results by how much the second is more."""
    values = found.of(controller)
    values = values.loc[[name for name in found.told if values.loc[name].notna().any()]]
    columns = {str(name): [number(value) for value in values[name]] for name in values.columns}
    if len(columns) == 2:
        change = values.iloc[:, 1] - values.iloc[:, 0]
        columns["change"] = [f"{'+' if value > 0.0 else ''}{number(value)}" for value in change]
    show_columns(screen, controller, [str(kpi) for kpi in values.index], columns)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("")
    return table


def _escaped(value: Any) -> str:
    from rich.markup import escape

    return escape(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _write(found: Comparison, controllers: list[str], file: Path) -> None:
    tidy = found.tidy()
    text = tidy[tidy["controller"].isin(controllers)].to_csv(index=False, lineterminator="\n")
    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(file)
    except OSError as error:
        raise GridCosimError(f"{file}: cannot be written ({error.strerror}).") from error
