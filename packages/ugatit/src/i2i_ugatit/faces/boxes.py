"""Boxes around faces, and what is known of a face that was cut out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i.errors import SettingsError


class Box(NamedTuple):
    """A rectangle in pixels from the upper left corner of the upright image; its first pixel reaches from 0 to 1.

    Example:
        >>> Box(10, 20, 30, 40).centre, Box(10, 20, 30, 40).side
        ((25.0, 40.0), 40)
    """

    x: float
    y: float
    width: float
    height: float

    @property
    def side(self) -> float:
        """The longer side: that of the square which is cut out."""
        return max(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        """The centre, x and y."""
        return self.x + self.width / 2, self.y + self.height / 2


class Face(NamedTuple):
    """A face that was cut out.

    Attributes:
        source: the picture it is from.
        name: of its file, without suffix.
        box: where it was found.
        bits: the hash of the upright face, ``(64,)``, see `i2i_ugatit.faces.difference_hash`.
    """

    source: Path
    name: str
    box: Box
    bits: NDArray[np.bool_]


def checked_boxes(found: Any, size: tuple[int, int], detector: str) -> list[Box]:
    """Read what a detector returned; the largest box first, equal ones by their place.

    Args:
        found: an iterable of ``(x, y, width, height)``, numbers or arrays of them.
        size: width and height of the image.
        detector: what errors call it.

    Raises:
        SettingsError: it is no such iterable, or a box is empty, not finite or outside the image; shows the value.

    Example:
        >>> checked_boxes([(0, 0, 2, 2), (1, 1, 4, 4)], (8, 8), "mine")[0]
        Box(x=1, y=1, width=4, height=4)
    """
    if isinstance(found, str | bytes) or not isinstance(found, Iterable):
        raise SettingsError(f"{detector} returns {_shown(found)}; it must return a list of boxes (x, y, width, height)")
    boxes = [_checked(box, size, detector) for box in found]
    return sorted(boxes, key=lambda box: (-box.side, box.y, box.x))


def _checked(found: Any, size: tuple[int, int], detector: str) -> Box:
    try:
        box = Box(*(_plain(value) for value in found))
    except (TypeError, ValueError) as error:
        wanted = "a box is four numbers, (x, y, width, height)"
        raise SettingsError(f"{detector} returns the box {_shown(found)}; {wanted}") from error
    if not all(map(math.isfinite, box)) or min(box.width, box.height) <= 0:
        raise SettingsError(f"{detector} returns the box {tuple(box)}; width and height must be finite and above 0")
    (x, y), (width, height) = box.centre, size
    if not (0 <= x <= width and 0 <= y <= height):
        raise SettingsError(
            f"{detector} returns the box {tuple(box)}, whose centre is outside the image of {width} x {height}; "
            "a box is (x, y, width, height) in pixels, not two corners"
        )
    return box


def _plain(value: Any) -> float:
    """Return a number of Python's, a whole one where it is whole, so that reports are short."""
    number = float(value)
    return int(number) if number.is_integer() else number


def _shown(value: Any) -> str:
    return f"{' '.join(repr(value).split())[:80]} ({type(value).__name__})"
