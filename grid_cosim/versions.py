"""Versions of what numbers depend on; imports none of it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "clarabel",
    "cvxpy",
    "grid-cosim",
    "mosaik",
    "mosaik-api-v3",
    "networkx",
    "numpy",
    "pandapower",
    "pandas",
    "power-grid-model",
    "scipy",
    "simbench",
    "torch",
)


def versions() -> dict[str, str]:
    """Of Python, of this package, and of the libraries that numbers depend on."""
    return {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
