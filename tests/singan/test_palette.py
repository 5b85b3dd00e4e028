from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans

from i2i_singan.palette import palette, quantised

COLOURS = np.array([[-0.9, 0.2, 0.4], [0.8, 0.8, -0.5], [0.1, -0.7, 0.0]])


def painted(seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Return an image of three colours with noise, ``(1, 3, 8, 10)``, and which colour each pixel has."""
    draws = np.random.default_rng(seed)
    which = draws.integers(0, 3, (8, 10))
    pixels = COLOURS[which] + draws.normal(0, 0.02, (8, 10, 3))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None], which


def test_the_palette_holds_the_mean_colours_of_pixels() -> None:
    image, which = painted()
    pixels = image[0].permute(1, 2, 0).numpy()
    means = np.array([pixels[which == k].mean(axis=0) for k in range(3)])
    found = palette(image, 3)
    assert found.shape == (3, 3)
    assert found.dtype == image.dtype
    np.testing.assert_allclose(sorted(found.tolist()), sorted(means.tolist()), atol=1e-12)
    few = quantised(image, found)
    assert few.shape == image.shape
    np.testing.assert_allclose(few[0].permute(1, 2, 0), means[which], atol=1e-12)
    assert palette(image, 3).equal(found)


def test_the_palette_of_the_authors_takes_neighbours_in_memory_for_colours() -> None:
    image, _ = painted()
    rows = image.numpy().reshape(-1, 3)
    fitted = KMeans(n_clusters=5, random_state=0, n_init=10).fit(rows)
    found = palette(image, 5, reference=True)
    np.testing.assert_allclose(found, fitted.cluster_centers_, atol=1e-12)
    wanted = fitted.cluster_centers_[fitted.labels_].reshape(1, 3, 8, 10)
    np.testing.assert_allclose(quantised(image, found, reference=True), wanted, atol=1e-12)
    assert np.abs(quantised(image, found).numpy() - wanted).max() > 0.1  # which is not what pixels would give


def test_no_more_colours_than_there_are() -> None:
    image = torch.tensor([[[[-1.0, -1.0, 0.25, 0.25]]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sorted(palette(image, 5).tolist()) == [[-1.0], [0.25]]


def test_one_palette_for_all_images_of_a_batch() -> None:
    images = torch.tensor([[[[-1.0, -1.0]]], [[[1.0, 1.0]]]])
    found = palette(images, 2)
    assert sorted(found.tolist()) == [[-1.0], [1.0]]
    assert quantised(images * 0.4, found).equal(images)
