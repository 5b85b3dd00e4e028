from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon2mask

from i2i.errors import DataError
from i2i_pix2pixhd.editing.regions import (
    Flood,
    Mask,
    ObjectPixels,
    Polygon,
    Rectangle,
    Region,
    Stroke,
    absent,
    known_objects,
    read_mask,
    selected,
)

EMPTY = torch.zeros(30, 40, dtype=torch.int32)


def test_rectangles() -> None:
    found = selected(Rectangle(3, 5, 7, 6), EMPTY, None)
    assert found.nonzero().tolist() == [[5, 3], [5, 4], [5, 5], [5, 6]]
    assert selected(Rectangle(-10, -5, 2, 1), EMPTY, None).nonzero().tolist() == [[0, 0], [0, 1]]
    assert selected(Rectangle(0, 0, 999, 999), EMPTY, None).all()


@pytest.mark.parametrize(
    "points",
    [
        [(2.0, 3.0), (30.0, 5.0), (20.0, 25.0)],
        [(5.2, 5.1), (35.9, 6.3), (8.7, 20.4), (33.3, 28.8), (20.1, -7.7)],
        [(-50.0, 10.3), (20.0, -90.1), (99.0, 15.0), (20.0, 70.0)],
        [(10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0)],
    ],
)
def test_polygons(points: list[tuple[float, float]]) -> None:
    found = selected(Polygon(points), EMPTY, None).numpy()
    # skimage counts from the middle of the first pixel, rows first.
    wanted = polygon2mask((30, 40), [(y - 0.5, x - 0.5) for x, y in points])
    different = found != wanted
    rows, columns = np.nonzero(different)
    for y, x in zip(rows, columns, strict=True):  # middles that lie on a line itself may go either way
        assert _distance((x + 0.5, y + 0.5), points) < 1e-9
    assert found.any()


def _distance(point: tuple[float, float], corners: list[tuple[float, float]]) -> float:
    found = []
    for one, other in zip(corners, [*corners[1:], corners[0]], strict=True):
        a, b, p = np.array(one), np.array(other), np.array(point)
        along = np.clip(np.dot(p - a, b - a) / np.dot(b - a, b - a), 0, 1)
        found.append(float(np.linalg.norm(p - a - along * (b - a))))
    return min(found)


def test_a_polygon_has_the_pixels_of_the_rectangle_that_it_is() -> None:
    corners = [(3.0, 5.0), (7.0, 5.0), (7.0, 6.0), (3.0, 6.0)]
    for points in (corners, corners[::-1]):
        assert selected(Polygon(points), EMPTY, None).equal(selected(Rectangle(3, 5, 7, 6), EMPTY, None))


def test_what_a_polygon_encloses_twice_lies_outside() -> None:
    outer, inner = (
        [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0), (0.0, 0.0)],
        [(3.0, 3.0), (3.0, 7.0), (7.0, 7.0)],
    )
    twice = [*outer, *inner, (7.0, 3.0), (3.0, 3.0)]
    found = selected(Polygon(twice), EMPTY, None)
    assert int(found.sum()) == 100 - 16
    assert not found[5, 5]


@pytest.mark.parametrize(
    ("points", "radius"),
    [
        ([(10.0, 12.0)], 4.0),
        ([(10.0, 12.0), (30.0, 20.0)], 2.5),
        ([(5.0, 5.0), (5.0, 25.0), (35.0, 25.0)], 1.0),
        ([(-5.0, 10.0), (50.0, 10.0)], 3.0),
        ([(38.0, 29.0)], 6.0),
        ([(7.0, 7.0), (7.0, 7.0)], 2.0),
    ],
)
def test_strokes(points: list[tuple[float, float]], radius: float) -> None:
    found = selected(Stroke(points, radius), EMPTY, None)
    for y, x in np.ndindex(30, 40):
        pairs = list(zip(points, points[1:] or points, strict=False))
        near = min(_segment((x, y), *pair) for pair in pairs)
        if abs(near - radius) > 1e-9:
            assert bool(found[y, x]) == (near < radius), (x, y)
        else:
            assert found[y, x]


def _segment(point: tuple[float, float], one: tuple[float, float], other: tuple[float, float]) -> float:
    a, b, p = np.array(one), np.array(other), np.array(point)
    length = float(np.dot(b - a, b - a))
    along = np.clip(np.dot(p - a, b - a) / length, 0, 1) if length else 0.0
    return float(np.linalg.norm(p - a - along * (b - a)))


