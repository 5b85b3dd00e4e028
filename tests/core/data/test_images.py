from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from skimage import color

from i2i.data.images import (
    can_hold,
    header_size,
    open_image,
    read_image,
    to_batch,
    to_tensor,
    write_array,
    write_image,
)
from i2i.errors import DataError
from i2i.pixels import PixelFormat


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


GREY = PixelFormat(channels=1)
LIGHTNESS = PixelFormat(channels=1, colours="lightness")
CHROMA = PixelFormat(channels=2, colours="chroma")


def same(found: Image.Image | np.ndarray, expected: np.ndarray) -> bool:
    return np.array_equal(np.asarray(found), expected)


def test_rgb_is_read_as_it_is(tmp_path: Path, pixels: np.ndarray) -> None:
    for suffix in ("png", "ppm", "bmp", "tif", "tiff"):
        image = read_image(saved(Image.fromarray(pixels), tmp_path / f"x.{suffix}"))
        assert image.dtype == np.uint8
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
    image = read_image(saved(Image.fromarray(pixels), tmp_path / "x.png"), GREY)
    assert image.shape == (6, 10, 1)
    luma = pixels.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(image[..., 0] - luma).max() <= 0.51
    grey = saved(Image.fromarray(pixels[..., 1]), tmp_path / "l.png")
    assert same(read_image(grey, GREY), pixels[..., 1:2])


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
    expected = UPRIGHT[orientation](pixels)
    assert same(read_image(path), expected)
    assert header_size(path) == expected.shape[1::-1]


