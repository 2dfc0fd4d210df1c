"""A mosaik simulator of somebody else: it always says the same."""

from __future__ import annotations

from typing import Any

import mosaik_api_v3

META = {
    "api_version": "3.0",
    "type": "time-based",
    "models": {
        "Constant": {"public": True, "params": ["p_mw", "q_mvar"], "attrs": ["P[MW]", "Q[MVar]"]},
        "Listener": {"public": True, "params": [], "attrs": [], "any_inputs": True},
    },
    "extra_methods": ["heard"],
}


class Constant(mosaik_api_v3.Simulator):
    """Also listens, and keeps what it heard last."""

    def __init__(self) -> None:
        super().__init__(META)
        self._values: dict[str, dict[str, float]] = {}
        self._heard: dict[str, dict[str, float]] = {}

    def create(self, num: int, model: str, p_mw: float = 0.0, q_mvar: float = 0.0) -> list[dict[str, Any]]:
        first = len(self._values)
        made = [f"{model}-{first + i}" for i in range(num)]
        self._values |= {eid: {"P[MW]": p_mw, "Q[MVar]": q_mvar} for eid in made}
        return [{"eid": eid, "type": model} for eid in made]

    def step(self, time: int, inputs: dict[str, Any], max_advance: int) -> int:
        for attributes in inputs.values():
            for attribute, sources in attributes.items():
                for source, value in sources.items():
                    self._heard.setdefault(source.partition(".")[2], {})[attribute] = value
        return time + 900

    def get_data(self, outputs: dict[str, list[str]]) -> dict[str, dict[str, float]]:
        return {eid: {name: self._values[eid][name] for name in names} for eid, names in outputs.items()}

    def heard(self) -> dict[str, dict[str, float]]:
        return self._heard
