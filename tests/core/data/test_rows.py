from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from i2i.data.rows import RowReader, Rows, half_size, halves, header_depth
from i2i.data.transforms import CENTRE, Draw, TransformSettings
from i2i.errors import DataError
from i2i.pixels import PixelFormat

AS_IT_IS = TransformSettings("none", flip=False, multiple=1)
CROP = TransformSettings("crop", crop_size=4)
RGB, GREY = PixelFormat(), PixelFormat(channels=1)


def noise(seed: int, width: int = 8, height: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def cell(pixels: np.ndarray) -> dict[str, Any]:
    return {"bytes": png(pixels), "path": None}


def test_two_files_are_cropped_and_mirrored_alike() -> None:
    a, b = noise(1), noise(2)
    read = RowReader(CROP, (RGB, RGB))
    for left, top, mirror in ((0.0, 0.0, 0.9), (0.99, 0.99, 0.1), (0.5, 0.4, 0.2)):
        x, y = int(left * 5), int(top * 3)
        found = read([cell(a), cell(b)], Draw(left, top, mirror), "row 0")
        for image, whole in zip(found, (a, b), strict=True):
            window = whole[y : y + 4, x : x + 4]
            assert np.array_equal(image, window[:, ::-1] if mirror < 0.5 else window)


def test_halves_of_one_file_are_left_and_right() -> None:
    whole = noise(3, width=10)
    left, right = RowReader(AS_IT_IS, (RGB, RGB), "halves")([cell(whole)], CENTRE, "row 0")
    assert np.array_equal(left, whole[:, :5])
    assert np.array_equal(right, whole[:, 5:])
    assert all(map(np.array_equal, halves(whole), (whole[:, :5], whole[:, 5:])))


def test_halves_are_resized_one_by_one() -> None:
    """As the authors do it: what lies beyond the middle does not shine through."""
    whole = np.concatenate((np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)), axis=1)
    settings = TransformSettings("resize_and_crop", load_size=5, crop_size=5, flip=False)
    left, right = RowReader(settings, (RGB, RGB), "halves")([cell(whole)], CENTRE, "row 0")
    assert (left.min(), left.max(), right.min(), right.max()) == (0, 0, 255, 255)


@pytest.mark.parametrize("grey", [0, 1])
def test_one_side_may_be_grey(grey: int) -> None:
    whole = noise(4)
    pixels = (GREY, RGB) if grey == 0 else (RGB, GREY)
    sides = RowReader(AS_IT_IS, pixels, "halves")([cell(whole)], CENTRE, "row 0")
    luma = np.asarray(Image.fromarray(whole).convert("L"))
    assert np.array_equal(sides[grey][..., 0], luma[:, 4 * grey : 4 * grey + 4])
    assert np.array_equal(sides[1 - grey], whole[:, 4 - 4 * grey : 8 - 4 * grey])


def test_one_side_may_have_transparency() -> None:
    whole = np.dstack((noise(4), noise(5)[..., :1]))
    left, right = RowReader(AS_IT_IS, (RGB, PixelFormat(channels=4)), "halves")([cell(whole)], CENTRE, "row 0")
    assert np.array_equal(left, whole[:, :4, :3])
    assert np.array_equal(right, whole[:, 4:])


def test_each_side_is_put_on_the_white_of_its_own_range() -> None:
    pixels = tuple(PixelFormat(alpha="white", range=(0, brightest)) for brightest in (100, 200))
    invisible = cell(np.zeros((6, 8, 4), np.uint8))
    left, right = RowReader(AS_IT_IS, pixels, "halves")([invisible], CENTRE, "row 0")
    assert (left.min(), left.max(), right.min(), right.max()) == (100, 100, 200, 200)


def test_one_image_makes_both_sides() -> None:
    whole = noise(5)
    pixels = PixelFormat(1, colours="lightness"), PixelFormat(2, colours="chroma")
    a, b = RowReader(CROP, pixels, "same")([cell(whole)], Draw(0.0, 0.0, 0.0), "row 0")
    assert np.array_equal(a, whole[:4, :4][:, ::-1])
    assert np.array_equal(a, b)


