"""How the work on images is cut, and their moments, in Triton; imported only where it runs.

Images are channels-last in memory: pixels one after the other, the channels of each side by side. A program works on a
tile of some pixels by some channels. Everything is computed in float32, whatever an image holds; nothing is added up by
atomic operations, so equal inputs give equal results.
"""

# What Triton compiles is not typed.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

#: numbers in a tile: 32 for each of 128 threads, of bf16 four loads of 16 bytes
TILE = 4096
#: pixels of a tile at most: few channels would take more registers than there are
HIGHEST = 256
#: programs over which a sum is spread, about four for each multiprocessor of a large device
PROGRAMS = 512
#: of a thread at most, where sums are taken: four programs then fit on a multiprocessor, and none waits for another
REGISTERS = 128
#: parts of a sum at most: the second stage reads all of them at once
PARTS = 512
#: the same, of small images
FEW_PARTS = 64
#: channels for which a program of the second stage adds up parts
COMBINED = 8
#: arguments that a kernel is not compiled anew for: channels alone say how wide loads can be
SIZES = ("pixels", "height", "width", "each", "count", "images")


class Blocks(NamedTuple):
    """How the work on images is cut.

    Attributes:
        pixels: of a tile.
        channels: of a tile.
        parts: over which the sum over an image is spread.
        each: pixels of a part.
    """

    pixels: int
    channels: int
    parts: int
    each: int


def blocks(images: int, pixels: int, channels: int, *, smaller: int = 1) -> Blocks:
    """Return how work is cut: few images of few channels are cut finer, so that they still fill a device.

    Args:
        images: how many.
        pixels: of each.
        channels: of each.
        smaller: how many times smaller tiles are, where much is read for each pixel.
    """
    wide = min(64, triton.next_power_of_2(channels))
    high = min(TILE // smaller // wide, HIGHEST)
    tiles = triton.cdiv(pixels, high)
    parts = min(triton.cdiv(PROGRAMS, images * triton.cdiv(channels, wide)), PARTS, tiles)
    each = triton.cdiv(tiles, parts) * high
    return Blocks(high, wide, triton.cdiv(pixels, each), each)


@triton.jit(do_not_specialize=SIZES)
def _moment_parts(x, parts, pixels, channels, each, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):
    """Mean, and squares about it, of a part of the pixels: parts[0 or 1, image, part, c]."""
    part, image = tl.program_id(0), tl.program_id(2)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    start = part * each
    end = tl.minimum(start + each, pixels)
    p = start + tl.arange(0, PIXELS)
    x += image.to(tl.int64) * pixels * channels
    # Sums are about the mean of the first tile: what is lost to rounding then is at most in proportion to the tiles.
    inside = (p < end)[:, None] & (c < channels)[None, :]
    value = tl.load(x + p[:, None] * channels + c[None, :], inside, 0.0).to(tl.float32)
    pivot = tl.sum(value, 0) / tl.minimum(end - start, PIXELS).to(tl.float32)
    total = tl.where(inside, value - pivot[None, :], 0.0)
    squares = total * total
    for offset in range(PIXELS, each, PIXELS):
        q = p + offset
        inside = (q < end)[:, None] & (c < channels)[None, :]
        value = tl.load(x + q[:, None] * channels + c[None, :], inside, 0.0).to(tl.float32)
        apart = tl.where(inside, value - pivot[None, :], 0.0)
        total += apart
        squares += apart * apart
    moved = tl.sum(total, 0) / (end - start).to(tl.float32)
    squared = tl.sum(squares, 0) - tl.sum(total, 0) * moved
    at = (image * tl.num_programs(0) + part) * channels + c
    tl.store(parts + at, pivot + moved, c < channels)
    tl.store(parts + tl.num_programs(2) * tl.num_programs(0) * channels + at, squared, c < channels)


@triton.jit
def combined(parts, image, images, c, pixels, channels, count, each, PARTS: tl.constexpr):
    """Mean and squares about it of an image, from those of its parts (Chan et al.)."""
    part = tl.arange(0, PARTS)
    inside = (part < count)[:, None] & (c < channels)[None, :]
    at = (image * count + part)[:, None] * channels + c[None, :]
    means = tl.load(parts + at, inside, 0.0)
    squares = tl.load(parts + images * count * channels + at, inside, 0.0)
    numbers = tl.where(part < count, tl.minimum(each, pixels - part * each), 0).to(tl.float32)[:, None]
    mean = tl.sum(numbers * means, 0) / pixels
    apart = tl.where(inside, means - mean[None, :], 0.0)
    return mean, tl.sum(squares + numbers * apart * apart, 0)


@triton.jit(do_not_specialize=SIZES)
def _moments(parts, found, pixels, channels, count, each, PARTS: tl.constexpr, CHANNELS: tl.constexpr):
    image, images = tl.program_id(1), tl.num_programs(1)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    mean, squares = combined(parts, image, images, c, pixels, channels, count, each, PARTS)
    at = image * channels + c
    tl.store(found + at, mean, c < channels)
    tl.store(found + images * channels + at, squares, c < channels)


class Parts(NamedTuple):
    """Sums over parts of each image.

    Attributes:
        sums: ``(2, b, parts, c)``, float32.
        each: pixels of a part; the last one may have fewer.
    """

    sums: Tensor
    each: int


def table(rows: int, x: Tensor, *between: int) -> Tensor:
    """Return a new table ``(rows, b, *between, c)`` in float32 for images ``x (b, c, h, w)``; it is not filled."""
    return torch.empty((rows, len(x), *between, x.shape[1]), dtype=torch.float32, device=x.device)


def combining(count: int) -> dict[str, int]:
    """Return how a kernel that adds up ``count`` parts is launched: its sizes at compile time."""
    return {"PARTS": FEW_PARTS if count <= FEW_PARTS else PARTS, "CHANNELS": COMBINED}


def moment_parts(x: Tensor) -> Parts:
    b, c, h, w = x.shape
    cut = blocks(b, h * w, c)
    sums = table(2, x, cut.parts)
    grid = (cut.parts, triton.cdiv(c, cut.channels), b)
    _moment_parts[grid](x, sums, h * w, c, cut.each, PIXELS=cut.pixels, CHANNELS=cut.channels)
    return Parts(sums, cut.each)


def moments(x: Tensor) -> Tensor:
    """Return mean, and sum of squares about it, of each channel of each image: ``(2, b, c)`` in float32."""
    b, c, h, w = x.shape
    parts, found = moment_parts(x), table(2, x)
    count = parts.sums.shape[2]
    _moments[triton.cdiv(c, COMBINED), b](parts.sums, found, h * w, c, count, parts.each, **combining(count))
    return found
