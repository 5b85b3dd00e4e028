from __future__ import annotations

import math

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
    Window,
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
        ({"window": Window(0.9, (0, 0), (0, 0)), "preprocess": "crop"},
         r"^a window brings .* preprocess 'crop' does not; use --preprocess resize_and_crop$"),
    ],
)  # fmt: skip
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


bounds = st.tuples(st.floats(-0.99, 0.99), st.floats(-0.99, 0.99)).map(sorted)
ICONS = Window(0.7, across=(-0.1, 0.1), down=(-0.1, 0.25))


def looked_through(picture: Image.Image, box: tuple[float, ...], side: int) -> np.ndarray:
    """Resize what lies in ``box`` of a picture that goes on behind its edges."""
    left, top, right, bottom = box
    beyond = [(max(0, math.ceil(-top)), max(0, math.ceil(bottom - picture.height))),
              (max(0, math.ceil(-left)), max(0, math.ceil(right - picture.width)))]  # fmt: skip
    array = np.asarray(picture)
    whole = Image.fromarray(np.pad(array, beyond + [(0, 0)] * (array.ndim - 2), mode="reflect"), picture.mode)
    x, y = beyond[1][0], beyond[0][0]
    return np.asarray(
        whole.resize((side, side), Image.Resampling.BICUBIC, box=(left + x, top + y, right + x, bottom + y))
    )


@settings(max_examples=150, deadline=None)
@given(
    width=sides, height=sides, left=unit, top=unit, share=unit, least=st.floats(0.05, 1),
    across=bounds, down=bounds, grey=st.booleans(),
)  # fmt: skip
def test_a_window_is_one_resize_of_a_box_of_the_original(
    width: int, height: int, left: float, top: float, share: float, least: float,
    across: list[float], down: list[float], grey: bool,
) -> None:  # fmt: skip
    window = Window(least, (across[0], across[1]), (down[0], down[1]))
    array = noise(width, height, 1 if grey else 3)
    picture = Image.fromarray(array.squeeze(2) if grey else array)
    box = window.box((width, height), Draw(left, top, 0.9, share))
    # The middle of the box lies as far from that of the image as the content was moved, but to the other side.
    moves = [across[1] - left * (across[1] - across[0]), down[1] - top * (down[1] - down[0])]
    middle = [width / 2 - moves[0] * width, height / 2 - moves[1] * height]
    assert np.allclose([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], middle, atol=1e-9)
    smaller = 1 - share * (1 - least)
    assert np.allclose([box[2] - box[0], box[3] - box[1]], [width * smaller, height * smaller], atol=1e-9)
    chosen = TransformSettings(load_size=38, crop_size=32, flip=False, window=window)
    found = transform(picture, chosen, Draw(left, top, 0.9, share))
    assert np.array_equal(found, looked_through(picture, box, 32).reshape(32, 32, -1))
    assert np.array_equal(found, transform(array, chosen, Draw(left, top, 0.9, share)))


def test_a_window_inside_of_the_image_by_hand() -> None:
    """Content of 40x20 goes right by 10 and up by 2.5: the window of half the sides is 0 ... 20 by 7.5 ... 17.5."""
    chosen = TransformSettings(
        load_size=16, crop_size=16, flip=False, window=Window(0.5, (-0.125, 0.25), (-0.125, 0.5))
    )
    array = noise(40, 20)
    almost = 1 - 2**-53
    expected = Image.fromarray(array).resize((16, 16), Image.Resampling.BICUBIC, box=(0, 7.5, 20, 17.5))
    assert np.array_equal(transform(array, chosen, Draw(0.0, almost, 0.0, almost)), np.asarray(expected))


def test_content_moves_right_and_down_and_goes_on_by_reflection() -> None:
    array = noise(16, 16)
    for across, down in ((0.25, 0.125), (-0.25, -0.125)):
        window = Window(1.0, (across, across), (down, down))
        chosen = TransformSettings(load_size=16, crop_size=16, flip=False, window=window)
        for kind in (np.uint8, np.uint16, np.float32, np.int32):
            found = transform(array.astype(kind), chosen, Draw(0.3, 0.6, 0.9, 0.5))
            moved, around = (array, found) if across > 0 else (array[::-1, ::-1], found[::-1, ::-1])
            assert found.dtype == kind
            assert np.array_equal(around[2:, 4:], moved[:14, :12])
            assert np.array_equal(around[2:, :4], moved[:14, 4:0:-1])
            assert np.array_equal(around[:2, 4:], moved[2:0:-1, :12])