def test_the_thinnest_stroke_is_a_line_of_pixels() -> None:
    assert selected(Stroke([(4.0, 6.0)]), EMPTY, None).nonzero().tolist() == [[6, 4]]
    line = selected(Stroke([(0.0, 0.0), (39.0, 17.0)]), EMPTY, None)
    assert ndimage.label(line.numpy(), np.ones((3, 3)))[1] == 1
    assert line.any(0).all()
    assert int(line.sum()) < 80


def test_floods() -> None:
    draw = np.random.default_rng(0)
    for size in ((30, 40), (1, 20), (20, 1), (1, 1)):
        labels = draw.integers(0, 2, size).astype(np.int32)
        for _ in range(5):
            x, y = int(draw.integers(size[1])), int(draw.integers(size[0]))
            areas = ndimage.label(labels == labels[y, x])[0]  # side by side, corners do not count
            found = selected(Flood(x, y), torch.from_numpy(labels), None)
            np.testing.assert_array_equal(found.numpy(), areas == areas[y, x])


def test_a_flood_through_a_winding_way() -> None:
    walls = torch.zeros(21, 21, dtype=torch.int32)
    for row in range(1, 21, 2):  # every other row is a wall with a hole at one end
        walls[row] = 1
        walls[row, 0 if row % 4 == 1 else 20] = 0
    assert selected(Flood(20, 0), walls, None).equal(walls == 0)


def test_objects() -> None:
    instances = torch.tensor([[7, 26000], [26000, 26001]])
    assert selected(ObjectPixels(26000), instances, instances).int().tolist() == [[0, 1], [1, 0]]
    with pytest.raises(DataError, match="there is no object 26002; the nearest ids are 7, 26000, 26001"):
        selected(ObjectPixels(26002), instances, instances)
    with pytest.raises(DataError, match=r"this scene has no objects: they need an instance map \(--instances FILE\)"):
        selected(ObjectPixels(26002), instances, None)
    assert known_objects(instances) is instances
    assert "object 5; the nearest ids are 2, 3, 4, 6, 7" in str(absent(5, [9, 2, 3, 4, 6, 7, 100]))


def test_masks(tmp_path: Path) -> None:
    levels = np.zeros((30, 40), np.uint8)
    levels[2:4, 5:8] = 255
    levels[9, 9] = 20
    for name, image in (("grey.png", Image.fromarray(levels)), ("colour.bmp", Image.fromarray(levels).convert("RGB"))):
        image.save(tmp_path / name)
        found = selected(read_mask(tmp_path / name), EMPTY, None)
        np.testing.assert_array_equal(found.numpy(), levels > 128)
    Image.fromarray((levels > 0).astype(np.uint8)).save(tmp_path / "ones.png")  # 0 and 1
    np.testing.assert_array_equal(selected(read_mask(tmp_path / "ones.png"), EMPTY, None).numpy(), levels > 0)
    Image.fromarray(levels * 0).save(tmp_path / "black.png")
    with pytest.raises(DataError, match=r"black\.png is black everywhere: paint white what shall change"):
        read_mask(tmp_path / "black.png")
    with pytest.raises(DataError, match=r"none\.png cannot be read"):
        read_mask(tmp_path / "none.png")
    with pytest.raises(DataError, match=r"grey\.png is 40x30, but the scene is 40x31"):
        selected(read_mask(tmp_path / "grey.png"), torch.zeros(31, 40), None)
    assert selected(Mask(torch.tensor([[0, 3]])), torch.zeros(1, 2), None).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("region", "name"),
    [
        (Rectangle(40, 0, 50, 9), "the rectangle 40 0 50 9"),
        (Rectangle(-9, 0, 0, 9), "the rectangle -9 0 0 9"),
        (Rectangle(5, 30, 6, 99), "the rectangle 5 30 6 99"),
        (Polygon([(50.0, 0.0), (60.0, 0.0), (55.0, 9.0)]), "the polygon [(50.0, 0.0), (60.0, 0.0), (55.0, 9.0)]"),
        (Stroke([(-9.0, -9.0), (50.0, -9.0)], 3.0), "the stroke [(-9.0, -9.0), (50.0, -9.0)] 3.0"),
        (Stroke([(500, 30)], 12.0), "the disc [(500, 30)] 12.0"),
        (Flood(40, 0), "the flood 40 0"),
        (Flood(0, -1), "the flood 0 -1"),
        (Mask(EMPTY, "an empty mask"), "an empty mask"),
    ],
)
def test_regions_outside(region: Region, name: str) -> None:
    with pytest.raises(DataError) as told:
        selected(region, EMPTY, None)
    assert str(told.value) == f"{name} has no pixel in this image of 40x30"
