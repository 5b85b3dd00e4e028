"""Convolutions that double the size without a checkerboard."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ResizedConv2d(nn.Conv2d):
    """Nearest neighbours at twice the size, then a 3x3 convolution padded by reflection.

    Computed in one go: of the four copies of each pixel, those that lie under the same weight of the kernel are the
    same number, so their weights are added first. That is a transposed 4x4 convolution, with 16 products for each pixel
    where the enlarged image would take 36.

    Args:
        in_channels: channels it reads.
        out_channels: channels it makes.
        bias: whether a number is added to each channel that it makes.

    Example:
        >>> import torch
        >>> ResizedConv2d(4, 2)(torch.zeros(1, 4, 8, 8)).shape
        torch.Size([1, 2, 16, 16])

    References:
        Odena et al., Deconvolution and Checkerboard Artifacts, Distill, 2016.
        Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016 (arXiv 1609.07009).
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to ``(b, d, 2 h, 2 w)``."""
        # Reflection at twice the size meets the copy of the same pixel: at the size of x, that is replication.
        continued = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(continued, _summed(self.weight), self.bias, stride=2, padding=3)


def _summed(weight: Tensor) -> Tensor:
    """Return ``(in, out, 4, 4)`` of ``(out, in, 3, 3)``; along each side ``(w2, w1 + w2, w0 + w1, w0)``."""
    flipped = weight.flip(2, 3).transpose(0, 1)
    sides = F.pad(flipped, (1, 1, 1, 1))
    across = sides[..., 1:] + sides[..., :-1]
    return across[..., 1:, :] + across[..., :-1, :]
