"""Real photographs that lie inside the packages of scikit-image and scikit-learn (extra ``i2i-core[demo]``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i.errors import RunError

#: Colours in 0 ... 1, ``(h, w, 3)`` or ``(n, 3)``.
Colours = NDArray[np.float64]

LICENCES: Mapping[str, str] = {
    "astronaut": "NASA, public domain",
    "coffee": "Rachel Michetti, CC0",
    "chelsea": "Stefan van der Walt, CC0",
    "rocket": "SpaceX, public domain",
    "china": "danielbuechele, CC BY 2.0",
    "flower": "vultilion, CC BY 2.0",
}
"""The photographs and their licences, as scikit-image and scikit-learn state them."""


def load(short_side: int) -> dict[str, Colours]:
    """Return the photographs by name, resized (bicubic) to a short side of ``short_side`` pixels.

    Raises:
        RunError: the extra is not installed.
    """
    from PIL import Image

    try:
        import skimage.data
        import sklearn.datasets
    except ImportError as error:
        raise RunError(f"the demo's photographs need {error.name}: pip install 'i2i-core[demo]'") from error

    found: dict[str, Colours] = {}
    for name in LICENCES:
        from_learn = name in ("china", "flower")
        pixels: Any = sklearn.datasets.load_sample_image(f"{name}.jpg") if from_learn else getattr(skimage.data, name)()
        image = Image.fromarray(np.asarray(pixels))
        scale = short_side / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        found[name] = np.asarray(image.resize(size, Image.Resampling.BICUBIC)) / 255.0
    return found


class Regions(NamedTuple):
    """Columns of a photograph that share no pixel."""

    left: Colours
    middle: Colours
    right: Colours


def columns(photograph: Colours, share: float = 0.38) -> Regions:
    """Cut a photograph ``(h, w, 3)`` into a left and a right part, each ``share`` of the width, and the middle.

    Example:
        >>> [part.shape[1] for part in columns(np.zeros((2, 100, 3)))]
        [38, 24, 38]
    """
    width = photograph.shape[1]
    edge = round(width * share)
    return Regions(photograph[:, :edge], photograph[:, edge : width - edge], photograph[:, width - edge :])


def crops(photographs: Sequence[Colours], size: int, count: int, seed: int) -> list[tuple[int, slice, slice]]:
    """Draw ``count`` square crops, in turn from each photograph: its index, its rows and its columns.

    Example:
        >>> crops([np.zeros((8, 8, 3))], 8, 1, seed=0)
        [(0, slice(0, 8, None), slice(0, 8, None))]
    """
    draws = np.random.default_rng(seed)
    found = []
    for index in range(count):
        which = index % len(photographs)
        height, width = photographs[which].shape[:2]
        top, left = int(draws.integers(height - size + 1)), int(draws.integers(width - size + 1))
        found.append((which, slice(top, top + size), slice(left, left + size)))
    return found


def colour_map(source: Colours, target: Colours) -> tuple[Colours, Colours]:
    """Return ``matrix (3, 3)`` and ``offset (3,)`` of the best affine colour map between unpaired pixels ``(n, 3)``.

    It moves mean and covariance of ``source`` onto those of ``target`` with the least change (Monge-Kantorovich):
    ``colours @ matrix + offset``.

    References:
        Pitié and Kokaram, The Linear Monge-Kantorovitch Linear Colour Mapping for Example-Based Colour Transfer, eq. 4.

    Example:
        >>> pixels = np.random.default_rng(0).random((100, 3))
        >>> matrix, offset = colour_map(pixels, pixels * 0.5 + 0.2)
        >>> bool(np.allclose(pixels @ matrix + offset, pixels * 0.5 + 0.2))
        True
    """
    root = _power(np.cov(source.T), 0.5)
    inverse = _power(np.cov(source.T), -0.5)
    matrix = inverse @ _power(root @ np.cov(target.T) @ root, 0.5) @ inverse
    return matrix, target.mean(0) - source.mean(0) @ matrix


def _power(symmetric: Colours, exponent: float) -> Colours:
    values, vectors = np.linalg.eigh(symmetric)
    scaled: Colours = (vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T
    return scaled


class Likeness(NamedTuple):
    """How close images are to the truth: ``psnr`` in decibels, ``ssim`` up to 1."""

    psnr: float
    ssim: float

    def __str__(self) -> str:
        """Show both, in the words of a table."""
        return f"{self.psnr:5.2f} dB   {self.ssim:.3f}"


def likeness(images: Sequence[Colours], truths: Sequence[Colours]) -> Likeness:
    """Return mean PSNR and SSIM of ``images`` against ``truths``, each ``(h, w, 3)``, clipped to 0 ... 1."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    pairs = [(np.clip(image, 0, 1), truth) for image, truth in zip(images, truths, strict=True)]
    psnr = [peak_signal_noise_ratio(truth, image, data_range=1.0) for image, truth in pairs]
    ssim = [structural_similarity(truth, image, data_range=1.0, channel_axis=2) for image, truth in pairs]
    return Likeness(float(np.mean(psnr)), float(np.mean(ssim)))
