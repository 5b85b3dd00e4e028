from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from i2i.data.rows import Rows
from i2i.data.scene_rows import SceneReader, usable_scenes
from i2i.data.transforms import CENTRE, Draw, TransformSettings
from i2i.errors import DataError
from i2i.pixels import PixelFormat

AS_IT_IS = TransformSettings("none", flip=False, multiple=1)
CROP = TransformSettings("crop", crop_size=4)
RGB = PixelFormat()


def ids(seed: int, high: int, width: int = 8, height: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high + 1, (height, width))


def photo(seed: int, width: int = 8, height: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cell(pixels: np.ndarray, name: str | None = None) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(pixels if pixels.ndim == 3 else pixels.astype(np.uint16)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": name}


def scene(seed: int, high: int = 3, **size: int) -> list[dict[str, Any]]:
    return [cell(ids(seed, high, **size)), cell(ids(seed + 100, 50000, **size)), cell(photo(seed, **size))]


def reader(settings: TransformSettings = AS_IT_IS, classes: int = 4, **options: Any) -> SceneReader:
    return SceneReader(settings, (None, RGB), classes, **options)


def test_maps_and_image_are_cropped_and_mirrored_alike() -> None:
    cells = scene(1)
    read = reader(CROP)
    for left, top, mirror in ((0.0, 0.0, 0.9), (0.99, 0.99, 0.1), (0.5, 0.4, 0.2)):
        x, y = int(left * 5), int(top * 3)
        found = read(cells, Draw(left, top, mirror), "row 0")
        assert [(part.shape, part.dtype) for part in found] == [
            ((4, 4, 1), np.int32), ((4, 4, 1), np.int32), ((4, 4, 3), np.uint8),
        ]  # fmt: skip
        for part, whole in zip(found, (ids(1, 3)[..., None], ids(101, 50000)[..., None], photo(1)), strict=True):
            window = whole[y : y + 4, x : x + 4]
            assert np.array_equal(part, window[:, ::-1] if mirror < 0.5 else window)


def test_ids_are_not_mixed_where_images_are() -> None:
    settings = TransformSettings("resize_and_crop", load_size=13, crop_size=13, flip=False)
    labels, instances, image = reader(settings)(scene(2), CENTRE, "row 0")
    places = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8))
    nearest = np.asarray(places.resize((13, 13), Image.Resampling.NEAREST))
    assert np.array_equal(labels[..., 0], ids(2, 3).ravel()[nearest])
    assert np.array_equal(instances[..., 0], ids(102, 50000).ravel()[nearest])
    wanted = np.asarray(Image.fromarray(photo(2)).resize((13, 13), Image.Resampling.BICUBIC))
    assert np.array_equal(image, wanted)


def test_without_classes_both_are_images() -> None:
    read = SceneReader(CROP, (PixelFormat(1), RGB), 0, instances=False)
    a, b = read([cell(photo(3)), cell(photo(4))], Draw(0.0, 0.0, 0.9), "row 0")
    assert np.array_equal(a[..., 0], np.asarray(Image.fromarray(photo(3)).convert("L"))[:4, :4])
    assert np.array_equal(b, photo(4)[:4, :4])
    assert read.pixels == (PixelFormat(1), RGB)
    assert SceneReader(CROP, (RGB, RGB), 0).pixels == (RGB, None, RGB)


def test_colours_become_classes() -> None:
    table = ((5, 5, 5), (7, 7, 7))
    picture = np.array(table, np.uint8)[ids(5, 1)]
    read = reader(classes=2, colours=table, instances=False)
    labels, _ = read([cell(picture), cell(photo(5))], CENTRE, "row 0")
    assert np.array_equal(labels[..., 0], ids(5, 1))


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_file_of_another_size_is_named(column: int) -> None:
    cells = scene(6)
    cells[column] = scene(6, width=8, height=7)[column]
    cells = [{**one, "path": f"{name}.png"} for one, name in zip(cells, ("l", "i", "p"), strict=True)]
    one, other = {0: ("l.png is 8x7", "i.png is 8x6"), 1: ("l.png is 8x6", "i.png is 8x7")}.get(
        column, ("l.png is 8x6", "p.png is 8x7")
    )
    message = f"{one}, but {other}; the files of a scene must have the same size"
    for call in (lambda: reader()(cells, CENTRE, "row 0"), lambda: reader().check(cells, "row 0", labels=True)):
        with pytest.raises(DataError) as caught:
            call()
        assert str(caught.value) == message


