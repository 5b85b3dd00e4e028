"""MATLAB-style bicubic resizing as two small matrices, on any device and without a way to the host."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from i2i.errors import SettingsError

_SUPPORT = 4  # pixels that the kernel spans
_KEPT = 256  # matrices; a pyramid needs four for each of its scales
_LARGEST = 2**22  # numbers in a matrix; of longer rows it is used in bands, or it would outgrow the image
_BAND = 512  # pixels of the result
_cache: dict[tuple[Any, ...], Tensor] = {}


def size_of(length: int, scale: float) -> int:
    """Return how many pixels ``length`` pixels become: none is lost at the border.

    Example:
        >>> size_of(25, 1.25), size_of(188, 0.75)
        (32, 141)
    """
    return math.ceil(length * scale)


def resize(
    image: Tensor, size: tuple[int, int], scale: float | tuple[float, float], *, reference: bool = False
) -> Tensor:
    """Resize images by ``scale`` and keep the upper left ``size`` of the result.

    Reduced images are smoothed first. Types below float32 are computed in float32, under autocast too.

    Args:
        image: ``(b, c, h, w)``.
        size: height and width of the result, in pixels; `size_of` says how many there are without cropping.
        scale: of the coordinates, above 1 to enlarge; or the vertical and the horizontal one.
        reference: do as the authors' code: through 8 bits, with its left and upper border, in float64.
            Levels beyond ``[-1, 1]`` are then clamped before, else only after.

    Returns:
        ``(b, c, *size)`` in ``[-1, 1]``, of the type and on the device of ``image``.

    Raises:
        SettingsError: a size below one pixel, or a scale that is not above 0.

    Example:
        >>> resize(torch.ones(1, 3, 20, 30), (25, 38), 1.25).shape
        torch.Size([1, 3, 25, 38])

    References:
        Keys, Cubic Convolution Interpolation for Digital Image Processing (1981), with a = -1/2; MATLAB's ``imresize``.

    Differs:
        The authors' code cuts the image off to 8 bits first (63 of 256 levels get one lower when nothing is resized at
        all), and its left and upper border lack the mirrored pixels that MATLAB and the other borders have.
    """
    vertical, horizontal = scale if isinstance(scale, tuple) else (scale, scale)
    # Theirs smooths along both axes or along none.
    smoothed = vertical < 1 if reference else None
    dtype = torch.float64 if reference or image.dtype == torch.float64 else torch.float32
    of = functools.partial(_bands, antialias=smoothed, reference=reference, dtype=dtype, device=image.device)
    left, right = of(image.shape[2], size[0], vertical), of(image.shape[3], size[1], horizontal)
    with torch.autocast(image.device.type, enabled=False):
        pixels = _truncated(image) if reference else image.to(dtype)
        made = _product(left, pixels, right, rows_first=vertical <= horizontal)
        if reference:
            made = (made / 255).to(image.dtype).sub(0.5).mul(2)
        return made.clamp(-1, 1).to(image.dtype)


def _truncated(image: Tensor) -> Tensor:
    """Return the levels from 0 to 255 that an image has after the authors' way to 8 bits."""
    return ((image + 1) / 2).clamp(0, 1).mul(255).floor().double()


class _Band(NamedTuple):
    """Consecutive rows of a matrix without most of its zeros: ``weights`` of the pixels from ``first`` on."""

    first: int
    weights: Tensor


def _product(left: Sequence[_Band], image: Tensor, right: Sequence[_Band], *, rows_first: bool) -> Tensor:
    """Return ``left @ image @ right.T`` in the order that makes the smaller image in between."""
    if rows_first:
        return _columns(_rows(left, image), right)
    return _rows(left, _columns(image, right))


def _rows(left: Sequence[_Band], image: Tensor) -> Tensor:
    flat = image.flatten(0, 1)
    # Stride 0 along the batch; matmul would copy the image to make one product of it.
    made = [torch.bmm(w.expand(len(flat), -1, -1), flat.narrow(1, first, w.shape[1])) for first, w in left]
    return _joined(made, 1).view(*image.shape[:2], -1, image.shape[3])


