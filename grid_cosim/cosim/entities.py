"""The entities of a feeder: ids and `extra_info` as mosaik-pandapower-2 has them, and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from grid_cosim.feeder import Feeder
    from grid_cosim.feeder.elements import Elements
    from grid_cosim.feeder.switching import Switch


def grid_children(
    feeder: Feeder, switches: Sequence[Switch], elements: dict[str, Elements]
) -> list[dict[str, Any]]:
    """Buses, lines, transformers, switches in the order of the feeder's tables, then `elements` by model."""
    buses = [
        _entity("Bus", bus.Index, bus.name, [], {"nominal voltage [kV]": float(bus.vn_kv)})
        for bus in feeder.buses.itertuples()
    ]
    lines = [
        _entity("Line", line.Index, line.name, [line.from_bus, line.to_bus], {})
        for line in feeder.lines.itertuples()
    ]
    trafos = [
        _entity(
            "Trafo",
            trafo.Index,
            trafo.name,
            [trafo.hv_bus, trafo.lv_bus],
            {"rated power [kVA]": float(trafo.rated_kva)},
        )
        for trafo in feeder.trafos.itertuples()
    ]
    phases = (
        []
        if feeder.home_phase is None
        else [
            {
                "type": "Phase",
                "eid": name,
                "rel": [name.rpartition("-")[0]],
                "extra_info": {"name": name, "rated power [kVA]": float(kva)},
            }
            for name, kva in zip(feeder.limits.names, feeder.limits.rated_kva, strict=True)
        ]
    )
    of_switches = [
        _entity(
            "Switch", switch.index, switch.name, [switch.bus], {"bus": switch.bus, "element": switch.element}
        )
        for switch in switches
    ]
    children = [*buses, *lines, *trafos, *phases, *of_switches]
    for model, table in elements.items():
        is_home = np.isin(table.index, feeder.home_load).tolist() if model == "Load" else None
        for row, (index, bus) in enumerate(zip(table.index.tolist(), table.bus.tolist(), strict=True)):
            info: dict[str, Any] = {"bus": bus}
            if table.profile is not None:
                info["profile"] = table.profile[row]
            if is_home is not None:
                info["home"] = is_home[row]
            children.append(_entity(model, index, table.names[row], [bus], info))
    return children


def _entity(model: str, index: Any, name: Any, buses: list[Any], info: dict[str, Any]) -> dict[str, Any]:
    eid = f"{model}-{index}"
    return {
        "type": model,
        "eid": eid,
        "rel": [f"Bus-{bus}" for bus in buses],
        "extra_info": {"name": str(name or eid), "index": int(index), **info},
    }
