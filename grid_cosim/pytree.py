"""States as files: nested tuples, mappings and dataclasses of arrays, tensors and numbers, without pickle.

A file is NumPy's `.npz`: every array and tensor as it is, and the structure around them as JSON. What comes
back equals what went in bit for bit, with the same types.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grid_cosim.errors import StateError

Types = Mapping[str, type]
"""Name in the file → the class that it stands for."""
_STRUCTURE = "structure"
_KINDS = frozenset("biufcM")
"""Of arrays: booleans, numbers, times. Names as objects are no state."""


def types_in(*states: Any) -> dict[str, type]:
    """The dataclasses and named tuples that occur in these states: what a file may hold of the same kind."""
    found: dict[str, type] = {}
    for state in states:
        found |= dict(_types(state))
    return found


def save(path: Path, state: Any) -> None:
    """Write a state. Raises `StateError` for what is neither array nor number nor made of such."""
    arrays: dict[str, np.ndarray] = {}
    structure = json.dumps(_encoded(state, arrays, "state"), allow_nan=False)
    arrays[_STRUCTURE] = np.frombuffer(structure.encode("utf-8"), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # a name may be that of an option, ours are not


def load(path: Path, types: Types) -> Any:
    """Read a state; of classes only these `types`. Raises `StateError` for a file that is something else."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        structure = json.loads(arrays[_STRUCTURE].tobytes().decode("utf-8"))
        return _decoded(structure, arrays, types)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise StateError(
            str(path),
            f"cannot be read ({type(error).__name__}: {error})",
            remedy="Run it anew, without --resume",
        ) from error


def _types(state: Any) -> Iterable[tuple[str, type]]:
    if _is_record(state):
        yield name(type(state)), type(state)
    for _, part in _parts(state):
        yield from _types(part)


def _is_record(state: Any) -> bool:
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        return True
    return isinstance(state, tuple) and hasattr(state, "_fields")


def _parts(state: Any) -> Iterable[tuple[str, Any]]:
    """Names of the parts of a record, mapping, tuple or list, and the parts."""
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        return [(of.name, getattr(state, of.name)) for of in dataclasses.fields(state) if of.init]
    if isinstance(state, tuple) and _is_record(state):
        return list(zip(type(state)._fields, state, strict=True))  # type: ignore[attr-defined]
    if isinstance(state, Mapping):
        return [(str(key), part) for key, part in state.items()]
    if isinstance(state, tuple | list):
        return [(str(row), part) for row, part in enumerate(state)]
    return []


def name(of: type) -> str:
    """Of a class, as it stands in a file."""
    return f"{of.__module__}:{of.__qualname__}"


def _encoded(state: Any, arrays: dict[str, np.ndarray], where: str) -> Any:
    """The state in JSON, what is an array beside it."""
    if isinstance(state, np.generic) and not isinstance(state, str):
        return {"scalar": _put(np.asarray(state), arrays, where)}
    if state is None or isinstance(state, bool | int | str):
        return state
    if isinstance(state, float):
        return {"float": state.hex()}
    if _is_tensor(state):
        return {"tensor": _put(state.detach().cpu().numpy(), arrays, where)}
    if isinstance(state, np.ndarray):
        return {"array": _put(state, arrays, where)}
    parts = [(name, _encoded(part, arrays, f"{where}.{name}")) for name, part in _parts(state)]
    if _is_record(state):
        return {"record": name(type(state)), "parts": dict(parts)}
    if isinstance(state, Mapping) and all(isinstance(key, str) for key in state):
        return {"mapping": dict(parts)}
    if type(state) in (tuple, list):
        return {type(state).__name__: [part for _, part in parts]}
    raise StateError(
        where, f"is a {type(state).__name__}, which is neither array nor number nor made of such"
    )


def _put(array: np.ndarray, arrays: dict[str, np.ndarray], where: str) -> str:
    if array.dtype.kind not in _KINDS:
        raise StateError(where, f"is an array of {array.dtype}, which is neither number nor time")
    key = f"a{len(arrays)}"
    arrays[key] = array
    return key


def _is_tensor(state: Any) -> bool:
    torch = sys.modules.get("torch")  # who has a tensor has loaded it; nobody else needs to wait for it
    return torch is not None and isinstance(state, torch.Tensor)


def _decoded(node: Any, arrays: Mapping[str, np.ndarray], types: Types) -> Any:
    if not isinstance(node, dict):
        return node
    match node:
        case {"float": str() as text}:
            return float.fromhex(text)
        case {"tensor": str() as key}:
            import torch

            return torch.from_numpy(arrays[key])
        case {"array": str() as key}:
            return arrays[key]
        case {"scalar": str() as key}:
            return arrays[key][()]
        case {"record": str() as of, "parts": dict() as parts}:
            if of not in types:
                raise ValueError(f"there is no {of} in the state of this run")
            return types[of](**{key: _decoded(part, arrays, types) for key, part in parts.items()})
        case {"mapping": dict() as parts}:
            return {key: _decoded(part, arrays, types) for key, part in parts.items()}
        case {"tuple": list() as items}:
            return tuple(_decoded(item, arrays, types) for item in items)
        case {"list": list() as items}:
            return [_decoded(item, arrays, types) for item in items]
    raise ValueError(f"{sorted(node)} is nothing that a state is made of")
