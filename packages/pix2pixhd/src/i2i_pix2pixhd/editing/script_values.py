"""The values in scripts of edits: which ones there are, and what is wrong with others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from i2i.errors import DataError
from i2i.nearest import nearest
from i2i_pix2pixhd.editing.regions import Flood, ObjectPixels, Polygon, Rectangle, Region, Stroke, read_mask

REGIONS = ("rectangle", "polygon", "stroke", "disc", "mask", "object", "flood")

_MOST_VARIANTS = 1000
_MOST = 2**31 - 1  # the highest id
_FAR = 1e6  # pixels
_SHOWN = 60  # characters of a value in a message


def region_of(key: str, given: Mapping[str, Any], folder: Path, values: Mapping[str, Any]) -> Region | str:
    """Return the region that a key of an edit names.

    Args:
        key: one of `REGIONS`.
        given: all keys of the edit.
        folder: that names of masks are relative to.
        values: those that were checked.

    Returns:
        The region; the name of an object where one is meant.

    Raises:
        DataError: the value is none of that key.
    """
    value = given[key]
    if key == "object":
        target = values[key]
        return target if isinstance(target, str) else ObjectPixels(target)
    if key == "rectangle":
        x0, y0, x1, y1 = _numbers(key, value, 4, "[x0, y0, x1, y1]", whole=True)
        if x0 >= x1 or y0 >= y1:
            raise DataError(f"rectangle (={value}) is empty: x0 must be below x1, and y0 below y1")
        return Rectangle(int(x0), int(y0), int(x1), int(y1))
    if key == "flood":
        x, y = _numbers(key, value, 2, "[x, y]", whole=True)
        return Flood(int(x), int(y))
    if key == "disc":
        x, y, radius = _numbers(key, value, 3, "[x, y, radius]")
        return Stroke(((x, y),), _radius(radius))
    if key == "mask":
        if not isinstance(value, str):
            raise DataError(f"mask (={_shown(value)}) must be the name of an image")
        return read_mask(folder / value)
    least = 3 if key == "polygon" else 1
    if not isinstance(value, list) or len(value) < least:
        raise DataError(f"{key} (={_shown(value)}) must be a list of {least} points [x, y] or more")
    points = [tuple(_numbers(key, point, 2, "[x, y]")) for point in value]
    if key == "polygon":
        return Polygon(points)  # type: ignore[arg-type]
    return Stroke(points, _radius(given.get("radius", 0)))  # type: ignore[arg-type]


def _numbers(key: str, value: Any, count: int, form: str, *, whole: bool = False) -> Sequence[float]:
    kinds = (int,) if whole else (int, float)
    plain = isinstance(value, list) and len(value) == count and all(type(number) in kinds for number in value)
    if not plain or not all(abs(number) < _FAR for number in value):
        what = f"{form} of whole numbers" if whole else f"{form} of numbers"
        raise DataError(f"{key} (={_shown(value)}) must be {what}")
    return list(value)


def _radius(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < _FAR:
        raise DataError(f"radius (={_shown(value)}) must be a number of pixels, at least 0")
    return float(value)


def _shown(value: Any) -> str:
    return json.dumps(value)[:_SHOWN]


def _whole(key: str, value: Any, names: set[str]) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise DataError(f"{key} (={_shown(value)}) must be a whole number from 0 to {_MOST}")
    return value


def _count(key: str, value: Any, names: set[str]) -> int:
    if type(value) is not int or not 1 <= value <= _MOST_VARIANTS:
        raise DataError(f"{key} (={_shown(value)}) must be a whole number from 1 to {_MOST_VARIANTS}")
    return value


def _target(key: str, value: Any, names: set[str]) -> int | str:
    if not isinstance(value, str):
        return _whole(key, value, names)
    if value not in names:
        raise DataError(f"{key} (={_shown(value)}) is no name that an edit before gives; {nearest(value, names)}")
    return value


def _name(key: str, value: Any, names: set[str]) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"{key} (={_shown(value)}) must be a word, by which edits below call the object")
    return value


def _fill(key: str, value: Any, names: set[str]) -> int | str:
    if isinstance(value, str) and value != "surroundings":
        raise DataError(f'{key} (={_shown(value)}) must be a label or "surroundings"')
    return value if isinstance(value, str) else _whole(key, value, names)


def _style(key: str, value: Any, names: set[str]) -> Any:
    if isinstance(value, str) and value not in ("sample", "nearest"):
        raise DataError(
            f"{key} (={_shown(value)}) must be a list of numbers, the number of a centre, sample or nearest"
        )
    return value if isinstance(value, str | list) else _whole(key, value, names)


CHECKS: Mapping[str, Callable[[str, Any, set[str]], Any]] = {
    "label": _whole, "by": _whole, "instance": _target, "object": _target, "count": _count, "name": _name,
    "fill": _fill, "style": _style,
}  # fmt: skip
