"""The sizes of the training image from coarse to fine, and the image at each of them."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from i2i.errors import DataError, SettingsError
from i2i_singan.resize import resize, size_of


class Pyramid(NamedTuple):
    """The scales of a model.

    Attributes:
        sizes: height and width of each scale in pixels, from coarse to fine.
        factor: by which each scale is smaller than the next finer one, below 1.
    """

    sizes: tuple[tuple[int, int], ...]
    factor: float


def plan(height: int, width: int, *, min_size: int = 25, max_size: int = 250, scale_factor: float = 0.75) -> Pyramid:
    """Choose the scales for an image.

    The finest one is the image itself, reduced to ``max_size`` where its longer side is larger; the shorter side of the
    coarsest one is about ``min_size`` (it may be one pixel more).

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        min_size: shorter side of the coarsest scale, in pixels.
        max_size: longer side of the finest scale, in pixels.
        scale_factor: about how much smaller each coarser scale is, between 0 and 1.

    Raises:
        DataError: the image, or what ``max_size`` leaves of it, is not larger than the coarsest scale.
        SettingsError: ``scale_factor`` is out of range.

    Example:
        >>> plan(250, 250).sizes[:4]
        ((25, 25), (32, 32), (40, 40), (50, 50))

    References:
        Shaham, Dekel and Michaeli, SinGAN (arXiv 1905.01164), section 4, and the authors' code.

    Differs:
        The paper's factor is 4/3 per scale; as in the authors' code there is one scale more than that needs, so that
        the factor is nearer to 1. By rounding, theirs makes one in eight images above ``max_size`` a pixel longer.
    """
    _check(height, width, min_size, max_size)
    if not 0 < scale_factor < 1:
        raise SettingsError(f"scale_factor (={scale_factor}) must lie between 0 and 1")
    longer = max(height, width)
    scales = math.ceil(math.log(min_size / min(height, width), scale_factor)) + 1
    left_out = math.ceil(math.log(min(max_size, longer) / longer, scale_factor))
    return _pyramid(height, width, min_size, max_size, scales - left_out)


def plan_super_resolution(
    height: int, width: int, *, factor: float, min_size: int = 18, max_size: int = 250, reference: bool = False
) -> Pyramid:
    """Choose the scales for an image that will be enlarged by ``factor``; see `plan`.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        factor: above 1; its root from `enlargements` is about the factor between scales.
        min_size: shorter side of the coarsest scale, in pixels.
        max_size: longer side of the finest scale, in pixels.
        reference: upright images get a scale more, as in the authors' code, which takes their width for their height.

    Raises:
        DataError: the image, or what ``max_size`` leaves of it, is not larger than the coarsest scale.
        SettingsError: ``factor`` is not above 1.
    """
    _check(height, width, min_size, max_size)
    scale_factor = 1 / enlargements(factor).each
    longer = width if reference else max(height, width)
    scales = int(math.log(min_size / min(height, width), scale_factor)) + 1
    left_out = int(math.log(min(max_size, max(height, width)) / longer, scale_factor))
    return _pyramid(height, width, min_size, max_size, scales - left_out)


class Enlargements(NamedTuple):
    """How an image is enlarged step by step.

    Attributes:
        steps: how many.
        each: by how much each of them enlarges; all together by the whole factor.
    """

    steps: int
    each: float


def enlargements(factor: float) -> Enlargements:
    """Return the steps of super-resolution: so many that each is nearest to the third root of 2.

    Raises:
        SettingsError: ``factor`` is not above 1.

    Example:
        >>> enlargements(8)
        Enlargements(steps=9, each=1.2599210498948732)
    """
    if not 1 < factor < math.inf:
        raise SettingsError(f"factor (={factor:g}) must be above 1")
    steps = max(1, round(math.log(1 / factor) / math.log(2 ** (-1 / 3))))
    return Enlargements(steps, factor ** (1 / steps))


def levels(image: Tensor, pyramid: Pyramid, *, reference: bool = False) -> tuple[Tensor, ...]:
    """Return images at each scale.

    Args:
        image: ``(b, c, h, w)`` in ``[-1, 1]``, of the size that the pyramid was planned for.
        pyramid: from `plan`.
        reference: resize as the authors' code, through 8 bits; the finest scale, too.

    Returns:
        For each scale, from coarse to fine, ``(b, c, h_k, w_k)`` in ``[-1, 1]``.
    """
    finest = pyramid.sizes[-1]
    if reference or tuple(image.shape[2:]) != finest:
        image = resize(image, finest, scale_between(tuple(image.shape[2:]), finest), reference=reference)
    coarser = [
        resize(image, size, pyramid.factor ** (len(pyramid.sizes) - 1 - k), reference=reference)
        for k, size in enumerate(pyramid.sizes[:-1])
    ]
    return *coarser, resize(image, finest, 1, reference=True) if reference else image


def scale_between(size: tuple[int, ...], other: tuple[int, int]) -> float | tuple[float, float]:
    """Return the scale that brings an image from one size (height, width) to another, for `resize`.

    One number where the aspect is kept, as when a training image is reduced; else the vertical and the horizontal one.

    Example:
        >>> scale_between((297, 200), (250, 169)) == 250 / 297, scale_between((100, 100), (50, 25))
        (True, (0.5, 0.25))
    """
    factor = max(other) / max(size)
    # What is left of the last pixel is a pixel too; products are rounded.
    if all(-1e-6 < made - side * factor < 1 for side, made in zip(size, other, strict=True)):
        return factor
    return other[0] / size[0], other[1] / size[1]


def _check(height: int, width: int, min_size: int, max_size: int) -> None:
    shorter = min(size_of(side, _reduction(height, width, max_size)) for side in (height, width))
    if shorter > min_size:
        return
    left = "" if shorter == min(height, width) else f", and {shorter} pixels high or wide at max_size (={max_size})"
    remedy = "take a smaller --min-size, or a larger " + ("--max-size" if left else "image")
    raise DataError(
        f"the image is {width}x{height}{left}; its shorter side must be larger than min_size (={min_size}), "
        f"that of the coarsest scale; {remedy}"
    )


def _reduction(height: int, width: int, max_size: int) -> float:
    return min(max_size / max(height, width), 1)


def _pyramid(height: int, width: int, min_size: int, max_size: int, coarser: int) -> Pyramid:
    """Divide the way from the finest to the coarsest size evenly among scales, ``coarser`` of them below the finest."""
    reduction = _reduction(height, width, max_size)
    # By rounding, 297 * (250 / 297) is above 250.
    finest = min(size_of(height, reduction), max_size), min(size_of(width, reduction), max_size)
    factor = (min_size / min(finest)) ** (1 / coarser)
    sizes = [
        (size_of(finest[0], factor**exponent), size_of(finest[1], factor**exponent))
        for exponent in range(coarser, -1, -1)
    ]
    return Pyramid(tuple(sizes), factor)
