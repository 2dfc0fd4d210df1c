"""`grid-cosim new`: a study of a network of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli.boundary import Debug, bounded, err, out, progress_bars


@bounded
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to write the study to; it must not exist.")],
    feeder: Annotated[
        str,
        typer.Option(
            help="The network: a pandapower file (.json, .xlsx), simbench:<code>, pandapower:<function>, or "
            "a name that `grid-cosim feeders` lists."
        ),
    ],
    kw_per_home: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Planned kW per home where loads stand for several; found out if left out."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Begin a study: look at a network, tell what is missing or doubtful, write a scenario that runs.

    Example: grid-cosim new my_study --feeder net.json
    """
    from grid_cosim.beginning import begin
    from grid_cosim.beginning.begin import told

    with progress_bars() as bars:
        task = bars.add_task("new study", total=3, note="")

        def tell(what: str) -> None:
            bars.update(task, advance=0 if "looking" in what else 1, note=what)

        written = begin(folder, feeder, kw_per_home=kw_per_home, tell=tell)
        bars.update(task, completed=3, note="")

    found = written.diagnosis
    colours = {"doubtful": "yellow", "information": "default", "refuses": "red"}
    for finding in found.findings:
        label = "note" if finding.severity == "information" else finding.severity
        err.print(
            f"{label}: {told(finding)}",
            style=colours[finding.severity],
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    assert found.feeder is not None, "what is refused raises"
    limits, evening = found.feeder.limits, written.evening
    worst = int(evening.limit_percent.argmax())
    of = f"{limits.n_limits} limits" if limits.n_limits > 1 else "1 limit"
    out.print(
        f"\n{found.feeder.n_households:,} homes ({found.rule}) behind {of}. Without "
        f"control {limits.names[worst]} would come to {evening.limit_percent[worst]:.0f} % of its rating.",
        highlight=False,
        soft_wrap=True,
    )
    out.print(f"Wrote {written.folder}. Run it with\n", highlight=False, soft_wrap=True)
    out.print(
        f"    grid-cosim run {written.scenario} --out {written.folder / 'results'}",
        highlight=False,
        soft_wrap=True,
    )
