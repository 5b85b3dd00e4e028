"""Normalisation layers by name, and the form that norms of plugins take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from i2i.layers.checks import one_of

#: The norms that a part can be built with.
Norm = Literal["instance", "batch", "none"]
#: The same as texts.
NORMS: tuple[str, ...] = get_args(Norm)


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """Make a normalisation of ``(b, c, h, w)``.

    Args:
        kind: ``"instance"`` has neither weights nor running statistics and treats each image by itself; ``"batch"``
            has weights and running statistics; ``"none"`` passes its input through, so that the positions of the
            layers in a ``Sequential`` are the same for every kind.
        channels: ``c``, at least 1.

    Returns:
        The layer. Do not follow an instance norm by an in-place activation: it returns a view, and autograd would copy
        the whole map several times in the backward pass.

    Raises:
        SettingsError: an unknown kind.

    Example:
        >>> norm_layer("none", 8)
        Identity()
    """
    one_of("norm", kind, NORMS)
    if kind == "instance":
        return nn.InstanceNorm2d(channels)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.Identity()


class ImageNorm(nn.Module, ABC):
    """A norm that is ``x * scale + shift``, with numbers for each channel of each image.

    A subclass says how the two follow from the image. Where an image is translated in tiles they are taken once for all
    of them (`i2i.modes.fixed_statistics`).
    """

    @abstractmethod
    def affine(self, x: Tensor, /, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift, ``(b, c, 1, 1)``, for ``x (b, c, h, w)``; in float32 where ``x`` has less.

        Args:
            x: what is to be normalised.
            *given: what else `forward` is called with.
        """

    def forward(self, x: Tensor, /, *given: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to the same shape and type."""
        scale, shift = self.affine(x, *given)
        return torch.addcmul(shift, x.to(scale.dtype), scale).to(x.dtype)
