"""Spectral norm with an exact number of power iterations, as a number that results are multiplied by.

References:
    Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018 (arXiv 1802.05957), algorithm 1.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.layers import at_least

_EPSILON = 1e-12


class SpectralNorm(nn.Module):
    """Estimates the largest singular value of a weight; in training mode each pass moves the estimate on.

    Args:
        weight: its first dimension are outputs, the rows of a matrix.
        iterations: power iterations in each pass.

    Attributes:
        u: ``(rows,)``, estimate of the left singular vector.
        v: ``(columns,)``, estimate of the right singular vector.

    Raises:
        SettingsError: ``iterations`` is no positive number.

    Differs:
        torch's own ``parametrizations.spectral_norm`` iterates fifteen times beforehand; here the vectors begin at
        random, as in the first form that torch had, which the authors of U-GAT-IT use.
    """

    changes_with_each_pass = True  # so that `i2i.together` makes as many passes as there are inputs
    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, iterations: int = 1) -> None:
        super().__init__()
        at_least("iterations", iterations, 1)
        self.iterations = iterations
        matrix = weight.detach().flatten(1)
        for name, length in (("u", matrix.shape[0]), ("v", matrix.shape[1])):
            drawn = matrix.new_empty(length).normal_()
            self.register_buffer(name, F.normalize(drawn, dim=0, eps=_EPSILON))

    def forward(self, weight: Tensor) -> Tensor:
        """Return ``1 / (u W v)``, a scalar through which gradients flow."""
        with _exact(weight.device):
            matrix = weight.flatten(1)
            if self.training:
                self._iterate(matrix.detach())
            # Copies, because an earlier pass in the same graph needs the vectors as they were.
            u, v = self.u.clone(), self.v.clone()
            return torch.dot(u, torch.mv(matrix, v)).reciprocal()

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        for _ in range(self.iterations):
            self.v.copy_(F.normalize(torch.mv(matrix.t(), self.u), dim=0, eps=_EPSILON))
            self.u.copy_(F.normalize(torch.mv(matrix, self.v), dim=0, eps=_EPSILON))


def _exact(device: torch.device) -> AbstractContextManager[Any]:
    """Switch autocast off, for half precision is too coarse to iterate in; tensors without data have none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def _scaled(y: Tensor, inverse: Tensor) -> Tensor:
    """Multiply in float32: the gradient of ``inverse`` is a sum over all of ``y``, too large for half precision."""
    return (y.to(inverse.dtype) * inverse).to(y.dtype)


class SpectralConv2d(nn.Conv2d):
    """A convolution without padding, whose weight is divided by an estimate of its largest singular value.

    What the weight itself makes is divided instead of the weight: the same, without a copy of the weight in each pass.

    Args:
        in_channels: channels it reads.
        out_channels: channels it makes.
        kernel_size: side of the kernel.
        stride: pixels from one place of the kernel to the next.
        bias: whether a number is added to each channel that it makes.
        iterations: power iterations in each pass in training mode.

    Example:
        >>> layer = SpectralConv2d(3, 4, 2)
        >>> layer(torch.rand(1, 3, 5, 5)).shape, sorted(layer.state_dict())
        (torch.Size([1, 4, 4, 4]), ['bias', 'norm.u', 'norm.v', 'weight'])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, bias: bool = True,
        iterations: int = 1,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, bias=bias)
        self.norm = SpectralNorm(self.weight, iterations)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to ``(b, d, h', w')``."""
        inverse: Tensor = self.norm(self.weight)
        y = _scaled(F.conv2d(x, self.weight, stride=self.stride), inverse)
        return y if self.bias is None else y + self.bias.to(y.dtype)[:, None, None]


class SpectralLinear(nn.Linear):
    """A linear layer without bias, whose weight is divided by an estimate of its largest singular value.

    Args:
        in_features: numbers that it reads.
        out_features: numbers that it makes.
        iterations: power iterations in each pass in training mode.

    Example:
        >>> layer = SpectralLinear(8, 1)
        >>> shares = layer(torch.eye(8))
        >>> round(shares.norm().item(), 4)
        1.0
    """

    def __init__(self, in_features: int, out_features: int, *, iterations: int = 1) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.norm = SpectralNorm(self.weight, iterations)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        inverse: Tensor = self.norm(self.weight)
        return _scaled(F.linear(x, self.weight), inverse)
