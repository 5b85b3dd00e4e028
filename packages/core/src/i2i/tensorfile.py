"""Reading and writing safetensors files without ever trusting them.

The format is read and written here, not by the safetensors package, for three reasons: the writer streams one tensor
at a time into an open (temporary) file, a checksum of the data goes into the header, and the reader can say which
tensor of which file is wrong before any memory is taken.

References:
    https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from i2i.errors import ModelError

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}
NAMES: Mapping[torch.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}
_LONGEST_HEADER = 100_000_000  # the limit of the format itself


class Entry(NamedTuple):
    """What the header says about one tensor; ``begin`` and ``end`` are bytes counted from the end of the header."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def write_tensors(file: BinaryIO, tensors: Mapping[str, Tensor]) -> str:
    """Write ``tensors`` (any device, any strides) in safetensors format.

    Returns:
        The sha256 of the data, which is also noted in the header.

    Raises:
        KeyError: a dtype that the format does not know, see `NAMES`.
    """
    # Wide types first: then every tensor starts at a multiple of its own width.
    ordered = dict(sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])))
    digest = hashlib.sha256()
    file.write(_header(ordered, "0" * 64))
    for tensor in ordered.values():
        data = _bytes(tensor.detach().cpu().contiguous())
        digest.update(data)
        file.write(data)
    file.seek(0)
    file.write(_header(ordered, digest.hexdigest()))
    return digest.hexdigest()


def _header(tensors: Mapping[str, Tensor], digest: str) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", "sha256": digest}}
    begin = 0
    for name, tensor in tensors.items():
        end = begin + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


class TensorFile:
    """An open safetensors file whose header has been checked against the file.

    Attributes:
        path: the file.
        entries: what it holds, by name.
        digest: sha256 of the data as noted by `write_tensors`, or None in files of other writers.

    Raises:
        ModelError: the file is missing, truncated, no safetensors file, or its header does not agree with itself or
            with the size of the file. Nothing but the header has been read then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 (closed by __exit__)
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            self.entries, self.digest, self._start = _checked(path, self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self) -> dict[str, Tensor]:
        """Read all tensors into fresh CPU memory and compare them with the checksum.

        Raises:
            ModelError: the data are not those that were written.
        """
        digest = hashlib.sha256()
        tensors = {}
        self._file.seek(self._start)
        for name, entry in sorted(self.entries.items(), key=lambda item: item[1].begin):
            tensors[name] = torch.empty(entry.shape, dtype=entry.dtype)
            data = _bytes(tensors[name])
            if self._file.readinto(data) != len(data):  # type: ignore[attr-defined]
                raise ModelError(f"{self.path}: ends inside tensor {name}; the file was cut while it was read")
            digest.update(data)
        if self.digest not in (None, digest.hexdigest()):
            raise ModelError(
                f"{self.path}: the data do not match their checksum; the file is damaged, use another copy"
            )
        return tensors


def _checked(path: Path, file: BinaryIO) -> tuple[dict[str, Entry], str | None, int]:
    """Return the entries, the checksum and where the data start, or say what is wrong with the header."""
    size = file.seek(0, 2)
    file.seek(0)
    first = file.read(8)
    if kind := what_else(first):
        raise ModelError(f"{path}: is {kind}, not a safetensors file; it was not opened")
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise ModelError(f"{path}: truncated or no safetensors file (a header of {length} bytes in a file of {size})")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt safetensors header (no JSON)") from error
    if not isinstance(header, dict):
        raise ModelError(f"{path}: corrupt safetensors header (no table of tensors)")
    notes = header.pop("__metadata__", None)
    entries = {name: _entry(path, name, said) for name, said in header.items()}
    _tiles(path, entries, size - 8 - length)
    digest = notes.get("sha256") if isinstance(notes, dict) else None
    return entries, digest if isinstance(digest, str) else None, 8 + length


def _entry(path: Path, name: str, said: Any) -> Entry:
    """One tensor of the header: its numbers must agree with one another."""
    try:
        dtype, shape, (begin, end) = DTYPES[said["dtype"]], tuple(said["shape"]), said["data_offsets"]
        well_formed = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: tensor {name!r} has a corrupt header entry") from error
    if not well_formed or end - begin != math.prod(shape) * dtype.itemsize:
        raise ModelError(f"{path}: tensor {name!r} lies about its size (shape {said['shape']}, bytes {begin} to {end})")
    return Entry(dtype, shape, begin, end)


def _tiles(path: Path, entries: Mapping[str, Entry], size: int) -> None:
    """The tensors must cover the data exactly: no gap, no overlap, nothing beyond the end."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.end > size:
            raise ModelError(
                f"{path}: truncated: tensor {name!r} should end at byte {entry.end}, but there are {size} bytes of data"
            )
        if entry.begin != position:
            raise ModelError(f"{path}: tensor {name!r} starts at byte {entry.begin} instead of {position}")
        position = entry.end
    if position != size:
        raise ModelError(f"{path}: {size - position} bytes behind the last tensor; the file is damaged")


def what_else(first: bytes) -> str | None:
    """Say what a file is that begins with these bytes, where it is a pickle or an archive of pickles.

    Example:
        >>> what_else(b"PK" + bytes([3, 4]))
        'a zip archive (as torch.save writes; it may run code when opened)'
    """
    if first.startswith(b"PK\x03\x04"):
        return "a zip archive (as torch.save writes; it may run code when opened)"
    # A safetensors file begins with the length of its header, which may happen to begin with the same two bytes.
    if first[:1] == b"\x80" and first[1:2] <= b"\x05" and int.from_bytes(first[:8], "little") > _LONGEST_HEADER:
        return "a pickle (it may run code when opened)"
    return None