def _columns(image: Tensor, right: Sequence[_Band]) -> Tensor:
    flat = image.flatten(0, 2)
    made = [torch.mm(flat.narrow(1, first, w.shape[1]), w.T) for first, w in right]
    return _joined(made, 1).view(*image.shape[:3], -1)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def _bands(
    length: int,
    made: int,
    scale: float,
    *,
    antialias: bool | None,
    reference: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> list[_Band]:
    """Return the `matrix` of these arguments as one band, or as several that are made anew each time."""
    if length * made <= _LARGEST:
        whole = matrix(length, made, scale, antialias=antialias, reference=reference, dtype=dtype, device=device)
        return [_Band(0, whole)]
    wide, bands = scale < 1 if antialias is None else antialias, []
    for begin in range(0, made, _BAND):
        index, weight = _taps(length, range(begin, min(begin + _BAND, made)), scale, wide, reference)
        first = int(index.min())
        dense = _dense(index - first, weight, int(index.max()) - first + 1)
        bands.append(_Band(first, torch.from_numpy(dense).to(dtype).to(device)))
    return bands


def matrix(
    length: int,
    made: int,
    scale: float,
    *,
    antialias: bool | None = None,
    reference: bool = False,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return what resizes a row of pixels: ``made`` of them are weighted sums of its ``length``.

    Pixel o of the result, counted from 1, lies at ``o / scale + (1 - 1 / scale) / 2``. Beyond the border the row
    goes on mirrored.

    Args:
        length: pixels of the row.
        made: pixels of the result.
        scale: above 0; above 1 to enlarge.
        antialias: widen the kernel by ``1 / scale``; None: where the row is reduced.
        reference: as the authors' code, pixels before the first one do not count.
        dtype: of the matrix; it is always computed in float64.
        device: of the matrix; None: the CPU.

    Returns:
        ``(made, length)``, rows of sum 1. It is made once for all who ask: do not change it.

    Raises:
        SettingsError: ``length`` or ``made`` is below 1, or ``scale`` is not above 0.

    Example:
        >>> matrix(4, 2, 0.5).sum(1)
        tensor([1., 1.], dtype=torch.float64)
    """
    if length < 1 or made < 1 or not scale > 0:
        raise SettingsError(f"cannot resize {length} pixels by {scale} to {made}; both need one pixel and more")
    wide = scale < 1 if antialias is None else antialias
    place = torch.device("cpu" if device is None else device)
    key = (length, made, scale, wide, reference, dtype, place)
    found = _cache.get(key)
    if found is None:
        with torch.inference_mode(False):  # or no graph could hold it later on
            index, weight = _taps(length, range(made), scale, wide, reference)
            found = torch.from_numpy(_dense(index, weight, length)).to(dtype).to(place)
        if type(found) is Tensor:  # where memory is only counted it is a stand-in without numbers
            while len(_cache) >= _KEPT:
                del _cache[next(iter(_cache))]
            _cache[key] = found
    return found


def _taps(
    length: int, made: range, scale: float, wide: bool, reference: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which pixels each of the ``made`` ones is a sum of, and their weights."""
    width = _SUPPORT / scale if wide else _SUPPORT
    centre = np.arange(made.start + 1, made.stop + 1) / scale + 0.5 * (1 - 1 / scale) - 1  # counted from 0
    index = np.floor(centre + 1 - width / 2).astype(int)[:, None] - 1 + np.arange(math.ceil(width) + 2)
    distance = centre[:, None] - index
    weight = _cubic(distance * scale if wide else distance)
    if reference:
        weight[index < 0] = 0
    weight /= weight.sum(1, keepdims=True)
    mirrored = index % (2 * length)
    return np.minimum(mirrored, 2 * length - 1 - mirrored), weight


def _dense(index: NDArray[np.int64], weight: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    result = np.zeros((len(index), length))
    np.add.at(result, (np.arange(len(index))[:, None], index), weight)
    return result


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Keys' kernel with a = -1/2, which is 0 from a distance of 2 on."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
