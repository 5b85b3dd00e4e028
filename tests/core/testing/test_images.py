from __future__ import annotations

import numpy as np
from PIL import Image

from i2i.data import find_folders, find_scenes
from i2i.testing import write_images


def test_there_are_images_in_all_layouts(tmp_path):
    root = write_images(tmp_path / "data")
    folders = find_folders(root)
    assert all(len(list(folder.iterdir())) == 4 for folder in (folders.train_a, folders.train_b))
    assert len(find_scenes(root / "train_label", root / "train_inst", root / "train_img")) == 4
    with Image.open(root / "trainA.png") as alone, Image.open(root / "trainA" / "0.png") as first:
        assert np.array_equal(np.asarray(alone), np.asarray(first))
        assert alone.size == (24, 20)
    with Image.open(root / "train_label" / "0.png") as ids:
        assert np.asarray(ids).max() < 35


def test_they_are_always_the_same(tmp_path):
    one, two = (write_images(tmp_path / name) for name in ("one", "two"))
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*.png"))
    assert names == sorted(str(path.relative_to(two)) for path in two.rglob("*.png"))
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)
    before = (one / "trainA" / "0.png").read_bytes()
    write_images(one)  # once more
    assert (one / "trainA" / "0.png").read_bytes() == before
