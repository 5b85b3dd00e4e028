"""Rows of image files in a table, and how one row becomes the images of an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol

from attrs import frozen
from numpy.typing import NDArray

from i2i.data.channels import file_channels, luma
from i2i.data.deep import Header
from i2i.data.images import open_image, read_header
from i2i.data.transforms import Draw, Picture, TransformSettings, as_array, size_of, transform
from i2i.errors import DataError
from i2i.pixels import Depth, PixelFormat

if TYPE_CHECKING:
    from datasets import Dataset

Cell = Mapping[str, Any] | None
Sides = Literal["files", "halves", "same"]
_REMEDY = "--skip-bad goes on without such images"


class ReadsRow(Protocol):
    """What makes images of a row."""

    @property
    def sides(self) -> Sides:
        """See `RowReader`."""
        ...

    def __call__(self, cells: Sequence[Cell], draw: Draw, place: str, /) -> tuple[NDArray[Any], ...]:
        """Read a row; the arguments are those of `RowReader`."""
        ...


@frozen
class RowReader:
    """How the cells of a row become images of equal size, cropped and mirrored alike.

    Attributes:
        settings: how they are brought to size.
        pixels: of each image.
        sides: ``"files"``: a cell for each image; ``"halves"``: one cell, A is its left half, B its right one;
            ``"same"``: one cell that is seen in two ways (its lightness and its colours).
    """

    settings: TransformSettings
    pixels: tuple[PixelFormat, ...]
    sides: Sides = "files"

    def __call__(self, cells: Sequence[Cell], draw: Draw, place: str) -> tuple[NDArray[Any], ...]:
        """Read a row.

        Args:
            cells: ``{"bytes": ..., "path": ...}``, where one of the two may be None; None where there is no image.
            draw: where to crop, whether to mirror.
            place: what errors call the row where the cell has no path.

        Raises:
            DataError: an image is missing or cannot be used, or the two sides differ in size.
        """
        names = [(cell or {}).get("path") or place for cell in cells]
        if self.sides == "files":
            wanted = zip(cells, self.pixels, names, strict=True)
            images = [_read(cell, pixels, name) for cell, pixels, name in wanted]
        else:
            images = self._both_of_one(cells[0], names[0])
        sizes = [size_of(image) for image in images]
        if self.sides == "files" and len(set(sizes)) > 1:
            raise unequal(sizes, names)
        return tuple(
            transform(image, self.settings, draw, name) for image, name in zip(images, names * 2, strict=False)
        )

    def _both_of_one(self, cell: Cell, name: str) -> list[Picture]:
        """Make both sides of a file; it is read once, in colour where one side is, unless that does not serve both."""
        a, b = self.pixels
        if a.range == b.range and {1, 3}.issuperset(map(file_channels, (a, b))):
            whole = [as_array(_read(cell, max(a, b, key=file_channels), name))] * 2
        else:
            whole = [as_array(_read(cell, pixels, name)) for pixels in (a, b)]
        sides = whole if self.sides == "same" else [halves(image, name)[k] for k, image in enumerate(whole)]
        wanted = zip(sides, map(file_channels, (a, b)), strict=True)
        return [luma(side) if (side.shape[2], channels) == (3, 1) else side for side, channels in wanted]


def halves(image: NDArray[Any], name: str = "the image") -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the left and the right half of an image ``(h, w, c)``.

    Raises:
        DataError: its width is odd.

    Differs:
        The authors' code makes the right half one pixel wider where the width is odd.
    """
    middle, _ = half_size((image.shape[1], image.shape[0]), name)
    return image[:, :middle], image[:, middle:]


def half_size(size: tuple[int, int], name: str) -> tuple[int, int]:
    """Return the (width, height) of each half of an image of ``size``.

    Raises:
        DataError: its width is odd.
    """
    if size[0] % 2:
        raise DataError(f"{name} is {size[0]}x{size[1]}, but an image with both sides has an even width")
    return size[0] // 2, size[1]


def unequal(sizes: Sequence[tuple[int, int]], names: Sequence[object], what: str = "both sides of a pair") -> DataError:
    """Return the error for images that belong together and whose sizes (width, height) differ."""
    other = next(k for k, size in enumerate(sizes) if size != sizes[0])
    first, second = (f"{names[k]} is {sizes[k][0]}x{sizes[k][1]}" for k in (0, other))
    return DataError(f"{first}, but {second}; {what} must have the same size")


def _read(cell: Cell, pixels: PixelFormat, name: str) -> Picture:
    return open_image(source_of(cell, name), pixels, name=name)


def header_depth(cell: Cell, place: str) -> Depth:
    """Return the bits per channel of the image of a cell, from its header alone.

    Raises:
        DataError: there is no image, or it cannot be read.
    """
    return _header(cell, place).depth


def _header(cell: Cell, place: str) -> Header:
    name = (cell or {}).get("path") or place
    return read_header(source_of(cell, name), name=name)


def source_of(cell: Cell, name: str) -> str | bytes:
    """Return the bytes of the file of a cell, or its path on this machine.

    Raises:
        DataError: there is no image, or it cannot be fetched.
    """
    if cell is None or (cell["bytes"] is None and cell["path"] is None):
        raise DataError(f"{name} has no image")
    if cell["bytes"] is not None:
        return bytes(cell["bytes"])
    path = str(cell["path"])
    if "://" not in path:
        return path
    import fsspec  # type: ignore[import-untyped]

    try:
        with fsspec.open(path, "rb") as file:  # inside an archive, or on the Hub
            return bytes(file.read())
    except Exception as error:  # every file system has errors of its own
        raise DataError(f"{path} cannot be fetched: {' '.join(str(error).split()) or type(error).__name__}") from error


class Rows:
    """The rows of a table, read when they are asked for.

    Args:
        table: image columns only, undecoded.
        read: makes images of the cells of a row: a `RowReader`, or another one.
        skip_bad: in place of a row that cannot be used, take the next one that can.
    """

    def __init__(self, table: Dataset, read: ReadsRow, *, skip_bad: bool = False) -> None:
        self._table, self._read, self._skip_bad = table, read, skip_bad
        self.sides = read.sides

    def __len__(self) -> int:
        return len(self._table)

    def first_size(self) -> tuple[int, int] | None:
        """Return the (width, height) of the first image, from its header; None where that cannot be read."""
        cell = next(iter(self._table[0].values()))
        with suppress(DataError):
            return _header(cell, "row 0 of the dataset").size
        return None

    def load(self, index: int, draw: Draw, bad: list[str]) -> tuple[NDArray[Any], ...]:
        """Return the images of row ``index``.

        Args:
            index: below ``len(self)``.
            draw: where to crop, whether to mirror.
            bad: what was skipped is added to it, one message for each row.

        Raises:
            DataError: the row cannot be used; with ``skip_bad``: none can.
        """
        for step in range(len(self)):
            place = (index + step) % len(self)
            try:
                return self._read(list(self._table[place].values()), draw, f"row {place} of the dataset")
            except DataError as error:
                if not self._skip_bad:
                    raise with_remedy(error) from error
                bad.append(str(error))
        raise DataError(f"none of the {len(self)} images can be used; the first: {bad[0]}")


def with_remedy(error: DataError) -> DataError:
    """Return the error with the flag that leaves bad images out."""
    return DataError(f"{error}; {_REMEDY}")