def test_jpeg_with_orientation(tmp_path: Path, pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = saved(Image.fromarray(pixels), tmp_path / "plain.jpg", quality=95)
    turned = saved(Image.fromarray(pixels), tmp_path / "turned.jpg", quality=95, exif=exif)
    assert same(read_image(turned), np.rot90(np.asarray(Image.open(plain)), -1))
    assert header_size(turned) == header_size(plain)[::-1]


def test_bytes_are_read_like_a_file(tmp_path: Path, pixels: np.ndarray) -> None:
    path = saved(Image.fromarray(pixels), tmp_path / "x.png")
    assert same(read_image(path.read_bytes()), pixels)


def test_pillow_keeps_what_it_holds(tmp_path: Path, pixels: np.ndarray) -> None:
    path = saved(Image.fromarray(pixels), tmp_path / "x.png")
    for chosen, mode in ((PixelFormat(), "RGB"), (GREY, "L")):
        image = open_image(path, chosen)
        assert isinstance(image, Image.Image)
        assert image.mode == mode
        assert same(np.atleast_3d(image), read_image(path, chosen))
    assert isinstance(open_image(path, PixelFormat(range=(0, 100))), np.ndarray)
    with pytest.raises(DataError, match=r"x\.png has 8 bits per channel, but the range 0 4095 is one of 16 bits"):
        open_image(path, PixelFormat(depth=16, range=(0, 4095)))


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


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB"])
@pytest.mark.parametrize("background", ["white", "black"])
def test_transparent_images_are_put_on_a_background(
    tmp_path: Path, pixels: np.ndarray, mode: str, background: str
) -> None:
    alpha = np.arange(0, 240, 4, dtype=np.uint8).reshape(6, 10)
    options: dict[str, Any] = {}
    if mode in ("LA", "RGBA"):
        colours = pixels[..., :1] if mode == "LA" else pixels
        image = Image.fromarray(np.dstack([colours, alpha]), mode)
    elif mode == "P":
        places = np.arange(60, dtype=np.uint8).reshape(6, 10) % 16
        palette = np.random.default_rng(1).integers(0, 256, (16, 3), dtype=np.uint8)
        image, options = Image.fromarray(places, "L"), {"transparency": bytes(range(0, 160, 10))}
        image.putpalette(palette.tobytes())
        colours, alpha = palette[places], places * np.uint8(10)
    else:  # one level or colour is transparent
        colours = pixels[..., :1] if mode == "L" else pixels
        image = Image.fromarray(colours.squeeze())
        options["transparency"] = int(pixels[2, 3, 0]) if mode == "L" else tuple(pixels[2, 3].tolist())
        alpha = np.where((colours == colours[2, 3]).all(2), np.uint8(0), np.uint8(255))
    share = alpha[..., None] / 255
    expected = colours * share + 255 * (background == "white") * (1 - share)
    found = read_image(saved(image, tmp_path / "x.png", **options), PixelFormat(alpha=background))  # type: ignore[arg-type]
    assert np.abs(found - expected).max() <= 0.51


def test_as_many_channels_as_are_stored(tmp_path: Path, pixels: np.ndarray) -> None:
    rgba = np.dstack([pixels, pixels[..., :1]])
    path = saved(Image.fromarray(rgba), tmp_path / "x.png")
    assert same(read_image(path, PixelFormat(channels=4)), rgba)
    assert same(read_image(saved(Image.fromarray(rgba), tmp_path / "x.tif"), PixelFormat(channels=4)), rgba)
    with pytest.raises(DataError, match=r"x\.png has 4 channels where 2 are read; --channels 4"):
        read_image(path, PixelFormat(channels=2))
    with pytest.raises(DataError, match=r"y\.jpg has 3 channels where 4 are read; --channels 3"):
        read_image(saved(Image.fromarray(pixels), tmp_path / "y.jpg"), PixelFormat(channels=4))


def test_every_level_becomes_the_number_of_to_tensor_and_normalize() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    half = np.float32(0.5)
    expected = ((levels.astype(np.float32) / np.float32(255)) - half) / half
    assert same(to_tensor(levels[..., None]).numpy(), expected[None])


def test_a_batch_holds_channels_first(pixels: np.ndarray) -> None:
    batch = to_batch([pixels, pixels[::-1]])
    assert batch.shape == (2, 3, 6, 10)
    assert batch.dtype == torch.float32
    expected = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float64) / 127.5 - 1)
    torch.testing.assert_close(batch.double(), torch.stack([expected, expected.flip(1)]), atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("kind", "levels"), [(np.uint16, (0, 65535)), (np.float32, (0, 1)), (np.uint16, (100, 4095)), (np.float32, (-7, 9))]
)
def test_levels_become_minus_one_and_one(kind: Any, levels: tuple[float, float]) -> None:
    low, high = levels
    image = np.linspace(low, high, 60).astype(kind).reshape(6, 10, 1)
    expected = (image.astype(np.float64) - low) / (high - low) * 2 - 1
    named = None if levels in ((0, 65535), (0, 1)) else levels
    found = to_tensor(image, PixelFormat(channels=1, depth=16 if kind is np.uint16 else 32, range=named))
    assert np.abs(found[0].numpy() - expected[..., 0]).max() < 2e-7
    assert found.abs().max() <= 1


def test_levels_beyond_the_range_are_clipped() -> None:
    image = np.array([[[0], [100], [2000], [5000]]], np.uint16)
    found = to_tensor(image, PixelFormat(channels=1, depth=16, range=(100, 3900)))
    assert found.flatten().tolist() == [-1, -1, 0, 1]


def test_images_of_several_depths_make_one_batch(pixels: np.ndarray) -> None:
    deep, floats = pixels.astype(np.uint16) * 257, (pixels / 255).astype(np.float32)
    for images in ([pixels, deep, floats], [floats, pixels, deep], [deep, floats, pixels]):
        batch = to_batch(images)
        torch.testing.assert_close(batch, to_tensor(pixels).expand(3, -1, -1, -1), atol=3e-7, rtol=0)


