"""What other solvers make of an exported case: voltages, a row per step, a column per bus of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opendssdirect as dss
import pandas as pd
import pypsa
from power_grid_model import PowerGridModel
from power_grid_model.utils import json_deserialize_from_file


def _buses(folder: Path) -> pd.DataFrame:
    names = pd.read_csv(folder / "names.csv", dtype=str)
    return names[names["id"].str.startswith("Bus-")]


def by_opendss(folder: Path, n_steps: int) -> pd.DataFrame:
    """In complex numbers, of phase a."""
    dss.Text.Command(f'redirect "{(folder / "master.dss").resolve()}"')
    names, rows = _buses(folder), []
    for _ in range(n_steps):
        dss.Text.Command("solve number=1")
        assert dss.Solution.Converged()
        at = {}
        for bus in dss.Circuit.AllBusNames():
            dss.Circuit.SetActiveBus(bus)
            vm_pu, degree = dss.Bus.puVmagAngle()[:2]
            at[f"bus.{bus}"] = vm_pu * np.exp(1j * np.deg2rad(degree))
        rows.append([at[name] for name in names["opendss"]])
    return pd.DataFrame(rows, columns=names["id"])


def by_power_grid_model(folder: Path) -> pd.DataFrame:
    """Of the whole batch."""
    model = PowerGridModel(json_deserialize_from_file(folder / "input.json"))
    update = json_deserialize_from_file(folder / "update.json")
    solved = model.calculate_power_flow(update_data=update, error_tolerance=1e-10)["node"]
    names = _buses(folder)
    row = np.searchsorted(solved["id"][0], names["power_grid_model"].astype(int))
    vm_pu = solved["u_pu"][:, row] * np.exp(1j * solved["u_angle"][:, row])
    return pd.DataFrame(vm_pu, columns=names["id"])


def by_pypsa(folder: Path, *, seeded: bool = False) -> pd.DataFrame:
    """Of all snapshots."""
    network = pypsa.Network(str(folder / "network.nc"))
    if seeded:
        network.lpf()
    assert network.pf(x_tol=1e-9, use_seed=seeded).converged.all(axis=None)
    names = _buses(folder)
    return network.buses_t.v_mag_pu[names["pypsa"]].set_axis(names["id"], axis="columns")


def apart_pu(solved: pd.DataFrame, ours: pd.DataFrame) -> float:
    """Largest difference of a magnitude at any energised bus in any step; all of them are there."""
    assert set(solved.columns) == set(ours.columns[ours.notna().all()])
    assert len(solved) == len(ours)
    return float(np.abs(np.abs(solved.to_numpy()) - ours[solved.columns].to_numpy()).max())
