"""Checks every jaxtyping shape annotation of the array rooms while the tests run, and only then."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core: more threads only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

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
