from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset, DatasetDict, Features, Image, IterableDataset, Value

from i2i.data.hub import image_columns, in_memory, is_stream, load_split
from i2i.errors import DataError

Parquet = Callable[..., Path]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_that_datasets_can_load(parquet: Parquet, streaming: bool) -> None:
    folder = parquet(train=[[1, 2], [3]], test=[[4]])
    table = load_split(str(folder), streaming=streaming)
    assert is_stream(table) == isinstance(table, IterableDataset) == streaming
    assert len(list(table)) == 3
    assert len(list(load_split(str(folder), split="test", streaming=streaming))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "vallidation"}, r"--split vallidation cannot be loaded: .*train"),
        ({"subset": "small"}, r"--split train --subset small cannot be loaded: .*small"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_not_there(parquet: Parquet, streaming: bool, arguments: dict[str, Any], message: str) -> None:
    folder = parquet(train=[[1]], test=[[2]])
    with pytest.raises(DataError, match=message) as caught:
        load_split(str(folder), streaming=streaming, **arguments)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"--dataset {folder} --split ")


def test_an_id_that_cannot_be_reached_and_folders_of_other_things(parquet: Parquet, tmp_path: Path) -> None:
    parquet(train=[[1]])
    (tmp_path / "empty").mkdir()
    for name in ("nobody/nothing", str(tmp_path / "empty")):
        with pytest.raises(DataError, match=f"--dataset {name} --split train cannot be loaded: ") as caught:
            load_split(name)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith("check the name and the connection to the Hub, or name a folder") == (
            name == "nobody/nothing"
        )


@pytest.mark.parametrize("name", ["nofolder", "./no/folder", "no/such/folder", "/nowhere", "~/nowhere"])
def test_what_can_only_be_a_folder_is_not_looked_for_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: pytest.fail("the Hub was asked"))
    with pytest.raises(DataError) as caught:
        load_split(name)
    assert str(caught.value) == f"--dataset {name}: no such folder; a dataset of the Hub is named owner/name"


def test_attempts_that_are_repeated_are_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("huggingface_hub.utils._http")

    def unreachable(*args: Any, **kwargs: Any) -> None:
        log.warning("Retrying in 1s [Retry 1/5].")
        raise ConnectionError("Couldn't reach it.")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    level = logging.getLogger("huggingface_hub").level
    with pytest.raises(DataError, match=r"cannot be loaded: Couldn't reach it; there is no such folder here either"):
        load_split("nobody/nothing")
    assert caplog.records == []
    assert logging.getLogger("huggingface_hub").level == level


@pytest.mark.parametrize("streaming", [False, True])
def test_columns_are_kept_in_the_order_asked_for_and_undecoded(parquet: Parquet, streaming: bool) -> None:
    table = load_split(str(parquet(train=[[7]])), streaming=streaming)
    assert image_columns(table).column_names == ["x", "y"]
    (row,) = image_columns(table, ["y", "x"])
    assert list(row) == ["y", "x"]
    original = next(iter(table))
    assert row["x"]["bytes"].startswith(b"\x89PNG")
    assert row["x"]["bytes"] != row["y"]["bytes"]
    assert original["x"].getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize(
    ("wanted", "counts", "message"),
    [
        (["z"], (1, 2), "column z is not in the dataset; its image columns are: x, y; choose with --columns"),
        (["x", "words"], (1, 2), "column words is no image column; its image columns are: x, y; choose with --columns"),
        (["x"], (2, 2), "2 different image columns must be chosen with --columns, not 1 (x); there are: x, y"),
        (["x"] * 2, (1, 2), "1 or 2 different image columns must be chosen with --columns, not 2 (x, x); there are: x, y"),  # noqa: E501
        ([], (1, 1), "1 different image column must be chosen with --columns, not 2 (x, y); there are: x, y"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_columns_that_cannot_be_used(wanted: list[str], counts: tuple[int, int], message: str, stream: bool) -> None:
    features = Features(words=Value("string"), x=Image(), y=Image())
    table = Dataset.from_dict({"words": [""], "x": [None], "y": [None]}, features)
    with pytest.raises(DataError) as caught:
        image_columns(table.to_iterable_dataset() if stream else table, wanted, least=counts[0], most=counts[1])
    assert str(caught.value) == message


def test_no_image_column_at_all() -> None:
    with pytest.raises(
        DataError, match=r"column x is not in the dataset; its image columns are: none \(all columns: n\)"
    ):
        image_columns(Dataset.from_dict({"n": [1]}), ["x"])
    nameless = IterableDataset.from_generator(lambda: iter([{"n": 1}]))
    with pytest.raises(DataError, match=r"not 0 \(\); there are: none"):
        image_columns(nameless)


@pytest.mark.parametrize(("rows", "count"), [(None, 3), (2, 2), (9, 3)])
@pytest.mark.parametrize("streaming", [False, True])
def test_the_first_rows_in_memory(parquet: Parquet, streaming: bool, rows: int | None, count: int) -> None:
    table = image_columns(load_split(str(parquet(train=[[1, 2], [3]])), streaming=streaming))
    kept = in_memory(table, rows)
    assert isinstance(kept, Dataset)
    assert [list(row) for row in kept] == [["x", "y"]] * count
    assert kept[1]["y"] == list(table)[1]["y"]


def test_only_streams_are_streams() -> None:
    table = Dataset.from_dict({"n": [1]})
    assert [is_stream(one) for one in (table, table.to_iterable_dataset(), (Path("a"),), DatasetDict())] == [
        False, True, False, False,
    ]  # fmt: skip
