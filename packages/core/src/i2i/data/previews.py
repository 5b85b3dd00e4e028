"""A fixed batch to look at: the first images of two domains, without any chance."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from i2i.data.loader import B, Stacker, both
from i2i.data.rows import Rows
from i2i.data.sources import Domain, Source
from i2i.data.transforms import CENTRE, Preprocess, TransformSettings, resize
from i2i.pixels import PixelFormat
from i2i.values import Pair

log = logging.getLogger("i2i.data")


def preview(
    a: Source,
    b: Source,
    *,
    count: int = 4,
    load_size: int = 286,
    crop_size: int = 256,
    preprocess: Preprocess = "resize_and_crop",
    multiple: int = 4,
    pixels: PixelFormat | tuple[PixelFormat, PixelFormat] = PixelFormat(),
    skip_bad: bool = False,
) -> Pair:
    """Return the first images of both domains as one batch: cropped in the middle, not mirrored.

    Where ``preprocess`` leaves images of different sizes, all are resized to the size of A's first, so that they fit
    into one batch and one grid.

    Args:
        a: folders, files or a dataset, best those for testing (`find_folders`).
        b: the same for the other domain.
        count: images of each domain; fewer where a domain has fewer.
        load_size: see `TransformSettings`, like the next three.
        crop_size: in pixels.
        preprocess: how images are brought to size.
        multiple: sides without a crop are rounded to it.
        pixels: how images become numbers, for both domains or for each.
        skip_bad: go on without images that cannot be used.

    Returns:
        ``a`` and ``b``, each ``(count, c, h, w)``, float32 in ``[-1, 1]``, of equal height and width.

    Raises:
        DataError: a folder or an image that cannot be used.
        SettingsError: a setting that is out of range.
    """
    settings = TransformSettings(preprocess, load_size, crop_size, False, multiple)
    domains = [
        Domain(source, settings, pixels=one, skip_bad=skip_bad, max_images=count)
        for source, one in zip((a, b), both(pixels), strict=True)
    ]
    return first_batch([domain.rows for domain in domains], Stacker(Pair, both(pixels)), count)


def first_batch(parts: Sequence[Rows], stack: Stacker[B], count: int = 4) -> B:
    """Return the first rows of all parts as one batch, as `preview` does.

    Args:
        parts: a part for each domain, or one whose rows are pairs.
        stack: makes the batch.
        count: rows; fewer where a part has fewer.

    Raises:
        DataError: a row that cannot be used.
    """
    skipped: list[str] = []
    shown = range(min(count, *map(len, parts)))
    items = [[image for part in parts for image in part.load(index, CENTRE, skipped)] for index in shown]
    for message in skipped:
        log.warning("skipped: %s", message)
    height, width = items[0][0].shape[:2]
    return stack([[resize(image, (width, height)) for image in images] for images in items])
