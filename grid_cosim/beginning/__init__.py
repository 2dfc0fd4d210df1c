"""A study of somebody's own network begins here: what the network is, and a scenario for it that runs."""

from __future__ import annotations

from grid_cosim.beginning.begin import Beginning, begin

__all__ = ["Beginning", "begin"]
