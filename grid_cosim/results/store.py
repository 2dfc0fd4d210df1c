"""`StoredResults`: everything that a set of runs left behind, and the folder that it lives in."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd
import tomlkit

from grid_cosim.errors import ResultsError, UnknownNameError
from grid_cosim.results.derived import TABLE_OF, summary, totals
from grid_cosim.results.parquet import empty_table, read_parts, read_tables, rows_in, write_table
from grid_cosim.results.pieces import Manifest
from grid_cosim.results.staging import staged_folder
from grid_cosim.results.tables import TABLES
from grid_cosim.results.writer import STATUS_FILE, Status, write_json

FORMAT = 1
"""Version of the folder's layout."""

_NETWORK_FILES = ("network.json", "background.parquet")
"""What the runner leaves for the exports: see `grid_cosim.feeder.saving`."""

_TOPOLOGY_COLUMNS = {
    "buses": ("bus", "name", "vn_kv", "longitude", "latitude"),
    "lines": ("line", "name", "from_bus", "to_bus", "length_km", "max_i_ka", "path"),
    "limits": ("limit", "element", "name", "from_bus", "to_bus", "rated_kva", "limit_percent", "level"),
    "homes": ("household", "bus", "has_heat_pump"),
}
_LINK_COLUMNS = ("link", "element", "name", "from_bus", "to_bus")


@dataclass(frozen=True)
class Basis:
    """What figures and KPIs are reckoned with, whatever the scenario file calls it."""

    title: str
    """One line that names the study."""
    dt_h: float
    """Length of a control step in hours."""
    comfort_low_c: float | None = None
    """Lower bound of the comfort band in °C, mean over the homes; `None` where they have none."""


@dataclass(frozen=True)
class Topology:
    """The feeder as plain frames: all that figures and exports need to know of it.

    `buses`: bus, name, vn_kv, longitude, latitude (NaN where unknown).
    `lines`: line, name, from_bus, to_bus, length_km, max_i_ka, path ([[longitude, latitude], …] or None).
    `limits`: limit, element ("trafo", "line", "bus"), name, from_bus, to_bus (high and low side of a
    transformer; twice the bus of a voltage), rated_kva (NaN for a voltage), limit_percent, level; runs also
    keep `sense`, -1 where generation is limited. `homes`: household, bus, has_heat_pump. Further
    columns are kept. Ids are those of the tables and of the wire: `Bus-3`, `Line-7`, `Trafo-0`.
    """

    buses: pd.DataFrame
    lines: pd.DataFrame
    limits: pd.DataFrame
    homes: pd.DataFrame
    title: str = ""
    """Human name of the feeder."""
    source: str = ""
    """What the scenario named."""
    licence: str = ""
    """Licence of the data with its attribution."""
    notes: tuple[str, ...] = ()
    """What was mended or assumed when the network was loaded."""
    links: pd.DataFrame | None = None
    """What joins buses beside the lines, with or without a limit: link, element ("trafo", "trafo3w",
    "impedance", "switch"), name, from_bus, to_bus. `None`: not stored, as by earlier versions."""

    @property
    def joined(self) -> pd.DataFrame:
        """Element, from_bus and to_bus of the links, or of the limited transformers where none are stored."""
        limited = self.limits[self.limits["element"] == "trafo"]
        links = limited if self.links is None else self.links
        return links[["element", "from_bus", "to_bus"]].drop_duplicates(
            ["from_bus", "to_bus"], ignore_index=True
        )

    def __post_init__(self) -> None:
        links = {} if self.links is None else {"links": _LINK_COLUMNS}
        for name, wanted in (_TOPOLOGY_COLUMNS | links).items():
            missing = [column for column in wanted if column not in getattr(self, name).columns]
            assert not missing, f"topology.{name} lacks {missing}"

    def save(self, path: Path) -> None:
        """Write the topology as JSON, a list per column."""
        frames = {name: getattr(self, name).to_dict(orient="list") for name in _TOPOLOGY_COLUMNS}
        texts = {"title": self.title, "source": self.source, "licence": self.licence, "notes": self.notes}
        if self.links is not None:
            frames["links"] = self.links.to_dict(orient="list")
        write_json(path, texts | frames)

    @classmethod
    def load(cls, path: Path) -> Topology:
        """Read what `save` wrote."""
        stored = _read_json(path)
        frames = {name: pd.DataFrame(stored[name]) for name in _TOPOLOGY_COLUMNS}
        for column in ("longitude", "latitude"):
            frames["buses"][column] = frames["buses"][column].astype("float64")
        frames["limits"]["rated_kva"] = frames["limits"]["rated_kva"].astype("float64")
        if "links" in stored:
            frames["links"] = pd.DataFrame(stored["links"], columns=list(_LINK_COLUMNS))
        texts = {name: stored[name] for name in ("title", "source", "licence")}
        return cls(**frames, **texts, notes=tuple(stored["notes"]))