def test_a_cell_without_an_image_is_named() -> None:
    cells = scene(7)
    with pytest.raises(DataError, match="row 3 has no image"):
        reader()([cells[0], {"bytes": None, "path": None}, cells[2]], CENTRE, "row 3")


def test_an_image_that_is_too_small_is_found_by_its_header() -> None:
    read = reader(TransformSettings("crop", crop_size=16))
    with pytest.raises(DataError, match=r"row 2 is 8x6, smaller than the crop \(16\)"):
        read.check(scene(8), "row 2", labels=False)


def table(*scenes: list[dict[str, Any]]) -> Dataset:
    names = ("labels", "instances", "image")[: len(scenes[0])]
    columns = {name: [one[k] for one in scenes] for k, name in enumerate(names)}
    return Dataset.from_dict(columns, features=Features({name: ImageFeature(decode=False) for name in names}))


def named(seed: int, high: int = 3) -> list[dict[str, Any]]:
    return [{**one, "path": f"{kind}/{seed}.png"} for one, kind in zip(scene(seed, high), "lip", strict=True)]


def test_of_ids_that_are_too_high_the_highest_is_told() -> None:
    """One remedy serves all maps."""
    rows = [named(k) for k in range(70)]  # more than are taken from the table at once
    rows[3][0] = {**cell(np.full((6, 8), 5)), "path": "l/3.png"}
    rows[66][0] = {**cell(np.full((6, 8), 40)), "path": "l/66.png"}
    with pytest.raises(DataError) as caught:
        usable_scenes(table(*rows), reader())
    assert str(caught.value) == (
        "l/66.png has class id 40, but there are 4 classes (0 to 3); use --labels 41; "
        "--skip-bad goes on without such images"
    )
    whole = table(*rows)
    assert usable_scenes(whole, reader(classes=41)) is whole


def test_a_file_that_is_no_map_comes_before_ids() -> None:
    rows = [named(0, 30), named(1), named(2)]
    rows[1][1] = {**cell(photo(1)), "path": "i/1.png"}
    with pytest.raises(DataError, match=r"i/1\.png is an RGB image where ids are read; .*; --skip-bad goes on"):
        usable_scenes(table(*rows), reader())


def test_label_maps_need_not_be_read_again() -> None:
    rows = table(named(0, 30), named(1))
    assert usable_scenes(rows, reader(), labels=False) is rows
    assert rows[0]["labels"]["path"] == "l/0.png"


def test_bad_scenes_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    rows = [named(0), named(1, 30), named(2), named(3)]
    rows[2][2] = {"bytes": b"text", "path": "p/2.png"}
    with caplog.at_level(logging.WARNING):
        kept = usable_scenes(table(*rows), reader(), skip_bad=True)
    assert [row["labels"]["path"] for row in kept] == ["l/0.png", "l/3.png"]
    assert [message.split(" has ")[0].split(" is ")[0] for message in caplog.messages] == [
        "skipped: l/1.png", "skipped: p/2.png",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"none of the 2 scenes can be used; the first: l/0\.png has class id"):
        usable_scenes(table(named(0, 30), named(1, 30)), reader(), skip_bad=True)


def test_rows_are_checked_when_they_are_read_too() -> None:
    """A resumed run has not looked at all ids; a file may have changed."""
    with pytest.raises(DataError, match=r"l/0\.png has class id 3, but there are 2 classes .*--skip-bad goes on"):
        Rows(table(named(0)), reader(classes=2)).load(0, CENTRE, [])
