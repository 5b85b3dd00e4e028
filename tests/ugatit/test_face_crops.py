from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.data
import skimage.transform
from PIL import Image, ImageFilter

from i2i_ugatit.faces import Box, cut


def gradient(height: int, width: int) -> Any:
    """Red rises to the right by 1 per pixel, green downwards by 2."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, 2 * rows, np.zeros_like(rows)], 2).astype(np.uint8)


def test_an_upright_crop_is_the_square_around_the_centre_of_the_box() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 100, 3), dtype=np.uint8)
    # The box is 20 wide and 40 high: the square has side 40, and 10 more on each side: 60 around (50, 45).
    assert np.array_equal(cut(image, Box(40, 25, 20, 40), margin=0.25, size=60), image[15:75, 20:80])
    assert np.array_equal(cut(image, Box(40, 25, 20, 40), margin=0, size=40), image[25:65, 30:70])


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3), (360, 0)])
def test_quarter_turns_are_exact_and_counter_clockwise(degrees: float, turns: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    made = cut(image, Box(20, 16, 24, 24), rotate=degrees, margin=0, size=24)
    assert np.array_equal(made, np.rot90(image[16:40, 20:44], turns))


def test_a_turned_crop_holds_the_pixels_that_geometry_says() -> None:
    made = cut(gradient(120, 160), Box(60, 40, 40, 40), rotate=45, margin=0.1, size=48).astype(float)
    half = np.sqrt(0.5)
    for row, column in [(0, 0), (0, 47), (47, 0), (47, 47), (10, 30)]:
        right, up = column - 23.5, 23.5 - row  # from the centre of the crop; it has the scale of the picture
        # Turning the face counter-clockwise means looking in directions that are turned clockwise.
        x, y = 80 + half * right + half * up, 60 - (half * up - half * right)
        assert made[row, column, :2] == pytest.approx([x - 0.5, 2 * (y - 0.5)], abs=1.01), (row, column)


def test_a_marker_to_the_right_goes_up_by_a_positive_angle() -> None:
    image = np.zeros((101, 101, 3), np.uint8)
    image[47:54, 82:89] = 255  # 35 to the right of the centre
    made = cut(image, Box(0, 0, 101, 101), rotate=30, margin=0, size=101)[..., 0].astype(float)
    row, column = (np.indices(made.shape) * made).sum((1, 2)) / made.sum()
    assert (column - 50, 50 - row) == pytest.approx((35 * np.cos(np.pi / 6), 35 * np.sin(np.pi / 6)), abs=0.1)


def test_a_turned_crop_agrees_with_another_implementation() -> None:
    soft = np.asarray(Image.fromarray(skimage.data.astronaut()).filter(ImageFilter.GaussianBlur(2)))
    made = cut(soft, Box(172, 62, 100, 100), rotate=20, margin=0.25, size=150)
    turned = skimage.transform.rotate(soft, 20, center=(221.5, 111.5), order=3, mode="reflect", preserve_range=True)
    assert abs(made - turned[37:187, 147:297]).mean() < 0.55  # half a pixel aside it is 2.1, and a tenth 0.64


def test_a_turned_face_has_no_black_corners() -> None:
    white = np.full((60, 60, 3), 255, np.uint8)
    assert cut(white, Box(0, 0, 60, 60), rotate=45, margin=1, size=64).min() == 255


def test_beyond_the_border_the_picture_is_mirrored() -> None:
    image = gradient(40, 50)
    made = cut(image, Box(-10, 5, 20, 20), margin=0, size=20)
    assert np.array_equal(made[:, 10:], image[5:25, :10])
    assert np.array_equal(made[:, :10], image[5:25, 10:0:-1])  # the border pixel itself is not repeated
    assert cut(image[:1, :1], Box(0, 0, 1, 1), margin=4, size=16).tolist() == np.zeros((16, 16, 3)).tolist()


def test_reducing_uses_every_pixel() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[::2, ::2] = 240  # a quarter of the pixels; picking one in ten would give 0 or 240
    made = cut(image, Box(0, 0, 200, 200), margin=0, size=20)
    assert abs(made.astype(int) - 60).max() <= 1


def test_enlarging_is_smooth() -> None:
    made = cut(gradient(40, 40), Box(10, 10, 16, 16), margin=0, size=64).astype(int)
    # Four pixels for one of the picture, whose pixel x has the level x at its centre.
    assert made[32, :, 0] == pytest.approx(10 + (np.arange(64) + 0.5) / 4 - 0.5, abs=0.51)
