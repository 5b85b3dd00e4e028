from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import Dataset, Features, Value
from PIL import Image

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Makes a folder of noise images: ``make_folder("a", (20, 16), (18, 16))`` has a/00.png, a/01.png."""

    def make(name: str, *sizes: tuple[int, int]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for i, (width, height) in enumerate(sizes):
            seed = [i, width, height, *name.encode()]
            pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:02d}.png")
        return folder

    return make


@pytest.fixture
def truncate() -> Callable[[Path], Path]:
    """Cuts a file off behind its header."""

    def cut(path: Path) -> Path:
        path.write_bytes(path.read_bytes()[:200])
        return path

    return cut


@pytest.fixture
def parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a dataset of Parquet files: ``parquet(train=[[..], [..]])`` has two shards of columns x, y, words.

    Each number is a row: x is an image of that level, y one of level + 100; both 8 x 8. Nothing is fetched.
    """
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # five seconds after each epoch
    datasets.disable_progress_bars()
    features = Features({"words": Value("string"), "x": datasets.Image(), "y": datasets.Image()})

    def make(**splits: list[list[int]]) -> Path:
        folder = tmp_path / "parquet"
        folder.mkdir()
        for split, shards in splits.items():
            for number, levels in enumerate(shards):
                rows = [{"words": "", "x": _file(level), "y": _file(level + 100)} for level in levels]
                Dataset.from_list(rows, features=features).to_parquet(folder / f"{split}-{number:05d}.parquet")
        return folder

    return make


def _file(level: int) -> dict[str, object]:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}
