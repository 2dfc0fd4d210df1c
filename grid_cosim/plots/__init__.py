"""Figures: each function takes `StoredResults` and returns one Bokeh figure; none of them computes a KPI.

The map is drawn by the page itself, from what `map_frames` and `geometry` give.

Where several limits exist, figures of a limit carry the values of all in their sources, as columns
`<limit>/<column>`, so that a page can switch between them (`switch_limit` tags the sources that do).
"""

from __future__ import annotations

from grid_cosim.plots.curves import (
    energy_owed,
    energy_served,
    energy_unserved,
    indoor_temperature,
    price,
    tariff,
    transformer_loading,
)
from grid_cosim.plots.feeder_map import MapFrames, map_frames, squares
from grid_cosim.plots.style import controller_colours

__all__ = [
    "MapFrames",
    "controller_colours",
    "energy_owed",
    "energy_served",
    "energy_unserved",
    "indoor_temperature",
    "map_frames",
    "price",
    "squares",
    "tariff",
    "transformer_loading",
]
