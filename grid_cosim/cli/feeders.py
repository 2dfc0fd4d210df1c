"""`grid-cosim feeders`: the networks at hand."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from grid_cosim.cli.boundary import Debug, bounded, out


@bounded
def feeders(debug: Debug = False) -> None:
    """List the feeders at hand: buses, homes, transformers, loading as shipped."""
    from grid_cosim.feeder.catalogue import PANDAPOWER_NETWORKS, list_feeders, simbench_codes

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
    for feeder in list_feeders():
        table.add_row(
            feeder.name,
            f"{feeder.buses:,}",
            f"{feeder.homes:,}",
            f"{feeder.heat_pumps:,}",
            f"{feeder.transformers:,}",
            f"{feeder.loading_percent:.0f} %",
            *([feeder.what] if roomy else ()),
        )
    out.print(table)
    out.print(
        f"Besides, all {len(simbench_codes())} SimBench grids by their code (simbench:<code>), "
        f"{len(PANDAPOWER_NETWORKS)} of pandapower's own (pandapower:mv_oberrhein), and any pandapower "
        "network as a .json or .xlsx file: `grid-cosim new` begins a study of it.",
        highlight=False,
    )
