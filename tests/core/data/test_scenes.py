from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import datasets
import numpy as np
import pytest
import tifffile
import torch
from datasets import Dataset, Features
from PIL import Image

from i2i.data import scene_rows
from i2i.data.ids import write_ids
from i2i.data.scenes import PreparedScenes, prepare_scenes
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.settings import ImageSettings, RunSettings
from i2i.values import Instanced, Labelled

Write = Callable[..., Path]
SMALL = ImageSettings(preprocess="crop", crop_size=8)
STILL = attrs.evolve(SMALL, preprocess="none", flip=False, serial=True)
NETS: dict[str, Any] = {"batch_size": 2, "multiple": 4, "smallest": {"downs": 4}}


def ids(seed: int, high: int, width: int = 12, height: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high + 1, (height, width))


def photo(seed: int, width: int = 12, height: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("train", 3)``: three scenes of 12 x 10 in the layout of the authors; returns ``tmp_path``.

    Labels of scene k are ``ids(k, 6)``, instances ``ids(100 + k, 50000)``, the image is ``photo(k)``; of the second
    split that is written k begins at 50.
    """
    begin = iter((0, 50, 70))

    def make(split: str, count: int, **size: int) -> Path:
        first = next(begin)
        for k in range(first, first + count):
            for kind in ("label", "inst", "img"):
                (tmp_path / f"{split}_{kind}").mkdir(exist_ok=True)
            write_ids(ids(k, 6, **size), tmp_path / f"{split}_label" / f"{k}.png")
            write_ids(ids(100 + k, 50000, **size), tmp_path / f"{split}_inst" / f"{k}.png")
            Image.fromarray(photo(k, **size)).save(tmp_path / f"{split}_img" / f"{k}.png")
        return tmp_path

    return make


def prepared(root: Path, settings: ImageSettings = SMALL, *, labels: int = 7, **options: Any) -> PreparedScenes:
    run = {name: options.pop(name) for name in [*options] if name in attrs.fields_dict(RunSettings)}
    return prepare_scenes(RunSettings(data=root, **run), settings, labels=labels, **{**NETS, **options})


def levels(image: torch.Tensor) -> np.ndarray:
    return ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


def same(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        type(x) is type(y) and all(map(torch.equal, x, y)) for x, y in zip(one, other, strict=True)
    )


def test_batches_hold_maps_and_images_as_they_are(write: Write) -> None:
    data = prepared(write("train", 5), attrs.evolve(STILL, max_images=4))
    batches = list(data.batches())
    assert len(batches) == len(data.batches()) == data.epoch() == 2
    for batch in batches:
        assert isinstance(batch, Instanced)
        assert [part.dtype for part in batch] == [torch.int32, torch.int32, torch.float32]
        assert [tuple(part.shape) for part in batch] == [(2, 1, 8, 12), (2, 1, 8, 12), (2, 3, 8, 12)]
        assert all(part.is_contiguous() for part in batch)
    # 10 rows become 8: those that lie nearest.
    rows = np.floor((np.arange(8) + 0.5) * 10 / 8).astype(int)
    for k in range(4):
        batch = batches[k // 2]
        assert np.array_equal(batch.labels[k % 2, 0].numpy(), ids(k, 6)[rows])
        assert np.array_equal(batch.instances[k % 2, 0].numpy(), ids(100 + k, 50000)[rows])
        image = np.asarray(Image.fromarray(photo(k)).resize((12, 8), Image.Resampling.BICUBIC))
        assert np.array_equal(levels(batch.image[k % 2]), image)
    assert max(int(batch.instances.max()) for batch in batches) > 32767


def test_crops_and_mirrors_are_those_of_the_image(write: Write) -> None:
    """Maps that say the same as the image lie where it lies."""
    root = write("train", 6)
    for k in range(6):
        write_ids(photo(k)[..., 0], root / "train_label" / f"{k}.png")
        write_ids(photo(k)[..., 1].astype(int) * 200, root / "train_inst" / f"{k}.png")
    data = prepared(root, labels=256).batches()
    mirrored = []
    for _ in range(2):
        for batch in data:
            for labels, instances, image in zip(*batch, strict=True):
                assert np.array_equal(labels[0].numpy(), levels(image)[..., 0])
                assert np.array_equal(instances[0].numpy(), levels(image)[..., 1].astype(int) * 200)
                window = levels(image)[::-1, ::-1]
                mirrored.append(any(_holds(photo(k)[::-1], window) for k in range(6)))
    assert set(mirrored) == {True, False}


def _holds(whole: np.ndarray, window: np.ndarray) -> bool:
    spots = np.lib.stride_tricks.sliding_window_view(whole, window.shape)
    return bool((spots == window).all(axis=(-3, -2, -1)).any())


def test_runs_are_repeated_and_resumed_with_any_number_of_workers(write: Write) -> None:
    root = write("train", 6)
    whole = prepared(root, seed=3).batches()
    batches = [*whole, *whole]
    with_workers = prepared(root, seed=3, workers=1).batches()
    assert same([*with_workers, *with_workers], batches)
    assert not same([*prepared(root, seed=4).batches()], batches[:3])
    begun = prepared(root, seed=3).batches()
    for _ in zip(range(2), begun, strict=False):
        pass
    again = prepared(root, seed=3, resume=True).batches()
    again.load_state_dict(begun.state_dict())
    assert same([*again, *again], batches[2:])


def test_without_instances(write: Write) -> None:
    root = write("train", 2)
    write("test", 1)
    data = prepared(root, STILL, instances=False)
    (batch,) = data.batches()
    assert isinstance(batch, Labelled)
    assert (batch.labels.dtype, batch.labels.shape, batch.image.shape) == (torch.int32, (2, 1, 8, 12), (2, 3, 8, 12))
    assert isinstance(data.preview(), Labelled)


def test_without_classes_labels_are_images(write: Write) -> None:
    root = write("train", 2)
    for old, new in (("label", "A"), ("img", "B")):
        (root / f"train_{old}").rename(root / f"train_{new}")
    for k in range(2):
        Image.fromarray(photo(k + 20)).save(root / "train_A" / f"{k}.png")
    settings = attrs.evolve(STILL, channels_a=1, preprocess="crop", crop_size=8)
    data = prepared(root, settings, labels=0, instances=False)
    (batch,) = data.batches()
    assert isinstance(batch, Labelled)
    assert data.formats() == (PixelFormat(1), PixelFormat())
    assert data.palette() is None
    for k in range(2):
        grey = np.asarray(Image.fromarray(photo(k + 20)).convert("L"))
        found = levels(batch.labels[k])
        assert (found.shape, batch.labels.dtype) == ((8, 8, 1), torch.float32)
        assert _holds(grey[..., None], found)
    with_instances = next(iter(prepared(root, settings, labels=0).batches()))
    assert isinstance(with_instances, Instanced)
    assert [part.dtype for part in with_instances] == [torch.float32, torch.int32, torch.float32]


def test_targets_of_sixteen_bits_and_one_channel(write: Write) -> None:
    root = write("train", 2)
    for k in range(2):
        (root / "train_img" / f"{k}.png").unlink()
        tifffile.imwrite(root / "train_img" / f"{k}.tif", ids(k, 4095).astype(np.uint16))
    data = prepared(root, attrs.evolve(STILL, channels_b=1, range_b=(0.0, 4095.0)), multiple=2)
    (batch,) = data.batches()
    assert data.formats() == (None, PixelFormat(1, depth=16, range=(0, 4095)))
    for k in range(2):
        torch.testing.assert_close(batch.image[k, 0], torch.tensor(ids(k, 4095) / 2047.5 - 1).float())


def test_colours_name_the_classes_and_are_the_palette(write: Write, tmp_path: Path) -> None:
    root = write("train", 2)
    table = [(k, 2 * k, 255 - k) for k in range(7)]
    for k in range(2):
        Image.fromarray(np.array(table, np.uint8)[ids(k, 6)]).save(root / "train_label" / f"{k}.png")
    with pytest.raises(DataError, match=r"train_label/0\.png is an RGB image where ids are read; .* --colours FILE"):
        prepared(root, STILL).batches()
    (tmp_path / "table").write_text("\n".join(" ".join(map(str, row)) for row in table))
    data = prepared(root, STILL, colours=tmp_path / "table", multiple=2)
    (batch,) = data.batches()
    assert [np.array_equal(batch.labels[k, 0].numpy(), ids(k, 6)) for k in range(2)] == [True, True]
    assert data.palette() == tuple(table)
    with pytest.raises(SettingsError, match="table has 7 colours, but there are 5 classes; use --labels 7"):
        prepared(root, STILL, labels=5, colours=tmp_path / "table").batches()
    with pytest.raises(SettingsError, match="there are none with --labels 0; leave it out"):
        prepared(root, STILL, labels=0, colours=tmp_path / "table")


def test_the_palette_is_that_of_the_first_map(write: Write) -> None:
    root = write("train", 1)
    assert prepared(root).palette() is None
    image = Image.fromarray(ids(0, 6).astype(np.uint8), "P")
    image.putpalette([*range(30)])
    image.save(root / "train_label" / "0.png")
    assert prepared(root).palette() == tuple((3 * k, 3 * k + 1, 3 * k + 2) for k in range(7))
    (root / "train_label" / "0.png").rename(root / "train_label" / "1.png")
    for kind in ("inst", "img"):
        shutil.copy(root / f"train_{kind}" / "0.png", root / f"train_{kind}" / "1.png")
    (root / "train_label" / "0.png").write_text("no image")
    with pytest.raises(DataError, match=r"train_label/0\.png is not an image that can be read; --skip-bad goes on"):
        prepared(root).palette()
    assert prepared(root, skip_bad=True).palette() is not None


def test_all_ids_are_checked_before_training_also_those_held_out(write: Write) -> None:
    root = write("train", 5)
    write("test", 3)
    write_ids(np.full((10, 12), 40), root / "test_label" / "51.png")
    data = prepared(root)
    with pytest.raises(DataError) as caught:
        data.batches()
    assert str(caught.value) == (
        f"{root}/test_label/51.png has class id 40, but there are 7 classes (0 to 6); use --labels 41; "
        "--skip-bad goes on without such images"
    )
    write_ids(np.full((10, 12), 8), root / "train_label" / "3.png")
    with pytest.raises(DataError, match=r"train_label/3\.png has class id 8, but there are 7 classes \(0 to 6\)"):
        prepared(root).batches()
    assert prepared(root).epoch() == 2  # counted without the check
    assert len(prepared(root, labels=41).batches()) == 2


def test_a_resumed_run_does_not_read_all_maps_again(write: Write) -> None:
    root = write("train", 3)
    write_ids(np.full((10, 12), 8), root / "train_label" / "2.png")
    resumed = prepared(root, attrs.evolve(SMALL, serial=True), resume=True).batches()
    assert len(next(iter(resumed)).labels) == 2
    with pytest.raises(DataError, match="has class id 8"):
        prepared(root, attrs.evolve(SMALL, serial=True), resume=True, batch_size=3).batches().__iter__().__next__()


def test_bad_scenes_are_left_out_also_of_a_resumed_run(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    root = write("train", 6)
    write_ids(np.full((10, 12), 9), root / "train_label" / "1.png")
    Image.fromarray(photo(4, 13, 10)).save(root / "train_img" / "4.png")
    settings = attrs.evolve(SMALL, serial=True, flip=False)
    with caplog.at_level(logging.WARNING):
        data = prepared(root, settings, skip_bad=True)
        found = [*data.batches()]
    assert (len(found), data.epoch()) == (2, 2)
    assert len(caplog.messages) == 2
    kept = [window for batch in found for window in map(levels, batch.image)]
    for window, k in zip(kept, (0, 2, 3, 5), strict=True):
        assert _holds(photo(k), window)
    assert same([*prepared(root, settings, skip_bad=True, resume=True).batches()], found)


def test_sizes_that_differ_within_a_scene_are_one_line(write: Write) -> None:
    root = write("train", 3)
    Image.fromarray(photo(1, 13, 10)).save(root / "train_img" / "1.png")
    with pytest.raises(DataError) as caught:
        prepared(root).batches()
    assert str(caught.value) == (
        f"{root}/train_label/1.png is 12x10, but {root}/train_img/1.png is 13x10; the files of a scene must have the "
        "same size; --skip-bad goes on without such images"
    )


def test_held_out_scenes_come_in_order_and_without_chance(write: Write) -> None:
    root = write("train", 2)
    assert prepared(root).held_out() is None
    write("test", 3)
    data = prepared(root)
    held_out = data.held_out()
    assert held_out is not None
    found = [*held_out]
    assert same([*held_out], found)
    assert [len(batch.image) for batch in found] == [2, 1]
    for n, k in enumerate((50, 51, 52)):
        batch = found[n // 2]
        assert np.array_equal(levels(batch.image[n % 2]), photo(k)[1:9, 2:10])
        assert np.array_equal(batch.labels[n % 2, 0].numpy(), ids(k, 6)[1:9, 2:10])
    shown = data.preview()
    assert isinstance(shown, Instanced)
    assert torch.equal(shown.labels, torch.cat([batch.labels for batch in found]))


def test_the_preview_is_of_one_size_and_of_training_where_nothing_is_held_out(write: Write) -> None:
    root = write("train", 2)
    write("train", 4, width=20, height=16)  # scenes 50 to 53
    shown = prepared(root, STILL).preview()
    assert isinstance(shown, Instanced)
    assert [tuple(part.shape) for part in shown] == [(4, 1, 8, 12), (4, 1, 8, 12), (4, 3, 8, 12)]
    columns = np.floor((np.arange(12) + 0.5) * 20 / 12).astype(int)
    rows = 2 * np.arange(8) + 1  # of 16; the centre of a new pixel lies on an edge
    assert np.array_equal(shown.labels[2, 0].numpy(), ids(50, 6, 20, 16)[rows[:, None], columns])


def test_heights_follow_the_widths_whatever_the_crop_is(write: Write) -> None:
    root = write("train", 2, width=24, height=10)
    settings = attrs.evolve(SMALL, preprocess="scale_width", load_size=16, crop_size=512)
    (batch,) = prepared(root, settings).batches()
    assert batch.image.shape == (2, 3, 8, 16)  # 6.67 rounded to a multiple of 4
    with pytest.raises(DataError, match=r"is 24x10 \(brought to 16x8\), but these nets need at least 16 pixels"):
        prepared(root, settings, smallest={"downs": 16}).batches()
    with pytest.raises(SettingsError, match=r"crop_size \(=9\) must be a multiple of 4; use 8 or 12"):
        prepared(root, attrs.evolve(SMALL, crop_size=9))


def test_scenes_of_unequal_size_do_not_fit_into_one_batch(write: Write) -> None:
    root = write("train", 1)
    write("train", 1, width=20, height=16)
    with pytest.raises(DataError, match=r"images of one batch differ in size .*; use --batch-size 1"):
        next(iter(prepared(root, STILL).batches()))


def test_a_dataset_by_columns(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    root = write("train", 3)
    features = Features({"photo": datasets.Image(), "what": datasets.Image(), "who": datasets.Image()})
    kinds = {"photo": "img", "what": "label", "who": "inst"}

    def store(name: str) -> str:
        rows = [{column: {"bytes": (root / f"train_{kind}" / f"{k}.png").read_bytes(), "path": None}
                 for column, kind in kinds.items()} for k in range(3)]  # fmt: skip
        (tmp_path / name).mkdir()
        Dataset.from_list(rows, features=features).to_parquet(tmp_path / name / "train-0.parquet")
        return str(tmp_path / name)

    expected = [*prepared(root, STILL).batches()]
    run = {"dataset": store("good"), "columns": ("what", "who", "photo")}
    data = prepare_scenes(RunSettings(**run), STILL, labels=7, **NETS)  # type: ignore[arg-type]
    assert same([*data.batches()], expected)
    assert data.formats() == (None, PixelFormat())
    write_ids(ids(2, 30), root / "train_label" / "2.png")
    run["dataset"] = store("bad")
    with pytest.raises(DataError, match=r"row 2 of the dataset has class id 30, but .*use --labels 31; --skip-bad"):
        prepare_scenes(RunSettings(**run), STILL, labels=7, **NETS).batches()  # type: ignore[arg-type]


def test_nothing_is_read_before_it_is_needed_and_nothing_twice(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared(tmp_path / "later")
    root = write("train", 3)
    write("test", 2)
    root.joinpath("later").mkdir()
    for folder in [*root.glob("t*_*")]:
        folder.rename(root / "later" / folder.name)
    read: list[str] = []
    true = scene_rows.read_labels

    def counted(source: Any, *arguments: Any, name: str) -> Any:
        read.append(Path(name).parent.name)
        return true(source, *arguments, name=name)

    monkeypatch.setattr(scene_rows, "read_labels", counted)
    for call in data:
        assert call() is call()
    # The check, and the preview of the two that are held out.
    assert sorted(read) == ["test_label"] * 4 + ["train_label"] * 3


def test_a_number_of_classes_below_zero() -> None:
    with pytest.raises(SettingsError, match=r"labels \(=-1\) must be at least 0"):
        prepare_scenes(RunSettings(), SMALL, labels=-1, **NETS)
