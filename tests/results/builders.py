"""Synthetic results on a small feeder, plausible to look at: an evening peak, and three ways to deal with it.

Trafo-0 ── Bus-1 ── Bus-2 ── Bus-3 …      one street per transformer, a home at every bus,
Trafo-1 ── Bus-k ── …                     every fourth bus starts a side street
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from grid_cosim import Results
from grid_cosim.results import TABLES, Basis, Run, Topology

DT_H = 0.25
TARIFF_EUR_PER_KWH = 0.3
STAY_STEPS = 48  # every car stays for twelve hours


def street_topology(n_trafos: int = 2, homes_per_trafo: int = 12, *, located: bool = True) -> Topology:
    """Streets of homes, one per transformer, in the south-west of Germany."""
    buses, lines, limits, homes = [], [], [], []
    for trafo in range(n_trafos):
        hv, lv = len(buses), len(buses) + 1
        lon0, lat0 = 7.88 + 0.004 * trafo, 48.457
        buses += [(hv, 20.0, lon0, lat0), (lv, 0.4, lon0, lat0)]
        limits.append(
            (f"Trafo-{trafo}", "trafo", f"Station {trafo}", f"Bus-{hv}", f"Bus-{lv}", 400.0, 100.0, 0)
        )
        for home in range(homes_per_trafo):
            side = home % 4 == 3
            start = lv if home == 0 else len(buses) - (2 if home % 4 == 0 else 1)
            lon, lat = buses[start][2] + (0.0 if side else 4e-4), buses[start][3] + (3e-4 if side else 4e-5)
            bus = len(buses)
            buses.append((bus, 0.4, lon, lat))
            lines.append(
                (f"Line-{len(lines)}", f"Bus-{start}", f"Bus-{bus}", 0.03, 0.27, _bend(buses, start, bus))
            )
            homes.append((f"Household-{len(homes)}", f"Bus-{bus}", home % 3 != 2))
    bus_frame = pd.DataFrame(buses, columns=["bus", "vn_kv", "longitude", "latitude"])
    bus_frame["bus"] = bus_frame["name"] = "Bus-" + bus_frame["bus"].astype(str)
    line_frame = pd.DataFrame(lines, columns=["line", "from_bus", "to_bus", "length_km", "max_i_ka", "path"])
    line_frame["name"] = line_frame["line"]
    if not located:
        bus_frame[["longitude", "latitude"]] = np.nan
        line_frame["path"] = None
    columns = ["limit", "element", "name", "from_bus", "to_bus", "rated_kva", "limit_percent", "level"]
    return Topology(
        buses=bus_frame,
        lines=line_frame,
        limits=pd.DataFrame(limits, columns=columns),
        homes=pd.DataFrame(homes, columns=["household", "bus", "has_heat_pump"]),
        title="Two streets",
        source="synthetic",
        licence="No licence needed: invented for tests.",
        notes=("taps of 1 transformer set to Ratio",),
    )


def _bend(buses: list, start: int, end: int) -> list[list[float]]:
    """A path with one corner between two buses."""
    (_, _, x0, y0), (_, _, x1, y1) = buses[start], buses[end]
    return [[x0, y0], [x1, y0], [x1, y1]]


def synthetic_results(
    topology: Topology | None = None,
    controllers: tuple[str, ...] = ("uncontrolled", "independent", "consensus"),
    *,
    n_steps: int = 192,
    seed: int = 0,
) -> Results:
    """Results with tables that agree with each other roughly, not physically."""
    topology = street_topology() if topology is None else topology
    runs = {
        name: Run(_Town(topology, n_steps, seed).tables(name), wall_time_s=8.5 + len(name))
        for name in controllers
    }
    return Results(
        scenario={
            "title": "A cold evening",
            "feeder": {"source": "synthetic"},
            "coordination": {"rounds": 5},
        },
        provenance={
            "versions": {"grid_cosim": "0.1.0"},
            "seed": seed,
            "policies": {"heat_pump": "sha256:12ab"},
        },
        basis=Basis("A cold evening", DT_H, 20.0),
        topology=topology,
        runs=runs,
    )


class _Town:
    """Homes with a car, some with a heat pump, on a cold January day."""

    def __init__(self, topology: Topology, n_steps: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.topology = topology
        self.times = np.datetime64("2016-01-19T12:00", "ms") + np.arange(n_steps) * np.timedelta64(15, "m")
        self.n_homes, self.n_limits = len(topology.homes), len(topology.limits)
        hour = (12 + DT_H * np.arange(n_steps))[:, None] % 24
        evening = np.exp(-(((hour - 19) / 2.2) ** 2))
        self.base_kw = (0.25 + 0.9 * evening) * rng.gamma(2.0, 0.5, (n_steps, self.n_homes))
        self.heat_kw = (1.2 + 0.5 * np.cos((hour - 5) / 24 * 2 * np.pi)) * topology.homes[
            "has_heat_pump"
        ].to_numpy()
        self.arrives_kwh = np.zeros((n_steps, self.n_homes))
        for day in range(int(np.ceil(n_steps / 96))):
            when = np.clip(day * 96 + 24 + rng.normal(4, 5, self.n_homes), 0, n_steps - 1).astype(int)
            self.arrives_kwh[when, np.arange(self.n_homes)] += rng.uniform(6, 22, self.n_homes)
        self.downstream, self.member = _downstream(topology)
        total = (self.base_kw + self.heat_kw + self.arrives_kwh.sum(0) / (n_steps * DT_H)) @ self.member.T
        self.limit_kw = 1.2 * total.mean(0)

    def tables(self, controller: str) -> dict[str, pd.DataFrame]:
        flexes, owed, heat, unserved = self._serve(controller)
        p_kw = self.base_kw + flexes
        limit_p_kw = p_kw @ self.member.T
        loading = 100.0 * limit_p_kw / self.limit_kw
        price = np.clip((loading - 92.0) / 40.0, 0.0, 0.4) * (controller != "uncontrolled")
        talks = controller == "consensus"
        spread = price * {"independent": 0.9, "consensus": 0.04}.get(controller, 0.0)
        cold = np.cumsum(np.clip(self.heat_kw - heat, 0, None) - 0.12, axis=0).clip(0) * 0.35
        temperature = 20.6 + 0.5 * np.sin(np.arange(len(self.times)) / 15)[:, None] - cold
        temperature = temperature + np.random.default_rng(1).normal(0, 0.25, self.n_homes)
        due = _delayed(self.arrives_kwh, STAY_STEPS)
        car = {
            "p_kw": flexes - heat,
            "requested_kwh": self.arrives_kwh,
            "due_kwh": due,
            "served_kwh": due - unserved,
            "unserved_kwh": unserved,
            "owed_kwh": owed,
            "age_h": np.where(owed > 0, 2.0, 0.0),
            "temperature_c": np.full_like(owed, np.nan),
            "too_cold_kelvin_hours": 0.0 * owed,
            "cost_eur": 0.002 * owed + 0.5 * unserved,
            "terminal_cost_eur": 0.0 * owed,
            "terminal_cost_without_energy_eur": 0.0 * owed,
        }
        pump = dict.fromkeys(car, 0.0 * owed) | {
            "p_kw": heat,
            "requested_kwh": self.heat_kw * DT_H,
            "temperature_c": temperature,
            "too_cold_kelvin_hours": np.clip(20.0 - temperature, 0, None) * DT_H,
        }
        has_pump = self.topology.homes["has_heat_pump"].to_numpy()
        names = self.topology.homes["household"].to_numpy()
        devices = pd.concat(
            [
                self._long({"device": "Ev-" + names, "kind": "electric_vehicle", "household": names}, car),
                self._long(
                    {"device": "Hp-" + names[has_pump], "kind": "heat_pump", "household": names[has_pump]},
                    {name: values[:, has_pump] for name, values in pump.items()},
                ),
            ]
        )
        flow = p_kw @ self.downstream.T
        line_loading = 100.0 * np.abs(flow) / (0.55 * self.limit_kw.mean())
        homes_price = price @ self.member
        tables = {
            "households": self._long(
                {"household": names},
                {
                    "p_kw": p_kw,
                    "base_kw": self.base_kw,
                    "flex_kw": flexes,
                    "q_kvar": 0.2 * p_kw,
                    "tariff_eur_per_kwh": np.full_like(p_kw, TARIFF_EUR_PER_KWH),
                    "price_eur_per_kwh": homes_price,
                },
            ),
            "devices": devices,
            "limits": self._long(
                {"limit": self.topology.limits["limit"].to_numpy()},
                {
                    "p_kw": limit_p_kw,
                    "loading_percent": loading,
                    "counts": np.ones(loading.shape, dtype=bool),
                    "limit_percent": np.full_like(loading, 100.0),
                    "limit_kw": np.tile(self.limit_kw, (len(self.times), 1)),
                    "offset_kw": 0.03 * limit_p_kw,
                    "base_kw": self.base_kw @ self.member.T,
                    "price_mean_eur_per_kwh": price,
                    "price_min_eur_per_kwh": np.clip(price - spread, 0, None),
                    "price_max_eur_per_kwh": price + spread,
                    "messages": np.full(loading.shape, 20 * self.n_homes * talks),
                    "message_bytes": np.full(loading.shape, 12_640 * self.n_homes * talks),
                    "rounds": np.full(loading.shape, 10 * talks),
                    "saturated": np.zeros(loading.shape, dtype=bool),
                    "consensus_error_eur_per_kwh": 0.5 * spread if talks else np.full(loading.shape, np.nan),
                },
            ),
            **({"agreement": self._agreement(loading.shape)} if talks else {}),
            "lines": self._long(
                {"line": self.topology.lines["line"].to_numpy()},
                {"loading_percent": line_loading, "p_kw": flow},
            ),
            "buses": self._buses(p_kw, line_loading),
            "grid": self._grid(p_kw),
        }
        return {name: frame[list(TABLES[name])] for name, frame in tables.items()}

    def _serve(self, controller: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Flexible power, energy owed to cars, heat-pump power and undelivered energy, all (steps, homes)."""
        flex, owed, heat, unserved = (np.zeros_like(self.base_kw) for _ in range(4))
        leaves_with = _delayed(np.cumsum(self.arrives_kwh, axis=0), STAY_STEPS)
        gone, queue = np.zeros(self.n_homes), np.zeros(self.n_homes)
        share = self.member.T @ (self.limit_kw / self.member.sum(1))
        for step in range(len(self.times)):
            queue += self.arrives_kwh[step]
            wish_heat, wish_car = self.heat_kw[step], np.minimum(queue / DT_H, 3.7)
            room = {
                "uncontrolled": np.full(self.n_homes, np.inf),
                "independent": np.clip(share - self.base_kw[step], 0, None),
            }.get(controller)
            if room is None:
                wish = self.member @ (wish_heat + wish_car)
                free = np.clip(self.limit_kw - self.member @ self.base_kw[step], 0, None)
                room = (wish_heat + wish_car) * (
                    self.member.T @ np.minimum(1.0, free / np.maximum(wish, 1e-9))
                )
            heat[step] = np.minimum(wish_heat, room)
            car = np.minimum(wish_car, room - heat[step])
            gone, queue = gone + car * DT_H, queue - car * DT_H
            unserved[step] = np.clip(leaves_with[step] - gone, 0.0, None)
            gone, queue = gone + unserved[step], queue - unserved[step]
            flex[step], owed[step] = heat[step] + car, queue
        return flex, owed, heat, unserved

    def _long(self, names: dict, values: dict) -> pd.DataFrame:
        n_rows = next(iter(values.values())).shape[1]
        columns = {"time": np.repeat(self.times, n_rows)}
        for name, ids in names.items():
            ids = np.full(n_rows, ids, dtype=object) if isinstance(ids, str) else ids
            columns[name] = np.tile(np.asarray(ids, dtype=object), len(self.times))
        return pd.DataFrame(columns | {name: array.ravel() for name, array in values.items()})

    def _buses(self, p_kw: np.ndarray, line_loading: np.ndarray) -> pd.DataFrame:
        topology = self.topology
        row = {bus: i for i, bus in enumerate(topology.buses["bus"])}
        drop = np.zeros((len(self.times), len(row)))
        for line, (start, end) in enumerate(
            zip(topology.lines["from_bus"], topology.lines["to_bus"], strict=True)
        ):
            drop[:, row[end]] = drop[:, row[start]] + line_loading[:, line] * 5e-5
        taken = np.zeros_like(drop)
        np.add.at(taken.T, topology.homes["bus"].map(row).to_numpy(), p_kw.T)
        return self._long({"bus": topology.buses["bus"].to_numpy()}, {"vm_pu": 1.01 - drop, "p_kw": taken})

    def _agreement(self, shape: tuple[int, int]) -> pd.DataFrame:
        """As `curve` has it."""
        values = {
            name: np.full(shape, np.nan) for name in TABLES["agreement"] if name not in ("time", "limit")
        }
        values["mixing_rate"][:], values["contraction"][:] = 0.9, 0.05
        values["estimate_error_kw"][:], values["estimate_bound_kw"][:] = 0.4, 0.7
        return self._long({"limit": self.topology.limits["limit"].to_numpy()}, values)

    def _grid(self, p_kw: np.ndarray) -> pd.DataFrame:
        n_steps = len(self.times)
        return pd.DataFrame(
            {
                "time": self.times,
                "converged": True,
                "iterations": 4,
                "losses_kw": 0.03 * p_kw.sum(1),
                "slack_p_kw": 1.03 * p_kw.sum(1),
                "vm_min_pu": 0.96,
                "vm_max_pu": 1.01,
                "ac_check_dv_pu": np.where(np.arange(n_steps) % 24 == 0, 3e-9, np.nan),
            }
        )


def _delayed(values: np.ndarray, n_steps: int) -> np.ndarray:
    """The values that many steps later, zero before."""
    return np.vstack([np.zeros_like(values[:n_steps]), values[:-n_steps]])[: len(values)]


def _downstream(topology: Topology) -> tuple[np.ndarray, np.ndarray]:
    """(lines, homes) and (limits, homes): 1 where the home is downstream; lines lead away from it."""
    feeds: dict[str, str] = dict(zip(topology.lines["to_bus"], topology.lines["from_bus"], strict=True))
    line_of = {bus: i for i, bus in enumerate(topology.lines["to_bus"])}
    limit_of = {bus: i for i, bus in enumerate(topology.limits["to_bus"])}
    lines = np.zeros((len(topology.lines), len(topology.homes)))
    limits = np.zeros((len(topology.limits), len(topology.homes)))
    for home, bus in enumerate(topology.homes["bus"]):
        while bus in feeds:
            lines[line_of[bus], home] = 1.0
            bus = feeds[bus]
        limits[limit_of[bus], home] = 1.0
    return lines, limits
