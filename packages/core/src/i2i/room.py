"""Is there room for an image: asked before a pass, for a host without memory left ends the process without a word."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from i2i.errors import OutOfMemoryError
from i2i.passes import device_of, extent
from i2i.pixels import Depth, PixelFormat, formats_of
from i2i.policy import Policy, Precision
from i2i.shortage import binary_size, free_memory
from i2i.tiles import usable_tile

_SMALL = 2_000_000  # pixels; fewer are not counted
# Convolutions of a CPU copy what they read and write to another layout: 1.75 to 2.3 times what is counted was seen.
_ON_CPU = 1.75
_TILES = (2048, 1024, 512)


class Room:
    """Compares what passes of a net need with what is free: once for each size, and large ones only.

    A net that cannot be counted and a device that does not say what is free are let through.

    Args:
        net: a generator; it stays as it is, like the random numbers.
        precision: of the passes.
        tile: the side of tiles, None for one pass over whole images.
    """

    def __init__(self, net: nn.Module, precision: Precision = "fp32", tile: int | None = None) -> None:
        self._net, self._policy, self._tile = net, Policy(precision=precision), tile
        self._device = device_of(net, torch.empty(0))
        self._checked: set[tuple[int, ...]] = set()

    def check_reading(self, size: tuple[int, int], depth: Depth, reads: PixelFormat, *, resized: bool) -> None:
        """Check that the host holds one image: as it is read, and as numbers if it is not made smaller before.

        Args:
            size: ``(width, height)``.
            depth: bits per channel of the file.
            reads: what the image is read as.
            resized: its size will be changed.

        Raises:
            OutOfMemoryError: it does not.
        """
        width, height = size
        if width * height <= _SMALL:
            return
        needed = width * height * reads.channels * (depth // 8 + (0 if resized else 4))
        free = free_memory(torch.device("cpu"))
        if free is not None and needed > free:
            raise OutOfMemoryError(
                f"{width}x{height} pixels need {binary_size(needed)} to be read, but {binary_size(free)} are free; "
                "cut the image into smaller ones"
            )

    def check(self, shape: Sequence[int], name: str = "") -> None:
        """Check that the pass, or the tiles, over images fit into what is free.

        Args:
            shape: of the images, ``(b, c, h, w)``.
            name: how the message begins.

        Raises:
            OutOfMemoryError: they do not; the message names what needs less.
        """
        number, channels, height, width = shape
        if tuple(shape) in self._checked or number * height * width <= _SMALL:
            return
        self._checked.add((number, channels, height, width))
        free = free_memory(self._device)
        needed = None if free is None else self._needed(shape, self._tile)
        if free is None or needed is None or needed <= free:
            return
        many = f"{number} x " if number > 1 else ""
        way = "one pass" if self._tile is None else f"tiles of {self._tile}"
        raise OutOfMemoryError(
            f"{name}{many}{width}x{height} pixels need about {binary_size(needed)} in {way}, but {binary_size(free)} "
            f"are free on {self._device}; what needs less: {', '.join(self._remedies(shape, free))}"
        )

    def _needed(self, shape: Sequence[int], tile: int | None) -> int | None:
        """Return the bytes that a pass, or tiles, take at most; None if they cannot be counted."""
        from i2i.memory import pass_bytes

        number, channels, height, width = shape
        factor, around = (_ON_CPU if self._device.type == "cpu" else 1.0), 0
        try:
            rows, columns = (extent(side, self._net).whole for side in (height, width))
            if tile is not None and max(rows, columns) > (side := usable_tile(self._net, tile)):
                if self._device.type == "cpu":  # the images and the whole result
                    around = 4 * number * rows * columns * (channels + formats_of(self._net)[1].channels)
                rows, columns = min(rows, side), min(columns, side)
            return round(factor * pass_bytes(self._net, (number, channels, rows, columns), self._policy)) + around
        except Exception:  # a net may do anything that needs values, which there are none here
            return None

    def _remedies(self, shape: Sequence[int], free: int) -> list[str]:
        """Say the largest tile that fits, unless the net runs as in training, and what else there is."""
        before = max(shape[-2:]) if self._tile is None else self._tile
        found = []
        if not self._net.training and before > _TILES[-1]:
            smaller = [tile for tile in _TILES if tile < before]
            fitting = (tile for tile in smaller if (needed := self._needed(shape, tile)) and needed <= free)
            found.append(f"--tile {next(fitting, f'{_TILES[-1]} or less')}")
        elif not self._net.training:
            found.append("a smaller --tile")
        return [*found, *(["--batch-size 1"] if shape[0] > 1 else []), "a smaller --size"]
