"""The scripts of `scenarios/` as modules, and what a mosaik world changes for the whole process."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from loguru import logger

from grid_cosim.shipped import shipped


def script(name: str) -> ModuleType:
    path = shipped("scenarios") / f"{name}.py"
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@contextmanager
def quiet_world() -> Iterator[None]:
    """By default a mosaik world redirects warnings and switches its log on, for the whole process."""
    shown = warnings.showwarning
    try:
        yield
    finally:
        warnings.showwarning = shown
        logger.disable("mosaik")
