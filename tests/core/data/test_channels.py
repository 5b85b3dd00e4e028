from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from i2i.data.channels import Stored, as_asked, depth_of, luma, straight, upright, without_alpha
from i2i.errors import DataError
from i2i.pixels import PixelFormat

TYPES = [np.uint8, np.uint16, np.float32]
GREY = PixelFormat(channels=1)


def noise(channels: int, kind: type = np.uint16) -> np.ndarray:
    draws = np.random.default_rng(0).random((6, 10, channels))
    return (draws if kind is np.float32 else draws * np.iinfo(kind).max).astype(kind)


def full(kind: type) -> float:
    return 1.0 if kind is np.float32 else float(np.iinfo(kind).max)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_pillow_turns_them(orientation: int) -> None:
    image = Image.fromarray(noise(3, np.uint8))
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(upright(noise(3, np.uint8), orientation), expected)


@pytest.mark.parametrize("kind", TYPES)
def test_depths(kind: type) -> None:
    assert depth_of(noise(1, kind)) == {np.uint8: 8, np.uint16: 16, np.float32: 32}[kind]


def test_luma_of_eight_bits_is_that_of_pillow() -> None:
    expected = np.asarray(Image.fromarray(noise(3, np.uint8)).convert("L"))
    assert np.array_equal(luma(noise(3, np.uint8))[..., 0], expected)


@pytest.mark.parametrize("kind", TYPES)
def test_luma_of_every_depth(kind: type) -> None:
    brightest = np.full((1, 1, 3), full(kind), kind)
    assert luma(brightest) == brightest[..., :1]
    expected = noise(3, kind).astype(np.float64) @ [0.299, 0.587, 0.114]
    found = luma(noise(3, kind))
    assert found.dtype == kind
    step = 1e-5 if kind is np.float32 else 1.0 + full(kind) * 1e-5  # rounding, and weights in units of 2**-16
    assert np.abs(found[..., 0] - expected).max() <= step


@pytest.mark.parametrize("kind", TYPES)
def test_grey_becomes_three_equal_channels(kind: type) -> None:
    found = as_asked(Stored(noise(1, kind)), PixelFormat())
    assert np.array_equal(found, np.dstack([noise(1, kind)] * 3))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("alpha", "background"), [("white", 1.0), ("black", 0.0)])
def test_transparent_images_are_put_on_a_background(kind: type, alpha: str, background: float) -> None:
    image = noise(4, kind)
    share = image[..., 3:] / full(kind)
    expected = image[..., :3] * share + background * full(kind) * (1 - share)
    found = as_asked(Stored(image, alpha=True), PixelFormat(alpha=alpha))  # type: ignore[arg-type]
    assert found.dtype == kind
    np.testing.assert_allclose(found, expected, atol=1e-6 if kind is np.float32 else 0.51)


def test_white_and_black_of_a_range_are_its_levels() -> None:
    clear = np.zeros((1, 1, 2), np.uint16)
    for alpha, level in (("white", 4000), ("black", 100)):
        pixels = PixelFormat(channels=1, depth=16, range=(100, 4000), alpha=alpha)  # type: ignore[arg-type]
        assert without_alpha(clear, pixels) == level


def test_transparency_is_kept_where_there_is_a_channel_for_it_and_dropped_elsewhere() -> None:
    assert np.array_equal(as_asked(Stored(noise(4), alpha=True), PixelFormat(channels=4)), noise(4))
    assert np.array_equal(as_asked(Stored(noise(4), alpha=True), PixelFormat()), noise(4)[..., :3])
    grey = as_asked(Stored(noise(2), alpha=True), PixelFormat(alpha="drop"))
    assert np.array_equal(grey, np.dstack([noise(2)[..., 0]] * 3))


def test_colours_multiplied_by_their_transparency_are_divided_again() -> None:
    image = np.array([[[100, 50, 128], [7, 7, 0], [255, 10, 255], [200, 0, 100]]], np.uint8)
    expected = [[[199, 100, 128], [0, 0, 0], [255, 10, 255], [255, 0, 100]]]
    assert straight(image).tolist() == expected


@pytest.mark.parametrize(("found", "wanted"), [(5, 3), (3, 5), (2, 3), (4, 1), (1, 2)])
def test_other_numbers_of_channels_are_an_error(found: int, wanted: int) -> None:
    with pytest.raises(DataError) as caught:
        as_asked(Stored(noise(found)), PixelFormat(channels=wanted))
    channels = "1 channel" if found == 1 else f"{found} channels"
    assert str(caught.value) == f"has {channels} where {wanted} are read; --channels {found} trains with all of them"


def test_lightness_and_chroma_are_read_as_colours() -> None:
    for pixels in (PixelFormat(channels=1, colours="lightness"), PixelFormat(channels=2, colours="chroma")):
        assert np.array_equal(as_asked(Stored(noise(3)), pixels), noise(3))
        assert as_asked(Stored(noise(1)), pixels).shape == (6, 10, 3)


def test_floats_beyond_their_range_are_an_error_that_names_them() -> None:
    image = np.array([[[-1000.0], [3000.5]]], np.float32)
    with pytest.raises(DataError, match=r"^has values from -1000 to 3000\.5, .* --range-a -1000 3000\.5 \(--range-b"):
        as_asked(Stored(image), GREY)
    pixels = PixelFormat(channels=1, depth=32, range=(-1000, 3000))
    assert np.array_equal(as_asked(Stored(image), pixels), image)


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_one_value_beyond_is_enough(value: float) -> None:
    with pytest.raises(DataError, match="^has values from"):
        as_asked(Stored(np.array([[[0.5], [value]]], np.float32)), GREY)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(value: float) -> None:
    image = noise(1, np.float32)
    image[2:4, 3] = value
    for pixels in (GREY, PixelFormat(channels=1, depth=32, range=(-5, 5))):
        with pytest.raises(DataError, match=r"^has 2 values that are not finite"):
            as_asked(Stored(image), pixels)


def test_a_range_holds_for_one_depth_only() -> None:
    pixels = PixelFormat(channels=1, depth=16, range=(0, 4095))
    assert as_asked(Stored(noise(1)), pixels).dtype == np.uint16
    with pytest.raises(DataError, match=r"^has 8 bits per channel, but the range 0 4095 is one of 16 bits"):
        as_asked(Stored(noise(1, np.uint8)), pixels)
