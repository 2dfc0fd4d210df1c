"""`grid-cosim feeders`: the networks at hand."""

from __future__ import annotations

from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.table import Table

from grid_cosim.cli.boundary import Debug, Json, Quiet, Screen, bounded, out


@bounded
def feeders(as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """List the feeders at hand: buses, homes, transformers, loading as shipped.

    For example:
        grid-cosim feeders
        grid-cosim feeders --quiet
        grid-cosim feeders --json
    """
    from grid_cosim.feeder.catalogue import PANDAPOWER_NETWORKS, list_feeders, simbench_codes

    screen = Screen(as_json=as_json, quiet=quiet)
    known, codes = list_feeders(), simbench_codes()
    screen.bare(*(feeder.name for feeder in known), *(f"simbench:{code}" for code in codes))
    screen.document({"feeders": [asdict(feeder) for feeder in known], "simbench_codes": codes})
    table = Table(
        title="Feeders",
        title_justify="left",
        title_style="bold",
        caption="loading: of the most loaded transformer, as shipped",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("name", no_wrap=True)
    for heading in ("buses", "homes", "heat\npumps", "trans-\nformers", "loading"):
        table.add_column(heading, justify="right", no_wrap=True)
    roomy = out.width >= 100  # else the words would take a line each
    if roomy:
        table.add_column("what")
    for feeder in known:
        table.add_row(
            feeder.name,
            f"{feeder.buses:,}",
            f"{feeder.homes:,}",
            f"{feeder.heat_pumps:,}",
            f"{feeder.transformers:,}",
            f"{feeder.loading_percent:.0f} %",
            *([feeder.what] if roomy else ()),
        )
    screen.table(table)
    screen.say(
        f"Besides, all {len(codes)} SimBench grids by their code (simbench:<code>), "
        f"{len(PANDAPOWER_NETWORKS)} of pandapower's own (pandapower:mv_oberrhein), and any pandapower "
        "network as a .json or .xlsx file: `grid-cosim new` begins a study of it."
    )
