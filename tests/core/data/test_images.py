from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from i2i.data.images import header_size, read_image, to_batch, to_tensor, write_image
from i2i.errors import DataError, SettingsError


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def same(found: Image.Image | np.ndarray, expected: np.ndarray) -> bool:
    return np.array_equal(np.asarray(found), expected)


def test_rgb_is_read_as_it_is(tmp_path: Path, pixels: np.ndarray) -> None:
    for suffix in ("png", "ppm", "bmp", "tif", "tiff"):
        image = read_image(saved(Image.fromarray(pixels), tmp_path / f"x.{suffix}"))
        assert image.mode == "RGB"
        assert same(image, pixels)


def test_alpha_is_dropped_not_composited(tmp_path: Path, pixels: np.ndarray) -> None:
    rgba = np.dstack([pixels, np.arange(60, dtype=np.uint8).reshape(6, 10)])
    assert same(read_image(saved(Image.fromarray(rgba), tmp_path / "x.png")), pixels)
    grey = Image.fromarray(np.ascontiguousarray(rgba[..., 2:]), "LA")
    assert same(read_image(saved(grey, tmp_path / "la.png")), np.repeat(pixels[..., 2:], 3, axis=2))


@pytest.mark.parametrize("options", [{}, {"transparency": bytes(range(0, 160, 10))}, {"transparency": 3}])
def test_palette_gives_its_colours_without_a_warning(tmp_path: Path, options: dict[str, object]) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (16, 3), dtype=np.uint8)
    places = np.random.default_rng(2).integers(0, 16, (6, 10), dtype=np.uint8)
    image = Image.fromarray(places, "L")
    image.putpalette(colours.tobytes())
    path = saved(image, tmp_path / "x.png", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(read_image(path), colours[places])


def test_grey_and_one_bit_become_three_equal_channels(tmp_path: Path, pixels: np.ndarray) -> None:
    grey = pixels[..., 0]
    path = saved(Image.fromarray(grey), tmp_path / "l.png")
    assert same(read_image(path), np.stack([grey] * 3, axis=2))
    bits = saved(Image.fromarray(grey > 127), tmp_path / "1.png")
    assert same(read_image(bits), np.stack([(grey > 127) * np.uint8(255)] * 3, axis=2))


def test_one_channel_is_the_luma(tmp_path: Path, pixels: np.ndarray) -> None:
    image = read_image(saved(Image.fromarray(pixels), tmp_path / "x.png"), 1)
    assert image.mode == "L"
    luma = pixels.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(np.asarray(image) - luma).max() <= 0.51
    grey = saved(Image.fromarray(pixels[..., 1]), tmp_path / "l.png")
    assert same(read_image(grey, 1), pixels[..., 1])


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x.swapaxes(0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied_once(tmp_path: Path, pixels: np.ndarray, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(pixels), tmp_path / f"x.{suffix}", exif=exif)
    assert same(read_image(path), UPRIGHT[orientation](pixels))


def test_jpeg_with_orientation(tmp_path: Path, pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = saved(Image.fromarray(pixels), tmp_path / "plain.jpg", quality=95)
    turned = saved(Image.fromarray(pixels), tmp_path / "turned.jpg", quality=95, exif=exif)
    assert same(read_image(turned), np.rot90(np.asarray(Image.open(plain)), -1))


def test_bytes_are_read_like_a_file(tmp_path: Path, pixels: np.ndarray) -> None:
    path = saved(Image.fromarray(pixels), tmp_path / "x.png")
    assert same(read_image(path.read_bytes()), pixels)


def deep_files(folder: Path) -> dict[str, Path]:
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    files = {name: folder / f"{number}.tif" for number, name in enumerate(("RGB with 16", "I;16", "F"))}
    tifffile.imwrite(files["RGB with 16"], deep, photometric="rgb")
    tifffile.imwrite(files["I;16"], deep[..., 0])
    tifffile.imwrite(files["F"], deep[..., 0].astype(np.float32))
    return files


@pytest.mark.parametrize("mode", ["RGB with 16", "I;16", "F"])
def test_more_than_eight_bits_is_an_error_that_names_file_and_mode(tmp_path: Path, mode: str) -> None:
    path = deep_files(tmp_path)[mode]
    for read in (read_image, header_size):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} has mode {mode}")


def test_sixteen_bit_png_is_an_error(tmp_path: Path, pixels: np.ndarray) -> None:
    path = saved(Image.fromarray(pixels[..., 0].astype(np.uint16) * 256), tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png has mode I;16"):
        read_image(path)


def test_many_channels_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "five.tif"
    tifffile.imwrite(path, np.zeros((5, 8, 8), np.uint8), photometric="minisblack", planarconfig="separate")
    with pytest.raises(DataError, match=r"five\.tif is not an image .* number of channels"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_file_is_named_when_read_and_passes_the_header_check(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"x.{suffix}")
    path.write_bytes(path.read_bytes()[:-500])
    assert header_size(path) == (48, 64)
    with pytest.raises(DataError, match=rf"x\.{suffix} cannot be read as an image: .*truncated"):
        read_image(path)


def test_text_and_missing_files_are_named_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "x.jpg"
    text.write_text("no image")
    for path, reason in ((text, "is not an image"), (tmp_path / "none.png", "No such file")):
        with pytest.raises(DataError, match=reason) as caught:
            read_image(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"^row 3 is not an image"):
        read_image(b"no image", name="row 3")


def test_other_numbers_of_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"channels \(=2\) must be 1"):
        read_image(tmp_path / "x.png", 2)


def test_every_level_becomes_the_number_of_to_tensor_and_normalize() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    half = np.float32(0.5)
    expected = ((levels.astype(np.float32) / np.float32(255)) - half) / half
    assert same(to_tensor(Image.fromarray(levels)).numpy(), expected[None])


def test_a_batch_holds_channels_first(pixels: np.ndarray) -> None:
    batch = to_batch([Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())])
    assert batch.shape == (2, 3, 6, 10)
    assert batch.dtype == torch.float32
    expected = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float64) / 127.5 - 1)
    torch.testing.assert_close(batch.double(), torch.stack([expected, expected.flip(1)]), atol=1e-7, rtol=0)


