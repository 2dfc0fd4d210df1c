"""One file that rebuilds its policy: weights, network, features, recipe, versions. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from grid_cosim.devices import Device, Storing
from grid_cosim.devices.device import LEVEL_NAMES, TWO_WAY_NAMES
from grid_cosim.errors import GridCosimError, folder_instead, near_matches
from grid_cosim.policies.network import NetworkConfig, PriceMonotoneNetwork
from grid_cosim.policies.private import PrivateNetworks, device_parameters
from grid_cosim.policies.view import VIEW_NAMES

FORMAT = "grid_cosim policy 1"
_DESCRIBED = {"kind", "feature_names", "network", "recipe", "versions"}


class PolicyError(GridCosimError):
    """A policy file that cannot be used."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"policy {path}: {problem}. {remedy}")


class DeviceError(GridCosimError):
    """A device of one's own that no policy can be made for."""


@dataclass(frozen=True)
class Policy:
    """A trained response of one kind of device, with where it comes from."""

    kind: str
    feature_names: tuple[str, ...]
    network: PriceMonotoneNetwork | PrivateNetworks
    """Its rows are devices; any in any order, or with private networks one of each home in order."""
    recipe: dict[str, Any]
    versions: dict[str, str]
    sha256: str = ""
    """Of the file it was loaded from."""
    homes: tuple[str, ...] = ()
    """Names of the homes that have a private network each; none where one network serves everybody."""


def policy_features(device: Device) -> tuple[str, ...]:
    """Names of all that the policy of such a device sees; `DeviceError` where a store is told by half."""
    names = tuple(device.feature_names)
    tells = any(names[: len(begin)] == begin for begin in (LEVEL_NAMES, TWO_WAY_NAMES))
    if isinstance(device, Storing) != tells:
        raise DeviceError(
            f"{type(device).__name__} tells of its store by half: a device with the methods `levels` and "
            f"`surroundings` begins its feature_names with {', '.join(LEVEL_NAMES)}, and the other way "
            f"round; a store that gives back, with {', '.join(TWO_WAY_NAMES)}."
        )
    return (*device.feature_names, *VIEW_NAMES)


def save_policy(policy: Policy, path: Path) -> None:
    """Write the checkpoint whole or not at all."""
    described = {
        "format": FORMAT,
        "kind": policy.kind,
        "feature_names": list(policy.feature_names),
        "network": asdict(policy.network.config),
        "recipe": policy.recipe,
        "versions": policy.versions,
    }
    if policy.homes:
        described["homes"] = list(policy.homes)
    partial = path.with_name(path.name + ".partial")
    tensors = {name: t.detach().contiguous() for name, t in policy.network.state_dict().items()}
    save_file(tensors, partial, metadata={"grid_cosim": json.dumps(described, sort_keys=True)})
    partial.chmod(0o644)  # safetensors leaves files for their owner only
    partial.replace(path)


def load_policy(path: Path, *, kind: str, feature_names: tuple[str, ...]) -> Policy:
    """Rebuild a policy and make sure that it is one for this kind of device.

    Raises `PolicyError` for a missing file, a file of another format, and a policy that was trained for
    another kind or for other features.
    """
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        raise PolicyError(
            path,
            folder_instead(path),
            f"Train one with `grid-cosim train`, or correct the path.{near_matches(path.name, siblings)}",
        )
    metadata, tensors = read_tensors(path, remedy="Policies are written by `grid-cosim train`.")
    described = _described(metadata.get("grid_cosim", "{}"))
    _require_fit(path, described, kind=kind, feature_names=feature_names)
    homes = tuple(described.get("homes", ()))
    try:
        network = _network(described["network"], tensors, len(homes))
    except (KeyError, RuntimeError, TypeError) as error:
        raise PolicyError(
            path,
            f"weights do not fit ({str(error).splitlines()[-1].strip()})",
            "The file is damaged; retrain it.",
        ) from error
    if not all(weights.isfinite().all() for name, weights in tensors.items() if name != "device"):
        raise PolicyError(
            path, "some weights are not finite numbers", "Its training went astray; retrain it."
        )
    return Policy(
        kind=kind,
        feature_names=feature_names,
        network=network,
        recipe=described["recipe"],
        versions=described["versions"],
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        homes=homes,
    )


