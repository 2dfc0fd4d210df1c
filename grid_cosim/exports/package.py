"""`datapackage.json` (Data Package, Frictionless): what each column is, its unit, seed and licences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grid_cosim.exports.attribution import attribution_text, licences
from grid_cosim.exports.chosen import Chosen
from grid_cosim.results import Column

_ENDINGS = {
    "csv": {"format": "csv", "mediatype": "text/csv", "encoding": "utf-8"},
    "parquet": {"format": "parquet", "mediatype": "application/vnd.apache.parquet"},
}


def field_of(name: str, column: Column) -> dict[str, Any]:
    """A column as a table schema has it, with its unit."""
    if column.is_time:
        kind = {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S"}
    elif column.is_name:
        kind = {"type": "string"}
    else:
        stored = str(column.stored)
        kind = {"type": "boolean" if "bool" in stored else "integer" if "int" in stored else "number"}
    return {"name": name, **kind, "description": column.meaning, "unit": column.unit}


def write_package(chosen: Chosen, folder: Path, resources: Sequence[dict[str, Any]]) -> None:
    """Write the description of the files; each resource has name, path and fields."""
    results = chosen.results
    described = []
    for resource in resources:
        rest = {key: value for key, value in resource.items() if key != "fields"}
        ending = str(resource["path"]).rpartition(".")[2]
        schema = {"fields": resource["fields"], "missingValues": [""]}
        described.append(
            rest
            | {"type": "table", "profile": "tabular-data-resource"}
            | _ENDINGS[ending]
            | {"schema": schema}
        )
    package = {
        "name": f"grid-cosim-{chosen.to}",
        "title": f"{results.basis.title}: {results.topology.title}",
        "description": attribution_text(results),
        "profile": "data-package",
        "licenses": [
            {key: licence[key] for key in ("name", "path", "title") if key in licence}
            for licence in licences(results)
        ],
        "sources": [{"title": licence["title"]} for licence in licences(results)],
        "seed": results.provenance.get("seed"),
        "provenance": dict(results.provenance),
        "resources": described,
    }
    text = json.dumps(package, indent=1, ensure_ascii=False, default=str) + "\n"
    (folder / "datapackage.json").write_text(text, encoding="utf-8", newline="\n")
