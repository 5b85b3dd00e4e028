from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from i2i.data.transforms import (
    CENTRE,
    PREPROCESSES,
    Draw,
    TransformSettings,
    as_array,
    check_multiple,
    resize,
    resized,
    size_of,
    transform,
)
from i2i.errors import DataError, SettingsError

unit = st.floats(0, 1, exclude_max=True)
draws = st.builds(Draw, unit, unit, unit)
sides = st.integers(1, 90)


def noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def by_the_spec(array: np.ndarray, mode: str, load: int, crop: int, draw: Draw, multiple: int) -> np.ndarray:
    """Section 1.8 of the spec, step by step; rounding to ``multiple`` wherever no crop sets the size."""
    image = Image.fromarray(array)
    w, h = image.size
    if mode == "resize_and_crop":
        image = image.resize((load, load), Image.Resampling.BICUBIC)
    elif mode.startswith("scale_width"):
        h = int(max(load * h / w, crop))
        w = load
        if mode == "scale_width":
            w, h = (max(multiple, round(side / multiple) * multiple) for side in (w, h))
        image = image.resize((w, h), Image.Resampling.BICUBIC)
    elif mode == "none":
        w, h = (max(multiple, round(side / multiple) * multiple) for side in (w, h))
        image = image.resize((w, h), Image.Resampling.BICUBIC)
    if "crop" in mode:
        x = int(np.floor(draw.left * (image.width - crop + 1)))
        y = int(np.floor(draw.top * (image.height - crop + 1)))
        image = Image.fromarray(np.asarray(image)[y : y + crop, x : x + crop].copy())
    return np.asarray(image)[:, ::-1] if draw.mirror < 0.5 else np.asarray(image)


