"""Near-duplicates: the same picture in another size or quality, recognised by a hash of its brightness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i_ugatit.faces.boxes import Face

BITS = 64
_SIDE = 8


def difference_hash(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return for 8 x 8 areas of an image whether the one to the right is brighter.

    Size, quality, brightness and contrast hardly change these 64 bits; a box that is found at another place does.

    Args:
        image: ``(h, w, 3)``.

    Returns:
        ``(64,)``.

    Example:
        >>> rising = np.repeat(np.arange(90, dtype=np.uint8), 3).reshape(1, 90, 3).repeat(80, axis=0)
        >>> int(difference_hash(rising).sum()), int(difference_hash(rising[:, ::-1]).sum())
        (64, 0)
    """
    from PIL import Image

    grey = Image.fromarray(image).convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
    levels = np.asarray(grey)
    return (levels[:, 1:] > levels[:, :-1]).reshape(BITS)


class Duplicate(NamedTuple):
    """A face that is left out, and the one that it repeats.

    Attributes:
        face: the one that is left out.
        of: the one that is kept.
        distance: how many of their 64 bits differ.
    """

    face: Face
    of: Face
    distance: int


def find_duplicates(faces: Sequence[Face], most: int) -> tuple[list[Face], list[Duplicate]]:
    """Part faces into those that are kept and those that repeat one of them; of each group the largest is kept.

    Args:
        faces: in any order; of equally large ones the first is kept.
        most: bits by which a duplicate may differ, 0 to 64; -1 keeps all.

    Returns:
        The kept ones in the order given, and the others.
    """
    kept: list[int] = []
    dropped: list[Duplicate] = []
    bits = np.array([face.bits for face in faces]).reshape(len(faces), BITS)
    for index in sorted(range(len(faces)), key=lambda index: -faces[index].box.side):
        distances = (bits[kept] != bits[index]).sum(axis=1)
        nearest = int(distances.argmin()) if kept else 0
        if kept and distances[nearest] <= most:
            dropped.append(Duplicate(faces[index], faces[kept[nearest]], int(distances[nearest])))
        else:
            kept.append(index)
    return [faces[index] for index in sorted(kept)], dropped
