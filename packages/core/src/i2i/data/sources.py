"""One domain: an Arrow-backed Hugging Face dataset of image files, decoded when they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from numpy.typing import NDArray

from i2i.data.folders import find_images
from i2i.data.images import header_size
from i2i.data.rows import RowReader, Rows, with_remedy
from i2i.data.transforms import Draw, TransformSettings, check_size
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T")
Source: TypeAlias = "str | Path | Sequence[str | Path] | Dataset"

log = logging.getLogger("i2i.data")


class Domain:
    """The images of one domain.

    Files are checked when it is built, by their headers: kind, depth and size. Damage further inside is found when a
    file is reached. Rows of a Hugging Face dataset are checked only when they are reached.

    Args:
        source: a folder, a file, several of them, or a `datasets.Dataset` with an image column.
        settings: how images are brought to size.
        pixels: what the images are read as.
        skip_bad: go on without images that cannot be used: those that the check finds are left out, those found later
            are replaced by the next good one.
        max_images: use the first so many only.

    Raises:
        DataError: a folder or an image that cannot be used.
        SettingsError: ``max_images`` below 1.
    """

    def __init__(
        self,
        source: Source,
        settings: TransformSettings,
        *,
        pixels: PixelFormat = PixelFormat(),
        skip_bad: bool = False,
        max_images: int | None = None,
    ) -> None:
        check_max_images(max_images)
        self.pixels = pixels
        if is_files(source):
            files = find_images(source)[:max_images]
            check = partial(_check_file, settings=settings)
            table = file_table({"image": [str(path) for path in files if usable(check, path, skip_bad)]}, files)
        else:
            table = image_table(source, max_images)
        self.rows = Rows(table, RowReader(settings, (pixels,)), skip_bad=skip_bad)

    def __len__(self) -> int:
        return len(self.rows)

    def load(self, index: int, draw: Draw, bad: list[str]) -> NDArray[Any]:
        """Read image ``index``, ``(h, w, c)``, and bring it to size.

        Args:
            index: below ``len(self)``.
            draw: where to crop, whether to mirror.
            bad: what was skipped is added to it, one message for each image.

        Raises:
            DataError: it cannot be used; with ``skip_bad``: none can.
        """
        return self.rows.load(index, draw, bad)[0]


def _check_file(path: Path, settings: TransformSettings) -> None:
    check_size(header_size(path), settings, str(path))


def check_max_images(max_images: int | None) -> None:
    """Check a limit.

    Raises:
        SettingsError: it is below 1.
    """
    if max_images is not None and max_images < 1:
        raise SettingsError(f"max_images (={max_images}) must be at least 1")


def usable(check: Callable[[T], None], files: T, skip_bad: bool) -> bool:
    """Tell whether files pass a check.

    Raises:
        DataError: they do not, and are not to be skipped.
    """
    try:
        check(files)
    except DataError as error:
        if not skip_bad:
            raise with_remedy(error) from error
        log.warning("skipped: %s", error)
        return False
    return True


def is_files(source: Source) -> bool:
    """Tell whether a source is files and folders, not a dataset."""
    if isinstance(source, str | Path):
        return True
    return isinstance(source, Sequence) and all(isinstance(entry, str | Path) for entry in source)


def file_table(columns: Mapping[str, Sequence[str]], found: Sequence[Path]) -> Dataset:
    """Return a table with the names of files in its columns.

    Args:
        columns: by name, all of one length.
        found: the files that were found, those that cannot be used included.

    Raises:
        DataError: none is left.
    """
    from datasets import Dataset, Features, Image

    if not all(columns.values()):
        raise DataError(f"none of the {len(found)} images in {found[0].parent} can be used")
    return Dataset.from_dict(dict(columns), features=Features({name: Image(decode=False) for name in columns}))


def image_table(source: Any, max_images: int | None, *, most: int = 1) -> Dataset:
    """Return the image columns of a dataset, undecoded.

    Args:
        source: one split, with no more image columns than ``most``.
        max_images: keep the first so many rows.
        most: how many image columns can be used.

    Raises:
        DataError: it is something else, is empty, or has no image column or too many.
    """
    from datasets import Dataset, Image

    if not isinstance(source, Dataset):
        raise DataError(
            f"images come from folders, files or one split of a datasets.Dataset, not {type(source).__name__}"
        )
    columns = [name for name, kind in source.features.items() if isinstance(kind, Image)]
    if not 1 <= len(columns) <= most:
        held = ", ".join(f"{name} ({type(kind).__name__})" for name, kind in source.features.items())
        count = "exactly one image column" if most == 1 else "one or two image columns"
        raise DataError(f"the dataset needs {count}; it has {held}; use dataset.select_columns(...)")
    if not len(source):
        raise DataError("the dataset is empty")
    rows = source.with_format(None).select_columns(columns)
    rows = rows if max_images is None else rows.select(range(min(max_images, len(rows))))
    for name in columns:
        rows = rows.cast_column(name, Image(decode=False))
    return rows
