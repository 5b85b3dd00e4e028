"""What is free, and when memory runs out: one line that says what needs less."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from i2i.errors import OutOfMemoryError

IN_TRAINING = "--recompute (also with --resume), --accumulate, --precision bf16, a smaller --batch-size or --crop-size"
IN_TRANSLATION = "--tile 512 or less, --precision bf16, a smaller --batch-size or --size"

_MEMINFO = Path("/proc/meminfo")
_SIGNS = re.compile(r"out of memory|can't allocate memory|cannot allocate memory|_ALLOC_FAILED", re.IGNORECASE)
_ASKED = re.compile(r"tried to allocate ([\d.]+) (bytes|[KMGT]iB)", re.IGNORECASE)


@contextmanager
def memory_suffices(remedies: str, where: Callable[[], str]) -> Iterator[None]:
    """Turn the errors of a device or host that has no memory left into one line; others pass.

    Args:
        remedies: what needs less: `IN_TRAINING` or `IN_TRANSLATION`.
        where: says what was being done, such as ``"batch 5 on cuda:0"``; asked for only then.

    Raises:
        OutOfMemoryError: memory ran out.

    Example:
        >>> with memory_suffices("--tile 512", lambda: "photo.jpg"):
        ...     raise MemoryError
        Traceback (most recent call last):
        ...
        i2i.errors.OutOfMemoryError: photo.jpg: out of memory; what needs less: --tile 512
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and _SIGNS.search(str(error)) is None:
            raise
        raise OutOfMemoryError(f"{where()}: out of memory{_asked(str(error))}; what needs less: {remedies}") from error


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that can still be taken on ``device``; None where that is unknown."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by our own allocator
        return int(torch.cuda.mem_get_info(device)[0] + unused)
    if device.type == "cpu" and _MEMINFO.is_file():
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", _MEMINFO.read_text(encoding="ascii"), re.MULTILINE)
        return None if found is None else int(found[1]) * 1024
    return None


def binary_size(size: float) -> str:
    """Say bytes in words.

    Example:
        >>> binary_size(3.14159 * 2**30), binary_size(200 * 2**20), binary_size(0)
        ('3.1 GiB', '200 MiB', '0.0 MiB')
    """
    number, unit = (size / 2**30, "GiB") if size >= 2**30 else (size / 2**20, "MiB")
    return f"{number:.1f} {unit}" if number < 100 else f"{number:.0f} {unit}"


def _asked(message: str) -> str:
    found = _ASKED.search(message)
    if found is None:
        return ""
    number, unit = found[1], found[2]
    return f", asked for {binary_size(int(number)) if unit == 'bytes' else f'{number} {unit}'} more"