@dataclass(frozen=True)
class Run:
    """What one controller did."""

    tables: Mapping[str, pd.DataFrame]
    """Table name → rows, as registered in `TABLES`; may lack those without rows: see `table`."""
    status: Status = "complete"
    message: str = ""
    """Why it is not complete."""
    wall_time_s: float = float("nan")

    _derived: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def started(self) -> bool:
        """Whether it has the rows of at least one step."""
        return any(self.n_rows(name) for name in ("totals", "limits"))

    def n_rows(self, name: str) -> int:
        """How many rows of a table were recorded; reads none of them."""
        if name not in self.tables:
            return 0
        return self.tables.n_rows(name) if isinstance(self.tables, StoredTables) else len(self.tables[name])

    def table(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The rows of a table, or some of its columns; a table without rows where the run wrote none.

        Whole tables stay in memory. `totals` and the summaries of runs that were recorded without them are
        reckoned from the rows. Raises `UnknownNameError` for a table that there is not.
        """
        if name not in TABLES:
            raise UnknownNameError("table", name, TABLES)
        if name in self.tables:
            if columns is not None and isinstance(self.tables, StoredTables):
                return self.tables.read(name, columns)
            whole = self.tables[name]
        elif name == "totals" or name in TABLE_OF:
            if name not in self._derived:
                made = totals(self._in_order) if name == "totals" else summary(name, self._in_order)
                self._derived[name] = made
            whole = self._derived[name]
        else:
            whole = empty_table(name)
        return whole if columns is None else whole[list(columns)]

    def parts(self, name: str, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """The rows of a table, or some of its columns, some hundred thousand rows at a time."""
        if isinstance(self.tables, StoredTables) and name in self.tables:
            yield from self.tables.parts(name, columns)
        else:
            yield self.table(name, columns)

    def _in_order(self, name: str) -> Iterator[pd.DataFrame]:
        """The parts of a table by time; a table that somebody wrote in another order is sorted as a whole."""
        latest = pd.Timestamp.min
        for part in self.parts(name, ["time"]):
            times = part["time"]
            if len(times) and (times.iloc[0] < latest or not times.is_monotonic_increasing):
                yield self.table(name).sort_values("time", kind="stable")
                return
            latest = times.iloc[-1] if len(times) else latest
        yield from self.parts(name)


@dataclass(frozen=True)
class StoredResults:
    """A scenario's runs with all that is needed to read, compare and trace them."""

    scenario: Mapping[str, Any]
    """The scenario as it was run, overrides included."""
    provenance: Mapping[str, Any]
    """Where the numbers come from: versions, seeds, hashes of the policies, licences of the data."""
    basis: Basis
    topology: Topology
    runs: Mapping[str, Run]
    """Controller → its run, in the order of running."""
    warnings: tuple[str, ...] = ()
    """What a reader must know before the numbers; shown at the top of the report."""
    notes: tuple[str, ...] = ()
    """What was assumed; shown with the assumptions."""
    folder: Path | None = field(default=None, compare=False)
    """Where it was loaded from: further files lie there, such as the network; None if it was not loaded."""

    @property
    def complete(self) -> bool:
        """Whether every controller reached its horizon."""
        return all(run.status == "complete" for run in self.runs.values())

    @property
    def licences(self) -> dict[str, str]:
        """What data are about → their licence with its attribution, which goes with all that shows them."""
        told = self.provenance.get("licences") or {"network": self.topology.licence}
        return {str(about): str(text) for about, text in told.items() if text}

    def save(self, path: Path | str) -> Path:
        """Write a results folder at `path` in one go; one that is there is replaced.

        Raises `ResultsError` where `path` holds something that is not a results folder.
        """
        with staged_folder(path) as folder:
            self.describe(folder)
            for name in _NETWORK_FILES:
                if self.folder is not None and (self.folder / name).is_file():
                    shutil.copyfile(self.folder / name, folder / name)
            for controller, run in self.runs.items():
                (folder / controller).mkdir()
                for table in TABLES:
                    if table in run.tables:
                        write_table(folder / controller / f"{table}.parquet", table, run.tables[table])
                ended = {"status": run.status, "message": run.message, "wall_time_s": run.wall_time_s}
                write_json(folder / controller / STATUS_FILE, ended)
        return Path(path)

    def describe(self, folder: Path) -> None:
        """Write all but the runs into a folder: scenario, provenance, feeder, and which runs to expect."""
        write_description(
            folder,
            scenario=self.scenario,
            provenance=self.provenance,
            basis=self.basis,
            topology=self.topology,
            controllers=list(self.runs),
            warnings=self.warnings,
            notes=self.notes,
        )

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Open a results folder; tables are read when they are first asked for.

        A run that was cut off is there with status "interrupted" and the tables that it finished.
        """
        folder = Path(path)
        status = _read_json(folder / STATUS_FILE)
        if status.get("grid_cosim_results") != FORMAT:
            raise ResultsError(
                folder,
                f"not a results folder of this version of grid_cosim, which writes format {FORMAT!r}",
                remedy="Run the scenario again, or read it with the version that wrote it",
            )
        try:
            return cls(
                scenario=_read_toml(folder / "scenario.toml"),
                provenance=_read_json(folder / "provenance.json"),
                basis=Basis(**status["basis"]),
                topology=Topology.load(folder / "feeder.json"),
                runs={controller: load_run(folder / controller) for controller in status["controllers"]},
                warnings=tuple(status["warnings"]),
                notes=tuple(status["notes"]),
                folder=folder,
            )
        except (OSError, KeyError, TypeError, ValueError) as error:  # files that are missing or changed
            lacks = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ResultsError(folder, f"damaged: {lacks}", remedy="Run the scenario again") from error


def write_description(
    folder: Path,
    *,
    scenario: Mapping[str, Any],
    provenance: Mapping[str, Any],
    basis: Basis,
    topology: Topology,
    controllers: Sequence[str],
    warnings: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write what loading needs besides the runs; may be called again when there is more to say."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scenario.toml").write_text(tomlkit.dumps(_without_none(scenario)), encoding="utf-8")
    write_json(folder / "provenance.json", provenance)
    topology.save(folder / "feeder.json")
    about = {"grid_cosim_results": FORMAT, "basis": asdict(basis), "controllers": controllers}
    write_json(folder / STATUS_FILE, about | {"warnings": warnings, "notes": notes})


@dataclass(frozen=True)
class StoredTables(Mapping[str, pd.DataFrame]):
    """The tables of a controller's folder, each read once, when it is first asked for.

    Of a run that has not ended, those of its last checkpoint.
    """

    folder: Path
    checkpoint: Manifest | None = None
    _read: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __getitem__(self, table: str) -> pd.DataFrame:
        if table not in self:
            raise KeyError(table)
        if table not in self._read:
            self._read[table] = read_tables(self._paths(table), table)
        return self._read[table]

    def read(self, table: str, columns: Sequence[str]) -> pd.DataFrame:
        """Some columns, which are not kept."""
        if table in self._read:
            return self._read[table][list(columns)]
        return read_tables(self._paths(table), table, columns=columns)

    def parts(self, table: str, columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
        """One row group after the other."""
        for path in self._paths(table):
            yield from read_parts(path, table, columns=columns)

    def n_rows(self, table: str) -> int:
        """The number of rows, without reading them."""
        return sum(rows_in(path, table) for path in self._paths(table))

    def _paths(self, table: str) -> tuple[Path, ...]:
        if self.checkpoint is not None:
            return self.checkpoint.paths(self.folder, table)
        return (self.folder / f"{table}.parquet",)

    def __contains__(self, table: object) -> bool:
        if table not in TABLES:
            return False
        paths = self._paths(str(table))
        return bool(paths) and (self.checkpoint is not None or paths[0].is_file())

    def __iter__(self) -> Iterator[str]:
        return (table for table in TABLES if table in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def load_run(folder: Path) -> Run:
    """The run in a controller's folder, however it ended; without a folder, one that was not started."""
    if not (folder / STATUS_FILE).is_file():
        return Run(StoredTables(folder), "interrupted", "it was not started")
    ended = _read_json(folder / STATUS_FILE)
    checkpoint = Manifest.of(folder)
    if ended["status"] == "running":
        tables = StoredTables(folder, checkpoint or Manifest())
        if checkpoint is None:
            return Run(tables, "interrupted", "it was cut off before it could write its tables")
        said = f"it was cut off after step {checkpoint.step} or later; what follows was not written"
        return Run(tables, "interrupted", said, checkpoint.wall_time_s)
    wall_time_s = float("nan") if ended["wall_time_s"] is None else ended["wall_time_s"]
    tables = StoredTables(folder, None if ended["status"] == "complete" else checkpoint)
    return Run(tables, ended["status"], ended["message"], wall_time_s)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_there(path) from error
    except (OSError, TypeError, ValueError) as error:
        raise ResultsError(path, f"cannot be read ({error})", remedy="Run the scenario again") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _not_there(path) from error
    except (OSError, ValueError) as error:
        raise ResultsError(path, f"cannot be read ({error})", remedy="Run the scenario again") from error


def _not_there(path: Path) -> ResultsError:
    """What is wrong with a results folder without a file that every one has."""
    folder = path.parent
    name_one = "Name the results folder of a run; `grid-cosim run` writes one"
    if not folder.exists():
        return ResultsError(folder, "no such folder", remedy=name_one)
    if not folder.is_dir():
        return ResultsError(folder, "this is a file", remedy=name_one)
    if path.name == STATUS_FILE:
        return ResultsError(folder, f"no results folder: there is no {path.name}", remedy=name_one)
    return ResultsError(folder, f"damaged: there is no {path.name}", remedy="Run the scenario again")


def _without_none(value: Any) -> Any:
    """The value without what TOML cannot say: a key whose value is `None` is a key that is not given."""
    if isinstance(value, Mapping):
        return {str(key): _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(item) for item in value if item is not None]
    return str(value) if isinstance(value, Path) else value
