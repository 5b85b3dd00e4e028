from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torch import Tensor, nn

from i2i.errors import DataError, SettingsError
from i2i_singan.scores import Moments, diversity, feature_map, frechet_distance, moments, score

Array = NDArray[np.float64]


def random_images(*shape: int, seed: int = 0, spread: float = 0.5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


def distance_by_scipy(one: Array, other: Array) -> float:
    """The formula for features ``(positions, d)``, with the matrix root of scipy."""
    means, covariances = [x.mean(0) for x in (one, other)], [np.cov(x.T) for x in (one, other)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root))


def positions(features: Tensor) -> Array:
    """``(d, h, w)`` as ``(h w, d)``."""
    return np.asarray(features.double().permute(1, 2, 0).reshape(-1, len(features)))


def test_moments_are_those_of_the_positions() -> None:
    features = random_images(4, 5, 7)
    found = moments(features)
    np.testing.assert_allclose(found.mean, positions(features).mean(0), atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(positions(features).T), atol=1e-12)
    assert found.covariance.dtype == torch.float64


def test_moments_of_many_positions_far_from_zero() -> None:
    features = random_images(2, 300, 301) + 1000  # more than are taken at once
    found = moments(features)
    np.testing.assert_allclose(found.mean, positions(features).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(positions(features).T), rtol=1e-9, atol=1e-12)


def test_moments_take_two_positions() -> None:
    assert moments(torch.tensor([[[1.0, 4.0]]])) == (torch.tensor([2.5]), torch.tensor([[4.5]]))
    with pytest.raises(DataError, match="an image gives 1 positions of features, which is too few"):
        moments(torch.zeros(3, 1, 1))


def test_distance_is_that_of_scipy() -> None:
    one, other = random_images(6, 9, 11), random_images(6, 8, 8, seed=1, spread=0.8) + 0.3
    expected = distance_by_scipy(positions(one), positions(other))
    assert frechet_distance(moments(one), moments(other)) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(moments(other), moments(one)) == pytest.approx(expected, rel=1e-9)


def test_distance_where_covariances_are_singular() -> None:
    # Of covariances with common axes it is the distance of the standard deviations.
    axes = torch.linalg.qr(random_images(4, 4).double()).Q
    spreads = torch.tensor([[1.0, 0.5, 0.0, 0.0], [0.2, 0.0, 0.7, 0.0]], dtype=torch.float64)
    means = torch.tensor([[0.0, 1, 2, 3], [1.0, 1, 2, 5]], dtype=torch.float64)
    found = [Moments(mean, axes @ torch.diag(s**2) @ axes.T) for mean, s in zip(means, spreads, strict=True)]
    expected = 1 + 4 + (0.8**2 + 0.5**2 + 0.7**2)
    assert frechet_distance(*found) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(found[0], found[0]) == pytest.approx(0, abs=1e-7)
    few = moments(random_images(20, 2, 2))  # 20 features of 4 positions
    assert 0 <= frechet_distance(few, few) < 1e-6


LUMA = {3: np.array([0.299, 0.587, 0.114]), 1: np.ones(1), 5: np.full(5, 0.2)}


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_diversity_is_the_formula_of_the_paper(channels: int) -> None:
    samples, image = random_images(4, channels, 6, 8, spread=0.8), random_images(1, channels, 6, 8, seed=1)
    greys = np.einsum("bchw,c->bhw", samples.double().clamp(-1, 1).numpy(), LUMA[channels])
    contrast = np.einsum("chw,c->hw", image[0].double().clamp(-1, 1).numpy(), LUMA[channels]).std()
    expected = greys.std(0, ddof=1).mean() / contrast
    assert diversity(samples, image) == pytest.approx(expected, rel=1e-6)
    assert score(samples.split(1), image).diversity == pytest.approx(expected, rel=1e-6)  # one by one
    shuffled = image[:, :, torch.randperm(6)]
    assert diversity(samples, torch.cat((image, 2 * shuffled))) == pytest.approx(
        greys.std(0, ddof=1).mean() / np.mean([contrast, float(_grey_deviation(2 * shuffled, channels))]), rel=1e-6
    )


