"""The sections about the grid: network, limits, what moves them, and the power flow."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from grid_cosim.scenario.base import Positive, Section


class FeederSection(Section):
    """The network."""

    source: str = "schutterwald:2"
    """A name (`grid-cosim feeders` lists them), `simbench:<code>`, `pandapower:<function>`, or a pandapower
    JSON or Excel file."""
    limit_share: Positive = 1.0
    """Share of every transformer's rating that may be used."""
    kw_per_home: Positive | None = None
    """Where loads stand for several homes, as at medium voltage: one home for so many kW that a load is
    planned with. Without it a load is a home."""
    slack_vm_pu: Annotated[float, Field(gt=0.8, lt=1.2)] | None = None
    """Voltage that the external grids hold; without it the network's own (of `schutterwald` 0.965)."""
    unbalanced: bool = False
    """Limits and power flow per phase; the network must say which phase each home is connected to, and have
    zero-sequence data."""


class Limits(Section):
    """What the households must keep together."""

    transformers: bool = True
    """Whether every transformer that supplies homes is a limit, at all voltage levels."""
    lines: Literal["none", "near", "all"] = "none"
    """Which lines and cables that supply homes are limits; `near`: see `near_percent`."""
    voltage: Literal["none", "near", "all"] = "none"
    """Where the voltage band is a limit: nowhere, or at the ends of cables (in a mesh at all homes)."""
    near_percent: Annotated[float, Field(ge=0, le=100)] = 70.0
    """Without control an element must come above this share of its limit, or of the least that events leave
    of it, to be `near` it, in percent. Where control moves demand to (cheap hours, batteries) is not
    foreseen: `all` is safe."""
    line_share: Positive = 1.0
    """Share of every line's rating that may be used."""
    vm_min_pu: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Lower end of the voltage band (EN 50160: 0.9)."""
    vm_max_pu: Annotated[float, Field(gt=1, lt=2)] = 1.1
    """Upper end of the voltage band (EN 50160: 1.1)."""
    vm_margin_pu: Annotated[float, Field(ge=0, lt=0.05)] = 0.004
    """So far inside the band the watched ends are kept: as much may be lost on the way to a home beside."""
    reverse: Literal["auto"] | bool = "auto"
    """Limits against generation, too; `auto`: where so much can be generated that they come near."""

    @property
    def only_transformers(self) -> bool:
        """Whether nothing but the flow through transformers is limited."""
        return self.transformers and self.lines == self.voltage == "none"

    @model_validator(mode="after")
    def _any(self) -> Self:
        if not self.transformers and self.lines == self.voltage == "none":
            raise ValueError("got no transformers, lines or voltage, expected at least one kind of limit")
        return self


_Names = str | Annotated[tuple[str, ...], Field(min_length=1)]


class Event(Section):
    """Something that moves limits, or what is behind them, for a time."""

    kind: Literal["signal", "rating", "switch"]
    """`signal`: a grid operator lowers what may be used; `rating`: the rating changes, as in wind; `switch`:
    switches open and close, and homes are behind other limits."""
    element: _Names | None = None
    """What a signal or rating concerns: `Trafo-3`, `Line-7`, a list of them, `all transformers` or `all
    lines`."""
    open: _Names | None = None
    """What a switch event opens: `Switch-12` or the name of a switch, one or several; a line or transformer
    as a whole by `Line-7`, `Trafo-3`."""
    close: _Names | None = None
    """What it closes, likewise. Afterwards everything is as before."""
    begin: Annotated[float, Field(ge=0)] | datetime = 0.0
    """When it begins: hours since the start of the run, or a local time."""
    end: Positive | datetime | None = None
    """When it ends, likewise; at the latest, and without it, with the run."""
    share: Positive | None = None
    """Share of the rating that may be used, at most 1; or factor on the rating."""
    source: str | None = None
    """For `rating`: factors that change, from a CSV or Parquet file with a column `factor`."""

    @property
    def elements(self) -> tuple[str, ...]:
        """What a signal or rating concerns, one or several."""
        return _several(self.element)

    @property
    def closed(self) -> dict[str, bool]:
        """What a switch event moves, by name, and whether it is closed then."""
        return dict.fromkeys(_several(self.open), False) | dict.fromkeys(_several(self.close), True)

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.kind == "switch":
            if self.element is not None or self.share is not None or self.source is not None:
                raise ValueError(
                    "a switch event has `open` or `close`, and no `element`, `share` or `source`"
                )
            if self.open is None and self.close is None:
                raise ValueError("got neither `open` nor `close`, expected what a switch event moves")
            both = sorted(set(_several(self.open)) & set(_several(self.close)))
            if both:
                raise ValueError(f"got {both[0]} in both `open` and `close`, expected one of them")
        else:
            if self.element is None:
                raise ValueError(f"got no `element`, expected what the {self.kind} is about")
            if self.open is not None or self.close is not None:
                raise ValueError(f'a {self.kind} has no `open` or `close`; that is for kind = "switch"')
        for at in (self.begin, self.end):
            if isinstance(at, datetime) and at.tzinfo is not None:
                raise ValueError("expected local times without a zone")
        return self

    @model_validator(mode="after")
    def _says_how_much(self) -> Self:
        if self.kind == "switch":
            return self
        if self.kind == "signal" and (self.share is None or self.source is not None):
            raise ValueError("a signal has a `share` and no `source`")
        if self.kind == "signal" and (self.share or 0.0) > 1.0:
            raise ValueError(
                f"got a signal's share of {self.share:g}, expected at most 1: what raises a limit is a rating"
            )
        if (self.share is None) == (self.source is None):
            raise ValueError("got both or neither of `share` and `source`, expected one of them")
        return self


def _several(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else names


class PowerFlowSection(Section):
    """The AC power flow."""

    solver: Literal["auto", "power-grid-model", "pandapower"] = "auto"
    """`auto`: power-grid-model where it can represent the network, else pandapower."""
    check_every: Annotated[int, Field(ge=0)] = 32
    """Every so many steps, the first among them, the solution is compared with a plain pandapower run; beyond
    1e-5 pu the run stops. 0 for never."""
    on_divergence: Literal["stop", "continue"] = "stop"
    """What a step without a solution does; results until then are kept either way."""
