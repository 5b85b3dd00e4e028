from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from i2i.data.transforms import CENTRE, PREPROCESSES, Draw, TransformSettings, check_multiple, resized, transform
from i2i.errors import DataError, SettingsError

unit = st.floats(0, 1, exclude_max=True)
draws = st.builds(Draw, unit, unit, unit)
sides = st.integers(1, 90)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def by_the_spec(image: Image.Image, mode: str, load: int, crop: int, draw: Draw, multiple: int) -> Image.Image:
    """Section 1.8 of the spec, step by step; rounding to ``multiple`` wherever no crop sets the size."""
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
    return Image.fromarray(np.asarray(image)[:, ::-1].copy()) if draw.mirror < 0.5 else image


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
    assert result.size == by_the_spec(image, mode, 38, 32, draw, multiple).size
    assert result.tobytes() == by_the_spec(image, mode, 38, 32, draw, multiple).tobytes()


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
    assert transform(noise(32, 32), chosen, CENTRE).tobytes() == noise(32, 32).tobytes()


def test_crops_reach_both_edges_and_the_centre() -> None:
    chosen = TransformSettings("crop", crop_size=8, flip=False)
    pixels = np.asarray(noise(12, 10))
    almost = 1 - 2**-53
    for draw, (x, y) in ((Draw(0, 0, 0), (0, 0)), (Draw(almost, almost, 0), (4, 2)), (CENTRE, (2, 1))):
        assert np.array_equal(np.asarray(transform(noise(12, 10), chosen, draw)), pixels[y : y + 8, x : x + 8])


def test_mirrored_below_one_half_only_where_flip_is_on() -> None:
    pixels = np.asarray(noise(8, 8))
    for flip, mirror, mirrored in ((True, 0.49, True), (True, 0.5, False), (False, 0.0, False)):
        result = transform(noise(8, 8), TransformSettings("none", flip=flip), Draw(0, 0, mirror))
        assert np.array_equal(np.asarray(result), pixels[:, ::-1] if mirrored else pixels)


def test_grey_images_stay_grey() -> None:
    assert transform(noise(50, 40).convert("L"), TransformSettings(load_size=38, crop_size=32), CENTRE).mode == "L"


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
