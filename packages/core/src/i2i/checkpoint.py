"""Checkpoints: any State as tensors in safetensors and the rest in JSON, written so that no crash can tear one.

A checkpoint is a folder ``RUN/checkpoints/step-N`` with ``tensors.safetensors`` and ``state.json``. No pickle, ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i.errors import CompositionError, ModelError
from i2i.files import fsync_folder, remove_folder, write_file, writing
from i2i.tensorfile import NAMES, TensorFile, write_tensors
from i2i.tree import tree_map

TENSORS = "tensors.safetensors"
STATE = "state.json"
_STEP = re.compile(r"step-(\d+)")


def snapshot(state: Any) -> Any:
    """Replace every object that has a ``state_dict()`` by its ``state_dict()``; containers keep their shape.

    Tensors are not copied: write the result before the state moves on.

    Example:
        >>> snapshot({"norm": torch.nn.BatchNorm2d(1, affine=False), "batches": 3})["norm"]["running_mean"]
        tensor([0.])
    """
    return tree_map(lambda leaf: snapshot(leaf.state_dict()) if hasattr(leaf, "state_dict") else leaf, state)


def write_tree(folder: Path, tree: Any) -> None:
    """Write ``tree`` to ``folder``, which is made if needed.

    Args:
        folder: gets ``tensors.safetensors`` and ``state.json``.
        tree: leaves are tensors, bool, int, float, str and None; containers are tuples (a NamedTuple comes back as a
            plain tuple), lists, and mappings with keys of these kinds. Floats survive bit for bit. A tensor that occurs
            more than once (the same view of the same storage) is written once and comes back as one object.

    Raises:
        CompositionError: a leaf of another kind; the message says where it is.
        OSError: the disk is full, ...
    """
    tensors: dict[str, Tensor] = {}
    coded = _encode(tree, "state", tensors, {})
    text = json.dumps(coded)
    digests: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / TENSORS, lambda file: digests.append(write_tensors(file, tensors)))
    state = {"format": 1, "tensors_sha256": digests[0], "tree_sha256": _digest(text), "tree": coded}
    write_file(folder / STATE, lambda file: file.write(json.dumps(state).encode()))


def read_tree(folder: Path) -> Any:
    """Read what `write_tree` wrote; tensors come back on the CPU.

    Raises:
        ModelError: a file is missing, truncated or damaged, or the two do not belong together.
    """
    path = Path(folder) / STATE
    try:
        state = json.loads(path.read_bytes())
        coded, digest = state["tree"], state["tensors_sha256"]
        sound = _digest(json.dumps(coded)) == state["tree_sha256"]
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); this is no complete checkpoint") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: damaged (no checkpoint of i2i); use another checkpoint") from error
    if not sound:
        raise ModelError(f"{path}: does not match its checksum; the file is damaged, use another checkpoint")
    with TensorFile(path.with_name(TENSORS)) as file:
        if file.digest != digest:
            raise ModelError(f"{file.path}: does not belong to {STATE} beside it; use another checkpoint")
        tensors = file.read()
    try:
        return _decode(coded, tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is of a format that this version of i2i does not know ({error})") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _encode(value: Any, place: str, tensors: dict[str, Tensor], known: dict[Any, str]) -> Any:
    """Turn a tree to JSON; tensors go to ``tensors``, under numbers, and leave their number."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        # repr, which JSON uses, is exact for finite numbers only.
        finite = value - value == 0
        return float(value) if finite else {"float": struct.pack(">d", value).hex()}
    if isinstance(value, Tensor):
        return {"tensor": _name(value, place, tensors, known)}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(item, f"{place}/{i}", tensors, known) for i, item in enumerate(value)]}
    if isinstance(value, Mapping):
        keys = [_encode(key, f"a key of {place}", tensors, known) for key in value]
        values = [_encode(item, f"{place}/{key}", tensors, known) for key, item in value.items()]
        return {"dict": [list(pair) for pair in zip(keys, values, strict=True)]}
    raise CompositionError(
        f"{place} is a {type(value).__name__}, which no checkpoint can hold; keep tensors, numbers, strings, "
        "or objects with state_dict() there"
    )


def _name(tensor: Tensor, place: str, tensors: dict[str, Tensor], known: dict[Any, str]) -> str:
    if tensor.dtype not in NAMES or tensor.layout != torch.strided:
        raise CompositionError(f"{place} is a tensor of {tensor.dtype}, {tensor.layout}, which no checkpoint can hold")
    name = known.setdefault(_view(tensor), str(len(tensors)))
    tensors.setdefault(name, tensor)
    return name


