from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Make = Callable[..., Path]


@pytest.fixture
def make_scenes(tmp_path: Path) -> Make:
    """Write small scenes in the authors' layout, training and held out; return their folder."""
    from PIL import Image  # networks and steps are tested where there is none, too

    def make(name: str = "data", *, count: int = 3, size: tuple[int, int] = (24, 16), classes: int = 5) -> Path:
        root, draws = tmp_path / name, np.random.default_rng(0)
        width, height = size
        for phase in ("train", "test"):
            for kind in ("label", "inst", "img"):
                (root / f"{phase}_{kind}").mkdir(parents=True)
            for index in range(count):
                coarse = draws.integers(0, classes, (height // 4 + 1, width // 4 + 1), dtype=np.uint8)
                labels = coarse.repeat(4, 0).repeat(4, 1)[:height, :width]
                instances = labels.astype(np.uint16) * 1000 + (np.arange(width) > width // 2)
                pixels = draws.integers(0, 256, (classes, 3), dtype=np.uint8)[labels]
                Image.fromarray(labels).save(root / f"{phase}_label" / f"{index}.png")
                Image.fromarray(instances).save(root / f"{phase}_inst" / f"{index}.png")
                Image.fromarray(pixels).save(root / f"{phase}_img" / f"{index}.png")
        return root

    return make
