"""Checks every jaxtyping shape annotation of the array rooms while the tests run, and only then."""

from __future__ import annotations

from jaxtyping import install_import_hook

# held here for the whole session; a room that is not built yet is simply never imported
_HOOK = install_import_hook(
    [
        f"grid_cosim.{room}"
        for room in (
            "coordination",
            "devices",
            "policies",
            "fleet",
            "feeder",
            "optimum",
            "tariff",
            "environments",
        )
    ],
    "beartype.beartype",
)