def test_lightness_and_chroma_are_those_of_scikit_image(pixels: np.ndarray) -> None:
    lab = color.rgb2lab(pixels)
    lightness = to_tensor(pixels, LIGHTNESS).numpy()
    np.testing.assert_allclose(lightness, (lab[..., 0] / 50 - 1)[None], atol=1e-4)
    chroma = to_tensor(pixels.astype(np.uint16) * 257, CHROMA).numpy()
    np.testing.assert_allclose(chroma, np.moveaxis(lab[..., 1:] / 110, -1, 0), atol=1e-4)


def test_all_levels_survive_writing_and_reading(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colour = np.stack([levels, levels.T, levels[::-1]], axis=2)
    for pixels, channels in ((levels[..., None], 1), (colour, 3)):
        write_image(to_tensor(pixels), tmp_path / "x.png", PixelFormat(channels=channels))
        assert same(Image.open(tmp_path / "x.png"), pixels.squeeze())
        assert same(read_image(tmp_path / "x.png", PixelFormat(channels=channels)), pixels)


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


def read_raw(path: Path) -> np.ndarray:
    data = path.read_bytes()
    return imagecodecs.png_decode(data) if path.suffix == ".png" else tifffile.imread(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("depth", [8, 16, 32])
def test_files_hold_all_that_was_read(tmp_path: Path, suffix: str, channels: int, depth: Any) -> None:
    path, pixels = tmp_path / f"x{suffix}", PixelFormat(channels=channels, depth=depth)
    levels = np.random.default_rng(0).integers(0, 256 if depth == 8 else 65536, (6, 10, channels))
    array = (levels / 65536).astype(np.float32) if depth == 32 else levels.astype(np.uint8 if depth == 8 else np.uint16)
    assert can_hold(suffix, channels, depth) == (suffix == ".tif" or (channels <= 4 and depth < 32))
    if can_hold(suffix, channels, depth):
        write_image(to_tensor(array, pixels), path, pixels)
        assert read_raw(path).dtype == array.dtype
        assert same(read_raw(path), array.squeeze())
        assert same(read_image(path, pixels), array)
    else:
        with pytest.raises(DataError, match=rf"x\.png: \.png holds no {channels} channels of {depth} bits; use \.tif"):
            write_image(to_tensor(array, pixels), path, pixels)


@pytest.mark.parametrize(("suffix", "kind"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.float32)])
def test_arrays_are_written_to_the_bit(tmp_path: Path, suffix: str, kind: Any) -> None:
    draws = np.random.default_rng(0)
    for channels in (1, 3):
        drawn = draws.random((4, 5, channels), np.float32)  # floats that would not come back from -1 to 1 unchanged
        array = drawn if kind is np.float32 else (drawn * np.iinfo(kind).max).astype(kind)
        write_array(array, tmp_path / f"x{suffix}")
        assert np.array_equal(read_image(tmp_path / f"x{suffix}", PixelFormat(channels)), array)
    with pytest.raises(DataError, match=r"x.bmp: .bmp holds no 7 channels of"):
        write_array(np.zeros((4, 5, 7), kind), tmp_path / "x.bmp")


def test_every_float_survives_in_its_own_range(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(0, 1e-3, (6, 10, 1)).astype(np.float32)
    pixels = PixelFormat(channels=1, depth=32, range=(-1, 1))
    write_image(to_tensor(array, pixels), tmp_path / "x.tif", pixels)
    assert same(tifffile.imread(tmp_path / "x.tif"), array[..., 0])


def test_a_range_is_written_as_it_is_read(tmp_path: Path) -> None:
    array = np.arange(100, 4096, dtype=np.uint16).reshape(2, -1, 1)
    pixels = PixelFormat(channels=1, depth=16, range=(100, 4095))
    for name in ("x.png", "x.tif"):
        write_image(to_tensor(array, pixels), tmp_path / name, pixels)
        assert same(read_raw(tmp_path / name), array[..., 0])


@pytest.mark.parametrize(("depth", "levels"), [(8, (-10.0, 300.0)), (16, (-1000.0, 70000.0))])
def test_a_range_beyond_the_depth_does_not_wrap_around(tmp_path: Path, depth: Any, levels: tuple[float, float]) -> None:
    pixels = PixelFormat(channels=1, depth=depth, range=levels)
    write_image(torch.tensor([[[-1.0, 0.0, 1.0]]]), tmp_path / "x.png", pixels)
    expected = [0, sum(levels) / 2, 2**depth - 1]
    assert read_raw(tmp_path / "x.png").flatten().tolist() == expected


def test_chroma_takes_the_lightness_of_the_source(tmp_path: Path) -> None:
    smooth = np.mgrid[80:180:40j, 90:160:30j, 100:150:3j][0].transpose(0, 1, 2)
    coloured = np.stack([smooth[..., 0], smooth[..., 0][::-1], smooth[..., 0] * 0.5 + 60], 2).astype(np.uint8)
    chroma = to_tensor(coloured, CHROMA)
    write_image(chroma, tmp_path / "x.png", CHROMA, source=coloured)
    assert np.abs(read_image(tmp_path / "x.png").astype(int) - coloured).max() <= 1
    grey = color.lab2rgb(color.rgb2lab(coloured) * [1, 0, 0])[..., :1]
    source = (grey * 65535).round().astype(np.uint16)
    write_image(chroma, tmp_path / "x.png", CHROMA, source=source)
    assert np.abs(read_image(tmp_path / "x.png").astype(int) - coloured).max() <= 1
    dark = PixelFormat(channels=2, colours="chroma", range=(0, 510))
    write_image(to_tensor(coloured, dark), tmp_path / "x.png", dark, source=coloured)
    assert np.abs(read_image(tmp_path / "x.png").astype(int) - coloured).max() <= 1
    large = np.asarray(Image.fromarray(coloured).resize((60, 80), Image.Resampling.BICUBIC))
    write_image(chroma, tmp_path / "x.png", CHROMA, source=large)
    assert np.abs(read_image(tmp_path / "x.png").astype(int) - coloured).max() <= 4


def test_lightness_is_written_as_grey(tmp_path: Path, pixels: np.ndarray) -> None:
    write_image(to_tensor(pixels, LIGHTNESS), tmp_path / "x.png", LIGHTNESS)
    expected = color.lab2rgb(color.rgb2lab(pixels) * [1, 0, 0])[..., 0] * 255
    with Image.open(tmp_path / "x.png") as image:
        assert image.mode == "L"
        assert np.abs(np.asarray(image) - expected).max() <= 0.51


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    for shape in ((4, 4), (1, 3, 4, 4), (0, 4, 4)):
        with pytest.raises(DataError, match=r"an image is \(c, h, w\), not \(" + str(shape[0])):
            write_image(torch.zeros(shape), tmp_path / "x.png")
    for name, depth, channels in (("x.jpg", 16, 3), ("x.bmp", 16, 1), ("x.ppm", 8, 4)):
        with pytest.raises(
            DataError, match=rf"\{Path(name).suffix} holds no {channels} channels of {depth} bits; use .png"
        ):
            write_image(torch.zeros(channels, 4, 4), tmp_path / name, PixelFormat(depth=depth))  # type: ignore[arg-type]
    for image in (torch.zeros(2, 4, 4), torch.zeros(3, 4, 4)):
        with pytest.raises(DataError, match=r"x\.png: chroma needs two channels and the image with its lightness"):
            write_image(image, tmp_path / "x.png", CHROMA, source=None if len(image) == 2 else np.zeros((4, 4, 3)))
    with pytest.raises(DataError, match=r"\.abc is no image format"):
        write_image(torch.zeros(3, 4, 4), tmp_path / "x.abc")
    with pytest.raises(DataError, match=r"no suffix is no image format"):
        write_image(torch.zeros(3, 4, 4), tmp_path / "x")
