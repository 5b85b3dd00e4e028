from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
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
