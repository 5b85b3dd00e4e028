from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from i2i.data.pairs import paired
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.values import Pair

Write = Callable[..., Path]
PLAIN: dict[str, Any] = {"preprocess": "none", "flip": False}
CROPPED: dict[str, Any] = {"preprocess": "crop", "crop_size": 8}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("a", "01.png", 12, 10)``: a picture of noise, and its file."""

    def make(folder: str, name: str, width: int = 8, height: int = 8) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        seed = [width, height, *folder.encode(), *name.encode()]
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / name)
        return tmp_path / folder

    return make


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def images(batch: torch.Tensor) -> list[np.ndarray]:
    return list(((batch + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())


def equal(found: list[Pair], expected: list[Pair]) -> bool:
    return len(found) == len(expected) and all(
        torch.equal(x.a, y.a) and torch.equal(x.b, y.b) for x, y in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_both_halves_of_every_file_once_in_an_epoch(write: Write, direction: Any) -> None:
    for i in range(4):
        folder = write("train", f"{i}.png", 16, 8)
    data = paired(folder, direction=direction, batch_size=2, **PLAIN)
    assert len(data) == 2
    files = {pixels(path).tobytes(): path.name for path in sorted(folder.iterdir())}
    orders = []
    for _ in range(3):
        pairs = [pair for batch in data for pair in zip(images(batch.a), images(batch.b), strict=True)]
        if direction == "b_to_a":
            pairs = [(b, a) for a, b in pairs]
        orders.append([files[np.concatenate(pair, axis=1).tobytes()] for pair in pairs])
    assert all(sorted(order) == ["0.png", "1.png", "2.png", "3.png"] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_two_folders_matched_by_name(write: Write) -> None:
    for name in ("2.png", "10.png", "1.bmp"):
        a = write("a", name)
        b = write("b", name.replace("bmp", "png"))
    (batch,) = paired(a, b, serial=True, batch_size=3, **PLAIN)
    for found, folder, names in (
        (batch.a, a, ["1.bmp", "10.png", "2.png"]),
        (batch.b, b, ["1.png", "10.png", "2.png"]),
    ):
        assert all(map(np.array_equal, images(found), (pixels(folder / name) for name in names)))


def test_every_pair_is_cropped_and_mirrored_alike(write: Write, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    a = write("a", "x.png", 12, 12)
    Image.fromarray(255 - pixels(a / "x.png")).save(tmp_path / "b" / "x.png")
    (batch,) = paired(a, tmp_path / "b", batch_size=100, **CROPPED)
    torch.testing.assert_close(batch.b, -batch.a, atol=1e-6, rtol=0)
    whole = pixels(a / "x.png")
    windows = {
        (y, x, m): whole[y : y + 8, x : x + 8][:, :: 1 - 2 * m] for y in range(5) for x in range(5) for m in (0, 1)
    }
    places = {window.tobytes(): place for place, window in windows.items()}
    found = [places[image.tobytes()] for image in images(batch.a)]
    assert set(found) > {(0, 0, 0), (4, 4, 1)}
    assert 30 < sum(mirrored for _, _, mirrored in found) < 70


def columns(**files: list[Path]) -> Dataset:
    rows = {name: [str(path) for path in paths] for name, paths in files.items()}
    return Dataset.from_dict(rows, features=Features({name: ImageFeature() for name in rows}))


def test_datasets_give_what_their_files_give(write: Write) -> None:
    for i in range(3):
        a, b, both = write("a", f"{i}.png"), write("b", f"{i}.png"), write("both", f"{i}.png", 16, 8)
    left, right, whole = (sorted(folder.iterdir()) for folder in (a, b, both))
    from_files = list(paired(a, b, **CROPPED))
    assert equal(list(paired(columns(x=left, y=right), **CROPPED)), from_files)
    assert equal(list(paired(columns(x=left), columns(x=right), **CROPPED)), from_files)
    assert equal(list(paired(columns(z=whole), **CROPPED)), list(paired(both, **CROPPED)))
    assert len(paired(columns(z=whole), max_images=2, **CROPPED)) == len(paired(both, max_images=2, **CROPPED)) == 2


def test_datasets_that_cannot_be_paired(write: Write) -> None:
    a = write("a", "1.png")
    one, two = [a / "1.png"], [a / "1.png"] * 2
    with pytest.raises(DataError, match="as many rows of A as of B, not 1 and 2"):
        paired(columns(x=one), columns(x=two), **PLAIN)
    with pytest.raises(DataError, match="one domain is a dataset, the other is files"):
        paired(columns(x=one), a, **PLAIN)
    with pytest.raises(DataError, match="the dataset needs one or two image columns; it has x .*, y .*, z "):
        paired(columns(x=one, y=one, z=one), **PLAIN)


def test_workers_and_resume_change_nothing(write: Write) -> None:
    for i in range(5):
        folder = write("train", f"{i}.png", 24, 10)
    whole = [batch for data in [paired(folder, batch_size=2, seed=3, **CROPPED)] for _ in range(3) for batch in data]
    helped = paired(folder, batch_size=2, seed=3, workers=2, **CROPPED)
    assert equal([batch for _ in range(3) for batch in helped], whole)
    resumed = paired(folder, batch_size=2, seed=3, **CROPPED)
    resumed.load_state_dict({"position": 3, "images": [5]})
    assert equal([*resumed, *resumed], whole[3:])
    assert not equal([batch for _ in range(3) for batch in paired(folder, batch_size=2, seed=4, **CROPPED)], whole)


def test_grey_and_colour(write: Write) -> None:
    both = (PixelFormat(channels=1), PixelFormat())
    a, b = next(iter(paired(write("train", "1.png", 16, 8), pixels=both, **PLAIN)))
    assert (a.shape, b.shape) == ((1, 1, 8, 8), (1, 3, 8, 8))
    b, a = next(iter(paired(write("train", "1.png", 16, 8), pixels=both, direction="b_to_a", **PLAIN)))
    assert (a.shape, b.shape) == ((1, 1, 8, 8), (1, 3, 8, 8))


def test_sides_of_unequal_size_are_found_before_anything_is_read(write: Write) -> None:
    a, b = write("a", "1.png", 8, 8), write("b", "1.png", 8, 10)
    write("a", "2.png"), write("b", "2.png")
    said = f"{a}/1.png is 8x8, but {b}/1.png is 8x10; both sides of a pair must have the same size"
    with pytest.raises(DataError, match=re.escape(f"{said}; --skip-bad goes on without such images")):
        paired(a, b, **PLAIN)
    odd = write("train", "1.png", 17, 8)
    with pytest.raises(DataError, match=r"1\.png is 17x8, but an image with both sides has an even width; --skip-bad"):
        paired(odd, **PLAIN)


def test_an_image_that_is_turned_upright_matches_one_that_lies_upright(write: Write) -> None:
    a, b = write("a", "1.png", 6, 8), write("b", "1.png", 6, 8)
    upright = Image.open(a / "1.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    upright.transpose(Image.Transpose.ROTATE_90).save(a / "1.png", exif=exif)
    batch = next(iter(paired(a, b, multiple=1, **PLAIN)))
    assert np.array_equal(images(batch.a)[0], np.asarray(upright))
    lying = write("c", "1.png", 8, 6)
    with pytest.raises(DataError, match=r"a/1\.png is 6x8, but .*c/1\.png is 8x6"):
        paired(a, lying, **PLAIN)
    exif[0x0112] = 8
    upright.transpose(Image.Transpose.ROTATE_270).resize((8, 5)).save(a / "1.png", exif=exif)
    with pytest.raises(DataError, match=r"1\.png is 5x8, but an image with both sides has an even width"):
        paired(a, **PLAIN)


def test_skip_bad_leaves_whole_pairs_out(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(4):
        a, b = write("a", f"{i}.png", 8, 8 + 2 * (i == 1)), write("b", f"{i}.png")
    (b / "2.png").write_bytes((b / "2.png").read_bytes()[:100])  # found only when it is read
    with caplog.at_level(logging.WARNING):
        (batch,) = paired(a, b, serial=True, skip_bad=True, batch_size=3, **PLAIN)
    expected = ["0.png", "3.png", "3.png"]
    for found, folder in ((batch.a, a), (batch.b, b)):
        assert all(map(np.array_equal, images(found), (pixels(folder / name) for name in expected)))
    assert [re.sub(r" is .*| cannot .*", "", message) for message in caplog.messages] == [
        f"skipped: {a}/1.png", f"skipped: {b}/2.png",
    ]  # fmt: skip


def test_no_pair_can_be_used(write: Write) -> None:
    with pytest.raises(DataError, match="none of the 1 images in .*a can be used"):
        paired(write("a", "1.png", 8, 8), write("b", "1.png", 8, 10), skip_bad=True, **PLAIN)
    with pytest.raises(DataError, match="none of the 1 images in .*train can be used"):
        paired(write("train", "1.png", 9, 8), skip_bad=True, **PLAIN)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, r"batch_size \(=0\) must be at least 1"),
        ({"max_images": 0}, r"max_images \(=0\) must be at least 1"),
        ({"smallest": 12}, r"1\.png is 8x8, but these nets need at least 12 pixels each way"),
        ({"preprocess": "crop", "crop_size": 12}, r"1\.png is 8x8, smaller than the crop \(12\)"),
    ],
)
def test_settings_that_cannot_be(write: Write, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((SettingsError, DataError), match=message):
        paired(write("train", "1.png", 16, 8), **PLAIN | arguments)
