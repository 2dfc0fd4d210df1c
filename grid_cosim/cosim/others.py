"""Simulators of other people, for the scripts that start them beside ours."""

from __future__ import annotations

import warnings
from importlib import import_module

from grid_cosim.errors import MissingExtraError


def needs(*modules: str) -> None:
    """Import modules of other packages, without the warnings that a user can do nothing about.

    Raises `MissingExtraError` where one is not installed.
    """
    for name in modules:
        try:
            with warnings.catch_warnings():
                # mosaik-csv and mosaik-hdf5 build on mosaik-api, which says of itself that it is superseded
                warnings.simplefilter("ignore")
                import_module(name)
        except ModuleNotFoundError as error:
            raise MissingExtraError("This script", extra="mosaik", missing=error.name) from error
