"""Images that Pillow cannot hold: 16 bits and floats, and other numbers of channels; as PNG and TIFF."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from i2i.data.channels import Stored, straight
from i2i.errors import DataError
from i2i.pixels import Depth

if TYPE_CHECKING:
    from tifffile import TiffPage

_BANDS = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"})
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags of TIFF; the first one is that of EXIF, too.
_ORIENTATION, _SAMPLES, _BITS, _SAMPLE_FORMAT, _PHOTOMETRIC = 274, 277, 258, 339, 262
_UNSIGNED, _UNDEFINED = 1, 4
_EXTRA_ALPHA = {1: "multiplied", 2: "straight"}
_INTEGERS = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}
# Interpretations whose numbers are no grey values or colours as they stand.
_UNUSUAL = {3: "palette", 6: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab"}


# tifffile logs each damaged tag, on top of the one error that is raised here; a program that asks for its log gets it.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class Header(NamedTuple):
    """What a file says of itself: ``(width, height)`` upright, and its bits per channel."""

    size: tuple[int, int]
    depth: Depth


def is_plain(image: ImageFile) -> bool:
    """Tell whether Pillow reads all of an image: 8 bits per channel, and no more channels than its mode has."""
    if image.format == "TIFF" and not _is_plain_tiff(image):
        return False
    return image.mode in _BANDS and not _has_low_bytes(image)


def _is_plain_tiff(image: ImageFile) -> bool:
    # Of planes of 16 bits Pillow reads every other byte, and it takes signed bytes for unsigned ones.
    tags = image.tag_v2  # type: ignore[attr-defined]
    return (
        tags.get(_SAMPLES, 1) <= len(image.getbands())
        and max(tags.get(_BITS, (1,))) <= 8
        and {_UNSIGNED, _UNDEFINED}.issuperset(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))
    )


def counts_from_white(image: ImageFile) -> bool:
    """Tell whether the 0 of a grey TIFF is white: Pillow turns its numbers round."""
    return image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0  # type: ignore[attr-defined]


def _has_low_bytes(image: ImageFile) -> bool:
    # Pillow reads 16-bit RGB as mode RGB and throws the low byte away: only what its decoder is told shows it.
    told = image.tile[0][3] if image.tile else None
    brightest = told[-1] if image.format == "PPM" and isinstance(told, tuple) else 0
    return ";16" in str(told) or (isinstance(brightest, int) and brightest > 255)


def upright_size(image: ImageFile) -> tuple[int, int]:
    """Return the (width, height) that an image has when it is turned upright; no pixel is decoded."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):  # Pillow's TIFFs are upright
        return image.size
    return _turned(image.size, _orientation(image))


def _orientation(image: ImageFile) -> int:
    # Asking a PNG makes Pillow decode the picture, unless the orientation was in front of it.
    return int(image.getexif().get(_ORIENTATION, 1))


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return size[::-1] if orientation in (5, 6, 7, 8) else size


def is_tiff(file: BinaryIO) -> bool:
    """Tell from its first bytes whether a file is a TIFF, and go back to them."""
    start = file.read(4)
    file.seek(0)
    return start in _TIFF


def tiff_channels(file: BinaryIO) -> int:
    """Return how many channels a TIFF has, transparency included."""
    with tifffile.TiffFile(file) as tiff:
        return tiff.pages.first.samplesperpixel


def read_png(source: str | Path | bytes, image: ImageFile) -> Stored:
    """Read a PNG with 16 bits per channel that Pillow has opened as ``image``."""
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    array = imagecodecs.png_decode(data)
    orientation = _orientation(image) if b"eXIf" in data or "exif" in image.info else 1
    array = array.reshape(*array.shape[:2], -1)
    return Stored(array, array.shape[2] in (2, 4), orientation)


def read_tiff(source: str | Path | bytes) -> Stored:
    """Read the first page of a TIFF: any number of channels, interleaved or in planes.

    Unsigned integers of up to 16 bits stay what they are; other numbers become float32.

    Raises:
        DataError: no image, several layers in one, or with colours that are no grey or RGB values.
    """
    with _first_page(source) as page:
        array = _known_type(_interleaved(page))
        if page.photometric == 0 and array.dtype != np.float32:  # white is 0
            array = np.iinfo(array.dtype).max - array
        alpha = _EXTRA_ALPHA.get(page.extrasamples[0]) if len(page.extrasamples) == 1 else None
        orientation = page.tags.valueof(_ORIENTATION, default=1)
    array = straight(array) if alpha == "multiplied" else array
    return Stored(array, alpha is not None, int(orientation))


def read_tiff_integers(source: str | Path | bytes) -> Stored:
    """Read the first page of a TIFF whose numbers are ids, as they stand.

    Raises:
        DataError: see `read_tiff`; or numbers that are not whole.
    """
    with _first_page(source) as page:
        if page.dtype is None or page.dtype.kind == "f":
            raise DataError("holds numbers with decimals (floats), and ids are whole numbers; save it as integers")
        return Stored(_interleaved(page), False, int(page.tags.valueof(_ORIENTATION, default=1)))


def _interleaved(page: TiffPage) -> NDArray[Any]:
    array = page.asarray(maxworkers=1)  # the processes that read ahead are parallel already
    if page.axes == "SYX":
        array = np.ascontiguousarray(np.moveaxis(array, 0, -1))
    return array.reshape(*array.shape[:2], -1)


def tiff_header(source: str | Path | bytes) -> Header:
    """Return size and depth of a TIFF, from its header alone.

    Raises:
        DataError: see `read_tiff`.
    """
    with _first_page(source) as page:
        size = _turned((page.imagewidth, page.imagelength), int(page.tags.valueof(_ORIENTATION, default=1)))
        return Header(size, _INTEGERS.get(page.dtype, 32))  # type: ignore[arg-type]


@contextmanager
def _first_page(source: str | Path | bytes) -> Iterator[TiffPage]:
    with tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
        page = file.pages.first
        if page.axes not in ("YX", "YXS", "SYX") or page.dtype is None or page.dtype.kind not in "uifb":
            raise DataError(f"is a TIFF with axes {page.axes} of type {page.dtype}, which is no image of channels")
        if page.photometric in _UNUSUAL:
            raise DataError(f"is a TIFF of colours stored as {_UNUSUAL[page.photometric]}; save it as grey or RGB")
        ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends, default=0) > file.filehandle.size or math.prod(page.chunked) > len(page.dataoffsets):
            raise ValueError("image file is truncated")
        yield page


def _known_type(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.newbyteorder("=") in _INTEGERS:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.astype(np.float32, copy=False)


def write_png(path: str | Path, array: NDArray[Any]) -> None:
    """Write ``(h, w, 1 to 4)`` uint8 or uint16."""
    Path(path).write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))


def write_tiff(path: str | Path, array: NDArray[Any]) -> None:
    """Write ``(h, w, c)`` uint8, uint16 or float32: interleaved, compressed without loss (deflate).

    The last of two or four channels is marked as transparency, as it always is in a PNG.
    """
    tifffile.imwrite(
        path,
        np.ascontiguousarray(array if array.shape[2] > 1 else array[..., 0]),
        photometric="rgb" if array.shape[2] in (3, 4) else "minisblack",
        extrasamples=["unassalpha"] if array.shape[2] in (2, 4) else None,
        planarconfig="contig" if array.shape[2] > 1 else None,
        compression="zlib",
        metadata=None,
    )
