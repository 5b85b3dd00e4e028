"""Pictures one after the other: read, faces found, cut out and handed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i.errors import DataError
from i2i_ugatit.faces.boxes import Box, Face
from i2i_ugatit.faces.crops import cut
from i2i_ugatit.faces.detectors import FaceDetector
from i2i_ugatit.faces.duplicates import difference_hash
from i2i_ugatit.faces.names import unique_names

Alpha = Literal["drop", "white", "black"]
_HASHED = 72  # pixels, of which the hash makes areas of 8 x 9


class Cutting(NamedTuple):
    """How faces are cut out; see `i2i_ugatit.faces.cut`.

    Attributes:
        rotate: degrees counter-clockwise.
        margin: on each side, as a share of the side of the box.
        size: side of the results in pixels.
        smallest: least side of a box in pixels.
    """

    rotate: float = 0.0
    margin: float = 0.25
    size: int = 256
    smallest: int = 64


class Gathered(NamedTuple):
    """What was found.

    Attributes:
        read: pictures that were read.
        faces: those that are large enough.
        too_small: the others, with their pictures.
        without: pictures in which no face was found.
        skipped: one line for each file that could not be read.
    """

    read: list[Path]
    faces: list[Face]
    too_small: list[tuple[Path, Box]]
    without: list[Path]
    skipped: list[str]


def gather(
    paths: Sequence[Path],
    detector: FaceDetector,
    write: Callable[[str, NDArray[np.uint8]], object],
    cutting: Cutting,
    *,
    alpha: Alpha = "drop",
    skip_bad: bool = False,
) -> Gathered:
    """Find the faces of pictures and cut them out; one picture is in memory at a time.

    Args:
        paths: the pictures.
        detector: what finds faces.
        write: is called with the name and ``(size, size, 3)`` of each face. Faces are named after their picture and
            numbered from 1, the largest first.
        cutting: how they are cut out.
        alpha: what happens to transparency, see `i2i.pixels.PixelFormat`.
        skip_bad: pass over files that cannot be read instead of stopping.

    Raises:
        DataError: a file that cannot be read (named).
        SettingsError: the detector fails or returns something else than boxes.
    """
    found = Gathered([], [], [], [], [])
    for path, name in _counted(list(zip(paths, unique_names(paths), strict=True))):
        try:
            image = read_colours(path, alpha)
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{error}; --skip-bad passes over such files") from error
            found.skipped.append(str(error))
            continue
        found.read.append(path)
        boxes = detector.boxes(image, path)
        if not boxes:
            found.without.append(path)
        for number, box in enumerate(boxes, 1):
            if box.side < cutting.smallest:
                found.too_small.append((path, box))
                continue
            face = cut(image, box, rotate=cutting.rotate, margin=cutting.margin, size=cutting.size)
            write(f"{name}-{number}", face)
            # Upright: turned, a box that is found a little elsewhere changes more bits; and rotate changes none.
            bits = difference_hash(cut(image, box, size=_HASHED))
            found.faces.append(Face(path, f"{name}-{number}", box, bits))
    return found


def read_colours(path: Path, alpha: Alpha = "drop") -> NDArray[np.uint8]:
    """Read a picture as ``(h, w, 3)``, RGB of 8 bits, turned upright by its EXIF orientation; grey becomes colour.

    Raises:
        DataError: no image, or one of other channels or values.
    """
    from i2i.data import MisfitError, depth_of, read_image
    from i2i.pixels import FULL_RANGE, PixelFormat

    try:
        array = read_image(path, PixelFormat(alpha=alpha))
    except DataError as error:
        if isinstance(misfit := error.__cause__, MisfitError):
            has = misfit.by_model.partition(", but")[0]  # the rest speaks of models
            raise DataError(f"{path} {has}; faces are cut from grey and colour pictures, convert it") from error
        raise
    if array.dtype == np.uint8:
        return array
    full = FULL_RANGE[depth_of(array)][1]
    return np.rint(array / np.float32(full) * 255).astype(np.uint8)


def _counted(pictures: Sequence[tuple[Path, str]]) -> Iterable[tuple[Path, str]]:
    from tqdm import tqdm

    yield from tqdm(pictures, unit="image", desc="faces", disable=None)
