"""How a row of a table becomes a scene: label map, instance map and image, cropped and mirrored alike."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen
from numpy.typing import NDArray

from i2i.data.colours import Colours
from i2i.data.ids import IdError, instances_size, read_instances, read_labels
from i2i.data.images import header_size, open_image
from i2i.data.rows import Cell, Sides, source_of, unequal, with_remedy
from i2i.data.transforms import Draw, Picture, TransformSettings, check_size, size_of, transform
from i2i.errors import DataError
from i2i.pixels import PixelFormat

if TYPE_CHECKING:
    from datasets import Dataset

_TOGETHER = 64  # rows that are taken from a table at once, to be checked by the threads
_THREADS = 8
_EQUAL = "the files of a scene"

log = logging.getLogger("i2i.data")


@frozen
class SceneReader:
    """Makes a scene of the cells of a row: label map, instance map where there is one, image.

    Attributes:
        settings: how they are brought to size: maps by nearest neighbour, images by Pillow's bicubic filter.
        formats: of the images of domain A, None where there are label maps; of the images.
        classes: that label maps may hold.
        colours: of RGB label maps.
        instances: there are instance maps.
        sides: each has a file of its own.
    """

    settings: TransformSettings
    formats: tuple[PixelFormat | None, PixelFormat]
    classes: int
    colours: Colours | None = None
    instances: bool = True
    sides: Sides = "files"

    @property
    def pixels(self) -> tuple[PixelFormat | None, ...]:
        """What each column holds; None: ids."""
        labels, image = self.formats
        return (labels, None, image) if self.instances else (labels, image)

    def __call__(self, cells: Sequence[Cell], draw: Draw, place: str, /) -> tuple[NDArray[Any], ...]:
        """Read a row; see `i2i.data.rows.RowReader`.

        Returns:
            ``(h, w, c)`` each: int32 for ids, images as they are stored.

        Raises:
            DataError: a file is missing or cannot be used, an id is too high, or sizes differ.
        """
        names = _names(cells, place)
        found = [self._read(k, source_of(cell, names[k]), names[k]) for k, cell in enumerate(cells)]
        sizes = [size_of(image) for image in found]
        if len(set(sizes)) > 1:
            raise unequal(sizes, names, _EQUAL)
        return tuple(transform(image, self.settings, draw, name) for image, name in zip(found, names, strict=True))

    def _read(self, column: int, source: str | bytes, name: str) -> Picture:
        pixels = self.pixels[column]
        if pixels is not None:
            return open_image(source, pixels, name=name)
        if column == 0:
            return read_labels(source, self.classes, self.colours, name=name)[..., None]
        return read_instances(source, name=name)[..., None]

    def check(self, cells: Sequence[Cell], place: str, *, labels: bool) -> None:
        """Check a row by the headers of its files.

        Args:
            cells: as for reading.
            place: what errors call the row where a cell has no path.
            labels: read the whole label map, and check its ids.

        Raises:
            DataError: see `__call__`; or the image is too small.
        """
        names, sizes = _names(cells, place), []
        for k, (cell, name) in enumerate(zip(cells, names, strict=True)):
            source = source_of(cell, name)
            if labels and k == 0 and self.pixels[0] is None:
                sizes.append(size_of(self._read(0, source, name)))
            else:
                measure = instances_size if k > 0 and self.pixels[k] is None else header_size
                sizes.append(measure(source, name=name))
        if len(set(sizes)) > 1:
            raise unequal(sizes, names, _EQUAL)
        check_size(sizes[-1], self.settings, names[-1])


def _names(cells: Sequence[Cell], place: str) -> list[str]:
    return [(cell or {}).get("path") or place for cell in cells]


def usable_scenes(table: Dataset, read: SceneReader, *, labels: bool = True, skip_bad: bool = False) -> Dataset:
    """Check all rows before they are trained on.

    Args:
        table: undecoded columns, as ``read`` expects them.
        read: what will read them.
        labels: read all label maps, and check their ids; else headers only.
        skip_bad: leave rows out that cannot be used, with a warning for each.

    Returns:
        The rows that can be used.

    Raises:
        DataError: one cannot be used, and is not to be skipped; of ids that are too high, the highest is named.
    """
    bad: dict[int, DataError] = {}
    reading = labels and read.pixels[0] is None
    for row, error in enumerate(_checked(table, partial(_error_of, read, labels), reading=reading)):
        if error is not None:
            bad[row] = error
            if not skip_bad and _id_of(error) is None:
                raise with_remedy(error) from error
    if bad and not skip_bad:
        # The highest id, so that one remedy serves all maps.
        raise with_remedy(max(bad.values(), key=lambda error: _id_of(error) or 0))
    for error in bad.values():
        log.warning("skipped: %s", error)
    if bad and len(bad) == len(table):
        raise DataError(f"none of the {len(table)} scenes can be used; the first: {bad[0]}")
    return table.select([row for row in range(len(table)) if row not in bad]) if bad else table


def _checked(
    table: Dataset, error_of: Callable[[Sequence[Cell], int], DataError | None], *, reading: bool
) -> Iterator[DataError | None]:
    """Yield the error of each row, or None."""
    from tqdm import tqdm

    quiet = None if reading else True  # headers are read in no time; None: only where somebody looks
    with (
        tqdm(total=len(table), unit="map", desc="checking ids", disable=quiet, leave=False) as bar,
        ThreadPoolExecutor(_THREADS) as threads,
    ):
        for start in range(0, len(table), _TOGETHER):
            rows = range(start, min(start + _TOGETHER, len(table)))
            for error in threads.map(error_of, [[*table[row].values()] for row in rows], rows):
                bar.update()
                yield error


def _error_of(read: SceneReader, labels: bool, cells: Sequence[Cell], row: int) -> DataError | None:
    try:
        read.check(cells, f"row {row} of the dataset", labels=labels)
    except DataError as error:
        return error
    return None


def _id_of(error: DataError) -> int | None:
    """Return the id that is too high, if that is the error."""
    return error.__cause__.found if isinstance(error.__cause__, IdError) else None
