"""The errors that reach a user: each takes facts and composes what happened, where, and what to do.

Everything that a user can cause derives from `GridCosimError`; the command line turns those into
one message and an exit code. A failed `assert` is our mistake, never the user's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


class GridCosimError(Exception):
    """Base of every error that a user's input or network can cause."""


def near_matches(wanted: str, known: Iterable[str], *, n: int = 3) -> str:
    """Say which known names resemble `wanted`; an empty string where none does."""
    close = difflib.get_close_matches(wanted, list(known), n=n, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""


_TOML_REMEDIES = {
    "Invalid value": 'Text goes in quotes, as in source = "mine.csv"; decimals have a point',
    "Cannot overwrite": "Every setting may be given once",
    "Cannot declare": "Every section may be given once",
    "Cannot mutate": "Every section may be given once",
    "Invalid date": "A date is one of the calendar and written 2016-01-04T12:00:00",
}


def not_toml(error: ValueError) -> str:
    """What is wrong with a text that is not TOML, or not UTF-8, and what to do."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text ({error}); save it as UTF-8"
    known = (remedy for begin, remedy in _TOML_REMEDIES.items() if str(error).startswith(begin))
    return f"not valid TOML: {error}. {next(known, 'Correct it there; the shipped files show how')}"


def folder_instead(path: Path) -> str:
    """What is there in place of a file that is wanted."""
    return "this is a folder; name the file in it" if path.is_dir() else "no such file"


_MANY_NAMES = 16
"""Names that a message lists at most."""


class MissingExtraError(GridCosimError):
    """A part of the package whose own dependencies are not installed."""

    def __init__(self, part: str, *, extra: str, missing: str | None) -> None:
        super().__init__(
            f"{part} needs the package {missing}, which is not installed. "
            f"Install it with: pip install 'grid-cosim[{extra}]'"
        )


class UnknownNameError(GridCosimError):
    """A name that is not among those there are; says which are near, and some of those there are."""

    def __init__(self, kind: str, wanted: str, known: Iterable[str], *, place: str = "") -> None:
        names = [str(name) for name in known]
        there = ", ".join(names[:_MANY_NAMES]) + (
            f" and {len(names) - _MANY_NAMES:,} more" if names[_MANY_NAMES:] else ""
        )
        super().__init__(
            f"No {kind} named {wanted!r}{f' {place}' if place else ''}.{near_matches(str(wanted), names)} "
            f"There {'are' if len(names) != 1 else 'is'} {there or 'none'}."
        )


class ScenarioError(GridCosimError):
    """A scenario that cannot be run; lists every problem found, each with its path."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  - {p}" for p in self.problems))


class ResultsError(GridCosimError):
    """A results folder that cannot be read, or that must not be overwritten."""

    def __init__(self, path: object, problem: str, *, remedy: str = "") -> None:
        self.path = path
        super().__init__(f"{path}: {problem}" + (f". {remedy}" if remedy else ""))


class StateError(GridCosimError):
    """A state that cannot be kept in a file, or a file that holds none."""

    def __init__(self, where: str, problem: str, *, remedy: str | None = None) -> None:
        super().__init__(f"{where}: {problem}" if remedy is None else f"{where}: {problem}. {remedy}.")


class ExportError(GridCosimError):
    """An export that a format or a run has no room for: says why, and what would help."""

    def __init__(self, to: str, problem: str, *, remedy: str) -> None:
        self.to = to
        stop = "" if remedy.endswith("?") else "."
        super().__init__(f"Export to {to}: {problem}. {remedy}{stop}")


class GraphError(GridCosimError):
    """A communication graph over which the members of a limit cannot agree."""

    def __init__(self, limit: str | None, problem: str, remedy: str) -> None:
        self.limit, self.problem, self.remedy = limit, problem, remedy
        where = "Communication graph" if limit is None else f"Communication graph of {limit}"
        stop = "" if problem.endswith(("?", ".")) else "."
        super().__init__(f"{where}: {problem}{stop} Use {remedy}.")

    def of_list(self, path: Path) -> GraphError:
        """The same, with the file of links that it is about."""
        return GraphError(self.limit, f"edge list {path}: {self.problem}", self.remedy)


class ProfileError(GridCosimError):
    """A time series that cannot be used: says which file, column and place, and what would mend it."""

    def __init__(
        self, source: str, problem: str, *, remedy: str, column: str | None = None, where: str | None = None
    ) -> None:
        self.source = source
        self.column = column
        self.where = where
        place = source + (f", column {column!r}" if column else "") + (f", {where}" if where else "")
        super().__init__(f"{place}: {problem}. {remedy}")


class FeederError(GridCosimError):
    """A feeder that does not exist, cannot be read, or cannot be simulated."""

    def __init__(self, source: str, problem: str, *, remedy: str = "") -> None:
        self.source, self.problem, self.remedy = source, problem, remedy
        stop = "" if problem.endswith(("?", ".")) else "."
        super().__init__(f"Feeder {source}: {problem}" + (f"{stop} {remedy}." if remedy else stop))


class RefusedNetworkError(GridCosimError):
    """A network that cannot be simulated; every reason with what to do about it."""

    def __init__(self, source: str, reasons: Sequence[str]) -> None:
        self.source, self.reasons = source, tuple(reasons)
        listed = "\n".join(f"  - {reason}" for reason in self.reasons)
        super().__init__(f"Feeder {source}: it cannot be simulated as it is\n{listed}")


class CosimError(GridCosimError):
    """A simulator that was started or wired in a way that cannot work."""

    def __init__(self, simulator: str, problem: str, *, remedy: str) -> None:
        self.simulator = simulator
        stop = "" if problem.endswith(("?", ".")) else "."
        super().__init__(f"{simulator}: {problem}{stop} {remedy}.")


class PowerFlowError(GridCosimError):
    """A step for which the grid has no AC solution: says when, and what stands out."""

    def __init__(self, source: str, *, step: int, when: str, problem: str) -> None:
        self.step = step
        super().__init__(
            f"Feeder {source}, step {step} ({when}): {problem}. Lower the load or the share of devices, "
            "strengthen the network, or go on without this step (power_flow.on_divergence = 'continue')."
        )


class SolverError(GridCosimError):
    """A power flow whose solution the reference does not confirm: says when, where, and both voltages."""

    def __init__(
        self, source: str, *, step: int, when: str, bus: int, vm_pu: float, reference_vm_pu: float
    ) -> None:
        self.step = step
        super().__init__(
            f"Feeder {source}, step {step} ({when}): the power flow gives {vm_pu:.6f} pu at Bus-{bus}, a "
            f"plain pandapower run {reference_vm_pu:.6f} pu. The results until then are not to be trusted. "
            "Use power_flow.solver = 'pandapower', and report this network to the authors of grid_cosim."
        )


class HorizonError(GridCosimError):
    """A co-simulation that wants to go beyond what its scenario knows."""

    def __init__(self, *, wanted: int, n_steps: int) -> None:
        super().__init__(
            f"The households were asked for step {wanted} of {n_steps}. "
            f"Run the world until {n_steps} control steps, or make the scenario longer."
        )


class RunError(GridCosimError):
    """A co-simulation that ended before its horizon."""

    def __init__(self, *, reached: int, n_steps: int, reason: str) -> None:
        self.reached, self.n_steps = reached, n_steps
        super().__init__(f"The run ended after {reached} of {n_steps} steps: {reason}.")
