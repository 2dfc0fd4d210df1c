from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from grid_cosim.policies.checkpoint import (
    FORMAT,
    DeviceError,
    Policy,
    PolicyError,
    load_policy,
    policy_features,
    save_policy,
)
from grid_cosim.policies.network import NetworkConfig, PriceMonotoneNetwork
from tests.devices.episode import drawn
from tests.devices.toy import PoolPump, PoolPumpPopulation

FEATURES = ("hungry", "thirsty")


def some_policy() -> Policy:
    torch.manual_seed(0)
    network = PriceMonotoneNetwork(NetworkConfig(n_features=2, hidden=(5, 4), n_ramps=3))
    return Policy("toy", FEATURES, network, {"seed": 1}, {"torch": "0"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "toy.safetensors"
    save_policy(some_policy(), path)
    return path


def refused(path: Path, kind: str = "toy", features: tuple[str, ...] = FEATURES) -> str:
    with pytest.raises(PolicyError) as refusal:
        load_policy(path, kind=kind, feature_names=features)
    message = str(refusal.value)
    assert message.startswith(f"policy {path}: ")
    return message.removeprefix(f"policy {path}: ")


def test_a_policy_comes_back_as_it_was(path: Path) -> None:
    before, after = some_policy(), load_policy(path, kind="toy", feature_names=FEATURES)
    features, prices = torch.randn(6, 2), torch.rand(6)
    assert torch.equal(before.network(features).fraction(prices), after.network(features).fraction(prices))
    assert after.network.config == before.network.config
    assert (after.recipe, after.versions) == (before.recipe, before.versions)
    assert len(after.sha256) == 64
    assert not any(weights.requires_grad for weights in after.network.parameters())


def test_the_file_holds_numbers_and_text_only(path: Path) -> None:
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])  # safetensors: a JSON header, then plain numbers
    assert json.loads(header["__metadata__"]["grid_cosim"])["format"] == FORMAT
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # and nothing half-written beside it


def test_a_changed_weight_changes_the_hash(path: Path) -> None:
    first = load_policy(path, kind="toy", feature_names=FEATURES)
    other = some_policy()
    with torch.no_grad():
        next(other.network.parameters()).add_(1e-3)
    save_policy(other, path)
    assert load_policy(path, kind="toy", feature_names=FEATURES).sha256 != first.sha256


def test_another_kind_is_refused(path: Path) -> None:
    assert refused(path, kind="heat_pump") == (
        "trained for 'toy', but wanted for 'heat_pump'. Give a policy that was trained for 'heat_pump'."
    )


def test_other_features_are_refused(path: Path) -> None:
    assert refused(path, features=("hungry",)) == (
        "sees the features ['hungry', 'thirsty'], but the device shows ['hungry']. "
        "The device has changed since; retrain the policy."
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path / "nowhere.safetensors")
    assert message == "no such file. Train one with `grid-cosim train`, or correct the path."


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    for name, content in (
        ("a.safetensors", b"hello"),
        ("empty.safetensors", b""),
        ("p.pkl", b"\x80\x04." * 50),
    ):
        (tmp_path / name).write_bytes(content)
        message = refused(tmp_path / name)
        assert message.startswith("not a safetensors file (")
        assert message.endswith("Policies are written by `grid-cosim train`.")


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    assert refused(tmp_path / "foreign.safetensors") == (
        f"format is None, expected {FORMAT!r}. Train a policy with this version by `grid-cosim train`."
    )


def test_damaged_weights_are_refused(path: Path) -> None:
    header = {"grid_cosim": json.dumps(_described(path))}
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file({k: v for k, v in tensors.items() if k != name}, path, metadata=header)
    assert refused(path).startswith("weights do not fit (")
    save_file({**tensors, name: tensors[name] * torch.nan}, path, metadata=header)
    assert refused(path) == "some weights are not finite numbers. Its training went astray; retrain it."


def test_an_unknown_setting_of_the_network_is_refused(path: Path) -> None:
    described = _described(path)
    described["network"] = {"n_features": 2, "hidden": [5, 4], "n_ramps": 3, "shape": "round"}
    save_file(load_file(path), path, metadata={"grid_cosim": json.dumps(described)})
    assert refused(path).startswith("weights do not fit (")


def _described(path: Path) -> dict[str, object]:
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    described: dict[str, object] = json.loads(header["__metadata__"]["grid_cosim"])
    return described


def test_hidden_layers_survive(tmp_path: Path) -> None:
    policy = some_policy()
    network = PriceMonotoneNetwork(NetworkConfig(n_features=2, hidden=()))
    save_policy(replace(policy, network=network), tmp_path / "linear.safetensors")
    again = load_policy(tmp_path / "linear.safetensors", kind="toy", feature_names=FEATURES)
    assert again.network.config.hidden == ()


def test_half_a_store_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pump, _ = drawn(PoolPumpPopulation(), n=2)
    monkeypatch.setattr(PoolPump, "feature_names", property(lambda self: ("level_least", "level_most", "x")))
    with pytest.raises(DeviceError, match="begins its feature_names with level_least, level_most"):
        policy_features(pump)
