"""The sections of a scenario file, as models; all defaults stand here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import available_timezones

import tomlkit
from pydantic import Field, PrivateAttr, field_validator, model_validator

from grid_cosim.errors import near_matches
from grid_cosim.kinds import GraphKind
from grid_cosim.scenario.base import Fraction, Positive, Section
from grid_cosim.scenario.grid import Event, FeederSection, Limits, PowerFlowSection

ControllerName = Literal[
    "uncontrolled",
    "independent",
    "consensus",
    "centralised",
    "dimming",
    "time_of_use",
    "optimum",
]
CONTROLLERS: tuple[ControllerName, ...] = get_args(ControllerName)
"""All that there are."""

WITHOUT_POLICIES: tuple[ControllerName, ...] = ("uncontrolled", "dimming", "optimum")
"""Those that ask no policy what it would draw at a price."""

WITH_MARGIN: tuple[ControllerName, ...] = ("consensus", "centralised")
"""Those whose meters aim a little below their limit, by `coordination.margin`."""

_FIRST_YEAR, _LAST_YEAR = 1900, 2199  # what all libraries can count in


class Time(Section):
    """When, how long, and in which steps."""

    start: datetime = datetime(2016, 1, 4, 12)
    """Local standard time, without a zone. The year decides about weekdays; the season about loads."""
    hours: Positive = 48.0
    """Length of the horizon in h."""
    step_minutes: Positive = 15.0
    """Length of a control step in min; it must divide an hour and the horizon."""

    timezone: str | None = None
    """IANA name of a zone, such as `Europe/Berlin`. Its standard time is then the run's clock, and times
    without an offset in your files are its wall clock, daylight saving included. Without it the clock is
    Central European standard time, in such files, too."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name is not None and name not in available_timezones():
            raise ValueError(
                f"got {name!r}, expected an IANA zone such as 'Europe/Berlin'."
                f"{near_matches(name, available_timezones())}"
            )
        return name

    @field_validator("start")
    @classmethod
    def _naive(cls, start: datetime) -> datetime:
        if start.tzinfo is not None:
            raise ValueError("expected a local time without a zone")
        if not _FIRST_YEAR <= start.year <= _LAST_YEAR:
            raise ValueError(f"got the year {start.year}, expected {_FIRST_YEAR} to {_LAST_YEAR}")
        return start

    @model_validator(mode="after")
    def _ends(self) -> Self:
        most_h = (datetime(_LAST_YEAR + 1, 1, 1) - self.start) / timedelta(hours=1)
        if self.hours > most_h:
            raise ValueError(
                f"got {self.hours:g} hours from {self.start:%Y-%m-%d}, expected an end in {_LAST_YEAR} or "
                "before"
            )
        return self

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        if 60.0 % self.step_minutes or self.hours * 60.0 % self.step_minutes:
            raise ValueError(
                f"got step_minutes {self.step_minutes:g} with hours {self.hours:g}, expected a step that "
                "divides the hour and the horizon, such as 15"
            )
        return self

    @property
    def dt_h(self) -> float:
        """Length of a control step in h."""
        return self.step_minutes / 60.0

    @property
    def n_steps(self) -> int:
        """Control steps in the horizon."""
        return round(self.hours / self.dt_h)

    @property
    def start_hour(self) -> float:
        """Hour of the day at the start."""
        return self.start.hour + self.start.minute / 60.0

    @property
    def first_quarter(self) -> int:
        """Quarter of an hour of the year at the start: the index of yearly series."""
        return int((self.start - datetime(self.start.year, 1, 1)) / timedelta(minutes=15))

    def quarters(self) -> list[int]:
        """Quarter of an hour of the year at the begin of every control step."""
        return [int((at - datetime(at.year, 1, 1)) / timedelta(minutes=15)) for at in self.times()]

    def times(self) -> list[datetime]:
        """Begin of every control step."""
        return [self.start + timedelta(minutes=self.step_minutes * k) for k in range(self.n_steps)]


class Homes(Section):
    """The inflexible load of the households, and what they own."""

    base_load: str = "simbench"
    """`simbench`: SimBench household shapes, diversified; or a CSV or Parquet file, kW, a column a home."""
    mean_annual_kwh: Positive | None = None
    """Mean yearly consumption of a home; without it that of German households. Only for `simbench`."""
    devices: str | None = None
    """CSV file that says which home has which device, and what is known of it, for the kinds whose `share` is
    `table`."""


class Weather(Section):
    """Outdoor temperature, and irradiance where there are photovoltaics."""

    source: str = "try2010_12_mannheim"
    """A shipped test reference year, or a CSV or Parquet file with a column `temperature_c`; for `pv` also
    `global_w_per_m2`, or `direct_w_per_m2` and `diffuse_w_per_m2`, on the horizontal plane."""
    shift_k: Annotated[float, Field(ge=-30, le=30)] = 0.0
    """Added to the temperature: how a colder winter is asked for."""
    latitude_deg: Annotated[float, Field(ge=-66, le=66)] = 49.5
    """Where the sun is seen from; the default is Mannheim."""
    longitude_deg: Annotated[float, Field(ge=-180, le=180)] = 8.55
    """The same, east of Greenwich; clocks show Central European standard time."""