def test_the_centre_is_the_whole_image_unmoved() -> None:
    chosen = TransformSettings(load_size=38, crop_size=32, window=ICONS)
    expected = Image.fromarray(noise(50, 41)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(transform(noise(50, 41), chosen, CENTRE), np.asarray(expected))
    assert np.array_equal(transform(noise(32, 32), chosen, CENTRE), noise(32, 32))


def test_windows_are_mirrored_only_where_flip_is_on() -> None:
    made = [
        transform(noise(50, 41), TransformSettings(load_size=32, crop_size=32, flip=flip, window=ICONS), draw)
        for flip, draw in ((False, Draw(0.1, 0.9, 0.2, 0.4)), (True, Draw(0.1, 0.9, 0.2, 0.4)))
    ]
    assert np.array_equal(made[1], made[0][:, ::-1])


def test_windows_are_spread_evenly_between_their_bounds() -> None:
    drawn = np.random.default_rng(0).random((4000, 4))
    boxes = np.array([ICONS.box((100, 100), Draw(*map(float, row))) for row in drawn])
    side, across, down = boxes[:, 2] - boxes[:, 0], 50 - boxes[:, [0, 2]].mean(1), 50 - boxes[:, [1, 3]].mean(1)
    for found, lower, upper in ((side, 70, 100), (across, -10, 10), (down, -10, 25)):
        assert lower <= found.min() < lower + 0.1 < upper - 0.1 < found.max() <= upper
        assert np.abs(np.histogram(found, 5, (lower, upper))[0] - 800).max() < 120


@pytest.mark.parametrize(("kind", "channels"), [(np.uint16, 1), (np.uint8, 5), (np.float32, 2)])
def test_windows_of_other_images_are_resized_channel_by_channel(kind: type, channels: int) -> None:
    array = (np.random.default_rng(0).random((20, 40, channels)) * 200).astype(kind)
    chosen = TransformSettings(load_size=16, crop_size=16, flip=False, window=Window(0.5, (0.25, 0.25), (-0.125, 0.5)))
    almost = 1 - 2**-53
    found = transform(array, chosen, Draw(0.0, almost, 0.0, almost))
    planes = [Image.fromarray(array[..., k].astype(np.float32)) for k in range(channels)]
    resized_by_hand = [plane.resize((16, 16), Image.Resampling.BICUBIC, box=(0, 7.5, 20, 17.5)) for plane in planes]
    expected = np.stack([np.asarray(plane) for plane in resized_by_hand], 2)
    assert found.dtype == kind
    assert np.array_equal(found, expected if kind is np.float32 else expected.round().clip(0, np.iinfo(kind).max))


@pytest.mark.parametrize(
    ("window", "box"),
    [
        (Window(0.5, (0.25, 0.25), (-0.125, -0.125)), (0, 7.5, 20, 17.5)),
        (Window(0.9, (-0.03, -0.03), (0.04, 0.04)), (3.2, 0.2, 39.2, 18.2)),
    ],
)
def test_windows_of_ids_take_the_nearest_as_pillow_does(window: Window, box: tuple[float, ...]) -> None:
    ids = np.random.default_rng(0).integers(0, 256, (20, 40))
    chosen = TransformSettings(load_size=16, crop_size=16, flip=False, window=window)
    found = transform(ids.astype(np.int32)[..., None], chosen, Draw(0.0, 0.0, 0.0, 1.0))
    wanted = Image.fromarray(ids.astype(np.uint8)).resize((16, 16), Image.Resampling.NEAREST, box=box)
    assert np.array_equal(found[..., 0], np.asarray(wanted))


@pytest.mark.parametrize(
    ("least", "across", "down", "message"),
    [
        (0, (0, 0), (0, 0), "least (=0) must be above 0 and at most 1: a share of the image's sides"),
        (1.01, (0, 0), (0, 0), "least (=1.01) must be above 0 and at most 1: a share of the image's sides"),
        (math.nan, (0, 0), (0, 0), "least (=nan) must be above 0 and at most 1: a share of the image's sides"),
        (1, (-1, 0), (0, 0), "across (=-1 0) must be two shares between -1 and 1; name the lower one first"),
        (1, (0, 0), (0, 1), "down (=0 1) must be two shares between -1 and 1; name the lower one first"),
        (1, (0, 0), (0.2, 0.1), "down (=0.2 0.1) must be two shares between -1 and 1; name the lower one first"),
        (1, (0, math.nan), (0, 0), "across (=0 nan) must be two shares between -1 and 1; name the lower one first"),
    ],
)
def test_windows_that_make_no_sense(
    least: float, across: tuple[float, float], down: tuple[float, float], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Window(least, across, down)
    assert str(caught.value) == message
