"""Several results folders beside each other: their KPIs, what differs between them, and what that forbids.

from grid_cosim import Results, compare
print(compare({"today": Results.load("runs/cold_evening"), "seed 2": Results.load("runs/seed_2")}))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from grid_cosim.errors import GridCosimError, UnknownNameError
from grid_cosim.metrics import KPIS, kpi_table
from grid_cosim.results import StoredResults
from grid_cosim.results.words import count, period_in_words, times_of

ABSENT = "–"
"""Stands where one of the results does not have a setting."""

_SHOWN = 12
"""Settings whose difference the text tells at most; `settings` has all."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What comes of comparing; every table has a column per results."""

    results: Mapping[str, StoredResults]
    """Name → results, in the order given; differences count from the first."""
    kpis: pd.DataFrame
    """KPI × (controller, results); NaN where one of them lacks the controller."""
    settings: pd.DataFrame
    """Settings of the scenario that differ, by their path, × results."""
    provenance: pd.DataFrame
    """Versions, seeds and policies that differ, by their path, × results."""
    warnings: tuple[str, ...]
    """Why some numbers must not be compared."""

    def changes(self, controller: str) -> pd.DataFrame:
        """KPIs of one controller, × results, each less that of the first results.

        Raises `UnknownNameError` for a controller that none of the results has.
        """
        of_one = self.of(controller)
        return of_one.sub(of_one.iloc[:, 0], axis=0)

    def of(self, controller: str) -> pd.DataFrame:
        """KPIs of one controller, × results; raises like `changes`."""
        known = self.kpis.columns.unique("controller")
        if controller not in known:
            raise UnknownNameError("controller", controller, known, place="in these results")
        return self.kpis.xs(controller, axis="columns", level="controller").reindex(
            columns=list(self.results)
        )

    def tidy(self) -> pd.DataFrame:
        """One row per KPI, controller and results, with its unit: for other tools."""
        long = self.kpis.stack(["controller", "results"], future_stack=True).dropna().rename("value")
        made = long.reset_index()
        made.insert(3, "unit", made["kpi"].map(self.kpis.attrs["units"]))
        return made

    @property
    def told(self) -> list[str]:
        """KPIs that have a value in any of the results."""
        return [name for name in self.kpis.index if self.kpis.loc[name].notna().any()]

    def __str__(self) -> str:
        parts = [f"warning: {warning}" for warning in self.warnings]
        if len(self.settings):
            parts.append(f"What differs in the scenario:\n{self.settings.head(_SHOWN).to_string()}")
            if self.settings[_SHOWN:].size:
                parts.append(f"… and {len(self.settings) - _SHOWN} more, in `settings`")
        else:
            parts.append("The scenarios are the same.")
        return "\n\n".join([*parts, self.kpis.loc[self.told].to_string(float_format="{:.4g}".format)])

    def _repr_html_(self) -> str:
        warned = "".join(f"<li>{escape(warning)}</li>" for warning in self.warnings)
        shown = self.kpis.loc[self.told].to_html(float_format="{:.4g}".format, na_rep=ABSENT)
        differs = self.settings.head(_SHOWN).to_html() if len(self.settings) else ""
        return f"<div><ul>{warned}</ul>{shown}{differs}</div>"


def compare(results: Mapping[str, StoredResults]) -> Comparison:
    """Compare results by names that the caller gives them; the first is what changes count from.

    Raises `GridCosimError` for fewer than two.
    """
    if len(results) < 2:
        raise GridCosimError("A comparison needs two results at least: name one or more besides.")
    return Comparison(
        results=dict(results),
        kpis=_kpis(results),
        settings=_differences({name: one.scenario for name, one in results.items()}),
        provenance=_differences({name: one.provenance for name, one in results.items()}),
        warnings=tuple(_warnings(results)),
    )


def names_of(folders: Sequence[Path]) -> list[str]:
    """A short name for each folder: its own, with as many of those above it as make it unlike the others."""
    resolved = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(len(parts) for parts in resolved) + 1):
        names = ["/".join(parts[-depth:]) for parts in resolved]
        if len(set(names)) == len(names):
            return names
    raise GridCosimError("The same results folder is named twice: name different ones.")


