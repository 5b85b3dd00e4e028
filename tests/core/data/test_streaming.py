from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from PIL import Image

from i2i.data.hub import image_columns, load_split
from i2i.data.loader import Stacker
from i2i.data.rows import RowReader
from i2i.data.streaming import Stream, StreamedRows
from i2i.data.transforms import Draw, TransformSettings
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.values import Pair

Parquet = Callable[..., Path]
Paths = Callable[[], Stream]

PLAIN = TransformSettings("none", flip=False)
BOTH = (PixelFormat(), PixelFormat())
SHARDS = [list(range(start, start + 4)) for start in range(0, 24, 4)]


def pairs(table: IterableDataset, transforms: TransformSettings = PLAIN, **settings: Any) -> StreamedRows:
    return StreamedRows(image_columns(table), RowReader(transforms, BOTH), **{"seed": 0} | settings)


def stream(*parts: StreamedRows, batch_size: int = 1, workers: int = 0) -> Stream:
    return Stream(parts, Stacker(Pair, BOTH), batch_size, workers)


def levels(images: torch.Tensor) -> list[int]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def take(data: Stream, batches: int) -> list[int]:
    """The rows of some batches, by the levels of A; B must be those of the same rows."""
    found: list[int] = []
    for batch, _ in zip(data, range(batches), strict=False):
        assert levels(batch.b) == [level + 100 for level in levels(batch.a)]
        found += levels(batch.a)
        if len(found) >= batches * len(batch.a):
            break
    return found


@pytest.fixture
def table(parquet: Parquet) -> Callable[[], IterableDataset]:
    """A stream of 24 rows in six shards."""
    folder = parquet(train=SHARDS)
    return lambda: load_split(str(folder), streaming=True)


Table = Callable[[], IterableDataset]


def test_serial_takes_the_rows_in_order_and_begins_again(table: Table) -> None:
    assert take(stream(pairs(table(), serial=True), batch_size=5), 6) == [*range(24), *range(6)]


def test_every_epoch_has_an_order_of_its_own(table: Table) -> None:
    rows = take(stream(pairs(table()), batch_size=4), 12)
    first, second = rows[:24], rows[24:]
    assert sorted(first) == sorted(second) == list(range(24))
    assert len({tuple(first), tuple(second), tuple(range(24))}) == 3


def test_only_the_seed_changes_a_run(table: Table) -> None:
    first = take(stream(pairs(table(), seed=1), batch_size=6), 8)
    assert take(stream(pairs(table(), seed=1), batch_size=6), 8) == first
    assert take(stream(pairs(table(), seed=2), batch_size=6), 8) != first


def test_workers_change_nothing_and_end_with_the_iteration(table: Table) -> None:
    before = threading.active_count()
    transforms = TransformSettings("crop", crop_size=6)
    alone, helped = (stream(pairs(table(), transforms), batch_size=5, workers=workers) for workers in (0, 2))
    iterator = iter(helped)
    for batch, other, _ in zip(alone, iterator, range(7), strict=False):
        assert torch.equal(batch.a, other.a)
        assert torch.equal(batch.b, other.b)
    iterator.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_unpaired_columns_come_in_orders_of_their_own(table: Table) -> None:
    both = image_columns(table())
    parts = [
        StreamedRows(both.select_columns([name]), RowReader(PLAIN, (PixelFormat(),)), seed=k)
        for k, name in enumerate("xy")
    ]
    a, b = next(iter(stream(*parts, batch_size=24)))
    assert sorted(levels(a)) == list(range(24))
    assert sorted(levels(b)) == list(range(100, 124))
    assert levels(b) != [level + 100 for level in levels(a)]


@pytest.mark.parametrize("position", [0, 1, 4, 5, 11])
def test_a_serial_stream_is_resumed_exactly(table: Table, position: int, caplog: pytest.LogCaptureFixture) -> None:
    whole = take(stream(pairs(table(), serial=True), batch_size=5), 16)
    data = stream(pairs(table(), serial=True), batch_size=5)
    take(data, position) if position else None
    resumed = stream(pairs(table(), serial=True), batch_size=5)
    with caplog.at_level(logging.WARNING, "i2i.data"):
        resumed.load_state_dict(json.loads(json.dumps(data.state_dict())))
    assert not caplog.messages
    assert take(resumed, 16 - position) == whole[5 * position :]
    assert resumed.state_dict()["position"] == 16


@pytest.mark.parametrize("workers", [0, 2])
def test_the_position_is_that_of_what_was_handed_out(table: Table, workers: int) -> None:
    data = stream(pairs(table(), serial=True), batch_size=3, workers=workers)
    iterator = iter(data)
    next(iterator), next(iterator)
    state = data.state_dict()
    assert state["position"] == 2
    assert state["tables"][0]["number"] == 6
    iterator.close()  # type: ignore[attr-defined]


