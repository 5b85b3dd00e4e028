"""First weights of a network, as the authors draw them."""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from torch.nn.modules.conv import _ConvNd

M = TypeVar("M", bound=nn.Module)


def initialise(net: M) -> M:
    """Draw the weights of all convolutions and batch norms of ``net`` anew, in place.

    Convolutions, transposed ones too, get weights from N(0, 0.02); their biases keep what torch gave them. Batch norms
    get weights from N(1, 0.02) and no shift. Children come before their parents, in the order of definition, from
    torch's global generator. Tensors on the meta device stay as they are and draw nothing.

    Returns:
        ``net`` itself.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> round(initialise(nn.Conv2d(64, 64, 3)).weight.std().item(), 3)
        0.02
    """

    def start(module: nn.Module) -> None:
        if isinstance(module, _ConvNd):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)

    return net.apply(start)
