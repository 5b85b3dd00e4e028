from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from datasets import Dataset, IterableDataset

from i2i.data.named import find_held_out, find_named
from i2i.errors import DataError
from i2i.settings import RunSettings

Parquet = Callable[..., Path]
X, Y, Z = Path("x"), Path("y"), Path("z")


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_folders_of_unpaired_images(tmp_path: Path) -> None:
    root = folders(tmp_path, "trainA", "trainB", "testA")
    assert find_named(RunSettings(data=root), "unpaired") == ((root / "trainA",), (root / "trainB",))
    assert find_held_out(RunSettings(data=root), "unpaired") is None
    folders(root, "testB")
    assert find_held_out(RunSettings(data=root), "unpaired") == ((root / "testA",), (root / "testB",))


def test_folders_of_pairs(tmp_path: Path) -> None:
    root = folders(tmp_path, "trainA", "trainB", "valA", "valB")
    run = RunSettings(data=root)
    assert find_named(run, "paired") == ((root / "trainA",), (root / "trainB",))
    assert find_held_out(run, "paired") == ((root / "valA",), (root / "valB",))
    for find in (find_named, find_held_out):
        with pytest.raises(
            DataError, match="has no train, the folder of the images; or name folders of images with --a"
        ):
            find(run, "one")
    folders(root, "train", "test")
    for layout in ("paired", "one"):
        assert find_named(run, layout) == ((root / "train",),)  # type: ignore[arg-type]
        assert find_held_out(run, layout) == ((root / "test",),)  # type: ignore[arg-type]


def test_folders_that_are_named_one_by_one() -> None:
    run = RunSettings(a=(X, Y), b=(Z,))
    for layout in ("unpaired", "paired"):
        assert find_named(run, layout) == ((X, Y), (Z,))  # type: ignore[arg-type]
        assert find_held_out(run, layout) is None  # type: ignore[arg-type]
    held = attrs.evolve(run, held_out_a=(Z,), held_out_b=(X,))
    assert find_held_out(held, "paired") == ((Z,), (X,))
    one = RunSettings(a=(X,), held_out_a=(Y,))
    assert find_named(one, "one") == ((X,),)
    assert find_held_out(one, "one") == ((Y,),)


@pytest.mark.parametrize("streaming", [False, True])
def test_tables(parquet: Parquet, streaming: bool) -> None:
    folder = parquet(train=[[1, 2]], test=[[3]])
    run = RunSettings(dataset=str(folder), columns=("y", "x"), streaming=streaming)
    table = find_named(run, "unpaired")
    assert isinstance(table, IterableDataset if streaming else Dataset)
    assert table.column_names == ["y", "x"]
    assert find_held_out(run, "unpaired") is None
    held_out = find_held_out(attrs.evolve(run, held_out_split="test"), "unpaired")
    assert isinstance(held_out, IterableDataset if streaming else Dataset)
    assert len(list(held_out)) == 1
    one = attrs.evolve(run, columns=("x",))
    assert find_named(one, "paired").column_names == find_named(one, "one").column_names == ["x"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="2 different image columns"):
        find_named(one, "unpaired")
    with pytest.raises(DataError, match="1 different image column must"):
        find_named(run, "one")


BOTH: dict[str, Any] = {"a": (X,), "b": (Y,)}


@pytest.mark.parametrize(
    ("settings", "layout", "message"),
    [
        ({}, "unpaired", "which images? name a folder with trainA and trainB by --data DIR, or two by --a DIR --b DIR, "
                         "or a Hugging Face dataset by --dataset NAME"),
        ({}, "paired", "which images? name a folder with train, or trainA and trainB, by --data DIR, "
                       "or two by --a DIR --b DIR, or a Hugging Face dataset by --dataset NAME"),
        ({"a": (X,)}, "paired", "--a names a folder, --b does not; name one or more folders of both domains"),
        ({"b": (X,)}, "unpaired", "--b names a folder, --a does not; name one or more folders of both domains"),
        ({"b": (X,)}, "one", "--b names a folder, but both sides are made of one image here; use --a"),
        (BOTH | {"held_out_b": (X,)}, "paired",
         "--held-out-b names a folder, --held-out-a does not; name one or more folders of both domains"),
        (BOTH | {"data": X}, "unpaired", "--data and --a / --b both name images; use one or the other"),
        ({"data": X, "a": (X,)}, "unpaired", "--data and --a / --b both name images; use one or the other"),
        ({"data": X, "b": (X,)}, "one", "--data and --a / --b both name images; use one or the other"),
        ({"data": X, "dataset": "x"}, "unpaired", "--data and --dataset both name images; use one or the other"),
        ({"data": X, "held_out_a": (X,), "held_out_b": (Y,)}, "unpaired",
         "--held-out-a goes with --a, not with --data; leave it out"),
        (BOTH | {"columns": ("x",)}, "paired", "--columns goes with --dataset, not with --a / --b; leave it out"),
        (BOTH | {"split": "x"}, "paired", "--split goes with --dataset, not with --a / --b; leave it out"),
        ({"data": X, "streaming": True}, "paired", "--streaming goes with --dataset, not with --data; leave it out"),
        ({"data": X}, "unpaired", "x does not exist"),
        ({"data": X}, "one", "x does not exist"),
    ],
)  # fmt: skip
def test_mistakes(settings: dict[str, Any], layout: Any, message: str) -> None:
    for find in (find_named, find_held_out):
        with pytest.raises(DataError) as caught:
            find(RunSettings(**settings), layout)
        assert str(caught.value) == message
