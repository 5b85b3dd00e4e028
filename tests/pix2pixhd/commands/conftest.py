"""A tiny model with styles, and scenes for it, in files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import i2i
from i2i.data import write_ids, write_image
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator

NAMES = ("a", "b", "sub/c")


def lively(net: SceneGenerator) -> SceneGenerator:
    """Give a net weights large enough for differences to be seen in 8 bits."""
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return net


@pytest.fixture(scope="session")
def net() -> SceneGenerator:
    """Five classes, boundaries, styles of two numbers."""
    torch.manual_seed(0)
    made = scene_generator(
        global_generator(3, labels=5, base_width=4, downs=2, blocks=1), feature_encoder(3, 2, base_width=4, downs=2)
    )
    assert isinstance(made, SceneGenerator)
    return lively(made).eval()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of 18 x 13 pixels in the authors' layout: two objects of class 3, and classes 0, 1, 2."""
    root, draw = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        labels = np.zeros((13, 18), np.int32)
        labels[7:] = 1
        labels[:2, :4] = 2
        instances = labels.copy()
        for object, (top, left) in enumerate(((8, 1 + number), (5, 10))):
            labels[top : top + 4, left : left + 5], instances[top : top + 4, left : left + 5] = 3, 3000 + object
        for kind in ("label", "inst", "img"):
            (root / f"train_{kind}" / name).parent.mkdir(parents=True, exist_ok=True)
        write_ids(labels, root / "train_label" / f"{name}.png")
        write_ids(instances, root / "train_inst" / f"{name}.png")
        image = torch.from_numpy(draw.uniform(-1, 1, (3, 13, 18)))
        write_image(image, root / "train_img" / f"{name}.png")
    return root


@pytest.fixture(scope="session")
def plain(net: SceneGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model before its styles are found; not to be changed."""
    return i2i.save(net, tmp_path_factory.mktemp("plain") / "model")


@pytest.fixture(scope="session")
def styled(plain: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with its styles; not to be changed."""
    from i2i.cli import main

    folder = tmp_path_factory.mktemp("styled") / "model"
    shutil.copytree(plain, folder)
    assert main(["pix2pixhd", "encode", str(folder), "--data", str(data), "--clusters", "4", "--device", "cpu"]) == 0
    return folder
