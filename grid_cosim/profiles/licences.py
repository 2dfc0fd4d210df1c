"""Terms of use of the carried data; results that rest on it repeat these lines."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SIMBENCH_LICENCE = (
    "Household load shapes: contains information from SimBench (https://simbench.net), (c) University of "
    "Kassel, TU Dortmund, RWTH Aachen University and Fraunhofer IEE, which is made available under the "
    "Open Database License (ODbL) 1.0, http://opendatacommons.org/licenses/odbl/1.0/."
)

DWD_LICENCE = (
    "Weather: Datenbasis: Deutscher Wetterdienst, Testreferenzjahre 2010 (TRY), Lufttemperatur und "
    "Sonnenbestrahlung ausgewählt, auf 2016 gestempelt, 29. Februar ergänzt; terms of use: GeoNutzV, "
    "https://www.dwd.de/copyright."
)

LICENCES: Mapping[str, str] = MappingProxyType({"simbench": SIMBENCH_LICENCE, "dwd_try": DWD_LICENCE})
"""Attribution lines by data set: what a report, a provenance file or a README has to say."""