class DeviceSection(Section):
    """One kind of flexible device."""

    share: Fraction | Literal["network", "table"] = 0.5
    """Share of homes that own one, drawn at random; `network`: the homes that the network gives one; `table`:
    those of the table `homes.devices`."""
    policy: str | None = None
    """A shipped policy's name or a checkpoint file; without it the shipped policy of that kind."""
    population: dict[str, Any] = Field(default_factory=dict)
    """Overrides of how devices and their use are drawn; see the population's fields in the reference."""
    power_factor: Annotated[float, Field(gt=0, le=1)] | None = None
    """Inductive, at the meter, drawing or feeding in; without it 0.95 for loads (the least of VDE-AR-N 4100)
    and 1 for `battery`, `pv` and `v2g_vehicle`."""


class _Window(Section):
    """A part of every day, in local standard time."""

    from_hour: Annotated[float, Field(ge=0, lt=24)]
    """Hour of the day at which it begins."""
    to_hour: Annotated[float, Field(gt=0, le=24)]
    """Hour of the day at which it ends; below `from_hour`: on the next day."""

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.from_hour == self.to_hour:
            raise ValueError(f"got from_hour and to_hour {self.to_hour:g}, expected a window that lasts")
        return self

    def overlaps(self, other: _Window) -> bool:
        """Whether there is a time of the day that lies in both."""
        later = (other.from_hour - self.from_hour) % 24.0
        return later < self._length_h or -later % 24.0 < other._length_h

    @property
    def _length_h(self) -> float:
        return (self.to_hour - self.from_hour) % 24.0 or 24.0


class Period(_Window):
    """Hours of every day with a price of their own, in local standard time."""

    price_eur_per_kwh: float
    """What energy costs then."""


class Tariff(Section):
    """What energy costs. Every home knows it for the next 24 hours."""

    energy_price_eur_per_kwh: Annotated[float, Field(ge=0)] = 0.30
    """At all times for which nothing else is said."""
    periods: tuple[Period, ...] = ()
    """Time of use: hours of every day with another price; they must not overlap."""
    source: str | None = None
    """Or prices that change with the date: a CSV or Parquet file with a column `price_eur_per_kwh`."""

    @model_validator(mode="after")
    def _one_price_at_a_time(self) -> Self:
        if self.periods and self.source is not None:
            raise ValueError("got `periods` and `source`, expected one of them at most")
        for k, period in enumerate(self.periods):
            for other in self.periods[:k]:
                if period.overlaps(other):
                    raise ValueError(
                        f"periods: {other.from_hour:g} to {other.to_hour:g} h and {period.from_hour:g} to "
                        f"{period.to_hour:g} h overlap, expected one price at a time"
                    )
        return self


DUAL_ITERATIONS = {"curve": 2, "newton": 4, "gradient": 1}
"""Dual iterations, or sweeps, of each dual step where a scenario says nothing."""


class Coordination(Section):
    """How the agents of `consensus` agree on a price."""

    graph: GraphKind = "random_regular"
    """Who talks to whom, behind each limit."""
    degree: Annotated[int, Field(ge=2)] = 4
    """Neighbours of a home in `random_regular` and `small_world`."""
    rewiring: Fraction = 0.2
    """Share of links that `small_world` rewires."""
    edges: str | None = None
    """CSV file with two columns of home names, or `meter`, for the graph `edges`."""
    dual_step: Literal["curve", "newton", "gradient"] = "curve"
    """What neighbours tell each other and what they make of it."""
    mixing: Literal["tracked", "fresh"] = "tracked"
    """Whether what was agreed in earlier steps is kept. The `gradient` step has its own."""
    accelerated: bool = True
    """Chebyshev's weights over the rounds instead of plain ones; not for `gradient` or with outages."""
    startup_rounds: Annotated[int, Field(ge=0)] | None = None
    """Rounds of the first exchange of `tracked` mixing; unless given as many as a cold start needs, more
    behind a substation than in a street. For `gradient` rounds before its first step, none by default."""
    rounds: Annotated[int, Field(ge=1)] = 10
    """Exchanges with the neighbours per dual iteration (K)."""
    dual_iterations: Annotated[int, Field(ge=1)] | None = None
    """Dual iterations, of `curve` exchanges, per control step (D): unless given 4 for `newton`, 1 for
    `gradient`, else 2."""
    n_prices: Annotated[int, Field(ge=4)] = 32
    """Prices at which `curve` asks, zero included (G)."""
    smallest_price_eur_per_kwh: Positive = 0.002
    """Smallest price above zero at which `curve` asks."""
    largest_price_eur_per_kwh: Positive = 4.0
    """Largest price; the shipped policies postpone all that they can well below it."""
    gradient_step: Positive = 0.02
    """Step of `gradient`, in EUR/kWh per kW (η)."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """Share of a limit that the meters keep free: who draws changes by the step, and loading with it."""
    link_outage: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a link is down, both ways, in a round."""

    @property
    def iterations(self) -> int:
        """D, given or by the dual step."""
        return self.dual_iterations or DUAL_ITERATIONS[self.dual_step]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.graph == "random_regular" and self.degree < 3:
            raise ValueError(f"got degree {self.degree} for graph 'random_regular', expected at least 3")
        if self.graph == "edges" and self.edges is None:
            raise ValueError("got graph 'edges' without `edges`, expected a CSV file of links")
        if self.smallest_price_eur_per_kwh >= self.largest_price_eur_per_kwh:
            raise ValueError("expected smallest_price_eur_per_kwh below largest_price_eur_per_kwh")
        return self


