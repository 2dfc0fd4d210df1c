"""RecorderSim: writes what reaches it as the tables of a run, as data arrives.

Runs in-process or, with `python -m grid_cosim.cosim.recorder HOST:PORT`, as a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import mosaik_api_v3
import numpy as np
import pandas as pd

from grid_cosim.cosim import clock
from grid_cosim.cosim.interrupts import uninterrupted
from grid_cosim.cosim.meta import meta
from grid_cosim.cosim.standing import Pace
from grid_cosim.errors import CosimError, RunError
from grid_cosim.results import RECORDED, TABLES, Record, RunWriter

if TYPE_CHECKING:
    from grid_cosim.scenario import Scenario

_RECORDER = "Recorder-0"
_SIGNALS = "signals.parquet"
_KEY = {table: list(TABLES[table])[1] for table in RECORDED if table != "grid"}
"""Column that says which household, device, limit, … a row is about."""


class RecorderSim(mosaik_api_v3.Simulator):  # type: ignore[misc]  # mosaik's types are not checked here
    """Streams tables into a folder; other attributes become rows of its `signals.parquet`."""

    def __init__(self) -> None:
        super().__init__(meta("RecorderSim", ("check_horizon",)))
        self._clock: clock.Clock
        self._writer: RunWriter | None = None
        self._owns_writer = False
        self._finished = False
        self._n_steps: int | None = None
        self._until: int | None = None
        self._recorded = 0
        self._pace: Pace
        self._on_step: Callable[[int], None] | None = None
        self._signals = _Signals()
        self._began_s = 0.0

    def init(
        self,
        sid: str,
        time_resolution: float = 1.0,
        *,
        folder: Path | str | None = None,
        scenario: Scenario | Path | str | None = None,
        overrides: Sequence[str] = (),
        start: datetime | str | None = None,
        step_size: int | None = None,
        n_steps: int | None = None,
        writer: RunWriter | None = None,
        on_step: Callable[[int], None] | None = None,
        record: Record | None = None,
        first_step: int = 0,
        checkpoint_s: float = 30.0,
    ) -> dict[str, Any]:
        """Record into `folder`, which is complete once `n_steps` are there (default: until the world ends).

        Start, step, horizon and detail come from a scenario, or one by one; `step_size` is in mosaik's time,
        by default 15 minutes. Every `checkpoint_s` seconds what has come is brought to the disk, where it can
        be read whatever happens to the process. In-process, `on_step` is told after each step how many are
        recorded, and a `writer` may take the folder's place, which its owner finishes; then time 0 may be the
        control step `first_step`.
        """
        if scenario is not None:
            from grid_cosim.cosim.sources import read_scenario

            read = read_scenario(scenario, overrides)
            start = read.time.start if start is None else start
            step_size = clock.units(read.time.dt_h, time_resolution) if step_size is None else step_size
            n_steps = read.time.n_steps if n_steps is None else n_steps
            record = Record(**read.record.model_dump()) if record is None else record
        self._clock = clock.clock(start, step_size, time_resolution, first_step)
        self._n_steps, self._on_step = n_steps, on_step
        self._recorded, self._pace = first_step, Pace(checkpoint_s)
        if writer is None and folder is None:
            raise CosimError("RecorderSim", "started without a place to write to", remedy="Give it `folder`")
        self._owns_writer = writer is None
        self._writer = RunWriter(Path(str(folder)), record or Record()) if writer is None else writer
        return dict(self.meta)

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create the one `Recorder`."""
        if num != 1:
            raise CosimError("RecorderSim", "a second Recorder", remedy="Start one simulator for each")
        return [{"type": model, "eid": _RECORDER}]

    def setup_done(self) -> None:
        """The run begins."""
        self._began_s = perf_counter()

    def step(self, time: int, inputs: Mapping[str, Any], max_advance: int) -> int:
        """Append what belongs to this step; finish the tables once the horizon is there."""
        self._until = max_advance
        if not self._finished:
            with uninterrupted():
                self._take(time, inputs.get(_RECORDER, {}))
        return time + self._clock.step_size

    def _take(self, time: int, inputs: Mapping[str, Any]) -> None:
        """The rows of one step, and what has to follow them."""
        assert self._writer is not None
        when = np.datetime64(self._clock.when(time), "ms")
        # sorted: mosaik keeps attributes in sets, whose order changes from run to run
        for attribute, sources in sorted(inputs.items()):
            given = {source: sources[source] for source in sorted(sources) if sources[source] is not None}
            if attribute not in RECORDED:
                self._signals.append(when, attribute, given)
            elif given:
                self._writer.append(attribute, {"time": when} | _joined(attribute, given))
        self._recorded += 1
        if self._on_step is not None:
            self._on_step(self._recorded)
        if self._recorded >= self._wanted():
            # now, not in `finalize`: mosaik gives a process no time for that
            self._finish()
        elif self._owns_writer and self._pace.due:
            with self._pace.taken():
                self._signals.write(self._writer.folder / _SIGNALS)
                self._writer.checkpoint(wall_time_s=perf_counter() - self._began_s)

    def get_data(self, outputs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """A recorder gives nothing."""
        return {}

    def finalize(self) -> None:
        """Keep what is there of a run that was cut off."""
        self._finish()

    def check_horizon(self) -> int:
        """How many steps were recorded; `RunError` where the run ended before.

        Worth asking after `world.run`: mosaik does not raise when a simulator in another process fails.
        """
        wanted = self._wanted()
        if self._recorded < wanted:
            raise RunError(reached=self._recorded, n_steps=wanted, reason="a simulator stopped; see above")
        return self._recorded

    def _wanted(self) -> int:
        if self._n_steps is not None:
            return self._n_steps
        return 1 if self._until is None else -(-self._until // self._clock.step_size)

    def _finish(self) -> None:
        if self._finished or self._writer is None:
            return
        self._finished = True
        self._signals.write(self._writer.folder / _SIGNALS)
        if not self._owns_writer:
            return
        wanted = self._wanted()
        wall_time_s = perf_counter() - self._began_s
        if self._recorded >= wanted:
            self._writer.finish("complete", wall_time_s=wall_time_s)
        else:
            message = f"it ended after {self._recorded} of {wanted} steps"
            self._writer.finish("interrupted", message, wall_time_s)


class _Signals:
    """Values that belong to no table, one row each."""

    def __init__(self) -> None:
        self._rows: list[tuple[np.datetime64, str, str, float]] = []

    def append(self, when: np.datetime64, attribute: str, values: Mapping[str, Any]) -> None:
        for source, value in values.items():
            if not isinstance(value, int | float | np.number | np.bool_):
                raise CosimError(
                    "RecorderSim",
                    f"{source} sends {attribute} as {type(value).__name__}",
                    remedy="Connect attributes that are numbers, or one of the tables " + ", ".join(RECORDED),
                )
            self._rows.append((when, source, attribute, float(value)))

    def write(self, path: Path) -> None:
        if self._rows:
            frame = pd.DataFrame(self._rows, columns=["time", "source", "attribute", "value"])
            partial = path.with_name(f"{path.name}.partial")
            frame.to_parquet(partial, index=False)
            partial.replace(path)


def _joined(table: str, sources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of a table from all sources of one step, rows matched by what they are about.

    The rows are those of the source with the most. What no source knows is NaN, 0 for counts.
    """
    key = _KEY.get(table, "")
    first, *others = sorted(sources, key=lambda source: -len(sources[source].get(key, ())))
    columns: dict[str, Any] = dict(sources[first])
    for source in others:
        columns |= _matched(table, columns, sources[source], source)
    return {name: columns.get(name, TABLES[table][name].unknown) for name in TABLES[table] if name != "time"}


def _matched(
    table: str, columns: Mapping[str, Any], part: Mapping[str, Any], source: str
) -> dict[str, np.ndarray]:
    """The columns of another source in the order of the rows that are there."""
    key = _KEY.get(table)
    twice = [name for name in part if name in columns and name != key]
    if key is None or twice:
        raise CosimError(
            "RecorderSim",
            f"{source} and another source both send {', '.join(twice) or 'everything'} of the table {table}",
            remedy="Connect one of them, or start a recorder for each",
        )
    if _same(part[key], columns[key]):
        return {name: np.asarray(values) for name, values in part.items() if name != key}
    row = {name: i for i, name in enumerate(part[key])}
    order = np.array([row.get(name, -1) for name in columns[key]], dtype=np.int64)
    return {
        name: np.where(order >= 0, np.asarray(values)[order], TABLES[table][name].unknown)
        for name, values in part.items()
        if name != key
    }


def _same(names: Any, others: Any) -> bool:
    if isinstance(names, np.ndarray) and isinstance(others, np.ndarray):
        return np.array_equal(names, others)
    return list(names) == list(others)


def main() -> None:
    """Run as a process that mosaik starts or connects to."""
    mosaik_api_v3.start_simulation(RecorderSim(), __doc__ or "", configure_logging=False)


if __name__ == "__main__":
    main()
