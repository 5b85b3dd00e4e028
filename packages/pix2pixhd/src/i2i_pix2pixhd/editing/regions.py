"""Parts of a scene that an edit changes: rectangles, polygons, strokes of a brush, masks, objects, connected areas.

``x`` is counted from the left, ``y`` from the top, in pixels. Corners of rectangles and polygons lie between pixels:
the first pixel reaches from 0 to 1. Strokes, discs and floods name pixels themselves: the first one is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Protocol, TypeAlias

import attrs
import torch
from torch import Tensor

from i2i.errors import DataError

Point: TypeAlias = tuple[float, float]


class Region(Protocol):
    """Part of a scene."""

    def mask(self, labels: Tensor, instances: Tensor | None) -> Tensor:
        """Return ``(h, w)`` bool: where the region lies in a scene with these maps ``(h, w)``."""
        ...


@attrs.frozen
class Rectangle:
    """The pixels from column ``x0`` up to, but without, ``x1``, and from row ``y0`` up to, but without, ``y1``."""

    x0: int
    y0: int
    x1: int
    y1: int

    def mask(self, labels: Tensor, instances: Tensor | None) -> Tensor:
        """Return ``(h, w)`` bool; see `Region`."""
        found = torch.zeros(labels.shape, dtype=torch.bool)
        found[max(self.y0, 0) : max(self.y1, 0), max(self.x0, 0) : max(self.x1, 0)] = True
        return found


@attrs.frozen
class Polygon:
    """The pixels whose middle lies inside; where lines cross, what is enclosed twice lies outside."""

    points: Sequence[Point]

    def mask(self, labels: Tensor, instances: Tensor | None) -> Tensor:
        """Return ``(h, w)`` bool; see `Region`."""
        height, width = labels.shape
        rows, columns = (torch.arange(size, dtype=torch.float64) + 0.5 for size in (height, width))
        found = torch.zeros(labels.shape, dtype=torch.bool)
        for (x0, y0), (x1, y1) in zip(self.points, [*self.points[1:], self.points[0]], strict=True):
            # A line to the right of a pixel is crossed once more on the way to it from the right.
            top, bottom = sorted((y0, y1))
            crossed = (rows >= top) & (rows < bottom)
            at = x0 + (rows[crossed] - y0) * (x1 - x0) / ((y1 - y0) or 1)
            found[crossed] ^= columns < at[:, None]
        return found


@attrs.frozen
class Stroke:
    """The pixels that lie at most ``radius`` from a line through ``points``; one point gives a disc.

    The thinnest stroke, of radius 0, is one pixel wide.
    """

    points: Sequence[Point]
    radius: float = 0.0

    def mask(self, labels: Tensor, instances: Tensor | None) -> Tensor:
        """Return ``(h, w)`` bool; see `Region`."""
        found, reach = torch.zeros(labels.shape, dtype=torch.bool), max(self.radius, 0.5)
        for (x0, y0), (x1, y1) in zip(self.points, self.points[1:] or self.points, strict=False):
            rows, columns = (
                slice(max(math.ceil(min(ends) - reach), 0), max(math.floor(max(ends) + reach) + 1, 0))
                for ends in ((y0, y1), (x0, x1))
            )
            part = found[rows, columns]
            y = (torch.arange(part.shape[0], dtype=torch.float64) + rows.start - y0)[:, None]
            x = torch.arange(part.shape[1], dtype=torch.float64) + columns.start - x0
            dx, dy = x1 - x0, y1 - y0
            along = ((x * dx + y * dy) / ((dx * dx + dy * dy) or 1)).clamp(0, 1)
            part |= (x - along * dx) ** 2 + (y - along * dy) ** 2 <= reach**2 + 1e-9
        return found


@attrs.frozen(eq=False)
class Mask:
    """The pixels that are not 0 in a mask ``(h, w)``."""

    pixels: Tensor
    name: str = "the mask"

    def mask(self, labels: Tensor, instances: Tensor | None) -> Tensor:
        """Return ``(h, w)`` bool; see `Region`.

        Raises:
            DataError: the mask has another size than the scene.
        """
        if self.pixels.shape != labels.shape:
            has, needed = ("x".join(map(str, reversed(each.shape))) for each in (self.pixels, labels))
            raise DataError(f"{self.name} is {has}, but the scene is {needed}; a mask has the size of its scene")
        return self.pixels.cpu() != 0


@attrs.frozen
class ObjectPixels:
    """The pixels of one object."""

    id: int

    def mask(self, labels: Tensor, instances: Tensor | None) -> Tensor:
        """Return ``(h, w)`` bool; see `Region`.

        Raises:
            DataError: the scene has no objects, or none of this id; the nearest ids are listed.
        """
        there = torch.unique(known_objects(instances)).tolist()
        if self.id not in there:
            raise absent(self.id, there)
        return known_objects(instances) == self.id


@attrs.frozen
class Flood:
    """The pixels that have the label of pixel ``(x, y)`` and are connected with it, side by side."""

    x: int
    y: int

    def mask(self, labels: Tensor, instances: Tensor | None) -> Tensor:
        """Return ``(h, w)`` bool; see `Region`."""
        height, width = labels.shape
        reached = torch.zeros(labels.shape, dtype=torch.bool)
        if not (0 <= self.x < width and 0 <= self.y < height):
            return reached
        reached[self.y, self.x] = True
        alike = labels == labels[self.y, self.x]
        rows, columns = _runs(alike), _runs(alike.T)
        before = 0
        # Whole runs at once: as many rounds as the way to the farthest pixel has turns.
        while (now := int(reached.sum())) > before:
            before = now
            reached = _spread(_spread(reached, alike, rows).T, alike.T, columns).T
        return reached


def _runs(alike: Tensor) -> Tensor:
    """Number the runs of equal values in each row, ``(h, w)``."""
    begins = torch.ones_like(alike)
    begins[:, 1:] = alike[:, 1:] != alike[:, :-1]
    return begins.reshape(-1).cumsum(0).reshape(alike.shape) - 1


def _spread(reached: Tensor, alike: Tensor, runs: Tensor) -> Tensor:
    hit = torch.zeros(int(runs[-1, -1]) + 1, dtype=torch.bool)
    hit[runs[reached]] = True
    return hit[runs] & alike


def selected(region: Region, labels: Tensor, instances: Tensor | None) -> Tensor:
    """Return where a region lies, ``(h, w)`` bool; what reaches beyond the image is cut off.

    Args:
        region: the region.
        labels: ``(h, w)`` integers on the CPU.
        instances: ``(h, w)`` integers on the CPU, or None.

    Raises:
        DataError: no pixel of the image belongs to it.

    Example:
        >>> selected(Rectangle(1, 0, 9, 1), torch.zeros(2, 3), None).int().tolist()
        [[0, 1, 1], [0, 0, 0]]
    """
    found = region.mask(labels, instances)
    if not bool(found.any()):
        height, width = labels.shape
        raise DataError(f"{_told(region)} has no pixel in this image of {width}x{height}")
    return found


def _told(region: Region) -> str:
    """Name a region in a message, as scripts name it."""
    if isinstance(region, Mask):
        return region.name
    name = type(region).__name__.lower()
    if isinstance(region, Stroke) and len(region.points) == 1:
        name = "disc"
    return shorten(f"the {name} {' '.join(map(str, attrs.astuple(region)))}", 100, placeholder=" ...")  # type: ignore[arg-type]


def known_objects(instances: Tensor | None) -> Tensor:
    """Return the instance map.

    Raises:
        DataError: there is none.
    """
    if instances is None:
        raise DataError("this scene has no objects: they need an instance map (--instances FILE)")
    return instances


def absent(id: int, there: Sequence[int]) -> DataError:
    """Return the error for an object that is not there; it lists the ids next to it.

    Example:
        >>> str(absent(26009, [7, 26000, 26001, 26002, 24000, 33000, 33001]))
        'there is no object 26009; the nearest ids are 24000, 26000, 26001, 26002, 33000'
    """
    near = sorted(sorted(there, key=lambda other: (abs(other - id), other))[:5])
    return DataError(f"there is no object {id}; the nearest ids are {', '.join(map(str, near))}")


def read_mask(path: Path) -> Mask:
    """Read a mask from an image of any format and depth: what is brighter than half of its brightest pixel.

    Raises:
        DataError: it cannot be read as grey or colour, or is black everywhere.
    """
    import numpy as np

    from i2i.data import read_image
    from i2i.pixels import PixelFormat

    bright = torch.from_numpy(read_image(path, PixelFormat(1, alpha="black"))[..., 0].astype(np.float64))
    if not bool((bright > 0).any()):
        raise DataError(f"{path} is black everywhere: paint white what shall change")
    return Mask(bright > bright.max() / 2, str(path))