def _view(tensor: Tensor) -> Any:
    """A key that is equal for equal views of one storage; tensors without memory are only equal to themselves."""
    if tensor.numel() == 0:
        return id(tensor)
    where = (tensor.device, tensor.untyped_storage().data_ptr(), tensor.storage_offset())
    return (*where, tensor.shape, tensor.stride(), tensor.dtype, tensor.is_conj())


def _decode(coded: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(coded, dict):
        return coded
    ((kind, value),) = coded.items()
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(value))[0]
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {_decode(key, tensors): _decode(item, tensors) for key, item in value}
    if kind in ("tuple", "list"):
        items = [_decode(item, tensors) for item in value]
        return tuple(items) if kind == "tuple" else items
    raise ValueError(f"unknown kind {kind!r}")


def save_checkpoint(run_folder: Path, batches: int, tree: Any) -> Path:
    """Write ``RUN/checkpoints/step-N``; at any moment a crash leaves every earlier checkpoint and this one or none.

    Args:
        run_folder: the run.
        batches: ``N``, batches done.
        tree: see `write_tree`.

    Returns:
        The folder of the checkpoint.

    Raises:
        RunError: it cannot be written (disk full, ...); says which checkpoint is intact.
        CompositionError: ``tree`` holds what no checkpoint can hold.
    """
    folder = Path(run_folder) / "checkpoints"
    final, new = folder / f"step-{batches}", folder / f".step-{batches}.new"
    before = latest(run_folder)
    intact = "there is no earlier checkpoint" if before is None else f"the checkpoint {before[1]} is intact"
    with writing(final, f"{intact}; make room, then go on with --resume"):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        try:
            write_tree(new, tree)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        if final.exists():
            os.rename(final, folder / f".step-{batches}.old")
        os.rename(new, final)
        fsync_folder(folder)
        _sweep(folder)
    return final


def _sweep(folder: Path) -> None:
    """Remove what killed writes and removals left; put back a checkpoint that was about to be replaced."""
    for left in folder.glob(".step-*"):
        name = left.name[1:].removesuffix(".old")
        if left.suffix == ".old" and not (folder / name).exists():
            os.rename(left, folder / name)
        else:
            shutil.rmtree(left)


def _checkpoints(run_folder: Path) -> dict[int, Path]:
    folder = Path(run_folder) / "checkpoints"
    found = {}
    for path in sorted(folder.glob(".step-*.old")) + sorted(folder.glob("step-*")):
        # A hidden ".old" counts only where a kill fell between the two renames that replace it.
        match = _STEP.fullmatch(path.name.removeprefix(".").removesuffix(".old"))
        if match and path.is_dir():
            found[int(match[1])] = path
    return found


def latest(run_folder: Path) -> tuple[int, Path] | None:
    """Return the newest checkpoint of a run and the batches it was written after, or None."""
    return max(_checkpoints(run_folder).items(), default=None)


def load_checkpoint(path: Path) -> Any:
    """Read a checkpoint that `latest` found.

    Raises:
        ModelError: a file of it is missing, truncated or damaged.
    """
    return read_tree(path)


def prune(run_folder: Path, keep_last: int, keep_every: int | None = None, kept: Collection[int] = ()) -> None:
    """Remove checkpoints, except the newest ones and those at regular distances.

    Args:
        run_folder: the run.
        keep_last: how many of the newest stay, at least 1.
        keep_every: those after a multiple of so many batches stay too; None: no others.
        kept: those after these numbers of batches stay too.
    """
    found = sorted(_checkpoints(run_folder).items())
    for batches, path in found[: -max(keep_last, 1)]:
        if (keep_every is None or batches % keep_every) and batches not in kept:
            remove_folder(path)


def rng_state(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the state of the global random generators: torch on the CPU and on ``device``, and Python's own."""
    device = torch.device(device)
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"torch": torch.get_rng_state(), "cuda": cuda, "python": random.getstate()}


def restore_rng(state: Mapping[str, Any], device: torch.device | str = "cuda") -> None:
    """Set the random generators to what `rng_state` returned; that of the GPU ``device`` only where there is one."""
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    if state["cuda"] is not None and torch.device(device).type == "cuda" and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"], device)
