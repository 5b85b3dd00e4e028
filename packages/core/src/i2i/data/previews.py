"""A fixed batch to look at: the first images of two domains, without any chance."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from i2i.data.images import to_batch
from i2i.data.loader import both
from i2i.data.sources import Domain, Source
from i2i.data.transforms import CENTRE, Preprocess, TransformSettings
from i2i.values import Pair

if TYPE_CHECKING:
    from PIL.Image import Image

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
    channels: int | tuple[int, int] = 3,
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
        channels: 3 (colour) or 1 (grey), for both domains or for each.
        skip_bad: go on without images that cannot be used.

    Returns:
        ``a`` and ``b``, each ``(count, c, h, w)``, float32 in ``[-1, 1]``, of equal height and width.

    Raises:
        DataError: a folder or an image that cannot be used.
        SettingsError: a setting that is out of range.
    """
    settings = TransformSettings(preprocess, load_size, crop_size, False, multiple)
    domains = [
        Domain(source, settings, channels=c, skip_bad=skip_bad, max_images=count)
        for source, c in zip((a, b), both(channels), strict=True)
    ]
    shown = range(min(count, *map(len, domains)))
    skipped: list[str] = []
    images = [[domain.load(index, CENTRE, skipped) for index in shown] for domain in domains]
    for message in skipped:
        log.warning("skipped: %s", message)
    size = images[0][0].size
    return Pair(*(to_batch(_of_size(column, size)) for column in images))


def _of_size(images: Sequence[Image], size: tuple[int, int]) -> list[Image]:
    from PIL.Image import Resampling

    return [image if image.size == size else image.resize(size, Resampling.BICUBIC) for image in images]
