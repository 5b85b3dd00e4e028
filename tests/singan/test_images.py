import logging

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from i2i.errors import DataError
from i2i_singan.images import read_training
from i2i_singan.resize import resize
from i2i_singan.settings import Settings


@pytest.fixture
def levels():
    return np.random.default_rng(3).integers(0, 256, (20, 26, 4), np.uint8)


def saved(path, array):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def numbers(array, full=255):
    """(h, w, c) to (c, h, w) in [-1, 1]"""
    return torch.from_numpy((array.astype(np.float64) / full * 2 - 1).transpose(2, 0, 1)).float()


def test_one_photograph(tmp_path, levels):
    images, pixels = read_training(saved(tmp_path / "a.png", levels[..., :3]), Settings())
    torch.testing.assert_close(images, numbers(levels[..., :3])[None])
    assert (pixels.channels, pixels.depth) == (3, 8)


def test_grey_is_read_as_luma(tmp_path, levels):
    path = saved(tmp_path / "a.png", levels[..., :3])
    images, pixels = read_training(path, Settings(channels=1))
    luma = levels[..., :3].astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose((images[0, 0].numpy() + 1) * 127.5, luma, atol=0.51)
    assert (images.shape, pixels.channels) == ((1, 1, 20, 26), 1)


def test_a_grey_file_becomes_colour(tmp_path, levels):
    images, _ = read_training(saved(tmp_path / "a.png", levels[..., 0]), Settings())
    torch.testing.assert_close(images[0], numbers(levels[..., :1]).expand(3, -1, -1))


@pytest.mark.parametrize(("alpha", "background"), [("drop", None), ("white", 255), ("black", 0)])
def test_transparency_goes_as_asked(tmp_path, levels, alpha, background):
    images, pixels = read_training(saved(tmp_path / "a.png", levels), Settings(alpha=alpha))
    wanted = levels[..., :3].astype(float)
    if background is not None:
        share = levels[..., 3:] / 255
        wanted = share * wanted + (1 - share) * background
    np.testing.assert_allclose((images[0].numpy().transpose(1, 2, 0) + 1) * 127.5, wanted, atol=0.51)
    assert pixels.alpha == alpha


def test_sixteen_bits_are_kept(tmp_path):
    array = np.random.default_rng(0).integers(0, 65536, (20, 26, 3), np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array))
    images, pixels = read_training(tmp_path / "a.png", Settings())
    torch.testing.assert_close(images[0], numbers(array, 65535))
    assert pixels.depth == 16


def test_tiff_of_many_channels_and_a_range(tmp_path):
    array = np.random.default_rng(0).uniform(-2, 6, (20, 26, 5)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig")
    images, pixels = read_training(tmp_path / "a.tif", Settings(channels=5, range=(-2.0, 6.0)))
    np.testing.assert_allclose(images[0].numpy(), (array.transpose(2, 0, 1) - 2) / 4, atol=1e-6)
    assert (pixels.channels, pixels.depth, pixels.range) == (5, 32, (-2.0, 6.0))


def test_several_images_are_brought_to_the_size_of_the_first(tmp_path, levels, caplog):
    saved(tmp_path / "in" / "a.png", levels[..., :3])
    saved(tmp_path / "in" / "b.png", np.rot90(levels[..., :3]).copy())
    saved(tmp_path / "in" / "c.png", levels[::-1, :, :3].copy())
    with caplog.at_level(logging.WARNING):
        images, _ = read_training(tmp_path / "in", Settings())
    assert images.shape == (3, 3, 20, 26)
    torch.testing.assert_close(images[0], numbers(levels[..., :3]))
    turned = numbers(np.rot90(levels[..., :3]).copy())[None]
    torch.testing.assert_close(images[1:2], resize(turned, (20, 26), (20 / 26, 26 / 20)))
    torch.testing.assert_close(images[2], numbers(levels[::-1, :, :3].copy()))
    assert "1 of 3 images" in caplog.text
    assert "26x20" in caplog.text


def test_a_bad_file_is_said_or_skipped(tmp_path, levels, caplog):
    (tmp_path / "a.png").write_bytes(b"no image")
    saved(tmp_path / "b.png", levels[..., :3])
    with pytest.raises(DataError, match=r"a\.png is not an image .*--skip-bad"):
        read_training(tmp_path, Settings())
    with caplog.at_level(logging.WARNING):
        images, _ = read_training(tmp_path, Settings(), skip_bad=True)
    assert len(images) == 1
    assert "skipped" in caplog.text


def test_nothing_but_bad_files_is_said(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="holds no image that can be used"):
        read_training(tmp_path, Settings(), skip_bad=True)


@pytest.mark.parametrize("name", ["none", "none.png"])
def test_what_is_not_there_is_said(tmp_path, name):
    with pytest.raises(DataError, match=f"{name} does not exist"):
        read_training(tmp_path / name, Settings())


def test_what_does_not_fit_names_the_flags(tmp_path):
    array = np.full((20, 26, 5), 9.0, np.float32)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match=r"a\.tif has 5 channels.* reads 3 channels; .*--channels N or --range"):
        read_training(tmp_path / "a.tif", Settings())
    with pytest.raises(DataError, match=r"values from 9 to 9, .*--range LOW HIGH"):
        read_training(tmp_path / "a.tif", Settings(channels=5))
