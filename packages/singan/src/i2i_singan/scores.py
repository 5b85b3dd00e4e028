"""How good samples of one photograph are: as close to it patch by patch (SIFID), and as different from one another.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    sections 3.1 (diversity) and 3.2 (SIFID).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from i2i.errors import DataError, SettingsError

_LUMA = (0.299, 0.587, 0.114)
_POSITIONS = 2**16  # whose covariance is computed at once: 32 MiB for 64 features


class Moments(NamedTuple):
    """Mean ``(d,)`` and unbiased covariance ``(d, d)`` of features over the positions of an image, float64."""

    mean: Tensor
    covariance: Tensor


class Scores(NamedTuple):
    """What was found of samples.

    Attributes:
        samples: how many there were.
        diversity: see `diversity`; None for a single sample.
        distances: of each sample to the training image, the mean over the training images where there are several;
            empty without an extractor.
    """

    samples: int
    diversity: float | None
    distances: tuple[float, ...]

    @property
    def distance(self) -> float | None:
        """The mean of the distances; lower is better."""
        return sum(self.distances) / len(self.distances) if self.distances else None


def score(samples: Iterable[Tensor], images: Tensor, extractor: nn.Module | None = None) -> Scores:
    """Measure samples, one after the other, in the memory of one of them.

    Args:
        samples: each ``(1, c, h, w)`` in ``[-1, 1]``, clamped to it, on the device of the extractor.
        images: the training images ``(n, c, h, w)``.
        extractor: makes feature maps, see `feature_map`; None: diversity only.

    Raises:
        DataError: samples of unequal sizes, none at all, or a training image of one grey level only.
        SettingsError: the extractor makes something else.
    """
    targets = [] if extractor is None else [moments(feature_map(extractor, image[None])) for image in images]
    spread, distances = _Spread(), []
    for sample in samples:
        spread.add(sample)
        if extractor is not None:
            made = moments(feature_map(extractor, sample))
            distances.append(sum(frechet_distance(made, target) for target in targets) / len(targets))
    if not spread.count:
        raise DataError("there are no samples to score")
    relative = None if spread.count < 2 else spread.deviation() / _contrast(images)
    return Scores(spread.count, relative, tuple(distances))


def diversity(samples: Tensor, images: Tensor) -> float:
    """Return how different samples are, as a share of the contrast of the training image; higher is more varied.

    The standard deviation of each pixel's grey value over the samples, averaged over the pixels, divided by the
    standard deviation of the grey values of the training image.

    Args:
        samples: ``(b, c, h, w)`` in ``[-1, 1]``, clamped to it; at least two.
        images: the training images ``(n, c, h, w)``; of several, the mean of their standard deviations counts.

    Raises:
        DataError: fewer than two samples, or a training image of one grey level only.

    References:
        Section 3.1: "for each training example we calculated the standard deviation of the intensity values of each
        pixel over 100 generated images, averaged it over all pixels, and normalized by the std of the intensity values
        of the training image".

    Differs:
        The paper does not say which estimate it takes: here the variance over samples is the unbiased one, so that few
        samples do not look less diverse than many.

    Example:
        >>> image = torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2)
        >>> round(diversity(torch.cat((image, image, -image, -image)), image), 3)
        1.155
    """
    if len(samples) < 2:
        raise DataError(f"the diversity of {len(samples)} samples: it takes two at least")
    return float(grey(samples).std(0).mean()) / _contrast(images)


def grey(images: Tensor) -> Tensor:
    """Return grey values ``(b, h, w)`` of ``(b, c, h, w)``, float64 on the host: luma, or the mean of the channels."""
    values = images.detach().cpu().double().clamp(-1, 1)
    if values.shape[1] != 3:
        return values.mean(1)
    return torch.einsum("bchw,c->bhw", values, values.new_tensor(_LUMA))


def _contrast(images: Tensor) -> float:
    """The standard deviation of the grey values of an image; of several, the mean."""
    found = float(grey(images).flatten(1).std(1, correction=0).mean())
    if not found:
        raise DataError("the training image has one grey level only: diversity has nothing to be compared with")
    return found


class _Spread:
    """The standard deviation of each pixel over images that come one by one.

    References:
        Welford, Note on a Method for Calculating Corrected Sums of Squares and Products.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, image: Tensor) -> None:
        """Take one more image ``(1, c, h, w)``."""
        values = grey(image)[0]
        if not self.count:
            self._mean, self._squares = torch.zeros_like(values), torch.zeros_like(values)
        if values.shape != self._mean.shape:
            sizes = [" x ".join(map(str, reversed(found.shape))) for found in (values, self._mean)]
            raise DataError(f"a sample has {sizes[0]} pixels, those before it {sizes[1]}; score them by themselves")
        self.count += 1
        difference = values - self._mean
        self._mean += difference / self.count
        self._squares += difference * (values - self._mean)

    def deviation(self) -> float:
        """Return its mean over all pixels."""
        return float((self._squares / (self.count - 1)).sqrt().mean())


def feature_map(extractor: nn.Module, image: Tensor) -> Tensor:
    """Return the features ``(d, h', w')`` of an image ``(1, c, h, w)`` in ``[-1, 1]``; grey ones are shown as colour.

    Raises:
        SettingsError: the extractor returns something else.
    """
    with torch.no_grad():
        image = image.float().clamp(-1, 1)
        found = extractor(image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image)
    if not isinstance(found, Tensor) or found.ndim != 4 or len(found) != 1:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise SettingsError(f"the extractor returns {shape} for one image; it must return a feature map (1, d, h, w)")
    return found[0]


def moments(features: Tensor) -> Moments:
    """Return mean and unbiased covariance of features ``(d, h, w)``, of which each position is a sample.

    Raises:
        DataError: one position or none: the image is too small for the extractor.
    """
    columns = features.detach().cpu().flatten(1)
    count = columns.shape[1]
    if count < 2:
        raise DataError(f"an image gives {count} positions of features, which is too few; score larger images")
    mean = columns.mean(1, dtype=torch.float64)
    squares = mean.new_zeros(len(mean), len(mean))
    for start in range(0, count, _POSITIONS):
        centred = columns[:, start : start + _POSITIONS].double() - mean[:, None]
        squares.addmm_(centred, centred.T)
    return Moments(mean, squares / (count - 1))


def frechet_distance(one: Moments, other: Moments) -> float:
    """Return the squared Frechet distance of two normal distributions; 0 for equal ones, lower is closer.

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``; the trace of the root is the sum of the singular values of
    ``C1^(1/2) C2^(1/2)``, which exists also where a covariance is singular.

    References:
        Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, equation 6.

    Differs:
        The authors' code adds 1e-6 to the diagonals where its matrix root fails; nothing fails here.

    Example:
        >>> nearer = Moments(torch.zeros(2), torch.eye(2))
        >>> frechet_distance(nearer, Moments(torch.ones(2), 4 * torch.eye(2)))
        4.0
    """
    root = torch.linalg.svdvals(_root(one.covariance) @ _root(other.covariance)).sum()
    traces = one.covariance.trace() + other.covariance.trace()
    return max(float((one.mean - other.mean).square().sum() + traces - 2 * root), 0.0)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root
