from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pillow

from i2i.data.sources import Domain
from i2i.data.transforms import CENTRE, TransformSettings
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat

MakeFolder = Callable[..., Path]
Truncate = Callable[[Path], Path]

AS_IT_IS = TransformSettings("none", flip=False, multiple=1)
CROP_16 = TransformSettings("crop", crop_size=16, flip=False)


def pixels(domain: Domain) -> list[np.ndarray]:
    return [np.asarray(domain.load(i, CENTRE, [])) for i in range(len(domain))]


def files(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Pillow.open(path)) for path in sorted(folder.iterdir())]


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def test_folders_are_joined_in_their_order(make_folder: MakeFolder) -> None:
    a, b = make_folder("a", (8, 8), (9, 7)), make_folder("b", (6, 6))
    assert same(pixels(Domain([b, str(a)], AS_IT_IS)), files(b) + files(a))
    assert same(pixels(Domain(str(a), AS_IT_IS, max_images=1)), files(a)[:1])


def test_a_dataset_gives_what_its_files_give(make_folder: MakeFolder) -> None:
    folder = make_folder("a", (8, 8), (9, 7), (5, 6))
    rows = {"picture": [str(path) for path in sorted(folder.iterdir())], "label": [0, 1, 2]}
    dataset = Dataset.from_dict(rows, features=Features({"picture": Image(), "label": Value("int64")}))
    embedded = Dataset.from_list([{"image": Pillow.open(path)} for path in sorted(folder.iterdir())])
    for source in (dataset, embedded, dataset.with_format("numpy")):
        assert same(pixels(Domain(source, AS_IT_IS)), files(folder))
    assert same(pixels(Domain(dataset.select([2, 0]), AS_IT_IS)), [files(folder)[2], files(folder)[0]])
    assert same(pixels(Domain(dataset, AS_IT_IS, max_images=2)), files(folder)[:2])
    assert len(Domain(dataset, AS_IT_IS, max_images=9)) == 3


def test_grey_on_demand(make_folder: MakeFolder) -> None:
    folder = make_folder("a", (8, 6))
    grey = np.asarray(Pillow.open(folder / "00.png").convert("L"))
    assert same(pixels(Domain(folder, AS_IT_IS, pixels=PixelFormat(channels=1))), [grey[..., None]])


def test_datasets_that_cannot_be_used() -> None:
    text = Dataset.from_dict({"text": ["x"]})
    with pytest.raises(DataError, match=r"exactly one image column; it has text \(Value\)"):
        Domain(text, AS_IT_IS)
    empty = Dataset.from_dict({"image": []}, features=Features({"image": Image()}))
    with pytest.raises(DataError, match="the dataset is empty"):
        Domain(empty, AS_IT_IS)
    with pytest.raises(DataError, match=r"one split of a datasets\.Dataset, not DatasetDict"):
        Domain(DatasetDict({"train": text}), AS_IT_IS)


def test_rows_of_a_dataset_are_named_by_their_number(make_folder: MakeFolder) -> None:
    good = (make_folder("a", (8, 8)) / "00.png").read_bytes()
    rows = [{"bytes": good, "path": None}, {"bytes": b"nothing", "path": None}, None]
    domain = Domain(Dataset.from_dict({"image": rows}, features=Features({"image": Image()})), AS_IT_IS)
    for index, said in ((1, "is not an image"), (2, "has no image")):
        with pytest.raises(DataError, match=f"^row {index} of the dataset {said}.*--skip-bad"):
            domain.load(index, CENTRE, [])


def test_wrong_files_are_errors_before_anything_is_read(make_folder: MakeFolder, truncate: Truncate) -> None:
    folder = make_folder("a", (20, 20), (20, 15), (20, 20))
    said = r"01\.png is 20x15, smaller than the crop \(16\); .*--crop-size of at most 15; --skip-bad goes on"
    with pytest.raises(DataError, match=said):
        Domain(folder, CROP_16)
    (folder / "01.png").write_text("no image")
    with pytest.raises(DataError, match=r"01\.png is not an image .*; --skip-bad goes on"):
        Domain(folder, CROP_16)


def test_skip_bad_leaves_out_what_the_check_finds(make_folder: MakeFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_folder("a", (20, 20), (20, 15), (20, 20), (16, 16))
    (folder / "02.png").write_text("no image")
    with caplog.at_level(logging.WARNING):
        domain = Domain(folder, CROP_16, skip_bad=True)
    assert len(domain) == 2
    assert [message[: message.index(" is ")] for message in caplog.messages] == [
        f"skipped: {folder / '01.png'}",
        f"skipped: {folder / '02.png'}",
    ]
    assert np.array_equal(pixels(domain)[1], np.asarray(Pillow.open(folder / "03.png")))


def test_truncated_files_are_errors_when_reached(make_folder: MakeFolder, truncate: Truncate) -> None:
    folder = make_folder("a", (20, 20), (20, 20))
    expected = files(folder)[0]
    truncate(folder / "01.png")
    domain = Domain(folder, AS_IT_IS)
    assert np.array_equal(np.asarray(domain.load(0, CENTRE, [])), expected)
    with pytest.raises(DataError, match=r"01\.png cannot be read as an image: .*truncated.*; --skip-bad goes on"):
        domain.load(1, CENTRE, [])


def test_skip_bad_replaces_what_is_truncated_by_the_next_good_one(make_folder: MakeFolder, truncate: Truncate) -> None:
    folder = make_folder("a", (20, 20), (21, 20), (22, 20), (23, 20))
    expected = files(folder)[0]
    truncate(folder / "02.png")
    truncate(folder / "03.png")
    domain, bad = Domain(folder, AS_IT_IS, skip_bad=True), list[str]()
    assert np.array_equal(np.asarray(domain.load(2, CENTRE, bad)), expected)
    assert [message.split(" cannot")[0] for message in bad] == [str(folder / "02.png"), str(folder / "03.png")]


def test_skip_bad_needs_one_good_image(make_folder: MakeFolder, truncate: Truncate) -> None:
    folder = make_folder("a", (20, 20), (20, 20))
    for path in folder.iterdir():
        truncate(path)
    with pytest.raises(DataError, match=r"none of the 2 images can be used; the first: .*truncated"):
        Domain(folder, AS_IT_IS, skip_bad=True).load(0, CENTRE, [])
    for path in folder.iterdir():
        path.write_text("no image")
    with pytest.raises(DataError, match=r"none of the 2 images in .* can be used"):
        Domain(folder, AS_IT_IS, skip_bad=True)


def test_settings_out_of_range(make_folder: MakeFolder) -> None:
    folder = make_folder("a", (8, 8))
    with pytest.raises(SettingsError, match=r"max_images \(=0\) must be at least 1"):
        Domain(folder, AS_IT_IS, max_images=0)
