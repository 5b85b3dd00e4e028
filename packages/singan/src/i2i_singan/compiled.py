"""The second derivative of a norm with its activation, and running statistics, in Triton; imported only where it runs.

As in the core, images are channels-last, everything is computed in float32, and sums have a fixed order.
"""

# What Triton compiles is not typed.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from i2i.kernels.compiled import added_up, affine
from i2i.kernels.moments import SIZES, blocks, combining, table

_CHANNELS = 32  # whose running statistics a program moves


@triton.jit(do_not_specialize=SIZES)
def _parts(v, x, projected, known, parts, pixels, channels, each, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):
    """Sums of v, of v times x - mean, and of v times what was projected, over a part of the pixels."""
    part, image = tl.program_id(0), tl.program_id(2)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    end = tl.minimum((part + 1) * each, pixels)
    own = image.to(tl.int64) * pixels * channels
    mean = tl.load(known + image * channels + c, c < channels, 0.0)[None, :]
    total = tl.zeros((PIXELS, CHANNELS), tl.float32)
    along = tl.zeros((PIXELS, CHANNELS), tl.float32)
    both = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for offset in range(0, each, PIXELS):
        q = part * each + offset + tl.arange(0, PIXELS)
        inside = (q < end)[:, None] & (c < channels)[None, :]
        at = q[:, None] * channels + c[None, :]
        value = tl.load(v + own + at, inside, 0.0).to(tl.float32)
        total += value
        along += value * (tl.load(x + own + at, inside, 0.0).to(tl.float32) - mean)
        both += value * tl.load(projected + own + at, inside, 0.0).to(tl.float32)
    at = parts + (image * tl.num_programs(0) + part) * channels + c
    rows = tl.num_programs(2) * tl.num_programs(0) * channels
    tl.store(at, tl.sum(total, 0), c < channels)
    tl.store(at + rows, tl.sum(along, 0), c < channels)
    tl.store(at + 2 * rows, tl.sum(both, 0), c < channels)


@triton.jit(do_not_specialize=SIZES)
def _factors(
    parts, known, rows, steps, weight, factors, of_weight, pixels, channels, images, count,
    PARTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Rows of ``factors``: the two steps of the projection of v, then what x - mean, it and the other one count for."""
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    inside, own = c < channels, images * channels
    of_weights = tl.zeros((CHANNELS,), tl.float32)
    for image in range(images):
        total = added_up(parts, image, c, channels, count, PARTS)
        along = added_up(parts + own * count, image, c, channels, count, PARTS)
        both = added_up(parts + 2 * own * count, image, c, channels, count, PARTS)
        at = image * channels + c
        scale = tl.load(known + rows + at, inside, 0.0)
        inverse = tl.load(known + 3 * rows + at, inside, 0.0)
        share = inverse * inverse / pixels
        of_weights += both
        tl.store(factors + at, -scale * total / pixels, inside)
        tl.store(factors + own + at, -scale * share * along, inside)
        tl.store(factors + 2 * own + at, -share * both, inside)
        tl.store(factors + 3 * own + at, -share * tl.load(steps + 3 * own + at, inside, 0.0), inside)
        tl.store(factors + 4 * own + at, -share * along, inside)
    w = tl.load(weight + c, inside, 1.0).to(tl.float32)
    tl.store(of_weight + c, tl.where(w == 0, 0.0, of_weights / tl.where(w == 0, 1.0, w)), inside)


@triton.jit(do_not_specialize=SIZES)
def _gradients(
    v, x, projected, known, rows, factors, of_gradient, of_x, pixels, channels,
    SLOPE: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(2)
    own, table = image.to(tl.int64) * pixels * channels, tl.num_programs(2) * channels
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    q = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    inside = (q < pixels)[:, None] & (c < channels)[None, :]
    at = q[:, None] * channels + c[None, :]
    mean, scale, shift = affine(known, rows, image, c, channels)
    constant, factor, of_apart = affine(factors, table, image, c, channels)
    of_again = tl.load(factors + 3 * table + image * channels + c, c < channels, 0.0)[None, :]
    of_projected = tl.load(factors + 4 * table + image * channels + c, c < channels, 0.0)[None, :]
    apart = tl.load(x + own + at, inside, 0.0).to(tl.float32) - mean
    again = tl.load(v + own + at, inside, 0.0).to(tl.float32) * scale + constant + factor * apart
    other = tl.load(projected + own + at, inside, 0.0).to(tl.float32)
    tl.store(of_x + own + at, of_apart * apart + of_again * again + of_projected * other, inside)
    tl.store(of_gradient + own + at, tl.where(apart * scale + shift > 0, again, again * SLOPE), inside)


@triton.jit(do_not_specialize=SIZES)
def _move(known, means, variances, momentum, epsilon, pixels, images, channels, CHANNELS: tl.constexpr):
    """Image after image, as batches of one would."""
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    inside, own = c < channels, images * channels
    mean = tl.load(means + c, inside, 0.0).to(tl.float32)
    variance = tl.load(variances + c, inside, 0.0).to(tl.float32)
    for image in range(images):
        at = known + image * channels + c
        inverse = tl.load(at + 3 * own, inside, 1.0)
        unbiased = (1.0 / (inverse * inverse) - epsilon) * pixels / (pixels - 1)
        mean += momentum * (tl.load(at, inside, 0.0) - mean)
        variance += momentum * (unbiased - variance)
    tl.store(means + c, mean, inside)
    tl.store(variances + c, variance, inside)


def move_statistics(
    known: Tensor, means: Tensor, variances: Tensor, *, momentum: float, eps: float, pixels: int
) -> None:
    """Move running statistics ``(c,)`` towards those in ``known``, see `i2i_singan.kernels.move_statistics`."""
    _, images, c = known.shape
    grid = (triton.cdiv(c, _CHANNELS),)
    _move[grid](known, means, variances, momentum, eps, pixels, images, c, CHANNELS=_CHANNELS)


def slope_gradients(
    v: Tensor, x: Tensor, projected: Tensor, known: Tensor, steps: Tensor, weight: Tensor, leak: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the gradient, of ``x`` and of the weight, see `i2i_singan.kernels.slope`."""
    b, c, h, w = x.shape
    cut = blocks(b, h * w, c, smaller=2)  # three images are read at once
    tile = {"PIXELS": cut.pixels, "CHANNELS": cut.channels}
    parts, factors, of_weight = table(3, x, cut.parts), table(5, x), torch.empty_like(weight)
    of_gradient, of_x = torch.empty_like(x), torch.empty_like(x)
    across = triton.cdiv(c, cut.channels)
    _parts[cut.parts, across, b](v, x, projected, known, parts, h * w, c, cut.each, **tile)
    combine = combining(cut.parts)
    _factors[(triton.cdiv(c, combine["CHANNELS"]),)](
        parts, known, known.stride(0), steps, weight, factors, of_weight, h * w, c, b, cut.parts, **combine
    )
    _gradients[triton.cdiv(h * w, cut.pixels), across, b](
        v, x, projected, known, known.stride(0), factors, of_gradient, of_x, h * w, c, SLOPE=float(leak), **tile
    )
    return of_gradient, of_x, of_weight
