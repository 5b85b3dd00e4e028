"""What the images of both domains are in their files: from the settings, and from the first images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from i2i.data.folders import find_images
from i2i.data.named import Layout, Named
from i2i.data.rows import Cell, header_depth, with_remedy
from i2i.errors import DataError
from i2i.pixels import Depth, PixelFormat
from i2i.settings import ImageSettings

_TRIED = 100  # rows of a table that are looked at for one that can be read


def find_formats(
    named: Named, layout: Layout, settings: ImageSettings, *, skip_bad: bool = False
) -> tuple[PixelFormat, PixelFormat]:
    """Return the formats of A and of B.

    Args:
        named: the images.
        layout: with ``"one"`` A is lightness and B is chroma.
        settings: channels, ranges and transparency.
        skip_bad: take the depth of the first image that can be read.

    Raises:
        DataError: there is no such image.
    """
    one, channels, alpha = layout == "one", settings.both_channels, settings.alpha
    if one:
        a, b = PixelFormat(1, colours="lightness", alpha=alpha), PixelFormat(2, colours="chroma", alpha=alpha)
    else:
        ranges = settings.range_a, settings.range_b
        a, b = (PixelFormat(c, range=r, alpha=alpha) for c, r in zip(channels, ranges, strict=True))
    depths = _depths(named, skip_bad=skip_bad)
    return attrs.evolve(a, depth=depths[0]), attrs.evolve(b, depth=depths[-1])


def _depths(named: Named, *, skip_bad: bool) -> list[Depth]:
    """Return the depth of each side; one where one image has both."""
    if not isinstance(named, tuple):
        # Of a table of its own: the one that is trained on would remember that a row was taken.
        return _first(([*row.values()] for row in named.take(_TRIED)), skip_bad=skip_bad)
    paths = ([{"bytes": None, "path": str(path)} for path in find_images(folders)] for folders in named)
    return [_first(([cell] for cell in cells), skip_bad=skip_bad)[0] for cells in paths]


def _first(rows: Iterator[Sequence[Cell]], *, skip_bad: bool) -> list[Depth]:
    for row in rows:
        try:
            return [header_depth(cell, "the first row of the dataset") for cell in row]
        except DataError as error:
            if not skip_bad:
                raise with_remedy(error) from error
    raise DataError("there is no image that can be used")
