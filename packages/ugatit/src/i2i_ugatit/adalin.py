"""Adaptive layer-instance norm: each channel learns how much of an instance norm and how much of a layer norm it is.

References:
    Kim et al., U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive Layer-Instance Normalization for
    Image-to-Image Translation, 2020 (arXiv 1907.10830), eq. 1 and 2.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError
from i2i.kernels import usable
from i2i.layers import ImageNorm, at_least
from i2i.parts import Example, part
from i2i_ugatit.kernels import layer_instance_affine, layer_instance_norm


class MixedNorm(ImageNorm):
    """A mixture of instance and layer norm."""

    @abstractmethod
    def mixture(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rho, gamma and beta as of `layer_instance_affine`; ``given`` as of `forward`."""

    def affine(self, x: Tensor, /, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift for ``x (b, c, h, w)``; ``given`` as of `forward`."""
        return layer_instance_affine(x, *self.mixture(*given))

    def forward(self, x: Tensor, /, *given: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to the same shape and type; `AdaILN` is given gamma and beta, each ``(b, c)``."""
        return layer_instance_norm(x, *self.mixture(*given))

    def followed(
        self, x: Tensor, /, *given: Tensor, by: Sequence[nn.Module] = (), residual: Tensor | None = None
    ) -> Tensor:
        """Normalise ``x``, add what it is the residual of, and run the layers after it: at once, where kernels run.

        Args:
            x: ``(b, c, h, w)``.
            *given: as of `forward`.
            by: a ReLU, an equal border by reflection on all sides, both in this order, or none.
            residual: as ``x``.
        """
        slope = 0.0 if any(isinstance(layer, nn.ReLU) for layer in by) else 1.0
        pad = max((layer.padding[0] for layer in by if isinstance(layer, nn.ReflectionPad2d)), default=0)
        if usable(x, pad, (self, *by)):
            mixture = self.mixture(*given)
            return layer_instance_norm(x, *mixture, residual=residual, negative_slope=slope, pad=pad)
        y: Tensor = self(x, *given)
        y = y if residual is None else residual + y
        for layer in by:
            y = layer(y)
        return y


class AdaILN(MixedNorm):
    """A mixture of instance and layer norm whose scale and shift are given with each image.

    Attributes:
        rho: ``(1, c, 1, 1)``, the share of the instance norm; keep it in ``[0, 1]`` by `i2i_ugatit.clip_rho`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))

    def mixture(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rho, gamma and beta; ``given`` are the last two, each ``(b, c)``."""
        if len(given) != 2:
            raise CompositionError("AdaILN is called as norm(x, gamma, beta); ILN has a scale and a shift of its own")
        gamma, beta = (each[:, :, None, None] for each in given)
        return self.rho, gamma, beta


class ILN(MixedNorm):
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

    def mixture(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rho, gamma and beta."""
        return self.rho, self.gamma, self.beta


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
