from __future__ import annotations

from typing import Any

import pytest
import torch

from i2i.errors import DataError, SettingsError
from i2i.layers import at_least, check_image, one_of


@pytest.mark.parametrize("value", [2, -1, 3.0, True, "4", None])
def test_at_least_refuses_what_is_no_whole_number_from_the_minimum_on(value: Any) -> None:
    with pytest.raises(SettingsError) as error:
        at_least("layers", value, 3)
    assert str(error.value) == f"layers (={value}) must be a whole number of at least 3"


def test_at_least_accepts_its_bounds_and_nothing_beyond() -> None:
    at_least("layers", 3, 3)
    at_least("layers", 16, 3, 16)
    with pytest.raises(SettingsError, match=r"^layers \(=17\) must be at most 16$"):
        at_least("layers", 17, 3, 16)


def test_one_of_lists_the_choices() -> None:
    one_of("norm", "batch", ("instance", "batch"))
    with pytest.raises(SettingsError, match=r"^norm \(='group'\) must be one of: instance, batch$"):
        one_of("norm", "group", ("instance", "batch"))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 250, 256), "height (=250) must be a multiple of 4; use 248 or 252"),
        ((1, 3, 256, 9), "width (=9) must be a multiple of 4; use 8 or 12"),
        ((1, 3, 8, 4), "width (=4) must be at least 8; use a larger image or a shallower network"),
        ((1, 1, 8, 8), "image of shape (1, 1, 8, 8): this network reads (batch, 3, height, width)"),
        ((3, 8, 8), "image of shape (3, 8, 8): this network reads (batch, 3, height, width)"),
    ],
)
def test_check_image_names_the_size_and_the_remedy(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError) as error:
        check_image(torch.empty(shape, device="meta"), 3, multiple=4, smallest=8)
    assert str(error.value) == message


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 3, 12, 8)])
def test_check_image_accepts_multiples_from_the_smallest_on(shape: tuple[int, ...]) -> None:
    check_image(torch.empty(shape, device="meta"), 3, multiple=4, smallest=8)
