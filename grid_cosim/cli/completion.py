"""What the Tab key offers: names that are cheap to know, without torch, pandapower or pandas."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, get_args

from grid_cosim.shipped import shipped

_HEAD = "_GRID_COSIM_HEAD"
"""What bash took for words of their own before the last `=` or `:` of the word to complete."""


def scenarios(incomplete: str) -> list[str]:
    """Shipped scenarios by name, and files and folders from here."""
    return [path.stem for path in _shipped_files("scenarios", "*.toml")] + _beside(incomplete, ".toml")


def recipes(incomplete: str) -> list[str]:
    """Recipe files, and folders from here."""
    return _beside(incomplete, ".toml")


def studies(incomplete: str) -> list[str]:
    """Shipped studies by name, and files and folders from here."""
    return [path.stem for path in _shipped_files("benchmarks", "claims/*.toml")] + _beside(
        incomplete, ".toml"
    )


def runs(incomplete: str) -> list[str]:
    """Results folders, and other folders on the way to them."""
    return _beside(incomplete, None)


def controllers(incomplete: str) -> list[str]:
    """Controllers, each once, after what is already in the comma-separated list."""
    from grid_cosim.scenario import CONTROLLERS

    *before, _ = incomplete.split(",")
    return [",".join([*before, name]) for name in CONTROLLERS if name not in before]


def sources(incomplete: str) -> list[str]:
    """Feeders by name, and network files and folders from here."""
    head = os.environ.get(_HEAD, "")
    typed = head + incomplete
    offered = [*_values("feeder.source"), *dict.fromkeys(_beside(typed, ".json") + _beside(typed, ".xlsx"))]
    return [word.removeprefix(head) for word in offered if word.startswith(typed)]


def formats(_: str) -> list[str]:
    """Formats of `grid-cosim export`."""
    from grid_cosim.exports.formats import FORMATS

    return list(FORMATS)


def settings(incomplete: str) -> list[str]:
    """Paths of settings up to their `=`, and after it what they may be, where that is known."""
    head = os.environ.get(_HEAD, "")
    path, equals, _ = (head + incomplete).partition("=")
    offered = [f"{path}={value}" for value in _values(path)] if equals else [f"{p}=" for p in _paths()]
    return [word.removeprefix(head) for word in offered if word.startswith(head)]


def join_bash_words(environ: MutableMapping[str, str]) -> None:
    """Undo that bash splits `--set feeder.source=schutterwald:2` at its `=` and `:` before it asks us."""
    if environ.get("_GRID_COSIM_COMPLETE") != "complete_bash":
        return
    words, at = environ["COMP_WORDS"].split("\n"), int(environ["COMP_CWORD"])
    words += [""] * (at + 1 - len(words))
    first = at
    while first > 1 and (_breaks(words[first]) or _breaks(words[first - 1])):
        first -= 1
    head = "".join(words[first:at])
    if _breaks(words[at]):
        head, words[at] = head + words[at], ""
    if head:
        left = "\n".join([*words[:first], words[at]])
        environ.update({_HEAD: head, "COMP_CWORD": str(first), "COMP_WORDS": left})


def _breaks(word: str) -> bool:
    return re.fullmatch("[=:]+", word) is not None


def _shipped_files(folder: Any, pattern: str) -> list[Path]:
    return sorted(shipped(folder).glob(pattern))


def _beside(incomplete: str, suffix: str | None) -> list[str]:
    """Folders, and files of that kind, that begin as what is typed does."""
    begun = incomplete.rpartition("/")[0]
    folder = Path(begun or ("/" if incomplete.startswith("/") else "."))
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    prefix = incomplete[: incomplete.rfind("/") + 1]
    return [
        f"{prefix}{path.name}{'/' if path.is_dir() and suffix else ''}"
        for path in found
        if not path.name.startswith(".") and (path.is_dir() or (suffix and path.suffix == suffix))
    ]


def _paths(section: Any = None, before: str = "") -> Iterable[str]:
    """The path of every setting of a scenario, without devices and what lists hold."""
    from grid_cosim.scenario import Scenario

    for name, field in (section or Scenario).model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _paths(field.annotation, f"{before}{name}.")
        else:
            yield before + name


def _values(path: str) -> list[str]:
    """What the setting at that path may be."""
    if path == "feeder.source":
        from grid_cosim.feeder.catalogue import PANDAPOWER_NETWORKS, list_feeders, simbench_codes

        known = [feeder.name for feeder in list_feeders()]
        known += [f"pandapower:{name}" for name in PANDAPOWER_NETWORKS]
        return list(dict.fromkeys([*known, *(f"simbench:{code}" for code in simbench_codes())]))
    from grid_cosim.scenario import Scenario

    field: Any = None
    section: Any = Scenario
    for part in path.split("."):
        field = getattr(section, "model_fields", {}).get(part)
        section = None if field is None else field.annotation
    if section is bool:
        return ["true", "false"]
    return [choice for choice in get_args(section) if isinstance(choice, str)]