def _grey_deviation(image: Tensor, channels: int) -> float:
    return float(np.einsum("chw,c->hw", image[0].double().clamp(-1, 1).numpy(), LUMA[channels]).std())


def test_equal_samples_have_no_diversity() -> None:
    image = random_images(1, 3, 5, 5)
    assert diversity(image.expand(3, -1, -1, -1), image) == pytest.approx(0, abs=1e-12)
    with pytest.raises(DataError, match="the diversity of 1 samples: it takes two at least"):
        diversity(image, image)
    with pytest.raises(DataError, match="the training image has one grey level only"):
        diversity(random_images(2, 3, 5, 5), torch.ones(1, 3, 5, 5))


class Means(nn.Module):
    """Means of blocks of 2 x 2 pixels, and their squares."""

    def forward(self, image: Tensor) -> Tensor:
        blocks = nn.functional.avg_pool2d(image, 2)
        return torch.cat((blocks, blocks**2), 1)


def means_by_numpy(image: Tensor) -> Array:
    c, h, w = image.shape
    blocks = image.double().clamp(-1, 1).numpy().reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))
    return np.concatenate((blocks, blocks**2)).reshape(2 * c, -1).T


def test_scores_of_samples_one_by_one() -> None:
    samples, images = random_images(3, 3, 12, 10, spread=0.7), random_images(2, 3, 8, 14, seed=1)
    seen = []

    def made() -> object:
        for sample in samples.split(1):
            seen.append(sample)
            yield sample

    found = score(made(), images, Means())  # type: ignore[arg-type]
    expected = [
        np.mean([distance_by_scipy(means_by_numpy(sample), means_by_numpy(image)) for image in images])
        for sample in samples
    ]
    assert found.samples == len(seen) == 3
    assert found.distances == pytest.approx(expected, rel=1e-5)
    assert found.distance == pytest.approx(np.mean(expected), rel=1e-5)
    without = score(samples.split(1), images)
    assert (without.distances, without.distance, without.diversity) == ((), None, found.diversity)


def test_a_training_image_is_at_no_distance_from_itself_and_noise_is_far() -> None:
    image = torch.linspace(-1, 1, 16 * 16).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    noisy = image + random_images(1, 3, 16, 16)
    near, far = score([image, noisy], image, Means()).distances
    assert near == pytest.approx(0, abs=1e-9)
    assert far > 0.01


def test_one_sample_has_a_distance_but_no_diversity() -> None:
    image = random_images(1, 3, 8, 8)
    found = score([image], image, Means())
    assert (found.samples, found.diversity, len(found.distances)) == (1, None, 1)
    with pytest.raises(DataError, match="there are no samples to score"):
        score([], image)


def test_samples_of_unequal_sizes() -> None:
    image = random_images(1, 3, 8, 8)
    with pytest.raises(DataError, match="a sample has 9 x 8 pixels, those before it 8 x 8; score them by themselves"):
        score([image, random_images(1, 3, 8, 9)], image)


class Returns(nn.Module):
    def __init__(self, returned: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.returned = returned

    def forward(self, image: Tensor) -> object:
        return self.returned(image)


def test_grey_images_are_shown_as_colour_within_their_range_and_without_gradients() -> None:
    image = torch.tensor([0.5, -3.0]).view(1, 1, 1, 2).requires_grad_()
    found = feature_map(nn.Identity(), image)
    assert found.tolist() == [[[0.5, -1.0]]] * 3
    assert not found.requires_grad
    assert feature_map(nn.Identity(), torch.zeros(1, 5, 2, 2)).shape == (5, 2, 2)


@pytest.mark.parametrize(
    ("returned", "named"),
    [(lambda image: image.mean((2, 3)), r"\(1, 3\)"), (lambda image: [image], "list"),
     (lambda image: image.repeat(2, 1, 1, 1), r"\(2, 3, 4, 4\)")],
)  # fmt: skip
def test_an_extractor_that_makes_no_feature_maps(returned: Callable[[Tensor], object], named: str) -> None:
    with pytest.raises(SettingsError, match=f"the extractor returns {named} for one image; it must return a feature"):
        feature_map(Returns(returned), torch.zeros(1, 3, 4, 4))
