from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from i2i.errors import DataError
from i2i_pix2pixhd.editing.regions import Flood, ObjectPixels, Polygon, Rectangle, Region, Stroke
from i2i_pix2pixhd.editing.script_values import CHECKS, REGIONS, region_of


@pytest.mark.parametrize(
    ("key", "given", "region"),
    [
        ("rectangle", {"rectangle": [-1, 0, 2, 3]}, Rectangle(-1, 0, 2, 3)),
        ("polygon", {"polygon": [[0, 0], [1.5, 0], [0, 2]]}, Polygon([(0, 0), (1.5, 0), (0, 2)])),
        ("stroke", {"stroke": [[1, 2]]}, Stroke([(1, 2)], 0.0)),
        ("stroke", {"stroke": [[1, 2], [3, 4.5]], "radius": 2}, Stroke([(1, 2), (3, 4.5)], 2.0)),
        ("disc", {"disc": [1, 2, 3.5]}, Stroke(((1, 2),), 3.5)),
        ("flood", {"flood": [4, 5]}, Flood(4, 5)),
        ("object", {"object": 7}, ObjectPixels(7)),
        ("object", {"object": "car"}, "car"),
    ],
)
def test_regions(key: str, given: dict[str, Any], region: Region | str) -> None:
    assert key in REGIONS
    assert region_of(key, given, Path("."), {"object": given.get("object")}) == region


def test_values_that_are_right() -> None:
    for key, value in (
        ("label", 0), ("by", 2**31 - 1), ("instance", 5), ("object", "car"), ("count", 1000), ("name", "car"),
        ("fill", "surroundings"), ("fill", 3), ("style", "sample"), ("style", "nearest"), ("style", 4),
        ("style", [0.1]),
    ):  # fmt: skip
        assert CHECKS[key](key, value, {"car"}) == value


def test_numbers_that_are_too_large() -> None:
    for key, given in (
        ("rectangle", {"rectangle": [0, 0, 10**30, 5]}),
        ("stroke", {"stroke": [[0, 1e300]]}),
        ("disc", {"disc": [0, 0, 1e300]}),
        ("stroke", {"stroke": [[0, 0]], "radius": 1e300}),
    ):
        with pytest.raises(DataError, match="must be"):
            region_of(key, given, Path("."), {})
    with pytest.raises(DataError, match="must be a whole number") as told:
        CHECKS["label"]("label", "x" * 1000, set())
    assert len(str(told.value)) < 150
