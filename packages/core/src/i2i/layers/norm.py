"""Normalisation layers by name."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from i2i.layers.checks import one_of

Norm = Literal["instance", "batch", "none"]
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
