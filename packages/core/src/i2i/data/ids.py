"""Maps of ids: files that say which class, or which object, each pixel belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, ImageOps

from i2i.data import deep
from i2i.data.channels import Stored, upright
from i2i.data.colours import Colours, classes_of
from i2i.data.images import named, opened
from i2i.errors import DataError

Source: TypeAlias = "str | Path | bytes"
Ids: TypeAlias = NDArray[np.int32]

_MOST = 2**31 - 1
_WHOLE = frozenset({"1", "L", "LA", "La", "P", "PA", "I", "I;16", "I;16B", "I;16L"})
_COLOURED = frozenset({"RGB", "RGBA", "RGBX"})
_LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"})
# Grey values of 2 and 4 bits come from Pillow spread over 0 to 255.
_SPREAD = {"L;2": 85, "L;4": 17}
_AS_COLOURS = (
    "; name the colours of the classes with --colours FILE, or save the ids as a grey or palette PNG "
    "(--labels 0 takes the colours as they are)"
)
_AS_GREY = "; save the ids as a grey PNG of 8 or 16 bits"


def read_ids(source: Source, *, name: str | None = None) -> Ids:
    """Read a map of ids: grey files of any depth as they stand, palette files as their indices.

    Args:
        source: a path, or the bytes of an image file.
        name: what errors call it; the path by default.

    Returns:
        ``(h, w)``, from 0 to 2**31 - 1, turned upright.

    Raises:
        DataError: no image, one with colours or decimals, or of a kind that changes numbers (JPEG).
    """
    with named(source, name):
        return _as_ids(_stored(source), None, _AS_COLOURS)


def read_instances(source: Source, *, name: str | None = None) -> Ids:
    """Read a map of objects as `read_ids` does; for one with colours the message offers no table of them."""
    with named(source, name):
        return _as_ids(_stored(source), None, _AS_GREY)


def read_labels(source: Source, classes: int, colours: Colours | None = None, *, name: str | None = None) -> Ids:
    """Read a map of classes, and check it.

    Args:
        source: a path, or the bytes of an image file.
        classes: ids must be below it.
        colours: the colour of each class; for RGB files. Grey and palette files hold ids with it, too. Of classes with
            the same colour the first one is taken.
        name: what errors call it; the path by default.

    Returns:
        ``(h, w)``, from 0 to ``classes - 1``.

    Raises:
        DataError: see `read_ids`; an RGB file without ``colours`` or with others; an id that is too high.
    """
    with named(source, name):
        ids = _as_ids(_stored(source), colours, _AS_COLOURS)
        if ids.max() >= classes:
            raise IdError(int(ids.max()), classes)
        return ids


class IdError(DataError):
    """A map with an id that is too high.

    Attributes:
        found: the highest id.
    """

    def __init__(self, found: int, classes: int) -> None:
        self.found = found
        super().__init__(
            f"has class id {found}, but there are {classes} classes (0 to {classes - 1}); use --labels {found + 1}"
        )


def instances_size(source: Source, *, name: str | None = None) -> tuple[int, int]:
    """Return the ``(width, height)`` of a map of objects, upright, from its header; no pixel is decoded.

    Args:
        source: a path, or the bytes of an image file.
        name: what errors call it; the path by default.

    Raises:
        DataError: no image, or of a kind that holds no ids, as far as the header tells.
    """
    with named(source, name), opened(source) as image:
        if image is None or _is_raw_tiff(image):
            return deep.tiff_header(source).size
        _check_kind(image)
        if image.mode in _COLOURED:
            raise _no_ids(len(image.getbands()), _AS_GREY)
        return deep.upright_size(image)


def _stored(source: Source) -> Stored:
    with opened(source) as image:
        if image is None or _is_raw_tiff(image):
            return deep.read_tiff_integers(source)
        _check_kind(image)
        spread = _SPREAD.get(_raw_mode(image), 1)
        ImageOps.exif_transpose(image, in_place=True)  # reads the pixels, too
        array = np.atleast_3d(np.asarray(image))
        return Stored(array // np.uint8(spread) if spread > 1 else array)


def _is_raw_tiff(image: ImageFile.ImageFile) -> bool:
    """Whether it is a TIFF whose numbers Pillow would not give as they stand."""
    return image.format == "TIFF" and (not deep.is_plain(image) or deep.counts_from_white(image))


def _raw_mode(image: ImageFile.ImageFile) -> str:
    told = image.tile[0][3] if image.tile else None
    return str(told[0] if isinstance(told, tuple) and told else told)


def _check_kind(image: ImageFile.ImageFile) -> None:
    if image.format in _LOSSY:
        raise DataError(f"is a {image.format} file, whose compression changes ids; save the ids as a PNG")
    if image.mode in _COLOURED and not deep.is_plain(image):
        raise DataError("has colours of 16 bits, and tables of colours are of 8; save it as a PNG of 8 bits")
    if image.mode not in _WHOLE | _COLOURED:
        raise DataError(f"is an image of mode {image.mode}, which holds no ids; save them as a grey or palette PNG")


def _as_ids(stored: Stored, colours: Colours | None, remedy: str) -> Ids:
    array = upright(stored.array, stored.orientation)
    if array.shape[2] > 2 and colours is None:
        raise _no_ids(array.shape[2], remedy)
    ids = array[..., 0] if array.shape[2] < 3 else classes_of(array, colours or ())
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high > _MOST:
        raise DataError(f"has the id {low if low < 0 else high}; ids lie between 0 and {_MOST}")
    return np.ascontiguousarray(ids, np.int32)


def _no_ids(channels: int, remedy: str) -> DataError:
    kind = "an RGB image" if channels in (3, 4) else f"an image of {channels} channels"
    return DataError(f"is {kind} where ids are read{remedy}")


def read_palette(source: Source, *, name: str | None = None) -> Colours | None:
    """Return the colours of a palette file, by index; None of other files.

    Raises:
        DataError: no image.
    """
    with named(source, name), opened(source) as image:
        levels = None if image is None or image.mode != "P" else image.getpalette("RGB")
    return None if levels is None else tuple(zip(levels[::3], levels[1::3], levels[2::3], strict=True))


def write_ids(ids: NDArray[np.integer[Any]], path: str | Path) -> None:
    """Write a map of ids as `read_ids` reads it: a grey PNG of 8 bits, or of 16 where ids go beyond 255.

    Args:
        ids: ``(h, w)``, from 0 to 65535; with ``.tif`` to 2**31 - 1.
        path: ends in ``.png`` or ``.tif``; written over where it exists.

    Raises:
        DataError: no map, another suffix, or ids that it does not hold.
    """
    suffix = Path(path).suffix.lower()
    if ids.ndim != 2 or not ids.size or ids.dtype.kind not in "iu":
        raise DataError(f"cannot write {path}: a map of ids is (h, w) of whole numbers, not {ids.shape} {ids.dtype}")
    if suffix not in (".png", ".tif", ".tiff"):
        raise DataError(f"cannot write {path}: ids are written as .png or .tif")
    low, high = int(ids.min()), int(ids.max())
    most = 65535 if suffix == ".png" else _MOST
    if low < 0 or high > most:
        better = "; .tif holds it" if low >= 0 and high <= _MOST else ""
        raise DataError(f"cannot write {path}: id {low if low < 0 else high} is not between 0 and {most}{better}")
    kind = np.uint8 if high < 256 else np.uint16 if high < 65536 else np.int32
    array = ids.astype(kind).reshape(*ids.shape, 1)
    (deep.write_png if suffix == ".png" else deep.write_tiff)(path, array)
