"""Images that Pillow cannot hold: 16 bits and floats, and other numbers of channels; as PNG and TIFF."""

from __future__ import annotations

import io
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
_ORIENTATION, _SAMPLES = 0x0112, 277
_EXTRA_ALPHA = {1: "multiplied", 2: "straight"}
_INTEGERS = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}
# Interpretations whose numbers are no grey values or colours as they stand.
_UNUSUAL = {3: "palette", 6: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab"}


class Header(NamedTuple):
    """What a file says of itself: ``(width, height)`` as stored, and its bits per channel."""

    size: tuple[int, int]
    depth: Depth


def is_plain(image: ImageFile) -> bool:
    """Tell whether Pillow reads all of an image: 8 bits per channel, and no more channels than its mode has."""
    if image.format == "TIFF" and image.tag_v2.get(_SAMPLES, 1) > len(image.getbands()):  # type: ignore[attr-defined]
        return False
    return image.mode in _BANDS and not _has_low_bytes(image)


def _has_low_bytes(image: ImageFile) -> bool:
    # Pillow reads 16-bit RGB as mode RGB and throws the low byte away: only what its decoder is told shows it.
    told = image.tile[0][3] if image.tile else None
    brightest = told[-1] if image.format == "PPM" and isinstance(told, tuple) else 0
    return ";16" in str(told) or (isinstance(brightest, int) and brightest > 255)


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
    # Asking for the orientation makes Pillow decode the picture, unless it was in front of it.
    orientation = image.getexif().get(_ORIENTATION, 1) if b"eXIf" in data or "exif" in image.info else 1
    array = array.reshape(*array.shape[:2], -1)
    return Stored(array, array.shape[2] in (2, 4), orientation)


def read_tiff(source: str | Path | bytes) -> Stored:
    """Read the first page of a TIFF: any number of channels, interleaved or in planes.

    Unsigned integers of up to 16 bits stay what they are; other numbers become float32.

    Raises:
        DataError: no image, several layers in one, or with colours that are no grey or RGB values.
    """
    with _first_page(source) as page:
        array = page.asarray(maxworkers=1)  # the processes that read ahead are parallel already
        if page.axes == "SYX":
            array = np.ascontiguousarray(np.moveaxis(array, 0, -1))
        array = _known_type(array.reshape(*array.shape[:2], -1))
        if page.photometric == 0 and array.dtype != np.float32:  # white is 0
            array = np.iinfo(array.dtype).max - array
        alpha = _EXTRA_ALPHA.get(page.extrasamples[0]) if len(page.extrasamples) == 1 else None
        orientation = page.tags.get(_ORIENTATION)
    array = straight(array) if alpha == "multiplied" else array
    return Stored(array, alpha is not None, int(orientation.value) if orientation else 1)


def tiff_header(source: str | Path | bytes) -> Header:
    """Return size and depth of a TIFF, from its header alone.

    Raises:
        DataError: see `read_tiff`.
    """
    with _first_page(source) as page:
        return Header((page.imagewidth, page.imagelength), _INTEGERS.get(page.dtype, 32))  # type: ignore[arg-type]


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
    """Write ``(h, w, c)`` uint8, uint16 or float32: interleaved, compressed without loss (deflate)."""
    colour = array.shape[2] == 3
    tifffile.imwrite(
        path,
        np.ascontiguousarray(array if array.shape[2] > 1 else array[..., 0]),
        photometric="rgb" if colour else "minisblack",
        planarconfig="contig" if array.shape[2] > 1 else None,
        compression="zlib",
        metadata=None,
    )