class Dimming(Section):
    """What the controller `dimming` does, after § 14a EnWG."""

    power_kw: Annotated[float, Field(ge=0)] = 4.2
    """What every device may draw behind an overloaded limit (4.2 kW: BNetzA, decision BK6-22-300)."""


class TimeOfUse(_Window):
    """The surcharge to which the policies answer under the controller `time_of_use`."""

    surcharge_eur_per_kwh: Annotated[float, Field(ge=0)] = 0.10
    """On top of the tariff, every day; like a congestion price it is a transfer and no part of any cost."""
    from_hour: Annotated[float, Field(ge=0, lt=24)] = 17.0
    """Hour of the day at which it begins."""
    to_hour: Annotated[float, Field(gt=0, le=24)] = 21.0
    """Hour of the day at which it ends; below `from_hour`: on the next day."""


Detail = Literal["all", "summary", "none"]


class RecordSection(Section):
    """How much of a run is written down. KPIs and the table `totals` are exact at every level of detail.

    `all`: rows of every element and step, and a summary with one row per element; `summary`: that alone.
    """

    households: Detail = "all"
    """Power, tariff and price of every household."""
    devices: Detail = "all"
    """Power, energy, costs and temperature of every device."""
    limits: Detail = "all"
    """Loading, prices and messages of every limit."""
    lines: Detail = "all"
    """Loading of every line."""
    buses: Detail = "all"
    """Voltage of every bus."""
    agreement: Literal["all", "none"] = "all"
    """What theory promises beside what was measured, for every limit."""
    every: Annotated[int, Field(ge=1)] = 1
    """Rows of households, devices, lines and buses in every so-manieth step only."""


class Scenario(Section):
    """All that decides what a run gives, in the order of a run."""

    title: str = "Unnamed scenario"
    """Heads the report."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of everything random."""
    controllers: Annotated[tuple[ControllerName, ...], Field(min_length=1)] = (
        "uncontrolled",
        "independent",
        "consensus",
    )
    """Which controllers run, one after the other, on identical homes, weather and arrivals."""
    time: Time = Time()
    """When, how long, and in which steps."""
    feeder: FeederSection = FeederSection()
    """The network."""
    limits: Limits = Limits()
    """What the households must keep."""
    events: tuple[Event, ...] = ()
    """What moves limits for a time."""
    homes: Homes = Homes()
    """Inflexible load."""
    weather: Weather = Weather()
    """Outdoor temperature and irradiance."""
    devices: dict[str, DeviceSection] = Field(default_factory=dict)
    """By kind: `electric_vehicle`, `v2g_vehicle`, `heat_pump`, `water_heater`, `deferrable`, `battery`, `pv`,
    or `package.module:Population`."""
    tariff: Tariff = Tariff()
    """What energy costs."""
    coordination: Coordination = Coordination()
    """How `consensus` agrees."""
    dimming: Dimming = Dimming()
    """How far `dimming` cuts."""
    time_of_use: TimeOfUse = TimeOfUse()
    """When `time_of_use` asks for more, and how much."""
    power_flow: PowerFlowSection = PowerFlowSection()
    """How the grid is solved."""
    record: RecordSection = RecordSection()
    """How much is written down."""

    @field_validator("controllers")
    @classmethod
    def _once(cls, controllers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(controllers)) < len(controllers):
            raise ValueError("expected every controller once")
        return controllers

    _source: str = PrivateAttr("")

    @property
    def source(self) -> str:
        """Where its settings stand, for messages: the file that it was read from, else its title."""
        return self._source or f"scenario {self.title!r}"

    def read_from(self, source: str) -> Self:
        """The same scenario, which says that it was read from there."""
        copy = self.model_copy()
        copy._source = source
        return copy

    def __eq__(self, other: object) -> bool:
        """Whether all settings are the same, wherever they were read."""
        return isinstance(other, Scenario) and self.__dict__ == other.__dict__

    def as_toml(self) -> str:
        """The scenario with all its defaults spelled out; loading it gives the same scenario."""
        return tomlkit.dumps(_without_none(self.model_dump(mode="python")))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list | tuple) else value
