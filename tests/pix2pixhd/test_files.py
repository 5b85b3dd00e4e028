from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from skimage.io import imread

import i2i
from i2i.errors import DataError, ModelError, RunError, SettingsError
from i2i.pixels import PixelFormat
from i2i_pix2pixhd.files import check_folder, check_targets, load_model, number_format, suffix_of, write
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator


def net(channels: int = 3, depth: int = 8) -> SceneGenerator:
    made = scene_generator(global_generator(1, channels, labels=3, base_width=2, downs=2, blocks=0))
    assert isinstance(made, SceneGenerator)
    made.writes = PixelFormat(channels, depth)  # type: ignore[arg-type, assignment]
    return made


def test_a_model_its_run_or_its_folder(tmp_path: Path) -> None:
    made = net()
    i2i.save(made, tmp_path / "run" / "model")
    i2i.save(made, tmp_path / "converted")
    (tmp_path / "run" / "settings.toml").touch()
    for path, lies in ((tmp_path / "run", "run/model"), (str(tmp_path / "run" / "model"), "run/model"),
                       (tmp_path / "converted", "converted")):  # fmt: skip
        loaded = load_model(path, "cpu")
        assert loaded.name == str(path)
        assert loaded.folder == tmp_path / lies
        assert not loaded.net.training
        assert all(value.equal(made.state_dict()[name]) for name, value in loaded.net.state_dict().items())


def test_what_is_no_model_of_pix2pixhd(tmp_path: Path) -> None:
    i2i.save(global_generator(base_width=2, downs=2, blocks=0), tmp_path / "other")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.toml").touch()
    with pytest.raises(
        ModelError, match=r"other is no model of pix2pixHD \(it holds a GlobalGenerator\); name one that"
    ):
        load_model(tmp_path / "other", "cpu")
    with pytest.raises(RunError, match="run has no model yet"):
        load_model(tmp_path / "run", "cpu")
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        load_model(tmp_path / "nowhere", "cpu")
    with pytest.raises(SettingsError, match=r"device \(=cuda:77\) cannot be used here"):
        load_model(tmp_path / "other", "cuda:77")


def test_a_folder_for_results(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()  # until there is something to be written
    (tmp_path / "file.png").touch()
    with pytest.raises(SettingsError, match=r"--out .*file.png is a file; name a folder for the results"):
        check_folder(tmp_path / "file.png")


def test_images_are_written_as_the_model_says(tmp_path: Path) -> None:
    image = torch.rand(3, 5, 6) * 2 - 1
    expected = (image.permute(1, 2, 0).double().numpy() + 1) / 2
    assert [suffix_of(net(*each)) for each in ((3, 8), (1, 16), (3, 32), (5, 8))] == [".png", ".png", ".tif", ".tif"]
    assert write(image, tmp_path / "sub" / "a.png", net()) == tmp_path / "sub" / "a.png"
    np.testing.assert_array_equal(imread(tmp_path / "sub" / "a.png"), np.rint(expected * 255))
    write(image, tmp_path / "deep.png", net(depth=16))
    assert abs(imagecodecs.imread(tmp_path / "deep.png") - expected * 65535).max() <= 0.51
    (tmp_path / "b.png").mkdir()
    for path in (tmp_path / "b.png", tmp_path / "deep.png" / "a.png"):
        with pytest.raises(RunError, match=r"cannot write .*\.png.* \(.*\); what was written before is intact"):
            write(image, path, net())


def test_no_result_overwrites_what_it_is_made_of(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    source.touch()
    check_targets([tmp_path / "b.png"], [source, None])
    with pytest.raises(DataError, match=r"a\.png would be overwritten; choose another --out"):
        check_targets([tmp_path / "b.png", tmp_path / "sub" / ".." / "a.png"], [None, source])


def test_number_formats() -> None:
    assert number_format(net(), "bf16") == "bf16"
    assert number_format(net(), "auto") in ("fp32", "bf16")