@settings(max_examples=150, deadline=None)
@given(mode=st.sampled_from(PREPROCESSES), width=sides, height=sides, draw=draws, multiple=st.sampled_from([1, 4]))
def test_every_mode_follows_the_spec(mode: str, width: int, height: int, draw: Draw, multiple: int) -> None:
    chosen = TransformSettings(mode, load_size=38, crop_size=32, multiple=multiple)  # type: ignore[arg-type]
    image = noise(width, height)
    if mode == "crop" and min(width, height) < 32:
        with pytest.raises(DataError, match=f"^photo is {width}x{height}, smaller than the crop"):
            transform(image, chosen, draw, "photo")
        return
    result = transform(image, chosen, draw, "photo")
    assert np.array_equal(result, by_the_spec(image, mode, 38, 32, draw, multiple))


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [
        ("resize_and_crop", (400, 300), (286, 286)),
        ("crop", (400, 300), (400, 300)),
        ("scale_width", (572, 600), (288, 300)),  # 286 x 300, rounded to multiples of 4
        ("scale_width", (400, 100), (288, 256)),  # no lower than the crop
        ("scale_width_and_crop", (572, 601), (286, 300)),
        ("scale_width_and_crop", (286, 300), (286, 300)),
        ("none", (401, 302), (400, 304)),  # 75.5 rounds to even: 76
        ("none", (398, 1), (400, 4)),  # 99.5 rounds to even: 100
    ],
)
def test_sizes_before_the_crop(mode: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized(size, TransformSettings(mode)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["crop", "none", "scale_width", "scale_width_and_crop", "resize_and_crop"])
def test_an_image_of_the_right_size_is_not_resampled(mode: str) -> None:
    chosen = TransformSettings(mode, load_size=32, crop_size=32, flip=False)  # type: ignore[arg-type]
    assert np.array_equal(transform(noise(32, 32), chosen, CENTRE), noise(32, 32))


def test_crops_reach_both_edges_and_the_centre() -> None:
    chosen = TransformSettings("crop", crop_size=8, flip=False)
    pixels = noise(12, 10)
    almost = 1 - 2**-53
    for draw, (x, y) in ((Draw(0, 0, 0), (0, 0)), (Draw(almost, almost, 0), (4, 2)), (CENTRE, (2, 1))):
        assert np.array_equal(transform(noise(12, 10), chosen, draw), pixels[y : y + 8, x : x + 8])


def test_mirrored_below_one_half_only_where_flip_is_on() -> None:
    pixels = noise(8, 8)
    for flip, mirror, mirrored in ((True, 0.49, True), (True, 0.5, False), (False, 0.0, False)):
        result = transform(noise(8, 8), TransformSettings("none", flip=flip), Draw(0, 0, mirror))
        assert np.array_equal(result, pixels[:, ::-1] if mirrored else pixels)


def test_grey_images_stay_grey() -> None:
    grey = noise(50, 40, 1)
    expected = Image.fromarray(grey[..., 0]).resize((38, 38), Image.Resampling.BICUBIC).crop((3, 3, 35, 35))
    found = transform(grey, TransformSettings(load_size=38, crop_size=32), CENTRE)
    assert np.array_equal(found, np.asarray(expected)[..., None])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preprocess": "scale_with"}, "unknown preprocess 'scale_with'; did you mean scale_width?"),
        ({"preprocess": "xyz"}, "unknown preprocess 'xyz'; use one of resize_and_crop, crop,"),
        ({"load_size": 0}, r"load_size \(=0\) must be at least 1"),
        ({"crop_size": -4}, r"crop_size \(=-4\) must be at least 1"),
        ({"multiple": 0}, r"multiple \(=0\) must be at least 1"),
        ({"crop_size": 300}, r"crop_size \(=300\) is larger than load_size \(=286\).* at least 300"),
        ({"crop_size": 300, "preprocess": "scale_width_and_crop"}, r"is larger than load_size"),
    ],
)
def test_settings_that_make_no_sense(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TransformSettings(**arguments)  # type: ignore[arg-type]


def test_a_crop_larger_than_the_unused_load_size_is_fine() -> None:
    assert TransformSettings("crop", load_size=8, crop_size=32).crops


def test_a_small_image_is_an_error_with_the_remedy() -> None:
    with pytest.raises(DataError) as caught:
        transform(noise(300, 200), TransformSettings("crop"), CENTRE, "b/7.png")
    assert str(caught.value) == (
        "b/7.png is 300x200, smaller than the crop (256); "
        "use --preprocess resize_and_crop or a --crop-size of at most 200"
    )


def test_check_multiple_offers_the_nearest() -> None:
    check_multiple(256, 4)
    with pytest.raises(SettingsError, match=r"crop_size \(=250\) must be a multiple of 4; use 248 or 252"):
        check_multiple(250, 4)
    with pytest.raises(SettingsError, match=r"size \(=100\) must be a multiple of 256; use 256$"):
        check_multiple(100, 256, "size")


@pytest.mark.parametrize("mode", PREPROCESSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_pillow_has_read_is_treated_like_its_array(mode: str, channels: int) -> None:
    chosen = TransformSettings(mode, load_size=38, crop_size=32)  # type: ignore[arg-type]
    array = noise(50, 41, channels)
    picture = Image.fromarray(array.squeeze())
    for draw in (CENTRE, Draw(0.1, 0.9, 0.2)):
        assert np.array_equal(transform(picture, chosen, draw), transform(array, chosen, draw))
    assert size_of(picture) == size_of(array) == (50, 41)
    assert np.array_equal(as_array(picture), array)


@pytest.mark.parametrize(("kind", "channels"), [(np.uint16, 1), (np.uint16, 3), (np.uint8, 5), (np.float32, 2)])
def test_other_images_are_resized_channel_by_channel_in_floats(kind: type, channels: int) -> None:
    highest = 1 if kind is np.float32 else np.iinfo(kind).max
    array = (np.random.default_rng(0).integers(0, 2, (20, 30, channels)) * highest).astype(kind)
    planes = [Image.fromarray(array[..., k].astype(np.float32)) for k in range(channels)]
    expected = np.stack([np.asarray(plane.resize((24, 18), Image.Resampling.BICUBIC)) for plane in planes], 2)
    assert expected.max() > highest * 1.05  # bicubic overshoots
    if kind is not np.float32:
        expected = expected.round().clip(0, highest)
    found = resize(array, (24, 18))
    assert found.dtype == kind
    assert np.array_equal(found, expected)


def test_ids_are_resized_as_pillow_does_it() -> None:
    for width, height in ((1, 1), (7, 5), (16, 9), (60, 33), (300, 100)):
        ids = np.random.default_rng(width).integers(0, 256, (height, width))
        picture = Image.fromarray(ids.astype(np.uint8))
        for size in ((1, 1), (2, 3), (7, 5), (16, 16), (31, 64), (100, 50), (286, 286)):
            wanted = np.asarray(picture.resize(size, Image.Resampling.NEAREST))
            assert np.array_equal(resize(ids.astype(np.int32)[..., None], size)[..., 0], wanted)
            high = resize((ids * 8_000_000).astype(np.int32)[..., None], size)
            assert high.dtype == np.int32
            assert np.array_equal(high[..., 0], wanted * np.int32(8_000_000))
