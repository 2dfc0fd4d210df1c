"""`grid-cosim new`: a study of a network of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from grid_cosim.cli import completion
from grid_cosim.cli.boundary import Debug, Json, Quiet, Screen, bounded


@bounded
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to write the study to; it must not exist.")],
    feeder: Annotated[
        str,
        typer.Option(
            help="The network: a pandapower file (.json, .xlsx), simbench:<code>, pandapower:<function>, or "
            "a name that `grid-cosim feeders` lists.",
            autocompletion=completion.sources,
        ),
    ],
    kw_per_home: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Planned kW per home where loads stand for several; found out if left out."
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Begin a study: look at a network, tell what is missing or doubtful, write a scenario that runs.

    For example:
        grid-cosim new my_study --feeder net.json
        grid-cosim new village --feeder simbench:1-LV-rural3--2-no_sw
        grid-cosim new town --feeder pandapower:mv_oberrhein --kw-per-home 2.5
    """
    import numpy as np

    from grid_cosim.beginning import begin
    from grid_cosim.beginning.begin import told

    screen = Screen(as_json=as_json, quiet=quiet)
    with screen.bars() as bars:
        task = bars.add_task("new study", total=3, note="")

        def tell(what: str) -> None:
            bars.update(task, advance=0 if "looking" in what else 1, note=what)

        written = begin(folder, feeder, kw_per_home=kw_per_home, tell=tell)
        bars.update(task, completed=3, note="")

    found = written.diagnosis
    for finding in found.findings:
        if finding.severity == "doubtful":
            screen.warn(told(finding))
        else:
            screen.note(f"note: {told(finding)}")
    assert found.feeder is not None, "what is refused raises"
    limits, evening, share = found.feeder.limits, written.evening, written.sizing.limit_share
    for doubt in evening.doubts(share):
        screen.warn(doubt)
    worst = int(np.nanargmax(evening.limit_percent))
    of = f"{limits.n_limits} limits" if limits.n_limits > 1 else "1 limit"
    allowed = "" if share == 1.0 else f", of which the scenario allows {share:.0%}"
    screen.say(
        f"\n{found.feeder.n_households:,} homes ({found.rule}) behind {of}. Without control "
        f"{limits.names[worst]} would come to {evening.limit_percent[worst]:.0f} % of its rating{allowed}."
    )
    screen.say(f"Wrote {written.folder}. Run it with\n")
    screen.say(f"    grid-cosim run {written.scenario} --out {written.folder / 'results'}")
    screen.bare(written.scenario)
    screen.document(
        {
            "scenario": written.scenario,
            "homes": found.feeder.n_households,
            "rule": found.rule,
            "limits": limits.names,
            "limit_share": share,
            "limit_percent_without_control": evening.limit_percent,
            "line_percent_without_control": evening.line_percent,
            "lowest_vm_pu_without_control": evening.lowest_vm_pu,
            "unsolved_steps_without_control": evening.unsolved_steps,
            "findings": [asdict(finding) for finding in found.findings],
        }
    )
