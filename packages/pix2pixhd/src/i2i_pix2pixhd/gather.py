"""Convolutions of one-hot maps that are never built: the weights of the classes under the window are looked up.

For a class map c, positions t in the kernel and weights w, a convolution of the one-hot is y[p] = sum over t of
w[t, c[p + t]]. The gradient of the weights is the same the other way round: dw[t, k] is the sum of dy[p] over the p
with c[p + t] = k. Both are linear, and each is the derivative of the other, so they can be differentiated as often as
one likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

#: On the CPU, pixels whose classes are looked up at once: what is read and written then stays in the second cache.
_PIXELS = 4096
#: Rows of them at least where what lies around them is copied, too.
_ROWS = 8
#: Elsewhere, bytes of the one-hot map that are there at once.
_BYTES = 32 * 2**20


class Window(NamedTuple):
    """How a square convolution moves over a map.

    Attributes:
        kernel: its side.
        stride: pixels from one place to the next.
        padding: pixels that the map is continued by on each side.
        reflect: continue it by reflection; else by pixels of no class.
    """

    kernel: int
    stride: int
    padding: int
    reflect: bool

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Window:
        """Return the window of a convolution: square, not dilated, of one group."""
        assert isinstance(conv.padding, tuple)  # for the type checker
        return cls(conv.kernel_size[0], conv.stride[0], conv.padding[0], conv.padding_mode == "reflect")

    def places(self, size: int) -> int:
        """Return how many places there are along a side that is continued already."""
        return (size - self.kernel) // self.stride + 1


def gathered(weight: Tensor, labels: Tensor, window: Window, dtype: torch.dtype) -> Tensor:
    """Convolve the one-hot of ``labels``; same values as ``F.conv2d(one_hot, weight)`` to rounding.

    Only the labels are kept for the backward pass. Nothing is read from the device.

    Args:
        weight: ``(out, classes, kernel, kernel)``.
        labels: class ids ``(b, 1, h, w)``, integers. An id outside ``0 ... classes - 1`` stands for no class: zeros.
        window: how the kernel moves.
        dtype: of the result.

    Returns:
        ``(b, out, h', w')`` in the memory format of ``weight``.

    Example:
        >>> weight = torch.arange(3.0).view(1, 3, 1, 1)
        >>> gathered(weight, torch.tensor([[[[2, 0, 1]]]]), Window(1, 1, 0, False), torch.float32)
        tensor([[[[2., 0., 1.]]]])
    """
    return _Gather.apply(weight, labels, window, dtype)  # type: ignore[no-any-return]


class _Gather(torch.autograd.Function):
    """From weights to the result."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, labels: Tensor, window: Window, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(labels)
        ctx.window, ctx.classes, ctx.dtype = window, weight.shape[1], weight.dtype
        ids = _continued(labels, weight.shape[1], window)
        return (_look_up if _by_hand(ids) else _convolve)(weight, ids, window, dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (labels,) = ctx.saved_tensors
        return _Collect.apply(gradient, labels, ctx.window, ctx.classes, ctx.dtype), None, None, None


class _Collect(torch.autograd.Function):
    """From the gradient of the result to that of the weights."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, labels: Tensor, window: Window, classes: int, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(labels)
        ctx.window, ctx.dtype = window, gradient.dtype
        ids = _continued(labels, classes, window)
        return (_collect if _by_hand(ids) else _convolve_back)(gradient, ids, window, classes).to(dtype)

    @staticmethod
    def backward(ctx: Any, towards: Tensor) -> tuple[Tensor | None, ...]:
        (labels,) = ctx.saved_tensors
        return _Gather.apply(towards, labels, ctx.window, ctx.dtype), None, None, None, None


def known(labels: Tensor, classes: int) -> Tensor:
    """Return class ids in int64, with ``classes`` in place of all ids outside ``0 ... classes - 1``."""
    ids = labels.long()
    return torch.where((ids >= 0) & (ids < classes), ids, classes)


def _continued(labels: Tensor, classes: int, window: Window) -> Tensor:
    """Return ids ``(b, h, w)`` in int32 with their padding; ``classes`` stands for no class."""
    ids = known(labels, classes).to(torch.int32)[:, 0]
    if window.padding and not window.reflect:
        return F.pad(ids, (window.padding,) * 4, value=classes)
    for dim in (1, 2) if window.padding else ():
        last = ids.shape[dim] - 1
        at = torch.arange(-window.padding, last + window.padding + 1, device=ids.device).abs()
        ids = ids.index_select(dim, last - (last - at).abs())
    return ids


def _by_hand(ids: Tensor) -> bool:
    """Tell whether weights are looked up: on the CPU. Not in an estimate of memory, for which a few bands suffice."""
    return ids.is_cpu and not isinstance(ids, FakeTensor)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


# On the CPU.


def _look_up(weight: Tensor, ids: Tensor, window: Window, dtype: torch.dtype) -> Tensor:
    """Sum, for each pixel, the rows of a table ``(kernel * kernel * (classes + 1), out)`` that its window names."""
    out, classes, k, _ = weight.shape
    height, width = map(window.places, ids.shape[1:])
    table = F.pad(weight.permute(2, 3, 1, 0), (0, 0, 0, 1)).reshape(-1, out).to(_wide(weight.dtype))
    first = torch.arange(0, k * k * (classes + 1), classes + 1, dtype=torch.int32).view(k, k)
    windows = ids.unfold(1, k, window.stride).unfold(2, k, window.stride)
    result = _empty_like_convolved(weight, (len(ids), height, width), dtype)
    for sample, start, stop in _bands(len(ids), height, _PIXELS // width):
        shape = (stop - start, width, k, k)
        rows = torch.empty(shape, dtype=torch.int32).copy_(windows[sample, start:stop]).add_(first)
        summed = F.embedding_bag(rows.view(-1, k * k), table, mode="sum")
        result[sample, :, start:stop] = summed.view(stop - start, width, out).permute(2, 0, 1)
    return result


def _collect(gradient: Tensor, ids: Tensor, window: Window, classes: int) -> Tensor:
    """Sum the gradients of the pixels whose window has a class at a position, for all classes and positions.

    Pixels are sorted by class, band by band. Those that see a pixel at another position are the same ones, shifted. A
    stride parts map and kernel into as many grids along each side, for each of which it is 1.
    """
    out, k, step = gradient.shape[1], window.kernel, window.stride
    result = gradient.new_zeros((k, k, classes + 1, out), dtype=_wide(gradient.dtype))
    for row in range(min(step, k)):
        for column in range(min(step, k)):
            part = result[row::step, column::step]
            part += _collect_grid(gradient, ids[:, row::step, column::step], part)
    return result[:, :, :classes].permute(3, 2, 0, 1)


def _collect_grid(gradient: Tensor, ids: Tensor, like: Tensor) -> Tensor:
    rows, columns, classes, out = like.shape
    height, width = ids.shape[1:]
    border, pitch = columns - 1, width + columns - 1
    places = (torch.arange(rows)[:, None] * pitch + torch.arange(columns)).view(-1, 1).to(torch.int32)
    every = torch.arange(classes, dtype=torch.int32)
    total = torch.zeros((rows * columns * classes, out), dtype=like.dtype)
    for sample, start, stop in _bands(len(ids), height, max(_PIXELS // width, _ROWS)):
        near = _window_of(gradient[sample], start - rows + 1, stop, border, pitch, like.dtype)
        sorted_ids, order = ids[sample, start:stop].flatten().sort()
        at = (order // width + rows - 1) * pitch + order % width + border
        seen_by = at.to(torch.int32) - places
        starts = torch.searchsorted(sorted_ids, every) + torch.arange(rows * columns)[:, None] * len(order)
        total += F.embedding_bag(seen_by.flatten(), near, starts.flatten().to(torch.int32), mode="sum")
    return total.view(like.shape)


def _window_of(image: Tensor, start: int, stop: int, border: int, pitch: int, dtype: torch.dtype) -> Tensor:
    """Return rows of ``image (c, h, w)``, as ``(rows * pitch, c)`` with zeros where there is no image."""
    channels, height, width = image.shape
    rows = image.new_zeros((stop - start, pitch, channels), dtype=dtype)
    first, last = max(start, 0), min(stop, height)
    across = min(width, pitch - border)
    if first < last:
        part = image[:, first:last, :across].permute(1, 2, 0)
        rows[first - start : last - start, border : border + across] = part
    return rows.view(-1, channels)


# Elsewhere: as one-hot maps, a band at a time.


def _convolve(weight: Tensor, ids: Tensor, window: Window, dtype: torch.dtype) -> Tensor:
    last = _channels_last(weight)
    form = torch.channels_last if last else torch.contiguous_format
    height, width = map(window.places, ids.shape[1:])
    result = _empty_like_convolved(weight, (len(ids), height, width), dtype)
    kernel = weight.to(dtype).contiguous(memory_format=form)
    for start, stop, one_hot in _one_hot(ids, weight.shape[1], window, dtype, last):
        result[:, :, start:stop] = F.conv2d(one_hot, kernel, stride=window.stride)
    return result


def _convolve_back(gradient: Tensor, ids: Tensor, window: Window, classes: int) -> Tensor:
    last = gradient.is_contiguous(memory_format=torch.channels_last) and not gradient.is_contiguous()
    k, dtype = window.kernel, gradient.dtype
    kernel = gradient.new_empty((gradient.shape[1], classes, k, k))  # only its shape is used
    total = torch.zeros_like(kernel, dtype=_wide(dtype))
    for start, stop, one_hot in _one_hot(ids, classes, window, dtype, last):
        strides, none, one = [window.stride] * 2, [0, 0], [1, 1]
        _, found, _ = torch.ops.aten.convolution_backward(
            gradient[:, :, start:stop], one_hot, kernel, None, strides, none, one, False, none, 1, [False, True, False]
        )
        total += found
    return total


def _one_hot(
    ids: Tensor, classes: int, window: Window, dtype: torch.dtype, last: bool
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield the one-hot map band by band: the first and last row of the result that it makes, and itself."""
    each = torch.arange(classes, dtype=torch.int32, device=ids.device)
    row = len(ids) * classes * ids.shape[2] * dtype.itemsize
    count = window.places(max(_BYTES // row, window.kernel))
    for _, start, stop in _bands(1, window.places(ids.shape[1]), count):
        rows = ids[:, start * window.stride : (stop - 1) * window.stride + window.kernel]
        if last:
            yield start, stop, (rows[..., None] == each).to(dtype).permute(0, 3, 1, 2)
        else:
            yield start, stop, (rows[:, None] == each[:, None, None]).to(dtype)


def _bands(samples: int, rows: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Yield sample, first row and the one after the last, of at most ``count`` rows, at least one."""
    count = max(count, 1)
    for sample in range(samples):
        for start in range(0, rows, count):
            yield sample, start, min(start + count, rows)


def _empty_like_convolved(weight: Tensor, shape: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    form = torch.channels_last if _channels_last(weight) else torch.contiguous_format
    b, h, w = shape
    return torch.empty((b, len(weight), h, w), dtype=dtype, device=weight.device, memory_format=form)


def _channels_last(weight: Tensor) -> bool:
    """Tell whether the classes of ``(out, classes, kernel, kernel)`` lie next to each other."""
    return weight.shape[-1] > 1 and weight.stride(1) == 1
