from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from skimage.io import imread

import i2i
from i2i.errors import ModelError, RunError, SettingsError
from i2i.pixels import PixelFormat
from i2i_singan.files import folder, load_model, write
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.networks import scale_generator


def pyramid(channels: int = 3, depth: int = 8) -> PyramidGenerator:
    model = pyramid_generator(((12, 14),), (2,), factor=0.75, layers=2, channels=channels)
    model.reads = model.writes = PixelFormat(channels=channels, depth=depth)  # type: ignore[arg-type, assignment]
    return model


def test_a_model_its_run_or_its_folder(tmp_path: Path) -> None:
    model = pyramid()
    i2i.save(model, tmp_path / "run" / "model")
    i2i.save(model, tmp_path / "converted")
    (tmp_path / "run" / "settings.toml").touch()
    for path in (tmp_path / "run", str(tmp_path / "run" / "model"), tmp_path / "converted"):
        loaded = load_model(path, "cpu")
        assert not loaded.training
        assert all(value.equal(model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_what_is_no_model_of_singan(tmp_path: Path) -> None:
    i2i.save(scale_generator(width=2, layers=2), tmp_path / "other")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.toml").touch()
    with pytest.raises(
        ModelError, match=r"other is no model of SinGAN \(it holds a ScaleGenerator\); name one that i2i"
    ):
        load_model(tmp_path / "other", "cpu")
    with pytest.raises(RunError, match="run has no model yet"):
        load_model(tmp_path / "run", "cpu")
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        load_model(tmp_path / "nowhere", "cpu")
    with pytest.raises(SettingsError, match=r"device \(=cuda:77\) cannot be used here"):
        load_model(tmp_path / "other", "cuda:77")


def test_a_folder_for_results(tmp_path: Path) -> None:
    assert folder(tmp_path / "a" / "b").is_dir()
    assert folder(tmp_path / "a") == tmp_path / "a"
    (tmp_path / "file.png").touch()
    with pytest.raises(SettingsError, match=r"--out .*file.png is a file; name a folder for the results"):
        folder(tmp_path / "file.png")
    with pytest.raises(RunError, match=r"cannot write .*file.png/a .*; nothing was written"):
        folder(tmp_path / "file.png" / "a")


def test_images_are_written_as_the_model_says(tmp_path: Path) -> None:
    image = torch.rand(3, 5, 6) * 2 - 1
    expected = (image.permute(1, 2, 0).double().numpy() + 1) / 2
    assert write([image, -image], tmp_path, ["a", "b"], pyramid()) == [tmp_path / "a.png", tmp_path / "b.png"]
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), np.rint(expected * 255))
    np.testing.assert_array_equal(imread(tmp_path / "b.png"), np.rint((1 - expected) * 255))
    write([image], tmp_path, ["a"], pyramid(), reference=True)
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), np.floor(expected * 255))
    write([image], tmp_path, ["deep"], pyramid(depth=16))
    assert abs(imagecodecs.imread(tmp_path / "deep.png") - expected * 65535).max() <= 0.51
    write([image[:1]], tmp_path, ["grey"], pyramid(1))
    assert Image.open(tmp_path / "grey.png").mode == "L"
    (made,) = write([image.repeat(3, 1, 1)[:7]], tmp_path, ["many"], pyramid(7))
    assert tifffile.imread(made).shape == (5, 6, 7)


def test_images_are_written_one_by_one(tmp_path: Path) -> None:
    def two() -> object:
        yield torch.zeros(3, 4, 4)
        assert (tmp_path / "new" / "a.png").exists()
        yield torch.zeros(3, 4, 4)

    assert len(write(two(), tmp_path / "new", ["a", "b"], pyramid())) == 2  # type: ignore[arg-type]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "b.png").mkdir()
    images = [torch.zeros(3, 4, 4)] * 2
    with pytest.raises(RunError, match=r"cannot write .*b.png \(.*\); what was written before is intact"):
        write(images, tmp_path, ["a", "b"], pyramid())
    assert (tmp_path / "a.png").is_file()
