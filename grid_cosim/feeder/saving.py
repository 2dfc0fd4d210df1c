"""The network as it was simulated, kept beside the results: who exports needs no scenario and no simulation.

`network.json` is a pandapower net; `background.parquet` the series that its other loads, generators and
storages follow, one row per control step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
from pandapower.auxiliary import pandapowerNet

from grid_cosim.errors import ResultsError
from grid_cosim.feeder.network import Feeder
from grid_cosim.feeder.opening import drop_profiles
from grid_cosim.feeder.switching import changes

NETWORK_FILE = "network.json"
SERIES_FILE = "background.parquet"
_ABOUT = "grid_cosim"
"""Key of the net under which stands what pandapower has no place for."""


@dataclass(frozen=True)
class SavedNetwork:
    """A net with what is known of it besides."""

    net: pandapowerNet
    """Mended as it was simulated; homes and the rest at the powers that the net plans for them."""
    home_load: tuple[int, ...]
    """pandapower load index of every home, in the order of their names."""
    home_names: tuple[str, ...]
    unbalanced: bool
    """Whether it was solved per phase."""
    switched: tuple[tuple[int, Mapping[str, bool]], ...]
    """Control step from which switches stand otherwise than in the net, and how, by wire id."""
    series: pd.DataFrame
    """Per unit of the planned power, a row per control step, a column per name of a series."""

    def closed(self, step: int) -> Mapping[str, bool]:
        """What stands otherwise than in the net in a control step."""
        return next((closed for start, closed in reversed(self.switched) if start <= step), {})


def save_network(feeder: Feeder, folder: Path, quarters: Sequence[int]) -> None:
    """Write a feeder's network into a folder, with its series in the `quarters` of the year that are run."""
    net = deepcopy({key: value for key, value in feeder.net.items() if not str(key).startswith("_")})
    net = pandapowerNet(net)
    drop_profiles(net)
    net["std_types"] = {}  # a library of cables, which the net's own tables need no more
    net[_ABOUT] = {
        "source": feeder.source,
        "licence": feeder.licence,
        "notes": list(feeder.notes),
        "homes": {name: int(load) for name, load in zip(feeder.home_names, feeder.home_load, strict=True)},
        "unbalanced": feeder.home_phase is not None,
        "switched": [
            {"step": later.start, "closed": changes(feeder, later.feeder)} for later in feeder.later
        ],
    }
    _replace(folder / NETWORK_FILE, lambda path: path.write_text(pp.to_json(net), encoding="utf-8"))
    background = feeder.background
    if background.series_names:
        series = background.series[np.array(quarters) % len(background.series)]
        frame = pd.DataFrame(series, columns=list(background.series_names))
        _replace(folder / SERIES_FILE, lambda path: frame.to_parquet(path, index=False))


def _replace(path: Path, write: Any) -> None:
    partial = path.with_name(path.name + ".partial")
    write(partial)
    partial.replace(path)


def read_network(folder: Path) -> SavedNetwork:
    """Read what `save_network` wrote. Raises `ResultsError` where it is missing or damaged."""
    path = folder / NETWORK_FILE
    if not path.is_file():
        raise ResultsError(
            folder,
            f"holds no {NETWORK_FILE}: an earlier version of grid_cosim wrote it, or a mosaik script",
            remedy=f"Run it again with grid-cosim run {folder / 'scenario.toml'} --out …",
        )
    try:
        net = pp.from_json_string(path.read_text(encoding="utf-8"), add_basic_std_types=False)
        about = net.pop(_ABOUT)
        series = folder / SERIES_FILE
        return SavedNetwork(
            net=net,
            home_load=tuple(about["homes"].values()),
            home_names=tuple(about["homes"]),
            unbalanced=about["unbalanced"],
            switched=tuple((at["step"], at["closed"]) for at in about["switched"]),
            series=pd.read_parquet(series) if series.is_file() else pd.DataFrame(),
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ResultsError(
            path, f"damaged ({type(error).__name__}: {error})", remedy="Run the scenario again"
        ) from error