def _network(
    config: dict[str, Any], tensors: dict[str, torch.Tensor], n_homes: int
) -> PriceMonotoneNetwork | PrivateNetworks:
    network: PriceMonotoneNetwork | PrivateNetworks
    network = PriceMonotoneNetwork(NetworkConfig(**{**config, "hidden": tuple(config["hidden"])}))
    if n_homes:
        network = PrivateNetworks(network, torch.zeros(n_homes, *tensors["device"].shape[1:]))
    network.load_state_dict(tensors)
    return network.requires_grad_(False)


def of_homes(policy: Policy, homes: Sequence[str], device: Device, path: Path) -> Policy:
    """The policy with a row for the device of each home; one that serves everybody stays as it is.

    Raises `PolicyError`, about the file at `path`, for a home that has none, or now has another device.
    """
    if not isinstance(policy.network, PrivateNetworks):
        return policy
    remedy = "Train them for this scenario with `grid-cosim train RECIPE --homes SCENARIO`."
    row_of = {home: row for row, home in enumerate(policy.homes)}
    without = [home for home in homes if home not in row_of]
    if without:
        raise PolicyError(path, f"private policies, but none for {_some(without)}", remedy)
    network = policy.network.of_homes(torch.tensor([row_of[home] for home in homes]))
    known, now = network.device, device_parameters(device)
    if known.shape != now.shape:
        raise PolicyError(path, "trained for devices with other parameters", remedy)
    # single precision, and exp() of other machines
    same = torch.isclose(known, now, rtol=1e-5, equal_nan=True).all(1)
    changed = [home for home, is_same in zip(homes, same.tolist(), strict=True) if not is_same]
    if changed:
        raise PolicyError(path, f"trained for another device than that of {_some(changed)}", remedy)
    return replace(policy, network=network, homes=tuple(homes))


def _some(homes: Sequence[str]) -> str:
    """The first few names."""
    more = f" and {len(homes) - 3} more" if len(homes) > 3 else ""
    return ", ".join(homes[:3]) + more


def read_tensors(path: Path, *, remedy: str) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata and tensors of a safetensors file; `PolicyError` with the remedy where it is none."""
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise PolicyError(path, f"not a safetensors file ({error})", remedy) from error


def _require_fit(path: Path, described: dict[str, Any], *, kind: str, feature_names: tuple[str, ...]) -> None:
    """Raise `PolicyError` where the description is not that of a policy for this kind of device."""
    if described.get("format") != FORMAT:
        raise PolicyError(
            path,
            f"format is {described.get('format')!r}, expected {FORMAT!r}",
            "Train a policy with this version by `grid-cosim train`.",
        )
    missing = _DESCRIBED - described.keys()
    if missing:
        raise PolicyError(
            path,
            f"its description lacks {', '.join(sorted(missing))}",
            "The file is damaged; retrain it.",
        )
    if described["kind"] != kind:
        raise PolicyError(
            path,
            f"trained for {described['kind']!r}, but wanted for {kind!r}",
            f"Give a policy that was trained for {kind!r}.",
        )
    if tuple(described["feature_names"]) != feature_names:
        raise PolicyError(
            path,
            f"sees the features {described['feature_names']}, but the device shows {list(feature_names)}",
            "The device has changed since; retrain the policy.",
        )


def _described(text: str) -> dict[str, Any]:
    """What the file says of itself; nothing where that is not ours."""
    try:
        described = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return described if isinstance(described, dict) else {}


def versions() -> dict[str, str]:
    """What the weights depend on."""
    from importlib.metadata import version

    return {"grid_cosim": version("grid-cosim"), "torch": torch.__version__}
