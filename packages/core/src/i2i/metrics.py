"""How close translated images are to real ones: image by image where they belong together, else as two sets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

import torch
from torch import Tensor

from i2i.errors import CompositionError, DataError, RunError

_BLOCK = 1000  # images whose kernel is computed at once; 8 MB
_HIGHEST = 100.0  # dB
_SMALLEST = 6  # pixels: what the window of SSIM needs to be mirrored at the borders


def psnr(made: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, in dB; higher is better.

    Args:
        made: images ``(b, c, h, w)`` in ``[-1, 1]``, clamped to it.
        real: what they should be.

    Returns:
        ``(b,)``: ``10 log10(2^2 / mean squared error)``; at most 100, which stands for equal images.

    Raises:
        CompositionError: the shapes differ.
        RunError: torchmetrics is not installed.
    """
    _check_shapes(made, real)
    try:
        from torchmetrics.functional.image import peak_signal_noise_ratio
    except ImportError as error:
        raise _missing(error) from error
    found: Tensor = peak_signal_noise_ratio(
        made.float(), real.float(), data_range=(-1.0, 1.0), reduction="none", dim=(1, 2, 3)
    )
    return found.clamp(max=_HIGHEST)


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """Structural similarity of each image, 1 for equal images; higher is better.

    A Gaussian window of 11 pixels with a standard deviation of 1.5, images mirrored at their borders, the mean over
    channels and all pixels.

    Args:
        made: images ``(b, c, h, w)`` in ``[-1, 1]``, clamped to it; at least 6 pixels on a side.
        real: what they should be.

    Returns:
        ``(b,)``.

    Raises:
        CompositionError: the shapes differ.
        DataError: the images are too small.
        RunError: torchmetrics is not installed.

    References:
        Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, eq. 13, with
        K1 = 0.01 and K2 = 0.03.

    Differs:
        scikit-image leaves the 5 pixels at each border out of the mean.
    """
    _check_shapes(made, real)
    if min(real.shape[-2:]) < _SMALLEST:
        raise DataError(
            f"images of {real.shape[-1]} x {real.shape[-2]} pixels are too small for SSIM, which needs {_SMALLEST}; "
            "hold larger images out"
        )
    try:
        from torchmetrics.functional.image import structural_similarity_index_measure
    except ImportError as error:
        raise _missing(error) from error
    found = structural_similarity_index_measure(made.float(), real.float(), data_range=(-1.0, 1.0), reduction="none")
    assert isinstance(found, Tensor)  # for the type checker
    return found


def kernel_distance(made: Tensor, real: Tensor) -> float:
    """Squared maximum mean discrepancy between two sets of features; lower is better, 0 on average for equal sets.

    The kernel is ``(x y / d + 1)^3``, the estimate unbiased, so it may fall below 0. Up to 1000 images of each set are
    compared all with all. Larger sets are cut into blocks of at most 1000, always in the same random way, and the mean
    over pairs of blocks is taken; where one set has fewer blocks, they are taken again in turn.

    Args:
        made: features ``(n, d)`` of translated images; n is at least 2.
        real: features ``(m, d)`` of real ones; m need not be n.

    Raises:
        DataError: a set has less than two images.

    References:
        Binkowski et al., Demystifying MMD GANs, section 4 (KID); unbiased estimate: Gretton et al., A Kernel Two-Sample
        Test, eq. 3.

    Differs:
        torchmetrics takes subsets of equal size from both sets, by the global random generator.

    Example:
        >>> near, far = torch.tensor([[0.0], [0.1]]), torch.tensor([[1.0], [1.1]])
        >>> round(kernel_distance(near, far), 2)
        7.91
    """
    if min(len(made), len(real)) < 2:
        raise DataError(
            f"a distance between {len(made)} translated and {len(real)} real images: it takes two of each at least; "
            "hold more images out"
        )
    one, other = _blocks(made), _blocks(real)
    count = max(len(one), len(other))
    return sum(_discrepancy(x, y) for x, y in islice(zip(cycle(one), cycle(other), strict=False), count)) / count


def _blocks(features: Tensor) -> Sequence[Tensor]:
    """The rows in a random order, always the same, cut: blocks shall not follow the names of files."""
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    return features.detach().cpu().double()[order].tensor_split(-(-len(features) // _BLOCK))


def _discrepancy(x: Tensor, y: Tensor) -> float:
    def kernel(one: Tensor, other: Tensor) -> Tensor:
        return (one @ other.T / one.shape[1] + 1) ** 3

    def within(one: Tensor) -> Tensor:
        values = kernel(one, one)
        return (values.sum() - values.trace()) / (len(one) * (len(one) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def _check_shapes(made: Tensor, real: Tensor) -> None:
    if made.shape != real.shape or made.ndim != 4:
        raise CompositionError(
            f"translated images {tuple(made.shape)} and what they should be {tuple(real.shape)} must both be one "
            "(b, c, h, w)"
        )


def _missing(error: ImportError) -> RunError:
    return RunError(f"PSNR and SSIM need torchmetrics ({error}): pip install 'i2i-core[metrics]'")
