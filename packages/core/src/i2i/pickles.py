"""Files of ``torch.save``, read without running anything in them.

Only tensors, numbers, strings, lists and mappings of these come out; whole modules as the tensors in them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i.errors import ModelError

_BLANKS = b"\xef\xbb\xbf \t\r\n"  # and the mark that some editors put in front of text
_AGAIN = "download or copy it again"
# What is often found under the name of a checkpoint, by the first bytes (blanks left out).
_OTHERS = (
    (b"<", f"is a web page, as a failed download leaves; {_AGAIN}"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself; fetch it with git lfs pull"),
    (b"\x89PNG", "is a PNG image, not a checkpoint"),
    (b"\xff\xd8\xff", "is a JPEG image, not a checkpoint"),
    (b"\x1f\x8b", "is a gzip archive; unpack it and name the checkpoint in it"),
)
_SAVE_WEIGHTS = "where it was made, save net.state_dict() instead"
_MOST_MODULES = 10_000  # of one net; a damaged file may hold modules that hold themselves


class PickledModule:
    """Stands in for a module of other code: holds what was saved of it, and can do nothing; see `module_weights`."""


def module_weights(module: object) -> dict[str, Tensor]:
    """Return parameters and buffers of a module by name, as its ``state_dict()`` would.

    Args:
        module: a `PickledModule` of `read_list`.

    Raises:
        ModelError: it is something else, or what it holds is not what modules are made of.

    Example:
        >>> module = PickledModule()
        >>> vars(module).update(_parameters={"weight": torch.ones(2)}, _buffers={}, _modules={})
        >>> module_weights(module)
        {'weight': tensor([1., 1.])}
    """
    found: dict[str, Tensor] = {}
    waiting = [("", module)]
    for _ in range(_MOST_MODULES):
        if not waiting:
            return found
        prefix, module = waiting.pop()
        parameters, buffers, inside = _tables(module, prefix)
        own = {f"{prefix}{name}": value for name, value in (*parameters.items(), *buffers.items())}
        found |= {name: value for name, value in own.items() if isinstance(value, Tensor)}
        waiting += [(f"{prefix}{name}.", value) for name, value in inside.items() if value is not None]
    raise ModelError("holds modules without end; the file is damaged")


def _tables(module: object, prefix: str) -> list[Mapping[str, Any]]:
    held = vars(module) if isinstance(module, PickledModule) else {}
    tables = [held.get(name) for name in ("_parameters", "_buffers", "_modules")]
    if not all(isinstance(table, Mapping) for table in tables):
        raise ModelError(f"{prefix.rstrip('.') or 'it'} is no module, but {type(module).__name__}")
    return tables  # type: ignore[return-value]


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """Read a file of ``torch.save``, new (zip) or old, that holds a mapping, such as a state_dict.

    Returns:
        What it holds: tensors (on the CPU), numbers, strings, lists and mappings of these.

    Raises:
        ModelError: no such file, another kind of file, a damaged one, or one that would have to be trusted.
    """
    found = _read(Path(path))
    if not isinstance(found, Mapping):
        raise ModelError(f"{path}: holds a {type(found).__name__}, not weights by name; save net.state_dict() instead")
    return found


def read_list(path: str | Path, *, modules: Sequence[str] = ()) -> list[Any]:
    """Read a file of ``torch.save``, new (zip) or old, that holds a list.

    Args:
        path: the file.
        modules: full names of classes, such as ``"torch.nn.modules.conv.Conv2d"``, of which a new (zip) file may hold
            objects; each becomes a `PickledModule`, and no class is imported.

    Returns:
        What it holds; see `read_checkpoint`.

    Raises:
        ModelError: see `read_checkpoint`; or it holds no list.
    """
    found = _read(Path(path), modules)
    if not isinstance(found, list):
        raise ModelError(f"{path}: holds a {type(found).__name__}, not a list")
    return found


def _read(path: Path, modules: Sequence[str] = ()) -> Any:
    _check_kind(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(PickledModule, name) for name in modules]):
            warnings.simplefilter("ignore")  # what matters of them is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the reader raise almost anything
        raise ModelError(f"{path}: {_reason(str(error))}") from error


def _check_kind(path: Path) -> None:
    if path.is_dir():
        inside = sorted(found.name for found in path.glob("*.pth"))
        raise ModelError(f"{path} is a folder; name files in it{f', such as {path / inside[0]}' if inside else ''}")
    try:
        with open(path, "rb") as file:
            first = file.read(64)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    if not first:
        raise ModelError(f"{path}: is empty; {_AGAIN}")
    for start, words in _OTHERS:
        if first.lstrip(_BLANKS).startswith(start):
            raise ModelError(f"{path}: {words}")
    if first[8:9] == b"{":
        raise ModelError(f"{path}: is a safetensors file; this reads what torch.save wrote (.pth, .pt)")


def _reason(said: str) -> str:
    """Say in our words why torch does not read a file."""
    if "TorchScript" in said:
        return f"is a TorchScript program; {_SAVE_WEIGHTS}"
    if "legacy .tar format" in said:
        return "is in the tar format of PyTorch 0.1; read it with an old PyTorch and save its state_dict() again"
    if "Only persistent_load of storage" in said:
        return f"holds whole modules in the old format of PyTorch and was not opened; {_SAVE_WEIGHTS}"
    if code := re.search(r"GLOBAL ([\w.]+)", said):
        return (
            f"holds more than weights ({code[1]}), which could run code when opened, and was not opened; "
            f"{_SAVE_WEIGHTS}"
        )
    return f"is no checkpoint, or cut off or damaged; {_AGAIN}"
