"""Layers one after the other, where norms and what follows them are computed together on devices that can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from i2i.kernels import Epilogue, InstanceNorm, fused, usable
from i2i.kernels.dispatch import only_forward
from i2i.kernels.norm import rightly_differentiated


class Fused(nn.Sequential):
    """``nn.Sequential``; where kernels run, an instance norm, its activation and the border after it are one layer.

    It has the names of a ``nn.Sequential``, and computes the same. A layer that has hooks, or whose ``forward`` was
    put in the place of its class's, is run by itself.

    Example:
        >>> import torch
        >>> layers = Fused(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.ReflectionPad2d(1))
        >>> layers(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 4, 8, 8])
    """

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Run the layers.

        Args:
            x: what the first one reads.
            residual: added to what the last one makes.
        """
        made = x
        for _, made in self.each(x, residual):  # noqa: B007 - the last one
            pass
        return made

    def each(self, x: Tensor, residual: Tensor | None = None) -> Iterator[tuple[nn.Module, Tensor]]:
        """Run the layers as `forward`, and yield each with what it made; of those that are one layer, the last."""
        layers, at = list(self), 0
        while at < len(layers):
            run = _run(layers[at : at + 3], x)
            at += 1 if run is None else run.length
            added = residual if at == len(layers) else None
            if run is None:
                x = layers[at - 1](x)
                if isinstance(layers[at - 1], nn.InstanceNorm2d):
                    x = rightly_differentiated(x)
            else:
                # A norm that ends the layers takes the sum into its own pass.
                epilogue = run.epilogue._replace(residual=added) if run.length == 1 else run.epilogue
                x = fused(InstanceNorm(run.norm.eps), x, run.norm.weight, run.norm.bias, epilogue=epilogue).image
            if added is not None and (run is None or run.length > 1):
                x = x + added
            yield layers[at - 1], x


class _Run(NamedTuple):
    """An instance norm and what is computed with it; how many layers that are."""

    norm: nn.InstanceNorm2d
    epilogue: Epilogue
    length: int


def _run(layers: Sequence[nn.Module], x: Tensor) -> _Run | None:
    """Return what the first of ``layers`` begins, if it is a norm of ``x`` that kernels can compute."""
    norm, rest = layers[0], list(layers[1:])
    if (
        not isinstance(norm, nn.InstanceNorm2d)
        or norm.running_mean is not None
        or not only_forward(norm)
        or not usable(x)
    ):
        return None
    slope, pad, length = 1.0, 0, 1
    if rest and isinstance(rest[0], nn.ReLU | nn.LeakyReLU) and only_forward(rest[0]):
        slope = float(getattr(rest.pop(0), "negative_slope", 0.0))
        length += 1
    if rest and isinstance(rest[0], nn.ReflectionPad2d) and only_forward(rest[0]):
        sides = set(rest[0].padding)
        if len(sides) == 1 and usable(x, pad=max(sides)) and max(sides) < min(x.shape[-2:]):
            pad, length = max(sides), length + 1
    return _Run(norm, Epilogue(negative_slope=slope, pad=pad), length)
