from __future__ import annotations

import gc
import logging
import multiprocessing
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.data.loader import Batches, Order, Reader, Stacker, single, unpaired
from i2i.data.transforms import Draw
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.values import Pair

MakeFolder = Callable[..., Path]
Truncate = Callable[[Path], Path]
Grey = tuple[Path, Path]
SMALL: dict[str, Any] = {"load_size": 10, "crop_size": 8}
PLAIN: dict[str, Any] = {"preprocess": "none", "flip": False}


@pytest.fixture
def noise(make_folder: MakeFolder) -> tuple[Path, Path]:
    """Folders of 5 and 7 images, small enough for many epochs."""
    return make_folder("a", *[(12, 9 + i) for i in range(5)]), make_folder("b", *[(9 + i, 12) for i in range(7)])


@pytest.fixture
def numbered(tmp_path: Path) -> Callable[[str, int], Path]:
    """Folders whose image i is of level i, so that a batch tells which images it holds."""

    def make(name: str, count: int) -> Path:
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / name / f"{i:03d}.png")
        return tmp_path / name

    return make


def levels(images: torch.Tensor) -> list[int]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def read(data: Batches[Pair]) -> tuple[list[int], list[int]]:
    """One epoch of numbered images: which of A, which of B."""
    batches = list(data)
    return [i for batch in batches for i in levels(batch.a)], [i for batch in batches for i in levels(batch.b)]


def equal(found: list[Pair], expected: list[Pair]) -> bool:
    return len(found) == len(expected) and all(
        torch.equal(x.a, y.a) and torch.equal(x.b, y.b) for x, y in zip(found, expected, strict=True)
    )


def epochs(data: Batches[Pair], count: int = 3) -> list[Pair]:
    return [batch for _ in range(count) for batch in data]


def test_an_epoch_shuffles_the_larger_domain_and_is_new_each_time(numbered: Callable[[str, int], Path]) -> None:
    data = unpaired(numbered("a", 30), numbered("b", 20), **PLAIN)
    first, second = read(data), read(data)
    assert sorted(first[0]) == sorted(second[0]) == list(range(30))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_the_smaller_a_is_gone_through_evenly(numbered: Callable[[str, int], Path]) -> None:
    data = unpaired(numbered("a", 4), numbered("b", 12), **PLAIN)
    assert len(data) == 12
    assert sorted(read(data)[0]) == sorted([0, 1, 2, 3] * 3)


def test_b_is_drawn_with_replacement_and_evenly(numbered: Callable[[str, int], Path]) -> None:
    data = unpaired(numbered("a", 40), numbered("b", 4), **PLAIN)
    drawn = np.array([read(data)[1] for _ in range(5)])
    counts = np.bincount(drawn.ravel(), minlength=4)
    assert ((counts - 50) ** 2 / 50).sum() < 16.3  # chi square, 3 degrees of freedom, 0.1 %
    assert len(np.unique(drawn, axis=0)) == 5
    assert any((epoch[:4].tolist() != [0, 1, 2, 3]) and len(set(epoch[:4])) < 4 for epoch in drawn)


def test_serial_takes_both_in_order(numbered: Callable[[str, int], Path]) -> None:
    data = unpaired(numbered("a", 3), numbered("b", 5), serial=True, **PLAIN)
    for _ in range(2):
        assert read(data) == ([0, 1, 2, 0, 1], [0, 1, 2, 3, 4])


def test_the_last_incomplete_batch_is_left_out(numbered: Callable[[str, int], Path]) -> None:
    data = unpaired(numbered("a", 7), numbered("b", 5), batch_size=3, serial=True, **PLAIN)
    assert len(data) == 2
    assert read(data)[0] == [0, 1, 2, 3, 4, 5]


