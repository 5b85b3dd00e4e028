"""Adaptive layer-instance norm: each channel learns how much of an instance norm and how much of a layer norm it is.

References:
    Kim et al., U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive Layer-Instance Normalization for
    Image-to-Image Translation, 2020 (arXiv 1907.10830), eq. 1 and 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError, DataError
from i2i.layers import ImageNorm, at_least
from i2i.parts import Example, part

_EPSILON = 1e-5


class AdaILN(ImageNorm):
    """A mixture of instance and layer norm whose scale and shift are given with each image.

    Attributes:
        rho: ``(1, c, 1, 1)``, the share of the instance norm; keep it in ``[0, 1]`` by `i2i_ugatit.clip_rho`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))

    def affine(self, x: Tensor, /, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift for ``x (b, c, h, w)``; ``given`` are gamma and beta, each ``(b, c)``."""
        if len(given) != 2:
            raise CompositionError("AdaILN is called as norm(x, gamma, beta); ILN has a scale and a shift of its own")
        gamma, beta = (each[:, :, None, None] for each in given)
        return layer_instance_affine(x, self.rho, gamma, beta)


class ILN(ImageNorm):
    """A mixture of instance and layer norm with a scale and a shift of its own.

    Attributes:
        rho: ``(1, c, 1, 1)``, the share of the instance norm; keep it in ``[0, 1]`` by `i2i_ugatit.clip_rho`.
        gamma: ``(1, c, 1, 1)``, scale.
        beta: ``(1, c, 1, 1)``, shift.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def affine(self, x: Tensor, /, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift for ``x (b, c, h, w)``."""
        return layer_instance_affine(x, self.rho, self.gamma, self.beta)


@part(example=Example({"channels": 4}, ((2, 4, 5, 6), (2, 4), (2, 4))))
def adailn(channels: int) -> AdaILN:
    """Make the adaptive layer-instance norm; rho begins at 0.9.

    Called as ``norm(x, gamma, beta)``: ``x (b, c, h, w)``, ``gamma`` and ``beta`` ``(b, c)``.

    Args:
        channels: ``c``.

    Raises:
        SettingsError: ``channels`` is no positive number.

    Example:
        >>> norm = adailn(8)
        >>> norm(torch.rand(2, 8, 4, 4), torch.ones(2, 8), torch.zeros(2, 8)).shape
        torch.Size([2, 8, 4, 4])

    References:
        Kim et al., eq. 1.
    """
    at_least("channels", channels, 1)
    return AdaILN(channels)


@part(example=Example({"channels": 4}, ((2, 4, 5, 6),)))
def iln(channels: int) -> ILN:
    """Make the layer-instance norm with weights of its own; rho begins at 0, a layer norm.

    Args:
        channels: of ``x (b, c, h, w)``.

    Raises:
        SettingsError: ``channels`` is no positive number.

    Example:
        >>> iln(8)(torch.rand(2, 8, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
    """
    at_least("channels", channels, 1)
    return ILN(channels)


def layer_instance_affine(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a layer-instance norm, all statistics from one pass over ``x``.

    ``x * scale + shift`` is ``gamma * (rho * instance(x) + (1 - rho) * layer(x)) + beta``. The moments over a whole
    image follow from those over its channels: the sum of squares about the common mean is the sum of those about the
    means of the channels, and of what these means are apart.

    Args:
        x: ``(b, c, h, w)``, at least two pixels.
        rho: ``(1, c, 1, 1)``, share of the instance norm.
        gamma: ``(b or 1, c, 1, 1)``, scale.
        beta: ``(b or 1, c, 1, 1)``, shift.

    Returns:
        Scale and shift ``(b, c, 1, 1)``, in float32 where ``x`` has less.

    Raises:
        DataError: ``x`` has a single pixel.

    Differs:
        As in the authors' PyTorch code both variances are unbiased; in their TensorFlow code they are biased.
    """
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    pixels, channels = x.shape[-2] * x.shape[-1], x.shape[1]
    if pixels < 2:
        raise DataError(f"features of shape {tuple(x.shape)}: one pixel has no variance; take larger images")
    variance, mean = torch.var_mean(exact, (-2, -1), keepdim=True)
    layer_mean = mean.mean(1, keepdim=True)
    squares = (pixels - 1) * variance + pixels * (mean - layer_mean).square()
    layer_variance = squares.sum(1, keepdim=True) / (channels * pixels - 1)
    instance = rho * torch.rsqrt(variance + _EPSILON)
    layer = (1 - rho) * torch.rsqrt(layer_variance + _EPSILON)
    return gamma * (instance + layer), beta - gamma * (instance * mean + layer * layer_mean)
