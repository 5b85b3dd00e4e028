from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import datasets
import numpy as np
import pytest
import torch
from datasets import Dataset, Features
from PIL import Image

from i2i.data.lab import rgb_to_lab
from i2i.data.loader import unpaired
from i2i.data.pairs import paired
from i2i.data.prepared import Prepared, prepare
from i2i.data.transforms import Window
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.settings import ImageSettings, RunSettings
from i2i.values import Pair

Write = Callable[..., Path]
Parquet = Callable[..., Path]
SMALL = ImageSettings(load_size=10, crop_size=8)
NETS: dict[str, Any] = {"batch_size": 2, "multiple": 4, "smallest": {"downs": 4, "layers": 8}}


@attrs.frozen
class Halving(ImageSettings):
    """Settings of nets that halve images; None: as often as they do by themselves."""

    downs: int | None = None


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("trainA", 3, 12, 10)``: a folder with three pictures of noise, 12 x 10; returns ``tmp_path``."""

    def make(folder: str, count: int, width: int = 12, height: int = 10) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for i in range(count):
            seed = [i, width, height, *folder.encode()]
            pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.png")
        return tmp_path

    return make


def equal(found: Iterator[Pair] | Any, expected: Iterator[Pair] | Any) -> bool:
    return all(
        torch.equal(x.a, y.a) and torch.equal(x.b, y.b) for x, y in zip(list(found), list(expected), strict=True)
    )


def levels(images: torch.Tensor) -> list[int]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_unpaired_images_reach_unpaired_with_all_settings(write: Write) -> None:
    root = write("trainA", 5)
    write("trainB", 4)
    settings = attrs.evolve(SMALL, preprocess="crop", flip=False, channels_b=1, max_images=3)
    run = RunSettings(data=root, seed=5, workers=1)
    found = prepare(run, settings, **NETS).batches()
    expected = unpaired(
        root / "trainA", root / "trainB", preprocess="crop", load_size=10, crop_size=8, flip=False, batch_size=2,
        pixels=(PixelFormat(), PixelFormat(1)), max_images=3, seed=5,
    )  # fmt: skip
    assert len(found) == len(expected) == 1
    assert equal(found, expected)
    serial = prepare(run, attrs.evolve(settings, serial=True), **NETS).batches()
    assert not equal(serial, expected)


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_pairs_reach_paired_and_formats_follow_the_direction(write: Write, direction: Any) -> None:
    root = write("train", 4, 24, 10)
    settings = attrs.evolve(SMALL, channels_a=1, alpha="white")
    prepared = prepare(RunSettings(data=root, seed=2), settings, layout="paired", direction=direction, **NETS)
    grey, colour = PixelFormat(1, alpha="white"), PixelFormat(3, alpha="white")
    expected = paired(
        root / "train", direction=direction, load_size=10, crop_size=8, batch_size=2, seed=2, pixels=(grey, colour)
    )
    assert equal(prepared.batches(), expected)
    assert prepared.formats() == ((grey, colour) if direction == "a_to_b" else (colour, grey))
    assert [image.shape[1] for image in prepared.preview()] == [one.channels for one in prepared.formats()]


@pytest.mark.parametrize(
    ("downs", "crop", "multiple", "smallest", "message"),
    [
        (None, 64, 256, {"downs": 256}, "use 256; or take fewer downs: --downs 6"),
        (8, 64, 256, {"downs": 256}, "use 256; or take fewer downs: --downs 6"),
        (8, 64, 256, {"downs": 512}, "use 256; or take fewer downs: --downs 5"),  # 6 downs need 128 pixels
        (8, 64, 256, {"layers": 256}, "use 256"),
        (8, 64, 96, {"downs": 96}, "use 96"),
        # Nets that halve once more than downs says.
        (2, 60, 8, {"downs": 16}, "use 56 or 64; or take fewer downs: --downs 1"),
        (3, 60, 16, {"downs": 32}, "use 48 or 64; or take fewer downs: --downs 1"),
        (3, 56, 16, {"downs": 32}, "use 48 or 64; or take fewer downs: --downs 2"),
        (1, 58, 4, {"downs": 8}, "use 56 or 60"),
        (2, 58, 8, {"downs": 16}, "use 56 or 64"),  # even one down needs a multiple of 4
    ],
)
def test_the_number_of_downs_that_fits_is_offered(
    downs: int | None, crop: int, multiple: int, smallest: dict[str, int], message: str
) -> None:
    settings = Halving(crop_size=crop, load_size=crop, downs=downs)
    with pytest.raises(SettingsError) as caught:
        prepare(RunSettings(), settings, batch_size=1, multiple=multiple, smallest=smallest)
    assert str(caught.value) == f"crop_size (={crop}) must be a multiple of {multiple}; {message}"


def test_settings_without_downs_are_offered_none() -> None:
    with pytest.raises(SettingsError) as caught:
        prepare(RunSettings(), attrs.evolve(SMALL, crop_size=6), **NETS)
    assert str(caught.value) == "crop_size (=6) must be a multiple of 4; use 4 or 8"


def test_how_images_with_both_sides_are_cut_is_said_once(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    prepared = prepare(RunSettings(data=write("train", 2, 24, 10)), SMALL, layout="paired", **NETS)
    for _ in range(2):
        for call in prepared:
            call()
    assert caplog.messages == ["pairs: images of 24x10 are cut into two of 12x10"]


def test_two_folders_of_pairs_are_not_cut(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    root = write("trainA", 2)
    write("trainB", 2)
    prepare(RunSettings(data=root), SMALL, layout="paired", **NETS).batches()
    assert caplog.messages == []


def test_nothing_is_read_before_it_is_needed_and_nothing_twice(write: Write, tmp_path: Path) -> None:
    prepared = prepare(RunSettings(data=tmp_path / "later"), SMALL, layout="paired", **NETS)
    write("later", 0)
    write("later/train", 2, 24, 10)
    for call in prepared:
        assert call() is call()


def still(prepared: Prepared) -> list[Pair]:
    held_out = prepared.held_out()
    assert held_out is not None
    return list(held_out)


def test_held_out_images_come_in_order_and_without_chance(write: Write) -> None:
    root = write("trainA", 2)
    write("trainB", 2)
    run = RunSettings(data=root)
    assert prepare(run, SMALL, **NETS).held_out() is None
    write("testA", 3)
    write("testB", 2)
    prepared = prepare(run, attrs.evolve(SMALL, preprocess="crop"), **NETS)
    found = still(prepared)
    assert equal(still(prepared), found)
    cut = {
        name: [np.asarray(Image.open(root / name / f"{i}.png"))[1:9, 2:10] for i in range(2)]
        for name in ("testA", "testB")
    }
    assert [len(batch.a) for batch in found] == [2, 1]
    for images, name in ((found[0].a, "testA"), (found[0].b, "testB")):
        pixels = ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        assert np.array_equal(pixels, cut[name])
    assert torch.equal(found[1].b[0], found[0].b[0])  # the third of A comes with the first of B
    assert equal([prepared.preview()], [Pair(found[0].a, found[0].b)])


def test_held_out_images_of_different_sizes_come_one_by_one(write: Write) -> None:
    root = write("train", 1, 24, 12)
    write("val", 1, 32, 16)
    write("val", 0)
    Image.new("RGB", (48, 20)).save(root / "val" / "9.png")
    prepared = prepare(RunSettings(data=root), attrs.evolve(SMALL, preprocess="none"), layout="paired", **NETS)
    assert [tuple(batch.a.shape) for batch in still(prepared)] == [(1, 3, 16, 16), (1, 3, 20, 24)]
    assert prepared.preview().b.shape == (2, 3, 16, 16)


def test_the_preview_shows_training_images_where_none_are_held_out(write: Write) -> None:
    root = write("train", 6, 24, 10)
    found = prepare(RunSettings(data=root), SMALL, layout="paired", **NETS).preview()
    assert found.a.shape == (4, 3, 8, 8)
    again = prepare(RunSettings(data=root, seed=9), SMALL, layout="paired", **NETS).preview()
    assert equal([found], [again])


def test_colourisation_sees_one_photograph_in_two_ways(write: Write) -> None:
    root = write("train", 2, 12, 8)
    settings = attrs.evolve(SMALL, preprocess="none", serial=True, flip=False)
    prepared = prepare(RunSettings(data=root), settings, layout="one", **NETS)
    (batch,) = prepared.batches()
    files = [np.asarray(Image.open(root / "train" / f"{i}.png")) for i in range(2)]
    lab = rgb_to_lab(torch.from_numpy(np.stack(files)).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(batch.a, lab[:, :1] / 50 - 1, atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.b, lab[:, 1:] / 110, atol=1e-5, rtol=0)
    assert [one.colours for one in prepared.formats()] == ["lightness", "chroma"]


@pytest.mark.parametrize("layout", ["unpaired", "paired"])
def test_datasets(parquet: Parquet, layout: Any) -> None:
    folder = parquet(train=[[1, 2, 3], [4, 5]], test=[[6, 7, 8]])
    settings = attrs.evolve(SMALL, serial=True, max_images=4)
    run = RunSettings(dataset=str(folder), columns=("y", "x"), held_out_split="test")
    prepared = prepare(run, settings, layout=layout, **NETS)
    assert [(levels(batch.a), levels(batch.b)) for batch in prepared.batches()] == [
        ([101, 102], [1, 2]), ([103, 104], [3, 4]),
    ]  # fmt: skip
    assert [levels(batch.b) for batch in still(prepared)] == [[6, 7], [8]]
    assert levels(prepared.preview().a) == [106, 107, 108]


@pytest.mark.parametrize("layout", ["unpaired", "paired"])
def test_streamed_datasets(parquet: Parquet, layout: Any) -> None:
    folder = parquet(train=[[1, 2, 3], [4, 5]], test=[[6, 7, 8]])
    run = RunSettings(dataset=str(folder), held_out_split="test", streaming=True)
    prepared = prepare(run, attrs.evolve(SMALL, serial=True, max_images=4), layout=layout, **NETS)
    found = [(levels(batch.a), levels(batch.b)) for batch in islice(prepared.batches(), 3)]
    assert found == [([1, 2], [101, 102]), ([3, 4], [103, 104]), ([1, 2], [101, 102])]
    assert [levels(batch.b) for batch in still(prepared)] == [[106, 107], [108]]
    assert levels(prepared.preview().a) == [6, 7, 8]
    assert levels(prepare(attrs.evolve(run, held_out_split=None), SMALL, layout=layout, **NETS).preview().a) == [
        1,
        2,
        3,
        4,
    ]
    with pytest.raises(SettingsError, match="no known length; say how long the run is with --steps"):
        len(prepared.batches())
    shuffled = prepare(run, attrs.evolve(SMALL, max_images=4), layout=layout, **NETS | {"batch_size": 4}).batches()
    batch = next(iter(shuffled))
    assert sorted(levels(batch.a)) == [1, 2, 3, 4]
    same = levels(batch.b) == [level + 100 for level in levels(batch.a)]
    assert same == (layout == "paired")


def test_streams_of_files_with_both_sides(parquet: Parquet) -> None:
    run = RunSettings(dataset=str(parquet(train=[[1, 2]])), columns=("x",), streaming=True)
    settings = attrs.evolve(SMALL, preprocess="none", serial=True)
    batch = next(iter(prepare(run, settings, layout="paired", **NETS | {"smallest": {"downs": 4}}).batches()))
    assert (batch.a.shape, levels(batch.a), levels(batch.b)) == ((2, 3, 8, 4), [1, 2], [1, 2])
    lab = next(iter(prepare(run, settings, layout="one", **NETS).batches()))
    assert (lab.a.shape, lab.b.shape) == ((2, 1, 8, 8), (2, 2, 8, 8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_size": 5, "load_size": 6}, r"crop_size \(=5\) must be a multiple of 4; use 4 or 8$"),
        ({"crop_size": 4}, r"crop_size \(=4\) must be at least 8 for these nets; or take fewer layers"),
        ({"crop_size": 12}, r"crop_size \(=12\) is larger than load_size \(=10\)"),
    ],
)
def test_crops_that_the_nets_would_refuse(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        prepare(RunSettings(), attrs.evolve(SMALL, **settings), **NETS)


@pytest.mark.parametrize(
    ("preprocess", "brought", "way"),
    [
        ("none", "", "--preprocess resize_and_crop or larger images"),
        ("scale_width", r" \(brought to 12x4\)", "a larger --load-size"),
    ],
)
def test_an_image_too_small_for_the_nets_is_named_at_once(
    write: Write, preprocess: Any, brought: str, way: str
) -> None:
    root = write("trainA", 2)
    write("trainB", 1)
    Image.new("RGB", (30, 5)).save(root / "trainB" / "9.png")
    settings = attrs.evolve(SMALL, preprocess=preprocess, crop_size=4, load_size=12)
    small = rf"trainB/9\.png is 30x5{brought}, but these nets need at least 8 pixels each way; use {way}"
    with pytest.raises(DataError, match=small):
        prepare(RunSettings(data=root), settings, **NETS).batches()


def test_nets_may_know_their_least_size_alone(write: Write) -> None:
    root = write("trainA", 1)
    write("trainB", 1)
    Image.new("RGB", (5, 5)).save(root / "trainB" / "0.png")
    settings = attrs.evolve(SMALL, preprocess="none")
    (batch,) = prepare(RunSettings(data=root), settings, batch_size=1, multiple=4, smallest={}).batches()
    assert batch.b.shape == (1, 3, 4, 4)


def test_a_bad_first_image_may_be_skipped(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    root = write("trainA", 3)
    write("trainB", 2)
    (root / "trainA" / "0.png").write_text("no image")
    run = RunSettings(data=root)
    with pytest.raises(DataError, match=r"trainA/0\.png is not an image"):
        prepare(run, SMALL, **NETS).batches()
    with caplog.at_level(logging.WARNING):
        assert len(prepare(attrs.evolve(run, skip_bad=True), SMALL, **NETS).batches()) == 1
    assert [message[:8] for message in caplog.messages] == ["skipped:"]


# Nothing random about it: A's content moves right by a quarter.
ASIDE = Window(1.0, across=(0.25, 0.25), down=(0.0, 0.0))


def moved_aside(path: Path) -> np.ndarray:
    """A picture of 12x10 pixels as ``ASIDE`` brings it to 8x8."""
    whole = Image.fromarray(np.pad(np.asarray(Image.open(path)), ((0, 0), (3, 0), (0, 0)), mode="reflect"))
    return np.asarray(whole.resize((8, 8), Image.Resampling.BICUBIC, box=(0, 0, 12, 10)))


def pixels(images: torch.Tensor) -> np.ndarray:
    return ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_each_domain_has_its_own_window_in_training_only(write: Write, direction: Any) -> None:
    root = write("trainA", 2)
    for name in ("trainB", "testA", "testB"):
        write(name, 2)
    settings = attrs.evolve(SMALL, serial=True, flip=False)
    plain = prepare(RunSettings(data=root), settings, direction=direction, **NETS)
    prepared = prepare(RunSettings(data=root), settings, direction=direction, windows=(ASIDE, None), **NETS)
    ((a, b),), ((plain_a, plain_b),) = prepared.batches(), plain.batches()
    if direction == "b_to_a":
        a, b, plain_a, plain_b = b, a, plain_b, plain_a
    assert np.array_equal(pixels(a), np.stack([moved_aside(root / "trainA" / f"{i}.png") for i in range(2)]))
    assert not torch.equal(a, plain_a)
    assert torch.equal(b, plain_b)
    assert equal([prepared.preview()], [plain.preview()])
    assert equal(still(prepared), still(plain))


def test_windows_differ_from_image_to_image_and_epoch_to_epoch(write: Write) -> None:
    root = write("trainA", 1)
    write("trainB", 1)
    window = Window(0.7, (-0.1, 0.1), (-0.1, 0.25))
    settings = attrs.evolve(SMALL, flip=False)
    prepared = prepare(RunSettings(data=root), settings, windows=(None, window), **NETS)
    ((_, first),), ((_, second),) = prepared.batches(), prepared.batches()
    assert len({images.numpy().tobytes() for images in (*first, *second)}) == 4


def test_windows_of_streams(write: Write, tmp_path: Path) -> None:
    write("trainA", 2)
    files = [{"bytes": (tmp_path / "trainA" / f"{i}.png").read_bytes(), "path": None} for i in range(2)]
    features = Features({"x": datasets.Image(), "y": datasets.Image()})
    (tmp_path / "table").mkdir()
    table = Dataset.from_dict({"x": files, "y": files}, features=features)
    table.to_parquet(tmp_path / "table" / "train-00000.parquet")
    run = RunSettings(dataset=str(tmp_path / "table"), streaming=True)
    settings = attrs.evolve(SMALL, serial=True, flip=False, load_size=8)
    batch = next(iter(prepare(run, settings, windows=(ASIDE, None), **NETS).batches()))
    assert np.array_equal(pixels(batch.a), np.stack([moved_aside(tmp_path / "trainA" / f"{i}.png") for i in range(2)]))
    whole = [Image.open(tmp_path / "trainA" / f"{i}.png").resize((8, 8), Image.Resampling.BICUBIC) for i in range(2)]
    assert np.array_equal(pixels(batch.b), np.stack(whole))


@pytest.mark.parametrize("layout", ["paired", "one"])
def test_windows_are_not_for_images_that_belong_together(layout: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        prepare(RunSettings(), SMALL, layout=layout, windows=(None, ASIDE), **NETS)
    assert str(caught.value) == (
        "windows move images of A and of B each by themselves, but with layout "
        f"{layout!r} they belong together; leave windows out"
    )


def test_windows_need_squares() -> None:
    with pytest.raises(SettingsError, match="use --preprocess resize_and_crop"):
        prepare(RunSettings(), attrs.evolve(SMALL, preprocess="scale_width"), windows=(ASIDE, None), **NETS)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (5, 3, "domain A has 5 images, B 3: an epoch is 2 batches of 2, images of B come again"),
        (1, 3, "domain A has 1 image, B 3: an epoch is 1 batch of 2, images of A come again"),
        (3, 3, None),
    ],
)
def test_domains_that_differ_in_number_are_told_once(
    write: Write, caplog: pytest.LogCaptureFixture, a: int, b: int, said: str | None
) -> None:
    root = write("trainA", a)
    write("trainB", b)
    prepared = prepare(RunSettings(data=root), SMALL, **NETS)
    prepared.preview()
    assert caplog.messages == []
    for _ in range(2):
        assert len(prepared.batches()) == max(a, b) // 2
    assert caplog.messages == ([said] if said else [])
