"""A square around a face, turned, cut from the picture itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from i2i_ugatit.faces.boxes import Box

_SUPPORT = 3  # pixels around a point that bicubic interpolation may look at, and one more


def cut(
    image: NDArray[np.uint8], box: Box, *, rotate: float = 0.0, margin: float = 0.25, size: int = 256
) -> NDArray[np.uint8]:
    """Cut out the square around a face, turned about the centre of its box.

    The turned square is filled from the picture around the face, so it has no black corners; beyond the borders of the
    picture its mirror image goes on.

    Args:
        image: ``(h, w, 3)``.
        box: the face. The square has its longer side, and a margin all around.
        rotate: degrees by which the face turns counter-clockwise; negative: clockwise.
        margin: on each side, as a share of the side of the box.
        size: side of the result in pixels.

    Returns:
        ``(size, size, 3)``: bicubic where the face is enlarged; where it is reduced, the mean of at least one sample
        for every pixel of the picture.

    Example:
        >>> image = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
        >>> bool((cut(image, Box(1, 1, 3, 3), margin=0, size=3) == image[1:4, 1:4]).all())
        True
    """
    from PIL import Image

    side = box.side * (1 + 2 * margin)
    samples = max(1, math.ceil(side / size))  # per pixel of the result and axis: so that none of the picture is missed
    step = side / (size * samples)
    patch, centre = _neighbourhood(image, box.centre, side, math.radians(rotate))
    a, b = step * math.cos(math.radians(rotate)), step * math.sin(math.radians(rotate))
    half = size * samples / 2
    # Where each pixel of the result lies in the patch; y points down, so this turns the face counter-clockwise.
    turned = (a, -b, centre[0] - half * (a - b), b, a, centre[1] - half * (b + a))
    drawn = [
        # In floats, because Pillow's transform of bytes cuts decimals off, which darkens by half a level.
        Image.fromarray(patch[..., channel].astype(np.float32)).transform(
            (size * samples, size * samples), Image.Transform.AFFINE, turned, Image.Resampling.BICUBIC
        )
        for channel in range(3)
    ]
    means = np.stack([np.asarray(plane.reduce(samples)) for plane in drawn], axis=2)
    return means.round().clip(0, 255).astype(np.uint8)


def _neighbourhood(
    image: NDArray[np.uint8], centre: tuple[float, float], side: float, angle: float
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Return what a turned square can touch, continued by reflection beyond the picture, and its centre in that."""
    reach = side / 2 * (abs(math.cos(angle)) + abs(math.sin(angle))) + _SUPPORT
    left, top = (math.floor(value - reach) for value in centre)
    right, bottom = (math.ceil(value + reach) for value in centre)
    height, width = image.shape[:2]
    rows, columns = reflected(np.arange(top, bottom), height), reflected(np.arange(left, right), width)
    return image[rows[:, None], columns], (centre[0] - left, centre[1] - top)


def reflected(places: NDArray[Any], length: int) -> NDArray[Any]:
    """Bring places outside 0 ... length - 1 back by reflection at the border pixels, as often as needed.

    Example:
        >>> reflected(np.arange(-2, 6), 3).tolist()
        [2, 1, 0, 1, 2, 1, 0, 1]
    """
    if length == 1:
        return np.zeros_like(places)
    places = places % (2 * length - 2)
    found: NDArray[Any] = np.minimum(places, 2 * length - 2 - places)
    return found
