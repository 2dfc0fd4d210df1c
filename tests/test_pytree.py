"""States as files: what comes back is what went in, and nothing that was not asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from grid_cosim import pytree
from grid_cosim.errors import StateError


class Device(NamedTuple):
    stored_kwh: Any
    known: int


@dataclass(frozen=True)
class Memory:
    price: Any
    told: Any = None


def again(state: Any, path: Path) -> Any:
    pytree.save(path / "state.npz", state)
    return pytree.load(path / "state.npz", pytree.types_in(state))


@pytest.mark.parametrize(
    "leaf", [None, True, False, 3, -(2**60), "λ", 0.1, -0.0, float("nan"), float("-inf"), 5e-324]
)
def test_numbers_and_words(leaf: Any, tmp_path: Path) -> None:
    back = again(leaf, tmp_path)
    assert type(back) is type(leaf)
    assert repr(back) == repr(leaf)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool", "datetime64[ms]"])
def test_arrays_bit_by_bit(dtype: str, tmp_path: Path) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    if dtype.startswith("float"):
        array[0, 0], array[1, 1] = np.nan, -0.0
    back = again({"array": array, "scalar": array[0, 1], "empty": array[:0]}, tmp_path)
    assert back["array"].dtype == back["scalar"].dtype == array.dtype
    assert back["array"].tobytes() == array.tobytes()
    assert back["array"].flags.writeable
    assert back["empty"].shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
def test_tensors_stay_tensors(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.tensor([[0, 1, 1]]).to(dtype)
    back = again((tensor, tensor[0, 1], tensor.T), tmp_path)
    assert [part.dtype for part in back] == [dtype] * 3
    assert torch.equal(back[2], tensor.T)


def test_what_is_made_of_them(tmp_path: Path) -> None:
    state = Memory((Device(torch.ones(2), 1), Device(np.zeros(1), 2)), {"a": [1.5, None], "b": ()})
    back = again(state, tmp_path)
    assert type(back) is Memory
    assert [type(part) for part in back.price] == [Device, Device]
    assert (back.price[0].known, back.told) == (1, {"a": [1.5, None], "b": ()})
    assert type(back.told["b"]) is tuple


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": (1, print)}, "state.a.1: is a builtin_function_or_method, which is neither array nor number"),
        ({"a": np.array(["H1"], dtype=object)}, "state.a: is an array of object"),
        ({1: 2}, "state: is a dict"),
        ({"a": {2, 3}}, "state.a: is a set"),
        (Memory(1j), "state.price: is a complex"),
    ],
)
def test_what_is_no_state_is_refused(state: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(StateError, match=message):
        pytree.save(tmp_path / "state.npz", state)


def test_only_classes_that_are_expected_are_made(tmp_path: Path) -> None:
    pytree.save(tmp_path / "state.npz", Device(1.0, 2))
    with pytest.raises(StateError, match=r"there is no .*Device in the state of this run"):
        pytree.load(tmp_path / "state.npz", pytree.types_in(Memory(1)))


def test_a_file_that_is_no_state_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    with pytest.raises(StateError, match=r"state\.npz: cannot be read \(FileNotFoundError"):
        pytree.load(path, {})
    path.write_bytes(b"PK not really")
    with pytest.raises(StateError, match=r"state\.npz: cannot be read"):
        pytree.load(path, {})
    structure = np.frombuffer(json.dumps({"code": "import os"}).encode(), dtype=np.uint8)
    np.savez(path, structure=structure)
    with pytest.raises(StateError, match=r"\['code'\] is nothing that a state is made of"):
        pytree.load(path, {})
    np.savez(path, structure=np.array([print], dtype=object))  # what pickle would run
    with pytest.raises(StateError, match=r"cannot be read \(.*\)\. Run it anew, without --resume\."):
        pytree.load(path, {})
