"""Pairs of images that belong together: one file with both sides, two folders with equal names, two columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from i2i.data.folders import find_images, find_pairs
from i2i.data.images import header_size
from i2i.data.loader import Batches, Reader, Stacker, both, training_order
from i2i.data.rows import RowReader, Rows, Sides, half_size, unequal
from i2i.data.sources import Source, check_max_images, file_table, image_table, is_files, usable
from i2i.data.transforms import Preprocess, TransformSettings, check_size
from i2i.errors import DataError
from i2i.pixels import PixelFormat
from i2i.values import Pair

if TYPE_CHECKING:
    from datasets import Dataset

Direction: TypeAlias = Literal["a_to_b", "b_to_a"]
OneSide: TypeAlias = Literal["halves", "same"]


def paired(
    a: Source,
    b: Source | None = None,
    *,
    direction: Direction = "a_to_b",
    load_size: int = 286,
    crop_size: int = 256,
    preprocess: Preprocess = "resize_and_crop",
    multiple: int = 4,
    smallest: int = 1,
    flip: bool = True,
    pixels: PixelFormat | tuple[PixelFormat, PixelFormat] = PixelFormat(),
    batch_size: int = 1,
    seed: int = 0,
    workers: int = 0,
    serial: bool = False,
    skip_bad: bool = False,
    max_images: int | None = None,
) -> Batches[Pair]:
    """Batches of pairs; both sides of a pair are cropped and mirrored alike.

    An epoch is every pair once, in an order shuffled anew. A last batch that would not be full is left out; if all
    pairs together do not fill one batch, they are repeated until they do.

    Args:
        a: without ``b``: images with both sides, A on the left and B on the right, or a `datasets.Dataset` with one
            image column of that kind or with two image columns. With ``b``: folders of one side.
        b: folders of the other side, with images of the same names (the suffix does not count), or a dataset of as
            many rows.
        direction: ``"b_to_a"``: the batches hold B as ``a`` and A as ``b``.
        load_size: see `TransformSettings`, like the next five.
        crop_size: in pixels.
        preprocess: how images are brought to size.
        multiple: sides without a crop are rounded to it.
        smallest: the least side without a crop.
        flip: mirror pairs at random, one in two.
        pixels: what A and B are in their files, for both or for each.
        batch_size: pairs in a batch.
        seed: every shuffle, crop and flip follows from (seed, epoch, position).
        workers: processes that read ahead; they do not change what is read.
        serial: no shuffling.
        skip_bad: go on without pairs that cannot be used.
        max_images: use the first so many pairs only.

    Returns:
        Batches of `Pair` with ``a (b, c, h, w)`` and ``b (b, c, h, w)``, float32 in ``[-1, 1]``.

    Raises:
        DataError: a folder or an image that cannot be used, sides of unequal size, or names that do not match.
        SettingsError: a setting that is out of range.

    References:
        The authors' code of pix2pix, ``data/aligned_dataset.py``.
    """
    settings = TransformSettings(preprocess, load_size, crop_size, flip, multiple, smallest)
    formats = both(pixels)
    rows = pair_rows(a, b, settings, formats, skip_bad=skip_bad, max_images=max_images)
    stack = Stacker(Pair, formats, swapped=direction == "b_to_a")
    return Batches(Reader([rows], stack, training_order(len(rows), batch_size, seed, serial=serial)), workers)


def pair_rows(
    a: Source,
    b: Source | None,
    settings: TransformSettings,
    pixels: tuple[PixelFormat, PixelFormat],
    *,
    one_side: OneSide = "halves",
    skip_bad: bool = False,
    max_images: int | None = None,
) -> Rows:
    """Return pairs as rows that give two images each.

    Files are checked by their headers: kind, depth, size, and whether both sides have the same size.

    Args:
        a: see `paired`.
        b: see `paired`.
        settings: how images are brought to size.
        pixels: of A and of B.
        one_side: what A and B are where one file (or column) makes both of them.
        skip_bad: go on without pairs that cannot be used.
        max_images: use the first so many pairs only.

    Raises:
        DataError: a folder or an image that cannot be used, sides of unequal size, or names that do not match.
        SettingsError: ``max_images`` is below 1.
    """
    check_max_images(max_images)
    if b is not None and is_files(a) != is_files(b):
        raise DataError("one domain is a dataset, the other is files; pairs need two of a kind")
    if not is_files(a):
        table = image_table(a, max_images, most=2) if b is None else _side_by_side(a, b, max_images)
        sides: Sides = "files" if len(table.column_names) == 2 else one_side
    else:
        sides = one_side if b is None else "files"
        found = [(path,) for path in find_images(a)] if b is None else find_pairs(a, b)
        check = partial(_check_files, settings=settings, sides=sides)
        kept = [paths for paths in found[:max_images] if usable(check, paths, skip_bad)]
        columns = zip("ab", zip(*kept, strict=True), strict=False) if kept else [("a", ())]
        table = file_table({name: [str(path) for path in paths] for name, paths in columns}, [p[0] for p in found])
    return Rows(table, RowReader(settings, pixels, sides), skip_bad=skip_bad)


def _side_by_side(a: Source, b: Source, max_images: int | None) -> Dataset:
    """Join two datasets row by row."""
    from datasets import concatenate_datasets

    tables = [image_table(source, max_images) for source in (a, b)]
    lengths = [len(table) for table in tables]
    if lengths[0] != lengths[1]:
        raise DataError(f"pairs need as many rows of A as of B, not {lengths[0]} and {lengths[1]}")
    named = [table.rename_columns({table.column_names[0]: name}) for table, name in zip(tables, "ab", strict=True)]
    return concatenate_datasets(named, axis=1)


def _check_files(paths: Sequence[Path], settings: TransformSettings, sides: Sides) -> None:
    sizes = [header_size(path) for path in paths]
    if sides == "halves":
        sizes = [half_size(sizes[0], str(paths[0]))]
    if len(set(sizes)) > 1:
        raise unequal(sizes, paths)
    for size, path in zip(sizes, paths, strict=True):
        check_size(size, settings, str(path))
