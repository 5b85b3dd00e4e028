from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import color

from i2i.data.lab import lab_to_rgb, rgb_to_lab

CORNERS = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).T.astype(float)


@pytest.fixture
def colours() -> np.ndarray:
    """Random colours, dark ones, and the corners of sRGB: ``(h, w, 3)``."""
    noise = np.random.default_rng(0).random((30, 8, 3))
    return np.concatenate([noise, noise * 0.01, CORNERS[None]])


def channels_first(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(image, -1, 0).copy())


def channels_last(image: torch.Tensor) -> np.ndarray:
    return np.moveaxis(image.numpy(), 0, -1)


def test_lab_is_that_of_scikit_image(colours: np.ndarray) -> None:
    found = channels_last(rgb_to_lab(channels_first(colours)))
    np.testing.assert_allclose(found, color.rgb2lab(colours), atol=2e-3)
    single = channels_last(rgb_to_lab(channels_first(colours).float()))
    np.testing.assert_allclose(single, color.rgb2lab(colours), atol=3e-3)


def test_rgb_is_that_of_scikit_image(colours: np.ndarray) -> None:
    lab = color.rgb2lab(colours)
    found = channels_last(lab_to_rgb(channels_first(lab)))
    np.testing.assert_allclose(found, color.lab2rgb(lab), atol=1e-4)
    np.testing.assert_allclose(found, colours, atol=1e-4)


def test_there_and_back_is_exact(colours: np.ndarray) -> None:
    image = channels_first(colours)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(image)), image, atol=1e-6, rtol=0)


def test_colours_beyond_srgb_are_clipped() -> None:
    lab = np.array([[[50.0, 120.0, 0.0], [120.0, 0.0, 0.0], [20.0, 0.0, 110.0]]])
    found = channels_last(lab_to_rgb(channels_first(lab)))
    assert np.isfinite(found).all()
    assert (found.min(), found.max()) == (0, 1)


def test_batches_and_images_are_converted_alike(colours: np.ndarray) -> None:
    image = channels_first(colours)
    assert torch.equal(rgb_to_lab(torch.stack([image, image.flip(1)]))[1], rgb_to_lab(image.flip(1)))
