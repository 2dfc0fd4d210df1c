"""Results → the formats that grid tools and analysts read: one module per format.

A format is a row of `FORMATS` and a module with a function `write(chosen, folder)`; see `Writer`. The names
are imported on first use: the command line lists the formats without loading what they take.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grid_cosim.exports.formats import FORMATS, Format
    from grid_cosim.exports.writing import Exported, Writer, export

_HOME = {
    "FORMATS": "formats",
    "Exported": "writing",
    "Format": "formats",
    "Writer": "writing",
    "export": "writing",
}

__all__ = ["FORMATS", "Exported", "Format", "Writer", "export"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