def test_all_levels_survive_writing_and_reading(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colour = np.stack([levels, levels.T, levels[::-1]], axis=2)
    for pixels, channels in ((levels, 1), (colour, 3)):
        write_image(to_tensor(Image.fromarray(pixels)), tmp_path / "x.png")
        assert same(Image.open(tmp_path / "x.png"), pixels)
        assert same(read_image(tmp_path / "x.png", channels), pixels)


@pytest.mark.parametrize(
    ("reference", "expected"), [(False, [0, 0, 128, 191, 255, 255]), (True, [0, 0, 127, 191, 254, 255])]
)
def test_written_values_are_clamped_and_rounded_or_cut(tmp_path: Path, reference: bool, expected: list[int]) -> None:
    values = torch.tensor([-3.0, -1.0, 0.0, 0.5, 0.998, 7.0])  # 0, 0, 127.5, 191.25, 254.7, 255
    write_image(values.reshape(1, 1, 6), tmp_path / "x.png", reference=reference)
    assert np.asarray(Image.open(tmp_path / "x.png")).tolist() == [expected]


def test_half_precision_with_gradients_can_be_written_as_jpeg(tmp_path: Path) -> None:
    write_image(torch.ones(3, 8, 8, dtype=torch.bfloat16, requires_grad=True), tmp_path / "x.jpg")
    with Image.open(io.BytesIO((tmp_path / "x.jpg").read_bytes())) as image:
        assert image.format == "JPEG"
        assert np.asarray(image).min() == 255


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    for shape in ((2, 4, 4), (1, 3, 4, 4)):
        with pytest.raises(DataError, match=r"an image is \(1 or 3, h, w\), not \(" + str(shape[0])):
            write_image(torch.zeros(shape), tmp_path / "x.png")
    with pytest.raises(DataError, match=r"\.abc is no image format"):
        write_image(torch.zeros(3, 4, 4), tmp_path / "x.abc")
    with pytest.raises(DataError, match=r"no suffix is no image format"):
        write_image(torch.zeros(3, 4, 4), tmp_path / "x")