def test_a_shuffled_stream_goes_on_in_its_shards_and_says_so(
    table: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("i2i.data.streaming._BUFFER", 2)  # else all rows wait in it
    data = stream(pairs(table()), batch_size=4)
    begun = take(data, 4)
    assert len(set(begun)) == 16
    resumed = stream(pairs(table()), batch_size=4)
    with caplog.at_level(logging.WARNING, "i2i.data"):
        resumed.load_state_dict(data.state_dict())
    assert len(set(take(resumed, 1)) & set(begun)) <= 2  # begun anew, it would be most of them
    said = "the streamed dataset goes on in the shards where it was; its order is not repeated exactly"
    assert caplog.messages[0] == said  # datasets adds a line of its own


def test_crops_follow_from_seed_and_row(parquet: Parquet) -> None:
    ramp = np.arange(144, dtype=np.uint8).reshape(12, 12)
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "PNG")
    cell = {"bytes": file.getvalue(), "path": None}
    parquet(train=[[0]])  # keeps datasets away from the network and quiet

    def crops(seed: int, skip: int = 0) -> list[bytes]:
        rows = Dataset.from_dict({"x": [cell] * 60}, features=image_features())
        part = StreamedRows(
            rows.to_iterable_dataset(), RowReader(TransformSettings("crop", crop_size=8), (PixelFormat(1),)), seed=seed,
            serial=True,
        )  # fmt: skip
        part.take(skip, map, [])
        return [images[0].tobytes() for images in part.take(60 - skip, map, [])]

    windows = {
        ramp[y : y + 8, x : x + 8][:, :: 1 - 2 * m].tobytes() for y in range(5) for x in range(5) for m in (0, 1)
    }
    found = crops(0)
    assert set(found) <= windows
    assert len(set(found)) > 25
    assert crops(0, skip=7) == found[7:]
    assert crops(1) != found


def image_features() -> Any:
    from datasets import Features
    from datasets import Image as ImageFeature

    return Features({"x": ImageFeature(decode=False)})


def files(*contents: bytes | None) -> IterableDataset:
    cells = [None if content is None else {"bytes": content, "path": None} for content in contents]
    return Dataset.from_dict({"x": cells}, features=image_features()).to_iterable_dataset()


def picture(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 8), (level, level, level)).save(file, "PNG")
    return file.getvalue()


def halves(table: IterableDataset, *, skip_bad: bool = False) -> Stream:
    return stream(StreamedRows(table, RowReader(PLAIN, BOTH, "halves"), seed=0, serial=True, skip_bad=skip_bad))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_row_stops_or_is_left_out_with_one_warning(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    table = files(picture(1), b"text", None, picture(4))
    message = r"\Arow 1 of the stream is not an image that can be read; --skip-bad goes on without such images\Z"
    with pytest.raises(DataError, match=message):
        list(zip(halves(table), range(3), strict=False))
    data = halves(files(picture(1), b"text", None, picture(4)), skip_bad=True)
    found = [levels(batch.a) for batch, _ in zip(data, range(4), strict=False)]
    assert found == [[1], [4], [1], [4]]
    assert [message[:28] for message in caplog.messages[:2]] == [
        "skipped: row 1 of the stream",
        "skipped: row 2 of the stream",
    ]


@pytest.mark.parametrize(
    ("contents", "message"),
    [([b"text", None], "none of the 2 rows of the dataset can be used; the last: row [23] of the stream")],
)
def test_a_stream_without_any_good_row(contents: list[bytes | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        next(iter(halves(files(*contents), skip_bad=True)))


def test_an_empty_stream() -> None:
    with pytest.raises(DataError, match="the dataset is empty"):
        next(iter(halves(files(picture(1)).take(0))))


def test_a_connection_that_breaks_is_an_error_in_one_line() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"x": {"bytes": picture(3), "path": None}}
        raise ConnectionError("gone\naway")

    data = iter(halves(IterableDataset.from_generator(rows)))
    assert levels(next(data).a) == [3]
    with pytest.raises(DataError, match=r"\Athe dataset cannot be read on after 1 rows: gone away\Z"):
        next(data)


def test_its_length_is_unknown() -> None:
    with pytest.raises(
        SettingsError, match="a streamed dataset has no known length; say how long the run is with --steps"
    ):
        len(halves(files(picture(1))))


def test_what_windows_need_changes_no_other_draw(table: Table) -> None:
    """These numbers were drawn for the row before there were windows."""
    asked: dict[str, Draw] = {}

    def read(cells: object, draw: Draw, place: str) -> tuple[np.ndarray, ...]:
        asked[place] = draw
        return (np.zeros((2, 2, 3), np.uint8),) * 2

    StreamedRows(table(), read, seed=5, serial=True).take(3, map, [])  # type: ignore[arg-type]
    draw = asked["row 2 of the stream"]
    assert draw[:2] == (0.02954592846578774, 0.21805847505135334)
    assert draw.mirror == 0.8080974788886347
    assert draw.share is not None
    assert draw.share not in draw[:3]
    assert 0 <= draw.share < 1
