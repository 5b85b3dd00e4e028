"""Norms, what follows them, and their gradients, in Triton; imported only where they run.

As in `i2i.kernels.moments`, images are channels-last in memory and everything is computed in float32. ``known`` and
``steps`` are tables ``(rows, b, c)``, see `i2i.kernels.norm.Norm`.
"""

# What Triton compiles is not typed.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from i2i.kernels.epilogue import Epilogue
from i2i.kernels.moments import COMBINED, REGISTERS, SIZES, Blocks, blocks, combined, combining, moment_parts, table


@triton.jit(do_not_specialize=SIZES)
def _instance_known(
    parts, weight, bias, known, epsilon, pixels, channels, count, each, PARTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Mean, scale, shift and the inverse of the standard deviation."""
    image, images = tl.program_id(1), tl.num_programs(1)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    mean, squares = combined(parts, image, images, c, pixels, channels, count, each, PARTS)
    inverse = 1.0 / tl.sqrt(squares / pixels + epsilon)
    scale, shift = inverse, tl.zeros_like(inverse)
    if weight is not None:
        scale *= tl.load(weight + c, c < channels, 0.0).to(tl.float32)
    if bias is not None:
        shift = tl.load(bias + c, c < channels, 0.0).to(tl.float32)
    rows = images * channels
    at = known + image * channels + c
    tl.store(at, mean, c < channels)
    tl.store(at + rows, scale, c < channels)
    tl.store(at + 2 * rows, shift, c < channels)
    tl.store(at + 3 * rows, inverse, c < channels)


@triton.jit
def _reflected(index, size):
    """Where a pixel of a padded image comes from, along one side."""
    return size - 1 - tl.abs(size - 1 - tl.abs(index))


@triton.jit
def affine(known, rows, image, c, channels):
    """Load mean, scale and shift of a tile, ``(1, CHANNELS)`` each."""
    at = known + image * channels + c[None, :]
    inside = (c < channels)[None, :]
    return tl.load(at, inside, 0.0), tl.load(at + rows, inside, 0.0), tl.load(at + 2 * rows, inside, 0.0)


@triton.jit(do_not_specialize=SIZES)
def _apply(
    x, known, residual, y, height, width, channels, rows, residual_image, residual_row, residual_column,
    SLOPE: tl.constexpr, PAD: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Each pixel of the result finds the one that it is made of."""
    image = tl.program_id(2)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    q = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    across, down = width + 2 * PAD, height + 2 * PAD
    row, column = q // across - PAD, q % across - PAD
    if PAD:
        row, column = _reflected(row, height), _reflected(column, width)
    inside = (q < across * down)[:, None] & (c < channels)[None, :]
    mean, scale, shift = affine(known, rows, image, c, channels)
    x += image.to(tl.int64) * height * width * channels
    value = tl.load(x + (row * width + column)[:, None] * channels + c[None, :], inside, 0.0).to(tl.float32)
    z = (value - mean) * scale + shift
    if residual is not None:
        residual += image.to(tl.int64) * residual_image
        at = (row * residual_row + column * residual_column)[:, None] + c[None, :]
        z += tl.load(residual + at, inside, 0.0).to(tl.float32)
    if SLOPE != 1.0:
        z = tl.where(z > 0, z, z * SLOPE)
    y += image.to(tl.int64) * down * across * channels
    tl.store(y + q[:, None] * channels + c[None, :], z, inside)


@triton.jit
def _origin(index, size, which: tl.constexpr, PAD: tl.constexpr):
    """One of the three places along a side where a padded image may hold a pixel, and whether it does."""
    place, there = index + PAD, index >= 0
    if which == 1:
        place, there = PAD - index, (index >= 1) & (index <= PAD)
    if which == 2:
        place, there = 2 * (size - 1) - index + PAD, (index <= size - 2) & (index >= size - 1 - PAD)
    return place, there


@triton.jit
def _copied(gradient, row, column, c, inside, height, width, channels, which: tl.constexpr, PAD: tl.constexpr):
    """Load the gradients of one of the nine places to which pixels were copied, 0 for those that were not."""
    y, down = _origin(row, height, which // 3, PAD)
    x, right = _origin(column, width, which % 3, PAD)
    at = (y * (width + 2 * PAD) + x)[:, None] * channels + c[None, :]
    return tl.load(gradient + at, inside & (down & right)[:, None], 0.0).to(tl.float32)


@triton.jit
def _folded(
    gradient, start, row, column, c, inside, height, width, channels, PAD: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Add up the gradients of all places to which a pixel was copied."""
    at = ((row + PAD) * (width + 2 * PAD) + column + PAD)[:, None] * channels + c[None, :]
    total = tl.load(gradient + at, inside, 0.0).to(tl.float32)
    if PAD:
        for which in tl.static_range(1, 3):
            total += _copied(gradient, row, column, c, inside, height, width, channels, which, PAD)
        # Few tiles have rows that are copied.
        if (start // width <= PAD) | ((start + PIXELS - 1) // width >= height - 1 - PAD):
            for which in tl.static_range(3, 9):
                total += _copied(gradient, row, column, c, inside, height, width, channels, which, PAD)
    return total


@triton.jit
def before_activation(
    gradient, x, known, rows, residual, image, start, c, inside, height, width, channels, residual_image, residual_row,
    residual_column, SLOPE: tl.constexpr, PAD: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Return the gradient before padding and activation, ``x`` about its mean, and the scale."""
    q = start + tl.arange(0, PIXELS)
    row, column = q // width, q % width
    gradient += image.to(tl.int64) * (height + 2 * PAD) * (width + 2 * PAD) * channels
    g = _folded(gradient, start, row, column, c, inside, height, width, channels, PAD, PIXELS)
    mean, scale, shift = affine(known, rows, image, c, channels)
    x += image.to(tl.int64) * height * width * channels
    apart = tl.load(x + q[:, None] * channels + c[None, :], inside, 0.0).to(tl.float32) - mean
    if SLOPE != 1.0:
        z = apart * scale + shift
        if residual is not None:
            residual += image.to(tl.int64) * residual_image
            at = (row * residual_row + column * residual_column)[:, None] + c[None, :]
            z += tl.load(residual + at, inside, 0.0).to(tl.float32)
        g = tl.where(z > 0, g, g * SLOPE)
    return g, apart, scale


@triton.jit(do_not_specialize=SIZES)
def _gradient_parts(
    gradient, x, known, residual, parts, height, width, channels, rows, residual_image, residual_row, residual_column,
    each, SLOPE: tl.constexpr, PAD: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sums, over a part of the pixels, of gradients before the activation, and of these times ``x`` about its mean."""
    part, image = tl.program_id(0), tl.program_id(2)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    end = tl.minimum((part + 1) * each, height * width)
    total = tl.zeros((PIXELS, CHANNELS), tl.float32)
    along = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for offset in range(0, each, PIXELS):
        start = part * each + offset
        inside = (start + tl.arange(0, PIXELS) < end)[:, None] & (c < channels)[None, :]
        g, apart, _ = before_activation(
            gradient, x, known, rows, residual, image, start, c, inside, height, width, channels, residual_image,
            residual_row, residual_column, SLOPE, PAD, PIXELS,
        )  # fmt: skip
        total += g
        along += g * apart
    at = (image * tl.num_programs(0) + part) * channels + c
    tl.store(parts + at, tl.sum(total, 0), c < channels)
    tl.store(parts + tl.num_programs(2) * tl.num_programs(0) * channels + at, tl.sum(along, 0), c < channels)


@triton.jit
def added_up(parts, image, c, channels, count, PARTS: tl.constexpr):
    """Add up the parts of a sum."""
    part = tl.arange(0, PARTS)
    at = (image * count + part)[:, None] * channels + c[None, :]
    return tl.sum(tl.load(parts + at, (part < count)[:, None] & (c < channels)[None, :], 0.0), 0)


@triton.jit(do_not_specialize=SIZES)
def _instance_steps(
    parts, known, steps, of_weight, of_bias, pixels, channels, images, rows, count,
    PARTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Rows of ``steps`` and gradients of the weights; image after image, so that the order of sums is fixed."""
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    of_weights = tl.zeros((CHANNELS,), tl.float32)
    of_biases = tl.zeros((CHANNELS,), tl.float32)
    for image in range(images):
        total = added_up(parts, image, c, channels, count, PARTS)
        along = added_up(parts + images * count * channels, image, c, channels, count, PARTS)
        at = image * channels + c
        scale = tl.load(known + rows + at, c < channels, 0.0)
        inverse = tl.load(known + 3 * rows + at, c < channels, 0.0)
        of_weights += along * inverse
        of_biases += total
        own = images * channels
        tl.store(steps + at, -scale * total / pixels, c < channels)
        tl.store(steps + own + at, -scale * inverse * inverse * along / pixels, c < channels)
        tl.store(steps + 2 * own + at, total, c < channels)
        tl.store(steps + 3 * own + at, along, c < channels)
    if of_weight is not None:
        tl.store(of_weight + c, of_weights, c < channels)
    if of_bias is not None:
        tl.store(of_bias + c, of_biases, c < channels)


@triton.jit(do_not_specialize=SIZES)
def _input_gradient(
    gradient, x, known, steps, residual, of_x, of_residual, height, width, channels, rows, residual_image,
    residual_row, residual_column, SLOPE: tl.constexpr, PAD: tl.constexpr, PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    image, images = tl.program_id(2), tl.num_programs(2)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    start = tl.program_id(0) * PIXELS
    q = start + tl.arange(0, PIXELS)
    inside = (q < height * width)[:, None] & (c < channels)[None, :]
    g, apart, scale = before_activation(
        gradient, x, known, rows, residual, image, start, c, inside, height, width, channels, residual_image,
        residual_row, residual_column, SLOPE, PAD, PIXELS,
    )  # fmt: skip
    own = image.to(tl.int64) * height * width * channels
    at = q[:, None] * channels + c[None, :]
    if of_x is not None:
        constant = tl.load(steps + image * channels + c, c < channels, 0.0)[None, :]
        factor = tl.load(steps + (images + image) * channels + c, c < channels, 0.0)[None, :]
        tl.store(of_x + own + at, g * scale + constant + factor * apart, inside)
    if of_residual is not None:
        tl.store(of_residual + own + at, g, inside)


# What calls them. All tensors are on one device, the current one; x and gradients are channels-last.


def instance_known(x: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float) -> Tensor:
    """Return mean, scale, shift and inverse standard deviation: ``(4, b, c)``."""
    b, c, h, w = x.shape
    parts, known = moment_parts(x), table(4, x)
    count = parts.sums.shape[2]
    grid = (triton.cdiv(c, COMBINED), b)
    _instance_known[grid](
        parts.sums, weight, bias, known, epsilon, h * w, c, count, parts.each, **combining(count)
    )  # fmt: skip
    return known


def apply(x: Tensor, known: Tensor, epilogue: Epilogue) -> Tensor:
    """Return ``(x - mean) * scale + shift``, and what the epilogue makes of it."""
    (b, c, h, w), pad = x.shape, epilogue.pad
    down, across = h + 2 * pad, w + 2 * pad
    y = torch.empty((b, c, down, across), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    cut = blocks(b, down * across, c)
    grid = (triton.cdiv(down * across, cut.pixels), triton.cdiv(c, cut.channels), b)
    _apply[grid](
        x, known, epilogue.residual, y, h, w, c, known.stride(0), *_strides(epilogue.residual),
        **_constants(epilogue, cut),
    )  # fmt: skip
    return y


def gradient_parts(gradient: Tensor, x: Tensor, known: Tensor, epilogue: Epilogue) -> Tensor:
    """Return sums over parts ``(2, b, parts, c)``: of the gradient before the activation, and of it times x - mean."""
    b, c, h, w = x.shape
    cut = _blocks_of_gradient(x, epilogue)
    sums = table(2, x, cut.parts)
    grid = (cut.parts, triton.cdiv(c, cut.channels), b)
    _gradient_parts[grid](
        gradient, x, known, epilogue.residual, sums, h, w, c, known.stride(0), *_strides(epilogue.residual), cut.each,
        **_constants(epilogue, cut), maxnreg=REGISTERS,
    )  # fmt: skip
    return sums


def instance_steps(
    sums: Tensor, x: Tensor, known: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the steps of an instance norm, ``(4, b, c)``, and the gradients of its weight and bias.

    The last two rows are the sums: of the gradient before the activation, and of it times x - mean.
    """
    b, c, h, w = x.shape
    steps, count = table(4, x), sums.shape[2]
    of_weight, of_bias = (None if p is None else torch.empty_like(p) for p in (weight, bias))
    _instance_steps[(triton.cdiv(c, COMBINED),)](
        sums, known, steps, of_weight, of_bias, h * w, c, b, known.stride(0), count, **combining(count)
    )
    return steps, of_weight, of_bias


def input_gradients(
    gradient: Tensor, x: Tensor, known: Tensor, steps: Tensor | None, epilogue: Epilogue, *, residual: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of ``x``, where there are steps, and of the residual, where it is wanted."""
    b, c, h, w = x.shape
    of_x = None if steps is None else torch.empty_like(x)
    of_residual = torch.empty_like(x) if residual else None
    cut = _blocks_of_gradient(x, epilogue)
    grid = (triton.cdiv(h * w, cut.pixels), triton.cdiv(c, cut.channels), b)
    _input_gradient[grid](
        gradient, x, known, steps, epilogue.residual, of_x, of_residual, h, w, c, known.stride(0),
        *_strides(epilogue.residual), **_constants(epilogue, cut),
    )  # fmt: skip
    return of_x, of_residual


def _blocks_of_gradient(x: Tensor, epilogue: Epilogue) -> Blocks:
    b, c, h, w = x.shape
    return blocks(b, h * w, c, smaller=2 if epilogue.pad else 1)  # with a border, nine pixels may be read for one


def _strides(residual: Tensor | None) -> tuple[int, int, int]:
    return (0, 0, 0) if residual is None else (residual.stride(0), residual.stride(2), residual.stride(3))


def _constants(epilogue: Epilogue, cut: Blocks) -> dict[str, float]:
    return {
        "SLOPE": float(epilogue.negative_slope), "PAD": epilogue.pad, "PIXELS": cut.pixels, "CHANNELS": cut.channels
    }  # fmt: skip
