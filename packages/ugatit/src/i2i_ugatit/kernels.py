"""Layer-instance norms with what follows them in two passes over the image, on devices that have the kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from i2i.errors import DataError
from i2i.kernels import Epilogue, Norm, fused

_EPSILON = 1e-5


class LayerInstanceNorm(Norm):
    """The norm of AdaILN and ILN; its parameters are rho, gamma and beta as of `layer_instance_affine`."""

    def plain(self, x: Tensor, /, *parameters: Tensor | None) -> Tensor:
        """Apply `layer_instance_affine`."""
        scale, shift = layer_instance_affine(x, *_given(parameters))
        return torch.addcmul(shift, x.to(scale.dtype), scale).to(x.dtype)

    def known(self, x: Tensor, /, *parameters: Tensor | None) -> Tensor:
        """Return mean, scale, shift, and what else gradients need."""
        from i2i_ugatit import compiled

        return compiled.known(x, *(each.contiguous() for each in _given(parameters)))

    def steps(
        self, sums: Tensor, x: Tensor, known: Tensor, /, *parameters: Tensor | None
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Return the gradients of rho, gamma and beta, too."""
        from i2i_ugatit import compiled

        given = _given(parameters)
        steps, each = compiled.steps(sums, x, known, *(one.contiguous() for one in given[:2]))
        return steps, [g.sum_to_size(p.shape).to(p.dtype) for g, p in zip(each, given, strict=True)]


def layer_instance_norm(
    x: Tensor,
    rho: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    residual: Tensor | None = None,
    negative_slope: float = 1.0,
    pad: int = 0,
) -> Tensor:
    """Layer-instance norm, a sum, an activation and a reflected border; see `i2i.kernels.instance_norm`.

    Args:
        x: ``(b, c, h, w)``, more than one pixel.
        rho: ``(1, c, 1, 1)``, share of the instance norm.
        gamma: ``(b or 1, c, 1, 1)``, scale.
        beta: ``(b or 1, c, 1, 1)``, shift.
        residual: as ``x``, added before the activation.
        negative_slope: of the activation: 1 for none, 0 for a ReLU.
        pad: pixels by which the result is continued by reflection on all four sides.

    Returns:
        ``(b, c, h + 2 pad, w + 2 pad)``, in the type of ``x``.

    Raises:
        DataError: a single pixel, or a border that is not narrower than the image.

    Example:
        >>> x, half, one = torch.rand(2, 8, 4, 4), torch.full((1, 8, 1, 1), 0.5), torch.ones(1, 8, 1, 1)
        >>> layer_instance_norm(x, half, one, one, negative_slope=0, pad=1).shape
        torch.Size([2, 8, 6, 6])

    References:
        Kim et al., U-GAT-IT, 2020 (arXiv 1907.10830), eq. 1.
    """
    epilogue = Epilogue(residual, negative_slope, pad)
    return fused(LayerInstanceNorm(), x, rho, gamma, beta, epilogue=epilogue).image


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


def _given(parameters: Sequence[Tensor | None]) -> list[Tensor]:
    return [each for each in parameters if each is not None]  # all three are, which the type does not say
