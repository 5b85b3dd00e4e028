"""Masks: which part of an image an application may change; read from files, or found by comparison.

A mask is a bool tensor ``(1, 1, h, w)``, True where the image may change.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


_WINDOW = 7  # pixels: over as many each way the noise of JPEG files averages out
_TRUNCATE = 4.0  # standard deviations at which a Gaussian is cut off


def read_mask(path: str | Path, size: tuple[int, int], *, reference: bool = False) -> Tensor:
    """Read the mask of an image from a file: white where the image may change, black where not.

    What counts is whether a pixel is brighter than half of the brightest one. So files of any format and depth serve,
    labels of 0 and 1 as well, and the noise that JPEG leaves around the white parts does not. What is transparent
    counts as black.

    Args:
        path: of the file.
        size: ``(h, w)`` that it must have: that of the image.
        reference: take every pixel whose first channel is not 0, as the authors' code does.

    Returns:
        ``(1, 1, h, w)`` bool.

    Raises:
        DataError: it cannot be read as grey or colour, has another size, or is black or white everywhere.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> name = tempfile.mkdtemp() + "/mask.png"
        >>> Image.frombytes("L", (3, 1), bytes([0, 100, 255])).save(name)
        >>> read_mask(name, (1, 3)).tolist()
        [[[[False, False, True]]]]
    """
    from i2i.data import read_header

    (width, height), depth = read_header(path)
    if (height, width) != tuple(size):
        raise DataError(
            f"{path} is {width}x{height}, but its image is {size[1]}x{size[0]}; save the mask at the size of its image"
        )
    array = _read(path, floats=depth == 32, reference=reference)
    brightness = torch.from_numpy(array[..., 0].astype("float64"))[None, None]
    mask = brightness != 0 if reference else brightness > brightness.max().clamp(min=0) / 2
    if not mask.any():
        raise DataError(f"{path} is black everywhere: nothing would change; paint white what shall")
    if mask.all():
        raise DataError(f"{path} is white everywhere: nothing would be kept; paint black what shall be")
    return mask


def difference_mask(image: Tensor, originals: Tensor, *, tolerance: float = 0.05) -> Tensor:
    """Find where an image was changed.

    The differences are averaged over 7 x 7 pixels first, which takes away the noise of JPEG files (below 5 % of the
    range on six photographs of 188 pixels saved at quality 75) and little of a change of several pixels.

    Args:
        image: ``(1, c, h, w)`` in ``[-1, 1]``.
        originals: what it may have been before, ``(n, c, h, w)`` in ``[-1, 1]``; the nearest of them counts.
        tolerance: difference of a channel that is none yet, as a share of the range.

    Returns:
        ``(1, 1, h, w)`` bool.

    Raises:
        DataError: the image differs nowhere or everywhere.
    """
    differences = image - originals
    nearest = differences[int(differences.abs().mean(dim=(1, 2, 3)).argmin())][None]
    smoothed = F.avg_pool2d(nearest, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)
    mask = smoothed.abs().amax(dim=1, keepdim=True) > 2 * tolerance
    if not mask.any():
        raise DataError(
            f"the image differs nowhere from the training image by more than {tolerance:g} of the range; name what may "
            "change with --mask FILE, or lower --tolerance"
        )
    if mask.all():
        raise DataError(
            "the image differs everywhere from the training image; name what may change with --mask FILE, or paint"
        )
    return mask


def fitted(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a mask to another size; a pixel belongs to it where any pixel of the mask that it covers does.

    So thin lines are never lost.

    Example:
        >>> fitted(torch.tensor([[[[True, False, False, False]]]]), (1, 2)).tolist()
        [[[[True, False]]]]
    """
    return F.adaptive_max_pool2d(mask.double(), tuple(size)) > 0


def feathered(mask: Tensor, *, radius: int, sigma: float = 5.0) -> Tensor:
    """Grow a mask by a disk and make its edge soft.

    Args:
        mask: ``(1, 1, h, w)`` bool.
        radius: of the disk, in pixels; 0 does not grow it.
        sigma: standard deviation of the Gaussian, in pixels; 0 leaves the edge hard.

    Returns:
        ``(1, 1, h, w)`` float64: the weight of what is made, from 0 to 1, both of which it reaches.

    Raises:
        DataError: the mask covers the whole image when it has grown.

    Differs:
        From the authors' code: a mask that has grown over the whole image is an error; there it becomes 0/0.
    """
    grown = dilated(mask, radius).double()
    if bool(grown.all()):
        raise DataError(
            f"the mask, grown by {radius} pixels, covers the whole image; use a smaller --dilation, or paint"
        )
    if sigma:
        grown = _smoothed(_smoothed(grown, sigma).mT, sigma).mT
    low, high = grown.amin(), grown.amax()
    return (grown - low) / (high - low)


def dilated(mask: Tensor, radius: int) -> Tensor:
    """Add all pixels that lie at most ``radius`` from one of the mask.

    Example:
        >>> dilated(torch.eye(3, dtype=torch.bool)[None, None], 1).int()[0, 0].tolist()
        [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    """
    height = mask.shape[2]
    grown = torch.zeros_like(mask)
    # Row by row of the disk: one convolution with all of it would take memory for each of its pixels.
    for offset in range(-radius, radius + 1):
        half = math.isqrt(radius**2 - offset**2)
        wide = F.max_pool2d(mask.float(), (1, 2 * half + 1), stride=1, padding=(0, half)) > 0
        grown |= F.pad(wide, (0, 0, radius, radius))[:, :, radius + offset : radius + offset + height]
    return grown


def blended(image: Tensor, made: Tensor, weight: Tensor) -> Tensor:
    """Put ``made`` into ``image``: ``(1 - weight) image + weight made``; where the weight is 0, ``image`` to the bit.

    Args:
        image: ``(1, c, h, w)`` in ``[-1, 1]``.
        made: ``(b, c, h, w)``, clamped to ``[-1, 1]``.
        weight: ``(1, 1, h, w)`` from 0 to 1.
    """
    weight = weight.to(image)
    return torch.where(weight > 0, (1 - weight) * image + weight * made.clamp(-1, 1), image)


def _smoothed(values: Tensor, sigma: float) -> Tensor:
    """Smooth along the last dimension; the border is continued by its outermost pixels."""
    reach = int(_TRUNCATE * sigma + 0.5)
    places = torch.arange(-reach, reach + 1, dtype=values.dtype)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    padded = F.pad(values, (reach, reach, 0, 0), mode="replicate")
    return F.conv2d(padded, (kernel / kernel.sum()).view(1, 1, 1, -1))


def _read(path: str | Path, *, floats: bool, reference: bool) -> NDArray[Any]:
    from i2i.data import MisfitError, read_image
    from i2i.pixels import PixelFormat

    pixels = PixelFormat(3) if reference else PixelFormat(1, alpha="black")
    if floats:  # a range lets values of any size pass
        pixels = attrs.evolve(pixels, depth=32, range=(0.0, 1.0))
    try:
        return read_image(path, pixels)
    except DataError as error:
        if isinstance(error.__cause__, MisfitError):
            raise DataError(f"{path} is no mask: it has neither one nor three channels; save it as grey") from error
        raise
