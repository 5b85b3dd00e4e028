"""One domain: an Arrow-backed Hugging Face dataset of image files, decoded when they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from i2i.data.folders import find_images
from i2i.data.images import header_size, mode_of, read_image
from i2i.data.transforms import Draw, TransformSettings, check_size, transform
from i2i.errors import DataError, SettingsError

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

Source: TypeAlias = "str | Path | Sequence[str | Path] | Dataset"

log = logging.getLogger("i2i.data")


class Domain:
    """The images of one domain.

    Files are checked when it is built, by their headers: kind, depth and size. Damage further inside is found when a
    file is reached. Rows of a Hugging Face dataset are checked only when they are reached.

    Args:
        source: a folder, a file, several of them, or a `datasets.Dataset` with an image column.
        settings: how images are brought to size.
        channels: 3 for RGB, 1 for grey.
        skip_bad: go on without images that cannot be used: those that the check finds are left out, those found later
            are replaced by the next good one.
        max_images: use the first so many only.

    Raises:
        DataError: a folder or an image that cannot be used.
        SettingsError: a number of channels other than 1 and 3, or ``max_images`` below 1.
    """

    def __init__(
        self,
        source: Source,
        settings: TransformSettings,
        *,
        channels: int = 3,
        skip_bad: bool = False,
        max_images: int | None = None,
    ) -> None:
        mode_of(channels)
        if max_images is not None and max_images < 1:
            raise SettingsError(f"max_images (={max_images}) must be at least 1")
        self._settings, self._channels, self._skip_bad = settings, channels, skip_bad
        if _is_files(source):
            files = find_images(source)[:max_images]
            self._dataset = _file_dataset([str(path) for path in files if self._usable(path)], files)
        else:
            self._dataset = _image_column(source, max_images)

    def __len__(self) -> int:
        return len(self._dataset)

    def _usable(self, path: Path) -> bool:
        try:
            check_size(header_size(path), self._settings, str(path))
        except DataError as error:
            if not self._skip_bad:
                raise _with_remedy(error) from error
            log.warning("skipped: %s", error)
            return False
        return True

    def load(self, index: int, draw: Draw, bad: list[str]) -> Image:
        """Read image ``index`` and bring it to size.

        Args:
            index: below ``len(self)``.
            draw: where to crop, whether to mirror.
            bad: what was skipped is added to it, one message for each image.

        Raises:
            DataError: it cannot be used; with ``skip_bad``: none can.
        """
        for step in range(len(self)):
            try:
                return self._load((index + step) % len(self), draw)
            except DataError as error:
                if not self._skip_bad:
                    raise _with_remedy(error) from error
                bad.append(str(error))
        raise DataError(f"none of the {len(self)} images can be used; the first: {bad[0]}")

    def _load(self, index: int, draw: Draw) -> Image:
        row = self._dataset[index]["image"] or {"bytes": None, "path": None}
        name = row["path"] or f"row {index} of the dataset"
        if row["bytes"] is None and row["path"] is None:
            raise DataError(f"{name} has no image")
        image = read_image(row["path"] if row["bytes"] is None else row["bytes"], self._channels, name=name)
        return transform(image, self._settings, draw, name)


def _with_remedy(error: DataError) -> DataError:
    return DataError(f"{error}; --skip-bad goes on without such images")


def _is_files(source: Source) -> bool:
    if isinstance(source, str | Path):
        return True
    return isinstance(source, Sequence) and all(isinstance(entry, str | Path) for entry in source)


def _file_dataset(names: list[str], found: list[Path]) -> Dataset:
    from datasets import Dataset, Features, Image

    if not names:
        raise DataError(f"none of the {len(found)} images in {found[0].parent} can be used")
    return Dataset.from_dict({"image": names}, features=Features({"image": Image(decode=False)}))


def _image_column(source: Any, max_images: int | None) -> Dataset:
    from datasets import Dataset, Image

    if not isinstance(source, Dataset):
        raise DataError(
            f"images come from folders, files or one split of a datasets.Dataset, not {type(source).__name__}"
        )
    columns = [name for name, kind in source.features.items() if isinstance(kind, Image)]
    if len(columns) != 1:
        held = ", ".join(f"{name} ({type(kind).__name__})" for name, kind in source.features.items())
        raise DataError(f"the dataset needs exactly one image column; it has {held}; use dataset.select_columns(...)")
    if not len(source):
        raise DataError("the dataset is empty")
    rows = source.with_format(None).select_columns(columns).rename_columns({columns[0]: "image"})
    kept = rows if max_images is None else rows.select(range(min(max_images, len(rows))))
    return kept.cast_column("image", Image(decode=False))
