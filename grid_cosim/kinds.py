"""What a scenario can choose by name, for those who only check names: imports no torch and no networkx."""

from __future__ import annotations

from typing import Literal

from grid_cosim.errors import near_matches

GraphKind = Literal["complete", "line", "ring", "random_regular", "small_world", "cables", "edges"]

DEVICE_KINDS = (
    "electric_vehicle",
    "heat_pump",
    "deferrable",
    "water_heater",
    "battery",
    "pv",
    "v2g_vehicle",
)


def no_such_device(device: str) -> str:
    """What is wrong with a name that is neither a shipped kind nor a class; nothing where it may be one."""
    if device in DEVICE_KINDS or ":" in device:
        return ""
    return (
        f"{device!r} is no device.{near_matches(device, DEVICE_KINDS)} Known: {', '.join(DEVICE_KINDS)}; "
        "or package.module:Population for your own."
    )