def _kpis(results: Mapping[str, StoredResults]) -> pd.DataFrame:
    controllers = list(dict.fromkeys(name for one in results.values() for name in one.runs))
    of_each = {name: kpi_table(one) for name, one in results.items()}
    columns = {
        (controller, name): of_each[name][controller]
        for controller in controllers
        for name in results
        if controller in of_each[name]
    }
    made = pd.DataFrame(columns, index=pd.Index(list(KPIS), name="kpi"))
    made.columns = pd.MultiIndex.from_tuples(columns, names=["controller", "results"])
    made.attrs["units"] = {name: kpi.unit for name, kpi in KPIS.items()}
    return made


def _differences(trees: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The leaves of nested tables that are not the same in all, by their path."""
    leaves = {name: dict(_leaves(tree)) for name, tree in trees.items()}
    paths = dict.fromkeys(path for of_one in leaves.values() for path in of_one)
    rows = {path: [of_one.get(path, ABSENT) for of_one in leaves.values()] for path in paths}
    differ = {path: values for path, values in rows.items() if any(value != values[0] for value in values)}
    made = pd.DataFrame.from_dict(differ, orient="index", columns=list(trees), dtype=object)
    return made.rename_axis(index="setting", columns="results")


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Path → value; tables in a list by their number, other lists as a whole."""
    for key, value in tree.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield from _leaves({f"{number}": item for number, item in enumerate(value)}, path)
        else:
            yield path, list(value) if isinstance(value, tuple) else value


def _warnings(results: Mapping[str, StoredResults]) -> Iterator[str]:
    """All that stands in the way of comparing, the gravest first."""
    feeders = {name: _feeder(one) for name, one in results.items()}
    if _unlike(feeders):
        yield f"Other networks or homes ({_each(feeders)}): compare shares, not energies or costs."
    if _unlike({name: _horizon(one) for name, one in results.items()}):
        periods = {name: period_in_words(one) for name, one in results.items()}
        yield f"Other days or steps ({_each(periods)}): sums are over other times and other weather."
    seeds = {name: one.provenance.get("seed", ABSENT) for name, one in results.items()}
    if _unlike(seeds):
        yield f"Other seeds ({_each(seeds)}): other homes, arrivals and base loads; one seed says little."
    versions = {name: _version(one) for name, one in results.items()}
    if _unlike(versions):
        yield f"Other versions of grid_cosim ({_each(versions)}): a difference may come from the program."
    policies = {name: _policies(one) for name, one in results.items()}
    changed = sorted({kind for of_one in policies.values() for kind in of_one})
    changed = [kind for kind in changed if _unlike_where_known(kind, policies)]
    if changed:
        yield f"Other policies of {', '.join(changed)}: a difference may come from their training."
    for name, one in results.items():
        for controller, run in one.runs.items():
            if run.status != "complete":
                yield f"{name}: {controller} is {run.status}; its KPIs count what it reached."


def _feeder(results: StoredResults) -> str:
    topology = results.topology
    counts = f"{count(topology.homes, 'home')}, {count(topology.limits, 'limit')}"
    return f"{topology.source or topology.title}, {counts}"


def _horizon(results: StoredResults) -> tuple[Any, ...]:
    times = times_of(results)
    return (len(times), results.basis.dt_h, *((times[0],) if len(times) else ()))


def _version(results: StoredResults) -> str:
    versions = results.provenance.get("versions", {})
    return str(versions.get("grid-cosim", ABSENT))


def _policies(results: StoredResults) -> dict[str, str]:
    """Kind of device → hash of its policy."""
    return {kind: str(_hash(told)) for kind, told in results.provenance.get("policies", {}).items()}


def _hash(policy: Any) -> Any:
    return policy.get("sha256", ABSENT) if isinstance(policy, Mapping) else policy


def _unlike_where_known(kind: str, policies: Mapping[str, Mapping[str, str]]) -> bool:
    return len({of_one[kind] for of_one in policies.values() if kind in of_one}) > 1


def _unlike(of_each: Mapping[str, Any]) -> bool:
    values = list(of_each.values())
    return any(value != values[0] for value in values)


def _each(of_each: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in of_each.items())
