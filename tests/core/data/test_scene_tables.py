from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import datasets
import numpy as np
import pytest
from datasets import Dataset, Features

from i2i.data.ids import write_ids
from i2i.data.scene_tables import scene_table
from i2i.errors import DataError, SettingsError
from i2i.settings import RunSettings

SMALL = np.zeros((8, 8), int)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two scenes to train on, one held out, in the layout of the authors; further images in ``p`` and ``q``."""
    for folder, count in (("train_label", 2), ("train_inst", 2), ("train_img", 2), ("test_label", 1), ("test_inst", 1),
                          ("test_img", 1), ("p", 3), ("q", 3)):  # fmt: skip
        (tmp_path / folder).mkdir()
        for k in range(count):
            write_ids(SMALL, tmp_path / folder / f"{k}.png")
    return tmp_path


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of Parquet files with the columns l, i, p: two rows to train on, one to validate."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    write_ids(SMALL, tmp_path / "x.png")
    features = Features({"p": datasets.Image(), "l": datasets.Image(), "i": datasets.Image()})
    (tmp_path / "parquet").mkdir()
    for split, count in (("train", 2), ("validation", 1)):
        rows = [{name: {"bytes": (tmp_path / "x.png").read_bytes(), "path": f"{name}{k}"} for name in "pli"}
                for k in range(count)]  # fmt: skip
        Dataset.from_list(rows, features=features).to_parquet(tmp_path / "parquet" / f"{split}-0.parquet")
    return tmp_path / "parquet"


def names(table: Dataset | None) -> dict[str, list[str]]:
    assert table is not None
    return {
        column: ["/".join(Path(cell["path"]).parts[-2:]) for cell in table[column]] for column in table.column_names
    }


def refusal(run: RunSettings, instances: bool = True, split: Any = "train") -> str:
    with pytest.raises(DataError) as caught:
        scene_table(run, split, True, instances, None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder(folders: Path) -> None:
    run = RunSettings(data=folders)
    assert names(scene_table(run, "train", True, True, None)) == {
        "labels": ["train_label/0.png", "train_label/1.png"],
        "instances": ["train_inst/0.png", "train_inst/1.png"],
        "image": ["train_img/0.png", "train_img/1.png"],
    }
    assert names(scene_table(run, "held_out", True, False, None)) == {
        "labels": ["test_label/0.png"],
        "image": ["test_img/0.png"],
    }
    assert names(scene_table(run, "train", True, True, 1))["image"] == ["train_img/0.png"]
    (folders / "test_img" / "0.png").unlink()
    (folders / "test_img").rmdir()
    assert scene_table(run, "held_out", True, True, None) is None


def test_folders_that_are_named(folders: Path) -> None:
    run = RunSettings(a=(folders / "p",), b=(folders / "q",))
    assert names(scene_table(run, "train", True, False, 1)) == {"labels": ["p/0.png"], "image": ["q/0.png"]}
    assert scene_table(run, "held_out", True, False, None) is None
    run = attrs.evolve(run, held_out_a=(folders / "train_label",), held_out_b=(folders / "train_img",))
    held_out = scene_table(run, "held_out", False, False, None)
    assert names(held_out)["image"] == ["train_img/0.png", "train_img/1.png"]
    assert refusal(run) == (
        "--a and --b name no instance maps; name a folder with train_label, train_inst and train_img by --data, "
        "or go without: --no-instances"
    )


def test_a_dataset(stored: Path) -> None:
    run = RunSettings(dataset=str(stored), columns=("l", "i", "p"), held_out_split="validation")
    table = scene_table(run, "train", True, True, None)
    assert names(table) == {"l": ["l0", "l1"], "i": ["i0", "i1"], "p": ["p0", "p1"]}
    assert names(scene_table(run, "train", True, True, 1))["p"] == ["p0"]
    assert names(scene_table(run, "held_out", True, True, None))["l"] == ["l0"]
    assert scene_table(attrs.evolve(run, held_out_split=None), "held_out", True, True, None) is None
    two = attrs.evolve(run, columns=("l", "p"))
    assert names(scene_table(two, "train", True, False, None)) == {"l": ["l0", "l1"], "p": ["p0", "p1"]}
    assert refusal(two) == (
        "--columns l p names no instance maps; name three columns (labels, instances, images), "
        "or go without: --no-instances"
    )
    assert "2 different image columns must be chosen with --columns, not 3" in refusal(run, instances=False)


def test_datasets_are_not_streamed(stored: Path) -> None:
    run = RunSettings(dataset=str(stored), columns=("l", "i", "p"), streaming=True)
    assert refusal(run) == (
        "--streaming: label maps are not streamed, since their ids are checked before training; "
        "leave it out, and the dataset is fetched first"
    )


def test_nothing_or_too_much(folders: Path) -> None:
    assert refusal(RunSettings()).startswith(
        "which images? name a folder with train_label, train_inst and train_img by --data DIR"
    )
    assert refusal(RunSettings(data=folders, a=(folders,))).startswith("--data and --a / --b both name images")
    assert refusal(RunSettings(a=(folders / "p",)), instances=False).startswith("--a names a folder, --b does not")
    with pytest.raises(SettingsError, match=r"max_images \(=0\) must be at least 1"):
        scene_table(RunSettings(data=folders), "train", True, True, 0)
