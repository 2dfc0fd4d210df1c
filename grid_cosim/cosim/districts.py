"""DistrictSim: some of the households of a scenario, whose agents agree with those of other districts.

Their messages are mosaik's: `told` goes to the `heard` of the others, within a group and over a weak
connection where it goes back, all at the same time of the simulation. Runs in-process or, with
`python -m grid_cosim.cosim.districts HOST:PORT`, as a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import mosaik_api_v3

from grid_cosim.cosim.clock import units
from grid_cosim.cosim.households import HouseholdSim, households_of
from grid_cosim.cosim.meta import meta
from grid_cosim.cosim.rendezvous import Mail, Rendezvous
from grid_cosim.errors import CosimError

if TYPE_CHECKING:
    from pathlib import Path

    from grid_cosim.neighbourhood import Neighbourhood
    from grid_cosim.scenario import Scenario

_NEIGHBOURHOOD = "Neighbourhood-0"


class DistrictSim(mosaik_api_v3.Simulator):  # type: ignore[misc]  # mosaik's types are not checked here
    """A `HouseholdSim` of one district, whose step waits wherever it needs what other districts say.

    `remote` where it runs as a process of its own: what it sends must then be JSON.
    """

    def __init__(self, *, remote: bool = False) -> None:
        super().__init__(meta("DistrictSim"))
        self._homes = HouseholdSim(remote=remote)
        self._post: Rendezvous
        self._elsewhere: list[str] = []
        self._step_size = 0
        self._time = -1
        self._told: Mail = {}

    def init(
        self,
        sid: str,
        time_resolution: float = 1.0,
        *,
        scenario: Scenario | Path | str | None = None,
        controller: str | None = None,
        overrides: Sequence[str] = (),
        neighbourhood: Neighbourhood | None = None,
        district: int = 0,
        districts: int | Sequence[Sequence[str]] = 2,
    ) -> dict[str, Any]:
        """Take one district out of the neighbourhood of a scenario or, in-process, of one ready-made.

        `districts` says how many there are, equal parts in the order of the homes, or lists the homes of each
        by name; all simulators must be given the same. A limit's meter stands in the district of its first
        home. Raises `CosimError` where the agents need more than messages between neighbours.
        """
        from grid_cosim.parting import district_of_copies, district_of_homes, part

        whole = (
            households_of("DistrictSim", scenario, controller, overrides)
            if neighbourhood is None
            else neighbourhood
        )
        self._step_size = units(whole.fleet.dt_h, time_resolution)
        of_homes = district_of_homes(whole.household_names, districts)
        if not 0 <= district <= of_homes.max():
            raise CosimError(
                "DistrictSim",
                f"there is no district {district}",
                remedy=f"Give `district` from 0 to {of_homes.max()}",
            )
        of_copies = district_of_copies(whole, of_homes)
        of_meters = of_copies[whole.copies.is_meter]
        self._post = Rendezvous(of_copies, district)
        self._elsewhere = [
            name for name, of in zip(whole.limit_names, of_meters, strict=True) if of != district
        ]
        self._homes.init(sid, time_resolution, neighbourhood=part(whole, of_homes, district, self._post))
        return dict(self.meta)

    def create(self, num: int, model: str) -> list[dict[str, Any]]:
        """Create the one `Neighbourhood`, with its households and the limits whose meters stand here."""
        entities = self._homes.create(num, model)
        for entity in entities:
            entity["children"] = [
                child
                for child in entity["children"]
                if child["type"] != "Limit" or child["extra_info"]["name"] not in self._elsewhere
            ]
        return entities

    def step(self, time: int, inputs: Mapping[str, Any], max_advance: int) -> int | None:
        """Begin a control step, or go on with what other districts have said in this one."""
        told = inputs.get(_NEIGHBOURHOOD, {})
        # mosaik may bring them with the first step already, from who has begun before
        for mail in told.get("heard", {}).values():
            self._post.hear(mail or {})
        if time != self._time:
            if self._post.busy:
                raise CosimError(
                    "DistrictSim",
                    f"at {time} it still waits for what others have to say about {self._time}",
                    remedy="Connect `told` of each district to `heard` of all others, to earlier ones "
                    "weakly; start all with the same scenario and `districts`",
                )
            self._time = time
            known = dict(inputs) | {_NEIGHBOURHOOD: self._with_those_elsewhere(told)}
            self._told = self._post.begin(lambda: self._homes.step(time, known, max_advance))
            return time + self._step_size
        self._told = self._post.go_on()
        return None

    def get_data(self, outputs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """Messages as long as there are some, and everything else once all have agreed."""
        data: dict[str, dict[str, Any]] = {}
        if not self._post.busy:
            without = {eid: [name for name in names if name != "told"] for eid, names in outputs.items()}
            data = self._homes.get_data(without)
        if self._told and "told" in outputs.get(_NEIGHBOURHOOD, ()):
            data.setdefault(_NEIGHBOURHOOD, {})["told"] = self._told
        return data

    def finalize(self) -> None:
        """Nobody answers any more."""
        self._post.abandon()

    def _with_those_elsewhere(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What is told with measurements at the meters elsewhere: that they were made, and nothing more.

        Homes count their change from the last measurement, so they must know of it.
        """
        converged = told.get("converged", {}).values()
        if not self._elsewhere or not any(converged):
            return dict(told)
        n = len(self._elsewhere)
        made = {"limit": self._elsewhere, "P[MW]": [0.0] * n, "loading[%]": [0.0] * n, "Vm[pu]": [1.0] * n}
        return dict(told) | {"measured": dict(told.get("measured", {})) | {"elsewhere": made}}


def main() -> None:
    """Run as a process that mosaik starts or connects to."""
    mosaik_api_v3.start_simulation(DistrictSim(remote=True), __doc__ or "", configure_logging=False)


if __name__ == "__main__":
    main()