def test_an_odd_width_has_no_halves() -> None:
    assert half_size((10, 3), "x") == (5, 3)
    message = "row 7 is 9x6, but an image with both sides has an even width"
    with pytest.raises(DataError, match=message):
        RowReader(AS_IT_IS, (RGB, RGB), "halves")([cell(noise(1, width=9))], CENTRE, "row 7")


def test_sides_of_unequal_size_are_both_named(tmp_path: Path) -> None:
    Image.fromarray(noise(1, 8, 6)).save(tmp_path / "x.png")
    cells = [{"bytes": None, "path": str(tmp_path / "x.png")}, cell(noise(2, 8, 7))]
    with pytest.raises(DataError) as caught:
        RowReader(AS_IT_IS, (RGB, RGB))(cells, CENTRE, "row 3")
    assert (
        str(caught.value) == f"{tmp_path}/x.png is 8x6, but row 3 is 8x7; both sides of a pair must have the same size"
    )


@pytest.mark.parametrize("empty", [None, {"bytes": None, "path": None}])
def test_a_row_without_an_image(empty: dict[str, Any] | None) -> None:
    with pytest.raises(DataError, match="row 2 has no image"):
        RowReader(AS_IT_IS, (RGB,))([empty], CENTRE, "row 2")
    with pytest.raises(DataError, match="row 2 has no image"):
        header_depth(empty, "row 2")


def test_files_inside_archives(tmp_path: Path) -> None:
    whole = noise(6)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("in/x.png", png(whole))
    path = f"zip://in/x.png::{tmp_path / 'all.zip'}"
    (found,) = RowReader(AS_IT_IS, (RGB,))([{"bytes": None, "path": path}], CENTRE, "row 0")
    assert np.array_equal(found, whole)
    with pytest.raises(DataError, match=r"y\.png::.*all\.zip cannot be fetched: .*y\.png"):
        RowReader(AS_IT_IS, (RGB,))([{"bytes": None, "path": path.replace("x.png", "y.png")}], CENTRE, "row 0")


def test_the_depth_is_in_the_header(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    assert header_depth({"bytes": None, "path": str(tmp_path / "deep.png")}, "row 0") == 16
    assert header_depth(cell(noise(1)), "row 0") == 8
    with pytest.raises(DataError, match="row 0 is not an image"):
        header_depth({"bytes": b"text", "path": None}, "row 0")


def table(*files: bytes) -> Dataset:
    rows = {"image": [{"bytes": file, "path": None} for file in files]}
    return Dataset.from_dict(rows, features=Features({"image": ImageFeature(decode=False)}))


def test_bad_rows_stop_or_are_replaced_by_the_next_good_one() -> None:
    good = noise(8)
    read = RowReader(AS_IT_IS, (RGB,))
    rows = table(png(good), b"text", b"words")
    with pytest.raises(
        DataError, match="row 1 of the dataset is not an image .*; --skip-bad goes on without such images"
    ):
        Rows(rows, read).load(1, CENTRE, [])
    bad: list[str] = []
    (found,) = Rows(rows, read, skip_bad=True).load(1, CENTRE, bad)
    assert np.array_equal(found, good)
    assert [message[:8] for message in bad] == ["row 1 of", "row 2 of"]
    with pytest.raises(DataError, match="none of the 2 images can be used; the first: row 1 of the dataset is not"):
        Rows(table(b"text", b"words"), read, skip_bad=True).load(1, CENTRE, [])


def test_the_first_size_is_in_the_header() -> None:
    read = RowReader(AS_IT_IS, (RGB,))
    assert Rows(table(png(noise(1, 9, 5)), png(noise(2))), read).first_size() == (9, 5)
    assert Rows(table(b"text", png(noise(2))), read).first_size() is None