def test_images_that_do_not_fill_one_batch_are_repeated(
    numbered: Callable[[str, int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        data = unpaired(numbered("a", 3), numbered("b", 2), batch_size=8, **PLAIN)
    assert caplog.messages == ["3 images do not fill a batch of 8: they are repeated"]
    assert len(data) == 1
    (batch,) = data
    assert batch.a.shape == (8, 3, 8, 8)
    assert levels(batch.a)[:3] == levels(batch.a)[3:6]
    assert sorted(levels(batch.a)[:3]) == [0, 1, 2]


def test_max_images_holds_for_each_domain(numbered: Callable[[str, int], Path]) -> None:
    data = unpaired(numbered("a", 9), numbered("b", 9), max_images=2, **PLAIN)
    assert len(data) == 2
    a, b = zip(*(read(data) for _ in range(8)), strict=True)
    assert {i for epoch in a for i in epoch} == {i for epoch in b for i in epoch} == {0, 1}


def test_a_and_b_are_cropped_and_mirrored_independently(tmp_path: Path) -> None:
    ramp = np.arange(144, dtype=np.uint8).reshape(12, 12)
    for domain in ("a", "b"):
        (tmp_path / domain).mkdir()
        Image.fromarray(ramp).save(tmp_path / domain / "x.png")
    data = unpaired(tmp_path / "a", tmp_path / "b", preprocess="crop", crop_size=8, batch_size=400)
    (batch,) = data
    cut = {(y, x, m): ramp[y : y + 8, x : x + 8][:, :: 1 - 2 * m] for y in range(5) for x in range(5) for m in range(2)}
    place = {window.tobytes(): key for key, window in cut.items()}
    pixels = [((images + 1) * 127.5).round().byte()[:, 0].numpy() for images in batch]
    keys = [[place[image.tobytes()] for image in images] for images in pixels]
    for found in keys:
        assert set(found) > {(0, 0, 0), (4, 4, 1)}
        assert 150 < sum(mirrored for _, _, mirrored in found) < 250
    assert sum(x == y for x, y in zip(*keys, strict=True)) < 40


def test_values_shapes_and_types(noise: Grey) -> None:
    batch = next(iter(unpaired(*noise, batch_size=2, pixels=(PixelFormat(channels=1), PixelFormat()), **SMALL)))
    assert (batch.a.shape, batch.b.shape) == ((2, 1, 8, 8), (2, 3, 8, 8))
    for images in batch:
        assert images.dtype == torch.float32
        assert -1 <= images.min() < images.max() <= 1


def test_workers_change_nothing(noise: Grey) -> None:
    alone = unpaired(*noise, batch_size=2, workers=0, **SMALL)
    helped = unpaired(*noise, batch_size=2, workers=2, **SMALL)
    assert equal(epochs(helped), epochs(alone))
    assert alone.state_dict() == helped.state_dict() == {"position": 9, "images": [5, 7]}


def test_only_the_seed_changes_a_run(noise: Grey) -> None:
    first = epochs(unpaired(*noise, seed=3, **SMALL))
    assert equal(epochs(unpaired(*noise, seed=3, **SMALL)), first)
    assert not equal(epochs(unpaired(*noise, seed=4, **SMALL)), first)


def test_every_position_can_be_resumed(noise: Grey) -> None:
    whole = epochs(unpaired(*noise, batch_size=2, **SMALL))
    for position in range(len(whole) + 1):
        data = unpaired(*noise, batch_size=2, **SMALL)
        data.load_state_dict({"position": position})
        rest = list(data)
        assert len(rest) == 3 - position % 3
        assert equal(rest, whole[position : position + len(rest)]) or position == len(whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_position_counts_what_was_handed_out_and_an_epoch_goes_on_there(noise: Grey, workers: int) -> None:
    whole = epochs(unpaired(*noise, **SMALL), 2)
    data = unpaired(*noise, workers=workers, **SMALL)
    begun = [batch for batch, _ in zip(data, range(3), strict=False)][:3]
    assert data.state_dict()["position"] in (3, 4)  # zip may take one more
    data.load_state_dict({"position": 3})
    iterator = iter(data)
    begun.append(next(iterator))
    assert data.state_dict()["position"] == 4
    assert equal(begun + list(data) + list(data), whole)
    assert data.state_dict()["position"] == 14


@pytest.mark.parametrize(
    ("more", "said"),
    [(0, []), (1, ["there are 6 and 7 images now, but were 5 and 7: the order of the rest is another one"])],
)
def test_other_images_than_before_are_told(
    noise: Grey, more: int, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = unpaired(*noise, **SMALL)
    next(iter(data))
    state = data.state_dict()
    for _ in range(more):
        Image.new("RGB", (12, 12)).save(noise[0] / "more.png")
    data = unpaired(*noise, **SMALL)
    with caplog.at_level(logging.WARNING):
        data.load_state_dict(state)
    assert caplog.messages == said
    assert data.state_dict()["position"] == 1
    data.load_state_dict({"position": 2})  # as earlier versions wrote it
    assert data.state_dict()["position"] == 2


def test_workers_end_with_the_batches_and_without_the_garbage_collector(noise: Grey) -> None:
    before = set(multiprocessing.active_children())
    data = unpaired(*noise, workers=2, **SMALL)
    gc.disable()
    try:
        list(data)
        assert len(set(multiprocessing.active_children()) - before) == 2
        del data
        assert not set(multiprocessing.active_children()) - before
    finally:
        gc.enable()


@pytest.mark.parametrize("workers", [0, 1])
def test_no_global_random_number_is_drawn(noise: Grey, workers: int) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    epochs(unpaired(*noise, workers=workers, **SMALL), 1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_file_is_one_line_from_a_worker_too(noise: Grey, truncate: Truncate, workers: int) -> None:
    path = truncate(noise[0] / "03.png")
    line = rf"\A{re.escape(str(path))} cannot be read as an image: .*; --skip-bad goes on without such images\Z"
    with pytest.raises(DataError, match=line):
        epochs(unpaired(*noise, workers=workers, **SMALL), 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_bad_warns_once_for_each_file(
    noise: Grey, truncate: Truncate, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = truncate(noise[0] / "03.png")
    alone = epochs(unpaired(*noise, skip_bad=True, **SMALL))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert equal(epochs(unpaired(*noise, workers=workers, skip_bad=True, **SMALL)), alone)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"skipped: {path} cannot be read")


def test_images_of_unequal_size_do_not_fit_into_a_batch(noise: Grey) -> None:
    assert {tuple(x.a.shape[1:]) for x in unpaired(*noise, **PLAIN)} == {(3, 8, 12), (3, 12, 12)}
    message = r"differ in size \(12x8 and 12x12\); use --batch-size 1 or --preprocess resize_and_crop"
    with pytest.raises(DataError, match=message):
        list(unpaired(noise[0], noise[0], batch_size=5, **PLAIN))


def test_single_gives_every_image_once_in_order(numbered: Callable[[str, int], Path]) -> None:
    data = single(numbered("a", 5), batch_size=2, workers=1)
    assert len(data) == 3
    for _ in range(2):
        assert [levels(batch.image) for batch in data] == [[0, 1], [2, 3], [4]]


def test_single_crops_in_the_middle(make_folder: MakeFolder) -> None:
    folder = make_folder("a", (12, 10))
    (batch,) = single(folder, preprocess="crop", crop_size=8)
    expected = np.asarray(Image.open(folder / "00.png"))[1:9, 2:10].transpose(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(batch.image[0].double(), torch.from_numpy(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, r"batch_size \(=0\) must be at least 1"),
        ({"seed": -1}, r"seed \(=-1\) must be at least 0"),
        ({"workers": -2}, r"workers \(=-2\) must be at least 0"),
        ({"preprocess": "crops"}, "did you mean crop"),
    ],
)
def test_settings_out_of_range(noise: Grey, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        unpaired(*noise, **SMALL | arguments)


class Noting:
    """A part of three rows that notes how they are asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, Draw]] = []

    def __len__(self) -> int:
        return 3

    def load(self, index: int, draw: Draw, bad: list[str]) -> tuple[np.ndarray, ...]:
        self.asked.append((index, draw))
        return (np.zeros((2, 2, 3), np.uint8),)


def test_what_windows_need_changes_no_other_draw() -> None:
    """These numbers were drawn before there were windows: one for B's image, then three for each domain."""
    a, b = Noting(), Noting()
    reader: Reader[Pair] = Reader([a, b], Stacker(Pair, (PixelFormat(),) * 2), Order(4, 1, seed=5, shuffle=True))  # type: ignore[list-item]
    _ = reader[4 + 3]
    (_, first), (picked, second) = a.asked[0], b.asked[0]
    assert picked == 1  # 0.34 of 3
    assert first[:3] == (0.2612452956407607, 0.9300766189019505, 0.4243952420045929)
    assert second[:3] == (0.5734974513144983, 0.588671167104347, 0.6047514596262917)
    shares = (first.share, second.share)
    assert None not in shares
    assert len({*shares, *first[:3], *second[:3]}) == 8
    assert all(0 <= share < 1 for share in shares)  # type: ignore[operator]
