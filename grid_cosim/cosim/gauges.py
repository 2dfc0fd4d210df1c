"""GaugeSim: reads a grid's transformers off the voltages at both their ends.

For a grid of another simulator that has buses and no transformers, so that limits have something to meter.
Runs in-process or, with `python -m grid_cosim.cosim.gauges HOST:PORT`, as a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mosaik_api_v3
import numpy as np

from grid_cosim.cosim import clock
from grid_cosim.cosim.meta import meta
from grid_cosim.errors import CosimError

if TYPE_CHECKING:
    from pathlib import Path

    from grid_cosim.feeder import Feeder
    from grid_cosim.feeder.trafo_flows import TrafoFlows
    from grid_cosim.scenario import Scenario

_GAUGES = "Gauges"
_VM = ("Vm_hv[pu]", "Vm_lv[pu]")
_VA = ("Va_hv[deg]", "Va_lv[deg]")


class GaugeSim(mosaik_api_v3.Simulator):  # type: ignore[misc]  # mosaik's types are not checked here
    """Transformers as a grid's voltages show them."""

    def __init__(self) -> None:
        super().__init__(meta("GaugeSim"))
        self._feeder: Feeder
        self._flows: TrafoFlows
        self._step_size = 0
        self._row: dict[str, int] = {}
        self._values: dict[str, list[float]] = {}

    def init(
        self,
        sid: str,
        time_resolution: float = 1.0,
        *,
        scenario: Scenario | Path | str | None = None,
        overrides: Sequence[str] = (),
        feeder: Feeder | None = None,
        step_size: int | None = None,
    ) -> dict[str, Any]:
        """Take the transformers from a scenario or, in-process, from a feeder; 15 minutes without one."""
        self._step_size = clock.units(0.25, time_resolution) if step_size is None else step_size
        if scenario is not None:
            from grid_cosim.assembly import scenario_feeder
            from grid_cosim.cosim.sources import read_scenario

            read = read_scenario(scenario, overrides)
            feeder = scenario_feeder(read) if feeder is None else feeder
            if step_size is None:
                self._step_size = clock.units(read.time.dt_h, time_resolution)
        if feeder is None:
            raise CosimError("GaugeSim", "started without a network", remedy="Give it `feeder` or `scenario`")
        self._feeder = feeder
        return dict(self.meta)

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create the one `Gauges`, with a `TrafoGauge` for every transformer as its children."""
        if num != 1 or self._row:
            raise CosimError("GaugeSim", "a second Gauges", remedy="Start one simulator for each")
        from grid_cosim.feeder.equations import NotRepresentableError
        from grid_cosim.feeder.trafo_flows import TrafoFlows

        try:
            self._flows = TrafoFlows.of(self._feeder)
        except NotRepresentableError as error:
            raise CosimError(
                "GaugeSim",
                f"the voltages of {self._feeder.source} do not tell what its transformers carry: {error}",
                remedy="Use FeederSim, which solves such networks, too",
            ) from error
        self._row = {f"Trafo-{index}": row for row, index in enumerate(self._flows.index.tolist())}
        children = [
            {"type": "TrafoGauge", "eid": eid, "extra_info": {"hv": f"Bus-{hv}", "lv": f"Bus-{lv}"}}
            for eid, (hv, lv) in zip(self._row, self._flows.bus.tolist(), strict=True)
        ]
        return [{"type": model, "eid": _GAUGES, "children": children}]

    def step(self, time: int, inputs: Mapping[str, Any], max_advance: int) -> int:
        """From the voltages to what flows; NaN where one is not known."""
        vm_pu, va_degree = (self._read(inputs, attributes) for attributes in (_VM, _VA))
        power_mva = self._flows.power_mva(vm_pu, va_degree)
        self._values = {
            "P[MW]": power_mva[:, 0].real.tolist(),
            "Q[MVar]": power_mva[:, 0].imag.tolist(),
            "loading[%]": self._flows.loading_percent(power_mva, vm_pu).tolist(),
        }
        return time + self._step_size

    def get_data(self, outputs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """The values that are asked for."""
        return {
            eid: {name: self._values[name][self._row[eid]] for name in names}
            for eid, names in outputs.items()
        }

    def _read(self, inputs: Mapping[str, Any], attributes: tuple[str, str]) -> np.ndarray:
        values = np.full((len(self._row), len(attributes)), np.nan)
        for eid, given in inputs.items():
            for side, attribute in enumerate(attributes):
                known = [value for value in given.get(attribute, {}).values() if value is not None]
                if len(known) > 1:
                    raise CosimError(
                        "GaugeSim",
                        f"{attribute} of {eid} comes from {len(known)} sources",
                        remedy="Connect the bus that `extra_info` names, and no other",
                    )
                if known:
                    values[self._row[eid], side] = float(known[0])
        return values


def main() -> None:
    """Run as a process that mosaik starts or connects to."""
    mosaik_api_v3.start_simulation(GaugeSim(), __doc__ or "", configure_logging=False)


if __name__ == "__main__":
    main()
