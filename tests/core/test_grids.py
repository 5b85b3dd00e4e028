from __future__ import annotations

import numpy as np
import pytest
import torch

from i2i.errors import SettingsError
from i2i.grids import grid


def test_columns_and_rows_lie_where_they_should() -> None:
    a = torch.tensor([-1.0, 0.0]).view(2, 1, 1, 1).expand(2, 3, 100, 120)
    b = torch.tensor([1.0, 0.5, -0.5]).view(1, 3, 1, 1).expand(1, 3, 100, 120)
    sheet = np.asarray(grid({"a": a, "b": b}))
    assert sheet.shape == (14 + 2 * 102 + 2, 2 * 122 + 2, 3)
    assert (sheet[14:114, 2:122] == 0).all()
    assert (sheet[116:216, 2:122] == 128).all()  # 127.5, rounded to even
    assert (sheet[14:114, 124:244] == (255, 191, 64)).all()
    assert (sheet[116:216, 124:244] == 255).all()  # b has no second row
    assert (sheet[14:114, 122:124] == 255).all()


def test_values_are_clamped_rounded_and_grey_is_shown_as_grey() -> None:
    values = torch.tensor([-3.0, 3.0, 0.2]).view(3, 1, 1, 1).expand(3, 1, 96, 96)
    sheet = np.asarray(grid({"grey": values}))
    tops = [14 + row * 98 for row in range(3)]
    assert [sheet[top + 5, 5].tolist() for top in tops] == [[0] * 3, [255] * 3, [153] * 3]


@pytest.mark.parametrize(("height", "factor"), [(10, 10), (48, 2), (50, 2), (96, 1), (200, 1)])
def test_small_images_are_enlarged_by_whole_factors_and_others_fitted_to_the_first(height: int, factor: int) -> None:
    first = torch.rand(1, 3, height, 7) * 2 - 1
    sheet = np.asarray(grid({"first": first, "other": torch.ones(1, 3, 5, 5)}))
    assert sheet.shape == (14 + height * factor + 4, 2 * (7 * factor + 2) + 2, 3)
    shown = sheet[14 : 14 + height * factor : factor, 2 : 2 + 7 * factor : factor]
    np.testing.assert_array_equal(shown, ((first[0] + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(np.uint8))
    assert (sheet[14 : 14 + height * factor, 4 + 7 * factor : 4 + 14 * factor] == 255).all()


@pytest.mark.parametrize(("channels", "shown"), [(2, [0, 0, 0]), (4, [0, 1, 2]), (6, [0, 1, 2])])
def test_of_many_channels_some_are_shown(channels: int, shown: list[int]) -> None:
    image = torch.linspace(-1, 1, channels).view(1, channels, 1, 1).expand(1, channels, 96, 96)
    levels = np.linspace(0, 255, channels).round()[shown]
    np.testing.assert_array_equal(np.asarray(grid({"a": image}))[20, 20], levels)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 0, 8, 8)])
def test_a_column_that_is_no_batch_of_images_is_named_with_its_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError) as caught:
        grid({"a": torch.zeros(1, 3, 8, 8), "bad": torch.zeros(shape)})
    assert str(caught.value) == f"column bad has shape {shape}; a grid shows images (b, c, h, w)"


def test_no_column() -> None:
    with pytest.raises(SettingsError, match="^a grid needs at least one column of images$"):
        grid({})
