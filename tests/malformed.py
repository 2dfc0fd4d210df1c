"""Files that somebody got wrong: how each is laid out in a folder, beside a study that would run."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openpyxl
import pandapower as pp
import pandas as pd
import pytest
from pandapower.auxiliary import pandapowerNet

from grid_cosim.shipped import shipped
from tests.builders import street
from tests.results.builders import street_topology, synthetic_results
from tests.study import STUDY, grid_cosim, refused

Spoil = Callable[[Path], None]


class Case(NamedTuple):
    """What is laid out, what is asked for, and what is said: file, problem, remedy, with … between."""

    spoil: Spoil
    arguments: str
    says: str


def cases(**groups: dict[str, Case]) -> list[Any]:
    """The cases of some groups, as parameters of a test."""
    return [
        pytest.param(case, id=f"{group}: {name}")
        for group, members in groups.items()
        for name, case in members.items()
    ]


def is_refused(case: Case, folder: Path) -> None:
    """One message with all of its parts in order, exit code 2, nothing on stdout, nothing written."""
    (folder / "street.json").write_text(street_json(), encoding="utf-8")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    (folder / "notes").mkdir()
    case.spoil(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shown = grid_cosim(*case.arguments.split())
    said = " ".join(shown.stderr.split())
    refused(shown, "", folder)
    assert re.search(".*".join(map(re.escape, case.says.split(" … "))), said), said
    assert shown.stdout == ""
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def nothing(folder: Path) -> None:
    """All files are as they should be; the arguments are wrong."""


def text(name: str, content: str, encoding: str = "utf-8") -> Spoil:
    def write(folder: Path) -> None:
        (folder / name).write_text(content, encoding=encoding)

    return write


def a_folder(name: str) -> Spoil:
    """A folder where a file is wanted."""

    def make(folder: Path) -> None:
        (folder / name).mkdir()

    return make


def raw(name: str, content: bytes) -> Spoil:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def scenario(change: str) -> Spoil:
    """A study with more lines at its end."""
    return text("study.toml", STUDY + change)


@cache
def street_json() -> str:
    return str(pp.to_json(street()))


def network(change: Callable[[pandapowerNet], object]) -> Spoil:
    def write(folder: Path) -> None:
        net = street()
        change(net)
        pp.to_json(net, str(folder / "street.json"))

    return write


def cell(table: str, row: int, column: str, value: float) -> Spoil:
    """A network with one wrong value."""

    def change(net: pandapowerNet) -> None:
        net[table] = net[table].astype({column: type(value)})
        net[table].loc[row, column] = value

    return network(change)


def cut_off(net: pandapowerNet) -> None:
    net.trafo["in_service"] = False


def homes_on_top(net: pandapowerNet) -> None:
    """All homes are on the upper side of the transformer."""
    net.load["bus"] = int(net.ext_grid["bus"].iloc[0])


def workbook(folder: Path) -> None:
    """An Excel file of somebody's own."""
    book = openpyxl.Workbook()
    book.active.append(["what", "how much"])
    book.save(folder / "street.xlsx")


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "street.json", "w") as file:
        file.writestr("net.json", street_json())


TIMES = pd.date_range("2016-01-04", "2016-01-05", freq="15min", name="time")


def table(name: str, columns: dict[str, object], *, sep: str = ",", decimal: str = ".") -> Spoil:
    """A CSV of values from 15 minutes to 15 minutes."""

    def write(folder: Path) -> None:
        pd.DataFrame(columns, index=TIMES).to_csv(folder / name, sep=sep, decimal=decimal)

    return write


def no_header(folder: Path) -> None:
    pd.DataFrame({"H0": 0.5, "H1": 0.5, "H2": 0.5}, index=TIMES).to_csv(folder / "base.csv", header=False)


def unordered(folder: Path) -> None:
    frame = pd.DataFrame({"temperature_c": -3.0}, index=TIMES)
    frame.iloc[np.r_[50:90, :50]].to_csv(folder / "weather.csv")


def irregular(folder: Path) -> None:
    times = TIMES.to_series()
    times.iloc[10] += pd.Timedelta("1min")
    pd.DataFrame({"temperature_c": -3.0}, index=pd.Index(times, name="time")).to_csv(folder / "weather.csv")


SHIPPED = shipped("policies") / "electric_vehicle.safetensors"


def policy_over_a_folder(folder: Path) -> None:
    text("mine.toml", 'device = "deferrable"\n')(folder)
    (folder / "nets.safetensors").mkdir()


def truncated_policy(folder: Path) -> None:
    (folder / "mine.safetensors").write_bytes(SHIPPED.read_bytes()[:-200])


def other_policy(change: Callable[[dict], object]) -> Spoil:
    """The shipped policy of cars with another description."""

    def write(folder: Path) -> None:
        from safetensors import safe_open
        from safetensors.numpy import load_file, save_file

        with safe_open(SHIPPED, "numpy") as file:
            described = json.loads(file.metadata()["grid_cosim"])
        change(described)
        save_file(
            load_file(SHIPPED),
            folder / "mine.safetensors",
            metadata={"grid_cosim": json.dumps(described)},
        )

    return write


def results(change: Spoil) -> Spoil:
    """A results folder `old`, spoilt."""

    def write(folder: Path) -> None:
        synthetic_results(street_topology(1, 3), ("uncontrolled",), n_steps=8).save(folder / "old")
        change(folder / "old")

    return write


def rewritten(name: str, **changes: object) -> Spoil:
    """A JSON file of a folder with other values; None takes one away."""

    def write(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8")) | changes
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")

    return write


def without(name: str) -> Spoil:
    def remove(folder: Path) -> None:
        (folder / name).unlink()

    return remove
