"""`grid-cosim version`: what a report of a problem should name."""

from __future__ import annotations

from grid_cosim.cli.boundary import Debug, Json, Quiet, Screen, bounded


@bounded
def version(as_json: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """Show the versions of grid-cosim, Python and the libraries that numbers depend on.

    For example:
        grid-cosim version
        grid-cosim version --json
    """
    import platform

    from grid_cosim.versions import versions

    screen = Screen(as_json=as_json, quiet=quiet)
    found = versions()
    for name, number in found.items():
        screen.say(f"{name:<17} {number}")
    screen.say(f"{'platform':<17} {platform.platform()}")
    screen.bare(found["grid-cosim"])
    screen.document({"versions": found, "platform": platform.platform()})
